//! From the client of a former login to its successor, with the order of a key kept: nothing is sent by the new client
//! while the former one has anything on its way.

use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _, PurgeConfig};
use tokio::sync::oneshot;

use super::client::{Refusals, Watched};
use super::record::owned_headers;

/// How often is looked whether all is acknowledged.
const STEP: Duration = Duration::from_millis(100);

/// A client that was not let in may be on its way in again: a broker that has just started does not know all passwords.
const GRACE: Duration = Duration::from_secs(5);

/// The library tells of a refusal that repeats itself every 30 s only.
const TOLD_AGAIN: Duration = Duration::from_secs(35);

/// What the library itself needs to tell that the time of a record is over.
const LATE: Duration = Duration::from_secs(5);

/// A record as it is given to a client.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    pub(super) key: &'a str,
    pub(super) headers: &'a [(String, String)],
    pub(super) payload: Option<&'a [u8]>,
    pub(super) partition: Option<i32>,
}

impl Outgoing<'_> {
    pub(super) fn send(
        self,
        client: &FutureProducer<Watched>,
    ) -> Result<DeliveryFuture, KafkaError> {
        let mut record: FutureRecord<'_, str, [u8]> = FutureRecord::to(self.topic)
            .key(self.key)
            .headers(owned_headers(self.headers));
        if let Some(payload) = self.payload {
            record = record.payload(payload);
        }
        if let Some(partition) = self.partition {
            record = record.partition(partition);
        }
        client.send_result(record).map_err(|(error, _)| error)
    }
}

/// What the successor's acknowledgement is waited for by.
pub(super) type Later = oneshot::Receiver<Result<DeliveryFuture, KafkaError>>;

/// A record that waits for the former client.
pub(super) struct Held {
    topic: String,
    key: String,
    headers: Vec<(String, String)>,
    payload: Option<Vec<u8>>,
    partition: Option<i32>,
    sent: oneshot::Sender<Result<DeliveryFuture, KafkaError>>,
}

impl Held {
    pub(super) fn new(record: Outgoing<'_>) -> (Self, Later) {
        let (sent, later) = oneshot::channel();
        let held = Self {
            topic: record.topic.to_owned(),
            key: record.key.to_owned(),
            headers: record.headers.to_vec(),
            payload: record.payload.map(<[u8]>::to_vec),
            partition: record.partition,
            sent,
        };
        (held, later)
    }

    pub(super) fn send(self, client: &FutureProducer<Watched>) {
        let record = Outgoing {
            topic: &self.topic,
            key: &self.key,
            headers: &self.headers,
            payload: self.payload.as_deref(),
            partition: self.partition,
        };
        // Whoever put it in line may no longer be there.
        let _ = self.sent.send(record.send(client));
    }
}

/// A client whose login is no longer in force.
#[derive(Clone)]
pub(super) struct Former {
    pub(super) inner: FutureProducer<Watched>,
    pub(super) refusals: Refusals,
    /// Kafka did not let its login in when it was last tried.
    pub(super) shut_out: bool,
}

impl Former {
    /// Comes back when each of its records is acknowledged or has failed, and its connections are closed.
    /// `time` is what a record has until it fails.
    pub(super) fn end(self, time: Duration) {
        let since = Instant::now();
        while self.inner.flush(STEP).is_err() {
            let waited = since.elapsed();
            if waited > time + LATE {
                // Cannot be, as the library fails every record in time. For ever would be worse.
                tracing::error!("records of the former login neither acknowledged nor failed");
                self.inner.purge(PurgeConfig::default().queue().inflight());
                let _ = self.inner.flush(STEP);
                break;
            }
            // What waits for a login that is of no use any more would wait in vain, and all that came later with it:
            // whoever sent it learns now and can send it again. Not what is on the wire: that may still be stored, and
            // then before what comes later. It is answered, or comes back here when its connection ends.
            if self.shut_out || (waited > GRACE && self.refusals.within(TOLD_AGAIN)) {
                self.inner.purge(PurgeConfig::default().queue());
            }
        }
        tracing::info!(
            milliseconds = since.elapsed().as_millis(),
            "nothing of the former login is on its way any more"
        );
    }
}
