//! How long to wait before another try.

use std::time::Duration;

use super::config::BackoffConfig;

/// Doubles from `initial` up to `maximum`, each shortened by up to a quarter at random, so that those who
/// failed together do not come back together.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    initial: Duration,
    maximum: Duration,
}

impl Backoff {
    /// As configured.
    #[must_use]
    pub fn new(config: BackoffConfig) -> Self {
        Self {
            initial: Duration::from_millis(config.initial_milliseconds),
            maximum: Duration::from_millis(config.maximum_milliseconds),
        }
    }

    /// The wait after the `failures`-th failure in a row; `chance` is anywhere from 0 to 255.
    #[must_use]
    pub fn delay(&self, failures: u32, chance: u8) -> Duration {
        let doubled = 1_u32
            .checked_shl(failures.saturating_sub(1))
            .filter(|_| failures < 32)
            .and_then(|factor| self.initial.checked_mul(factor))
            .unwrap_or(self.maximum)
            .min(self.maximum);
        doubled - doubled / 4 * u32::from(chance) / 255
    }

    /// The wait after the `failures`-th failure in a row.
    #[must_use]
    pub fn random_delay(&self, failures: u32) -> Duration {
        let mut chance = [0_u8];
        // Without chance the waits are only less spread out.
        let _ = getrandom::fill(&mut chance);
        self.delay(failures, chance[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_longest() {
        let backoff = Backoff::new(BackoffConfig {
            initial_milliseconds: 200,
            maximum_milliseconds: 1000,
        });
        let waits: Vec<u128> = (1..=5).map(|n| backoff.delay(n, 0).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.delay(u32::MAX, 0), Duration::from_secs(1));
        assert_eq!(backoff.delay(1, 255), Duration::from_millis(150));
    }
}
