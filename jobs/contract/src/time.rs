//! Event times: microseconds UTC, and the limits of what is believed.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Invalid;

/// The time limits of accepted events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TimeLimits {
    /// Event times before this come from a clock that was never set.
    pub earliest: Timestamp,
    /// How far an event may lie ahead of the receiver's clock, in seconds.
    pub max_ahead_seconds: u32,
}

impl Default for TimeLimits {
    fn default() -> Self {
        // 2000-01-01T00:00:00Z
        let earliest = Timestamp::from_second(946_684_800).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            earliest,
            max_ahead_seconds: 300,
        }
    }
}

/// Checks an event time against the receiver's clock `now`.
///
/// # Errors
/// The time is before [`TimeLimits::earliest`] or too far ahead of `now`.
pub fn check_time(time: Timestamp, now: Timestamp, limits: &TimeLimits) -> Result<(), Invalid> {
    if time < limits.earliest {
        return Err(Invalid::new(
            "time",
            time.to_string(),
            format!("before {}", limits.earliest),
            "set the vehicle's clock and send the time of the measurement in RFC 3339, UTC",
        ));
    }
    let ahead = time.duration_since(now);
    if ahead > SignedDuration::from_secs(i64::from(limits.max_ahead_seconds)) {
        return Err(Invalid::new(
            "time",
            time.to_string(),
            format!(
                "{} s ahead of the receiver's clock ({now}), at most {} s are accepted",
                ahead.as_secs(),
                limits.max_ahead_seconds
            ),
            "set the vehicle's clock and send the time of the measurement in RFC 3339, UTC",
        ));
    }
    Ok(())
}

/// Cuts a time to whole microseconds, the resolution of event times.
pub fn truncate(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// Deserializes a time and cuts it to microseconds.
pub(crate) fn micros<'de, D: Deserializer<'de>>(d: D) -> Result<Timestamp, D::Error> {
    Timestamp::deserialize(d).map(truncate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn limits() {
        let now = t("2026-11-23T12:00:00Z");
        let limits = TimeLimits::default();
        assert_eq!(limits.earliest, t("2000-01-01T00:00:00Z"));
        check_time(now, now, &limits).unwrap();
        check_time(t("2000-01-01T00:00:00Z"), now, &limits).unwrap();
        check_time(t("2026-11-23T12:05:00Z"), now, &limits).unwrap();
        for bad in [
            "1970-01-01T00:00:00Z",
            "2100-01-01T00:00:00Z",
            "2026-11-23T12:05:01Z",
        ] {
            let e = check_time(t(bad), now, &limits).unwrap_err();
            assert_eq!(e.field, "time");
            assert!(e.value.starts_with(&bad[..19]), "{e}");
        }
    }

    #[test]
    fn truncation() {
        assert_eq!(
            truncate(t("2026-01-01T00:00:00.123456789Z")),
            t("2026-01-01T00:00:00.123456Z")
        );
    }
}
