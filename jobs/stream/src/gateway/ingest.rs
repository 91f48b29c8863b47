//! Events into Kafka: judged, put in line, and acknowledged only after Kafka has acknowledged them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use jiff::Timestamp;
use millrace_contract::cloudevent::{CONTENT_TYPE, CloudEvent};
use millrace_contract::{TraceParent, topics};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::config::{Config, Secrets};
use super::event::Event;
use super::hires::WrittenHires;
use super::intake::{Judge, Judged, Rejected, SeenHire};
use super::letters::{Letter, dead_letters};
use super::metrics::{Channel, Metrics, Refusal};
use super::shares::{Share, Shares};
use crate::connect::{ConnectError, Delivery, Producer};

/// `ce_source` of all that the gateway writes.
pub const SOURCE: &str = "/millrace/gateway";

/// Why a body could not be stored; sending it again is right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// More events wait for Kafka than may.
    #[error("in flight: {limit} events: too many wait for Kafka; send the body again later")]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// More events of this vehicle wait for Kafka than may.
    #[error(
        "in flight: {limit} events: too many of this vehicle wait for Kafka; send the body again later"
    )]
    OwnShare {
        /// The limit for one vehicle.
        limit: usize,
    },
    /// Nothing is taken in for now.
    #[error(
        "ingest: accept none: no events are taken in for now; send the body again in {seconds} s"
    )]
    Throttled {
        /// After so many seconds it is worth another try.
        seconds: u32,
    },
    /// Kafka did not acknowledge.
    #[error("kafka: {0}: the events are not stored for sure; send the body again")]
    Kafka(String),
}

/// The answer to a body whose good events are stored.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    /// How many events Kafka acknowledged.
    pub accepted: usize,
    /// The others.
    pub rejected: Vec<Rejected>,
}

/// Who sends a body, and how.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// The vehicle that authenticated itself; none where a role did, which may speak of all.
    pub vehicle: Option<&'a str>,
    /// The channel.
    pub channel: Channel,
    /// When its request came.
    pub since: Instant,
    /// The trace that its events belong to.
    pub trace: TraceParent,
}

impl Sender<'_> {
    /// Under which its share of the room is counted: no vehicle can have the name of the role.
    pub fn name(&self) -> &str {
        self.vehicle.unwrap_or("/events")
    }
}

/// The trace of a request that says this of one: the same, else a new one.
#[must_use]
pub fn trace_of(told: Option<&str>) -> TraceParent {
    match told.and_then(|text| text.parse().ok()) {
        Some(trace) => next_step(trace),
        None => TraceParent::new(Uuid::new_v4().as_u128(), Uuid::new_v4().as_u64_pair().1),
    }
}

/// The step of this program in a trace.
#[must_use]
pub fn next_step(trace: TraceParent) -> TraceParent {
    trace.step(Uuid::new_v4().as_u64_pair().1)
}

/// Takes events in.
pub struct Ingest {
    config: Config,
    secrets: Secrets,
    producer: Producer,
    metrics: Arc<Metrics>,
    permits: Arc<Semaphore>,
    shares: Shares,
    hires: Arc<WrittenHires>,
}

/// Room for the events of a body among those that wait for Kafka.
pub struct Room {
    _share: Share,
    _permit: OwnedSemaphorePermit,
}

/// Events that are put in line and wait for Kafka.
pub struct InLine {
    deliveries: Vec<(Delivery, Option<LetterRecord>)>,
    hires: Vec<SeenHire>,
    forgotten: u64,
    stored: Stored,
    _counted: InFlight,
    _room: Room,
    since: Instant,
}

/// A dead letter as it is written.
struct LetterRecord {
    vehicle: String,
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
}

/// What is shown as in flight, for as long as it lives: whoever waits for it may go away before Kafka answers.
struct InFlight {
    metrics: Arc<Metrics>,
    records: i64,
}

impl InFlight {
    fn new(metrics: &Arc<Metrics>, records: usize) -> Self {
        let records = i64::try_from(records).unwrap_or(i64::MAX);
        metrics.in_flight.inc_by(records);
        Self {
            metrics: Arc::clone(metrics),
            records,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.in_flight.dec_by(self.records);
    }
}

impl Ingest {
    /// An intake with nothing in flight.
    #[must_use]
    pub fn new(
        config: Config,
        secrets: Secrets,
        producer: Producer,
        metrics: Arc<Metrics>,
        hires: Arc<WrittenHires>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(config.max_in_flight));
        // Whatever one vehicle sends, the others have the other half.
        let shares = Shares::new(config.max_in_flight.div_ceil(2));
        Self {
            config,
            secrets,
            producer,
            metrics,
            permits,
            shares,
            hires,
        }
    }

    /// Judges a body of events that `vehicle` sent, or, without one, somebody who may speak of all.
    #[must_use]
    pub fn judge<E: Event>(&self, vehicle: Option<&str>, body: &[u8]) -> Judged<E> {
        let judge = Judge {
            vehicle,
            max_batch: self.config.max_batch,
            limits: &self.config.time_limits,
            key: &self.secrets.pseudonym_key,
            written: &self.hires,
        };
        E::judge(&judge, body, Timestamp::now())
    }

    /// Room for the events of a body, now or never.
    ///
    /// # Errors
    /// When too many are in flight, of this vehicle or of all.
    pub fn room_now<E>(&self, sender: &str, judged: &Judged<E>) -> Result<Room, StoreError> {
        let events = self.events(judged);
        let share = self.shares.take_now(sender, events);
        let share = share.ok_or(StoreError::OwnShare {
            limit: self.shares.most(),
        })?;
        let permit = Arc::clone(&self.permits)
            .try_acquire_many_owned(permits(events))
            .map_err(|_| self.busy())?;
        Ok(Room {
            _share: share,
            _permit: permit,
        })
    }

    /// Room for the events of a body as soon as there is; who asked first gets it first.
    ///
    /// # Errors
    /// Never while the gateway runs.
    pub async fn room(&self, vehicle: &str, judged: &Judged) -> Result<Room, StoreError> {
        let events = self.events(judged);
        // The vehicle's own share first: what waits for that must not hold room that others could use.
        let share = self.shares.take(vehicle, events).await;
        let share = share.ok_or_else(|| self.busy())?;
        let permit = Arc::clone(&self.permits)
            .acquire_many_owned(permits(events))
            .await
            .map_err(|_| self.busy())?;
        Ok(Room {
            _share: share,
            _permit: permit,
        })
    }

    fn busy(&self) -> StoreError {
        StoreError::Busy {
            limit: self.config.max_in_flight,
        }
    }

    // A body that is larger than the limit takes all of it.
    fn events<E>(&self, judged: &Judged<E>) -> usize {
        (judged.accepted.len() + judged.rejected.len()).min(self.config.max_in_flight)
    }

    /// Puts a judged body in line. Does not wait, so calls for one vehicle keep their order in Kafka. `body` is what was judged.
    ///
    /// # Errors
    /// When Kafka's client takes no more.
    pub fn put_in_line<E: Event>(
        &self,
        sender: Sender<'_>,
        body: &[u8],
        judged: Judged<E>,
        room: Room,
    ) -> Result<InLine, StoreError> {
        let Sender {
            vehicle,
            channel,
            since,
            trace,
        } = sender;
        // A mapping was removed since it was judged: if it was one of its hires, it has to be written down again.
        let judged = if judged.forgotten == self.hires.forgotten() {
            judged
        } else {
            self.judge::<E>(vehicle, body)
        };
        let Judged {
            accepted,
            rejected,
            hires,
            forgotten,
        } = judged;
        let mut deliveries = Vec::with_capacity(accepted.len() + rejected.len() + hires.len());
        // First: of an event that is stored it is known whose it is, or nobody could remove it later.
        for seen in &hires {
            let delivery = self
                .enqueue_hire(seen)
                .map_err(|e| self.refused(channel, &e))?;
            deliveries.push((delivery, None));
        }
        for event in &accepted {
            let (headers, payload) = (
                event.attributes().traced(Some(trace)).headers(),
                event.payload(),
            );
            let delivery = self
                .producer
                .enqueue(E::TOPIC, event.vehicle(), &headers, Some(&payload), None)
                .map_err(|e| self.refused(channel, &e))?;
            deliveries.push((delivery, None));
        }
        for letter in self.letters(vehicle, channel, body, &rejected)? {
            deliveries.push(self.enqueue_letter(channel, trace, &letter)?);
        }
        let counted = InFlight::new(&self.metrics, deliveries.len());
        let stored = Stored {
            accepted: accepted.len(),
            rejected,
        };
        Ok(InLine {
            deliveries,
            hires,
            forgotten,
            stored,
            _counted: counted,
            _room: room,
            since,
        })
    }

    fn enqueue_hire(&self, seen: &SeenHire) -> Result<Delivery, ConnectError> {
        // Writing this struct into memory cannot fail.
        let value = serde_json::to_vec(&seen.hire).unwrap_or_default();
        let headers = [("content-type".to_owned(), CONTENT_TYPE.to_owned())];
        self.producer
            .enqueue(topics::HIRES, &seen.pseudonym, &headers, Some(&value), None)
    }

    // With what is to be written instead if the broker does not take it, as the vehicle must get an answer.
    fn enqueue_letter(
        &self,
        channel: Channel,
        trace: TraceParent,
        letter: &Letter,
    ) -> Result<(Delivery, Option<LetterRecord>), StoreError> {
        let id = Uuid::new_v4().to_string();
        let headers = CloudEvent::of_dead_letter(&letter.full, id, SOURCE)
            .traced(Some(trace))
            .headers();
        // Where no vehicle is known, any partition will do.
        let vehicle = letter.full.vehicle.as_deref().unwrap_or_default();
        let record = |letter| {
            serde_json::to_vec(letter)
                .map(|payload| LetterRecord {
                    vehicle: vehicle.to_owned(),
                    headers: headers.clone(),
                    payload,
                })
                .map_err(|e| StoreError::Kafka(e.to_string()))
        };
        let cut = letter.cut.as_ref().map(record).transpose()?;
        match (self.write_letter(&record(&letter.full)?), cut) {
            (Ok(delivery), cut) => Ok((delivery, cut)),
            (Err(error), Some(cut)) if error.is_too_large() => {
                let delivery = self
                    .write_letter(&cut)
                    .map_err(|e| self.refused(channel, &e))?;
                Ok((delivery, None))
            }
            (Err(error), _) => Err(self.refused(channel, &error)),
        }
    }

    fn write_letter(&self, record: &LetterRecord) -> Result<Delivery, ConnectError> {
        self.producer.enqueue(
            topics::DEAD_LETTERS,
            &record.vehicle,
            &record.headers,
            Some(&record.payload),
            None,
        )
    }

    async fn written(
        &self,
        delivery: Delivery,
        instead: Option<LetterRecord>,
    ) -> Result<(), ConnectError> {
        match (delivery.acknowledged().await, instead) {
            (Err(error), Some(instead)) if error.is_too_large() => {
                self.write_letter(&instead)?.acknowledged().await?;
            }
            (result, _) => {
                result?;
            }
        }
        Ok(())
    }

    fn letters(
        &self,
        vehicle: Option<&str>,
        channel: Channel,
        body: &[u8],
        rejected: &[Rejected],
    ) -> Result<Vec<Letter>, StoreError> {
        if rejected.is_empty() {
            return Ok(Vec::new());
        }
        dead_letters(
            body,
            rejected,
            vehicle,
            channel,
            Timestamp::now(),
            &self.secrets.seal_key,
        )
        .map_err(|e| StoreError::Kafka(e.to_string()))
    }

    /// Waits for Kafka.
    ///
    /// # Errors
    /// When it does not acknowledge all of it in time. What it acknowledged stays; sent again, it is a
    /// duplicate, which the readers drop.
    pub async fn acknowledged(&self, line: InLine, channel: Channel) -> Result<Stored, StoreError> {
        let InLine {
            deliveries,
            hires,
            forgotten,
            stored,
            _counted,
            _room,
            since,
        } = line;
        let limit = Duration::from_millis(u64::from(self.config.kafka_timeout_ms));
        let all = deliveries
            .into_iter()
            .map(|(delivery, instead)| self.written(delivery, instead));
        let result = tokio::time::timeout(limit, try_join_all(all)).await;
        match result {
            Ok(Ok(_)) => {
                let written = hires.iter().map(|seen| seen.pseudonym.as_str());
                self.hires.add(written, forgotten);
                if stored.accepted > 0 {
                    self.metrics
                        .accepted(channel, stored.accepted, since.elapsed().as_secs_f64());
                }
                if !stored.rejected.is_empty() {
                    self.metrics
                        .refused(channel, Refusal::Invalid, stored.rejected.len());
                    self.metrics
                        .dead_letters
                        .inc_by(stored.rejected.len() as u64);
                }
                Ok(stored)
            }
            Ok(Err(error)) => Err(self.refused(channel, &error)),
            Err(_) => {
                self.metrics.refused(channel, Refusal::Kafka, 1);
                Err(StoreError::Kafka(format!(
                    "no acknowledgement in {} ms",
                    limit.as_millis()
                )))
            }
        }
    }

    fn refused(&self, channel: Channel, error: &ConnectError) -> StoreError {
        if error.is_queue_full() {
            self.metrics.refused(channel, Refusal::Busy, 1);
            return self.busy();
        }
        self.metrics.refused(channel, Refusal::Kafka, 1);
        tracing::warn!(%error, "events are not stored");
        StoreError::Kafka(error.to_string())
    }
}

fn permits(events: usize) -> u32 {
    u32::try_from(events).unwrap_or(u32::MAX)
}
