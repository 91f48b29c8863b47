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
