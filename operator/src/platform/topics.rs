//! The topics of a platform. Pure.

use std::collections::BTreeMap;

use millrace_contract::topics;

use crate::topic::crd::TopicSchema;
use crate::types::Quantity;

const WEEK_MILLISECONDS: &str = "604800000";
/// 90 days.
const QUARTER_MILLISECONDS: &str = "7776000000";
const MEBIBYTE: u64 = 1024 * 1024;

/// A topic of the platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its name in Kafka.
    pub name: &'static str,
    /// What its records are.
    pub schema: TopicSchema,
    /// How many partitions it has.
    pub partitions: i32,
    /// Its settings.
    pub config: BTreeMap<String, String>,
}

/// All topics, for a node's volume of this size.
///
/// Telemetry may take half of the volume and the other logs a sixth together, so that the volume does not fill while
/// retention by time would still allow it.
#[must_use]
pub fn topics(partitions: i32, volume: &Quantity) -> Vec<Topic> {
    let volume = volume.bytes().unwrap_or(1024 * MEBIBYTE);
    let each = |share: u64| {
        (volume / share / u64::try_from(partitions).unwrap_or(1).max(1)).max(16 * MEBIBYTE)
    };
    let log = |name, schema, partitions, bytes: u64| Topic {
        name,
        schema,
        partitions,
        config: settings([
            ("cleanup.policy", "delete".into()),
            ("retention.ms", WEEK_MILLISECONDS.into()),
            ("retention.bytes", bytes.to_string()),
            // Whole segments are removed: small ones keep a small limit.
            (
                "segment.bytes",
                (bytes / 4).clamp(4 * MEBIBYTE, 512 * MEBIBYTE).to_string(),
            ),
        ]),
    };
    let table = |name, schema, partitions| Topic {
        name,
        schema,
        partitions,
        config: settings([
            ("cleanup.policy", "compact".into()),
            ("min.cleanable.dirty.ratio", "0.1".into()),
            ("segment.bytes", (16 * MEBIBYTE).to_string()),
            ("delete.retention.ms", "86400000".into()),
        ]),
    };
    let mut dead_letters = log(
        topics::DEAD_LETTERS,
        TopicSchema::DeadLetter,
        partitions,
        each(32),
    );
    // A dead letter holds the whole event or record, which may itself be as large as Kafka's default allows.
    dead_letters
        .config
        .insert("max.message.bytes".into(), (2 * MEBIBYTE).to_string());
    let mut vehicle_events = log(
        topics::VEHICLE_EVENTS,
        TopicSchema::VehicleEvent,
        partitions,
        each(32),
    );
    // They are few, and lifetimes are counted in months.
    vehicle_events
        .config
        .insert("retention.ms".into(), QUARTER_MILLISECONDS.into());
    vec![
        log(
            topics::TELEMETRY,
            TopicSchema::Telemetry,
            partitions,
            each(2),
        ),
        vehicle_events,
        log(topics::ALERTS, TopicSchema::Alert, partitions, each(32)),
        log(
            topics::NOTIFICATIONS,
            TopicSchema::Notification,
            partitions,
            each(32),
        ),
        dead_letters,
        log(
            topics::AUDIT,
            TopicSchema::Audit,
            1,
            (volume / 32).max(16 * MEBIBYTE),
        ),
        log(
            topics::HIRE_SCORES,
            TopicSchema::HireScore,
            partitions,
            each(64),
        ),
        log(topics::OFFERS, TopicSchema::Offer, partitions, each(64)),
        table(topics::HIRES, TopicSchema::Hire, partitions),
        table(topics::DRIVERS, TopicSchema::Driver, partitions),
        // As many partitions as telemetry: a vehicle's state lies in the partition of its telemetry.
        table(topics::DETECT_STATE, TopicSchema::DetectState, partitions),
        table(topics::NOTIFIED, TopicSchema::Notified, partitions),
        table(
            topics::VEHICLE_CREDENTIALS,
            TopicSchema::VehicleCredential,
            1,
        ),
        // One partition: of two sessions of a vehicle the later record is the newer one.
        table(topics::VEHICLE_SESSIONS, TopicSchema::VehicleSession, 1),
    ]
}

fn settings<const N: usize>(entries: [(&str, String); N]) -> BTreeMap<String, String> {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_of_the_contract_is_there_and_compacted_where_it_says_so() {
        let all = topics(3, &"2Gi".into());
        assert_eq!(all.len(), topics::ALL.len());
        for (name, compacted) in topics::ALL {
            let topic = all.iter().find(|topic| topic.name == *name).unwrap();
            assert_eq!(
                topic.config["cleanup.policy"] == "compact",
                *compacted,
                "{name}"
            );
        }
    }

    #[test]
    fn logs_leave_room_on_the_volume() {
        let volume = Quantity::from("2Gi");
        let sum: u64 = topics(3, &volume)
            .iter()
            .filter_map(|topic| {
                Some(
                    topic.config.get("retention.bytes")?.parse::<u64>().unwrap()
                        * u64::try_from(topic.partitions).unwrap(),
                )
            })
            .sum();
        assert!(sum < volume.bytes().unwrap() * 3 / 4, "{sum}");
    }

    #[test]
    fn a_dead_letter_may_hold_the_largest_record() {
        let all = topics(3, &"2Gi".into());
        let largest = |name| {
            let topic = all.iter().find(|topic| topic.name == name).unwrap();
            topic.config.get("max.message.bytes").cloned()
        };
        assert_eq!(largest(topics::DEAD_LETTERS).as_deref(), Some("2097152"));
        assert_eq!(largest(topics::ALERTS), None);
    }

    #[test]
    fn state_lies_beside_telemetry() {
        let all = topics(7, &"2Gi".into());
        let partitions = |name| {
            all.iter()
                .find(|topic| topic.name == name)
                .unwrap()
                .partitions
        };
        assert_eq!(
            partitions(topics::TELEMETRY),
            partitions(topics::DETECT_STATE)
        );
    }
}
