//! Waiting between attempts, and for how long at all.

use std::time::Duration;

/// The pause before the second attempt; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An attempt with less time than this would only be cut off.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(50);

/// The pause after `attempts` failed ones.
pub fn pause(attempts: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << attempts.saturating_sub(1).min(8))
        .min(LONGEST_PAUSE)
}

/// Time for the next attempt out of what is left; `None` when there is no use in one. No single attempt is given more
/// than `longest`, so that a hanging server leaves time for another.
pub fn attempt_time(left: Duration, longest: Duration) -> Option<Duration> {
    (left >= SHORTEST_ATTEMPT).then(|| left.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let pauses: Vec<u128> = [1, 2, 3, 5, 6, 99].map(|n| pause(n).as_millis()).to_vec();
        assert_eq!(pauses, [100, 200, 400, 1600, 2000, 2000]);
    }

    #[test]
    fn an_attempt_fits_into_what_is_left() {
        let longest = Duration::from_secs(5);
        for (left, expected) in [(60_000, Some(5000)), (1000, Some(1000)), (10, None)] {
            assert_eq!(
                attempt_time(Duration::from_millis(left), longest),
                expected.map(Duration::from_millis)
            );
        }
    }
}
