//! The configuration of `detect`.

use std::time::Duration;

use millrace_analytics::Rules;
use millrace_contract::{Invalid, topics};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::zone_files::ZonesConfig;
use crate::duration::Span;

/// config.yaml of `detect`. Only `rules` and `zones` are read again while the job runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DetectConfig {
    /// The consumer group.
    pub group: String,
    /// Where telemetry is read.
    pub telemetry_topic: String,
    /// Where alerts go.
    pub alerts_topic: String,
    /// What is remembered of each vehicle; compacted, with as many partitions as the telemetry.
    pub state_topic: String,
    /// Where records go that cannot be read.
    pub dead_letters_topic: String,
    /// The longest time that events wait for their transaction. An alert does not wait.
    pub flush_interval: Span,
    /// So many events fill a transaction.
    pub flush_events: usize,
    /// After that long without a sign of life a member's partitions go to others.
    pub session_timeout: Span,
    /// After that long the broker ends the transaction of a process that went away.
    pub transaction_timeout: Span,
    /// How often the files are looked at for new rules and zones.
    pub reload_interval: Span,
    /// Rules and thresholds, as [`Rules::from_value`] takes them.
    pub rules: Value,
    /// Files with zones.
    pub zones: ZonesConfig,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            group: "detect".to_owned(),
            telemetry_topic: topics::TELEMETRY.to_owned(),
            alerts_topic: topics::ALERTS.to_owned(),
            state_topic: topics::DETECT_STATE.to_owned(),
            dead_letters_topic: topics::DEAD_LETTERS.to_owned(),
            flush_interval: Span::milliseconds(200),
            flush_events: 5_000,
            session_timeout: Span::seconds(10),
            transaction_timeout: Span::seconds(15),
            reload_interval: Span::seconds(2),
            rules: Value::Null,
            zones: ZonesConfig::default(),
        }
    }
}

impl DetectConfig {
    /// The section `rules`, empty where it is left out.
    #[must_use]
    pub fn rules_value(&self) -> Value {
        match &self.rules {
            Value::Null => Value::Object(Map::new()),
            rules => rules.clone(),
        }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Names the first field that cannot be used.
    pub fn validate(&self) -> Result<(), Invalid> {
        let names = [
            ("group", &self.group),
            ("telemetryTopic", &self.telemetry_topic),
            ("alertsTopic", &self.alerts_topic),
            ("stateTopic", &self.state_topic),
            ("deadLettersTopic", &self.dead_letters_topic),
        ];
        for (field, value) in names {
            if value.trim().is_empty() {
                return Err(Invalid::new(
                    field,
                    value,
                    "empty",
                    "give a name, or leave the field out",
                ));
            }
        }
        let within = |field: &str, span: Span, low: Duration, high: Duration| {
            if span.0 < low || span.0 > high {
                return Err(Invalid::new(
                    field,
                    format!("{:?}", span.0),
                    format!("not between {low:?} and {high:?}"),
                    "choose a time in between",
                ));
            }
            Ok(())
        };
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        within("flushInterval", self.flush_interval, ms(1), s(5))?;
        within("sessionTimeout", self.session_timeout, s(6), s(300))?;
        within("transactionTimeout", self.transaction_timeout, s(5), s(600))?;
        within("reloadInterval", self.reload_interval, ms(100), s(3600))?;
        if self.flush_events == 0 {
            return Err(Invalid::new(
                "flushEvents",
                "0",
                "no transaction would ever fill",
                "give 1 or more",
            ));
        }
        Rules::from_value(self.rules_value()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_unknown_fields_are_refused() {
        DetectConfig::default().validate().unwrap();
        let read: DetectConfig = serde_yaml_ng::from_str("flushInterval: 50ms\n").unwrap();
        assert_eq!(read.flush_interval, Span::milliseconds(50));
        let e = serde_yaml_ng::from_str::<DetectConfig>("flushIntervall: 50ms\n")
            .unwrap_err()
            .to_string();
        assert!(e.contains("flushIntervall"), "{e}");
    }

    #[test]
    fn a_session_below_the_brokers_minimum_is_refused() {
        let config = DetectConfig {
            session_timeout: Span::seconds(1),
            ..DetectConfig::default()
        };
        assert_eq!(config.validate().unwrap_err().field, "sessionTimeout");
    }
}
