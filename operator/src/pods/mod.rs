//! Building blocks of pods: the restricted security profile, resources, probes, volumes, bindings.

pub mod account;
mod cron_job;
pub mod exporter;
mod parts;
mod stateful_set;
mod trouble;

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, HTTPGetAction,
    HTTPHeader, PodSecurityContext, PodSpec, Probe, ResourceRequirements, SeccompProfile,
    SecretVolumeSource, SecurityContext, TCPSocketAction, TopologySpreadConstraint, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::context::Context;
use crate::reconcile::Owner;
use crate::types::{PodResources, Quantity};

pub use cron_job::{Runs, Schedule, cron_job, job_is, runs};
pub use parts::{
    add_container, disruption_budget, env_of_pod, names_of_pods, node_name, port, scraped,
    secret_keys, secrets_volume, service_port,
};
pub use stateful_set::{Servers, stateful_set};
pub use trouble::{final_words, result, trouble, words_of_run};

/// The user and group that every container runs as.
pub const USER: i64 = 1000;
/// Where service bindings are mounted.
pub const BINDING_ROOT: &str = "/bindings";

/// The restricted Pod Security profile, for the pod.
#[must_use]
pub fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        // A full volume with a million files would otherwise be walked at each start.
        fs_group_change_policy: Some("OnRootMismatch".into()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".into(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// The restricted Pod Security profile, for a container, with a read-only root.
#[must_use]
pub fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".into()]),
            ..Capabilities::default()
        }),
        ..SecurityContext::default()
    }
}

/// A pod of one container, with a `/tmp` of its own, no service links and no access to the API of Kubernetes.
#[must_use]
pub fn pod(mut container: Container, mut volumes: Vec<Volume>, grace_seconds: i64) -> PodSpec {
    container.security_context = Some(container_security());
    container
        .volume_mounts
        .get_or_insert_default()
        .push(mount("tmp", "/tmp"));
    volumes.push(Volume {
        name: "tmp".into(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    PodSpec {
        containers: vec![container],
        volumes: Some(volumes),
        security_context: Some(pod_security()),
        // Service links would put variables like KAFKA_PORT into the environment, which images take for settings.
        enable_service_links: Some(false),
        automount_service_account_token: Some(false),
        termination_grace_period_seconds: Some(grace_seconds),
        ..PodSpec::default()
    }
}

/// Whether the StatefulSet of an owner, of the same name, has a ready pod; `None` when there is none.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn set_serves(context: &Context, owner: &Owner) -> Result<Option<bool>, kube::Error> {
    named_set_serves(context, owner, &owner.name).await
}

/// The same for a StatefulSet of another name.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn named_set_serves(
    context: &Context,
    owner: &Owner,
    name: &str,
) -> Result<Option<bool>, kube::Error> {
    let api = context.namespaced::<StatefulSet>(&owner.namespace);
    let found = api.get_opt(name).await?;
    Ok(found
        .filter(|set| owner.owns(&set.metadata))
        .map(|set| set.status.and_then(|status| status.ready_replicas) > Some(0)))
}

/// Bounds a pod's `/tmp`. A pod that exceeds it is evicted and started anew, so that it cannot fill its node's disk.
pub fn limit_tmp(pod: &mut PodSpec, size: &str) {
    for volume in pod.volumes.iter_mut().flatten() {
        if volume.name == "tmp" {
            volume.empty_dir = Some(EmptyDirVolumeSource {
                size_limit: Some(ApiQuantity(size.into())),
                ..EmptyDirVolumeSource::default()
            });
        }
    }
}

/// Spreads pods that carry these labels over nodes and zones, as far as there are several.
pub fn spread(pod: &mut PodSpec, labels: BTreeMap<String, String>) {
    let over = |topology_key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(LabelSelector {
            match_labels: Some(labels.clone()),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    };
    pod.topology_spread_constraints = Some(vec![
        over("topology.kubernetes.io/zone"),
        over("kubernetes.io/hostname"),
    ]);
}

/// Memory as request and limit, CPU as request only.
#[must_use]
pub fn resources(asked: Option<&PodResources>, memory: &str, cpu: &str) -> ResourceRequirements {
    let memory = asked
        .and_then(|r| r.memory.clone())
        .unwrap_or_else(|| memory.into());
    let cpu = asked
        .and_then(|r| r.cpu.clone())
        .unwrap_or_else(|| cpu.into());
    let quantity = |quantity: &Quantity| ApiQuantity::from(quantity);
    ResourceRequirements {
        requests: Some(
            [
                ("memory".to_owned(), quantity(&memory)),
                ("cpu".to_owned(), quantity(&cpu)),
            ]
            .into(),
        ),
        limits: Some([("memory".to_owned(), quantity(&memory))].into()),
        ..ResourceRequirements::default()
    }
}

/// A probe by HTTP.
#[must_use]
pub fn http_probe(path: &str, port: i32, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::Int(port),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

/// The same by TLS: nobody checks the certificate, and the server is told a name that it has.
#[must_use]
pub fn https_probe(path: &str, port: i32, period: i32, failures: i32) -> Probe {
    let mut probe = http_probe(path, port, period, failures);
    if let Some(get) = &mut probe.http_get {
        get.scheme = Some("HTTPS".into());
        get.http_headers = Some(vec![HTTPHeader {
            name: "Host".into(),
            value: "localhost".into(),
        }]);
    }
    probe
}

/// A probe that connects.
#[must_use]
pub fn tcp_probe(port: i32, period: i32, failures: i32) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::Int(port),
            ..TCPSocketAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

/// Where a volume shows.
#[must_use]
pub fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        ..VolumeMount::default()
    }
}

/// The same, for what is only read.
#[must_use]
pub fn read_only_mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..mount(name, path)
    }
}

/// A volume of the keys of a ConfigMap.
#[must_use]
pub fn config_volume(name: &str, config_map: &str) -> Volume {
    Volume {
        name: name.into(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map.into(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The same, which is empty as long as the ConfigMap is not there.
#[must_use]
pub fn optional_config_volume(name: &str, config_map: &str) -> Volume {
    Volume {
        name: name.into(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map.into(),
            optional: Some(true),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// A volume of the keys of a Secret, readable by the pod's group only.
#[must_use]
pub fn secret_volume(name: &str, secret: &str) -> Volume {
    Volume {
        name: name.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.into()),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The data of a Secret from text.
#[must_use]
pub fn secret_data<const N: usize>(entries: [(&str, String); N]) -> BTreeMap<String, ByteString> {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
        .collect()
}

/// An environment variable.
#[must_use]
pub fn env(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: Some(value.into()),
        ..EnvVar::default()
    }
}

/// Volumes and mounts of service bindings, each under its Secret's name.
#[must_use]
pub fn bindings(secrets: &[String]) -> (Vec<Volume>, Vec<VolumeMount>) {
    secrets
        .iter()
        .enumerate()
        .map(|(index, secret)| {
            // The name of a Secret may hold dots, the name of a volume may not.
            let volume = format!("binding-{index}");
            let path = format!("{BINDING_ROOT}/{secret}");
            (
                secret_volume(&volume, secret),
                read_only_mount(&volume, &path),
            )
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_fulfils_the_restricted_profile() {
        let pod = pod(
            Container {
                name: "c".into(),
                ..Container::default()
            },
            Vec::new(),
            10,
        );
        let json = serde_json::to_value(&pod).unwrap();
        assert_eq!(json["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            json["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        let container = &json["containers"][0]["securityContext"];
        assert_eq!(container["allowPrivilegeEscalation"], false);
        assert_eq!(container["readOnlyRootFilesystem"], true);
        assert_eq!(container["capabilities"]["drop"][0], "ALL");
        assert_eq!(json["enableServiceLinks"], false);
        assert_eq!(json["automountServiceAccountToken"], false);
    }

    #[test]
    fn bindings_keep_their_names() {
        let (volumes, mounts) = bindings(&["a.b".into(), "c".into()]);
        assert_eq!(volumes[0].name, "binding-0");
        assert_eq!(mounts[0].mount_path, "/bindings/a.b");
        assert_eq!(mounts[1].mount_path, "/bindings/c");
    }

    #[test]
    fn asked_resources_win() {
        let asked = PodResources {
            memory: Some("1Gi".into()),
            cpu: None,
        };
        let given = resources(Some(&asked), "128Mi", "10m");
        assert_eq!(given.limits.unwrap()["memory"].0, "1Gi");
        assert_eq!(given.requests.unwrap()["cpu"].0, "10m");
    }
}
