//! What is told of a cluster. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use super::certificates::Certificates;
use super::crd::{
    CertificatePhase, CertificateStatus, KafkaCluster, KafkaClusterStatus, PoolStatus,
};
use super::files;
use super::nodes::Pool;
use super::validate::{Founding, ValidatedKafka};
use super::{ALLOW_FORMAT, binding_name, build};
use crate::controller::{Reconciled, status_of};
use crate::pki::{Phase, not_after};
use crate::reconcile::storage::Volumes;
use crate::reconcile::{Applied, Resources};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, is_true, set_condition};
use crate::types::{BindingStatus, Quantity, moment, tell_stopped};

/// What was seen after the objects were applied.
pub(super) struct Seen {
    /// Volumes, by StatefulSet.
    pub(super) volumes: Vec<(String, Volumes)>,
    /// A restart under way, and what it waits for.
    pub(super) rolling: Option<String>,
    /// What keeps pods from being ready.
    pub(super) trouble: Option<String>,
}

pub(super) fn status(
    cluster: &KafkaCluster,
    kafka: &ValidatedKafka,
    applied: &Resources<Applied>,
    seen: Seen,
) -> Reconciled<KafkaClusterStatus> {
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
    conditions(cluster, kafka, &mut status, &seen);
    tell_stopped(
        &mut status.conditions,
        kafka.stopped,
        pods(kafka, applied),
        cluster.metadata.generation,
    );
    let settled = is_true(&status.conditions, AVAILABLE) && seen.rolling.is_none();
    Reconciled::Status(status, Duration::from_secs(if settled { 300 } else { 15 }))
}

fn pool_status(
    pool: &Pool,
    applied: &Resources<Applied>,
    volumes: &[(String, Volumes)],
) -> PoolStatus {
    let set = applied.get::<StatefulSet>(&pool.set);
    let nodes = set
        .as_ref()
        .and_then(|set| set.spec.as_ref()?.replicas)
        .unwrap_or(pool.replicas);
    let ready = set
        .and_then(|set| set.status?.ready_replicas)
        .unwrap_or_default();
    let own = volumes.iter().filter(|(set, _)| *set == pool.set);
    PoolStatus {
        name: pool.name.clone(),
        nodes,
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
    match &seen.rolling {
        Some(step) => set_condition(
            conditions,
            PROGRESSING,
            true,
            "Restarting",
            step,
            generation,
        ),
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
