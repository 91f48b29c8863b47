//! Records and consumer offsets that become visible together or not at all.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::access::Access;
use super::client::{self, Watched};
use super::error::ConnectError;
use super::group::Membership;
use super::record::owned_headers;

/// How long one try of a call may block; calls that may be repeated are.
const TRY: Duration = Duration::from_secs(10);

/// The longest wait for a full local queue to drain.
const DRAIN: Duration = Duration::from_secs(30);

/// A producer with a transactional id. Blocking: for a thread of its own.
pub struct TransactionalProducer {
    inner: BaseProducer<Watched>,
    id: String,
    access: Access,
    generation: u64,
}

impl TransactionalProducer {
    /// Makes a producer. `timeout` is how long the broker lets a transaction of a process that went away
    /// stay open; until then readers of committed records wait behind it.
    ///
    /// # Errors
    /// The settings are not usable.
    pub fn new(
        access: impl Into<Access>,
        client_id: &str,
        id: &str,
        timeout: Duration,
    ) -> Result<Self, ConnectError> {
        let access = access.into();
        let generation = access.generation();
        let mut config = client::base(&access, client_id);
        config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", client::milliseconds(timeout))
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("message.max.bytes", client::LARGEST_RECORD)
            // A transaction is sent in one go: waiting for more only adds to the delay.
            .set("linger.ms", "0");
        client::answers_within(&mut config, timeout);
        Ok(Self {
            inner: client::make(&config, &access)?,
            id: id.to_owned(),
            access,
            generation,
        })
    }

    /// Takes the transactional id over: fences every earlier process with it and ends its open transaction.
    ///
    /// # Errors
    /// No coordinator answered within `timeout` (retriable), or the id was taken by another process (fatal).
    pub fn init(&self, timeout: Duration) -> Result<(), ConnectError> {
        self.inner
            .init_transactions(timeout)
            .map_err(|e| self.error("take over", e))
    }

    /// Opens a transaction. Nothing goes over the wire yet.
    ///
    /// # Errors
    /// The producer was fenced, or a transaction is open already.
    pub fn begin(&self) -> Result<(), ConnectError> {
        self.inner
            .begin_transaction()
            .map_err(|e| self.error("begin", e))
    }

    /// Puts a record into the open transaction. Without a `partition` the key decides.
    ///
    /// # Errors
    /// The local queue stays full, or the record is too large.
    pub fn send(
        &self,
        topic: &str,
        key: &str,
        headers: &[(String, String)],
        payload: Option<&[u8]>,
        partition: Option<i32>,
    ) -> Result<(), ConnectError> {
        let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic).key(key);
        if !headers.is_empty() {
            record = record.headers(owned_headers(headers));
        }
        if let Some(payload) = payload {
            record = record.payload(payload);
        }
        if let Some(partition) = partition {
            record = record.partition(partition);
        }
        let until = Instant::now() + DRAIN;
        loop {
            match self.inner.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < until =>
                {
                    record = back;
                    self.inner.poll(Duration::from_millis(5));
                }
                Err((source, _)) => {
                    return Err(self.error(&format!("record for topic {topic}"), source));
                }
            }
        }
    }

    /// Puts the offsets of the next records to read into the open transaction. They are refused when
    /// `member` is no longer in the group's generation: so a process that lost its partitions cannot commit.
    ///
    /// # Errors
    /// The member is out of date (abortable), the coordinator is away, or the producer was fenced.
    pub fn send_offsets(
        &self,
        topic: &str,
        next: &[(i32, i64)],
        member: &Membership,
    ) -> Result<(), ConnectError> {
        let mut offsets = TopicPartitionList::with_capacity(next.len());
        for (partition, offset) in next {
            offsets
                .add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .map_err(|e| self.error("offsets", e))?;
        }
        self.repeat("offsets", || {
            self.inner
                .send_offsets_to_transaction(&offsets, &member.0, TRY)
        })
    }

    /// Makes the transaction visible.
    ///
    /// # Errors
    /// It must be aborted, or the producer was fenced.
    pub fn commit(&self) -> Result<(), ConnectError> {
        // The library's own wait sleeps in steps of 100 ms, which an alert would feel.
        let until = Instant::now() + DRAIN;
        while self.inner.in_flight_count() > 0 && Instant::now() < until {
            self.inner.poll(Duration::from_millis(1));
        }
        self.repeat("commit", || self.inner.commit_transaction(TRY))
    }

    /// Throws the open transaction away.
    ///
    /// # Errors
    /// The producer was fenced.
    pub fn abort(&self) -> Result<(), ConnectError> {
        self.repeat("abort", || self.inner.abort_transaction(TRY))
    }

    // These calls pick up where they were when repeated; a coordinator that is away is waited for.
    // The broker ends a transaction that outlives its time-out, which makes the error fatal: so this ends. When the login
    // has changed meanwhile, this client may never be let in again, and its successor ends the transaction.
    fn repeat(
        &self,
        doing: &str,
        call: impl Fn() -> Result<(), KafkaError>,
    ) -> Result<(), ConnectError> {
        loop {
            let Err(source) = call() else { return Ok(()) };
            let error = self.error(doing, source);
            if !error.is_retriable() || self.access.generation() != self.generation {
                return Err(error);
            }
            tracing::warn!(%error, "trying again");
            self.inner.poll(Duration::from_millis(100));
        }
    }

    fn error(&self, doing: &str, source: KafkaError) -> ConnectError {
        ConnectError::request(format!("transaction of {}: {doing}", self.id), source)
    }
}
