//! Where replicas are to be: the computation behind drains, rebalances and changed replication factors. Pure.
//!
//! Everything is decided from the replicas that partitions have or are on their way to have, so that it can be computed
//! anew at any time and goes on where it was.

mod factor;
mod spread;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::remote::kafka::TopicPartition;

pub use factor::with_factor;
pub use spread::{Spread, spread};

/// A partition with its replicas.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Partition {
    /// Which.
    pub at: TopicPartition,
    /// Its replicas, the preferred leader first; while it moves, those that it is to have.
    pub replicas: Vec<i32>,
    /// Whether it moves already.
    pub moves: bool,
}

/// The brokers that may get replicas, with their racks.
pub type Brokers = BTreeMap<i32, Option<String>>;

/// The replicas that partitions are to have instead of what they have.
pub type Targets = BTreeMap<TopicPartition, Vec<i32>>;

/// A partition has no broker to go to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TooFew {
    /// Which.
    pub at: TopicPartition,
    /// How many replicas it has.
    pub factor: usize,
    /// How many brokers may have one.
    pub brokers: usize,
}

/// How many replicas brokers have, of each topic and of all.
#[derive(Default)]
struct Counts<'a> {
    all: BTreeMap<i32, usize>,
    topics: BTreeMap<&'a str, BTreeMap<i32, usize>>,
}

impl<'a> Counts<'a> {
    fn of(partitions: &'a [Partition]) -> Self {
        let mut counts = Self::default();
        for partition in partitions {
            for id in &partition.replicas {
                counts.add(&partition.at.topic, *id);
            }
        }
        counts
    }

    fn add(&mut self, topic: &'a str, id: i32) {
        *self.all.entry(id).or_default() += 1;
        let of_topic = self.topics.entry(topic).or_default();
        *of_topic.entry(id).or_default() += 1;
    }

    fn remove(&mut self, topic: &'a str, id: i32) {
        let of_topic = self.topics.entry(topic).or_default().entry(id).or_default();
        *of_topic = of_topic.saturating_sub(1);
        let of_all = self.all.entry(id).or_default();
        *of_all = of_all.saturating_sub(1);
    }

    fn total(&self, id: i32) -> usize {
        self.all.get(&id).copied().unwrap_or_default()
    }

    fn of_topic(&self, topic: &str, id: i32) -> usize {
        let of_topic = self.topics.get(topic);
        of_topic
            .and_then(|of_topic| of_topic.get(&id))
            .copied()
            .unwrap_or_default()
    }
}

fn rack(brokers: &Brokers, id: i32) -> Option<&str> {
    brokers.get(&id)?.as_deref()
}

/// In how many racks replicas are. A broker without a rack is one of its own.
fn racks_of(brokers: &Brokers, replicas: &[i32]) -> usize {
    let mut racks = BTreeSet::new();
    let without = replicas.iter().filter(|id| match rack(brokers, **id) {
        Some(name) => {
            racks.insert(name);
            false
        }
        None => true,
    });
    let without = without.count();
    racks.len() + without
}

/// The best broker for one more replica beside `others`: in a rack with few of them, then with few of the topic, then
/// with few at all.
fn best(brokers: &Brokers, counts: &Counts<'_>, topic: &str, others: &[i32]) -> Option<i32> {
    brokers
        .keys()
        .copied()
        .filter(|id| !others.contains(id))
        .min_by_key(|id| {
            let same = others.iter().filter(|other| {
                let of_other = rack(brokers, **other);
                of_other.is_some() && of_other == rack(brokers, *id)
            });
            (
                same.count(),
                counts.of_topic(topic, *id),
                counts.total(*id),
                *id,
            )
        })
}

/// Where replicas on the brokers `away` go. Nothing else moves; partitions that are on their way to one of these brokers
/// are turned.
///
/// # Errors
/// A partition has more replicas than there are brokers.
pub fn drain(
    partitions: &[Partition],
    brokers: &Brokers,
    away: &BTreeSet<i32>,
) -> Result<Targets, TooFew> {
    let stay: Brokers = brokers
        .iter()
        .filter(|(id, _)| !away.contains(id))
        .map(|(id, rack)| (*id, rack.clone()))
        .collect();
    let mut counts = Counts::of(partitions);
    let mut targets = Targets::new();
    for partition in partitions {
        let topic = partition.at.topic.as_str();
        let mut replicas = partition.replicas.clone();
        for place in 0..replicas.len() {
            let from = replicas[place];
            if !away.contains(&from) {
                continue;
            }
            // Those that go later are no reason to stay out of their rack.
            let others: Vec<i32> = replicas
                .iter()
                .copied()
                .filter(|id| !away.contains(id))
                .collect();
            let Some(to) = best(&stay, &counts, topic, &others) else {
                return Err(TooFew {
                    at: partition.at.clone(),
                    factor: partition.replicas.len(),
                    brokers: stay.len(),
                });
            };
            counts.remove(topic, from);
            counts.add(topic, to);
            replicas[place] = to;
        }
        if replicas != partition.replicas {
            targets.insert(partition.at.clone(), replicas);
        }
    }
    Ok(targets)
}
