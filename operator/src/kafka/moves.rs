//! Drains and rebalances: what is asked for, what has to move, and how it is throttled. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::crd::{DrainStatus, KafkaClusterStatus, RebalanceStatus};
use super::placement::{Brokers, Partition, Targets, TooFew, drain, spread};
use super::validate::ValidatedKafka;
use super::view::View;
use super::{DRAIN, REBALANCE};
use crate::remote::kafka::{ConfigChange, ConfigEntry, ConfigSource, TopicSettings};

/// So many partitions move at once: the rest waits, so that a drain can be taken back and a failure touches few.
const AT_ONCE: usize = 50;
/// On a topic: replicas whose sending is throttled.
pub const LEADERS: &str = "leader.replication.throttled.replicas";
/// On a topic: replicas whose fetching is throttled.
pub const FOLLOWERS: &str = "follower.replication.throttled.replicas";
/// On brokers: bytes per second that throttled replicas send.
pub const LEADER_RATE: &str = "leader.replication.throttled.rate";
/// On brokers: bytes per second that throttled replicas fetch.
pub const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";

/// What is asked for by annotations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The value of `millrace.dev/drain`.
    pub drain: Option<&'a str>,
    /// The value of `millrace.dev/rebalance`.
    pub rebalance: Option<&'a str>,
}

/// What is to be done now, and what is told of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Nodes that are emptied.
    pub drain: Vec<DrainStatus>,
    /// The rebalance that was asked for last.
    pub rebalance: Option<RebalanceStatus>,
    /// Partitions that begin to move now.
    pub batch: Targets,
    /// Partitions that move, or are still to.
    pub left: usize,
    /// What the moves wait for.
    pub waits: Option<String>,
    /// Why it cannot be done, with the cure.
    pub refused: Option<String>,
}

impl Plan {
    /// What is under way, in a sentence; `None` when nothing is.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        if self.refused.is_some() {
            return None;
        }
        let nodes: Vec<String> = self
            .drain
            .iter()
            .filter(|drain| !drain.done)
            .map(|drain| drain.node.to_string())
            .collect();
        let rebalance = self.rebalance.as_ref().is_some_and(|r| !r.done);
        let what = match (nodes.is_empty(), rebalance) {
            (false, _) => format!("draining {}", nodes.join(", ")),
            (true, true) => "rebalancing".to_owned(),
            (true, false) if self.left > 0 => "moving replicas".to_owned(),
            (true, false) => return None,
        };
        let waits = match &self.waits {
            Some(waits) => format!("; waiting: {waits}"),
            None => String::new(),
        };
        Some(format!("{what}: {} partitions left{waits}", self.left))
    }
}

/// Plans. `before` is the status as it was.
#[must_use]
pub fn plan(
    asked: Asked<'_>,
    view: &View,
    kafka: &ValidatedKafka,
    before: Option<&KafkaClusterStatus>,
) -> Plan {
    let mut plan = Plan {
        rebalance: before.and_then(|status| status.rebalance.clone()),
        left: view.reassignments.len(),
        ..Plan::default()
    };
    let nodes = match asked.drain.map(ids).transpose() {
        Ok(nodes) => nodes.unwrap_or_default(),
        Err(refused) => {
            plan.refused = Some(refused);
            return plan;
        }
    };
    plan.drain = drained(&nodes, view, kafka, before);
    let away: BTreeSet<i32> = plan
        .drain
        .iter()
        .filter(|drain| !drain.gone)
        .map(|drain| drain.node)
        .collect();
    let brokers = available(view, kafka, &away);
    plan.waits = down(view, kafka, &away);
    let partitions = view.placement();
    let room = AT_ONCE.saturating_sub(view.reassignments.len());
    let mut first = None;
    let mut targets = match drain(&partitions, &brokers, &away) {
        Ok(targets) => targets,
        Err(too_few) => {
            plan.refused = Some(impossible(asked.drain.unwrap_or_default(), &too_few));
            return plan;
        }
    };
    if let Some(value) = asked.rebalance.map(short)
        && !is_done(plan.rebalance.as_ref(), &value)
    {
        let emptying = plan.drain.iter().any(|drain| !drain.done);
        // After a drain, so that nothing moves twice.
        if targets.is_empty() && !emptying && plan.waits.is_none() {
            let spread = spread(&partitions, &brokers, room);
            (targets, first) = (spread.all, Some(spread.first));
        }
        let left = remaining(&targets, &partitions);
        plan.rebalance = Some(RebalanceStatus {
            value,
            partitions_left: count(left),
            done: left == 0 && !emptying && plan.waits.is_none(),
        });
    }
    plan.left = remaining(&targets, &partitions);
    if plan.waits.is_none() {
        plan.batch = first.unwrap_or_else(|| batch(targets, &partitions, room));
    }
    plan
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// As much of a value as a status takes.
fn short(value: &str) -> String {
    value.chars().take(256).collect()
}

fn is_done(rebalance: Option<&RebalanceStatus>, value: &str) -> bool {
    rebalance.is_some_and(|rebalance| rebalance.done && rebalance.value == value)
}

fn ids(text: &str) -> Result<BTreeSet<i32>, String> {
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse().map_err(|_| {
                format!("metadata.annotations[{DRAIN}]: {text}: {part} is no id of a node; write ids separated by commas, like 103,104")
            })
        })
        .collect()
}

/// How far the nodes are that are to be emptied. One that was gone after it was emptied is not asked for again.
fn drained(
    nodes: &BTreeSet<i32>,
    view: &View,
    kafka: &ValidatedKafka,
    before: Option<&KafkaClusterStatus>,
) -> Vec<DrainStatus> {
    let there: BTreeSet<i32> = kafka.all_nodes().map(|node| node.id).collect();
    let before = before.map(|status| status.drain.as_slice());
    nodes
        .iter()
        .map(|node| {
            let copies = view.copies_on(*node);
            let was = before.unwrap_or_default().iter().find(|d| d.node == *node);
            let gone = was.is_some_and(|was| was.gone) || (copies == 0 && !there.contains(node));
            DrainStatus {
                node: *node,
                replicas_left: if gone { 0 } else { count(copies) },
                bytes_left: None,
                done: gone || copies == 0,
                gone,
            }
        })
        .collect()
}

/// The brokers that stay.
fn staying(kafka: &ValidatedKafka) -> BTreeSet<i32> {
    kafka
        .pools
        .iter()
        .filter(|pool| pool.broker)
        .flat_map(|pool| (0..pool.asked).map(|ordinal| pool.first_node_id + ordinal))
        .collect()
}

/// The brokers that may get replicas: those that stay and serve.
fn available(view: &View, kafka: &ValidatedKafka, away: &BTreeSet<i32>) -> Brokers {
    let staying = staying(kafka);
    view.registered
        .iter()
        .filter(|broker| !broker.fenced)
        .filter(|broker| staying.contains(&broker.id) && !away.contains(&broker.id))
        .map(|broker| (broker.id, broker.rack.clone()))
        .collect()
}

/// A broker that is down and is to stay: what it would be left out of now would have to move again.
fn down(view: &View, kafka: &ValidatedKafka, away: &BTreeSet<i32>) -> Option<String> {
    staying(kafka)
        .into_iter()
        .find(|id| !away.contains(id) && !view.serves(*id))
        .map(|id| format!("broker {id} does not serve"))
}

fn impossible(asked: &str, too_few: &TooFew) -> String {
    format!(
        "metadata.annotations[{DRAIN}]: {asked}: partition {} of topic {} has {} copies, and only {} brokers would stay; add brokers, drain fewer, or lower the topic's replication factor",
        too_few.at.partition, too_few.at.topic, too_few.factor, too_few.brokers
    )
}

/// Partitions that move, or are to.
fn remaining(targets: &Targets, partitions: &[Partition]) -> usize {
    let moving = partitions.iter().filter(|p| p.moves);
    let others = moving.filter(|p| !targets.contains_key(&p.at)).count();
    targets.len() + others
}

/// As many as may begin. Those that move already and have to turn are not more of them.
fn batch(targets: Targets, partitions: &[Partition], mut room: usize) -> Targets {
    let moving: BTreeSet<_> = partitions
        .iter()
        .filter(|p| p.moves)
        .map(|p| &p.at)
        .collect();
    targets
        .into_iter()
        .filter(|(at, _)| {
            if moving.contains(at) {
                return true;
            }
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        })
        .collect()
}

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

/// Reads what is asked for.
#[must_use]
pub fn asked(annotations: &BTreeMap<String, String>) -> Asked<'_> {
    Asked {
        drain: annotations.get(DRAIN).map(String::as_str),
        rebalance: annotations.get(REBALANCE).map(String::as_str),
    }
}

#[cfg(test)]
#[path = "moves_tests.rs"]
mod tests;
