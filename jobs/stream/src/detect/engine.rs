//! From records to transactions.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_analytics::Detector;
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Alert, DeadLetter, Invalid, Kept, Payload, TraceParent, codec, trace};
use serde::Serialize;

use super::batch::{Batch, Limits};
use super::config::DetectConfig;
use super::metrics::Metrics;
use super::states::States;
use crate::connect::{ConnectError, Incoming, Kind, Membership, TransactionalProducer};

const SOURCE: &str = "/millrace/detect";

/// How often held events are looked after.
const TICK: Duration = Duration::from_secs(1);

/// The largest state in bytes: a topic takes 1 MiB by default. States are far smaller by construction; should
/// one not be, it must not hold up all other vehicles.
const LARGEST_STATE: usize = 900 << 10;

/// What went wrong with a transaction.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Kafka refused or failed.
    #[error(transparent)]
    Kafka(#[from] ConnectError),
    /// Something cannot be written as JSON.
    #[error("{what}: cannot be written as JSON: {source}")]
    Encode {
        /// What.
        what: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl EngineError {
    /// The producer is of no use any more.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Kafka(e) if e.kind() == Kind::Fatal)
    }
}

/// Processes records in memory, and commits what came of them: alerts, states, dead letters and offsets in
/// one transaction. Whatever happens in between, readers of committed records see all of it or nothing.
pub struct Engine {
    producer: TransactionalProducer,
    config: DetectConfig,
    detector: Detector,
    states: States,
    batch: Batch,
    places: HashMap<i32, Place>,
    ticked: Instant,
    metrics: Metrics,
}

// How far a partition is read.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    // The offset to read next; none before the first record of a group that has no offset yet.
    next: Option<i64>,
    at_end: bool,
    // The latest time in Kafka of what was read: all that came before it has been processed.
    read_to: Option<Timestamp>,
}

// Vehicle, partition and state of each that has changed; a state that is too large is to be removed.
type Written<'a> = Vec<(&'a str, i32, Option<Vec<u8>>)>;

impl Engine {
    /// An engine that owns nothing yet.
    #[must_use]
    pub fn new(
        producer: TransactionalProducer,
        config: DetectConfig,
        detector: Detector,
        metrics: Metrics,
    ) -> Self {
        Self {
            producer,
            config,
            detector,
            states: States::default(),
            batch: Batch::default(),
            places: HashMap::new(),
            ticked: Instant::now(),
            metrics,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            interval: self.config.flush_interval.0,
            events: self.config.flush_events,
        }
    }

    /// From now on these rules and zones are in force.
    pub fn set_detector(&mut self, detector: Detector) {
        self.states.note_all(&detector);
        self.detector = detector;
    }

    /// Takes over what was restored, and where reading goes on.
    pub fn install(&mut self, mut states: States, positions: &[(i32, Option<i64>)]) {
        states.note_all(&self.detector);
        self.batch = Batch::default();
        self.states = states;
        self.places = positions
            .iter()
            .map(|(partition, next)| {
                let place = Place {
                    next: *next,
                    ..Place::default()
                };
                (*partition, place)
            })
            .collect();
        self.count();
    }

    /// Forgets everything that is not committed, and all states.
    pub fn clear(&mut self) {
        self.install(States::default(), &[]);
    }

    /// Everything that lay in the partition has been processed.
    pub fn at_end(&mut self, partition: i32) {
        self.places.entry(partition).or_default().at_end = true;
    }

    /// Processes one record. For the wall clock of held events its time in Kafka counts, so that a backlog is
    /// judged as it would have been when it came in.
    pub fn process(&mut self, record: &Incoming<'_>) {
        let (partition, offset) = (record.partition(), record.offset());
        let written = record
            .timestamp_ms()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let place = self.places.entry(partition).or_default();
        place.next = Some(offset + 1);
        place.at_end = false;
        place.read_to = place.read_to.max(written);
        self.batch
            .reached(partition, offset, record.timestamp_ms(), Instant::now());
        self.metrics.events.inc();
        let now = Timestamp::now();
        match codec::decode(record.payload().unwrap_or_default()) {
            Ok(event) => {
                let arrived = written.map_or(now, |written| written.min(now));
                let detector = &self.detector;
                let alerts = self
                    .states
                    .with(detector, partition, &event.vehicle, |state| {
                        detector.observe(state, &event, arrived)
                    });
                self.batch.touched(partition, &event.vehicle);
                self.raise(alerts, Some(record), now);
            }
            Err(why) => {
                tracing::warn!(partition, offset, %why, "a record cannot be read");
                self.metrics.unreadable.inc();
                let letter = dead_letter(record, why, now);
                self.batch.dead.push(letter);
            }
        }
    }

    // The newest event raised them, whatever others have to do with it; none did where the clock has.
    fn raise(&mut self, alerts: Vec<Alert>, by: Option<&Incoming<'_>>, now: Timestamp) {
        for mut alert in alerts {
            alert.detected_at = now;
            let trace = by
                .and_then(|record| record.header(trace::HEADER)?.parse::<TraceParent>().ok())
                .map(|trace| trace.step(uuid::Uuid::new_v4().as_u64_pair().1));
            self.batch.alerts.push((alert, trace));
        }
    }

    /// Once a second: gives up missing events that others have waited for long enough. Only as far as what lies
    /// in Kafka has been processed, since the missing ones may lie there. Under load a partition is hardly ever at its
    /// end; there the time of what was read last tells how far that is.
    pub fn tick(&mut self) {
        if self.ticked.elapsed() < TICK {
            return;
        }
        self.ticked = Instant::now();
        let now = Timestamp::now();
        let places: Vec<(i32, Place)> = self.places.iter().map(|(p, at)| (*p, *at)).collect();
        for (partition, place) in places {
            // Without a place the transaction could not tell whether the partition is still ours.
            let clock = if place.at_end {
                Some(now)
            } else {
                place.read_to.map(|time| time.min(now))
            };
            let (Some(clock), Some(next)) = (clock, place.next) else {
                continue;
            };
            for vehicle in self.states.due(partition, clock) {
                let detector = &self.detector;
                let alerts = self.states.with(detector, partition, &vehicle, |state| {
                    detector.release(state, clock)
                });
                self.batch.stays(partition, next, self.ticked);
                self.batch.touched(partition, &vehicle);
                self.metrics.released.inc();
                self.raise(alerts, None, now);
            }
        }
        self.count();
    }

    fn count(&self) {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.vehicles.set(number(self.states.count()));
        self.metrics.waiting.set(number(self.states.waiting()));
    }

    /// How long the batch may still wait; none when there is nothing to commit.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.batch.wait(self.limits(), Instant::now())
    }

    /// Whether the batch must be committed now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.batch.is_due(self.limits(), Instant::now())
    }

    /// Commits the batch. After an error the transaction is aborted, and memory is ahead of Kafka: the
    /// caller must restore.
    ///
    /// # Errors
    /// Kafka refused or failed.
    pub fn flush(&mut self, member: &Membership) -> Result<(), EngineError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let batch = std::mem::take(&mut self.batch);
        let committed = self
            .written(&batch)
            .and_then(|states| self.commit(&batch, &states, member));
        if let Err(error) = committed {
            self.metrics.transaction_ended(false);
            if matches!(error, EngineError::Kafka(_)) && !error.is_fatal() {
                self.producer.abort()?;
            }
            return Err(error);
        }
        self.metrics.transaction_ended(true);
        self.metrics
            .transaction
            .observe(started.elapsed().as_secs_f64());
        self.measure(&batch);
        Ok(())
    }

    fn written<'a>(&mut self, batch: &'a Batch) -> Result<Written<'a>, EngineError> {
        let mut written = Vec::new();
        for (partition, vehicles) in &batch.changed {
            for vehicle in vehicles {
                let Some(value) = self.states.encoded(*partition, vehicle) else {
                    continue;
                };
                let value = value.map_err(|source| EngineError::Encode {
                    what: format!("state of {vehicle}"),
                    source,
                })?;
                if value.len() <= LARGEST_STATE {
                    written.push((vehicle.as_str(), *partition, Some(value)));
                    continue;
                }
                let bytes = value.len();
                tracing::error!(
                    vehicle,
                    bytes,
                    "the state is too large for its topic; the vehicle starts afresh"
                );
                self.metrics.states_too_large.inc();
                self.states.forget(*partition, vehicle);
                written.push((vehicle.as_str(), *partition, None));
            }
        }
        Ok(written)
    }

    fn commit(
        &self,
        batch: &Batch,
        states: &Written<'_>,
        member: &Membership,
    ) -> Result<(), EngineError> {
        let Self {
            producer, config, ..
        } = self;
        producer.begin()?;
        for (alert, trace) in &batch.alerts {
            let headers = CloudEvent::of_alert(alert, SOURCE).traced(*trace).headers();
            let value = json("alert", alert)?;
            producer.send(
                &config.alerts_topic,
                &alert.vehicle,
                &headers,
                Some(&value),
                None,
            )?;
        }
        for letter in &batch.dead {
            let id = uuid::Uuid::new_v4().to_string();
            let headers = CloudEvent::of_dead_letter(letter, id.clone(), SOURCE).headers();
            let value = json("dead letter", letter)?;
            let key = letter.vehicle.as_deref().unwrap_or(&id);
            producer.send(
                &config.dead_letters_topic,
                key,
                &headers,
                Some(&value),
                None,
            )?;
        }
        for (vehicle, partition, value) in states {
            let topic = &config.state_topic;
            producer.send(topic, vehicle, &[], value.as_deref(), Some(*partition))?;
        }
        producer.send_offsets(&config.telemetry_topic, &batch.next(), member)?;
        producer.commit()?;
        Ok(())
    }

    fn measure(&self, batch: &Batch) {
        let now = Timestamp::now();
        let now_ms = now.as_millisecond();
        #[allow(clippy::cast_precision_loss)] // milliseconds of delay are far below 2^52
        let seconds = |ms: i64| ms.max(0) as f64 / 1000.0;
        for time in batch.record_times() {
            self.metrics.delay.observe(seconds(now_ms - time));
        }
        for (alert, trace) in &batch.alerts {
            self.metrics.alert(alert);
            self.metrics
                .alert_delay
                .observe(seconds(now_ms - alert.event_time.as_millisecond()));
            let trace = trace.map(TraceParent::trace_id);
            tracing::info!(id = alert.id, severity = %alert.severity, text = alert.text, trace, "alert");
        }
        self.count();
    }
}

fn json(what: &str, value: &impl Serialize) -> Result<Vec<u8>, EngineError> {
    serde_json::to_vec(value).map_err(|source| EngineError::Encode {
        what: what.to_owned(),
        source,
    })
}

// What cannot be read may name a driver: the letter says where the record lies, it does not copy it.
fn dead_letter(record: &Incoming<'_>, why: Invalid, now: Timestamp) -> DeadLetter {
    let record = record.to_record();
    let bytes = record.payload.as_ref().map_or(0, Vec::len);
    DeadLetter {
        reason: why.into(),
        source_topic_or_channel: record.topic.clone(),
        vehicle: record
            .key_text()
            .filter(|v| millrace_contract::check_vehicle_id(v).is_ok())
            .map(str::to_owned),
        received_at: now,
        attempts: 1,
        payload: Payload::Clear(record.place(bytes)),
        kept: Some(Kept::Place),
        origin: Some(record.origin()),
    }
}
