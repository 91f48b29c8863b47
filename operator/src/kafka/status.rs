//! What is told of a cluster. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use super::certificates::Certificates;
use super::crd::{
    CertificatePhase, CertificateStatus, KafkaCluster, KafkaClusterStatus, PoolStatus,
    VolumeReplacementPhase, VolumeReplacementStatus,
};
use super::files;
use super::nodes::Pool;
use super::validate::{Founding, ValidatedKafka};
use super::{ALLOW_FORMAT, binding_name, build, disk, inside, volume};
use crate::controller::{Reconciled, status_of};
use crate::disk::look_again;
use crate::pki::{Phase, not_after};
use crate::reconcile::restarts::Rolling;
use crate::reconcile::storage::Volumes;
use crate::reconcile::{Applied, Resources};
use crate::status::{AVAILABLE, Condition, DEGRADED, PROGRESSING, is_true, set_condition};
use crate::types::{BindingStatus, Quantity, moment, tell_stopped};

/// What was seen after the objects were applied.
pub(super) struct Seen {
    /// Volumes, by StatefulSet.
    pub(super) volumes: Vec<(String, Volumes)>,
    /// Restarts, and what they wait for.
    pub(super) rolling: Rolling,
    /// What keeps pods from being ready.
    pub(super) trouble: Option<String>,
    /// Nodes that cannot go yet, and why.
    pub(super) held: Vec<String>,
    /// What was seen and done inside.
    pub(super) inside: inside::Seen,
    /// A replacement of volumes.
    pub(super) replacement: Option<VolumeReplacementStatus>,
    /// The version of the metadata.
    pub(super) version: inside::Version,
}

/// What is to be told as an event of trouble: the reason and the sentence.
type Event = (&'static str, String);

pub(super) fn status(
    cluster: &KafkaCluster,
    kafka: &ValidatedKafka,
    applied: &Resources<Applied>,
    seen: Seen,
) -> (Reconciled<KafkaClusterStatus>, Option<Event>) {
    let mut status = status_of(cluster);
    let (host, port) = build::bootstrap(kafka);
    status.bootstrap_servers = Some(format!("{host}:{port}"));
    status.binding = Some(BindingStatus {
        name: binding_name(&kafka.owner.name),
    });
    status.pools = kafka
        .pools
        .iter()
        .map(|pool| pool_status(pool, applied, &seen.volumes))
        .collect();
    status.nodes = status.pools.iter().map(|pool| pool.nodes).sum();
    status.ready_nodes = status.pools.iter().map(|pool| pool.ready).sum();
    status.storage = smallest(seen.volumes.iter().map(|(_, volumes)| volumes));
    status.pending_restarts = applied.pending().to_vec();
    let external = kafka.external.as_ref();
    status.external_bootstrap_servers =
        external.and_then(|external| Some(external.bootstrap.as_ref()?.to_string()));
    status.certificates = kafka.certificates.as_ref().map(certificates);
    // A node is ready only when there is a cluster.
    let works = status.ready_nodes > 0;
    status.bootstrapped |= works || !matches!(kafka.founding, Founding::By(_));
    if works && let Some(asked) = cluster.annotations().get(ALLOW_FORMAT) {
        status.allowed_format = Some(asked.chars().take(256).collect());
    }
    // What could not be seen is as it was.
    if let Some(quorum) = &seen.inside.quorum {
        status.quorum = Some(quorum.clone());
    }
    if let Some(id) = &seen.inside.cluster_id {
        status.cluster_id = Some(id.clone());
    }
    if let Some(version) = &seen.version.finalized {
        status.metadata_version = Some(version.clone());
    }
    status.volume_replacement = seen.replacement.clone();
    status.restarts = seen.rolling.restarts.clone();
    if let Some(moved) = &seen.inside.moved {
        moved.tell(&mut status);
    }
    if let Some(disk) = disk::disk(&seen.inside.volumes, status.disk.as_ref()) {
        status.disk = Some(disk);
    }
    conditions(cluster, kafka, &mut status, &seen);
    tell_stopped(
        &mut status.conditions,
        kafka.stopped,
        pods(kafka, applied),
        cluster.metadata.generation,
    );
    let event = disk::tell(&mut status, cluster.metadata.generation);
    let used = status.disk.as_ref().map(|disk| disk.used_percent);
    let next = look_again(used, again(cluster, &status, &seen));
    (Reconciled::Status(status, next), event)
}

/// When to look again.
fn again(cluster: &KafkaCluster, status: &KafkaClusterStatus, seen: &Seen) -> Duration {
    let seconds = if status.moves.is_some() {
        // What was only noted goes on at once.
        let noted = cluster.status.as_ref().is_some_and(|s| s.moves.is_some());
        if noted { 5 } else { 1 }
    } else if volume::is_deleting(status.volume_replacement.as_ref()) {
        2
    } else if is_true(&status.conditions, PROGRESSING)
        || !is_true(&status.conditions, AVAILABLE)
        || !seen.held.is_empty()
        // New topics may have come to nodes that are to be empty.
        || status.drain.iter().any(|drain| !drain.gone)
    {
        15
    } else if status.disk.is_some() {
        // Volumes fill without a word.
        60
    } else {
        300
    };
    Duration::from_secs(seconds)
}

fn pool_status(
    pool: &Pool,
    applied: &Resources<Applied>,
    volumes: &[(String, Volumes)],
) -> PoolStatus {
    let ready = applied
        .get::<StatefulSet>(&pool.set)
        .and_then(|set| set.status?.ready_replicas)
        .unwrap_or_default();
    let own = volumes.iter().filter(|(set, _)| *set == pool.set);
    PoolStatus {
        name: pool.name.clone(),
        nodes: pool.replicas,
        ready,
        storage: smallest(own.map(|(_, volumes)| volumes)),
    }
}

/// Pods that are there, ready or not.
fn pods(kafka: &ValidatedKafka, applied: &Resources<Applied>) -> i32 {
    kafka
        .pools
        .iter()
        .filter_map(|pool| applied.get::<StatefulSet>(&pool.set)?.status)
        .map(|status| status.replicas)
        .sum()
}

fn certificates(certificates: &Certificates) -> CertificateStatus {
    let rotation = &certificates.rotation;
    let text = |at: Option<Timestamp>| at.map(moment).unwrap_or_default();
    CertificateStatus {
        generation: rotation.generation,
        phase: match rotation.phase {
            Phase::Settled => CertificatePhase::Settled,
            Phase::TrustBoth => CertificatePhase::TrustBoth,
            Phase::Reissue => CertificatePhase::Reissue,
            Phase::DropFormer => CertificatePhase::DropFormer,
        },
        authority_not_after: text(not_after(&rotation.authority.certificate)),
        not_after: text(certificates.not_after()),
        rotated_for: rotation.rotated_for.clone(),
    }
}

fn smallest<'a>(volumes: impl Iterator<Item = &'a Volumes>) -> Option<String> {
    volumes
        .filter_map(|volumes| volumes.size.as_ref())
        .min_by_key(|size: &&Quantity| size.bytes())
        .map(|size| size.0.clone())
}

fn conditions(
    cluster: &KafkaCluster,
    kafka: &ValidatedKafka,
    status: &mut KafkaClusterStatus,
    seen: &Seen,
) {
    let generation = cluster.metadata.generation;
    let (ready, nodes) = (status.ready_nodes, kafka.node_count());
    let conditions = &mut status.conditions;
    if kafka.stopped {
        let told = "spec.stopped is true";
        set_condition(conditions, AVAILABLE, false, "Stopped", told, generation);
        set_condition(conditions, PROGRESSING, false, "Stopped", "", generation);
        tell_held(conditions, &seen.held, generation);
        return;
    }
    let available = ready >= nodes;
    let counted = format!("{ready} of {nodes} nodes ready");
    let told = match (&seen.trouble, available) {
        (Some(trouble), false) => format!("{counted}: {trouble}"),
        _ => counted,
    };
    set_condition(
        conditions,
        AVAILABLE,
        available,
        if available { "Ready" } else { "NodesNotReady" },
        &told,
        generation,
    );
    match progress(kafka, seen) {
        Some((reason, told)) => {
            set_condition(conditions, PROGRESSING, true, reason, &told, generation)
        }
        None if available => {
            set_condition(conditions, PROGRESSING, false, "Settled", "", generation)
        }
        None => set_condition(conditions, PROGRESSING, true, "Starting", &told, generation),
    };
    let lost = seen
        .trouble
        .as_ref()
        .filter(|trouble| trouble.contains(files::REFUSED));
    let refused = seen.volumes.iter().find_map(|(_, v)| v.refused.as_ref());
    if let Some(lost) = lost {
        set_condition(conditions, DEGRADED, true, "VolumeLost", lost, generation);
    } else if !seen.held.is_empty() {
        tell_held(conditions, &seen.held, generation);
    } else if let Some(told) = replacement_refused(seen) {
        let reason = "VolumeCannotBeReplaced";
        set_condition(conditions, DEGRADED, true, reason, told, generation);
    } else if let Some(told) = &seen.version.refused {
        let reason = "MetadataVersionRefused";
        set_condition(conditions, DEGRADED, true, reason, told, generation);
    } else if let Some(told) = drain_refused(seen) {
        set_condition(
            conditions,
            DEGRADED,
            true,
            "DrainImpossible",
            told,
            generation,
        );
    } else if let Some(refused) = refused {
        set_condition(
            conditions,
            DEGRADED,
            true,
            "VolumeCannotGrow",
            refused,
            generation,
        );
    }
}

/// Nodes that cannot go yet.
fn tell_held(conditions: &mut Vec<Condition>, held: &[String], generation: Option<i64>) {
    if held.is_empty() {
        return;
    }
    let reason = if held.iter().any(|reason| reason.contains("it holds")) {
        "BrokersHoldReplicas"
    } else {
        "NodesCannotGo"
    };
    let told = held.join("; ");
    set_condition(conditions, DEGRADED, true, reason, &told, generation);
}

/// What is under way, beyond nodes that start: one word, and a sentence.
fn progress(kafka: &ValidatedKafka, seen: &Seen) -> Option<(&'static str, String)> {
    if let Some(told) = replacing(seen.replacement.as_ref()) {
        return Some(("ReplacingVolume", told));
    }
    if let Some(step) = &seen.rolling.told {
        return Some(("Restarting", step.clone()));
    }
    if let Some(changing) = &seen.inside.changing {
        return Some(("ChangingQuorum", changing.clone()));
    }
    if let Some(moved) = &seen.inside.moved {
        let failed = moved.failed.as_ref();
        let told = moved.plan.told().or_else(|| {
            Some(
                moved
                    .moves
                    .as_ref()
                    .map(|_| "moves come to their end")?
                    .to_owned(),
            )
        });
        if let Some(told) = told {
            let failed = failed.map(|failed| format!("; {failed}"));
            return Some((
                "MovingReplicas",
                format!("{told}{}", failed.unwrap_or_default()),
            ));
        }
    }
    if let Some(told) = &seen.version.told {
        return Some(("RaisingMetadataVersion", told.clone()));
    }
    let phase = kafka.certificates.as_ref().map(|c| c.rotation.phase)?;
    (phase != Phase::Settled).then(|| {
        let told = format!(
            "the certificate authority is replaced, phase {}",
            phase.name()
        );
        ("ReplacingAuthority", told)
    })
}

/// A replacement of volumes under way.
fn replacing(replacement: Option<&VolumeReplacementStatus>) -> Option<String> {
    let replacement = replacement?;
    let step = match replacement.phase {
        VolumeReplacementPhase::Refused | VolumeReplacementPhase::Done => return None,
        VolumeReplacementPhase::Waiting => "are to be replaced",
        VolumeReplacementPhase::Deleting => "are deleted",
        VolumeReplacementPhase::Filling => "are new and are filled",
    };
    let waits = match &replacement.message {
        Some(message) => format!("; waiting: {message}"),
        None => String::new(),
    };
    Some(format!("volumes of {} {step}{waits}", replacement.pod))
}

fn replacement_refused(seen: &Seen) -> Option<&str> {
    let replacement = seen.replacement.as_ref()?;
    let refused = replacement.phase == VolumeReplacementPhase::Refused;
    replacement.message.as_deref().filter(|_| refused)
}

fn drain_refused(seen: &Seen) -> Option<&str> {
    seen.inside.moved.as_ref()?.plan.refused.as_deref()
}
