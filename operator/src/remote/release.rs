//! When a finalizer lets go.
//!
//! A finalizer stands only for what outlives its resource inside another component. It must never hold a namespace
//! back: it lets go at once when that component goes too, and in any case after a time limit.

use std::time::Duration;

use jiff::Timestamp;
use kube::Resource;

/// How long a deletion may wait for a component that does not answer.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The component in which the thing lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lives {
    /// It is there and meant to stay.
    Present,
    /// It is being deleted.
    Going,
    /// There is none.
    Gone,
}

impl Lives {
    /// What a component's resource says of it.
    #[must_use]
    pub fn of<K: Resource>(component: Option<&K>) -> Self {
        match component {
            None => Self::Gone,
            Some(component) if component.meta().deletion_timestamp.is_some() => Self::Going,
            Some(_) => Self::Present,
        }
    }
}

/// What to do about a resource that is being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// Let go without touching the system, because of this.
    Now(String),
    /// Remove the thing from the system, and let go when that worked.
    AfterRemoval,
}

/// Decides for a resource whose deletion was asked for at `asked`.
#[must_use]
pub fn decide(
    remove: bool,
    component: Lives,
    what: &str,
    asked: Timestamp,
    now: Timestamp,
    limit: Duration,
) -> Release {
    if !remove {
        return Release::Now(format!("{what} is kept (deletionPolicy Retain)"));
    }
    match component {
        Lives::Gone => return Release::Now(format!("{what} went with what it lived in")),
        Lives::Going => {
            return Release::Now(format!(
                "{what} goes with what it lives in, which is being deleted"
            ));
        }
        Lives::Present => {}
    }
    let waited = now.duration_since(asked);
    if waited.as_secs_f64() > limit.as_secs_f64() {
        return Release::Now(format!(
            "{what} could not be removed within {} s and may still be there; remove it by hand",
            limit.as_secs()
        ));
    }
    Release::AfterRemoval
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: i64, remove: bool, component: Lives) -> Release {
        let asked: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let now = Timestamp::from_second(asked.as_second() + seconds).unwrap();
        decide(remove, component, "topic alerts", asked, now, TIME_LIMIT)
    }

    #[test]
    fn lets_go_at_once_when_nothing_is_to_be_removed_or_the_component_goes() {
        for (remove, component) in [
            (false, Lives::Present),
            (true, Lives::Going),
            (true, Lives::Gone),
        ] {
            assert!(matches!(after(0, remove, component), Release::Now(_)));
        }
    }

    #[test]
    fn removes_first_and_gives_up_after_the_limit() {
        assert_eq!(after(0, true, Lives::Present), Release::AfterRemoval);
        assert_eq!(after(60, true, Lives::Present), Release::AfterRemoval);
        assert_eq!(
            after(61, true, Lives::Present),
            Release::Now(
                "topic alerts could not be removed within 60 s and may still be there; remove it by hand".into()
            )
        );
        // A clock that runs behind the API server's must not give up early.
        assert_eq!(after(-30, true, Lives::Present), Release::AfterRemoval);
    }
}
