//! When a curfew is in force: windows of local time, over midnight and over changes of the clock.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// One window of a curfew.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Window {
    pub from: Time,
    /// None is midnight at the end of the day, "24:00". What is not after `from` is on the next day.
    pub to: Option<Time>,
    pub zone: TimeZone,
    /// The days on which it begins, Monday first.
    pub days: [bool; 7],
}

/// From when to when a curfew is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    pub start: Timestamp,
    pub end: Timestamp,
}

impl Window {
    /// The times at which it is in force that begins on `date`.
    fn on(&self, date: Date) -> Option<Period> {
        if !self.days[usize::from(date.weekday().to_monday_zero_offset().unsigned_abs())] {
            return None;
        }
        let (last, to) = match self.to {
            None => (date.tomorrow().ok()?, Time::midnight()),
            Some(to) if to > self.from => (date, to),
            Some(to) => (date.tomorrow().ok()?, to),
        };
        let start = self
            .zone
            .to_ambiguous_timestamp(date.to_datetime(self.from));
        let end = self.zone.to_ambiguous_timestamp(last.to_datetime(to));
        // A time that comes twice begins a curfew at its first and ends it at its second coming; one that does
        // not come at all is taken as if the clock had not been changed yet.
        Some(Period {
            start: start.compatible().ok()?,
            end: end.later().ok()?,
        })
    }

    fn touching(&self, from: Timestamp, to: Timestamp) -> Option<Period> {
        let today = from.to_zoned(self.zone.clone()).date();
        let last = to.to_zoned(self.zone.clone()).date();
        let mut date = today.yesterday().unwrap_or(today);
        for _ in 0..400 {
            if let Some(span) = self.on(date)
                && span.start <= to
                && span.end > from
                && span.end > span.start
            {
                return Some(span);
            }
            match date.tomorrow() {
                Ok(next) if next <= last => date = next,
                _ => return None,
            }
        }
        None
    }
}

/// The curfew that is in force at some time from `from` to `to`, the earliest if there are several; windows that
/// follow each other without a gap are one.
pub(crate) fn in_force(windows: &[Window], from: Timestamp, to: Timestamp) -> Option<Period> {
    let earliest = |from, to| {
        windows
            .iter()
            .filter_map(|w| w.touching(from, to))
            .min_by_key(|s| s.start)
    };
    let mut found = earliest(from, to)?;
    // A week of windows may be one curfew without end: enough is known of it after some days.
    for _ in 0..16 {
        let more = windows
            .iter()
            .filter_map(|w| w.touching(found.end, found.end))
            .map(|s| s.end)
            .max();
        match more {
            Some(end) if end > found.end => found.end = end,
            _ => break,
        }
    }
    Some(found)
}

/// The day of this English name or its first three letters, in any case.
pub(crate) fn weekday(name: &str) -> Option<Weekday> {
    const NAMES: [(&str, Weekday); 7] = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let lower = name.to_ascii_lowercase();
    NAMES
        .iter()
        .find(|(n, _)| lower == *n || lower == n[..3])
        .map(|(_, d)| *d)
}

/// A time of a day such as 22:00 or 6:30.
pub(crate) fn time(text: &str) -> Option<Time> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |t: &str| (1..=2).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) || minutes.len() != 2 {
        return None;
    }
    Time::new(hours.parse().ok()?, minutes.parse().ok()?, 0, 0).ok()
}

/// A later moment.
pub(crate) fn after(time: Timestamp, seconds: f64) -> Timestamp {
    let span = Span::new().try_milliseconds((seconds * 1e3) as i64);
    span.and_then(|s| time.checked_add(s)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: &str, to: &str, days: &[usize]) -> Window {
        let mut all = [days.is_empty(); 7];
        days.iter().for_each(|d| all[*d] = true);
        Window {
            from: time(from).unwrap(),
            to: if to == "24:00" { None } else { time(to) },
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            days: all,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn end(windows: &[Window], t: &str) -> Option<String> {
        in_force(windows, at(t), at(t)).map(|s| s.end.to_string())
    }

    #[test]
    fn over_midnight() {
        let w = [window("22:00", "06:00", &[])];
        // Berlin is two hours ahead of UTC in summer.
        assert_eq!(end(&w, "2026-07-01T19:59:59Z"), None);
        assert_eq!(
            end(&w, "2026-07-01T20:00:00Z").unwrap(),
            "2026-07-02T04:00:00Z"
        );
        assert_eq!(
            end(&w, "2026-07-02T03:59:59Z").unwrap(),
            "2026-07-02T04:00:00Z"
        );
        assert_eq!(end(&w, "2026-07-02T04:00:00Z"), None);
        let soon = in_force(&w, at("2026-07-01T19:50:00Z"), at("2026-07-01T20:00:00Z"));
        assert_eq!(soon.unwrap().start, at("2026-07-01T20:00:00Z"));
    }

    #[test]
    fn days_are_those_on_which_it_begins() {
        // The first of July 2026 is a Wednesday.
        let w = [window("22:00", "06:00", &[2])];
        assert!(end(&w, "2026-07-01T21:00:00Z").is_some());
        assert!(
            end(&w, "2026-07-02T03:00:00Z").is_some(),
            "Thursday morning"
        );
        assert_eq!(end(&w, "2026-07-01T03:00:00Z"), None, "Wednesday morning");
        assert_eq!(end(&w, "2026-07-02T21:00:00Z"), None);
    }

    #[test]
    fn when_the_clock_changes() {
        let w = [window("22:00", "02:30", &[])];
        // Forward on 29 March 2026: 02:30 does not come, 03:30 summer time is the same moment.
        assert_eq!(
            end(&w, "2026-03-28T23:00:00Z").unwrap(),
            "2026-03-29T01:30:00Z"
        );
        // Back on 25 October 2026: 02:30 comes twice, the second is 01:30 UTC.
        assert_eq!(
            end(&w, "2026-10-24T23:00:00Z").unwrap(),
            "2026-10-25T01:30:00Z"
        );
        assert_eq!(
            end(&w, "2026-10-25T01:29:00Z").unwrap(),
            "2026-10-25T01:30:00Z"
        );
        let early = [window("02:15", "02:45", &[])];
        assert!(end(&early, "2026-10-25T00:20:00Z").is_some());
        assert!(end(&early, "2026-10-25T01:20:00Z").is_some());
    }

    #[test]
    fn windows_without_a_gap_are_one() {
        let w = [window("20:00", "24:00", &[]), window("00:00", "05:00", &[])];
        assert_eq!(
            end(&w, "2026-07-01T19:00:00Z").unwrap(),
            "2026-07-02T03:00:00Z"
        );
        let always = [window("00:00", "24:00", &[])];
        assert!(end(&always, "2026-07-01T12:00:00Z").is_some());
    }

    #[test]
    fn words() {
        assert_eq!(weekday("Mon"), Some(Weekday::Monday));
        assert_eq!(weekday("sunday"), Some(Weekday::Sunday));
        assert_eq!(weekday("su"), None);
        assert_eq!(time("6:30"), Time::new(6, 30, 0, 0).ok());
        for bad in ["24:00", "6", "06:3", "a:00", "06:00:00", "+6:00", ""] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
