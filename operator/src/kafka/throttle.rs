//! How replicas that move are throttled: lists of them on topics, and a rate on all brokers. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::placement::Targets;
use super::view::View;
use crate::remote::kafka::{ConfigChange, ConfigEntry, ConfigSource, TopicSettings};

/// On a topic: replicas whose sending is throttled.
pub const LEADERS: &str = "leader.replication.throttled.replicas";
/// On a topic: replicas whose fetching is throttled.
pub const FOLLOWERS: &str = "follower.replication.throttled.replicas";
/// On brokers: bytes per second that throttled replicas send.
pub const LEADER_RATE: &str = "leader.replication.throttled.rate";
/// On brokers: bytes per second that throttled replicas fetch.
pub const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";

/// The replicas to throttle, by topic: what sends, and what fetches.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Throttled {
    /// Replicas that are copied from, as `partition:broker`.
    pub leaders: BTreeSet<(i32, i32)>,
    /// Replicas that are being made.
    pub followers: BTreeSet<(i32, i32)>,
}

/// What has to be throttled for what moves and what begins to. Replicas in sync are never slowed down by it.
#[must_use]
pub fn throttled(view: &View, batch: &Targets) -> BTreeMap<String, Throttled> {
    let mut all: BTreeMap<String, Throttled> = BTreeMap::new();
    for moving in &view.reassignments {
        let of_topic = all.entry(moving.at.topic.clone()).or_default();
        for id in &moving.replicas {
            let list = if moving.adding.contains(id) {
                &mut of_topic.followers
            } else {
                &mut of_topic.leaders
            };
            list.insert((moving.at.partition, *id));
        }
    }
    for (topic, partition) in view.partitions() {
        let Some((at, to)) = batch
            .iter()
            .find(|(at, _)| at.topic == topic.name && at.partition == partition.index)
        else {
            continue;
        };
        let new: Vec<i32> = to
            .iter()
            .copied()
            .filter(|id| !partition.replicas.contains(id))
            .collect();
        if new.is_empty() {
            continue;
        }
        let of_topic = all.entry(at.topic.clone()).or_default();
        let from = partition.replicas.iter().map(|id| (at.partition, *id));
        of_topic.leaders.extend(from);
        of_topic
            .followers
            .extend(new.iter().map(|id| (at.partition, *id)));
    }
    all.retain(|_, throttled| !throttled.followers.is_empty());
    all
}

/// The changes of topics that bring the lists of throttled replicas about. Topics that are not to be throttled lose them.
#[must_use]
pub fn list_changes(
    wanted: &BTreeMap<String, Throttled>,
    settings: &TopicSettings,
) -> BTreeMap<String, Vec<ConfigChange>> {
    let none = Throttled::default();
    let mut all = BTreeMap::new();
    for (topic, has) in settings {
        let wanted = wanted.get(topic).unwrap_or(&none);
        let changes: Vec<ConfigChange> =
            [(LEADERS, &wanted.leaders), (FOLLOWERS, &wanted.followers)]
                .into_iter()
                .filter_map(|(key, list)| {
                    let text = list_text(list);
                    let set = has
                        .get(key)
                        .filter(|entry| entry.source == ConfigSource::Topic)
                        .and_then(|entry| entry.value.as_deref())
                        .filter(|value| !value.is_empty());
                    match (text.is_empty(), set) {
                        (true, None) => None,
                        (true, Some(_)) => Some(ConfigChange::Unset(key.to_owned())),
                        (false, Some(set)) if set == text => None,
                        (false, _) => Some(ConfigChange::Set(key.to_owned(), text)),
                    }
                })
                .collect();
        if !changes.is_empty() {
            all.insert(topic.clone(), changes);
        }
    }
    all
}

fn list_text(list: &BTreeSet<(i32, i32)>) -> String {
    let parts: Vec<String> = list
        .iter()
        .map(|(partition, broker)| format!("{partition}:{broker}"))
        .collect();
    parts.join(",")
}

/// The changes of all brokers that bring a rate about, or take it away.
#[must_use]
pub fn rate_changes(
    rate: Option<u64>,
    settings: &BTreeMap<String, ConfigEntry>,
) -> Vec<ConfigChange> {
    [LEADER_RATE, FOLLOWER_RATE]
        .into_iter()
        .filter_map(|key| {
            let set = settings.get(key).and_then(|entry| entry.value.clone());
            match rate.map(|rate| rate.to_string()) {
                Some(rate) if set.as_ref() == Some(&rate) => None,
                Some(rate) => Some(ConfigChange::Set(key.to_owned(), rate)),
                None => set.map(|_| ConfigChange::Unset(key.to_owned())),
            }
        })
        .collect()
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
