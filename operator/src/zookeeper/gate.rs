//! Whether a server may go away for a while: the others are to keep a majority. Pure.

use std::collections::BTreeMap;

use crate::reconcile::roll::{Gate, Member, Rank, Standing};
use crate::remote::zookeeper::Mode;

/// What each server says of itself, by pod; those that did not answer are left out.
pub type Modes = BTreeMap<String, Mode>;

/// The leader comes last: so there is one election.
#[must_use]
pub fn rank(member: &Member, modes: &Modes) -> Rank {
    u8::from(modes.get(&member.pod) == Some(&Mode::Leader))
}

/// Whether a server may be restarted. `servers` is how many there are to be.
#[must_use]
pub fn gate(member: &Member, modes: &Modes, servers: usize) -> Gate {
    // Nobody is left to ask, or to lose.
    if servers < 3 || matches!(member.standing, Standing::Unready { runs: false }) {
        return Gate::Open;
    }
    // A leader that does not answer in time cannot be told from its followers, and would go before them.
    let led = modes.values().any(|mode| *mode == Mode::Leader);
    if member.standing == Standing::Ready && !led {
        return Gate::Shut("no server says that it leads".to_owned());
    }
    let others = modes
        .iter()
        .filter(|(pod, mode)| **pod != member.pod && **mode != Mode::Standalone);
    let serving = others.count();
    let majority = servers / 2 + 1;
    if serving >= majority {
        Gate::Open
    } else {
        Gate::Shut(format!(
            "of the other servers {serving} serve, and {majority} have to"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::roll::member;

    fn modes(all: &[(&str, Mode)]) -> Modes {
        all.iter()
            .map(|(pod, mode)| ((*pod).to_owned(), *mode))
            .collect()
    }

    #[test]
    fn a_server_goes_while_the_others_are_a_majority_and_the_leader_last() {
        let (leader, follower) = (Mode::Leader, Mode::Follower);
        let all = modes(&[("z-0", follower), ("z-1", leader), ("z-2", follower)]);
        let ready = |pod: &str| member(pod, Standing::Ready);
        assert_eq!(gate(&ready("z-1"), &all, 3), Gate::Open);
        assert_eq!(rank(&ready("z-1"), &all), 1);
        assert_eq!(rank(&ready("z-0"), &all), 0);
        let two = modes(&[("z-0", follower), ("z-1", leader)]);
        assert!(matches!(gate(&ready("z-1"), &two, 3), Gate::Shut(_)));
        // The one that does not answer may be the leader, which comes last.
        let silent = modes(&[("z-0", follower), ("z-2", follower)]);
        for pod in ["z-0", "z-1", "z-2"] {
            let shut = Gate::Shut("no server says that it leads".into());
            assert_eq!(gate(&ready(pod), &silent, 3), shut, "{pod}");
        }
        let unready = member("z-1", Standing::Unready { runs: true });
        assert_eq!(gate(&unready, &silent, 3), Gate::Open);
        // The one that does not serve may go itself.
        assert_eq!(gate(&ready("z-2"), &two, 3), Gate::Open);
        assert!(matches!(
            gate(&ready("z-2"), &Modes::new(), 3),
            Gate::Shut(_)
        ));
        let dead = member("z-2", Standing::Unready { runs: false });
        assert_eq!(gate(&dead, &Modes::new(), 3), Gate::Open);
        assert_eq!(gate(&ready("z-0"), &Modes::new(), 1), Gate::Open);
    }
}
