//! Restarts of nodes: one of all pools at a time, as [`super::gate`] lets it.

use k8s_openapi::api::apps::v1::StatefulSet;

use super::certificates::REVISION;
use super::crd::{KafkaCluster, NodeRestart};
use super::gate;
use super::nodes::Node;
use super::validate::ValidatedKafka;
use super::view::View;
use crate::context::Context;
use crate::pki::Phase;
use crate::reconcile::roll::{self, Decision, Gate, Member, Restart, Standing};
use crate::reconcile::{Applied, Error, PendingRestart, Resources};

/// On the pods: what was computed from the settings.
const CONFIG: &str = "millrace.dev/config";
/// So many restarts are told at once.
const MOST: usize = 32;

/// What became of the restarts.
#[derive(Clone, Debug, Default)]
pub(super) struct Rolling {
    /// What happens, in a sentence.
    pub(super) told: Option<String>,
    /// Every node that has to be restarted.
    pub(super) restarts: Vec<NodeRestart>,
    /// Whether every pod is there, is ready and is as its StatefulSet would make it now.
    pub(super) settled: bool,
}

/// The pods of all pools, as they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Pods {
    /// One by one.
    pub(super) members: Vec<Member>,
    /// A StatefulSet whose change Kubernetes has not looked at yet: which of its pods differ is not known.
    unseen: Option<String>,
}

/// Reads the pods of all pools.
pub(super) async fn pods(
    context: &Context,
    kafka: &ValidatedKafka,
    applied: &Resources<Applied>,
) -> Result<Pods, Error> {
    let certificates = certificates(kafka);
    let named = [
        (CONFIG, "its settings changed"),
        (REVISION, certificates.as_str()),
    ];
    let mut all = Pods::default();
    for pool in &kafka.pools {
        let Some(set) = applied.get::<StatefulSet>(&pool.set) else {
            continue;
        };
        let pods = roll::pods(context, &kafka.owner, &set)
            .await
            .map_err(Error::doing("listing the pods"))?;
        all.members.extend(roll::members(&set, &pods, &named));
        let seen = set.status.and_then(|status| status.observed_generation);
        if seen != set.metadata.generation {
            all.unseen = Some(pool.set.clone());
        }
    }
    Ok(all)
}

/// Restarts at most one node.
pub(super) async fn roll(
    context: &Context,
    cluster: &KafkaCluster,
    kafka: &ValidatedKafka,
    pods: &Pods,
    pending: &[PendingRestart],
    view: Option<&View>,
) -> Result<Rolling, Error> {
    if kafka.stopped {
        return Ok(Rolling::default());
    }
    let worked = cluster.status.as_ref().is_some_and(|s| s.bootstrapped);
    let members = &pods.members;
    let decision = decide(kafka, members, view, worked);
    if let Some(member) = &decision.now {
        roll::restart(context, &kafka.owner, member)
            .await
            .map_err(Error::doing("restarting nodes"))?;
    }
    let settled = members
        .iter()
        .all(|m| m.standing == Standing::Ready && m.reasons.is_empty());
    let unseen = pods.unseen.as_ref();
    Ok(Rolling {
        told: decision
            .told()
            .or_else(|| unseen.map(|set| format!("Kubernetes has not looked at {set} yet")))
            .or_else(|| leaving(members)),
        restarts: told(&decision, members, pending),
        settled: settled && unseen.is_none() && pending.is_empty(),
    })
}

/// A node that is still on its way out: its StatefulSet counts it as ready until it is gone.
fn leaving(members: &[Member]) -> Option<String> {
    let mut leaving = members.iter().filter(|m| m.standing == Standing::Leaving);
    let pod = &leaving.next()?.pod;
    Some(format!("{pod} ends, to come anew"))
}

/// Who is restarted, and who waits for what. Pure.
fn decide(
    kafka: &ValidatedKafka,
    members: &[Member],
    view: Option<&View>,
    worked: bool,
) -> Decision {
    let nodes: Vec<Node> = kafka.all_nodes().collect();
    let node = |member: &Member| nodes.iter().find(|node| node.pod == member.pod);
    roll::next(
        members,
        |member| node(member).map_or(0, |node| gate::rank(node, view)),
        |member| match node(member) {
            Some(node) => gate::gate(node, member, view, kafka.controller_count(), worked),
            None => Gate::Shut("it belongs to no pool".to_owned()),
        },
    )
}

/// What a restart for certificates is for.
fn certificates(kafka: &ValidatedKafka) -> String {
    let phase = kafka.certificates.as_ref().map(|c| c.rotation.phase);
    match phase {
        None | Some(Phase::Settled) => "its certificate is renewed".to_owned(),
        Some(phase) => format!(
            "the certificate authority is replaced, phase {}",
            phase.name()
        ),
    }
}

/// All restarts for the status: those of the decision, and those that wait for approval.
fn told(decision: &Decision, members: &[Member], pending: &[PendingRestart]) -> Vec<NodeRestart> {
    let of_decision = decision.restarts.iter().map(|restart| NodeRestart {
        pod: restart.pod.clone(),
        reasons: reasons(restart),
        waits_for: restart.waits_for.as_deref().map(|waits| short(waits, 1024)),
    });
    let approvals = pending.iter().flat_map(|pending| {
        let set = pending.workload.strip_prefix("StatefulSet/");
        let pods = members.iter().filter(move |member| {
            let ordinal = set.and_then(|set| member.pod.strip_prefix(set)?.strip_prefix('-'));
            ordinal.is_some_and(|ordinal| ordinal.bytes().all(|b| b.is_ascii_digit()))
        });
        pods.map(|member| NodeRestart {
            pod: member.pod.clone(),
            reasons: vec![short(&pending.reason, 2048)],
            waits_for: Some(format!("approval of revision {}", pending.revision)),
        })
    });
    let mut all: Vec<NodeRestart> = Vec::new();
    for restart in of_decision.chain(approvals) {
        match all.iter_mut().find(|other| other.pod == restart.pod) {
            // It is restarted for what is approved, and once more for what is not.
            Some(other) => other.reasons.extend(restart.reasons),
            None => all.push(restart),
        }
    }
    all.truncate(MOST);
    all
}

fn reasons(restart: &Restart) -> Vec<String> {
    let reasons = restart.reasons.iter().take(7);
    reasons.map(|reason| short(reason, 2048)).collect()
}

fn short(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_ends_is_told_until_it_is_gone() {
        let member = |pod: &str, standing| Member {
            pod: pod.into(),
            uid: None,
            standing,
            reasons: Vec::new(),
        };
        let mut all = [
            member("k-0", Standing::Ready),
            member("k-1", Standing::Leaving),
        ];
        assert!(leaving(&all).is_some_and(|told| told.starts_with("k-1 ")));
        all[1].standing = Standing::Ready;
        assert_eq!(leaving(&all), None);
    }
}
