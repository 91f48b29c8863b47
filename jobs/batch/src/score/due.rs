//! Which days are scored. Pure.

use std::collections::BTreeSet;

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::day::Day;
use super::store::Origin;

/// How a day of the lake stands to its scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is to be scored: it never was, or something has changed.
    Due,
    /// The lake holds nothing of it.
    Empty,
    /// It was scored, and hours of it were retired: what the lake still holds is not all of it.
    Retired,
    /// It is scored, and nothing has changed.
    Scored,
}

/// What days are scored for.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// A hash of the definition.
    pub definition: &'a str,
    /// Days that were scored by another definition are scored anew from this one on.
    pub recent: Date,
    /// The days are asked for by name, so that they are scored whether anything has changed or not.
    pub is_asked: bool,
}

impl Rule<'_> {
    /// How a day stands. `is_retired`: hours of it were retired; `before`: from what it was scored last, if it was.
    #[must_use]
    pub fn state(&self, day: &Day, is_retired: bool, before: Option<&Origin>) -> State {
        if day.content.rows == 0 {
            return State::Empty;
        }
        let Some(before) = before else {
            return State::Due;
        };
        if is_retired {
            return State::Retired;
        }
        let is_new = before.definition != self.definition && day.date >= self.recent;
        if self.is_asked || is_new || before.content != day.content {
            State::Due
        } else {
            State::Scored
        }
    }
}

/// So many days before `today`, the oldest first.
///
/// # Errors
/// There are not so many.
pub fn days_before(today: Date, count: u16) -> Result<Vec<Date>, jiff::Error> {
    (1..=i64::from(count))
        .rev()
        .map(|ago| today.checked_sub(ago.days()))
        .collect()
}

/// The days that are looked at where none is asked for by name, the newest first: so one that fails again and again holds up none
/// that is newer. These are the `recent` ones, and all that the lake has from `since` on.
#[must_use]
pub fn looked_at(recent: &[Date], in_lake: &BTreeSet<Date>, since: Date, today: Date) -> Vec<Date> {
    let span = since..today;
    let in_lake = in_lake.iter().copied();
    let mut dates: BTreeSet<Date> = in_lake.filter(|date| span.contains(date)).collect();
    dates.extend(recent);
    dates.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use millrace_lake::content::Content;

    use super::*;

    const RULE: Rule<'_> = Rule {
        definition: "new",
        recent: date(2026, 6, 20),
        is_asked: false,
    };

    fn day(date: Date, content: Content) -> Day {
        Day {
            date,
            span: (0, 0),
            files: Vec::new(),
            content,
        }
    }

    fn origin(content: Content, definition: &str) -> Origin {
        Origin {
            content,
            definition: definition.to_owned(),
        }
    }

    #[test]
    fn what_was_never_scored_or_has_changed_is_due_however_old_it_is() {
        let (one, other) = (Content::row(1), Content::row(2));
        for date in [date(2026, 6, 21), date(2024, 1, 1)] {
            let state = |before: Option<&Origin>| RULE.state(&day(date, one), false, before);
            assert_eq!(state(None), State::Due, "{date}");
            assert_eq!(state(Some(&origin(other, "new"))), State::Due, "{date}");
            assert_eq!(state(Some(&origin(one, "new"))), State::Scored, "{date}");
        }
        // Another definition alone is a reason for the latest days only.
        let before = origin(one, "old");
        let state = |date| RULE.state(&day(date, one), false, Some(&before));
        assert_eq!(state(date(2026, 6, 20)), State::Due);
        assert_eq!(state(date(2026, 6, 19)), State::Scored);
        let asked = Rule {
            is_asked: true,
            ..RULE
        };
        let old = day(date(2026, 6, 19), one);
        assert_eq!(asked.state(&old, false, Some(&before)), State::Due);
    }

    #[test]
    fn what_was_retired_keeps_its_scores() {
        let asked = Rule {
            is_asked: true,
            ..RULE
        };
        let before = origin(Content::row(1), "new");
        for rule in [RULE, asked] {
            let none = day(date(2026, 6, 21), Content::default());
            assert_eq!(rule.state(&none, true, Some(&before)), State::Empty);
            assert_eq!(rule.state(&none, false, None), State::Empty);
            let rest = day(date(2026, 6, 21), Content::row(2));
            assert_eq!(rule.state(&rest, true, Some(&before)), State::Retired);
            // Better the rest of it than nothing.
            assert_eq!(rule.state(&rest, true, None), State::Due);
        }
    }

    #[test]
    fn the_newest_day_comes_first_and_none_before_the_first_run() {
        let day = |day| date(2026, 6, day);
        let recent = days_before(day(24), 2).unwrap();
        assert_eq!(recent, [day(22), day(23)]);
        let in_lake = BTreeSet::from([day(1), day(10), day(12), day(22), day(24), day(25)]);
        assert_eq!(
            looked_at(&recent, &in_lake, day(10), day(24)),
            [day(23), day(22), day(12), day(10)]
        );
        assert_eq!(
            looked_at(&recent, &in_lake, day(22), day(24)),
            [day(23), day(22)]
        );
        assert!(days_before(Date::MIN, 1).is_err());
    }
}
