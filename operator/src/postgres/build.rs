//! The objects of a cluster. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EmptyDirVolumeSource, ExecAction, Lifecycle, LifecycleHandler, Probe,
    Secret, Service, ServiceAccount, ServiceSpec, Volume, VolumeMount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use kube::api::{ApiResource, ObjectMeta};

use super::backup;
use super::files::{self, CERTIFICATE, FILES, VOLUME_AT};
use super::patroni;
use super::validate::{MEMORY, SUPERUSER, ValidatedPostgres, ValidatedRole};
use super::{COMPONENT, PORT, primary_name, role_binding_name, superuser_name};
use crate::pods::{self, Servers};
use crate::reconcile::certificates::{authority_name, certificate_name};
use crate::reconcile::passwords::ROTATED_FOR;
use crate::reconcile::{Error, Prepared, Resources, fingerprint, storage};

/// Name of the volume claim template.
pub(super) const VOLUME: &str = "data";
pub(super) const PORT_NAME: &str = "postgres";
/// A fast shutdown writes what is in memory only.
const GRACE_SECONDS: i64 = 120;

/// Every kind that [`build`] makes.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<CronJob>(&()),
        ApiResource::erase::<Job>(&()),
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<Role>(&()),
        ApiResource::erase::<RoleBinding>(&()),
    ]
}

/// All objects of a cluster. The Secret of a role whose password PostgreSQL was not told yet is not among them.
///
/// # Errors
/// An object cannot be written as JSON, or overrides are not in the form of a pod template.
pub fn build(postgres: &ValidatedPostgres) -> Result<Resources<Prepared>, Error> {
    let owner = &postgres.owner;
    let mut files = files::fixed(postgres);
    // A new password of the superuser is set at a start.
    let config = if postgres.is_ha() {
        let own = &postgres.patroni;
        let shared = patroni::files::shared(postgres).to_string();
        fingerprint(&(
            &files,
            &postgres.superuser,
            &own.replication,
            &own.api,
            shared,
        ))
    } else {
        fingerprint(&(&files, &postgres.superuser))
    };
    files.extend(files::live(postgres));
    let mut resources = Resources::new();
    resources.add(&ConfigMap {
        metadata: owner.meta(files_name(postgres), COMPONENT),
        data: Some(files),
        ..ConfigMap::default()
    })?;
    for (name, data) in [
        (
            authority_name(&owner.name),
            postgres.certificates.authority_data(),
        ),
        (
            certificate_name(&owner.name),
            postgres.certificates.server_data(),
        ),
    ] {
        resources.add(&Secret {
            metadata: owner.meta(name, COMPONENT),
            type_: Some("Opaque".into()),
            data: Some(data),
            ..Secret::default()
        })?;
    }
    resources.add(&binding(
        postgres,
        owner.meta(superuser_name(&owner.name), COMPONENT),
        (SUPERUSER, &postgres.superuser),
        "postgres",
    ))?;
    for role in &postgres.roles {
        if let Some(secret) = role_binding(postgres, role) {
            resources.add(&secret)?;
        }
    }
    if postgres.is_ha() {
        patroni::add(postgres, &mut resources)?;
    }
    let port = || vec![pods::service_port(PORT_NAME, PORT)];
    resources.add(&pods::names_of_pods(
        owner.meta(nodes_name(postgres), COMPONENT),
        owner.selector(COMPONENT),
        port(),
    ))?;
    resources.add(&Service {
        metadata: owner.meta(primary_name(&owner.name), COMPONENT),
        spec: Some(ServiceSpec {
            selector: Some(patroni::primary_selector(postgres)),
            ports: Some(port()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })?;
    resources.add(&pods::disruption_budget(
        owner.meta(owner.name.clone(), COMPONENT),
        owner.selector(COMPONENT),
        1,
    ))?;
    if let Some(restore) = &postgres.restore {
        // No server before its databases are there.
        resources.add(&backup::build::restore_job(postgres, restore)?)?;
    } else {
        resources.add(&stateful_set(postgres, config)?)?;
        if let Some(wanted) = &postgres.backup {
            if postgres.is_ha() {
                backup::receiver::add(postgres, &mut resources)?;
            }
            let cron_job = backup::build::cron_job(postgres, wanted)?;
            if postgres.lacks_base {
                let first = backup::build::first(postgres, &cron_job);
                first.map_or(Ok(()), |first| resources.add(&first))?;
            }
            resources.add(&cron_job)?;
        }
    }
    Ok(resources)
}

pub(super) fn files_name(postgres: &ValidatedPostgres) -> String {
    format!("{}-files", postgres.owner.name)
}

fn nodes_name(postgres: &ValidatedPostgres) -> String {
    format!("{}-nodes", postgres.owner.name)
}

/// Connection details (Service Binding).
fn binding(
    postgres: &ValidatedPostgres,
    metadata: ObjectMeta,
    (user, password): (&str, &str),
    database: &str,
) -> Secret {
    let host = postgres.host();
    let authority = &postgres.certificates.trusted;
    // Names and passwords of ours need no escapes in a URI.
    let uri =
        format!("postgresql://{user}:{password}@{host}:{PORT}/{database}?sslmode=verify-full");
    Secret {
        metadata,
        type_: Some("servicebinding.io/postgresql".into()),
        data: Some(pods::secret_data([
            ("type", "postgresql".to_owned()),
            ("provider", "millrace".to_owned()),
            ("host", host),
            ("port", PORT.to_string()),
            ("uri", uri),
            ("username", user.to_owned()),
            ("password", password.to_owned()),
            ("database", database.to_owned()),
            ("ca.crt", authority.clone()),
            // The name of the specification for the same.
            ("certificates", authority.clone()),
        ])),
        ..Secret::default()
    }
}

/// The Secret of a role, which is also the memory of what PostgreSQL was told.
fn role_binding(postgres: &ValidatedPostgres, role: &ValidatedRole) -> Option<Secret> {
    let password = role.password.as_ref().filter(|password| password.is_kept)?;
    let name = role_binding_name(&postgres.owner.name, &role.role.name);
    let metadata = postgres.owner.meta(name, COMPONENT);
    let login = (role.role.name.as_str(), password.text.as_str());
    let mut secret = binding(postgres, metadata, login, &role.database);
    if let (Some(asked), Some(data)) = (&password.rotated_for, &mut secret.data) {
        data.extend(pods::secret_data([(ROTATED_FOR, asked.clone())]));
    }
    Some(secret)
}

fn stateful_set(postgres: &ValidatedPostgres, config: String) -> Result<StatefulSet, Error> {
    let owner = &postgres.owner;
    let script = |name: &str| vec!["/bin/sh".to_owned(), format!("{FILES}/{name}")];
    let run = |name: &str| ExecAction {
        command: Some(script(name)),
    };
    let mut container = Container {
        name: "postgres".into(),
        image: Some(postgres.image.clone()),
        command: Some(script("start.sh")),
        ports: Some(vec![pods::port(PORT_NAME, PORT)]),
        resources: Some(pods::resources(Some(&postgres.resources), MEMORY, "100m")),
        readiness_probe: Some(Probe {
            exec: Some(run("ready.sh")),
            period_seconds: Some(3),
            failure_threshold: Some(3),
            timeout_seconds: Some(3),
            ..Probe::default()
        }),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(run("stop.sh")),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        // The last line of the log says what is wrong with a setting.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![
            pods::mount(VOLUME, VOLUME_AT),
            pods::read_only_mount("files", FILES),
            VolumeMount {
                sub_path: Some("passwd".into()),
                ..pods::read_only_mount("files", "/etc/passwd")
            },
            pods::read_only_mount("certificate", CERTIFICATE),
            pods::read_only_mount("superuser", files::SUPERUSER),
            pods::mount("shared-memory", "/dev/shm"),
        ]),
        ..Container::default()
    };
    let mut volumes = vec![
        pods::config_volume("files", &files_name(postgres)),
        pods::secret_volume("certificate", &certificate_name(&owner.name)),
        pods::secret_volume("superuser", &superuser_name(&owner.name)),
        shared_memory(postgres),
    ];
    // Of several members none brings its log there, and the volume cannot be on all their nodes.
    if postgres.backup.is_some() && !postgres.is_ha() {
        let (volume, mount) = backup::build::in_the_server(postgres);
        volumes.push(volume);
        container.volume_mounts.get_or_insert_default().push(mount);
    }
    let labels = if postgres.is_ha() {
        patroni::dress(postgres, &mut container)
    } else {
        owner.labels(COMPONENT)
    };
    let mut pod = pods::pod(container, volumes, GRACE_SECONDS);
    if postgres.is_ha() {
        patroni::place(postgres, &mut pod);
    }
    let claim = storage::template(owner, COMPONENT, VOLUME, &postgres.storage);
    let operation = &postgres.operation;
    Ok(pods::stateful_set(Servers {
        metadata: owner.meta(owner.name.clone(), COMPONENT),
        replicas: operation.replicas(postgres.servers),
        service_name: nodes_name(postgres),
        selector: owner.selector(COMPONENT),
        labels,
        config,
        annotations: BTreeMap::new(),
        pod,
        overrides: vec![("spec.podOverrides", &operation.pod_overrides)],
        live_claims: postgres.live_template.as_slice(),
        claims: vec![claim],
        deletion_policy: postgres.deletion_policy,
    })?)
}

/// What processes of one query share. Containers get 64 MiB of it, and a query that needs more would fail.
pub(super) fn shared_memory(postgres: &ValidatedPostgres) -> Volume {
    Volume {
        name: "shared-memory".into(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".into()),
            size_limit: Some(ApiQuantity(format!("{}Mi", postgres.mebibytes / 4))),
        }),
        ..Volume::default()
    }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
