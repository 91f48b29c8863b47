//! The configuration of `dispatch`.

use std::time::Duration;

use millrace_contract::Invalid;
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
    /// The action: `NAME` or `PACKAGE/NAME`.
    pub action: String,
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
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Names the first field that cannot be used.
    pub fn validate(&self) -> Result<(), Invalid> {
        for (field, value) in [
            ("topic", &self.topic),
            ("group", &self.group),
            ("action", &self.action),
        ] {
            if value.trim().is_empty() {
                return Err(Invalid::new(
                    field,
                    value,
                    "empty",
                    "name one in config.yaml",
                ));
            }
        }
        let fits = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_alphanumeric() || "_@.- ".contains(c))
        };
        let parts: Vec<&str> = self.action.split('/').collect();
        if parts.len() > 2 || !parts.iter().all(|p| fits(p)) {
            return Err(Invalid::new(
                "action",
                &self.action,
                "not the name of an action",
                "write NAME or PACKAGE/NAME; the namespace comes from the binding",
            ));
        }
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
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        type Change = fn(&mut DispatchConfig);
        let wrong: [(&str, Change); 5] = [
            ("topic", |c| c.topic.clear()),
            ("action", |c| c.action = "a/b/c".to_owned()),
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
