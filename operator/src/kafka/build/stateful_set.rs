//! The pods of a pool.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    Affinity, Container, ExecAction, Lifecycle, LifecycleHandler, PersistentVolumeClaim,
    PodAffinityTerm, PodAntiAffinity, PodSpec, PodTemplateSpec, TopologySpreadConstraint,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;
use millrace_contract::Invalid;

use super::super::nodes::Pool;
use super::super::validate::ValidatedKafka;
use super::super::{
    BROKER_LABEL, CLIENT_PORT, COMPONENT, CONTROLLER_LABEL, CONTROLLER_PORT, EXTERNAL_PORT,
    INTERNAL_PORT, POOL_LABEL, SECURE_PORT, certificates, files,
};
use crate::pods;
use crate::reconcile::restarts::CONFIG;
use crate::reconcile::{fingerprint, storage};
use crate::types::override_pods;

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
/// Seconds that nodes have to hand over their partitions and to close their files.
const GRACE_SECONDS: i64 = 60;

/// The StatefulSet of a pool.
///
/// # Errors
/// What is laid over the pods is not in the form of a pod template.
pub(super) fn stateful_set(kafka: &ValidatedKafka, pool: &Pool) -> Result<StatefulSet, Invalid> {
    let selector = LabelSelector {
        match_labels: Some(
            kafka
                .owner
                .pool_selector(COMPONENT, POOL_LABEL, pool.name.as_deref()),
        ),
        ..LabelSelector::default()
    };
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels(kafka, pool)),
            annotations: Some(annotations(kafka, pool)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(kafka, pool, selector.clone())),
    };
    for (field, overrides) in &pool.pod_overrides {
        override_pods(&mut template, overrides, field)?;
    }
    Ok(StatefulSet {
        metadata: kafka.owner.meta(pool.set.clone(), COMPONENT),
        spec: Some(StatefulSetSpec {
            replicas: Some(if kafka.stopped { 0 } else { pool.replicas }),
            persistent_volume_claim_retention_policy: Some(kafka.deletion_policy.of_claims()),
            service_name: Some(format!("{}-nodes", kafka.owner.name)),
            pod_management_policy: Some("Parallel".into()),
            selector: selector.clone(),
            // Only `roll` restarts a node.
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".into()),
                ..StatefulSetUpdateStrategy::default()
            }),
            template,
            volume_claim_templates: Some(claims(kafka, pool)),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    })
}

/// What has to be restarted for.
fn annotations(kafka: &ValidatedKafka, pool: &Pool) -> BTreeMap<String, String> {
    let mut annotations =
        BTreeMap::from([(CONFIG.into(), fingerprint(&Some(files::fixed(kafka, pool))))]);
    if let Some(certificates) = &kafka.certificates {
        let revision = certificates.rotation.revision;
        annotations.insert(certificates::REVISION.into(), revision.to_string());
    }
    annotations
}

fn labels(kafka: &ValidatedKafka, pool: &Pool) -> BTreeMap<String, String> {
    let mut labels = kafka.owner.labels(COMPONENT);
    if let Some(name) = &pool.name {
        labels.insert(POOL_LABEL.into(), name.clone());
        for (label, has) in [
            (BROKER_LABEL, pool.broker),
            (CONTROLLER_LABEL, pool.controller),
        ] {
            if has {
                labels.insert(label.into(), "true".into());
            }
        }
    }
    labels
}

fn pod(kafka: &ValidatedKafka, pool: &Pool, selector: LabelSelector) -> PodSpec {
    let listeners = listeners(kafka, pool);
    let ports = listeners
        .iter()
        .map(|(name, number)| pods::port(name, *number));
    // The last one that opens.
    let ready_port = listeners.first().map_or(CONTROLLER_PORT, |(_, port)| *port);
    let mut mounts: Vec<_> = pool
        .volumes
        .iter()
        .map(|volume| pods::mount(&volume.name, &volume.path))
        .collect();
    mounts.push(pods::read_only_mount("files", files::FILES));
    let mut volumes = vec![pods::config_volume("files", &pool.files_name())];
    if kafka.is_secure() {
        let secret = certificates::secret_name(&kafka.owner.name);
        mounts.push(pods::read_only_mount("certificates", certificates::PATH));
        volumes.push(pods::secret_volume("certificates", &secret));
    }
    let container = Container {
        name: "kafka".into(),
        image: Some(kafka.image.clone()),
        command: Some(vec!["/bin/sh".into(), format!("{}/start.sh", files::FILES)]),
        ports: Some(ports.collect()),
        env: (kafka.racks.is_some() && pool.broker).then(|| vec![pods::node_name()]),
        resources: Some(pods::resources(Some(&pool.resources), "512Mi", "100m")),
        // No liveness and no startup probe: a broker that recovers a long log must not be killed for it, and the JVM
        // ends by itself when it cannot go on.
        readiness_probe: Some(pods::tcp_probe(ready_port, 2, 3)),
        lifecycle: (!pool.broker).then(wait_for_brokers),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let mut pod = pods::pod(container, volumes, GRACE_SECONDS);
    // A single node has nothing to keep away from.
    if pool.replicas > 1 || pool.name.is_some() {
        spread(&mut pod, selector);
    }
    pod
}

/// The listeners of a node, by name; that for clients first.
fn listeners(kafka: &ValidatedKafka, pool: &Pool) -> Vec<(&'static str, i32)> {
    let mut listeners = Vec::new();
    match (pool.broker, kafka.is_secure()) {
        (true, false) => listeners.push(("client", CLIENT_PORT)),
        (true, true) => {
            listeners.extend([("secure", SECURE_PORT), ("internal", INTERNAL_PORT)]);
            if kafka.external.is_some() {
                listeners.push(("external", EXTERNAL_PORT));
            }
        }
        (false, _) => {}
    }
    if pool.controller {
        listeners.push(("controller", CONTROLLER_PORT));
    }
    listeners
}

/// When all nodes go at once, brokers still need controllers to hand over their partitions.
fn wait_for_brokers() -> Lifecycle {
    Lifecycle {
        pre_stop: Some(LifecycleHandler {
            exec: Some(ExecAction {
                command: Some(vec!["sleep".into(), "8".into()]),
            }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    }
}

/// Nodes of a pool keep away from each other where they can; a full cluster is better than none.
fn spread(pod: &mut PodSpec, selector: LabelSelector) {
    pod.topology_spread_constraints = Some(
        [HOST, ZONE]
            .into_iter()
            .map(|key| TopologySpreadConstraint {
                max_skew: 1,
                topology_key: key.into(),
                when_unsatisfiable: "ScheduleAnyway".into(),
                label_selector: Some(selector.clone()),
                ..TopologySpreadConstraint::default()
            })
            .collect(),
    );
    pod.affinity = Some(Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![
                WeightedPodAffinityTerm {
                    weight: 100,
                    pod_affinity_term: PodAffinityTerm {
                        label_selector: Some(selector),
                        topology_key: HOST.into(),
                        ..PodAffinityTerm::default()
                    },
                },
            ]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    });
}

/// The claims of each node. Those of a live StatefulSet cannot be changed.
fn claims(kafka: &ValidatedKafka, pool: &Pool) -> Vec<PersistentVolumeClaim> {
    if !pool.live_templates.is_empty() {
        return pool.live_templates.clone();
    }
    pool.volumes
        .iter()
        .map(|volume| storage::template(&kafka.owner, COMPONENT, &volume.name, &volume.storage))
        .collect()
}
