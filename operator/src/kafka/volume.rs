//! Replaces the volumes of a node by new ones, which the others fill.
//!
//! What is to be deleted is noted in the status by its uids first, so that whoever goes on after a crash deletes nothing
//! else. Claims are deleted before the pod: they stay until the pod is gone, and the pod that comes next finds none and
//! gets new ones. The upper half is pure.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};

use super::crd::{KafkaCluster, VolumeReplacementPhase as Phase, VolumeReplacementStatus};
use super::nodes::Node;
use super::validate::ValidatedKafka;
use super::view::View;
use super::{REPLACE_VOLUME, gate};
use crate::context::{Context, is_status};
use crate::rbac::Rule;
use crate::reconcile::Error;
use crate::reconcile::roll::{self, Member, Standing};

/// A claim of the node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// Its uid; `None` when it is not there.
    pub uid: Option<String>,
    /// Whether it is on its way out.
    pub leaves: bool,
}

/// What is known when the next step is decided.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The pods of all pools.
    pub members: &'a [Member],
    /// The claims of the node.
    pub claims: &'a [Claim],
    /// The node.
    pub node: Option<&'a Node>,
    /// The inside; `None` when Kafka cannot be asked.
    pub view: Option<&'a View>,
    /// How many controllers the spec asks for.
    pub controllers: usize,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Next {
    /// For the status.
    pub status: Option<VolumeReplacementStatus>,
    /// Claims to delete.
    pub claims: Vec<Claim>,
    /// The pod to delete.
    pub pod: Option<Member>,
}

impl Next {
    fn only(status: VolumeReplacementStatus) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }
}

/// The pod whose volumes are replaced: what has begun is brought to its end, whatever is asked meanwhile.
#[must_use]
pub fn pod<'a>(
    asked: Option<&'a str>,
    before: Option<&'a VolumeReplacementStatus>,
) -> Option<&'a str> {
    let begun = before.filter(|b| matches!(b.phase, Phase::Deleting | Phase::Filling));
    begun.map(|begun| begun.pod.as_str()).or(asked)
}

/// Decides the next step.
#[must_use]
pub fn next(
    asked: Option<&str>,
    before: Option<&VolumeReplacementStatus>,
    facts: &Facts<'_>,
) -> Next {
    let Some(pod) = pod(asked, before) else {
        return Next::default();
    };
    let told = |phase: Phase, message: String| VolumeReplacementStatus {
        pod: pod.to_owned(),
        phase,
        message: Some(message).filter(|text| !text.is_empty()),
        former: Vec::new(),
    };
    let same = before.filter(|before| before.pod == pod);
    let member = facts.members.iter().find(|member| member.pod == pod);
    match same.map(|same| same.phase) {
        Some(Phase::Done) => Next::only(told(Phase::Done, String::new())),
        Some(Phase::Deleting) => deleting(same.cloned().unwrap_or_default(), member, facts),
        Some(Phase::Filling) => filling(same.cloned().unwrap_or_default(), member, facts),
        None | Some(Phase::Waiting | Phase::Refused) => {
            if let Some(never) = never(facts) {
                let problem = format!("metadata.annotations[{REPLACE_VOLUME}]: {pod}: {never}");
                return Next::only(told(Phase::Refused, problem));
            }
            if let Some(waits) = waits(pod, facts) {
                return Next::only(told(Phase::Waiting, waits));
            }
            let mut status = told(Phase::Deleting, String::new());
            status.former = facts.claims.iter().filter_map(|c| c.uid.clone()).collect();
            status.former.extend(member.and_then(|m| m.uid.clone()));
            Next::only(status)
        }
    }
}

/// Why it can never be done as things are, with the cure.
fn never(facts: &Facts<'_>) -> Option<String> {
    let Some(node) = facts.node else {
        return Some("is no pod of this cluster; write the name of one".to_owned());
    };
    if node.controller && facts.controllers < 3 {
        // The former vote can be taken away by a majority only.
        return Some(
            "the controllers that would stay are no majority; have three of them first".to_owned(),
        );
    }
    let view = facts.view?;
    let (topic, partition) = view.partitions().find(|(topic, partition)| {
        node.broker
            && partition.replicas.contains(&node.id)
            && partition.replicas.len() <= view.min_in_sync(&topic.name).max(1)
    })?;
    Some(format!(
        "partition {} of topic {} has {} copies, too few to lose one; raise its replication factor, lower its min.insync.replicas, or empty the node by `millrace drain`",
        partition.index,
        topic.name,
        partition.replicas.len()
    ))
}

/// What has to be waited for before the node can be spared.
fn waits(pod: &str, facts: &Facts<'_>) -> Option<String> {
    let (Some(node), Some(view)) = (facts.node, facts.view) else {
        return Some("Kafka cannot be asked whether the others hold everything".to_owned());
    };
    let unready = facts
        .members
        .iter()
        .find(|member| member.pod != pod && member.standing != Standing::Ready);
    if let Some(other) = unready {
        return Some(format!("{} is not ready", other.pod));
    }
    if let Some(moving) = view.reassignments.first() {
        return Some(format!(
            "replicas of topic {} are moved at this moment",
            moving.at.topic
        ));
    }
    let lacking = view.partitions().find(|(topic, partition)| {
        let others = partition.in_sync.iter().filter(|id| **id != node.id);
        node.broker
            && partition.replicas.contains(&node.id)
            && others.count() < view.min_in_sync(&topic.name).max(1)
    });
    if let Some((topic, partition)) = lacking {
        return Some(format!(
            "partition {} of topic {} has too few other copies in sync",
            partition.index, topic.name
        ));
    }
    gate::lacks(node, view, facts.controllers)
}

fn deleting(
    mut status: VolumeReplacementStatus,
    member: Option<&Member>,
    facts: &Facts<'_>,
) -> Next {
    let is_former = |uid: &Option<String>| uid.as_ref().is_some_and(|u| status.former.contains(u));
    let pod = member.filter(|member| is_former(&member.uid)).cloned();
    let claims: Vec<Claim> = facts
        .claims
        .iter()
        .filter(|c| is_former(&c.uid))
        .cloned()
        .collect();
    if pod.is_none() && claims.is_empty() {
        status.phase = Phase::Filling;
        status.message = None;
        status.former.clear();
        return Next::only(status);
    }
    let begun = claims.len() < facts.claims.len() || claims.iter().any(|claim| claim.leaves);
    // Things may have changed since it was noted; once a claim is on its way out there is no way back.
    let waits = (!begun).then(|| waits(&status.pod, facts)).flatten();
    if let Some(waits) = waits {
        status.message = Some(waits);
        return Next::only(status);
    }
    status.message = None;
    Next {
        claims: claims.into_iter().filter(|claim| !claim.leaves).collect(),
        pod: pod.filter(|pod| pod.standing != Standing::Leaving),
        status: Some(status),
    }
}

fn filling(
    mut status: VolumeReplacementStatus,
    member: Option<&Member>,
    facts: &Facts<'_>,
) -> Next {
    let waits = match member {
        Some(member) if member.standing == Standing::Ready => unfilled(facts),
        Some(member)
            if member.standing == (Standing::Unready { runs: false })
                && facts.claims.iter().any(|claim| claim.uid.is_none()) =>
        {
            // It came while its former claim was still there, and nobody makes it another.
            let pod = Some(member.clone());
            return Next {
                pod,
                ..Next::only(status)
            };
        }
        _ => Some(format!("{} is not ready", status.pod)),
    };
    if waits.is_none() {
        status.phase = Phase::Done;
    }
    status.message = waits;
    Next::only(status)
}

/// What the node still lacks.
fn unfilled(facts: &Facts<'_>) -> Option<String> {
    let (Some(node), Some(view)) = (facts.node, facts.view) else {
        return Some("Kafka cannot be asked whether the node has everything again".to_owned());
    };
    let behind = view
        .partitions()
        .filter(|(_, p)| p.replicas.contains(&node.id) && !p.in_sync.contains(&node.id))
        .count();
    if node.broker && behind > 0 {
        return Some(format!("{behind} partitions are not in sync yet"));
    }
    let vote = view.quorum.voters.iter().find(|voter| voter.id == node.id);
    if node.controller && vote.is_none_or(|vote| view.quorum.has_lost_its_volume(vote)) {
        return Some("the controller does not vote yet".to_owned());
    }
    None
}

/// Whether a pod is deleted with its claims at this moment, or is about to be.
pub(super) fn is_deleting(status: Option<&VolumeReplacementStatus>) -> bool {
    status.is_some_and(|status| status.phase == Phase::Deleting)
}

/// What the operator must be allowed to do for it.
pub(super) fn rules() -> Vec<Rule> {
    vec![Rule::new(
        "",
        &["persistentvolumeclaims"],
        &["delete"],
        "Replace the volumes of a node that the annotation millrace.dev/replace-volume names.",
    )]
}

/// Takes the next step.
pub(super) async fn replace(
    context: &Context,
    cluster: &KafkaCluster,
    kafka: &ValidatedKafka,
    members: &[Member],
    view: Option<&View>,
) -> Result<Option<VolumeReplacementStatus>, Error> {
    let asked = cluster.annotations().get(REPLACE_VOLUME);
    let status = cluster.status.as_ref();
    let before = status.and_then(|status| status.volume_replacement.as_ref());
    let asked = asked
        .map(|pod| pod.trim())
        .filter(|pod| !pod.is_empty() && pod.len() <= 253);
    let Some(pod) = pod(asked, before) else {
        return Ok(None);
    };
    if kafka.stopped {
        return Ok(before.cloned());
    }
    let nodes: Vec<Node> = kafka.all_nodes().collect();
    let node = nodes.iter().find(|node| node.pod == pod);
    let claims = match node {
        Some(node) => claims(context, kafka, node).await?,
        None => Vec::new(),
    };
    let facts = Facts {
        members,
        claims: &claims,
        node,
        view,
        controllers: kafka.controller_count(),
    };
    let next = next(asked, before, &facts);
    let api = context.namespaced::<PersistentVolumeClaim>(&kafka.owner.namespace);
    for claim in &next.claims {
        let exactly_this = DeleteParams::default().preconditions(Preconditions {
            uid: claim.uid.clone(),
            resource_version: None,
        });
        match api.delete(&claim.name, &exactly_this).await {
            Ok(_) => {
                context.metrics.count_write("PersistentVolumeClaim");
                tracing::info!(claim = claim.name, "a volume is replaced");
            }
            Err(error) if is_status(&error, 404) || is_status(&error, 409) => {}
            Err(error) => return Err(Error::doing("deleting a volume claim")(error)),
        }
    }
    if let Some(member) = &next.pod {
        roll::restart(context, &kafka.owner, member)
            .await
            .map_err(Error::doing("deleting a pod"))?;
    }
    Ok(next.status)
}

async fn claims(
    context: &Context,
    kafka: &ValidatedKafka,
    node: &Node,
) -> Result<Vec<Claim>, Error> {
    let api = context.namespaced::<PersistentVolumeClaim>(&kafka.owner.namespace);
    let pools = kafka.pools.iter();
    let pool = pools
        .filter(|pool| pool.all_nodes(&kafka.owner).contains(node))
        .flat_map(|pool| &pool.volumes);
    let mut claims = Vec::new();
    for volume in pool {
        let name = format!("{}-{}", volume.name, node.pod);
        let claim = api
            .get_opt(&name)
            .await
            .map_err(Error::doing("reading a volume claim"))?;
        claims.push(Claim {
            name,
            uid: claim.as_ref().and_then(|claim| claim.metadata.uid.clone()),
            leaves: claim.is_some_and(|claim| claim.metadata.deletion_timestamp.is_some()),
        });
    }
    Ok(claims)
}

#[cfg(test)]
#[path = "volume_tests.rs"]
mod tests;
