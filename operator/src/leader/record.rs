//! What a candidate reads out of a Lease, and what it does about it. Pure: the time is given.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{Candidate, Timing};

/// A Lease as this process last saw it change.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    version: Option<String>,
    at: Instant,
}

/// What to do about a Lease.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Nobody has it, or its holder has not renewed it for too long: take it.
    Take,
    /// It is ours: renew it.
    Renew,
    /// Somebody else has it.
    Wait,
}

/// Decides. `seen` is kept from look to look: how long a holder has been silent is measured by our own clock, from
/// when we saw its last renewal.
pub(super) fn decide(
    lease: &Lease,
    me: &Candidate,
    seen: &mut Option<Seen>,
    now: Instant,
    timing: &Timing,
) -> Step {
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.unwrap_or_default();
    if holder == me.identity {
        return Step::Renew;
    }
    if holder.is_empty() {
        return Step::Take;
    }
    let version = lease.metadata.resource_version.clone();
    let since = match seen {
        Some(seen) if seen.version == version => seen.at,
        _ => {
            *seen = Some(Seen { version, at: now });
            now
        }
    };
    // The longer of the two: the holder may have been started with another timing.
    let written = Duration::from_secs(spec.lease_duration_seconds.unwrap_or(0).max(0) as u64);
    if now.duration_since(since) >= written.max(timing.lease) {
        Step::Take
    } else {
        Step::Wait
    }
}

/// The Lease as its new, or old, holder writes it. The version of the former one goes along, so that of two who write
/// at once only one succeeds.
pub(super) fn held(former: Option<&Lease>, me: &Candidate, timing: &Timing) -> Lease {
    let mut lease = former.cloned().unwrap_or_default();
    lease.metadata.name = Some(me.lease.clone());
    lease.metadata.namespace = Some(me.namespace.clone());
    let before = lease.spec.take().unwrap_or_default();
    let now = MicroTime(Timestamp::now());
    let same = before.holder_identity.as_deref() == Some(&me.identity);
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(me.identity.clone()),
        // Rounded up: a standby must not count less than we do.
        lease_duration_seconds: Some(timing.lease.as_secs_f64().ceil() as i32),
        acquire_time: if same {
            before.acquire_time
        } else {
            Some(now.clone())
        },
        renew_time: Some(now),
        lease_transitions: Some(
            before
                .lease_transitions
                .unwrap_or(0)
                .saturating_add(i32::from(!same && former.is_some())),
        ),
        ..before
    });
    lease
}

/// The Lease as it is left by who goes: the next one need not wait.
pub(super) fn released(former: &Lease) -> Lease {
    let mut lease = former.clone();
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = None;
    spec.lease_duration_seconds = Some(1);
    spec.renew_time = Some(MicroTime(Timestamp::now()));
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me(identity: &str) -> Candidate {
        Candidate {
            namespace: "n".into(),
            lease: "l".into(),
            identity: identity.into(),
        }
    }

    fn of(holder: &str, version: &str) -> Lease {
        let mut lease = held(None, &me(holder), &Timing::default());
        lease.metadata.resource_version = Some(version.into());
        lease
    }

    #[test]
    fn silence_is_measured_from_the_last_renewal_that_was_seen() {
        let (timing, start) = (Timing::default(), Instant::now());
        let mut seen = None;
        let mut look = |lease: &Lease, after: u64| {
            let now = start + Duration::from_secs(after);
            decide(lease, &me("b"), &mut seen, now, &timing)
        };
        let mut old = of("a", "1");
        // However old the written time is, and however wrong the clock that wrote it.
        old.spec.as_mut().unwrap().renew_time = Some(MicroTime(Timestamp::UNIX_EPOCH));
        assert_eq!(look(&old, 0), Step::Wait);
        assert_eq!(look(&old, 14), Step::Wait);
        assert_eq!(look(&of("a", "2"), 14), Step::Wait, "renewed");
        assert_eq!(look(&of("a", "2"), 28), Step::Wait);
        assert_eq!(look(&of("a", "2"), 29), Step::Take);
    }

    #[test]
    fn a_lease_of_ours_or_of_nobody_needs_no_waiting() {
        let (timing, now) = (Timing::default(), Instant::now());
        let step = |lease: &Lease| decide(lease, &me("b"), &mut None, now, &timing);
        assert_eq!(step(&of("b", "1")), Step::Renew);
        assert_eq!(step(&released(&of("a", "1"))), Step::Take);
        assert_eq!(step(&Lease::default()), Step::Take);
    }

    #[test]
    fn the_longer_duration_counts() {
        let (timing, start) = (Timing::default(), Instant::now());
        let mut lease = of("a", "1");
        lease.spec.as_mut().unwrap().lease_duration_seconds = Some(60);
        let mut seen = None;
        decide(&lease, &me("b"), &mut seen, start, &timing);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            decide(&lease, &me("b"), &mut seen, after(59), &timing),
            Step::Wait
        );
        assert_eq!(
            decide(&lease, &me("b"), &mut seen, after(60), &timing),
            Step::Take
        );
    }

    #[test]
    fn transitions_are_counted_and_renewals_are_not() {
        let timing = Timing::default();
        let first = held(None, &me("a"), &timing);
        let again = held(Some(&first), &me("a"), &timing);
        let other = held(Some(&again), &me("b"), &timing);
        let count = |lease: &Lease| lease.spec.as_ref().unwrap().lease_transitions;
        assert_eq!(
            (count(&first), count(&again), count(&other)),
            (Some(0), Some(0), Some(1))
        );
        let acquired = |lease: &Lease| lease.spec.as_ref().unwrap().acquire_time.clone();
        assert_eq!(acquired(&first), acquired(&again));
        assert_ne!(acquired(&again), acquired(&other));
    }
}
