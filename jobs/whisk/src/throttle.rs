//! How many requests a namespace makes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::settings::Throttles;

/// Why a request has to wait; the texts are the real server's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Throttled {
    /// Too many in this minute.
    #[error("Too many requests in the last minute (count: {count}, allowed: {allowed}).")]
    Rate {
        /// Requests made.
        count: u64,
        /// Requests allowed.
        allowed: u64,
    },
    /// Too many under way.
    #[error("Too many concurrent requests in flight (count: {count}, allowed: {allowed}).")]
    Concurrency {
        /// Requests under way.
        count: u64,
        /// Requests allowed.
        allowed: u64,
    },
}

/// Counts per namespace.
#[derive(Debug)]
pub struct Throttle {
    settings: Throttles,
    namespaces: Mutex<HashMap<String, Counts>>,
}

#[derive(Debug)]
struct Counts {
    minute: Instant,
    invocations: u64,
    fires: u64,
    in_flight: u64,
}

/// An invocation that is counted in, and out when this is dropped.
#[derive(Debug)]
pub struct Entered {
    throttle: Arc<Throttle>,
    namespace: String,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.throttle.leave(&self.namespace);
    }
}

impl Counts {
    /// The counts of a namespace in the minute of `now`.
    fn of<'a>(
        namespaces: &'a mut HashMap<String, Self>,
        namespace: &str,
        now: Instant,
    ) -> &'a mut Self {
        let counts = namespaces
            .entry(namespace.to_owned())
            .or_insert_with(|| Self {
                minute: now,
                invocations: 0,
                fires: 0,
                in_flight: 0,
            });
        if now.duration_since(counts.minute) >= Duration::from_secs(60) {
            (counts.minute, counts.invocations, counts.fires) = (now, 0, 0);
        }
        counts
    }
}

impl Throttle {
    /// With these bounds.
    pub fn new(settings: Throttles) -> Self {
        Self {
            settings,
            namespaces: Mutex::new(HashMap::new()),
        }
    }

    /// Counts an invocation in; it has to be counted out with [`Throttle::leave`].
    ///
    /// # Errors
    /// [`Throttled`]; then it was not counted in.
    pub fn enter(&self, namespace: &str, now: Instant) -> Result<(), Throttled> {
        let mut namespaces = self
            .namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let counts = Counts::of(&mut namespaces, namespace, now);
        counts.invocations += 1;
        if counts.invocations > self.settings.invocations_per_minute {
            return Err(Throttled::Rate {
                count: counts.invocations,
                allowed: self.settings.invocations_per_minute,
            });
        }
        if counts.in_flight >= self.settings.concurrent {
            return Err(Throttled::Concurrency {
                count: counts.in_flight,
                allowed: self.settings.concurrent,
            });
        }
        counts.in_flight += 1;
        Ok(())
    }

    /// Counts an invocation in until what is returned is dropped.
    ///
    /// # Errors
    /// [`Throttled`]; then it was not counted in.
    pub fn enter_guarded(
        self: &Arc<Self>,
        namespace: &str,
        now: Instant,
    ) -> Result<Entered, Throttled> {
        self.enter(namespace, now)?;
        Ok(Entered {
            throttle: Arc::clone(self),
            namespace: namespace.to_owned(),
        })
    }

    /// Counts a fire of a trigger. What its rules invoke is counted besides.
    ///
    /// # Errors
    /// [`Throttled`].
    pub fn fire(&self, namespace: &str, now: Instant) -> Result<(), Throttled> {
        let mut namespaces = self
            .namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let counts = Counts::of(&mut namespaces, namespace, now);
        counts.fires += 1;
        if counts.fires > self.settings.fires_per_minute {
            return Err(Throttled::Rate {
                count: counts.fires,
                allowed: self.settings.fires_per_minute,
            });
        }
        Ok(())
    }

    /// Counts an invocation out.
    pub fn leave(&self, namespace: &str) {
        let mut namespaces = self
            .namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = namespaces.get_mut(namespace) {
            counts.in_flight = counts.in_flight.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_minute_and_at_once() {
        let throttle = Throttle::new(Throttles {
            invocations_per_minute: 2,
            fires_per_minute: 1,
            concurrent: 1,
        });
        let start = Instant::now();
        assert_eq!(throttle.enter("a", start), Ok(()));
        assert_eq!(
            throttle.enter("a", start),
            Err(Throttled::Concurrency {
                count: 1,
                allowed: 1
            })
        );
        throttle.leave("a");
        assert_eq!(
            throttle.enter("a", start),
            Err(Throttled::Rate {
                count: 3,
                allowed: 2
            })
        );
        assert_eq!(throttle.enter("b", start), Ok(()));
        assert_eq!(throttle.enter("a", start + Duration::from_secs(60)), Ok(()));
        assert_eq!(throttle.fire("c", start), Ok(()));
        let told = throttle.fire("c", start).unwrap_err().to_string();
        assert_eq!(
            told,
            "Too many requests in the last minute (count: 2, allowed: 1)."
        );
        assert_eq!(throttle.fire("c", start + Duration::from_secs(60)), Ok(()));
    }
}
