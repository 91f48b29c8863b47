//! A bounded window over one signal in event time: readings are averaged in slots, so that rate, order and
//! repetition of samples matter little.

use serde::{Deserialize, Serialize};

/// Width of a slot in microseconds.
const SLOT: i64 = 4_000_000;
/// Slots are kept this long, in slots (4 minutes) …
const KEPT: i64 = 60;
/// … but this many are kept longer, so that vehicles that send once a minute are judged too …
const FEW: usize = 5;
/// … up to this age, in slots (30 minutes).
const KEPT_FEW: i64 = 450;

/// Slots in order of time, newest last; never more than 61.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Window {
    slots: Vec<Slot>,
}

/// Slot number since 1970, sum of readings, number of readings. A tuple, because it is stored by the million.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Slot(i64, f64, u32);

impl Slot {
    fn mean(self) -> f64 {
        self.1 / f64::from(self.2)
    }
}

impl Window {
    /// Takes in a reading with its event time in microseconds.
    pub fn add(&mut self, time: i64, value: f64) {
        let number = time.div_euclid(SLOT);
        match self.slots.binary_search_by_key(&number, |s| s.0) {
            Ok(i) => {
                self.slots[i].1 += value;
                self.slots[i].2 = self.slots[i].2.saturating_add(1);
            }
            Err(i) => {
                self.slots.insert(i, Slot(number, value, 1));
                self.prune();
            }
        }
    }

    fn prune(&mut self) {
        let Some(newest) = self.slots.last().map(|s| s.0) else {
            return;
        };
        let len = self.slots.len();
        let surplus = self
            .slots
            .iter()
            .enumerate()
            .take_while(|(i, s)| {
                let age = newest - s.0;
                age > KEPT_FEW || (age > KEPT && len - i > FEW)
            })
            .count();
        self.slots.drain(..surplus);
    }

    /// The present level: the median of the three newest slots. One wild reading cannot move it far, and there
    /// is none before three slots were filled.
    pub fn level(&self) -> Option<f64> {
        match *self.slots.as_slice() {
            [.., a, b, c] => {
                let (a, b, c) = (a.mean(), b.mean(), c.mean());
                Some(a.max(b).min(a.min(b).max(c)))
            }
            _ => None,
        }
    }

    /// The trend over the last `seconds`, in units per minute: the median of the slopes between all pairs of
    /// slots (Theil–Sen), which up to a quarter of wild slots do not disturb. None when the slots span less than
    /// three quarters of that time, or are fewer than five.
    pub fn trend_per_minute(&self, seconds: f64) -> Option<f64> {
        let newest = self.slots.last()?.0;
        let span = (seconds * 1e6 / SLOT as f64) as i64;
        let first = self.slots.partition_point(|s| s.0 < newest - span);
        let slots = &self.slots[first..];
        if slots.len() < FEW || (newest - slots[0].0) * 4 < span * 3 {
            return None;
        }
        let mut slopes = Vec::with_capacity(slots.len() * (slots.len() - 1) / 2);
        for (i, late) in slots.iter().enumerate() {
            for early in &slots[..i] {
                slopes.push((late.mean() - early.mean()) / (late.0 - early.0) as f64);
            }
        }
        let middle = slopes.len() / 2;
        let (_, median, _) = slopes.select_nth_unstable_by(middle, f64::total_cmp);
        Some(*median * 60e6 / SLOT as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ramp(seconds: i64, per_minute: f64) -> Window {
        let mut w = Window::default();
        for s in 0..seconds {
            w.add(s * 1_000_000, (90.0 + per_minute * s as f64 / 60.0).round());
        }
        w
    }

    #[test]
    fn level_and_trend_of_whole_degrees() {
        for rate in [1.0, 2.0, 5.0, 20.0] {
            let w = ramp(240, rate);
            let trend = w.trend_per_minute(60.0).unwrap();
            assert!((trend - rate).abs() < 0.35 + rate * 0.05, "{rate}: {trend}");
            let level = w.level().unwrap();
            assert!(
                (level - (90.0 + rate * 234.0 / 60.0)).abs() < 1.0,
                "{rate}: {level}"
            );
        }
    }

    #[test]
    fn nothing_before_there_is_enough() {
        assert_eq!(ramp(8, 5.0).level(), None);
        assert_eq!(ramp(30, 5.0).trend_per_minute(60.0), None);
        assert!(ramp(60, 5.0).trend_per_minute(60.0).is_some());
    }

    #[test]
    fn wild_readings_are_outvoted() {
        let mut w = ramp(120, 0.0);
        w.add(119_000_000, 200.0);
        assert!((w.level().unwrap() - 90.0).abs() < 1e-9);
        assert!(w.trend_per_minute(60.0).unwrap().abs() < 1e-9);
    }

    #[test]
    fn one_reading_a_minute_is_enough_for_a_level() {
        let mut w = Window::default();
        for minute in 0..60 {
            w.add(minute * 60_000_000, 100.0 + minute as f64);
        }
        assert_eq!(w.level(), Some(158.0));
        assert_eq!(w.slots.len(), FEW);
    }

    proptest! {
        #[test]
        fn bounded(readings in proptest::collection::vec((0i64..100_000_000_000, -50.0..150.0f64), 0..500)) {
            let mut w = Window::default();
            for (time, value) in readings {
                w.add(time, value);
                prop_assert!(w.slots.len() <= KEPT as usize + 1);
                prop_assert!(w.slots.is_sorted_by_key(|s| s.0));
            }
        }

        #[test]
        fn order_within_the_window_does_not_matter(mut readings in proptest::collection::vec((0i64..200_000_000, 0u8..=130), 1..200), seed in any::<u64>()) {
            let fill = |readings: &[(i64, u8)]| {
                let mut w = Window::default();
                readings.iter().for_each(|(t, v)| w.add(*t, f64::from(*v)));
                w
            };
            let sorted = fill(&readings);
            let mut x = seed | 1;
            for i in (1..readings.len()).rev() {
                x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                readings.swap(i, (x >> 33) as usize % (i + 1));
            }
            prop_assert_eq!(fill(&readings), sorted);
        }
    }
}
