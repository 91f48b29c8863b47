//! Restarts of servers: one of all roles at a time, as [`super::gate`] lets it.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;

use super::gate::{self, Of};
use super::roles::RoleKind;
use super::validate::ValidatedHdfs;
use super::view::View;
use crate::context::Context;
use crate::reconcile::restarts::{self, CONFIG, Pods, Rolling};
use crate::reconcile::roll::{self, Decision, Gate, Member};
use crate::reconcile::{Applied, Error, Resources};

/// Restarts at most one server. `worked` says whether the cluster ever has.
pub(super) async fn roll(
    context: &Context,
    hdfs: &ValidatedHdfs,
    applied: &Resources<Applied>,
    view: &View,
    worked: bool,
) -> Result<Rolling, Error> {
    if hdfs.stopped {
        return Ok(Rolling::default());
    }
    let roles = hdfs.roles();
    let sets: Vec<StatefulSet> = roles.filter_map(|role| applied.get(&role.set)).collect();
    let named = [(CONFIG, "its settings changed")];
    let pods = Pods::of(context, &hdfs.owner, &sets, &named).await?;
    let decision = decide(hdfs, &pods.members, view, worked, Timestamp::now());
    restarts::carry_out(context, &hdfs.owner, &pods, &decision, applied.pending()).await
}

/// Who is restarted, and who waits for what. Pure.
fn decide(
    hdfs: &ValidatedHdfs,
    members: &[Member],
    view: &View,
    worked: bool,
    now: Timestamp,
) -> Decision {
    let kind = |member: &Member| {
        let mut roles = hdfs.roles();
        roles
            .find(|role| member.is_of(&role.set))
            .map(|role| role.kind)
    };
    let data_nodes: Vec<String> = hdfs
        .nodes(&hdfs.data_nodes)
        .into_iter()
        .map(|node| node.host)
        .collect();
    let journals_since = |but: &Member| {
        let journals = members
            .iter()
            .filter(|member| member.pod != but.pod && kind(member) == Some(RoleKind::JournalNode));
        journals.filter_map(|member| member.since).max()
    };
    roll::next(
        members,
        |member| kind(member).map_or(0, |kind| gate::rank(kind, &member.pod, view)),
        |member| match kind(member) {
            None => Gate::Shut("it has no role".to_owned()),
            Some(kind) => {
                let of = Of {
                    kind,
                    data_nodes: &data_nodes,
                    journals_since: journals_since(member),
                    ha: hdfs.is_ha(),
                    worked,
                    now,
                };
                gate::gate(of, member, view)
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{ha, valid};
    use super::super::view::tests::view;
    use super::*;
    use crate::reconcile::roll::Standing;

    fn members(needing: &[&str]) -> Vec<Member> {
        let since = Timestamp::from_second(990_000).ok();
        let pods = ["journalnode", "namenode", "datanode"]
            .into_iter()
            .zip([3, 2, 3])
            .flat_map(|(role, count)| (0..count).map(move |n| format!("h-{role}-{n}")));
        pods.map(|pod| Member {
            uid: None,
            standing: Standing::Ready,
            since,
            reasons: needing
                .iter()
                .filter(|needs| pod.contains(**needs))
                .map(|_| "why".to_owned())
                .collect(),
            held: None,
            pod,
        })
        .collect()
    }

    fn order(needing: &[&str]) -> Vec<String> {
        let hdfs = valid(ha());
        let now = Timestamp::from_second(1_000_000).unwrap();
        let mut members = members(needing);
        let mut order = Vec::new();
        while let Some(next) = decide(&hdfs, &members, &view(), true, now).now {
            for member in members.iter_mut().filter(|member| member.pod == next.pod) {
                member.reasons.clear();
            }
            order.push(next.pod);
        }
        order
    }

    #[test]
    fn all_servers_are_restarted_in_the_order_of_upgrades() {
        assert_eq!(
            order(&["h-"]),
            [
                "h-journalnode-0",
                "h-journalnode-1",
                "h-journalnode-2",
                "h-namenode-1",
                "h-namenode-0",
                "h-datanode-0",
                "h-datanode-1",
                "h-datanode-2"
            ]
        );
        assert_eq!(order(&["namenode-0"]), ["h-namenode-0"]);
    }

    #[test]
    fn journal_nodes_wait_for_each_other() {
        let hdfs = valid(ha());
        let now = Timestamp::from_second(1_000_000).unwrap();
        let mut all = members(&["journalnode-1"]);
        all[0].since = Timestamp::from_second(999_990).ok();
        let decision = decide(&hdfs, &all, &view(), true, now);
        assert_eq!(decision.now, None);
        let waits = decision.restarts[0].waits_for.clone().unwrap();
        assert!(waits.starts_with("another JournalNode"), "{waits}");
    }
}
