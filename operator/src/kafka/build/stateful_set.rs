//! The pods of a pool.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Affinity, Container, ExecAction, Lifecycle, LifecycleHandler, PersistentVolumeClaim,
    PodAffinityTerm, PodAntiAffinity, PodSpec, TopologySpreadConstraint, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use millrace_contract::Invalid;

use super::super::nodes::Pool;
use super::super::validate::ValidatedKafka;
use super::super::{
    BROKER_LABEL, CLIENT_PORT, COMPONENT, CONTROLLER_LABEL, CONTROLLER_PORT, EXTERNAL_PORT,
    INTERNAL_PORT, POOL_LABEL, SECURE_PORT, certificates, files,
};
use crate::pods::{self, Servers, exporter};
use crate::reconcile::{fingerprint, storage};

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
/// Seconds that nodes have to hand over their partitions and to close their files.
const GRACE_SECONDS: i64 = 60;

/// The StatefulSet of a pool.
///
/// # Errors
/// What is laid over the pods is not in the form of a pod template.
pub(super) fn stateful_set(kafka: &ValidatedKafka, pool: &Pool) -> Result<StatefulSet, Invalid> {
    let selector = kafka
        .owner
        .pool_selector(COMPONENT, POOL_LABEL, pool.name.as_deref());
    let overrides = pool.pod_overrides.iter();
    pods::stateful_set(Servers {
        metadata: kafka.owner.meta(pool.set.clone(), COMPONENT),
        replicas: if kafka.stopped { 0 } else { pool.replicas },
        service_name: format!("{}-nodes", kafka.owner.name),
        labels: labels(kafka, pool),
        config: fingerprint(&Some(files::fixed(kafka, pool))),
        annotations: annotations(kafka),
        pod: pod(kafka, pool, &selector),
        overrides: overrides
            .map(|(field, overrides)| (field.as_str(), overrides))
            .collect(),
        live_claims: &pool.live_templates,
        claims: claims(kafka, pool),
        deletion_policy: kafka.deletion_policy,
        selector,
    })
}

/// Where Prometheus finds the metrics, and what has to be restarted for besides files.
fn annotations(kafka: &ValidatedKafka) -> BTreeMap<String, String> {
    let mut annotations = pods::scraped(exporter::PORT, "/metrics");
    annotations.extend(kafka.certificates.iter().map(|certificates| {
        let revision = certificates.rotation.revision;
        (certificates::REVISION.into(), revision.to_string())
    }));
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

fn pod(kafka: &ValidatedKafka, pool: &Pool, selector: &BTreeMap<String, String>) -> PodSpec {
    let listeners = listeners(kafka, pool);
    let ports = listeners
        .iter()
        .chain(&[("metrics", exporter::PORT)])
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
        let selector = LabelSelector {
            match_labels: Some(selector.clone()),
            ..LabelSelector::default()
        };
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

/// The claims of each node of a new set.
fn claims(kafka: &ValidatedKafka, pool: &Pool) -> Vec<PersistentVolumeClaim> {
    pool.volumes
        .iter()
        .map(|volume| storage::template(&kafka.owner, COMPONENT, &volume.name, &volume.storage))
        .collect()
}
