//! Which records may go next: one batch at a time per key, in the order of their offsets, any number of keys
//! side by side.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

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

/// When records go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// So many fill a batch.
    pub records: usize,
    /// The longest wait for more.
    pub wait: Duration,
}

/// The records that were received and are not finished, by partition and key.
#[derive(Debug)]
pub struct Lanes<T> {
    partitions: HashMap<i32, Partition<T>>,
    // Lanes with records of which none is under way, the longest ready first.
    ready: VecDeque<Ready>,
    ready_records: usize,
    epoch: u64,
    held: usize,
}

#[derive(Debug)]
struct Ready {
    partition: i32,
    key: Vec<u8>,
    since: Instant,
}

#[derive(Debug, Default)]
struct Partition<T> {
    tracker: Tracker,
    lanes: HashMap<Vec<u8>, Lane<T>>,
}

// A key is here while a record of it waits or is under way.
#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<(Ticket, T)>,
    under_way: usize,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            partitions: HashMap::new(),
            ready: VecDeque::new(),
            ready_records: 0,
            epoch: 0,
            held: 0,
        }
    }
}

impl<T> Lanes<T> {
    fn partition(&mut self, partition: i32) -> &mut Partition<T> {
        self.partitions
            .entry(partition)
            .or_insert_with(|| Partition {
                tracker: Tracker::default(),
                lanes: HashMap::new(),
            })
    }

    /// Takes a record in. Records without a key wait for nobody.
    pub fn offer(
        &mut self,
        partition: i32,
        offset: i64,
        key: Option<&[u8]>,
        record: T,
        now: Instant,
    ) {
        let key = key.map_or_else(|| offset.to_be_bytes().to_vec(), <[u8]>::to_vec);
        let ticket = Ticket {
            partition,
            offset,
            key: key.clone(),
            epoch: self.epoch,
        };
        self.held += 1;
        let part = self.partition(partition);
        part.tracker.received(offset);
        let lane = part.lanes.entry(key.clone()).or_insert_with(|| Lane {
            waiting: VecDeque::new(),
            under_way: 0,
        });
        lane.waiting.push_back((ticket, record));
        let (free, first) = (lane.under_way == 0, lane.waiting.len() == 1);
        if free {
            self.ready_records += 1;
            if first {
                self.ready.push_back(Ready {
                    partition,
                    key,
                    since: now,
                });
            }
        }
    }

    /// A record that nobody wants: it is finished as soon as it is received.
    pub fn pass_over(&mut self, partition: i32, offset: i64) {
        let tracker = &mut self.partition(partition).tracker;
        tracker.received(offset);
        tracker.finished(offset);
    }

    /// How long until a batch is due: at once when it is full; none when nothing is ready.
    #[must_use]
    pub fn due_in(&self, window: Window, now: Instant) -> Option<Duration> {
        let oldest = self.ready.front()?.since;
        if self.ready_records >= window.records {
            return Some(Duration::ZERO);
        }
        Some((oldest + window.wait).saturating_duration_since(now))
    }

    /// The next batch when it is due, else nothing. Records of one key lie in it in their order, and no later
    /// one of that key goes before all of them are finished.
    pub fn take(&mut self, window: Window, now: Instant) -> Vec<(Ticket, T)> {
        if self.due_in(window, now).is_none_or(|wait| !wait.is_zero()) {
            return Vec::new();
        }
        let mut batch = Vec::new();
        while batch.len() < window.records
            && let Some(ready) = self.ready.pop_front()
        {
            let Some(lane) = self
                .partitions
                .get_mut(&ready.partition)
                .and_then(|part| part.lanes.get_mut(&ready.key))
            else {
                continue;
            };
            // The whole lane stops being ready, also what does not fit in.
            self.ready_records -= lane.waiting.len();
            let fit = lane.waiting.len().min(window.records - batch.len());
            lane.under_way = fit;
            batch.extend(lane.waiting.drain(..fit));
        }
        batch
    }

    /// A record is finished; its key is free again with the last of its batch. One whose partition was given
    /// away meanwhile changes nothing.
    pub fn finish(&mut self, ticket: &Ticket, now: Instant) {
        if ticket.epoch != self.epoch {
            return;
        }
        let Some(part) = self.partitions.get_mut(&ticket.partition) else {
            return;
        };
        part.tracker.finished(ticket.offset);
        self.held -= 1;
        let Some(lane) = part.lanes.get_mut(&ticket.key) else {
            return;
        };
        lane.under_way -= 1;
        if lane.under_way > 0 {
            return;
        }
        if lane.waiting.is_empty() {
            part.lanes.remove(&ticket.key);
            return;
        }
        self.ready_records += lane.waiting.len();
        self.ready.push_back(Ready {
            partition: ticket.partition,
            key: ticket.key.clone(),
            since: now,
        });
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
        self.ready.clear();
        self.ready_records = 0;
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

    const ONE: Window = Window {
        records: 1,
        wait: Duration::ZERO,
    };

    fn offsets<T>(batch: &[(Ticket, T)]) -> Vec<i64> {
        batch.iter().map(|(ticket, _)| ticket.offset).collect()
    }

    #[test]
    fn one_at_a_time_per_key_in_order() {
        let now = Instant::now();
        let mut lanes = Lanes::default();
        for (offset, key) in [(0, b"a"), (1, b"a"), (2, b"b"), (3, b"a")] {
            lanes.offer(0, offset, Some(key), (), now);
        }
        let a = lanes.take(ONE, now);
        let b = lanes.take(ONE, now);
        assert_eq!((offsets(&a), offsets(&b)), (vec![0], vec![2]));
        assert!(lanes.take(ONE, now).is_empty());
        lanes.finish(&b[0].0, now);
        assert!(lanes.take(ONE, now).is_empty());
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 0)]));
        lanes.finish(&a[0].0, now);
        let a = lanes.take(ONE, now);
        assert_eq!(offsets(&a), [1]);
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 1)]));
        lanes.finish(&a[0].0, now);
        let a = lanes.take(ONE, now);
        lanes.finish(&a[0].0, now);
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 4)]));
        assert_eq!((lanes.held(), lanes.due_in(ONE, now)), (0, None));
    }

    #[test]
    fn a_batch_waits_until_it_is_full_or_its_time_is_over() {
        let window = Window {
            records: 3,
            wait: Duration::from_millis(100),
        };
        let start = Instant::now();
        let mut lanes = Lanes::default();
        lanes.offer(0, 0, Some(b"a"), (), start);
        lanes.offer(0, 1, Some(b"b"), (), start + window.wait / 2);
        assert!(lanes.take(window, start).is_empty());
        assert_eq!(lanes.due_in(window, start), Some(window.wait));
        let first = lanes.take(window, start + window.wait);
        assert_eq!(offsets(&first), [0, 1]);
        // Behind a batch under way nothing of the same key goes, however full.
        for offset in 2..6 {
            lanes.offer(0, offset, Some(b"a"), (), start);
        }
        assert!(lanes.take(window, start + window.wait * 9).is_empty());
        lanes.offer(0, 6, Some(b"c"), (), start);
        assert_eq!(offsets(&lanes.take(window, start + window.wait)), [6]);
        lanes.finish(&first[0].0, start);
        let second = lanes.take(window, start);
        assert_eq!(offsets(&second), [2, 3, 4]);
        // A key is free with the last record of its batch, not the first.
        lanes.finish(&second[0].0, start);
        lanes.finish(&second[1].0, start);
        assert!(lanes.take(window, start + window.wait).is_empty());
        lanes.finish(&second[2].0, start);
        assert_eq!(offsets(&lanes.take(window, start + window.wait)), [5]);
    }

    #[test]
    fn a_record_of_a_former_assignment_changes_nothing() {
        let now = Instant::now();
        let mut lanes = Lanes::default();
        lanes.offer(0, 7, Some(b"a"), (), now);
        let old = lanes.take(ONE, now);
        lanes.clear();
        lanes.offer(0, 7, Some(b"a"), (), now);
        let new = lanes.take(ONE, now);
        lanes.finish(&old[0].0, now);
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 7)]));
        assert_eq!(lanes.held(), 1);
        lanes.finish(&new[0].0, now);
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 8)]));
    }

    #[test]
    fn offsets_whose_commit_failed_are_due_again() {
        let now = Instant::now();
        let mut lanes = Lanes::default();
        lanes.offer(0, 3, Some(b"a"), (), now);
        lanes.offer(1, 8, Some(b"b"), (), now);
        for _ in 0..2 {
            let batch = lanes.take(ONE, now);
            lanes.finish(&batch[0].0, now);
        }
        let due = BTreeMap::from([(0, 4), (1, 9)]);
        assert_eq!(lanes.take_due(), due);
        assert_eq!(lanes.take_due(), BTreeMap::new());
        lanes.commit_again();
        assert_eq!(lanes.take_due(), due);
    }

    #[test]
    fn what_nobody_wants_is_committed_and_what_has_no_key_waits_for_nobody() {
        let now = Instant::now();
        let mut lanes = Lanes::default();
        lanes.pass_over(0, 4);
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 5)]));
        lanes.offer(0, 5, None, (), now);
        lanes.pass_over(0, 6);
        lanes.offer(0, 7, None, (), now);
        assert_eq!(lanes.take_due(), BTreeMap::new());
        let first = lanes.take(ONE, now);
        let second = lanes.take(ONE, now);
        assert_eq!((offsets(&first), offsets(&second)), (vec![5], vec![7]));
        lanes.finish(&first[0].0, now);
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 7)]));
    }

    proptest::proptest! {
        // Whatever is offered, taken and finished in whatever order: per key every record once, in order, and
        // never two batches of a key at a time.
        #[test]
        fn keys_keep_their_order(
            steps in proptest::collection::vec((0_u8..3, 0_u8..4, 0_usize..8), 1..200),
            records in 1_usize..5,
        ) {
            let window = Window { records, wait: Duration::ZERO };
            let now = Instant::now();
            let mut lanes = Lanes::default();
            let mut offset = 0;
            let mut seen: HashMap<u8, Vec<i64>> = HashMap::new();
            let mut offered: HashMap<u8, Vec<i64>> = HashMap::new();
            let mut under_way: Vec<Vec<(Ticket, u8)>> = Vec::new();
            let take = |lanes: &mut Lanes<u8>, under_way: &mut Vec<Vec<(Ticket, u8)>>, seen: &mut HashMap<u8, Vec<i64>>| {
                let batch = lanes.take(window, now);
                assert!(batch.len() <= records);
                for (ticket, key) in &batch {
                    assert!(!under_way.iter().flatten().any(|(_, other)| other == key));
                    seen.entry(*key).or_default().push(ticket.offset);
                }
                let some = !batch.is_empty();
                if some {
                    under_way.push(batch);
                }
                some
            };
            for (what, key, pick) in steps {
                match what {
                    0 => {
                        lanes.offer(i32::from(key % 2), offset, Some(&[key]), key, now);
                        offered.entry(key).or_default().push(offset);
                        offset += 1;
                    }
                    1 => {
                        take(&mut lanes, &mut under_way, &mut seen);
                    }
                    _ if under_way.is_empty() => {}
                    _ => {
                        let at = pick % under_way.len();
                        for (ticket, _) in under_way.swap_remove(at) {
                            lanes.finish(&ticket, now);
                        }
                    }
                }
            }
            loop {
                for (ticket, _) in under_way.drain(..).flatten() {
                    lanes.finish(&ticket, now);
                }
                if !take(&mut lanes, &mut under_way, &mut seen) {
                    break;
                }
            }
            proptest::prop_assert_eq!(lanes.held(), 0);
            proptest::prop_assert_eq!(seen, offered);
        }
    }
}
