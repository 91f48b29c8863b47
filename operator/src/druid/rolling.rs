//! Restarts of servers: one of all roles at a time, as [`super::gate`] lets it; workers are drained before.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;

use super::crd::DrainStatus;
use super::gate::{self, NOT_TOLD, Of};
use super::inside;
use super::roles::RoleKind;
use super::validate::ValidatedDruid;
use super::view::View;
use crate::context::Context;
use crate::reconcile::restarts::{self, CONFIG, Pods, Rolling};
use crate::reconcile::roll::{self, Decision, Gate, Member};
use crate::reconcile::{Applied, Error, Resources};

/// What became of the restarts, and who is drained now.
#[derive(Debug, Default)]
pub(super) struct Rolled {
    pub(super) rolling: Rolling,
    pub(super) drain: Option<DrainStatus>,
}

/// Restarts at most one server. `drain` is who was told before to take no new tasks.
pub(super) async fn roll(
    context: &Context,
    druid: &ValidatedDruid,
    applied: &Resources<Applied>,
    view: &View,
    drain: Option<&DrainStatus>,
) -> Result<Rolled, Error> {
    if druid.stopped {
        return Ok(Rolled::default());
    }
    let sets: Vec<StatefulSet> = druid
        .roles
        .iter()
        .filter_map(|role| applied.get(&role.set))
        .collect();
    let named = [(CONFIG, "its settings changed")];
    let pods = Pods::of(context, &druid.owner, &sets, &named).await?;
    let now = Timestamp::now();
    let decision = decide(druid, &pods.members, view, drain, now);
    let next = drained(druid, &decision, &pods.members, view, drain, now);
    for (pod, enabled) in &next.tell {
        let nodes = druid.nodes(RoleKind::Worker);
        let Some(node) = nodes.iter().find(|node| node.pod == *pod) else {
            continue;
        };
        // One that does not answer is asked again at the next look.
        if let Err(problem) = inside::set_enabled(druid, node, *enabled).await {
            tracing::warn!(pod, enabled, problem, "a worker could not be told");
        }
    }
    let owner = &druid.owner;
    let rolling = restarts::carry_out(context, owner, &pods, &decision, applied.pending()).await?;
    Ok(Rolled {
        rolling,
        drain: next.drain,
    })
}

fn kind(druid: &ValidatedDruid, member: &Member) -> Option<RoleKind> {
    let mut roles = druid.roles.iter();
    let role = roles.find(|role| member.is_of(&role.set));
    role.map(|role| role.kind)
}

/// Who is restarted, and who waits for what. Pure.
fn decide(
    druid: &ValidatedDruid,
    members: &[Member],
    view: &View,
    drain: Option<&DrainStatus>,
    now: Timestamp,
) -> Decision {
    let since = |member: &Member| {
        let drain = drain.filter(|drain| drain.pod == member.pod)?;
        drain.since.parse().ok()
    };
    roll::next(
        members,
        |member| kind(druid, member).map_or(0, |kind| gate::rank(kind, &member.pod, view)),
        |member| match kind(druid, member) {
            None => Gate::Shut("it has no role".to_owned()),
            Some(kind) => {
                let of = Of {
                    kind,
                    others: druid.nodes(kind).len().saturating_sub(1),
                    drained_since: since(member),
                    now,
                };
                gate::gate(of, member, view)
            }
        },
    )
}

/// Whom to tell what, and who takes no new tasks then.
#[derive(Debug, Default, PartialEq)]
struct Drained {
    tell: Vec<(String, bool)>,
    drain: Option<DrainStatus>,
}

/// Pure.
fn drained(
    druid: &ValidatedDruid,
    decision: &Decision,
    members: &[Member],
    view: &View,
    drain: Option<&DrainStatus>,
    now: Timestamp,
) -> Drained {
    let mut next = Drained::default();
    if let Some(first) = decision.restarts.first()
        && first.waits_for.as_deref() == Some(NOT_TOLD)
    {
        next.tell.push((first.pod.clone(), false));
        // The time counts from when it was first told.
        let before = drain.filter(|drain| drain.pod == first.pod);
        next.drain = Some(before.cloned().unwrap_or_else(|| DrainStatus {
            pod: first.pod.clone(),
            since: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }));
    }
    let Some(before) = drain else {
        return next;
    };
    let needs = members
        .iter()
        .any(|member| member.pod == before.pod && !member.reasons.is_empty());
    if needs {
        next.drain = next.drain.or_else(|| Some(before.clone()));
    } else if kind_of(druid, members, &before.pod) == Some(RoleKind::Worker)
        && view
            .workers
            .get(&before.pod)
            .is_some_and(|worker| !worker.enabled)
    {
        // What it was to be restarted for was taken back; one that came anew takes tasks by itself.
        next.tell.push((before.pod.clone(), true));
        next.drain = next.drain.or_else(|| Some(before.clone()));
    }
    next
}

fn kind_of(druid: &ValidatedDruid, members: &[Member], pod: &str) -> Option<RoleKind> {
    let member = members.iter().find(|member| member.pod == pod)?;
    kind(druid, member)
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{large, valid};
    use super::super::view::WorkerView;
    use super::*;
    use crate::reconcile::roll::Standing;

    fn members(druid: &ValidatedDruid, needing: &[&str]) -> Vec<Member> {
        let nodes = druid.roles.iter().flat_map(|role| role.nodes(&druid.owner));
        nodes
            .map(|node| Member {
                uid: None,
                standing: Standing::Ready,
                since: None,
                reasons: needing
                    .iter()
                    .filter(|needs| node.pod.contains(**needs))
                    .map(|_| "why".to_owned())
                    .collect(),
                held: None,
                pod: node.pod,
            })
            .collect()
    }

    fn view(enabled: bool, tasks: usize) -> View {
        let workers =
            ["d-worker-0", "d-worker-1"].map(|pod| (pod.to_owned(), WorkerView { enabled, tasks }));
        View {
            leader: Some("d-coordinator-0".into()),
            unavailable: Some(0),
            to_load: Some(0),
            workers: workers.into(),
        }
    }

    #[test]
    fn all_servers_are_restarted_in_the_order_of_upgrades() {
        let druid = valid(large());
        let mut members = members(&druid, &["d-"]);
        let mut order = Vec::new();
        let now = Timestamp::UNIX_EPOCH;
        while let Some(next) = decide(&druid, &members, &view(false, 0), None, now).now {
            for member in members.iter_mut().filter(|member| member.pod == next.pod) {
                member.reasons.clear();
            }
            order.push(next.pod);
        }
        let expected = [
            "historical-0",
            "historical-1",
            "historical-2",
            "worker-0",
            "worker-1",
            "broker-0",
            "broker-1",
            "router-0",
            "router-1",
            "coordinator-1",
            "coordinator-0",
        ];
        assert_eq!(order, expected.map(|pod| format!("d-{pod}")));
    }

    #[test]
    fn a_worker_is_told_first_and_let_go_when_nothing_is_left_to_restart_it_for() {
        let druid = valid(large());
        let now = Timestamp::from_second(1_000_000).unwrap();
        let needing = members(&druid, &["worker-0"]);
        let decision = decide(&druid, &needing, &view(true, 1), None, now);
        assert_eq!(decision.now, None);
        let told = drained(&druid, &decision, &needing, &view(true, 1), None, now);
        assert_eq!(told.tell, [("d-worker-0".to_owned(), false)]);
        let drain = told.drain.unwrap();
        assert_eq!(
            (drain.pod.as_str(), drain.since.as_str()),
            ("d-worker-0", "1970-01-12T13:46:40Z")
        );

        // It was told, and runs a task yet.
        let decision = decide(&druid, &needing, &view(false, 1), Some(&drain), now);
        assert!(
            decision.restarts[0]
                .waits_for
                .as_ref()
                .unwrap()
                .contains("1 tasks")
        );
        let kept = drained(
            &druid,
            &decision,
            &needing,
            &view(false, 1),
            Some(&drain),
            now,
        );
        assert_eq!((kept.tell.len(), kept.drain.as_ref()), (0, Some(&drain)));
        let done = decide(&druid, &needing, &view(false, 0), Some(&drain), now);
        assert_eq!(done.now.unwrap().pod, "d-worker-0");

        let settled = members(&druid, &[]);
        let decision = decide(&druid, &settled, &view(false, 1), Some(&drain), now);
        let free = drained(
            &druid,
            &decision,
            &settled,
            &view(false, 1),
            Some(&drain),
            now,
        );
        assert_eq!(free.tell, [("d-worker-0".to_owned(), true)]);
        let over = drained(
            &druid,
            &decision,
            &settled,
            &view(true, 1),
            Some(&drain),
            now,
        );
        assert_eq!(over, Drained::default());
    }
}
