//! Restarts of nodes: one of all pools at a time, as [`super::gate`] lets it.

use k8s_openapi::api::apps::v1::StatefulSet;

use super::certificates::REVISION;
use super::crd::KafkaCluster;
use super::gate;
use super::nodes::Node;
use super::validate::ValidatedKafka;
use super::view::View;
use crate::context::Context;
use crate::pki::Phase;
use crate::reconcile::restarts::{self, CONFIG, Pods, Rolling};
use crate::reconcile::roll::{self, Decision, Gate, Member};
use crate::reconcile::{Applied, Error, PendingRestart, Resources};

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
    let pools = kafka.pools.iter();
    let sets: Vec<StatefulSet> = pools.filter_map(|pool| applied.get(&pool.set)).collect();
    Pods::of(context, &kafka.owner, &sets, &named).await
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
    let decision = decide(kafka, &pods.members, view, worked);
    restarts::carry_out(context, &kafka.owner, pods, &decision, pending).await
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
