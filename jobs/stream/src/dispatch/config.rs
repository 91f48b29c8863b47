//! The configuration of `dispatch`.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use millrace_condition::{ALERT_FIELDS, AnyJson, Condition, Fields};
use millrace_contract::{Invalid, topics};
use serde::Deserialize;

use crate::duration::Span;

/// config.yaml of `dispatch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DispatchConfig {
    /// The topic whose records are brought.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Where the group has not read yet it starts with the first record of this time; with the oldest when absent.
    pub since: Option<Timestamp>,
    /// The action: `NAME` or `PACKAGE/NAME`. Either this or `trigger`.
    pub action: Option<String>,
    /// The trigger that is fired.
    pub trigger: Option<String>,
    /// Only records for which this SQL condition holds are brought; all when absent.
    pub filter: Option<String>,
    /// Several records in one invocation; each on its own when absent.
    pub batch: Option<BatchConfig>,
    /// The action's result may name the records of a batch that failed; only those are tried again.
    pub partial_failure: bool,
    /// A batch that fails is split in halves until the records that make it fail are alone.
    pub bisect: bool,
    /// Records older than this, by their event time, go to the dead letters.
    pub maximum_age_seconds: Option<u64>,
    /// Name of the OpenWhisk binding; the first one of type `openwhisk` when absent.
    pub openwhisk_binding: Option<String>,
    /// Where records go whose action keeps failing. Without it they are dropped with a log line.
    pub dead_letter_topic: Option<String>,
    /// How often an action may fail on a record. A platform that is away does not count.
    pub attempts: Attempts,
    /// Waiting times between attempts.
    pub backoff: BackoffConfig,
    /// Invocations under way at once.
    pub max_in_flight: InFlight,
    /// Time limits.
    pub limits: Limits,
}

/// How records are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct BatchConfig {
    /// So many records fill a batch.
    pub maximum_records: usize,
    /// The longest wait for more records, in milliseconds.
    pub window_milliseconds: u64,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            maximum_records: 1,
            window_milliseconds: 0,
        }
    }
}

/// What is invoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An action, and its record is waited for.
    Action(String),
    /// A trigger, and the records of all that it starts are waited for.
    Trigger(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action(name) => write!(f, "action {name}"),
            Self::Trigger(name) => write!(f, "trigger {name}"),
        }
    }
}

/// The most records in a batch.
const MOST_RECORDS: usize = 10_000;

/// The longest wait for a batch to fill.
const LONGEST_WINDOW: u64 = 300_000;

/// How often an action may fail on a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Attempts(pub u32);

impl Default for Attempts {
    fn default() -> Self {
        Self(5)
    }
}

/// Invocations under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct InFlight(pub usize);

impl Default for InFlight {
    fn default() -> Self {
        Self(16)
    }
}

/// Waiting times between attempts; each is twice the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct BackoffConfig {
    /// Before the second attempt, in milliseconds.
    pub initial_milliseconds: u64,
    /// The longest, in milliseconds.
    pub maximum_milliseconds: u64,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            initial_milliseconds: 200,
            maximum_milliseconds: 30_000,
        }
    }
}

/// Time limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// The longest wait for the answer to an invocation; OpenWhisk itself answers within 60 s.
    pub invoke_timeout: Span,
    /// How long the record of an activation that was answered late is waited for.
    pub activation_timeout: Span,
    /// After that long without a sign of life a member's partitions go to others.
    pub session_timeout: Span,
    /// How long invocations under way may go on when the job stops or gives partitions away.
    pub drain_timeout: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            invoke_timeout: Span::seconds(75),
            activation_timeout: Span::seconds(600),
            session_timeout: Span::seconds(10),
            drain_timeout: Span::seconds(10),
        }
    }
}

impl DispatchConfig {
    /// What is invoked.
    ///
    /// # Errors
    /// Neither or both are named, or the name cannot be one.
    pub fn target(&self) -> Result<Target, Invalid> {
        let (field, name, most, target) = match (&self.action, &self.trigger) {
            (Some(name), None) => ("action", name, 2, Target::Action(name.clone())),
            (None, Some(name)) => ("trigger", name, 1, Target::Trigger(name.clone())),
            (None, None) => {
                return Err(Invalid::new(
                    "action",
                    "",
                    "neither action nor trigger is named",
                    "name one of them",
                ));
            }
            (Some(_), Some(trigger)) => {
                return Err(Invalid::new(
                    "trigger",
                    trigger,
                    "action is named, too",
                    "remove one of them; a Rule brings a trigger to further actions",
                ));
            }
        };
        let fits = |part: &str| {
            !part.trim().is_empty()
                && part
                    .chars()
                    .all(|c| c.is_alphanumeric() || "_@.- ".contains(c))
        };
        let parts: Vec<&str> = name.split('/').collect();
        if parts.len() > most || !parts.iter().all(|p| fits(p)) {
            return Err(Invalid::new(
                field,
                name,
                format!(
                    "not the name of {}",
                    if most == 2 { "an action" } else { "a trigger" }
                ),
                "write NAME (an action may be PACKAGE/NAME); the namespace comes from the binding",
            ));
        }
        Ok(target)
    }

    /// The condition of `filter`.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn condition(&self) -> Result<Option<Condition>, Invalid> {
        let Some(filter) = &self.filter else {
            return Ok(None);
        };
        let fields: &dyn Fields = match self.topic.as_str() {
            topics::ALERTS => &ALERT_FIELDS,
            _ => &AnyJson,
        };
        Condition::compile(filter, fields).map(Some).map_err(|e| {
            Invalid::new(
                "filter",
                filter,
                e.to_string(),
                "write a condition such as severity = 'critical' AND zone IS NULL",
            )
        })
    }

    fn validate_batch(&self) -> Result<(), Invalid> {
        let within = |field: &str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Invalid::new(
                field,
                value.to_string(),
                format!("not between {low} and {high}"),
                "choose a number in between",
            ))
        };
        if let Some(batch) = &self.batch {
            let records = batch.maximum_records as u64;
            within("batch.maximumRecords", records, 1, MOST_RECORDS as u64)?;
            let window = batch.window_milliseconds;
            within("batch.windowMilliseconds", window, 0, LONGEST_WINDOW)?;
        }
        if let Some(age) = self.maximum_age_seconds {
            within("maximumAgeSeconds", age, 1, 31_536_000)?;
        }
        for (field, set) in [
            ("partialFailure", self.partial_failure),
            ("bisect", self.bisect),
        ] {
            if set && self.batch.is_none() {
                return Err(Invalid::new(
                    field,
                    "true",
                    "there is no batch that could fail in part",
                    "add batch: {maximumRecords: …}, or remove it",
                ));
            }
        }
        if self.partial_failure && self.trigger.is_some() {
            return Err(Invalid::new(
                "partialFailure",
                "true",
                "a trigger may start several actions, which have no common result",
                "name an action instead of the trigger, or use bisect",
            ));
        }
        Ok(())
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Names the first field that cannot be used.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (field, value) in [("topic", &self.topic), ("group", &self.group)] {
            if value.trim().is_empty() {
                return Err(Invalid::new(
                    field,
                    value,
                    "empty",
                    "name one in config.yaml",
                ));
            }
        }
        self.target()?;
        self.condition()?;
        self.validate_batch()?;
        if self.dead_letter_topic.as_ref() == Some(&self.topic) {
            return Err(Invalid::new(
                "deadLetterTopic",
                &self.topic,
                "the same as topic: a record that fails would come back for ever",
                "name another topic",
            ));
        }
        if self.attempts.0 == 0 {
            return Err(Invalid::new(
                "attempts",
                "0",
                "nothing would ever be tried",
                "give 1 or more",
            ));
        }
        if self.max_in_flight.0 == 0 {
            return Err(Invalid::new(
                "maxInFlight",
                "0",
                "nothing would ever be tried",
                "give 1 or more",
            ));
        }
        let BackoffConfig {
            initial_milliseconds: initial,
            maximum_milliseconds: maximum,
        } = self.backoff;
        if initial == 0 || initial > maximum {
            return Err(Invalid::new(
                "backoff.initialMilliseconds",
                initial.to_string(),
                format!("not between 1 and maximumMilliseconds, {maximum}"),
                "lower it or raise maximumMilliseconds",
            ));
        }
        if self.limits.session_timeout.0 < Duration::from_secs(6) {
            return Err(Invalid::new(
                "limits.sessionTimeout",
                format!("{:?}", self.limits.session_timeout.0),
                "below 6s, which brokers refuse by default",
                "give 6s or more",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> DispatchConfig {
        serde_yaml_ng::from_str("{topic: alerts, group: dispatch-warnings, action: warn-driver}")
            .unwrap()
    }

    #[test]
    fn defaults_fill_in() {
        let config = good();
        config.validate().unwrap();
        assert_eq!((config.attempts.0, config.max_in_flight.0), (5, 16));
        assert_eq!(config.target().unwrap().to_string(), "action warn-driver");
        assert!(config.condition().unwrap().is_none());
    }

    #[test]
    fn everything_can_be_written() {
        let text = "{topic: alerts, group: g, trigger: late, filter: \"zone IS NULL AND severity = 'critical'\", \
                    batch: {maximumRecords: 50, windowMilliseconds: 200}, bisect: true, maximumAgeSeconds: 3600}";
        let config: DispatchConfig = serde_yaml_ng::from_str(text).unwrap();
        config.validate().unwrap();
        assert_eq!(config.target().unwrap(), Target::Trigger("late".to_owned()));
        assert!(config.condition().unwrap().is_some());
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        type Change = fn(&mut DispatchConfig);
        let wrong: [(&str, Change); 14] = [
            ("topic", |c| c.topic.clear()),
            ("action", |c| c.action = Some("a/b/c".to_owned())),
            ("action", |c| c.action = None),
            ("trigger", |c| c.trigger = Some("t".to_owned())),
            ("trigger", |c| {
                c.action = None;
                c.trigger = Some("p/t".to_owned());
            }),
            ("filter", |c| c.filter = Some("severity = ".to_owned())),
            ("batch.maximumRecords", |c| {
                c.batch = Some(BatchConfig {
                    maximum_records: 0,
                    ..BatchConfig::default()
                });
            }),
            ("maximumAgeSeconds", |c| c.maximum_age_seconds = Some(0)),
            ("partialFailure", |c| c.partial_failure = true),
            ("bisect", |c| c.bisect = true),
            ("partialFailure", |c| {
                c.action = None;
                c.trigger = Some("t".to_owned());
                c.batch = Some(BatchConfig::default());
                c.partial_failure = true;
            }),
            ("deadLetterTopic", |c| {
                c.dead_letter_topic = Some("alerts".to_owned())
            }),
            ("attempts", |c| c.attempts = Attempts(0)),
            ("backoff.initialMilliseconds", |c| {
                c.backoff.initial_milliseconds = 60_000
            }),
        ];
        for (field, change) in wrong {
            let mut config = good();
            change(&mut config);
            assert_eq!(config.validate().unwrap_err().field, field);
        }
    }
}
