//! Small parts of the objects of systems whose pods are known one by one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, KeyToPath, ObjectFieldSelector, PodSpec,
    ProjectedVolumeSource, SecretProjection, SecretVolumeSource, Service, ServicePort, ServiceSpec,
    Volume, VolumeProjection,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{container_security, mount};

/// A port of a container.
#[must_use]
pub fn port(name: &str, port: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: port,
        ..ContainerPort::default()
    }
}

/// A port of a Service, which is the port of that name of its pods.
#[must_use]
pub fn service_port(name: &str, port: i32) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        port,
        target_port: Some(IntOrString::String(name.into())),
        protocol: Some("TCP".into()),
        ..ServicePort::default()
    }
}

/// The Service by which the pods of StatefulSets have names of their own, ready or not: they must find each other first.
#[must_use]
pub fn names_of_pods(
    metadata: ObjectMeta,
    selector: BTreeMap<String, String>,
    ports: Vec<ServicePort>,
) -> Service {
    Service {
        metadata,
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            publish_not_ready_addresses: Some(true),
            selector: Some(selector),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// How many of these pods Kubernetes may take away at once.
#[must_use]
pub fn disruption_budget(
    metadata: ObjectMeta,
    selector: BTreeMap<String, String>,
    most: i32,
) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(most)),
            selector: Some(LabelSelector {
                match_labels: Some(selector),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

/// The node of Kubernetes that a pod runs on, as the variable `NODE_NAME`.
#[must_use]
pub fn node_name() -> EnvVar {
    env_of_pod("NODE_NAME", "spec.nodeName")
}

/// A variable with what stands in a field of the pod itself.
#[must_use]
pub fn env_of_pod(name: &str, field: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: field.into(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// A further container of a pod, with the same `/tmp` and the same security.
pub fn add_container(pod: &mut PodSpec, mut container: Container) {
    container.security_context = Some(container_security());
    container
        .volume_mounts
        .get_or_insert_default()
        .push(mount("tmp", "/tmp"));
    pod.containers.push(container);
}

/// What tells Prometheus where a pod's metrics are.
#[must_use]
pub fn scraped(port: i32, path: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("prometheus.io/scrape".into(), "true".into()),
        ("prometheus.io/port".into(), port.to_string()),
        ("prometheus.io/path".into(), path.into()),
    ])
}

/// A volume of some keys of a Secret, each with the name of its file: the rest is none of the pod's business.
#[must_use]
pub fn secret_keys(volume: &str, secret: &str, keys: &[(&str, &str)], optional: bool) -> Volume {
    let items = keys.iter().map(|(key, path)| KeyToPath {
        key: (*key).to_owned(),
        path: (*path).to_owned(),
        mode: None,
    });
    Volume {
        name: volume.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.into()),
            default_mode: Some(0o440),
            items: Some(items.collect()),
            optional: optional.then_some(true),
        }),
        ..Volume::default()
    }
}

/// One volume of these keys of several Secrets, each in a directory of the Secret's name. What is not there yet comes as soon as
/// it is.
#[must_use]
pub fn secrets_volume(volume: &str, secrets: &[String], keys: &[&str]) -> Volume {
    let source = |secret: &String| {
        let items = keys.iter().map(|key| KeyToPath {
            key: (*key).to_owned(),
            path: format!("{secret}/{key}"),
            mode: None,
        });
        VolumeProjection {
            secret: Some(SecretProjection {
                name: secret.clone(),
                items: Some(items.collect()),
                optional: Some(true),
            }),
            ..VolumeProjection::default()
        }
    };
    Volume {
        name: volume.into(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(0o440),
            sources: Some(secrets.iter().map(source).collect()),
        }),
        ..Volume::default()
    }
}
