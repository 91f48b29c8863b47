//! Drains, rebalances and changed replication factors: what is asked for, and what has to move. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::crd::{DrainStatus, KafkaClusterStatus, RebalanceStatus};
use super::placement::{Brokers, Partition, Targets, TooFew, drain, spread, with_factor};
use super::validate::ValidatedKafka;
use super::view::View;
use super::{DRAIN, REBALANCE};
use crate::remote::kafka::TopicPartition;

/// So many partitions move at once: the rest waits, so that a drain can be taken back and a failure touches few.
const AT_ONCE: usize = 50;
/// How many copies the partitions of topics are to have, by topic: of those that are to have another number only.
pub type Factors = BTreeMap<String, usize>;

/// What is asked for: by annotations, and by topics.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The value of `millrace.dev/drain`.
    pub drain: Option<&'a str>,
    /// The value of `millrace.dev/rebalance`.
    pub rebalance: Option<&'a str>,
    /// Copies of partitions.
    pub factors: &'a Factors,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        static NO_FACTORS: Factors = Factors::new();
        Self {
            drain: None,
            rebalance: None,
            factors: &NO_FACTORS,
        }
    }
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
    /// A topic that cannot have as many copies as it asks for.
    pub lacking: Option<String>,
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
            (true, false) if self.left > 0 || self.lacking.is_some() => {
                "moving replicas".to_owned()
            }
            (true, false) => return None,
        };
        let waits = match self.waits.as_ref().or(self.lacking.as_ref()) {
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
    // Fewer copies are a cure where a drain lacks brokers, so that they count first.
    let (mut targets, lacking) = recounted(asked.factors, &partitions, &brokers);
    plan.lacking = lacking;
    match drain(&moved(&partitions, &targets), &brokers, &away) {
        Ok(drained) => targets.extend(drained),
        // One that is down may be what is missing.
        Err(_) if plan.waits.is_some() => {
            let to_move = |p: &&Partition| p.moves || p.replicas.iter().any(|id| away.contains(id));
            plan.left = partitions.iter().filter(to_move).count();
            return plan;
        }
        Err(too_few) => {
            plan.refused = Some(impossible(asked.drain.unwrap_or_default(), &too_few));
            return plan;
        }
    }
    if let Some(value) = asked.rebalance.map(short)
        && !is_done(plan.rebalance.as_ref(), &value)
    {
        let emptying = plan.drain.iter().any(|drain| !drain.done);
        // After everything else, so that nothing moves twice.
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

/// The replicas of topics that are to have another number of them, and what one of these topics lacks.
fn recounted(
    factors: &Factors,
    partitions: &[Partition],
    brokers: &Brokers,
) -> (Targets, Option<String>) {
    let mut targets = Targets::new();
    let mut lacking = None;
    for (topic, factor) in factors {
        // Topics are told from the placement as it becomes, or all would choose the same brokers.
        let all = moved(partitions, &targets);
        let of_topic = all.iter().filter(|partition| partition.at.topic == *topic);
        let of_topic: Vec<Partition> = of_topic.cloned().collect();
        // Copies on brokers that are emptied are none to count on.
        let grows = of_topic.iter().any(|p| p.replicas.len() < *factor);
        let lacks = grows && *factor > brokers.len();
        match with_factor(&of_topic, &all, brokers, *factor) {
            Ok(of_topic) if !lacks => targets.extend(of_topic),
            _ => {
                lacking = Some(format!(
                    "topic {topic} is to have {factor} copies, and only {} brokers may have one",
                    brokers.len()
                ));
            }
        }
    }
    (targets, lacking)
}

/// Partitions as they are once these targets are reached.
fn moved(partitions: &[Partition], targets: &Targets) -> Vec<Partition> {
    let mut partitions = partitions.to_vec();
    for partition in &mut partitions {
        if let Some(replicas) = targets.get(&partition.at) {
            partition.replicas.clone_from(replicas);
        }
    }
    partitions
}

/// Those of these partitions that come to have another number of replicas.
#[must_use]
pub fn counted_anew(view: &View, batch: &Targets) -> BTreeSet<TopicPartition> {
    let partitions = view.placement().into_iter();
    partitions
        .filter(|partition| {
            let to = batch.get(&partition.at);
            to.is_some_and(|to| to.len() != partition.replicas.len())
        })
        .map(|partition| partition.at)
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

/// Reads what is asked for.
#[must_use]
pub fn asked<'a>(annotations: &'a BTreeMap<String, String>, factors: &'a Factors) -> Asked<'a> {
    Asked {
        drain: annotations.get(DRAIN).map(String::as_str),
        rebalance: annotations.get(REBALANCE).map(String::as_str),
        factors,
    }
}

#[cfg(test)]
#[path = "moves_tests.rs"]
mod tests;
