//! The objects of a cluster. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Affinity, ConfigMap, Container, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource,
    PodAffinity, PodAffinityTerm, PodSpec, Secret, Service, ServiceSpec, Volume, VolumeMount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ApiResource;

use super::files::{self, DATA, FILES, HDFS, KAFKA_SECRETS, PASSWORD, POSTGRES, SEGMENTS};
use super::roles::{Role, RoleKind};
use super::security::{CERTIFICATES, KEY_STORE, TRUST_STORE, variable};
use super::validate::{DeepStorage, Hdfs, Metadata, ValidatedDruid};
use super::{COMPONENT, HAS_KAFKA_SECRETS, ROLE_LABEL, binding_name};
use crate::pods::{self, Servers, exporter};
use crate::reconcile::certificates::{authority_name, certificate_name};
use crate::reconcile::{Error, Prepared, Resources, fingerprint, storage};
use crate::remote::druid::Credentials;

/// Name of the volume claim template.
pub(super) const VOLUME: &str = "data";
/// Seconds that a server has to end; a worker lets its tasks write what they have read.
const GRACE_SECONDS: i64 = 90;

/// Every kind that [`build`] makes.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<StatefulSet>(&()),
    ]
}

/// All objects of a cluster.
///
/// # Errors
/// An object cannot be written as JSON, or overrides are not in the form of a pod template.
pub fn build(druid: &ValidatedDruid) -> Result<Resources<Prepared>, Error> {
    let owner = &druid.owner;
    let mut resources = Resources::new();
    let files: Vec<_> = druid
        .roles
        .iter()
        .map(|role| files::files(druid, role))
        .collect();
    for (role, files) in druid.roles.iter().zip(&files) {
        resources.add(&ConfigMap {
            metadata: owner.meta(role.files_name(), COMPONENT),
            data: Some(files.clone()),
            ..ConfigMap::default()
        })?;
    }
    resources.add(&names(druid))?;
    for role in druid.roles.iter().filter(|role| role.kind.has_service()) {
        resources.add(&service(druid, role))?;
    }
    resources.add(&binding(druid))?;
    let name = &druid.owner.name;
    let names = [authority_name(name), certificate_name(name)];
    let made = druid.security.certificate_secrets()?;
    for (name, data) in names.into_iter().zip(made.into_iter().flatten()) {
        resources.add(&Secret {
            metadata: owner.meta(name, COMPONENT),
            type_: Some("Opaque".into()),
            data: Some(data),
            ..Secret::default()
        })?;
    }
    for role in &druid.roles {
        resources.add(&pods::disruption_budget(
            owner.meta(role.set.clone(), COMPONENT),
            selector(druid, role),
            1,
        ))?;
    }
    for (role, files) in druid.roles.iter().zip(&files) {
        resources.add(&stateful_set(druid, role, files)?)?;
    }
    Ok(resources)
}

fn nodes_name(druid: &ValidatedDruid) -> String {
    format!("{}-nodes", druid.owner.name)
}

/// The labels that find the pods of a role.
fn selector(druid: &ValidatedDruid, role: &Role) -> BTreeMap<String, String> {
    let name = Some(role.kind.name());
    druid.owner.pool_selector(COMPONENT, ROLE_LABEL, name)
}

/// Names for the pods of all StatefulSets.
fn names(druid: &ValidatedDruid) -> Service {
    let ports = druid.roles.iter();
    let ports = ports.map(|role| pods::service_port(role.kind.name(), role.kind.port()));
    pods::names_of_pods(
        druid.owner.meta(nodes_name(druid), COMPONENT),
        druid.owner.selector(COMPONENT),
        ports.collect(),
    )
}

fn service(druid: &ValidatedDruid, role: &Role) -> Service {
    let port = pods::service_port(role.kind.name(), role.kind.port());
    Service {
        metadata: druid.owner.meta(role.set.clone(), COMPONENT),
        spec: Some(ServiceSpec {
            selector: Some(selector(druid, role)),
            ports: Some(vec![port]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Connection details (Service Binding): `uri` leads to what a DruidIngestion asks for.
fn binding(druid: &ValidatedDruid) -> Secret {
    let front = druid.front();
    let (name, namespace) = (&druid.owner.name, &druid.owner.namespace);
    let mut data = pods::secret_data([
        ("type", "druid".to_owned()),
        ("provider", "millrace".to_owned()),
        ("host", format!("{}.{namespace}.svc", front.set(name))),
        ("port", front.port().to_string()),
        ("uri", druid.uri(front)),
        ("broker-uri", druid.uri(RoleKind::Broker)),
    ]);
    let Credentials { login, authorities } = druid.credentials();
    if let Some((user, password)) = login {
        data.extend(pods::secret_data([
            ("username", user),
            ("password", password),
        ]));
    }
    if let Some(authorities) = authorities {
        data.extend(pods::secret_data([("certificates", authorities)]));
    }
    if !druid.kafka_secrets.is_empty() {
        let secrets = druid.kafka_secrets.join(",");
        data.extend(pods::secret_data([(HAS_KAFKA_SECRETS, secrets)]));
    }
    Secret {
        metadata: druid.owner.meta(binding_name(name), COMPONENT),
        type_: Some("servicebinding.io/druid".into()),
        data: Some(data),
        ..Secret::default()
    }
}

fn stateful_set(
    druid: &ValidatedDruid,
    role: &Role,
    files: &BTreeMap<String, String>,
) -> Result<StatefulSet, Error> {
    let owner = &druid.owner;
    let mut labels = owner.labels(COMPONENT);
    labels.insert(ROLE_LABEL.into(), role.kind.name().into());
    let login = match (&druid.metadata, role.kind) {
        (Metadata::Postgres(postgres), RoleKind::Coordinator) => Some(&postgres.login),
        _ => None,
    };
    let overrides = role.pod_overrides.iter();
    let claims: Vec<PersistentVolumeClaim> = role
        .storage
        .iter()
        .map(|size| storage::template(owner, COMPONENT, VOLUME, size))
        .collect();
    let set = pods::stateful_set(Servers {
        metadata: owner.meta(role.set.clone(), COMPONENT),
        replicas: if druid.stopped { 0 } else { role.replicas },
        service_name: nodes_name(druid),
        selector: selector(druid, role),
        labels,
        config: config(druid, files, login),
        annotations: pods::scraped(exporter::PORT, "/metrics"),
        pod: pod(druid, role),
        overrides: overrides
            .map(|(field, overrides)| (field.as_str(), overrides))
            .collect(),
        live_claims: &role.live_templates,
        claims,
        deletion_policy: druid.deletion_policy,
    })?;
    Ok(set)
}

/// Fingerprint of what a server reads at its start alone.
fn config(
    druid: &ValidatedDruid,
    files: &BTreeMap<String, String>,
    login: Option<&String>,
) -> String {
    match &druid.security.certificates {
        None => fingerprint(&(Some(files), login)),
        Some(all) => fingerprint(&(Some(files), login, &all.trusted, &all.server.certificate)),
    }
}

fn pod(druid: &ValidatedDruid, role: &Role) -> PodSpec {
    let kind = role.kind;
    let mut volumes = vec![pods::config_volume("files", &role.files_name())];
    let mut mounts: Vec<VolumeMount> = vec![pods::read_only_mount("files", FILES)];
    let mut environment = druid.security.environment(&druid.owner.name, kind);
    let mut probe = pods::http_probe(kind.ready_at(), kind.port(), 3, 3);
    if druid.security.certificates.is_some() {
        probe = pods::https_probe(kind.ready_at(), kind.port(), 3, 3);
        let stores = [KEY_STORE, TRUST_STORE].map(|key| (key, key));
        let secret = certificate_name(&druid.owner.name);
        volumes.push(pods::secret_keys("certificates", &secret, &stores, false));
        mounts.push(pods::read_only_mount("certificates", CERTIFICATES));
    }
    if role.storage.is_some() {
        mounts.push(pods::mount(VOLUME, DATA));
    }
    let mut together = None;
    match &druid.deep_storage {
        DeepStorage::Hdfs(hdfs) if kind.uses_deep_storage() => {
            volumes.push(sites(hdfs));
            mounts.push(pods::read_only_mount("hdfs", HDFS));
            environment.push(pods::env("HADOOP_USER_NAME", hdfs.user.clone()));
        }
        DeepStorage::Volume(_) if kind.uses_deep_storage() || kind == RoleKind::Coordinator => {
            volumes.push(shared(druid));
            mounts.push(pods::mount("segments", SEGMENTS));
            together = Some(beside(druid));
        }
        DeepStorage::Hdfs(_) | DeepStorage::Volume(_) => {}
    }
    if let (Metadata::Postgres(postgres), RoleKind::Coordinator) = (&druid.metadata, kind) {
        environment.push(variable(PASSWORD, &postgres.binding, "password"));
        if postgres.has_authority {
            volumes.push(pods::secret_keys(
                "postgres",
                &postgres.binding,
                &[("ca.crt", "ca.crt")],
                true,
            ));
            mounts.push(pods::read_only_mount("postgres", POSTGRES));
        }
    }
    // Coordinators look how far a topic goes, and try specifications.
    let reads_kafka = matches!(kind, RoleKind::Coordinator | RoleKind::Worker);
    if reads_kafka && !druid.kafka_secrets.is_empty() {
        let keys = ["password", "client-certificate", "private-key"];
        volumes.push(pods::secrets_volume("kafka", &druid.kafka_secrets, &keys));
        mounts.push(pods::read_only_mount("kafka", KAFKA_SECRETS));
    }
    let container = Container {
        name: "druid".into(),
        image: Some(druid.image.clone()),
        command: Some(vec!["bash".into(), format!("{FILES}/start.sh")]),
        env: Some(environment).filter(|environment| !environment.is_empty()),
        ports: Some(vec![
            pods::port(kind.name(), kind.port()),
            pods::port("metrics", exporter::PORT),
        ]),
        resources: Some(pods::resources(Some(&role.resources), kind.memory(), "50m")),
        // No liveness: a server that waits for others must not be killed for it, and the JVM ends by itself when it cannot go on.
        readiness_probe: Some(probe),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let mut pod = pods::pod(container, volumes, GRACE_SECONDS);
    if role.replicas > 1 {
        pods::spread(&mut pod, selector(druid, role));
    }
    pod.affinity = together;
    pod
}

/// What every client of HDFS reads. All keys: of an HDFS that somebody else runs some may be missing.
fn sites(hdfs: &Hdfs) -> Volume {
    pods::secret_volume("hdfs", &hdfs.binding)
}

fn shared(druid: &ValidatedDruid) -> Volume {
    Volume {
        name: "segments".into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: druid.segments_name(),
            read_only: None,
        }),
        ..Volume::default()
    }
}

/// On one node, where the volume that they share is.
fn beside(druid: &ValidatedDruid) -> Affinity {
    Affinity {
        pod_affinity: Some(PodAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![PodAffinityTerm {
                topology_key: "kubernetes.io/hostname".into(),
                label_selector: Some(LabelSelector {
                    match_labels: Some(druid.owner.selector(COMPONENT)),
                    ..LabelSelector::default()
                }),
                ..PodAffinityTerm::default()
            }]),
            ..PodAffinity::default()
        }),
        ..Affinity::default()
    }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
