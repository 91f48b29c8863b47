//! Repeated, late and restarted events, told apart by sequence number and event time.

use serde::{Deserialize, Serialize};

/// Words of the bitmap: the last 1,024 sequence numbers are remembered one by one.
const WORDS: usize = 16;
const REMEMBERED: u64 = WORDS as u64 * 64;

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// A repetition, or too late to matter.
    Ignored,
    /// To be processed.
    Accepted,
    /// To be processed, and everything known before is from another time: the sequence went on while the
    /// clock went back by more than the lateness allowed.
    ClockSetBack,
}

/// What was seen of a vehicle's sequence and clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Order {
    /// Highest sequence number, and the newest event time in microseconds; `None` before the first event.
    newest: Option<(u64, i64)>,
    /// Bit i: `highest - i` was seen.
    seen: [u64; WORDS],
}

impl Order {
    /// Judges an event by its sequence number and its event time in microseconds.
    pub fn admit(&mut self, sequence: u64, time: i64, lateness: i64) -> Admission {
        let Some((highest, newest)) = self.newest else {
            self.restart(sequence, time);
            return Admission::Accepted;
        };
        if sequence > highest {
            self.advance(sequence - highest);
            if time < newest.saturating_sub(lateness) {
                self.newest = Some((sequence, time));
                return Admission::ClockSetBack;
            }
            self.newest = Some((sequence, newest.max(time)));
            return Admission::Accepted;
        }
        let behind = highest - sequence;
        if behind >= REMEMBERED || self.was_seen(behind) {
            // A repetition is never newer than what was seen; a device that counts from 0 again is.
            if time > newest {
                self.restart(sequence, time);
                return Admission::Accepted;
            }
            return Admission::Ignored;
        }
        if time < newest.saturating_sub(lateness) {
            return Admission::Ignored;
        }
        self.mark(behind);
        self.newest = Some((highest, newest.max(time)));
        Admission::Accepted
    }

    fn restart(&mut self, sequence: u64, time: i64) {
        *self = Self {
            newest: Some((sequence, time)),
            seen: [0; WORDS],
        };
        self.mark(0);
    }

    fn was_seen(&self, behind: u64) -> bool {
        self.seen[(behind / 64) as usize] >> (behind % 64) & 1 == 1
    }

    fn mark(&mut self, behind: u64) {
        self.seen[(behind / 64) as usize] |= 1 << (behind % 64);
    }

    /// Makes room for a sequence number that is `by` higher, and marks it.
    fn advance(&mut self, by: u64) {
        if by >= REMEMBERED {
            self.seen = [0; WORDS];
        } else {
            let (words, bits) = ((by / 64) as usize, by % 64);
            for i in (0..WORDS).rev() {
                let from = |back: usize| i.checked_sub(words + back).map_or(0, |j| self.seen[j]);
                let carried = if bits == 0 { 0 } else { from(1) >> (64 - bits) };
                self.seen[i] = from(0) << bits | carried;
            }
        }
        self.mark(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Admission::{Accepted, ClockSetBack, Ignored};
    use proptest::prelude::*;

    const LATE: i64 = 120;

    #[test]
    fn repetitions_and_stragglers() {
        let mut o = Order::default();
        assert_eq!(o.admit(10, 1000, LATE), Accepted);
        assert_eq!(o.admit(10, 1000, LATE), Ignored);
        assert_eq!(o.admit(12, 1002, LATE), Accepted);
        assert_eq!(o.admit(11, 1001, LATE), Accepted);
        assert_eq!(o.admit(11, 1001, LATE), Ignored);
        assert_eq!(o.admit(9, 800, LATE), Ignored, "too late");
        assert_eq!(o.admit(5000, 1500, LATE), Accepted);
        assert_eq!(o.admit(12, 1002, LATE), Ignored, "forgotten and not newer");
    }

    #[test]
    fn a_device_that_counts_again_is_heard() {
        let mut o = Order::default();
        for i in 0..100 {
            assert_eq!(o.admit(i, i as i64, LATE), Accepted);
        }
        assert_eq!(o.admit(0, 10_000, LATE), Accepted);
        assert_eq!(o.admit(1, 10_001, LATE), Accepted);
        assert_eq!(o.admit(1, 10_001, LATE), Ignored);
    }

    #[test]
    fn a_clock_set_back_starts_over() {
        let mut o = Order::default();
        assert_eq!(o.admit(0, 10_000, LATE), Accepted);
        assert_eq!(o.admit(1, 500, LATE), ClockSetBack);
        assert_eq!(o.admit(2, 501, LATE), Accepted);
    }

    proptest! {
        #[test]
        fn each_sequence_number_is_accepted_once(jumps in proptest::collection::vec((0u64..200, 0usize..3), 1..200)) {
            let mut o = Order::default();
            let (mut sequence, mut accepted) = (0, std::collections::BTreeSet::new());
            for (jump, repeats) in jumps {
                sequence += jump;
                for _ in 0..=repeats {
                    let expected = if accepted.insert(sequence) { Accepted } else { Ignored };
                    prop_assert_eq!(o.admit(sequence, sequence as i64, i64::MAX / 4), expected);
                }
                // Anything of the last 1,023 is still known.
                for old in accepted.range(sequence.saturating_sub(1023)..).copied().collect::<Vec<_>>() {
                    prop_assert_eq!(o.admit(old, old as i64, i64::MAX / 4), Ignored);
                }
            }
        }
    }
}
