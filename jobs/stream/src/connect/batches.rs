//! The records of a group's member, many at a time.
//!
//! The library's poll gives one record a call: it makes an event of each, counts who holds it, and looks at the clock. A batch is
//! taken from a queue that holds records alone, so the partitions that are read are led into one of their own; what the group has
//! to tell stays in the consumer's.
#![allow(
    unsafe_code,
    reason = "rust-rdkafka has no batches: the library's own calls are made here"
)]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::error::ConnectError;
use super::fetched::Fetched;
use super::group::{GroupConsumer, GroupEvents};
use super::record::Incoming;

/// Records of a batch. More take no less time each.
const MOST: usize = 1024;

// A handle to a queue of the library.
struct Queue(NonNull<native::rd_kafka_queue_t>);

impl Queue {
    // Where this queue's records go; nowhere but here when there is none.
    fn lead_to(&self, other: Option<&Self>) {
        let other = other.map_or(ptr::null_mut(), |other| other.0.as_ptr());
        // SAFETY: both handles are there, and are of the same client.
        unsafe { native::rd_kafka_queue_forward(self.0.as_ptr(), other) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the handle is there, and nobody uses it any more.
        unsafe { native::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// Reads a consumer's partitions in batches. Its [`GroupConsumer::start`] is not to be used any more, and
/// [`GroupSettings::tell_end`](super::GroupSettings::tell_end) tells nothing.
pub struct Batches<'c, H: GroupEvents + 'static> {
    consumer: &'c GroupConsumer<H>,
    topic: CString,
    // The queue that all records are taken from, and those that the library puts the records of each partition into.
    all: Queue,
    of_partitions: BTreeMap<i32, Queue>,
    messages: Vec<*mut native::rd_kafka_message_t>,
}

impl<'c, H: GroupEvents + 'static> Batches<'c, H> {
    /// Nothing is read before [`Batches::start`].
    pub(super) fn new(consumer: &'c GroupConsumer<H>) -> Result<Self, ConnectError> {
        // SAFETY: the client is there for as long as the consumer, which this borrows.
        let all = unsafe { native::rd_kafka_queue_new(consumer.inner.client().native_ptr()) };
        let named = CString::new(consumer.topic.as_str()).ok();
        let (Some(all), Some(topic)) = (NonNull::new(all).map(Queue), named) else {
            return Err(unusable(&consumer.topic));
        };
        Ok(Self {
            consumer,
            topic,
            all,
            of_partitions: BTreeMap::new(),
            messages: vec![ptr::null_mut(); MOST],
        })
    }

    /// Starts reading at these offsets, at the beginning where there is none. Replaces what was read before.
    ///
    /// # Errors
    /// The assignment is refused.
    pub fn start(&mut self, positions: &[(i32, Option<i64>)]) -> Result<(), ConnectError> {
        for (partition, _) in positions {
            let client = self.consumer.inner.client().native_ptr();
            // SAFETY: the client is there for as long as the consumer, and the name ends with a zero.
            let queue = unsafe {
                native::rd_kafka_queue_get_partition(client, self.topic.as_ptr(), *partition)
            };
            let queue = NonNull::new(queue).map(Queue);
            let queue = queue.ok_or_else(|| unusable(&self.consumer.topic))?;
            self.of_partitions.insert(*partition, queue);
        }
        // Before they are started: the library leads a partition into the consumer's queue only when nobody has led it before.
        self.lead();
        self.consumer.start(positions)
    }

    fn lead(&self) {
        for queue in self.of_partitions.values() {
            queue.lead_to(Some(&self.all));
        }
    }

    /// What has been fetched, as soon as a batch is full, or `timeout` is over. Serves the group's events on the way.
    ///
    /// # Errors
    /// Those of the broker; only fatal ones end the consumer. No record is lost with one.
    pub fn poll(&mut self, timeout: Duration) -> Result<Batch<'_>, ConnectError> {
        let strayed = self.consumer.poll(Duration::ZERO)?;
        // When a partition that was read is started again, the library ends its lead, on its own thread and so some time later.
        // What has come meanwhile is still in the partition's own queue, and follows.
        self.lead();
        let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is there, and so is room for so many messages. What the room holds is not read by the library, nor here
        // beyond what is told to be new.
        let count = unsafe {
            native::rd_kafka_consume_batch_queue(
                self.all.0.as_ptr(),
                timeout,
                self.messages.as_mut_ptr(),
                self.messages.len(),
            )
        };
        // Less than none when the queue is no consumer's, which it is.
        let count = usize::try_from(count).unwrap_or(0);
        Ok(Batch {
            strayed,
            messages: self.messages.get_mut(..count).unwrap_or_default(),
            topic: &self.consumer.topic,
        })
    }
}

impl<H: GroupEvents + 'static> Drop for Batches<'_, H> {
    fn drop(&mut self) {
        for queue in self.of_partitions.values() {
            queue.lead_to(None);
        }
    }
}

fn unusable(topic: &str) -> ConnectError {
    let source = KafkaError::MessageConsumption(RDKafkaErrorCode::InvalidArgument);
    ConnectError::request(format!("queue of topic {topic}"), source)
}

/// As a number first: an error that a newer broker has told may be none that the library's type has a name for.
///
/// # Safety
/// The library has given `message`, and was not given it back.
unsafe fn error_of(message: NonNull<native::rd_kafka_message_t>) -> RDKafkaRespErr {
    // SAFETY: the message is there, and the type of errors is one of 32 bits.
    let code = unsafe { (&raw const (*message.as_ptr()).err).cast::<i32>().read() };
    RDKafkaRespErr::try_from(code).unwrap_or(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN)
}

/// Records that are given back to the library when this is dropped.
pub struct Batch<'b> {
    // A record that came by the consumer's queue. There are none; but no record may be lost.
    strayed: Option<Incoming<'b>>,
    messages: &'b mut [*mut native::rd_kafka_message_t],
    topic: &'b str,
}

impl Batch<'_> {
    /// The records, those of one partition in their order.
    pub fn records(&mut self) -> impl Iterator<Item = Incoming<'_>> {
        let fetched = self.messages.iter().filter_map(|message| {
            let message = NonNull::new(*message)?;
            // SAFETY: the library has given it, and is given it back when the batch is dropped, which this borrows.
            let fine = unsafe { error_of(message) } == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
            // SAFETY: the same; it is used only where there is no error. What points at it is not sent to other threads.
            fine.then(|| Incoming::from(unsafe { Fetched::new(message) }))
        });
        self.strayed.take().into_iter().chain(fetched)
    }

    /// The first of what went wrong with partitions. The end of one is nothing wrong.
    #[must_use]
    pub fn error(&self) -> Option<ConnectError> {
        let mut codes = self.messages.iter().filter_map(|message| {
            // SAFETY: as in `records`.
            let error = unsafe { error_of(NonNull::new(*message)?) };
            let fine = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
                || error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF;
            (!fine).then(|| KafkaError::MessageConsumption(error.into()))
        });
        let source = codes.next()?;
        Some(ConnectError::request(
            format!("topic {}", self.topic),
            source,
        ))
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in &mut *self.messages {
            let message = std::mem::replace(message, ptr::null_mut());
            if !message.is_null() {
                // SAFETY: the library has given it, nothing borrows it any more, and since its place is empty now, it is given back
                // once, also when one of its readers has panicked.
                unsafe { native::rd_kafka_message_destroy(message) }
            }
        }
    }
}

#[cfg(test)]
#[path = "batches_tests.rs"]
mod tests;
