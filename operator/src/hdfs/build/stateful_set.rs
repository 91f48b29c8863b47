//! The pods of a role.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Container, ExecAction, Lifecycle, LifecycleHandler, PersistentVolumeClaim, PodSpec, VolumeMount,
};
use millrace_contract::Invalid;

use super::super::files::{self, CEDED, FAIL_OVER_MEMORY, FILES};
use super::super::roles::{Role, RoleKind};
use super::super::validate::ValidatedHdfs;
use super::super::{COMPONENT, FAIL_OVER_PORT, ROLE_LABEL};
use super::{selector, services};
use crate::pods::{self, Servers};
use crate::reconcile::{fingerprint, storage};
use crate::types::PodResources;

/// Seconds that a server has to close its files; a NameNode also hands over to another.
const GRACE_SECONDS: i64 = 60;

/// The StatefulSet of a role.
///
/// # Errors
/// What is laid over the pods is not in the form of a pod template.
pub(super) fn stateful_set(hdfs: &ValidatedHdfs, role: &Role) -> Result<StatefulSet, Invalid> {
    let mut labels = hdfs.owner.labels(COMPONENT);
    labels.insert(ROLE_LABEL.into(), role.kind.name().into());
    let overrides = role.pod_overrides.iter();
    pods::stateful_set(Servers {
        metadata: hdfs.owner.meta(role.set.clone(), COMPONENT),
        replicas: if hdfs.stopped { 0 } else { role.replicas },
        service_name: services::nodes_name(hdfs),
        selector: selector(hdfs, role),
        labels,
        config: fingerprint(&Some(files::fixed(hdfs, role))),
        annotations: scraped(role.kind),
        pod: pod(hdfs, role),
        overrides: overrides
            .map(|(field, overrides)| (field.as_str(), overrides))
            .collect(),
        live_claims: &role.live_templates,
        claims: claims(hdfs, role),
        deletion_policy: hdfs.deletion_policy,
    })
}

/// Hadoop's own endpoint, on the port where each server tells about itself.
fn scraped(kind: RoleKind) -> BTreeMap<String, String> {
    let port = kind
        .ports()
        .iter()
        .find(|(name, _)| name.ends_with("-http"));
    port.map(|(_, port)| pods::scraped(*port, "/prom"))
        .unwrap_or_default()
}

fn pod(hdfs: &ValidatedHdfs, role: &Role) -> PodSpec {
    let ports = role.kind.ports();
    let ready = ports.first().map_or(0, |(_, port)| *port);
    let mut mounts: Vec<VolumeMount> = role
        .mounts()
        .map(|(name, path)| pods::mount(&name, &path))
        .collect();
    mounts.push(pods::read_only_mount("files", FILES));
    let cedes = role.kind == RoleKind::NameNode && hdfs.is_ha();
    let racks = role.kind == RoleKind::DataNode && hdfs.racks.is_some();
    let container = Container {
        name: role.kind.name().into(),
        image: Some(hdfs.image.clone()),
        command: Some(script("start.sh")),
        ports: Some(
            ports
                .iter()
                .map(|(name, port)| pods::port(name, *port))
                .collect(),
        ),
        env: racks.then(|| vec![pods::node_name()]),
        resources: Some(pods::resources(Some(&role.resources), "512Mi", "50m")),
        // No liveness and no startup probe: a NameNode that reads a large log must not be killed for it, and the JVM ends
        // by itself when it cannot go on.
        readiness_probe: Some(pods::tcp_probe(ready, 3, 3)),
        // Its fail-over controller hands over first.
        lifecycle: cedes.then(|| before_end(vec!["/bin/sh".into(), "-c".into(), CEDED.into()])),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let files = pods::config_volume("files", &role.files_name());
    let mut pod = pods::pod(container, vec![files], GRACE_SECONDS);
    if cedes {
        pods::add_container(&mut pod, fail_over_controller(hdfs));
    }
    // A single NameNode has nothing to keep away from.
    if role.kind != RoleKind::NameNode || hdfs.is_ha() {
        pods::spread(&mut pod, selector(hdfs, role));
    }
    pod
}

/// Watches the NameNode beside it, and decides with the others by ZooKeeper which one is active.
fn fail_over_controller(hdfs: &ValidatedHdfs) -> Container {
    let memory = PodResources {
        memory: Some(FAIL_OVER_MEMORY.into()),
        cpu: None,
    };
    Container {
        name: "zkfc".into(),
        image: Some(hdfs.image.clone()),
        command: Some(script("zkfc.sh")),
        ports: Some(vec![pods::port("fail-over", FAIL_OVER_PORT)]),
        resources: Some(pods::resources(Some(&memory), FAIL_OVER_MEMORY, "20m")),
        // A NameNode whose controller is not there cannot be handed over to.
        readiness_probe: Some(pods::tcp_probe(FAIL_OVER_PORT, 3, 3)),
        lifecycle: Some(before_end(script("cede.sh"))),
        volume_mounts: Some(vec![pods::read_only_mount("files", FILES)]),
        ..Container::default()
    }
}

fn script(name: &str) -> Vec<String> {
    vec!["/bin/sh".into(), format!("{FILES}/{name}")]
}

fn before_end(command: Vec<String>) -> Lifecycle {
    Lifecycle {
        pre_stop: Some(LifecycleHandler {
            exec: Some(ExecAction {
                command: Some(command),
            }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    }
}

/// The claims of each server of a new set.
fn claims(hdfs: &ValidatedHdfs, role: &Role) -> Vec<PersistentVolumeClaim> {
    role.mounts()
        .map(|(name, _)| storage::template(&hdfs.owner, COMPONENT, &name, &role.storage))
        .collect()
}
