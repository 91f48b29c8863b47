//! Event times, which nearly always are written in one way.

/// Microseconds since 1970 of a time as RFC 3339 writes it; none when it is no time.
pub(super) fn micros(text: &str) -> Option<i64> {
    usual(text.as_bytes()).or_else(|| {
        text.parse::<jiff::Timestamp>()
            .ok()
            .map(|t| t.as_microsecond())
    })
}

// `2026-11-28T13:00:00Z`, with up to six digits behind a point. Years from 1970 on, and no leap seconds.
fn usual(text: &[u8]) -> Option<i64> {
    let (start, rest) = text.split_first_chunk::<19>()?;
    let digit = |at: usize| {
        let digit = start[at].wrapping_sub(b'0');
        (digit < 10).then_some(i64::from(digit))
    };
    let two = |at: usize| Some(10 * digit(at)? + digit(at + 1)?);
    let marks = [start[4], start[7], start[10], start[13], start[16]];
    if marks != *b"--T::" {
        return None;
    }
    let (year, month, day) = (100 * two(0)? + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    // The last days of months are left to the calendar.
    let known = (1970..=9998).contains(&year)
        && (1..=12).contains(&month)
        && (1..=28).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    let fraction = match rest {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] if (1..=6).contains(&digits.len()) => {
            let mut fraction = 0;
            for n in 0..6 {
                let digit = digits.get(n).map_or(0, |byte| byte.wrapping_sub(b'0'));
                if digit > 9 {
                    return None;
                }
                fraction = 10 * fraction + i64::from(digit);
            }
            fraction
        }
        _ => return None,
    };
    known.then_some(seconds * 1_000_000 + fraction)
}

// Days since 1970. The year is taken to begin in March, so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month < 3 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unusual_times_are_left_to_the_calendar() {
        for text in ["2026-02-31T00:00:00Z", "2026-11-28T13:00:00", "x", ""] {
            assert_eq!(micros(text), None, "{text}");
        }
        for text in [
            "2026-12-31T23:59:59Z",
            "1969-12-31T23:59:59.5Z",
            "2026-11-28T14:00:00+01:00",
            "2026-11-28t13:00:00.123456789z",
        ] {
            assert_eq!(usual(text.as_bytes()), None, "{text}");
            let time: jiff::Timestamp = text.parse().unwrap();
            assert_eq!(micros(text), Some(time.as_microsecond()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn usual_times_are_those_of_the_calendar(micros in 0..253_000_000_000_000_000_i64, cut in 0..4_u32) {
            let micros = micros / 1000_i64.pow(cut.min(2)) * 1000_i64.pow(cut.min(2));
            let time = jiff::Timestamp::from_microsecond(micros).unwrap();
            let text = time.to_string();
            let day = time.to_zoned(jiff::tz::TimeZone::UTC).day();
            prop_assert_eq!(usual(text.as_bytes()), (day <= 28).then_some(micros), "{}", text);
        }
    }
}
