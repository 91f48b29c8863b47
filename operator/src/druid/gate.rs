//! Whether a server may go away for a while: questions are to be answered by the others, and tasks finished or handed over.
//! Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::roles::RoleKind;
use super::view::View;
use crate::reconcile::roll::{Gate, Member, Rank, Standing};

/// So long a worker has for its tasks. Those that are left are stopped with it, and go on from what they have kept on its
/// volume: a task that reads Kafka may have an hour to go.
pub const DRAIN: Duration = Duration::from_secs(600);

/// Why a worker waits that has not been told yet to take no more tasks.
pub const NOT_TOLD: &str = "it is told to take no new tasks";

/// A server, as far as its gate has to know it.
#[derive(Clone, Copy, Debug)]
pub struct Of {
    /// What it does.
    pub kind: RoleKind,
    /// How many others do the same.
    pub others: usize,
    /// Since when it takes no new tasks.
    pub drained_since: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// Historicals first, then workers, brokers, routers, coordinators, as upgrades of Druid want it; the leader comes last.
#[must_use]
pub fn rank(kind: RoleKind, pod: &str, view: &View) -> Rank {
    match kind {
        RoleKind::Historical => 0,
        RoleKind::Worker => 1,
        RoleKind::Broker => 2,
        RoleKind::Router => 3,
        RoleKind::Coordinator if view.leader.as_deref() == Some(pod) => 5,
        RoleKind::Coordinator => 4,
    }
}

/// Whether a server may be restarted.
#[must_use]
pub fn gate(of: Of, member: &Member, view: &View) -> Gate {
    // Nobody could take over; and what does not run is missed already.
    if of.others == 0 || matches!(member.standing, Standing::Unready { runs: false }) {
        return Gate::Open;
    }
    let lacks = match of.kind {
        RoleKind::Historical => lacks_copies(view),
        RoleKind::Worker => lacks_rest(of, &member.pod, view),
        // The others are ready, or it would not be its turn.
        RoleKind::Broker | RoleKind::Router | RoleKind::Coordinator => None,
    };
    lacks.map_or(Gate::Open, Gate::Shut)
}

/// All segments are loaded as often as they are to be.
fn lacks_copies(view: &View) -> Option<String> {
    match (view.unavailable, view.to_load) {
        (Some(0), Some(0)) => None,
        (Some(0), Some(count)) => {
            Some(format!("{count} copies of segments are still to be loaded"))
        }
        (Some(count), _) => Some(format!("{count} segments are loaded by no historical")),
        (None, _) => Some("no coordinator says which segments are loaded".to_owned()),
    }
}

/// Its tasks are done, or had their time.
fn lacks_rest(of: Of, pod: &str, view: &View) -> Option<String> {
    let Some(worker) = view.workers.get(pod) else {
        return Some("it does not say which tasks it runs".to_owned());
    };
    if worker.enabled {
        return Some(NOT_TOLD.to_owned());
    }
    if worker.tasks == 0 {
        return None;
    }
    let since = of.drained_since.unwrap_or(of.now);
    let left = since
        .checked_add(DRAIN)
        .ok()
        .map(|end| end.duration_since(of.now).as_secs())?;
    (left > 0).then(|| {
        format!(
            "it runs {} tasks and takes no new ones; it is restarted in {} s at the latest, and they go on then",
            worker.tasks, left
        )
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::view::WorkerView;
    use super::*;
    use crate::reconcile::roll::member;

    fn told(kind: RoleKind, view: &View, change: impl Fn(&mut Of)) -> String {
        let mut of = Of {
            kind,
            others: 1,
            drained_since: None,
            now: Timestamp::from_second(1_000_000).unwrap(),
        };
        change(&mut of);
        match gate(of, &member("d-worker-0", Standing::Ready), view) {
            Gate::Open => "open".into(),
            Gate::Shut(reason) => reason,
        }
    }

    #[test]
    fn a_historical_goes_when_all_segments_have_all_copies() {
        let view = |unavailable, to_load| View {
            unavailable,
            to_load,
            ..View::default()
        };
        let kind = RoleKind::Historical;
        let told_ = |view: View| told(kind, &view, |_| {});
        assert_eq!(told_(view(Some(0), Some(0))), "open");
        assert!(told_(view(Some(0), Some(2))).starts_with("2 copies"));
        assert!(told_(view(Some(3), Some(3))).starts_with("3 segments"));
        assert!(told_(View::default()).starts_with("no coordinator"));
        assert_eq!(told(kind, &View::default(), |of| of.others = 0), "open");
    }

    #[test]
    fn a_worker_is_drained_for_a_bounded_time() {
        let view = |enabled, tasks| View {
            workers: [("d-worker-0".to_owned(), WorkerView { enabled, tasks })].into(),
            ..View::default()
        };
        let kind = RoleKind::Worker;
        assert_eq!(told(kind, &view(true, 0), |_| {}), NOT_TOLD);
        assert_eq!(told(kind, &view(false, 0), |_| {}), "open");
        let since = |seconds: i64| {
            move |of: &mut Of| of.drained_since = Timestamp::from_second(1_000_000 - seconds).ok()
        };
        let waits = told(kind, &view(false, 2), since(10));
        assert!(
            waits.starts_with("it runs 2 tasks") && waits.contains(" 590 s"),
            "{waits}"
        );
        assert_eq!(told(kind, &view(false, 2), since(601)), "open");
        assert!(told(kind, &View::default(), |_| {}).starts_with("it does not say"));
        assert_eq!(told(kind, &View::default(), |of| of.others = 0), "open");
    }

    #[test]
    fn the_leader_comes_last() {
        let view = View {
            leader: Some("d-coordinator-0".into()),
            ..View::default()
        };
        let ranks = [
            (RoleKind::Historical, "d-historical-0"),
            (RoleKind::Worker, "d-worker-0"),
            (RoleKind::Broker, "d-broker-0"),
            (RoleKind::Router, "d-router-0"),
            (RoleKind::Coordinator, "d-coordinator-1"),
            (RoleKind::Coordinator, "d-coordinator-0"),
        ]
        .map(|(kind, pod)| rank(kind, pod, &view));
        assert_eq!(ranks, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_does_not_run_comes_anew_whatever_is_lacking() {
        let of = Of {
            kind: RoleKind::Historical,
            others: 2,
            drained_since: None,
            now: Timestamp::UNIX_EPOCH,
        };
        let dead = member("d-historical-0", Standing::Unready { runs: false });
        assert_eq!(gate(of, &dead, &View::default()), Gate::Open);
    }
}
