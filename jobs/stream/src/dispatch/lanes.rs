//! Which record may go next: one at a time per key, any number of keys side by side.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::tracker::Tracker;

/// A record that has its turn. It is handed back when it is finished.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    key: Vec<u8>,
    epoch: u64,
}

/// The records that were received and are not finished, by partition and key.
#[derive(Debug)]
pub struct Lanes<T> {
    partitions: HashMap<i32, Partition<T>>,
    epoch: u64,
    held: usize,
}

#[derive(Debug)]
struct Partition<T> {
    epoch: u64,
    tracker: Tracker,
    // A key is here while a record of it has its turn; behind it wait the later ones.
    lanes: HashMap<Vec<u8>, VecDeque<(Ticket, T)>>,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            partitions: HashMap::new(),
            epoch: 0,
            held: 0,
        }
    }
}

impl<T> Lanes<T> {
    /// Takes a record in and gives it back when it has its turn at once. Records without a key wait for nobody.
    pub fn offer(
        &mut self,
        partition: i32,
        offset: i64,
        key: Option<&[u8]>,
        record: T,
    ) -> Option<(Ticket, T)> {
        let epoch = self.epoch;
        let part = self
            .partitions
            .entry(partition)
            .or_insert_with(|| Partition {
                epoch,
                tracker: Tracker::default(),
                lanes: HashMap::new(),
            });
        part.tracker.received(offset);
        self.held += 1;
        let key = key.map_or_else(|| offset.to_be_bytes().to_vec(), <[u8]>::to_vec);
        let ticket = Ticket {
            partition,
            offset,
            key: key.clone(),
            epoch: part.epoch,
        };
        if let Some(lane) = part.lanes.get_mut(&key) {
            lane.push_back((ticket, record));
            return None;
        }
        part.lanes.insert(key, VecDeque::new());
        Some((ticket, record))
    }

    /// A record is finished; gives the next one of its key. One whose partition was given away meanwhile
    /// changes nothing.
    pub fn finish(&mut self, ticket: &Ticket) -> Option<(Ticket, T)> {
        let part = self
            .partitions
            .get_mut(&ticket.partition)
            .filter(|p| p.epoch == ticket.epoch)?;
        part.tracker.finished(ticket.offset);
        self.held -= 1;
        let next = part
            .lanes
            .get_mut(&ticket.key)
            .and_then(VecDeque::pop_front);
        if next.is_none() {
            part.lanes.remove(&ticket.key);
        }
        next
    }

    /// The offsets to commit that have moved since the last call.
    pub fn take_due(&mut self) -> BTreeMap<i32, i64> {
        self.partitions
            .iter_mut()
            .filter_map(|(partition, part)| Some((*partition, part.tracker.take_due()?)))
            .collect()
    }

    /// A commit failed: everything is due again.
    pub fn commit_again(&mut self) {
        self.partitions
            .values_mut()
            .for_each(|part| part.tracker.commit_again());
    }

    /// All partitions are given away: what is not finished will be read again by the next owner.
    pub fn clear(&mut self) {
        self.partitions.clear();
        self.epoch += 1;
        self.held = 0;
    }

    /// How many records were received and are not finished.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_per_key_in_order() {
        let mut lanes = Lanes::default();
        let (a1, _) = lanes.offer(0, 0, Some(b"a"), "a1").unwrap();
        assert!(lanes.offer(0, 1, Some(b"a"), "a2").is_none());
        let (b1, _) = lanes.offer(0, 2, Some(b"b"), "b1").unwrap();
        assert!(lanes.offer(0, 3, Some(b"a"), "a3").is_none());
        assert!(lanes.finish(&b1).is_none());
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 0)]));
        let (a2, record) = lanes.finish(&a1).unwrap();
        assert_eq!(record, "a2");
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 1)]));
        let (a3, record) = lanes.finish(&a2).unwrap();
        assert_eq!(record, "a3");
        assert!(lanes.finish(&a3).is_none());
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 4)]));
        assert_eq!(lanes.held(), 0);
        // The lane is free again.
        assert!(lanes.offer(0, 4, Some(b"a"), "a4").is_some());
    }

    #[test]
    fn a_record_of_a_former_assignment_changes_nothing() {
        let mut lanes = Lanes::default();
        let (old, ()) = lanes.offer(0, 7, Some(b"a"), ()).unwrap();
        lanes.clear();
        let (new, ()) = lanes.offer(0, 7, Some(b"a"), ()).unwrap();
        assert!(lanes.finish(&old).is_none());
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 7)]));
        assert_eq!(lanes.held(), 1);
        lanes.finish(&new);
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 8)]));
    }

    #[test]
    fn offsets_whose_commit_failed_are_due_again() {
        let mut lanes = Lanes::default();
        let (first, ()) = lanes.offer(0, 3, Some(b"a"), ()).unwrap();
        let (second, ()) = lanes.offer(1, 8, Some(b"b"), ()).unwrap();
        lanes.finish(&first);
        lanes.finish(&second);
        let due = BTreeMap::from([(0, 4), (1, 9)]);
        assert_eq!(lanes.take_due(), due);
        assert_eq!(lanes.take_due(), BTreeMap::new());
        lanes.commit_again();
        assert_eq!(lanes.take_due(), due);
    }

    #[test]
    fn records_without_a_key_wait_for_nobody() {
        let mut lanes = Lanes::default();
        assert!(lanes.offer(0, 0, None, ()).is_some());
        assert!(lanes.offer(0, 1, None, ()).is_some());
    }
}
