//! Times as files write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::mapping::DateOrder;

/// Rows of equal time are spread no wider than this many seconds each.
const MAX_STEP: f64 = 1.0;
/// The step of equal rows before any other is known, in seconds.
const FIRST_STEP: f64 = 0.5;
const DAY: f64 = 86_400.0;

pub(super) fn number(cell: &[u8]) -> Option<f64> {
    std::str::from_utf8(cell)
        .ok()?
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite())
}

/// Seconds of `HH:MM:SS[.fraction]`.
pub(super) fn clock(cell: &[u8]) -> Option<f64> {
    let mut parts = std::str::from_utf8(cell).ok()?.split(':');
    let (hours, minutes) = (
        parts.next()?.parse::<u32>().ok()?,
        parts.next()?.parse::<u32>().ok()?,
    );
    let seconds = number(parts.next()?.as_bytes()).filter(|s| (0.0..61.0).contains(s))?;
    (parts.next().is_none() && hours < 24 && minutes < 60)
        .then(|| f64::from(hours * 3600 + minutes * 60) + seconds)
}

/// Seconds since 1970 of an RFC 3339 time.
pub(super) fn rfc3339(cell: &[u8]) -> Option<f64> {
    let time: Timestamp = std::str::from_utf8(cell).ok()?.parse().ok()?;
    Some(time.as_microsecond() as f64 / 1e6)
}

/// A day, its three numbers being separated by whatever is no digit.
pub(super) fn date(text: &str, order: DateOrder) -> Option<Date> {
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(|part| part.parse::<i16>().ok());
    let three = [numbers.next()??, numbers.next()??, numbers.next()??];
    let [year, month, day] = match order {
        DateOrder::Ymd => three,
        DateOrder::Mdy => [three[2], three[0], three[1]],
        DateOrder::Dmy => [three[2], three[1], three[0]],
    };
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// Seconds since 1970 of a day and a time of day in a zone.
pub(super) fn local(date: Date, seconds: f64, zone: &TimeZone) -> Option<f64> {
    let time = DateTime::from(date)
        .checked_add(super::micros(seconds))
        .ok()?
        .to_zoned(zone.clone())
        .ok()?
        .timestamp();
    Some(time.as_microsecond() as f64 / 1e6)
}

/// Which times, in seconds since 1970, are of the days of the trip: that of the median, and those that follow each
/// other from there without more than a day between. The others come of receivers that had no time yet.
pub(super) fn of_the_trip(times: &[f64]) -> std::ops::RangeInclusive<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let apart = |pair: &[f64]| pair[1] - pair[0] > DAY;
    let first = sorted[..middle.min(sorted.len())]
        .windows(2)
        .rposition(apart)
        .map_or(0, |i| i + 1);
    let (before, after) = sorted.split_at(middle);
    let first = match (before.last(), after.first()) {
        (Some(a), Some(b)) if b - a > DAY => middle,
        _ => first,
    };
    let last = after
        .windows(2)
        .position(apart)
        .map_or(after.len(), |i| i + 1);
    match (
        sorted.get(first),
        last.checked_sub(1).and_then(|i| after.get(i)),
    ) {
        (Some(first), Some(last)) => *first..=*last,
        _ => f64::MIN..=f64::MAX,
    }
}

/// Makes times strictly rise: goes on after restarts and midnight, and spreads equal ones.
pub(super) fn spread(times: &mut [f64], wraps: bool) {
    let mut shift = 0.0;
    let mut previous: Option<f64> = None;
    for time in times.iter_mut() {
        let raw = *time + shift;
        if let Some(previous) = previous
            && raw < previous
        {
            let midnight = wraps && previous - raw > DAY / 2.0;
            shift += if midnight {
                DAY
            } else {
                previous - raw + MAX_STEP
            };
        }
        *time += shift;
        previous = Some(*time);
    }
    let mut step = FIRST_STEP;
    let mut begin = 0;
    while begin < times.len() {
        let at = times[begin];
        let count = times[begin..].iter().take_while(|t| **t == at).count();
        // The last group has no next time: it goes on at the pace before.
        if let Some(next) = times.get(begin + count) {
            step = ((next - at) / count as f64).min(MAX_STEP);
        }
        for (i, time) in times[begin..begin + count].iter_mut().enumerate() {
            *time = at + step * i as f64;
        }
        begin += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_of_a_trip_are_those_around_the_median() {
        let day = |d: f64| d * DAY;
        let of = |days: &[f64]| {
            let times: Vec<f64> = days.iter().map(|d| day(*d)).collect();
            let range = of_the_trip(&times);
            let kept = times.iter().filter(|t| range.contains(t));
            kept.map(|t| t / DAY).collect::<Vec<_>>()
        };
        assert_eq!(
            of(&[100.0, 100.1, 8000.0, 100.2, 3.0, 100.3]),
            [100.0, 100.1, 100.2, 100.3]
        );
        // Over days, in a row.
        let long: Vec<f64> = (0..40).map(|i| 50.0 + 0.7 * f64::from(i)).collect();
        assert_eq!(of(&long), long);
        // The nonsense comes first, and is nearly half of it.
        assert_eq!(of(&[9000.0, 9000.0, 10.0, 10.1, 10.2]), [10.0, 10.1, 10.2]);
        assert_eq!(of(&[1.0, 1.0, 10.0, 10.1, 10.2]), [10.0, 10.1, 10.2]);
        assert_eq!(of(&[5.0]), [5.0]);
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn days_and_zones() {
        let day = jiff::civil::date(2021, 3, 29);
        assert_eq!(date("03/29/2021", DateOrder::Mdy), Some(day));
        assert_eq!(date("29.3.2021", DateOrder::Dmy), Some(day));
        assert_eq!(date("2021-03-29_Seat_Leon_S_2", DateOrder::Ymd), Some(day));
        for bad in ["90/02/2032", "02/00/2090", "", "03/29", "3/29/99999999"] {
            assert_eq!(date(bad, DateOrder::Mdy), None, "{bad}");
        }
        // Morocco is at UTC+1, and in Ramadan at UTC.
        let zone = TimeZone::get("Africa/Casablanca").unwrap();
        let at = |day, seconds| {
            super::super::instant(local(day, seconds, &zone).unwrap())
                .unwrap()
                .to_string()
        };
        assert_eq!(at(day, 40_425.5), "2021-03-29T10:13:45.5Z");
        assert_eq!(
            at(jiff::civil::date(2021, 4, 22), 3600.0),
            "2021-04-22T01:00:00Z"
        );
    }
}
