//! A bounded window over one signal in event time: readings are averaged in slots, so that rate, order and
//! repetition of samples matter little.

use serde::{Deserialize, Serialize};

/// At least this many slots are kept, so that vehicles that send once a minute are judged too …
const FEW: usize = 5;
/// … up to this age, in microseconds (30 minutes).
const KEPT_FEW: i64 = 1_800_000_000;

/// Slots of `WIDTH` seconds in order of time, newest last; never more than `KEPT` + 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Window<const WIDTH: i64, const KEPT: i64> {
    slots: Vec<Slot>,
}

impl<const WIDTH: i64, const KEPT: i64> Default for Window<WIDTH, KEPT> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

/// Slot number since 1970, sum of readings, number of readings. A tuple, because it is stored by the million.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Slot(i64, f64, u32);

impl Slot {
    fn mean(self) -> f64 {
        self.1 / f64::from(self.2)
    }
}

impl<const WIDTH: i64, const KEPT: i64> Window<WIDTH, KEPT> {
    /// Width of a slot in microseconds.
    const SLOT: i64 = WIDTH * 1_000_000;

    /// Takes in a reading with its event time in microseconds.
    pub fn add(&mut self, time: i64, value: f64) {
        let number = time.div_euclid(Self::SLOT);
        let value = thousandths(value);
        // Nearly always the newest slot, or a new one behind it.
        let place = match self.slots.last() {
            Some(last) if last.0 == number => Ok(self.slots.len() - 1),
            Some(last) if last.0 < number => Err(self.slots.len()),
            _ => self.slots.binary_search_by_key(&number, |s| s.0),
        };
        match place {
            Ok(i) => {
                self.slots[i].1 = thousandths(self.slots[i].1 + value);
                self.slots[i].2 = self.slots[i].2.saturating_add(1);
            }
            Err(i) => {
                self.slots.insert(i, Slot(number, value, 1));
                self.prune();
            }
        }
    }

    /// Takes over the readings of another window.
    pub fn absorb(&mut self, other: &mut Self) {
        for slot in std::mem::take(&mut other.slots) {
            match self.slots.binary_search_by_key(&slot.0, |s| s.0) {
                Ok(i) => {
                    self.slots[i].1 = thousandths(self.slots[i].1 + slot.1);
                    self.slots[i].2 = self.slots[i].2.saturating_add(slot.2);
                }
                Err(i) => self.slots.insert(i, slot),
            }
        }
        self.prune();
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// When the newest slot began, in microseconds.
    pub fn newest(&self) -> Option<i64> {
        self.slots.last().map(|s| s.0 * Self::SLOT)
    }

    /// Forgets all readings.
    pub fn clear(&mut self) {
        self.slots.clear();
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
                age > KEPT_FEW / Self::SLOT || (age > KEPT && len - i > FEW)
            })
            .count();
        self.slots.drain(..surplus);
    }

    /// The median of the slots of the last `seconds`, or of the three newest where these are fewer. None before
    /// the window is that long, or when these span less than three quarters of it.
    pub fn median(&self, seconds: f64) -> Option<f64> {
        let newest = self.slots.last()?.0;
        let span = Self::span(seconds);
        let first = self.slots.partition_point(|s| s.0 <= newest - span);
        let first = first.min(self.slots.len().checked_sub(3)?);
        let slots = &self.slots[first..];
        // The slots around the ends count whole.
        let whole = newest - self.slots[0].0 + 1;
        if whole < span || (newest - slots[0].0 + 1) * 4 < span * 3 {
            return None;
        }
        median(slots)
    }

    /// The median of what there was before the last `seconds`, and how many seconds ago that ended; None of less
    /// than three slots.
    pub fn median_before(&self, seconds: f64) -> Option<(f64, f64)> {
        let newest = self.slots.last()?.0;
        let end = self
            .slots
            .partition_point(|s| s.0 <= newest - Self::span(seconds));
        let before = self.slots.get(..end).filter(|s| s.len() >= 3)?;
        let ago = (newest - before.last()?.0) * WIDTH;
        Some((median(before)?, ago as f64))
    }

    /// How much the level changed over the last `seconds`: from the median of the first third of the slots to that
    /// of the last third. What changes steadily changes by two thirds of what its trend says for that time; what
    /// changed in a step, by more.
    pub fn change(&self, seconds: f64) -> Option<f64> {
        let newest = self.slots.last()?.0;
        let first = self
            .slots
            .partition_point(|s| s.0 < newest - Self::span(seconds));
        let slots = &self.slots[first..];
        let third = slots.len() / 3;
        Some(median(slots.get(slots.len() - third..)?)? - median(slots.get(..third)?)?)
    }

    fn span(seconds: f64) -> i64 {
        (seconds * 1e6 / Self::SLOT as f64) as i64
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
        let span = Self::span(seconds);
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
        Some(*median * 60e6 / Self::SLOT as f64)
    }
}

fn median(slots: &[Slot]) -> Option<f64> {
    let mut means: Vec<f64> = slots.iter().map(|s| s.mean()).collect();
    if means.is_empty() {
        return None;
    }
    let middle = means.len() / 2;
    Some(*means.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// Rounded to what sensors tell apart: sums stay exact, and short where they are stored.
fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Window = super::Window<4, 60>;

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

    #[test]
    fn steps_change_more_than_their_trend_says() {
        let w = ramp(200, 6.0);
        let change = w.change(120.0).unwrap();
        assert!((change - 6.0 * 80.0 / 60.0).abs() < 1.0, "{change}");
        let mut w = Window::default();
        for s in 0..200 {
            w.add(s * 1_000_000, if s < 160 { 14.0 } else { 12.0 });
        }
        assert_eq!(w.change(120.0), Some(-2.0));
        assert!(w.trend_per_minute(120.0).unwrap() > -1.0);
    }

    #[test]
    fn a_median_over_a_minute() {
        let mut w = super::Window::<10, 12>::default();
        for s in 0..30 {
            w.add(s * 1_000_000, 20.0);
        }
        assert_eq!(w.median(60.0), None, "half a minute is too short");
        for s in 30..90 {
            w.add(s * 1_000_000, if s % 20 < 8 { 3.0 } else { 20.0 });
        }
        assert_eq!(w.median(60.0), Some(20.0));
        for s in 90..140 {
            w.add(s * 1_000_000, 5.0);
        }
        assert_eq!(w.median(60.0), Some(5.0));
        w.clear();
        assert_eq!(w.median(60.0), None);
    }

    proptest! {
        #[test]
        fn bounded(readings in proptest::collection::vec((0i64..100_000_000_000, -50.0..150.0f64), 0..500)) {
            let mut w = Window::default();
            for (time, value) in readings {
                w.add(time, value);
                prop_assert!(w.slots.len() <= 61);
                prop_assert!(w.slots.is_sorted_by_key(|s| s.0));
            }
        }

        #[test]
        fn what_is_absorbed_is_as_if_it_had_been_added(readings in proptest::collection::vec((0i64..200_000_000, 0u8..=130, any::<bool>()), 0..200)) {
            let (mut whole, mut one, mut other) = (Window::default(), Window::default(), Window::default());
            for (time, value, which) in readings {
                whole.add(time, f64::from(value));
                (if which { &mut one } else { &mut other }).add(time, f64::from(value));
            }
            one.absorb(&mut other);
            prop_assert_eq!(one, whole);
            prop_assert!(other.is_empty());
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
