//! What has to change to make a topic as it is asked for. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use millrace_contract::Invalid;

use super::schema::BoundSchema;
use crate::remote::kafka::{ConfigEntry, ConfigSource, NewTopic, TopicView};
use crate::remote::pipeline::Plan;
use crate::topic::crd::TopicSchema;

/// How many copies in sync a partition must have to take records that all of them have to acknowledge.
const MIN_IN_SYNC: &str = "min.insync.replicas";

/// A topic as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTopic {
    /// Its name in Kafka.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas of each.
    pub replication_factor: i32,
    /// The settings that are ours.
    pub config: BTreeMap<String, String>,
    /// Settings that were ours before: those that left `config` are unset.
    pub managed: BTreeSet<String>,
    /// The schema that it is bound to, and the one that is asked for, where readers of this one do not understand records
    /// of the former.
    pub rebind: Option<(BoundSchema, BoundSchema)>,
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedTopic {
    /// Partitions and replicas.
    pub view: TopicView,
    /// How many copies its partitions have, or are on their way to have.
    pub copies: BTreeSet<i32>,
    /// All its settings.
    pub config: BTreeMap<String, ConfigEntry>,
    /// Whether it holds records; not looked at while no other schema is asked for.
    pub holds_records: bool,
}

/// One change of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicChange {
    /// There is none of that name.
    Create(NewTopic),
    /// It has too few partitions.
    AddPartitions {
        /// The topic.
        topic: String,
        /// How many it has.
        from: usize,
        /// How many it shall have.
        to: i32,
    },
    /// Its partitions have more or fewer copies.
    SetReplicationFactor {
        /// The topic.
        topic: String,
        /// How many they have.
        from: i32,
        /// How many they shall have.
        to: i32,
    },
    /// A setting has another value, or none.
    SetConfig {
        /// The topic.
        topic: String,
        /// The setting.
        key: String,
        /// The value set on the topic, if any.
        from: Option<String>,
        /// The value it shall have.
        to: String,
    },
    /// A setting that was ours is asked for no more.
    UnsetConfig {
        /// The topic.
        topic: String,
        /// The setting.
        key: String,
        /// The value it has.
        from: Option<String>,
    },
    /// Its records will be of another schema. Nothing changes in Kafka, which knows no schemas.
    Bind {
        /// The topic.
        topic: String,
        /// The schema that it was bound to.
        from: TopicSchema,
        /// The schema that it is bound to from now on.
        to: TopicSchema,
    },
}

impl fmt::Display for TopicChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicChange::Create(new) => {
                write!(
                    f,
                    "create topic {} with {} and {}",
                    new.name,
                    counted(i64::from(new.partitions), "partition"),
                    counted(i64::from(new.replication_factor), "replica"),
                )?;
                for (index, (key, value)) in new.config.iter().enumerate() {
                    write!(f, "{} {key}={value}", if index == 0 { "," } else { "" })?;
                }
                Ok(())
            }
            TopicChange::AddPartitions { topic, from, to } => write!(
                f,
                "topic {topic}: add partitions, {from} → {to} (new records of a key may land in another partition)"
            ),
            TopicChange::SetReplicationFactor { topic, from, to } => {
                write!(f, "topic {topic}: copies of each partition, {from} → {to}")
            }
            TopicChange::SetConfig {
                topic,
                key,
                from: Some(from),
                to,
            } => {
                write!(f, "topic {topic}: {key}: {from} → {to}")
            }
            TopicChange::SetConfig {
                topic,
                key,
                from: None,
                to,
            } => {
                write!(f, "topic {topic}: {key}: (default) → {to}")
            }
            TopicChange::UnsetConfig { topic, key, from } => write!(
                f,
                "topic {topic}: {key}: {} → (default)",
                from.as_deref().unwrap_or("(hidden)")
            ),
            TopicChange::Bind { topic, from, to } => {
                write!(f, "topic {topic}: schema: {} → {}", from.name(), to.name())
            }
        }
    }
}

fn counted(count: i64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Compares. Settings that were never ours are left alone.
#[must_use]
pub fn diff(wanted: &WantedTopic, observed: Option<&ObservedTopic>) -> Plan<TopicChange> {
    let mut plan = Plan::default();
    let Some(observed) = observed else {
        plan.changes.push(TopicChange::Create(NewTopic {
            name: wanted.name.clone(),
            partitions: wanted.partitions,
            replication_factor: i16::try_from(wanted.replication_factor).unwrap_or(i16::MAX),
            config: wanted.config.clone(),
        }));
        return plan;
    };
    compare_shape(wanted, &observed.view, &mut plan);
    compare_config(wanted, &observed.config, &mut plan);
    compare_schema(wanted, observed, &mut plan);
    compare_factor(wanted, observed, &mut plan);
    plan
}

/// A record is read by the schema that its topic is bound to. No schema of the data contract understands records of
/// another one, nor has to understand those of a later version: so a topic can be bound anew while it holds none.
fn compare_schema(wanted: &WantedTopic, observed: &ObservedTopic, plan: &mut Plan<TopicChange>) {
    let Some((from, to)) = &wanted.rebind else {
        return;
    };
    if observed.holds_records {
        plan.refused.push(to.refusal(from));
    } else if from.schema != to.schema {
        plan.changes.push(TopicChange::Bind {
            topic: wanted.name.clone(),
            from: from.schema,
            to: to.schema,
        });
    }
}

fn compare_shape(wanted: &WantedTopic, view: &TopicView, plan: &mut Plan<TopicChange>) {
    let has = view.partitions.len();
    match usize::try_from(wanted.partitions).unwrap_or(0) {
        more if more > has => plan.changes.push(TopicChange::AddPartitions {
            topic: wanted.name.clone(),
            from: has,
            to: wanted.partitions,
        }),
        fewer if fewer < has => plan.refused.push(Invalid::new(
            "spec.partitions",
            wanted.partitions.to_string(),
            format!("the topic has {has} partitions and Kafka cannot take any away"),
            format!("give {has} or more, or delete the topic and create it again"),
        )),
        _ => {}
    }
}

fn compare_factor(wanted: &WantedTopic, observed: &ObservedTopic, plan: &mut Plan<TopicChange>) {
    let mut copies = observed.copies.iter().copied();
    let Some(factor) = copies.find(|copies| *copies != wanted.replication_factor) else {
        return;
    };
    let in_sync = wanted
        .config
        .get(MIN_IN_SYNC)
        .cloned()
        .or_else(|| observed.config.get(MIN_IN_SYNC)?.value.clone());
    let needed = in_sync.and_then(|value| value.parse::<i32>().ok());
    // Where it is so already, nothing gets worse.
    if let Some(needed) = needed.filter(|n| *n > wanted.replication_factor && *n <= factor) {
        plan.refused.push(Invalid::new(
            "spec.replicationFactor",
            wanted.replication_factor.to_string(),
            format!("{MIN_IN_SYNC} is {needed}, so that nobody could write with acks=all"),
            format!("give {needed} or more, or lower spec.config[{MIN_IN_SYNC}] with it"),
        ));
        return;
    }
    plan.changes.push(TopicChange::SetReplicationFactor {
        topic: wanted.name.clone(),
        from: factor,
        to: wanted.replication_factor,
    });
}

fn compare_config(
    wanted: &WantedTopic,
    config: &BTreeMap<String, ConfigEntry>,
    plan: &mut Plan<TopicChange>,
) {
    // A default that happens to have our value is not ours: it could change under us.
    let set_on_topic = |key: &str| config.get(key).filter(|e| e.source == ConfigSource::Topic);
    for (key, to) in &wanted.config {
        let from = set_on_topic(key);
        if let Some(entry) = from
            && entry
                .value
                .as_deref()
                .is_none_or(|value| same_value(value, to))
        {
            // A sensitive value cannot be read back; topics have none today.
            continue;
        }
        plan.changes.push(TopicChange::SetConfig {
            topic: wanted.name.clone(),
            key: key.clone(),
            from: from.and_then(|entry| entry.value.clone()),
            to: to.clone(),
        });
    }
    for key in wanted
        .managed
        .iter()
        .filter(|key| !wanted.config.contains_key(*key))
    {
        if let Some(entry) = set_on_topic(key) {
            plan.changes.push(TopicChange::UnsetConfig {
                topic: wanted.name.clone(),
                key: key.clone(),
                from: entry.value.clone(),
            });
        }
    }
}

/// Whether Kafka takes two texts for the same value: it gives back `compact,delete` for `compact, delete`,
/// `true` for `TRUE` and `0.5` for `0.50`.
fn same_value(one: &str, other: &str) -> bool {
    let one: Vec<&str> = one.split(',').map(str::trim).collect();
    let other: Vec<&str> = other.split(',').map(str::trim).collect();
    one.len() == other.len() && one.iter().zip(&other).all(|(a, b)| same_part(a, b))
}

fn same_part(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    if ["true", "false"]
        .iter()
        .any(|word| one.eq_ignore_ascii_case(word))
    {
        return one.eq_ignore_ascii_case(other);
    }
    // Whole numbers are compared exactly: 2^63-1 ("no limit") and its neighbour are one and the same as floats.
    if let (Ok(a), Ok(b)) = (one.parse::<i64>(), other.parse::<i64>()) {
        return a == b;
    }
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
