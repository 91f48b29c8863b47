//! Which numbers were seen. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millrace_contract::codec;
use serde::{Deserialize, Serialize};

use super::content;

/// Numbers, as ranges: first and last of each, which do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds a number; false when it was there.
    pub fn add(&mut self, number: u64) -> bool {
        // The first range that ends at the number's neighbour or behind it.
        let at = self
            .0
            .partition_point(|(_, last)| last.saturating_add(1) < number);
        let Some(range) = self.0.get_mut(at) else {
            self.0.push((number, number));
            return true;
        };
        if (range.0..=range.1).contains(&number) {
            return false;
        }
        if range.1.saturating_add(1) == number {
            range.1 = number;
            let last = range.1;
            if let Some((first, end)) = self.0.get(at + 1).copied()
                && last.saturating_add(1) == first
            {
                self.0.remove(at + 1);
                if let Some(range) = self.0.get_mut(at) {
                    range.1 = end;
                }
            }
        } else if number.saturating_add(1) == range.0 {
            range.0 = number;
        } else {
            self.0.insert(at, (number, number));
        }
        true
    }

    /// How many numbers there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// The highest number.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.0.last().map(|(_, last)| *last)
    }

    /// The numbers of this that `other` lacks.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for &(first, last) in &self.0 {
            let mut from = first;
            for &(low, high) in &other.0 {
                if high < from || low > last {
                    continue;
                }
                if low > from {
                    left.push((from, low - 1));
                }
                from = high.saturating_add(1);
            }
            if from <= last {
                left.push((from, last));
            }
        }
        Self(left)
    }
}

/// The longest time between two moments that followed one another.
#[derive(Debug, Default)]
pub struct Gap {
    former: Option<Instant>,
    longest: Duration,
}

impl Gap {
    /// It happened again.
    pub fn now(&mut self) {
        self.at(Instant::now());
    }

    fn at(&mut self, moment: Instant) {
        if let Some(former) = self.former.replace(moment) {
            self.longest = self.longest.max(moment.duration_since(former));
        }
    }

    /// In milliseconds.
    #[must_use]
    pub fn milliseconds(&self) -> u64 {
        u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX)
    }
}

/// What `produce` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Produced {
    /// Name of the drill.
    pub run: String,
    /// The topic.
    pub topic: String,
    /// How many records Kafka acknowledged.
    pub acknowledged: u64,
    /// How many it did not, in the time that a record has; they may lie there all the same.
    pub failed: u64,
    /// The longest time without an acknowledgement, in milliseconds.
    pub longest_gap_ms: u64,
    /// From the first record to the end, in milliseconds.
    pub took_ms: u64,
    /// Numbers that were acknowledged, by partition.
    pub acknowledged_numbers: BTreeMap<i32, Ranges>,
}

/// What `consume` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumed {
    /// Name of the drill.
    pub run: String,
    /// The topic.
    pub topic: String,
    /// How many records came.
    pub records: u64,
    /// How many were acknowledged and did not come; absent when nobody told what was acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Their numbers, by partition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost_numbers: BTreeMap<i32, Ranges>,
    /// How many numbers below the highest of their partition did not come, acknowledged or not.
    pub missing: u64,
    /// How many came again, at another offset.
    pub doubled: u64,
    /// How many came after a higher number of their partition.
    pub out_of_order: u64,
    /// The longest time between two records that came, in milliseconds.
    pub longest_gap_ms: u64,
    /// Numbers that came, by partition.
    pub numbers: BTreeMap<i32, Ranges>,
}

impl Consumed {
    /// A record came.
    pub fn came(&mut self, partition: i32, number: u64) {
        self.records += 1;
        let seen = self.numbers.entry(partition).or_default();
        let late = seen.highest().is_some_and(|highest| number < highest);
        if !seen.add(number) {
            self.doubled += 1;
        } else if late {
            self.out_of_order += 1;
        }
    }

    /// All has come that will.
    pub fn end(&mut self) {
        self.missing = self
            .numbers
            .values()
            .map(|seen| seen.highest().map_or(0, |highest| highest + 1) - seen.count())
            .sum();
    }

    /// Counts what was acknowledged and did not come.
    pub fn judge(&mut self, produced: &Produced) {
        let none = Ranges::default();
        self.lost_numbers = produced
            .acknowledged_numbers
            .iter()
            .map(|(partition, acknowledged)| {
                let came = self.numbers.get(partition).unwrap_or(&none);
                (*partition, acknowledged.without(came))
            })
            .filter(|(_, lost)| lost.count() > 0)
            .collect();
        self.lost = Some(self.lost_numbers.values().map(Ranges::count).sum());
    }
}

/// The payload of a record, at least `size` bytes long.
#[must_use]
pub fn payload(run: &str, number: u64, size: usize) -> String {
    let text = format!("{run} {number} ");
    format!("{text:.<size$}")
}

/// The number of a record, text or telemetry, when it is one of this drill.
#[must_use]
pub fn number(run: &str, payload: &[u8]) -> Option<u64> {
    if payload.first() == Some(&b'{') {
        return content::number(run, &codec::decode(payload).ok()?);
    }
    let mut words = std::str::from_utf8(payload).ok()?.split(' ');
    if words.next() != Some(run) {
        return None;
    }
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(numbers: impl IntoIterator<Item = u64>) -> Ranges {
        let mut ranges = Ranges::default();
        for number in numbers {
            ranges.add(number);
        }
        ranges
    }

    proptest! {
        #[test]
        fn ranges_are_sets(a in prop::collection::vec(0_u64..40, 0..60), b in prop::collection::vec(0_u64..40, 0..60)) {
            let mut set = BTreeSet::new();
            let mut ranges = Ranges::default();
            for number in &a {
                prop_assert_eq!(ranges.add(*number), set.insert(*number));
            }
            prop_assert_eq!(ranges.count(), set.len() as u64);
            prop_assert_eq!(ranges.highest(), set.last().copied());
            prop_assert_eq!(&ranges, &of(set.iter().copied()));
            let other: BTreeSet<u64> = b.iter().copied().collect();
            prop_assert_eq!(ranges.without(&of(b)), of(set.difference(&other).copied()));
        }
    }

    #[test]
    fn what_was_acknowledged_and_did_not_come_is_lost() {
        let mut consumed = Consumed::default();
        for (partition, number) in [(0, 0), (0, 1), (0, 4), (0, 3), (0, 1), (1, 0)] {
            consumed.came(partition, number);
        }
        consumed.end();
        let counts = (consumed.missing, consumed.doubled, consumed.out_of_order);
        assert_eq!(counts, (1, 1, 1));
        let produced = Produced {
            acknowledged_numbers: BTreeMap::from([
                (0, of([0, 1, 3, 4])),
                (1, of([0, 1])),
                (2, of([7])),
            ]),
            ..Produced::default()
        };
        consumed.judge(&produced);
        assert_eq!(
            consumed.lost,
            Some(2),
            "2 of partition 0 never was acknowledged"
        );
        assert_eq!(
            consumed.lost_numbers,
            BTreeMap::from([(1, of([1])), (2, of([7]))])
        );
        let line = serde_json::to_string(&produced).unwrap();
        assert!(line.contains(r#""0":[[0,1],[3,4]]"#), "{line}");
        assert_eq!(serde_json::from_str::<Produced>(&line).unwrap(), produced);
    }

    #[test]
    fn payloads() {
        let text = payload("a", 12, 20);
        assert_eq!(text.len(), 20);
        assert_eq!(number("a", text.as_bytes()), Some(12));
        assert_eq!(number("b", text.as_bytes()), None);
        assert_eq!(number("a", payload("a", 3, 0).as_bytes()), Some(3));
        assert_eq!(number("a", b"\xff"), None);
    }

    #[test]
    fn the_longest_gap() {
        let mut gap = Gap::default();
        let start = Instant::now();
        for seconds in [0, 1, 4, 5] {
            gap.at(start + Duration::from_secs(seconds));
        }
        assert_eq!(gap.milliseconds(), 3000);
    }
}
