//! What is different about the pod of a server that has others beside it, and how clients find replicas. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, Probe, Secret, Service, ServiceSpec};

use super::access::{self, account_name};
use super::files::SECRET;
use super::{API_PORT, PRIMARY, REPLICA, ROLE_LABEL, SCOPE_LABEL, scope, secret_name};
use crate::pods;
use crate::postgres::build::PORT_NAME;
use crate::postgres::validate::ValidatedPostgres;
use crate::postgres::{COMPONENT, PORT};
use crate::reconcile::{Error, Owner, Prepared, Resources};

/// Name of the Service that leads to the replicas.
#[must_use]
pub fn replicas_name(cluster: &str) -> String {
    format!("{cluster}-replicas")
}

/// What is there beside one server where there are several.
pub(in crate::postgres) fn add(
    postgres: &ValidatedPostgres,
    resources: &mut Resources<Prepared>,
) -> Result<(), Error> {
    let owner = &postgres.owner;
    let own = &postgres.patroni;
    resources.add(&Secret {
        metadata: owner.meta(secret_name(&owner.name), COMPONENT),
        type_: Some("Opaque".into()),
        data: Some(pods::secret_data([
            ("replication", own.replication.clone()),
            ("api", own.api.clone()),
        ])),
        ..Secret::default()
    })?;
    access::add(resources, owner)?;
    resources.add(&Service {
        metadata: owner.meta(replicas_name(&owner.name), COMPONENT),
        spec: Some(ServiceSpec {
            selector: Some(leading(owner, REPLICA)),
            ports: Some(vec![pods::service_port(PORT_NAME, PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })?;
    Ok(())
}

/// The labels that find the pod with this role.
#[must_use]
fn leading(owner: &Owner, role: &str) -> BTreeMap<String, String> {
    let mut labels = owner.selector(COMPONENT);
    labels.insert(ROLE_LABEL.into(), role.into());
    labels
}

/// Lets the server be run by Patroni: its probes, its place, its rights, and the labels by which members find each other.
pub(in crate::postgres) fn dress(
    postgres: &ValidatedPostgres,
    container: &mut Container,
) -> BTreeMap<String, String> {
    container
        .ports
        .get_or_insert_default()
        .push(pods::port("patroni", API_PORT));
    container
        .env
        .get_or_insert_default()
        .push(pods::env_of_pod("POD_NAME", "metadata.name"));
    container.readiness_probe = Some(probe("/readiness", 3, 3));
    container.liveness_probe = Some(Probe {
        // Where Kubernetes does not answer it waits for that before it listens.
        initial_delay_seconds: Some(60),
        ..probe("/liveness", 10, 6)
    });
    // It ends by the usual signal, and hands over before.
    container.lifecycle = None;
    container
        .volume_mounts
        .get_or_insert_default()
        .push(pods::read_only_mount("patroni", SECRET));
    let owner = &postgres.owner;
    let mut labels = owner.labels(COMPONENT);
    labels.insert(SCOPE_LABEL.into(), scope(&owner.name));
    labels
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    let mut probe = pods::http_probe(path, API_PORT, period, failures);
    if let Some(get) = &mut probe.http_get {
        get.scheme = Some("HTTPS".into());
    }
    probe.timeout_seconds = Some(5);
    probe
}

/// The rest of the pod.
pub(in crate::postgres) fn place(postgres: &ValidatedPostgres, pod: &mut PodSpec) {
    let name = &postgres.owner.name;
    pod.volumes
        .get_or_insert_default()
        .push(pods::secret_volume("patroni", &secret_name(name)));
    pod.service_account_name = Some(account_name(name));
    pod.automount_service_account_token = Some(true);
    pods::spread(pod, postgres.owner.selector(COMPONENT));
}

/// Which pods take writes: a server without others beside it, else the one that was made the primary.
#[must_use]
pub(in crate::postgres) fn primary_selector(
    postgres: &ValidatedPostgres,
) -> BTreeMap<String, String> {
    if postgres.is_ha() && (postgres.begun || postgres.servers > 1) {
        leading(&postgres.owner, PRIMARY)
    } else {
        postgres.owner.selector(COMPONENT)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::StatefulSet;
    use k8s_openapi::api::core::v1::Service;
    use k8s_openapi::api::rbac::v1::Role;
    use serde_json::json;

    use super::*;
    use crate::postgres::build;
    use crate::postgres::validate::MemberSecrets;
    use crate::postgres::validate::tests::valid;
    use crate::reconcile::restarts::CONFIG;

    /// With secrets that are the same each time.
    fn fixed() -> ValidatedPostgres {
        let mut postgres = valid(json!({"members": 3}));
        postgres.superuser = "superuser-password".into();
        postgres.patroni = MemberSecrets {
            replication: "replication-password".into(),
            api: "api-password".into(),
        };
        postgres
    }

    fn set(postgres: &ValidatedPostgres) -> StatefulSet {
        build(postgres).unwrap().get("p").unwrap()
    }

    #[test]
    fn the_pods_of_several_members() {
        let resources = build(&fixed()).unwrap();
        let role: Role = resources.get("p-postgres").unwrap();
        let shown = json!({"set": set(&fixed()), "role": role.rules});
        insta::assert_snapshot!(serde_yaml_ng::to_string(&shown).unwrap());
    }

    #[test]
    fn clients_find_the_primary_by_its_role_once_one_leads() {
        let role = |postgres: &ValidatedPostgres, service: &str| {
            let service: Service = build(postgres).unwrap().get(service).unwrap();
            service.spec.unwrap().selector.unwrap().remove(ROLE_LABEL)
        };
        let mut postgres = fixed();
        assert_eq!(role(&postgres, "p-primary"), None, "there is one only");
        postgres.begun = true;
        assert_eq!(role(&postgres, "p-primary").as_deref(), Some("master"));
        assert_eq!(role(&postgres, "p-replicas").as_deref(), Some("replica"));
        // Members of a former cluster begin together, and one of them is made the primary.
        (postgres.begun, postgres.servers) = (false, 3);
        assert_eq!(role(&postgres, "p-primary").as_deref(), Some("master"));
        let alone = valid(json!({}));
        assert_eq!(role(&alone, "p-primary"), None);
        let resources = build(&alone).unwrap();
        assert!(resources.get::<Service>("p-replicas").is_none());
        assert!(resources.get::<Role>("p-postgres").is_none());
    }

    #[test]
    fn another_password_or_setting_restarts_them_and_another_number_does_not() {
        let config = |postgres: &ValidatedPostgres| {
            let template = set(postgres).spec.unwrap().template.metadata.unwrap();
            template.annotations.unwrap()[CONFIG].clone()
        };
        let first = config(&fixed());
        let mut more = fixed();
        (more.members, more.servers, more.begun) = (5, 5, true);
        assert_eq!(config(&more), first);
        let mut other = fixed();
        other.patroni.replication = "next".into();
        assert_ne!(config(&other), first);
        let mut other = fixed();
        other.parameters.insert("work_mem".into(), "9MB".into());
        assert_ne!(config(&other), first);
    }
}
