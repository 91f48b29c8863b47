//! Whether a node may go away for a while: a broker without a partition losing what it needs, a controller without the
//! quorum losing its majority. Pure.

use super::nodes::Node;
use super::view::View;
use crate::reconcile::roll::{Gate, Member, Rank, Standing};

/// Controllers that do not lead come before brokers, and the active controller comes last: so there are few elections.
#[must_use]
pub fn rank(node: &Node, view: Option<&View>) -> Rank {
    match view {
        Some(view) if node.controller && view.quorum.leader == node.id => 2,
        _ if node.controller => 0,
        _ => 1,
    }
}

/// Whether a node may be restarted. `controllers` is how many the spec asks for, `worked` whether the cluster has ever
/// worked.
#[must_use]
pub fn gate(
    node: &Node,
    member: &Member,
    view: Option<&View>,
    controllers: usize,
    worked: bool,
) -> Gate {
    let shut = |reason: String| Gate::Shut(reason);
    match view {
        // One that is only being added to holds nothing yet that it could be missed for, and yet all would begin anew.
        Some(view) if member.standing == Standing::Ready && !view.reassignments.is_empty() => {
            let moving = view.reassignments.len();
            shut(format!("replicas of {moving} partitions move"))
        }
        Some(view) => match lacks(node, view, controllers) {
            None => Gate::Open,
            Some(reason) => shut(reason),
        },
        // There is nothing to lose.
        None if !worked => Gate::Open,
        None => match member.standing {
            Standing::Unready { runs: false } => Gate::Open,
            _ => shut("Kafka cannot be asked whether it may".to_owned()),
        },
    }
}

/// What the cluster would lack without this node, in words.
#[must_use]
pub fn lacks(node: &Node, view: &View, controllers: usize) -> Option<String> {
    let copies = node.broker.then(|| lacks_copies(node.id, view)).flatten();
    let votes = || {
        node.controller
            .then(|| lacks_votes(node.id, view, controllers))
            .flatten()
    };
    copies.or_else(votes)
}

/// A partition that would have too few copies in sync without this broker, or that lacks copies already and has one of
/// the others here. Where a partition has too few copies to bear any loss, all of them have to be in sync: there is
/// nothing better to wait for.
fn lacks_copies(id: i32, view: &View) -> Option<String> {
    let (topic, partition) = view.partitions().find(|(topic, partition)| {
        if !partition.replicas.contains(&id) {
            return false;
        }
        let others = partition.in_sync.iter().filter(|other| **other != id);
        let needed = view
            .min_in_sync(&topic.name)
            .min(partition.replicas.len().saturating_sub(1));
        let lacking = partition.in_sync.len() < partition.replicas.len();
        others.count() < needed || (lacking && partition.in_sync.contains(&id))
    })?;
    Some(format!(
        "partition {} of topic {} has {} of {} copies in sync",
        partition.index,
        topic.name,
        partition.in_sync.len(),
        partition.replicas.len()
    ))
}

/// Whether the other voters that have caught up are a majority; where no more than two controllers are asked for, whether
/// all of them have.
fn lacks_votes(id: i32, view: &View, controllers: usize) -> Option<String> {
    let quorum = &view.quorum;
    if !quorum.voters.iter().any(|voter| voter.id == id) {
        return None;
    }
    let others = quorum.voters.iter().filter(|voter| voter.id != id);
    let caught_up = others.filter(|voter| quorum.has_caught_up(voter)).count();
    let majority = quorum.voters.len() / 2 + 1;
    // While others come to vote, it is better to wait for them.
    let needed = if controllers > 2 {
        majority
    } else {
        majority.min(quorum.voters.len() - 1)
    };
    (caught_up < needed).then(|| {
        format!(
            "of the other controllers that vote {caught_up} have caught up, and {needed} have to"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{moving, view};
    use super::*;
    use crate::reconcile::roll;

    fn node(id: i32, controller: bool, broker: bool) -> Node {
        Node {
            id,
            pod: format!("k-{id}"),
            host: String::new(),
            controller,
            broker,
        }
    }

    fn member(standing: Standing) -> Member {
        roll::member("k-1", standing)
    }

    #[test]
    fn a_broker_goes_when_others_hold_enough_in_sync() {
        let broker = node(1, false, true);
        for (replicas, in_sync, lacks_it) in [
            (&[0, 1, 2][..], &[0, 1, 2][..], false),
            // Two in sync, of which one would go.
            (&[0, 1, 2], &[0, 1], true),
            // It is out of sync itself, and the others are enough.
            (&[0, 1, 2], &[0, 2], false),
            (&[0, 1, 2], &[0], true),
            (&[0, 2], &[0], false),
            // A single copy is away for a moment whatever one does.
            (&[1], &[1], false),
            (&[0, 1], &[0, 1], false),
            (&[0, 1], &[1], true),
            // Enough would stay, but copies are lacking, and here is one of those that are left.
            (&[0, 1, 2, 3], &[0, 1, 2], true),
        ] {
            let view = view(&[(replicas, in_sync)]);
            let lacks = lacks(&broker, &view, 3);
            assert_eq!(lacks.is_some(), lacks_it, "{replicas:?} {in_sync:?}");
        }
    }

    #[test]
    fn a_controller_goes_when_a_majority_of_others_has_caught_up() {
        let controller = node(1, true, false);
        let mut view = view(&[]);
        assert_eq!(lacks(&controller, &view, 3), None);
        view.quorum.voters[2].last_caught_up_ms -= 60_000;
        assert!(lacks(&controller, &view, 3).is_some());
        // The one that is behind may go itself.
        assert_eq!(lacks(&node(2, true, false), &view, 3), None);
        // It does not vote.
        assert_eq!(lacks(&node(7, true, false), &view, 3), None);
        view.quorum.voters.truncate(1);
        assert_eq!(lacks(&node(0, true, false), &view, 1), None);
        // Two more are on their way to vote.
        assert!(lacks(&node(0, true, false), &view, 3).is_some());
    }

    #[test]
    fn when_kafka_cannot_be_asked_only_what_does_not_run_goes() {
        let broker = node(1, true, true);
        for (standing, worked, open) in [
            (Standing::Ready, true, false),
            (Standing::Unready { runs: true }, true, false),
            (Standing::Unready { runs: false }, true, true),
            (Standing::Ready, false, true),
        ] {
            let gate = gate(&broker, &member(standing), None, 3, worked);
            assert_eq!(gate == Gate::Open, open, "{standing:?}");
        }
    }

    #[test]
    fn while_replicas_move_only_what_does_not_work_goes() {
        let mut view = view(&[(&[1, 2, 3], &[1, 2, 3])]);
        let opens = |view: &View, node: &Node, standing| {
            gate(node, &member(standing), Some(view), 3, true) == Gate::Open
        };
        // To which a replica is added, which has one already, and which has none.
        let nodes = [
            node(4, false, true),
            node(1, false, true),
            node(0, true, false),
        ];
        for node in &nodes {
            assert!(opens(&view, node, Standing::Ready), "{}", node.id);
        }
        view.reassignments = vec![moving(0, &[2, 3, 4], &[4], &[1])];
        for node in &nodes {
            assert!(!opens(&view, node, Standing::Ready), "{}", node.id);
            for runs in [false, true] {
                let standing = Standing::Unready { runs };
                assert!(opens(&view, node, standing), "{}", node.id);
            }
        }
    }

    #[test]
    fn the_active_controller_comes_last() {
        let view = view(&[]);
        assert_eq!(rank(&node(0, true, true), Some(&view)), 2);
        assert_eq!(rank(&node(1, true, true), Some(&view)), 0);
        assert_eq!(rank(&node(0, true, true), None), 0);
        assert_eq!(rank(&node(101, false, true), Some(&view)), 1);
    }
}
