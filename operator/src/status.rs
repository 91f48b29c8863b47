//! Conditions and the status that every custom resource has in common.

use jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The thing works for those who use it.
pub const AVAILABLE: &str = "Available";
/// Something is being brought about: a start, a roll-out, a change inside a system.
pub const PROGRESSING: &str = "Progressing";
/// Something is wrong that does not go away by itself, or not soon; what ran goes on where it can.
pub const DEGRADED: &str = "Degraded";
/// Reconciling is switched off by `spec.paused`.
pub const PAUSED: &str = "Paused";
/// A volume runs full.
pub const DISK_PRESSURE: &str = "DiskPressure";
/// There are no pods, because `spec.stopped` asks for it.
pub const STOPPED: &str = "Stopped";

/// False where copies of a Platform are not spread over racks because the operator cannot see them; else it is absent.
pub const RACKS_KNOWN: &str = "RacksKnown";

/// Kubernetes allows 32,768 characters; nobody reads more than this.
const MESSAGE_MAX: usize = 4096;

/// One aspect of the state of an object, in the usual form of Kubernetes.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The aspect: Available, Progressing, Degraded, Paused, Stopped, DiskPressure or RacksKnown.
    #[serde(rename = "type")]
    #[schemars(length(max = 64))]
    pub type_: String,
    /// True, False or Unknown.
    #[schemars(length(max = 8))]
    pub status: String,
    /// The generation of the object that this was said of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` last changed (RFC 3339).
    #[schemars(length(max = 64))]
    pub last_transition_time: String,
    /// One word for programs.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// One sentence for people; on bad input it names field, value and cure.
    #[schemars(length(max = 4096))]
    pub message: String,
}

/// Sets a condition; the transition time changes only when the status does.
/// Returns whether the status flipped, which is when an event is worth sending.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
) -> bool {
    let status = if status { "True" } else { "False" };
    let message = told(message);
    match conditions.iter_mut().find(|c| c.type_ == type_) {
        Some(condition) => {
            let flipped = condition.status != status;
            if flipped {
                condition.last_transition_time = now();
                condition.status = status.to_owned();
            }
            condition.observed_generation = generation;
            condition.reason = reason.to_owned();
            condition.message = message;
            flipped
        }
        None => {
            conditions.push(Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                observed_generation: generation,
                last_transition_time: now(),
                reason: reason.to_owned(),
                message,
            });
            true
        }
    }
}

/// A message of somebody else, as long as a status takes it: a longer one would make all of the status be refused.
#[must_use]
pub fn told(message: &str) -> String {
    message.chars().take(MESSAGE_MAX).collect()
}

/// Whether a condition is there and True.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    conditions
        .iter()
        .any(|c| c.type_ == type_ && c.status == "True")
}

/// The message of a condition, if it is there.
#[must_use]
pub fn message_of<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a str> {
    conditions
        .iter()
        .find(|c| c.type_ == type_)
        .map(|c| c.message.as_str())
}

fn now() -> String {
    // Whole seconds, as Kubernetes itself writes them.
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What the status of every kind has, so that shared code can read and set it.
pub trait ConditionedStatus: Default + Clone + PartialEq + Serialize {
    /// The conditions.
    fn conditions(&self) -> &Vec<Condition>;
    /// The conditions, to change.
    fn conditions_mut(&mut self) -> &mut Vec<Condition>;
    /// Notes the generation that was looked at.
    fn set_observed_generation(&mut self, generation: Option<i64>);
}

/// A custom resource with such a status.
pub trait Conditioned {
    /// The status type.
    type Status: ConditionedStatus;
    /// The status as it was read.
    fn status_ref(&self) -> Option<&Self::Status>;
    /// Whether reconciling is switched off for it.
    fn paused(&self) -> bool;
}

/// Implements [`Conditioned`] and [`ConditionedStatus`] for a kind and its status.
#[macro_export]
macro_rules! conditioned {
    ($kind:ty, $status:ty) => {
        impl $crate::status::ConditionedStatus for $status {
            fn conditions(&self) -> &Vec<$crate::status::Condition> {
                &self.conditions
            }
            fn conditions_mut(&mut self) -> &mut Vec<$crate::status::Condition> {
                &mut self.conditions
            }
            fn set_observed_generation(&mut self, generation: Option<i64>) {
                self.observed_generation = generation;
            }
        }
        impl $crate::status::Conditioned for $kind {
            type Status = $status;
            fn status_ref(&self) -> Option<&$status> {
                self.status.as_ref()
            }
            fn paused(&self) -> bool {
                self.spec.paused
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_time_is_stable_while_nothing_flips() {
        let mut conditions = Vec::new();
        assert!(set_condition(
            &mut conditions,
            AVAILABLE,
            false,
            "Starting",
            "one",
            Some(1)
        ));
        conditions[0].last_transition_time = "2026-01-01T00:00:00Z".into();
        assert!(!set_condition(
            &mut conditions,
            AVAILABLE,
            false,
            "Starting",
            "two",
            Some(2)
        ));
        assert_eq!(conditions[0].last_transition_time, "2026-01-01T00:00:00Z");
        assert_eq!(conditions[0].message, "two");
        assert!(set_condition(
            &mut conditions,
            AVAILABLE,
            true,
            "Ready",
            "",
            Some(2)
        ));
        assert_ne!(conditions[0].last_transition_time, "2026-01-01T00:00:00Z");
        assert!(is_true(&conditions, AVAILABLE));
        assert!(!is_true(&conditions, DEGRADED));
    }

    #[test]
    fn long_messages_are_cut() {
        let mut conditions = Vec::new();
        set_condition(
            &mut conditions,
            DEGRADED,
            true,
            "Bad",
            &"ä".repeat(10_000),
            None,
        );
        assert_eq!(conditions[0].message.chars().count(), MESSAGE_MAX);
    }
}
