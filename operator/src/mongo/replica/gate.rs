//! Whether a member may go away for a while: the others are to keep a majority, and to have what it has. Pure.

use super::pod_of;
use crate::reconcile::roll::{Gate, Member, Rank, Standing};
use crate::remote::mongo::{MOST_LAG_MS, ObservedSet};

/// Whether a pod is the primary.
#[must_use]
pub(super) fn is_primary(pod: &str, set: Option<&ObservedSet>) -> bool {
    let primary = set.and_then(|set| set.primary.as_deref());
    primary.is_some_and(|primary| pod_of(primary) == pod)
}

/// The primary comes last: so there is one election.
#[must_use]
pub(super) fn rank(member: &Member, set: Option<&ObservedSet>) -> Rank {
    u8::from(is_primary(&member.pod, set))
}

/// Whether a member may be restarted. `members` is how many there are to be, `worked` whether there has ever been a set.
#[must_use]
pub(super) fn gate(member: &Member, set: Option<&ObservedSet>, members: i32, worked: bool) -> Gate {
    // There is nothing to lose, or nobody who would be better off.
    if !worked || matches!(member.standing, Standing::Unready { runs: false }) {
        return Gate::Open;
    }
    let Some(set) = set else {
        return Gate::Shut("no member can be asked whether it may".into());
    };
    if members == 1 && set.hosts.len() <= 1 {
        return Gate::Open;
    }
    match lacks(&member.pod, set, members) {
        None => Gate::Open,
        Some(reason) => Gate::Shut(reason),
    }
}

/// What the set would lack without this pod, in words.
fn lacks(pod: &str, set: &ObservedSet, members: i32) -> Option<String> {
    if i32::try_from(set.hosts.len()) != Ok(members) {
        return Some(format!(
            "the set has {} members, and is to have {members}",
            set.hosts.len()
        ));
    }
    if set.primary.is_none() {
        return Some("no member is the primary".into());
    }
    for host in set.hosts.iter().filter(|host| pod_of(host) != pod) {
        let other = pod_of(host);
        let Some(seen) = set.members.get(host).filter(|seen| seen.serves()) else {
            return Some(format!("{other} does not serve"));
        };
        let lag = set.lag_ms(host).unwrap_or_default();
        if lag > MOST_LAG_MS {
            return Some(format!(
                "{other}, {}, is {} s behind",
                seen.state,
                lag / 1000
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::roll::member;
    use crate::remote::mongo::{ObservedMember, State};

    fn set(members: &[(State, i64)]) -> ObservedSet {
        let mut set = ObservedSet::default();
        for (ordinal, (state, applied_ms)) in members.iter().enumerate() {
            let host = format!("m-{ordinal}.m-nodes.ns.svc:27017");
            if *state == State::Primary {
                set.primary = Some(host.clone());
            }
            set.hosts.push(host.clone());
            let seen = ObservedMember {
                state: *state,
                healthy: true,
                applied_ms: *applied_ms,
            };
            set.members.insert(host, seen);
        }
        set
    }

    #[test]
    fn a_member_goes_while_all_others_serve_and_keep_up() {
        let (first, second, starting) = (State::Primary, State::Secondary, State::Other(5));
        let whole = set(&[(second, 0), (first, 0), (second, 0)]);
        let ready = |pod: &str| member(pod, Standing::Ready);
        assert_eq!(gate(&ready("m-0"), Some(&whole), 3, true), Gate::Open);
        assert_eq!(rank(&ready("m-1"), Some(&whole)), 1);
        assert_eq!(rank(&ready("m-0"), Some(&whole)), 0);
        let shut = |set: Option<&ObservedSet>, members, word: &str| match gate(
            &ready("m-0"),
            set,
            members,
            true,
        ) {
            Gate::Open => panic!("it is open"),
            Gate::Shut(told) => assert!(told.contains(word), "{told}"),
        };
        shut(
            Some(&set(&[(second, 0), (first, 0), (starting, 0)])),
            3,
            "m-2 does not serve",
        );
        shut(
            Some(&set(&[(second, 0), (first, 60_000), (second, 0)])),
            3,
            "m-2, SECONDARY, is 60 s behind",
        );
        shut(
            Some(&set(&[(second, 0), (second, 0), (second, 0)])),
            3,
            "primary",
        );
        shut(Some(&set(&[(first, 0)])), 3, "is to have 3");
        shut(Some(&whole), 1, "is to have 1");
        shut(None, 3, "no member can be asked");
        // The one that does not serve may go itself.
        let ill = set(&[(starting, 0), (first, 0), (second, 0)]);
        assert_eq!(gate(&ready("m-0"), Some(&ill), 3, true), Gate::Open);
        let dead = member("m-0", Standing::Unready { runs: false });
        assert_eq!(gate(&dead, None, 3, true), Gate::Open);
        assert_eq!(
            gate(&ready("m-0"), Some(&set(&[(first, 0)])), 1, true),
            Gate::Open
        );
        assert_eq!(gate(&ready("m-0"), None, 3, false), Gate::Open);
    }
}
