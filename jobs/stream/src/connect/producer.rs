//! Records that are acknowledged one by one.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::future_producer::Delivery as Placed;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _, PurgeConfig};

use super::access::Access;
use super::client::{self, Watched};
use super::error::ConnectError;
use super::record::owned_headers;

/// Batches what arrives together. More would delay each single POST by as much and fill no batch of a busy gateway.
const LINGER: Duration = Duration::from_millis(1);

/// After that long without an acknowledgement a record has failed.
const DELIVERY: Duration = Duration::from_secs(30);

/// When the login changes, what was sent before is waited for so long before more is sent, which keeps the order of a
/// key. Callers wait meanwhile. A client that is no longer let in does not get further by more.
const HAND_OVER: Duration = Duration::from_secs(5);

/// Sends records; each is acknowledged by all in-sync replicas and stored once, whatever is retried.
/// Clones share one client, which is exchanged when the login changes.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    access: Access,
    client_id: String,
    made: RwLock<Made>,
}

struct Made {
    inner: FutureProducer<Watched>,
    generation: u64,
}

fn made(access: &Access, client_id: &str) -> Result<Made, ConnectError> {
    let generation = access.generation();
    let mut config = client::base(access, client_id);
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // As the Java clients do it, so that one vehicle is in one partition for everybody.
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set("message.max.bytes", client::LARGEST_RECORD)
        .set("linger.ms", client::milliseconds(LINGER))
        .set("message.timeout.ms", client::milliseconds(DELIVERY));
    let inner = client::make(&config, access)?;
    Ok(Made { inner, generation })
}

impl Producer {
    /// Makes a producer. It connects in the background.
    ///
    /// # Errors
    /// The settings are not usable.
    pub fn new(access: impl Into<Access>, client_id: &str) -> Result<Self, ConnectError> {
        let access = access.into();
        let made = made(&access, client_id)?;
        let generation = made.generation;
        let shared = Arc::new(Shared {
            access,
            client_id: client_id.to_owned(),
            made: RwLock::new(made),
        });
        Shared::watch(&shared, generation);
        Ok(Self { shared })
    }

    fn current(&self) -> RwLockReadGuard<'_, Made> {
        let shared = &*self.shared;
        let now = shared.read();
        if now.generation == shared.access.generation() {
            return now;
        }
        drop(now);
        shared.exchange();
        shared.read()
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
        match self.current().inner.send_result(record) {
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
        let inner = self.shared.read().inner.clone();
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
        self.shared
            .read()
            .inner
            .client()
            .fatal_error()
            .map(|(code, why)| format!("{code}: {why}"))
    }
}

impl Shared {
    // Also while nobody sends: those who wait for an acknowledgement may be the very ones who would.
    fn watch(shared: &Arc<Self>, mut seen: u64) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !shared.access.can_change() {
            return;
        }
        let (access, weak) = (shared.access.clone(), Arc::downgrade(shared));
        runtime.spawn(async move {
            loop {
                access.changed(seen).await;
                seen = access.generation();
                let Some(shared) = weak.upgrade() else {
                    return;
                };
                let exchanged = tokio::task::spawn_blocking(move || shared.exchange()).await;
                if let Err(error) = exchanged {
                    tracing::error!(%error, "a client was not exchanged");
                }
            }
        });
    }

    fn read(&self) -> RwLockReadGuard<'_, Made> {
        self.made.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self) {
        let mut now = self.made.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been here first.
        let generation = self.access.generation();
        if now.generation == generation {
            return;
        }
        // Of the former login: a trial of the new one may already be under way.
        let shut_out = self.access.is_shut_out();
        match made(&self.access, &self.client_id) {
            Ok(anew) => {
                if shut_out {
                    // What waits would wait in vain: whoever sent it learns now and can send it again.
                    tracing::warn!("records that wait for the former login are given up");
                    now.inner.purge(PurgeConfig::default().queue().inflight());
                } else {
                    // What is not acknowledged by then still may be: the former client is kept until it knows.
                    let _ = now.inner.flush(HAND_OVER);
                }
                retire(std::mem::replace(&mut *now, anew).inner);
            }
            Err(error) => {
                tracing::error!(%error, "no client can be made of the new login; the former one goes on");
                now.generation = generation;
            }
        }
    }
}

// A client that is dropped gives up what it has not sent.
fn retire(inner: FutureProducer<Watched>) {
    let kept = inner.clone();
    let spawned = std::thread::Builder::new()
        .name("former-login".to_owned())
        .spawn(move || {
            if let Err(error) = inner.flush(DELIVERY) {
                tracing::warn!(%error, "some records of the former login were not acknowledged");
            }
        });
    if let Err(error) = spawned {
        tracing::warn!(%error, "the former client has no thread to end on");
        let _ = kept.flush(HAND_OVER);
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
