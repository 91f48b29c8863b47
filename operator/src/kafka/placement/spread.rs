//! Replicas spread evenly over all brokers, with few moves.

use std::collections::{BTreeMap, BTreeSet};

use super::{Brokers, Counts, Partition, Targets, best, racks_of};

/// Replicas spread.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Spread {
    /// All that is to change.
    pub all: Targets,
    /// What is to change first, of so many partitions as were asked for. Each step of the way there makes something
    /// better and nothing that counts for more worse, so that one such part after the other comes to an end, which an
    /// arbitrary part of `all` may not.
    pub first: Targets,
}

/// Spreads replicas over the brokers: each partition over as many racks as it can have, each topic evenly, all replicas
/// evenly, then the preferred leaders, for which nothing has to be copied. What moves already counts as arrived. Nothing
/// is to be done where nothing gets better, so that repeating it ends. At most `most` partitions are to change first.
#[must_use]
pub fn spread(partitions: &[Partition], brokers: &Brokers, most: usize) -> Spread {
    let mut state = State {
        before: partitions,
        replicas: partitions.iter().map(|p| p.replicas.clone()).collect(),
        counts: Counts::of(partitions),
        brokers,
        most,
        touched: BTreeSet::new(),
        first: None,
    };
    state.over_racks();
    let mut topics: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, partition) in partitions.iter().enumerate() {
        topics.entry(&partition.at.topic).or_default().push(index);
    }
    let all: Vec<usize> = (0..partitions.len()).collect();
    // With racks, what one round moves may open the way for the other. A move of the first makes its topic more even; one
    // of the second leaves topics as even as they are, and makes all replicas more even: so this ends.
    loop {
        let mut moved = false;
        for (topic, indexes) in &topics {
            while state.move_one(indexes, |counts, id| counts.of_topic(topic, id), 0) {
                moved = true;
            }
        }
        while state.move_one(&all, Counts::total, 1) {
            moved = true;
        }
        if !moved {
            break;
        }
    }
    state.spread_leaders();
    let targets = |replicas: &[Vec<i32>]| {
        partitions
            .iter()
            .zip(replicas)
            .filter(|(before, replicas)| before.replicas != **replicas)
            .map(|(before, replicas)| (before.at.clone(), replicas.clone()))
            .collect()
    };
    Spread {
        first: targets(state.first.as_deref().unwrap_or(&state.replicas)),
        all: targets(&state.replicas),
    }
}

struct State<'a> {
    before: &'a [Partition],
    replicas: Vec<Vec<i32>>,
    counts: Counts<'a>,
    brokers: &'a Brokers,
    most: usize,
    touched: BTreeSet<usize>,
    // The replicas before the first change of one partition too many.
    first: Option<Vec<Vec<i32>>>,
}

impl<'a> State<'a> {
    fn topic(&self, index: usize) -> &'a str {
        &self.before[index].at.topic
    }

    fn touch(&mut self, index: usize) {
        self.touched.insert(index);
        if self.touched.len() > self.most && self.first.is_none() {
            self.first = Some(self.replicas.clone());
        }
    }

    fn replace(&mut self, index: usize, from: i32, to: i32) {
        self.touch(index);
        let topic = self.topic(index);
        for id in self.replicas[index].iter_mut().filter(|id| **id == from) {
            *id = to;
        }
        self.counts.remove(topic, from);
        self.counts.add(topic, to);
    }

    /// Replicas that share a rack while another rack has none go there.
    fn over_racks(&mut self) {
        for index in 0..self.before.len() {
            if self.before[index].moves {
                continue;
            }
            while let Some((from, to)) = self.better_rack(index) {
                self.replace(index, from, to);
            }
        }
    }

    fn better_rack(&self, index: usize) -> Option<(i32, i32)> {
        let replicas = &self.replicas[index];
        let now = racks_of(self.brokers, replicas);
        let mut from: Vec<i32> = replicas
            .iter()
            .copied()
            .filter(|id| self.brokers.contains_key(id))
            .collect();
        // The fullest gives its copy away.
        from.sort_by_key(|id| (std::cmp::Reverse(self.counts.total(*id)), *id));
        from.into_iter().find_map(|from| {
            let others: Vec<i32> = replicas.iter().copied().filter(|id| *id != from).collect();
            let to = best(self.brokers, &self.counts, self.topic(index), &others)?;
            let mut then = others;
            then.push(to);
            (racks_of(self.brokers, &then) > now).then_some((from, to))
        })
    }

    /// Moves one replica from a broker with more to one with at least two fewer, by what `load` counts. `ahead` is how
    /// many more of the topic the giving broker must have, so that topics stay even.
    fn move_one(
        &mut self,
        indexes: &[usize],
        load: impl Fn(&Counts<'a>, i32) -> usize,
        ahead: i64,
    ) -> bool {
        let mut order: Vec<i32> = self.brokers.keys().copied().collect();
        order.sort_by_key(|id| (load(&self.counts, *id), self.counts.total(*id), *id));
        for from in order.iter().rev() {
            for to in &order {
                if load(&self.counts, *from) < load(&self.counts, *to) + 2 {
                    break;
                }
                let found = indexes
                    .iter()
                    .copied()
                    .filter(|index| self.may_move(*index, *from, *to))
                    .map(|index| {
                        let topic = self.topic(index);
                        (difference(&self.counts, topic, *from, *to), index)
                    })
                    .filter(|(difference, _)| *difference >= ahead)
                    .max_by_key(|(difference, index)| (*difference, std::cmp::Reverse(*index)));
                if let Some((_, index)) = found {
                    self.replace(index, *from, *to);
                    return true;
                }
            }
        }
        false
    }

    fn may_move(&self, index: usize, from: i32, to: i32) -> bool {
        let replicas = &self.replicas[index];
        if self.before[index].moves || !replicas.contains(&from) || replicas.contains(&to) {
            return false;
        }
        let then: Vec<i32> = replicas
            .iter()
            .map(|id| if *id == from { to } else { *id })
            .collect();
        racks_of(self.brokers, &then) >= racks_of(self.brokers, replicas)
    }

    /// Evens out how many partitions each broker is to lead.
    fn spread_leaders(&mut self) {
        let mut leads = Counts::default();
        for (index, replicas) in self.replicas.iter().enumerate() {
            if let Some(first) = replicas.first() {
                leads.add(self.topic(index), *first);
            }
        }
        while self.hand_over_one(&mut leads) {}
    }

    fn hand_over_one(&mut self, leads: &mut Counts<'a>) -> bool {
        let mut order: Vec<i32> = self.brokers.keys().copied().collect();
        order.sort_by_key(|id| (leads.total(*id), *id));
        for from in order.iter().rev() {
            for to in &order {
                if leads.total(*from) < leads.total(*to) + 2 {
                    break;
                }
                let found = (0..self.replicas.len())
                    .filter(|index| {
                        let replicas = &self.replicas[*index];
                        !self.before[*index].moves
                            && replicas.first() == Some(from)
                            && replicas.contains(to)
                    })
                    .max_by_key(|index| {
                        let topic = self.topic(*index);
                        let ahead = difference(leads, topic, *from, *to);
                        (ahead, std::cmp::Reverse(*index))
                    });
                if let Some(index) = found {
                    self.touch(index);
                    let topic = self.topic(index);
                    let replicas = &mut self.replicas[index];
                    if let Some(place) = replicas.iter().position(|id| id == to) {
                        replicas.swap(0, place);
                    }
                    leads.remove(topic, *from);
                    leads.add(topic, *to);
                    return true;
                }
            }
        }
        false
    }
}

/// How many more of a topic one broker has than another.
fn difference(counts: &Counts<'_>, topic: &str, from: i32, to: i32) -> i64 {
    let of = |id| i64::try_from(counts.of_topic(topic, id)).unwrap_or(i64::MAX);
    of(from) - of(to)
}
