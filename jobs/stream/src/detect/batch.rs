//! What goes into the next transaction.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use millrace_contract::{Alert, DeadLetter, TraceParent};

/// When a batch becomes a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest wait of its first event.
    pub interval: Duration,
    /// The most events.
    pub events: usize,
}

/// Events that were processed and not yet committed: what they raised, whom they touched, how far they reach.
#[derive(Debug, Default)]
pub struct Batch {
    /// Alerts, in the order in which they were raised, each with the trace of the event that raised it.
    pub alerts: Vec<(Alert, Option<TraceParent>)>,
    /// Records that could not be read.
    pub dead: Vec<DeadLetter>,
    /// Vehicles whose state has changed, by partition.
    pub changed: BTreeMap<i32, HashSet<String>>,
    next: BTreeMap<i32, i64>,
    events: usize,
    oldest: Option<Instant>,
    records: Vec<i64>,
}

impl Batch {
    /// One more record was processed; `timestamp_ms` is when it entered Kafka.
    pub fn reached(
        &mut self,
        partition: i32,
        offset: i64,
        timestamp_ms: Option<i64>,
        now: Instant,
    ) {
        self.next.insert(partition, offset + 1);
        self.events += 1;
        self.oldest.get_or_insert(now);
        self.records.extend(timestamp_ms);
    }

    /// Something happened in a partition without a further record; `next` is the offset that is to be read
    /// next there. It goes along, so that a process that lost the partition cannot commit.
    pub fn stays(&mut self, partition: i32, next: i64, now: Instant) {
        self.next.entry(partition).or_insert(next);
        self.oldest.get_or_insert(now);
    }

    /// The state of a vehicle has changed.
    pub fn touched(&mut self, partition: i32, vehicle: &str) {
        let vehicles = self.changed.entry(partition).or_default();
        if !vehicles.contains(vehicle) {
            vehicles.insert(vehicle.to_owned());
        }
    }

    /// Whether it must become a transaction now: an alert never waits.
    #[must_use]
    pub fn is_due(&self, limits: Limits, now: Instant) -> bool {
        self.events >= limits.events || self.wait(limits, now).is_some_and(|w| w.is_zero())
    }

    /// How long it may still wait; none when it is empty.
    #[must_use]
    pub fn wait(&self, limits: Limits, now: Instant) -> Option<Duration> {
        let oldest = self.oldest?;
        if !self.alerts.is_empty() {
            return Some(Duration::ZERO);
        }
        Some((oldest + limits.interval).saturating_duration_since(now))
    }

    /// The offsets of the next records to read.
    #[must_use]
    pub fn next(&self) -> Vec<(i32, i64)> {
        self.next.iter().map(|(p, o)| (*p, *o)).collect()
    }

    /// Nothing has happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// When they entered Kafka; milliseconds since 1970.
    #[must_use]
    pub fn record_times(&self) -> &[i64] {
        &self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        interval: Duration::from_millis(200),
        events: 3,
    };

    #[test]
    fn it_waits_for_time_or_number() {
        let start = Instant::now();
        let mut batch = Batch::default();
        assert_eq!(batch.wait(LIMITS, start), None);
        batch.reached(0, 7, None, start);
        assert!(!batch.is_due(LIMITS, start));
        assert!(batch.is_due(LIMITS, start + LIMITS.interval));
        batch.reached(0, 8, None, start + Duration::from_millis(150));
        // The first event counts, not the last.
        assert!(batch.is_due(LIMITS, start + LIMITS.interval));
        batch.reached(1, 0, None, start);
        assert!(batch.is_due(LIMITS, start));
        assert_eq!(batch.next(), [(0, 9), (1, 1)]);
    }

    #[test]
    fn what_happens_without_a_record_keeps_the_place() {
        let start = Instant::now();
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        batch.stays(3, 8, start);
        assert!(!batch.is_empty());
        assert!(batch.is_due(LIMITS, start + LIMITS.interval));
        assert_eq!(batch.next(), [(3, 8)]);
        batch.reached(3, 8, None, start);
        batch.stays(3, 9, start);
        assert_eq!(batch.next(), [(3, 9)]);
    }

    #[test]
    fn a_vehicle_is_written_once_per_transaction() {
        let mut batch = Batch::default();
        batch.touched(0, "car-1");
        batch.touched(0, "car-1");
        batch.touched(2, "car-2");
        assert_eq!(batch.changed.values().map(HashSet::len).sum::<usize>(), 2);
    }
}
