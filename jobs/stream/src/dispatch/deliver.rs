//! One record to its end: success, dead letter, or given up because somebody else will do it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{DeadLetter, Payload, Reason, check_vehicle_id};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::body::body;
use super::config::DispatchConfig;
use super::metrics::{Metrics, Retry};
use super::whisk::{Answer, Whisk};
use crate::connect::{Producer, Record};
use crate::server::Health;

const SOURCE: &str = "/millrace/dispatch";
const OPENWHISK: &str = "openwhisk";
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The record is finished, one way or the other.
    Finished,
    /// Not finished; it will be read again.
    GivenUp,
}

/// Brings records to the action.
pub struct Deliverer {
    /// The platform.
    pub whisk: Whisk,
    /// For dead letters.
    pub producer: Producer,
    /// What is configured.
    pub config: DispatchConfig,
    /// Waiting times.
    pub backoff: Backoff,
    /// What is measured.
    pub metrics: Metrics,
    /// What is told of readiness.
    pub health: Health,
}

impl Deliverer {
    /// Tries until the record is finished, or `gone` says that it is no longer ours. An invocation under way
    /// is waited for even then.
    pub async fn deliver(&self, record: &Record, gone: &CancellationToken) -> Outcome {
        let body = match body(record) {
            Ok(body) => body,
            Err(why) => return self.dead_letter(record, None, why.into(), 0, gone).await,
        };
        let (mut failed, mut away) = (0_u32, 0_u32);
        loop {
            if gone.is_cancelled() {
                return Outcome::GivenUp;
            }
            let started = Instant::now();
            let mut answer = self.whisk.invoke(&body).await;
            if let Answer::Later(activation) = answer {
                answer = self.outcome_of(&activation, gone).await;
            }
            self.metrics
                .invocation
                .observe(started.elapsed().as_secs_f64());
            let wait = match answer {
                Answer::Succeeded => {
                    self.health.ready(OPENWHISK);
                    self.metrics.delivered.inc();
                    self.measure(record);
                    return Outcome::Finished;
                }
                Answer::Failed(why) => {
                    self.health.ready(OPENWHISK);
                    failed += 1;
                    away = 0;
                    self.log(record, &why, failed);
                    if failed >= self.config.attempts.0 {
                        let reason = self.exhausted(&why, failed);
                        return self
                            .dead_letter(record, Some(body), reason, failed, gone)
                            .await;
                    }
                    self.metrics.retry(Retry::Failed);
                    failed
                }
                Answer::Refused(why) => {
                    self.log(record, &why, failed + 1);
                    let reason = self.exhausted(&why, failed + 1);
                    return self
                        .dead_letter(record, Some(body), reason, failed + 1, gone)
                        .await;
                }
                Answer::NoSuchAction => {
                    away += 1;
                    let action = &self.config.action;
                    self.wait_for(
                        Retry::NoSuchAction,
                        format!("action {action} does not exist; create it"),
                        away,
                    );
                    away
                }
                Answer::Unavailable(why) => {
                    away += 1;
                    self.wait_for(Retry::Unavailable, why, away);
                    away
                }
                // Only while the activation is looked up, which ends in one of the others.
                Answer::Later(_) | Answer::NoRecordYet => return Outcome::GivenUp,
            };
            tokio::select! {
                () = gone.cancelled() => return Outcome::GivenUp,
                () = tokio::time::sleep(self.backoff.random_delay(wait)) => {}
            }
        }
    }

    // Until the record is there, nobody can say whether the action succeeded.
    async fn outcome_of(&self, activation: &str, gone: &CancellationToken) -> Answer {
        let until = Instant::now() + self.config.limits.activation_timeout.0;
        let mut pause = FIRST_LOOK;
        while Instant::now() < until {
            tokio::select! {
                () = gone.cancelled() => return Answer::NoRecordYet,
                () = tokio::time::sleep(pause) => {}
            }
            match self.whisk.activation(activation).await {
                Answer::NoRecordYet => {}
                Answer::Unavailable(why) => {
                    tracing::debug!(activation, why, "asking for the activation")
                }
                answer => return answer,
            }
            pause = (pause * 2).min(LONGEST_LOOK);
        }
        let limit = self.config.limits.activation_timeout.0;
        Answer::Failed(format!(
            "no record of activation {activation} after {limit:?}"
        ))
    }

    fn wait_for(&self, retry: Retry, why: String, times: u32) {
        self.metrics.retry(retry);
        // The first time and then ever more rarely: many records wait for one platform.
        if times.is_power_of_two() {
            tracing::warn!(why, times, "waiting for OpenWhisk");
        }
        self.health.waiting(OPENWHISK, why);
    }

    fn log(&self, record: &Record, why: &str, attempt: u32) {
        let Record {
            partition, offset, ..
        } = record;
        let action = &self.config.action;
        tracing::warn!(action, partition, offset, attempt, why, "the action failed");
    }

    fn exhausted(&self, why: &str, attempts: u32) -> Reason {
        Reason {
            field: Some("action".to_owned()),
            value: Some(self.config.action.clone()),
            problem: format!("failed {attempts} times, at last: {why}"),
            cure: "read the activation's record and logs, correct the action, then send the payload again".to_owned(),
        }
    }

    fn measure(&self, record: &Record) {
        let Some(then) = record.timestamp_ms else {
            return;
        };
        #[allow(clippy::cast_precision_loss)] // milliseconds of delay are far below 2^52
        let seconds = (Timestamp::now().as_millisecond() - then).max(0) as f64 / 1000.0;
        self.metrics.latency.observe(seconds);
    }

    async fn dead_letter(
        &self,
        record: &Record,
        body: Option<Value>,
        reason: Reason,
        attempts: u32,
        gone: &CancellationToken,
    ) -> Outcome {
        let Some(topic) = &self.config.dead_letter_topic else {
            tracing::error!(
                problem = reason.problem,
                offset = record.offset,
                "dropped: there is no deadLetterTopic"
            );
            self.metrics.dropped.inc();
            return Outcome::Finished;
        };
        let letter = letter(record, body, reason, attempts);
        let id = format!("{}/{}/{}", record.topic, record.partition, record.offset);
        let headers = CloudEvent::of_dead_letter(&letter, id.clone(), SOURCE).headers();
        let value = match serde_json::to_vec(&letter) {
            Ok(value) => value,
            Err(error) => {
                tracing::error!(%error, id, "dropped: the dead letter cannot be written as JSON");
                self.metrics.dropped.inc();
                return Outcome::Finished;
            }
        };
        let key = record.key_text().unwrap_or(&id);
        let mut failures = 0;
        loop {
            match self.producer.send(topic, key, &headers, &value, None).await {
                Ok(_) => {
                    self.metrics.dead_letters.inc();
                    return Outcome::Finished;
                }
                Err(error) => tracing::error!(%error, id, "the dead letter was not written"),
            }
            if let Some(why) = self.producer.fatal() {
                self.health.dead(why);
            }
            failures += 1;
            self.metrics.retry(Retry::DeadLetter);
            tokio::select! {
                () = gone.cancelled() => return Outcome::GivenUp,
                () = tokio::time::sleep(self.backoff.random_delay(failures)) => {}
            }
        }
    }
}

// What was sent is kept as it was sent; what could not be read may name a driver, so only its place is told.
fn letter(record: &Record, body: Option<Value>, reason: Reason, attempts: u32) -> DeadLetter {
    let place =
        || json!({"topic": record.topic, "partition": record.partition, "offset": record.offset});
    DeadLetter {
        reason,
        source_topic_or_channel: record.topic.clone(),
        vehicle: record
            .key_text()
            .filter(|v| check_vehicle_id(v).is_ok())
            .map(str::to_owned),
        received_at: Timestamp::now(),
        attempts,
        payload: Payload::Clear(body.unwrap_or_else(place)),
    }
}
