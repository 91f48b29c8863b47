//! Where each partition is read: what its task wants, and the thread that polls does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is wanted of one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Counts its starts.
    pub generation: u64,
    /// Where it was to start then; none while it is not to be read.
    pub start: Option<i64>,
    /// The end of its last commit.
    pub archived: Option<i64>,
}

/// All partitions of this process.
#[derive(Debug, Default)]
pub struct Positions {
    all: Mutex<BTreeMap<i32, Wanted>>,
    changed: AtomicBool,
}

impl Positions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Wanted>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition is to be read from `start` on; what was read of it before does not count. Gives the number that
    /// tells what is read from now on.
    pub fn ready(&self, partition: i32, start: i64) -> u64 {
        self.set(partition, Some(start))
    }

    /// A partition is not to be read.
    pub fn hold(&self, partition: i32) {
        self.set(partition, None);
    }

    fn set(&self, partition: i32, start: Option<i64>) -> u64 {
        let mut all = self.lock();
        let wanted = all.entry(partition).or_default();
        wanted.generation += 1;
        wanted.start = start;
        let generation = wanted.generation;
        drop(all);
        self.changed.store(true, Ordering::SeqCst);
        generation
    }

    /// A partition is archived up to before `offset`.
    pub fn archived(&self, partition: i32, offset: i64) {
        self.lock().entry(partition).or_default().archived = Some(offset);
    }

    /// What is wanted, when it has changed since the last question.
    pub fn changes(&self) -> Option<BTreeMap<i32, Wanted>> {
        self.changed
            .swap(false, Ordering::SeqCst)
            .then(|| self.lock().clone())
    }

    /// The ends of the last commits.
    pub fn ends(&self) -> Vec<(i32, i64)> {
        let all = self.lock();
        all.iter()
            .filter_map(|(partition, wanted)| Some((*partition, wanted.archived?)))
            .collect()
    }

    /// The partitions were given away. The numbers go on, so that no chunk of before is taken for one of later.
    pub fn clear(&self) {
        for wanted in self.lock().values_mut() {
            *wanted = Wanted {
                generation: wanted.generation + 1,
                ..Wanted::default()
            };
        }
        self.changed.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_told_once_and_numbered_anew() {
        let positions = Positions::default();
        assert!(positions.changes().is_none());
        let first = positions.ready(3, 10);
        let wanted = positions.changes().unwrap();
        assert_eq!((wanted[&3].generation, wanted[&3].start), (first, Some(10)));
        assert!(positions.changes().is_none());
        positions.hold(3);
        positions.archived(3, 25);
        assert_eq!(positions.changes().unwrap()[&3].start, None);
        assert_eq!(positions.ends(), [(3, 25)]);
        positions.clear();
        assert!(positions.ends().is_empty());
        assert!(positions.ready(3, 25) > first + 1);
    }
}
