//! Records that are acknowledged one by one.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::Delivery as Placed;
use rdkafka::producer::{DeliveryFuture, FutureProducer, Producer as _};

use super::access::Access;
use super::client::{self, Refusals, Watched};
use super::error::ConnectError;
use super::hand_over::{Former, Held, Later, Outgoing};

/// Batches what arrives together. More would delay each single POST by as much and fill no batch of a busy gateway.
const LINGER: Duration = Duration::from_millis(1);

/// After that long without an acknowledgement a record has failed.
const DELIVERY: Duration = Duration::from_secs(30);

/// Records that wait for the client of a former login; as many as the library's own queue takes.
const MOST_HELD: usize = 100_000;

/// How often is looked whether the client of a former login has ended.
const LOOK: Duration = Duration::from_millis(10);

/// Sends records; each is acknowledged by all in-sync replicas and stored once, whatever is retried.
/// Clones share one client, which is exchanged when the login changes. What comes while the former client still waits for
/// an acknowledgement is held here until it has all of them: two clients that send at once would mix the order of a key.
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
    refusals: Refusals,
    generation: u64,
    // While the client of a former login has records on its way; then this one has sent nothing yet.
    held: Option<Vec<Held>>,
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
    client::answers_within(&mut config, DELIVERY);
    let refusals = Refusals::default();
    Ok(Made {
        inner: client::make_told(&config, access, &refusals)?,
        refusals,
        generation,
        held: None,
    })
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
        Shared::exchange(&self.shared);
        shared.read()
    }

    /// Sends a record and waits until it is acknowledged; gives its partition and offset.
    /// Without a `partition` the key decides.
    ///
    /// # Errors
    /// The local queue is full, or it was not acknowledged in 30 s (60 s when the login changes meanwhile), or the broker
    /// refuses it.
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
        let record = Outgoing {
            topic,
            key,
            headers,
            payload,
            partition,
        };
        let now = self.current();
        let way = if now.held.is_none() {
            record.send(&now.inner).map(Way::Sent)
        } else {
            drop(now);
            self.shared.hold(record)
        };
        way.map(|way| Delivery {
            topic: topic.to_owned(),
            way,
        })
        .map_err(|source| not_sent(topic, source))
    }

    /// Waits until all that was sent is acknowledged or has failed.
    ///
    /// # Errors
    /// Some of it still waits after `timeout`.
    pub async fn flush(&self, timeout: Duration) -> Result<(), ConnectError> {
        let end = Instant::now() + timeout;
        while self.shared.read().held.is_some() && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
        }
        let inner = self.shared.read().inner.clone();
        let left = end.saturating_duration_since(Instant::now());
        tokio::task::spawn_blocking(move || inner.flush(left))
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
                let exchanged = tokio::task::spawn_blocking(move || Self::exchange(&shared)).await;
                if let Err(error) = exchanged {
                    tracing::error!(%error, "a client was not exchanged");
                }
            }
        });
    }

    fn read(&self) -> RwLockReadGuard<'_, Made> {
        self.made.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Made> {
        self.made.write().unwrap_or_else(PoisonError::into_inner)
    }

    // Puts a record in line behind those of the former client, if that is still needed.
    fn hold(&self, record: Outgoing<'_>) -> Result<Way, KafkaError> {
        let mut now = self.write();
        let Made { inner, held, .. } = &mut *now;
        let Some(held) = held else {
            return record.send(inner).map(Way::Sent);
        };
        if held.len() >= MOST_HELD {
            return Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
        }
        let (one, later) = Held::new(record);
        held.push(one);
        Ok(Way::Held(later))
    }

    // Does not wait: callers that put records in line must not.
    fn exchange(shared: &Arc<Self>) {
        let mut now = shared.write();
        // Another thread may have been here first.
        let generation = shared.access.generation();
        if now.generation == generation {
            return;
        }
        // Of the former login: a trial of the new one may already be under way.
        let shut_out = shared.access.is_shut_out();
        let anew = match made(&shared.access, &shared.client_id) {
            Ok(anew) => anew,
            Err(error) => {
                tracing::error!(%error, "no client can be made of the new login; the former one goes on");
                now.generation = generation;
                return;
            }
        };
        let former = std::mem::replace(&mut *now, anew);
        if former.held.is_some() {
            // It has sent nothing itself: the one before it is still waited for.
            now.held = former.held;
            return;
        }
        now.held = Some(Vec::new());
        drop(now);
        let former = Former {
            inner: former.inner,
            refusals: former.refusals,
            shut_out,
        };
        let (ending, waiting) = (former.clone(), Arc::clone(shared));
        let spawned = std::thread::Builder::new()
            .name("former-login".to_owned())
            .spawn(move || {
                ending.end(DELIVERY);
                waiting.release();
            });
        if let Err(error) = spawned {
            tracing::warn!(%error, "the former client has no thread to end on");
            former.end(DELIVERY);
            shared.release();
        }
    }

    // The former client has nothing on its way any more.
    fn release(&self) {
        let mut now = self.write();
        let held = now.held.take().unwrap_or_default();
        for one in held {
            one.send(&now.inner);
        }
    }
}

fn not_sent(topic: &str, source: KafkaError) -> ConnectError {
    ConnectError::request(format!("record for topic {topic}"), source)
}

/// A record on its way.
pub struct Delivery {
    topic: String,
    way: Way,
}

enum Way {
    Sent(DeliveryFuture),
    Held(Later),
}

impl Delivery {
    /// Completes when the record is acknowledged; gives its partition and offset.
    ///
    /// # Errors
    /// It was not acknowledged in time, or the broker refuses it.
    pub fn acknowledged(self) -> impl Future<Output = Result<(i32, i64), ConnectError>> + Send {
        let Self { topic, way } = self;
        async move {
            let sent = match way {
                Way::Sent(sent) => Ok(sent),
                Way::Held(later) => later.await.unwrap_or(Err(KafkaError::Canceled)),
            };
            let source = match sent {
                Err(source) => source,
                Ok(sent) => match sent.await {
                    Ok(Ok(Placed {
                        partition, offset, ..
                    })) => return Ok((partition, offset)),
                    Ok(Err((source, _))) => source,
                    Err(_) => KafkaError::Canceled,
                },
            };
            Err(not_sent(&topic, source))
        }
    }
}

#[cfg(test)]
#[path = "producer_tests.rs"]
mod tests;
