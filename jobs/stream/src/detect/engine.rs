//! From records to transactions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_analytics::{Rules, observe};
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{DeadLetter, Invalid, Payload, codec};
use serde::Serialize;

use super::batch::{Batch, Limits};
use super::config::DetectConfig;
use super::metrics::Metrics;
use super::states::States;
use crate::connect::{ConnectError, Incoming, Kind, Membership, TransactionalProducer};

const SOURCE: &str = "/millrace/detect";

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
    rules: Arc<Rules>,
    states: States,
    batch: Batch,
    metrics: Metrics,
}

impl Engine {
    /// An engine that owns nothing yet.
    #[must_use]
    pub fn new(
        producer: TransactionalProducer,
        config: DetectConfig,
        rules: Arc<Rules>,
        metrics: Metrics,
    ) -> Self {
        Self {
            producer,
            config,
            rules,
            states: States::default(),
            batch: Batch::default(),
            metrics,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            interval: self.config.flush_interval.0,
            events: self.config.flush_events,
        }
    }

    /// From now on these rules are in force.
    pub fn set_rules(&mut self, rules: Arc<Rules>) {
        self.rules = rules;
    }

    /// Takes over what was restored.
    pub fn install(&mut self, states: States) {
        self.batch = Batch::default();
        self.states = states;
        self.metrics
            .vehicles
            .set(i64::try_from(self.states.count()).unwrap_or(i64::MAX));
    }

    /// Forgets everything that is not committed, and all states.
    pub fn clear(&mut self) {
        self.install(States::default());
    }

    /// Processes one record.
    pub fn process(&mut self, record: &Incoming<'_>) {
        let (partition, offset) = (record.partition(), record.offset());
        self.batch
            .reached(partition, offset, record.timestamp_ms(), Instant::now());
        self.metrics.events.inc();
        let now = Timestamp::now();
        match codec::decode(record.payload().unwrap_or_default()) {
            Ok(event) => {
                let rules = &self.rules;
                let alerts = self.states.with(partition, &event.vehicle, |state| {
                    observe(rules, state, &event, now)
                });
                self.batch.touched(partition, &event.vehicle);
                self.batch.alerts.extend(alerts);
            }
            Err(why) => {
                tracing::warn!(partition, offset, %why, "a record cannot be read");
                self.metrics.unreadable.inc();
                let letter = dead_letter(&self.config.telemetry_topic, record, why, now);
                self.batch.dead.push(letter);
            }
        }
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
        if self.batch.events() == 0 {
            return Ok(());
        }
        let started = Instant::now();
        let batch = std::mem::take(&mut self.batch);
        if let Err(error) = self.commit(&batch, member) {
            self.metrics.transaction_ended(false);
            if !error.is_fatal() {
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

    fn commit(&self, batch: &Batch, member: &Membership) -> Result<(), EngineError> {
        let Self {
            producer, config, ..
        } = self;
        producer.begin()?;
        for alert in &batch.alerts {
            let headers = CloudEvent::of_alert(alert, SOURCE).headers();
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
        for (partition, vehicles) in &batch.changed {
            for vehicle in vehicles {
                let Some(value) = self.states.encoded(*partition, vehicle) else {
                    continue;
                };
                let value = value.map_err(|source| EngineError::Encode {
                    what: format!("state of {vehicle}"),
                    source,
                })?;
                producer.send(
                    &config.state_topic,
                    vehicle,
                    &[],
                    Some(&value),
                    Some(*partition),
                )?;
            }
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
        for alert in &batch.alerts {
            self.metrics.alert(alert);
            self.metrics
                .alert_delay
                .observe(seconds(now_ms - alert.event_time.as_millisecond()));
            tracing::info!(id = alert.id, severity = %alert.severity, text = alert.text, "alert");
        }
        self.metrics
            .vehicles
            .set(i64::try_from(self.states.count()).unwrap_or(i64::MAX));
    }
}

fn json(what: &str, value: &impl Serialize) -> Result<Vec<u8>, EngineError> {
    serde_json::to_vec(value).map_err(|source| EngineError::Encode {
        what: what.to_owned(),
        source,
    })
}

// What cannot be read may name a driver: the letter says where the record lies, it does not copy it.
fn dead_letter(topic: &str, record: &Incoming<'_>, why: Invalid, now: Timestamp) -> DeadLetter {
    let vehicle = record
        .key()
        .and_then(|k| std::str::from_utf8(k).ok())
        .map(str::to_owned);
    DeadLetter {
        reason: why.into(),
        source_topic_or_channel: topic.to_owned(),
        vehicle: vehicle.filter(|v| millrace_contract::check_vehicle_id(v).is_ok()),
        received_at: now,
        attempts: 1,
        payload: Payload::Clear(serde_json::json!({
            "topic": topic,
            "partition": record.partition(),
            "offset": record.offset(),
        })),
    }
}
