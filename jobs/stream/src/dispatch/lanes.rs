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

impl Ticket {
    /// What must not be overtaken: records of one partition with one key.
    #[must_use]
    pub fn lane(&self) -> (i32, &[u8]) {
        (self.partition, &self.key)
    }
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
    // So many records may wait behind one that fails while others get through.
    most_behind: usize,
    // When a record was last finished whose lane had not failed.
    smooth: Option<Instant>,
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
    // Since when what is under way fails.
    failing: Option<Instant>,
}

impl<T> Lanes<T> {
    /// None yet. Of one key at most `most_behind` records wait behind one that fails while those of others get through.
    #[must_use]
    pub fn new(most_behind: usize) -> Self {
        Self {
            partitions: HashMap::new(),
            ready: VecDeque::new(),
            ready_records: 0,
            epoch: 0,
            held: 0,
            most_behind,
            smooth: None,
        }
    }

    fn partition(&mut self, partition: i32) -> &mut Partition<T> {
        self.partitions
            .entry(partition)
            .or_insert_with(|| Partition {
                tracker: Tracker::default(),
                lanes: HashMap::new(),
            })
    }

    /// Takes a record in. Records without a key wait for nobody.
    ///
    /// Gives it back when too many wait already behind one that fails, though others get through: else one key would
    /// take the room of all. It counts as held until [`Lanes::crowded_out`].
    #[must_use]
    pub fn offer(
        &mut self,
        partition: i32,
        offset: i64,
        key: Option<&[u8]>,
        record: T,
        now: Instant,
    ) -> Option<(Ticket, T)> {
        let key = key.map_or_else(|| offset.to_be_bytes().to_vec(), <[u8]>::to_vec);
        let ticket = Ticket {
            partition,
            offset,
            key: key.clone(),
            epoch: self.epoch,
        };
        self.held += 1;
        let (most_behind, smooth) = (self.most_behind, self.smooth);
        let part = self.partition(partition);
        part.tracker.received(offset);
        let lane = part.lanes.entry(key.clone()).or_insert_with(|| Lane {
            waiting: VecDeque::new(),
            under_way: 0,
            failing: None,
        });
        let alone = lane
            .failing
            .is_some_and(|since| smooth.is_some_and(|smooth| smooth > since));
        if alone && lane.waiting.len() >= most_behind {
            return Some((ticket, record));
        }
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
        None
    }

    /// A record under way has failed and is tried again.
    pub fn failed(&mut self, ticket: &Ticket, now: Instant) {
        if ticket.epoch != self.epoch {
            return;
        }
        let lanes = self.partitions.get_mut(&ticket.partition);
        if let Some(lane) = lanes.and_then(|part| part.lanes.get_mut(&ticket.key)) {
            lane.failing.get_or_insert(now);
        }
    }

    /// What [`Lanes::offer`] gave back is finished.
    pub fn crowded_out(&mut self, ticket: &Ticket) {
        if ticket.epoch != self.epoch {
            return;
        }
        if let Some(part) = self.partitions.get_mut(&ticket.partition) {
            part.tracker.finished(ticket.offset);
            self.held -= 1;
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
        if lane.failing.is_none() {
            self.smooth = Some(now);
        }
        lane.under_way -= 1;
        if lane.under_way > 0 {
            return;
        }
        lane.failing = None;
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

    fn lanes<T>() -> Lanes<T> {
        Lanes::new(usize::MAX)
    }

    fn offsets<T>(batch: &[(Ticket, T)]) -> Vec<i64> {
        batch.iter().map(|(ticket, _)| ticket.offset).collect()
    }

    #[test]
    fn one_at_a_time_per_key_in_order() {
        let now = Instant::now();
        let mut lanes = lanes();
        for (offset, key) in [(0, b"a"), (1, b"a"), (2, b"b"), (3, b"a")] {
            assert!(lanes.offer(0, offset, Some(key), (), now).is_none());
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
        let mut lanes = lanes();
        assert!(lanes.offer(0, 0, Some(b"a"), (), start).is_none());
        assert!(
            lanes
                .offer(0, 1, Some(b"b"), (), start + window.wait / 2)
                .is_none()
        );
        assert!(lanes.take(window, start).is_empty());
        assert_eq!(lanes.due_in(window, start), Some(window.wait));
        let first = lanes.take(window, start + window.wait);
        assert_eq!(offsets(&first), [0, 1]);
        // Behind a batch under way nothing of the same key goes, however full.
        for offset in 2..6 {
            assert!(lanes.offer(0, offset, Some(b"a"), (), start).is_none());
        }
        assert!(lanes.take(window, start + window.wait * 9).is_empty());
        assert!(lanes.offer(0, 6, Some(b"c"), (), start).is_none());
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
        let mut lanes = lanes();
        assert!(lanes.offer(0, 7, Some(b"a"), (), now).is_none());
        let old = lanes.take(ONE, now);
        lanes.clear();
        assert!(lanes.offer(0, 7, Some(b"a"), (), now).is_none());
        let new = lanes.take(ONE, now);
        lanes.finish(&old[0].0, now);
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 7)]));
        assert_eq!(lanes.held(), 1);
        lanes.finish(&new[0].0, now);
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 8)]));
    }

    #[test]
    fn what_waits_behind_a_failing_record_is_bounded_while_others_get_through() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lanes = Lanes::new(2);
        let mut offer = {
            let mut offset = 0;
            move |lanes: &mut Lanes<()>, key: &[u8], seconds| {
                offset += 1;
                lanes
                    .offer(0, offset, Some(key), (), at(seconds))
                    .map(|(ticket, ())| ticket)
            }
        };
        assert!(offer(&mut lanes, b"bad", 0).is_none());
        let bad = lanes.take(ONE, at(0));
        lanes.failed(&bad[0].0, at(1));
        // Nobody gets through: perhaps the receiver is away, then all wait.
        for second in 2..5 {
            assert!(offer(&mut lanes, b"bad", second).is_none());
        }
        assert!(offer(&mut lanes, b"good", 5).is_none());
        let good = lanes.take(ONE, at(5));
        lanes.finish(&good[0].0, at(6));
        // Others do: there are three behind it already.
        let out = offer(&mut lanes, b"bad", 7).unwrap();
        assert_eq!((out.offset, lanes.held()), (6, 5));
        lanes.crowded_out(&out);
        assert_eq!(lanes.held(), 4);
        lanes.finish(&bad[0].0, at(8));
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 2)]));
        // The next one has not failed yet.
        let next = lanes.take(ONE, at(8));
        assert_eq!(offsets(&next), [2]);
        assert!(offer(&mut lanes, b"bad", 9).is_none());
    }

    #[test]
    fn offsets_whose_commit_failed_are_due_again() {
        let now = Instant::now();
        let mut lanes = lanes();
        assert!(lanes.offer(0, 3, Some(b"a"), (), now).is_none());
        assert!(lanes.offer(1, 8, Some(b"b"), (), now).is_none());
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
        let mut lanes = lanes();
        lanes.pass_over(0, 4);
        assert_eq!(lanes.take_due(), BTreeMap::from([(0, 5)]));
        assert!(lanes.offer(0, 5, None, (), now).is_none());
        lanes.pass_over(0, 6);
        assert!(lanes.offer(0, 7, None, (), now).is_none());
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
            let mut lanes = lanes();
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
                        assert!(lanes.offer(i32::from(key % 2), offset, Some(&[key]), key, now).is_none());
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
