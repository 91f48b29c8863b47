//! Records that are acknowledged one by one.

use std::future::Future;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::future_producer::Delivery as Placed;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};

use super::client;
use super::error::ConnectError;
use super::record::owned_headers;

/// Batches what arrives together. More would delay each single POST by as much and fill no batch of a busy gateway.
const LINGER: Duration = Duration::from_millis(1);

/// After that long without an acknowledgement a record has failed.
const DELIVERY: Duration = Duration::from_secs(30);

/// Sends records; each is acknowledged by all in-sync replicas and stored once, whatever is retried.
/// Clones share one client.
#[derive(Clone)]
pub struct Producer {
    inner: FutureProducer,
}

impl Producer {
    /// Makes a producer. It connects in the background.
    ///
    /// # Errors
    /// The settings are not usable.
    pub fn new(bootstrap: &str, client_id: &str) -> Result<Self, ConnectError> {
        let inner = client::base(bootstrap, client_id)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // As the Java clients do it, so that one vehicle is in one partition for everybody.
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("message.max.bytes", client::LARGEST_RECORD)
            .set("linger.ms", client::milliseconds(LINGER))
            .set("message.timeout.ms", client::milliseconds(DELIVERY))
            .create()
            .map_err(|source| ConnectError::Client { source })?;
        Ok(Self { inner })
    }

    /// Sends a record and waits until it is acknowledged; gives its partition and offset.
    /// Without a `partition` the key decides.
    ///
    /// # Errors
    /// The local queue is full, or it was not acknowledged in 30 s, or the broker refuses it.
    pub async fn send(
        &self,
        topic: &str,
        key: &str,
        headers: &[(String, String)],
        payload: &[u8],
        partition: Option<i32>,
    ) -> Result<(i32, i64), ConnectError> {
        self.enqueue(topic, key, headers, Some(payload), partition)?
            .acknowledged()
            .await
    }

    /// Puts a record into the queue, in the order of the calls; the answer waits for the acknowledgement.
    /// A record without `payload` removes its key from a compacted topic.
    ///
    /// # Errors
    /// The local queue is full (see [`ConnectError::is_queue_full`]), or the record is too large.
    pub fn enqueue(
        &self,
        topic: &str,
        key: &str,
        headers: &[(String, String)],
        payload: Option<&[u8]>,
        partition: Option<i32>,
    ) -> Result<Delivery, ConnectError> {
        let mut record: FutureRecord<'_, str, [u8]> = FutureRecord::to(topic)
            .key(key)
            .headers(owned_headers(headers));
        if let Some(payload) = payload {
            record = record.payload(payload);
        }
        if let Some(partition) = partition {
            record = record.partition(partition);
        }
        match self.inner.send_result(record) {
            Ok(inner) => Ok(Delivery {
                topic: topic.to_owned(),
                inner,
            }),
            Err((source, _)) => Err(ConnectError::request(
                format!("record for topic {topic}"),
                source,
            )),
        }
    }

    /// Waits until all that was sent is acknowledged or has failed.
    ///
    /// # Errors
    /// Some of it still waits after `timeout`.
    pub async fn flush(&self, timeout: Duration) -> Result<(), ConnectError> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || inner.flush(timeout))
            .await
            .map_err(|_| ConnectError::Ended {
                doing: "flush".to_owned(),
            })?
            .map_err(|source| ConnectError::request("flush", source))
    }

    /// Why the producer is of no use any more, if so.
    #[must_use]
    pub fn fatal(&self) -> Option<String> {
        self.inner
            .client()
            .fatal_error()
            .map(|(code, why)| format!("{code}: {why}"))
    }
}

/// A record on its way.
pub struct Delivery {
    topic: String,
    inner: DeliveryFuture,
}

impl Delivery {
    /// Completes when the record is acknowledged; gives its partition and offset.
    ///
    /// # Errors
    /// It was not acknowledged in time, or the broker refuses it.
    pub fn acknowledged(self) -> impl Future<Output = Result<(i32, i64), ConnectError>> + Send {
        let Self { topic, inner } = self;
        async move {
            let source = match inner.await {
                Ok(Ok(Placed {
                    partition, offset, ..
                })) => return Ok((partition, offset)),
                Ok(Err((source, _))) => source,
                Err(_) => KafkaError::Canceled,
            };
            Err(ConnectError::request(
                format!("record for topic {topic}"),
                source,
            ))
        }
    }
}
