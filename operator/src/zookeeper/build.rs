//! The objects of an ensemble. Pure.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Container, ExecAction, Probe, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ApiResource;

use super::files::{self, DATA, FILES, READY};
use super::validate::{MEMORY, ValidatedZooKeeper};
use super::{CLIENT_PORT, COMPONENT, ELECTION_PORT, PEER_PORT, binding_name};
use crate::pods::{self, Servers, exporter};
use crate::reconcile::{Error, Prepared, Resources, fingerprint, storage};

/// Name of the volume claim template.
pub(super) const VOLUME: &str = "data";
const PORTS: [(&str, i32); 3] = [
    ("client", CLIENT_PORT),
    ("peer", PEER_PORT),
    ("election", ELECTION_PORT),
];

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

/// All objects of an ensemble.
///
/// # Errors
/// An object cannot be written as JSON.
pub fn build(zookeeper: &ValidatedZooKeeper) -> Result<Resources<Prepared>, Error> {
    let owner = &zookeeper.owner;
    let files = files::files(zookeeper);
    let mut resources = Resources::new();
    let set = stateful_set(zookeeper, fingerprint(&Some(&files)))?;
    resources.add(&ConfigMap {
        metadata: owner.meta(files_name(zookeeper), COMPONENT),
        data: Some(files),
        ..ConfigMap::default()
    })?;
    resources.add(&service(zookeeper))?;
    resources.add(&binding(zookeeper))?;
    resources.add(&pods::disruption_budget(
        owner.meta(owner.name.clone(), COMPONENT),
        owner.selector(COMPONENT),
        1,
    ))?;
    resources.add(&set)?;
    Ok(resources)
}

fn files_name(zookeeper: &ValidatedZooKeeper) -> String {
    format!("{}-files", zookeeper.owner.name)
}

fn nodes_name(zookeeper: &ValidatedZooKeeper) -> String {
    format!("{}-nodes", zookeeper.owner.name)
}

fn service(zookeeper: &ValidatedZooKeeper) -> Service {
    let owner = &zookeeper.owner;
    let ports = PORTS.map(|(name, port)| pods::service_port(name, port));
    pods::names_of_pods(
        owner.meta(nodes_name(zookeeper), COMPONENT),
        owner.selector(COMPONENT),
        ports.into(),
    )
}

fn binding(zookeeper: &ValidatedZooKeeper) -> Secret {
    let first = zookeeper.host(&format!("{}-0", zookeeper.owner.name));
    let connection = zookeeper.connection();
    Secret {
        metadata: zookeeper
            .owner
            .meta(binding_name(&zookeeper.owner.name), COMPONENT),
        type_: Some("servicebinding.io/zookeeper".into()),
        data: Some(pods::secret_data([
            ("type", "zookeeper".to_owned()),
            ("provider", "millrace".to_owned()),
            ("host", first),
            ("port", CLIENT_PORT.to_string()),
            ("uri", format!("zookeeper://{connection}")),
            ("connection-string", connection),
        ])),
        ..Secret::default()
    }
}

fn stateful_set(zookeeper: &ValidatedZooKeeper, config: String) -> Result<StatefulSet, Error> {
    let owner = &zookeeper.owner;
    let container = Container {
        name: "zookeeper".into(),
        image: Some(zookeeper.image.clone()),
        command: Some(vec!["/bin/sh".into(), format!("{FILES}/start.sh")]),
        ports: Some(
            PORTS
                .iter()
                .chain(&[("metrics", exporter::PORT)])
                .map(|(name, port)| pods::port(name, *port))
                .collect(),
        ),
        resources: Some(pods::resources(Some(&zookeeper.resources), MEMORY, "50m")),
        readiness_probe: Some(Probe {
            exec: Some(ExecAction {
                command: Some(vec!["bash".into(), "-c".into(), READY.into()]),
            }),
            period_seconds: Some(3),
            failure_threshold: Some(3),
            timeout_seconds: Some(3),
            ..Probe::default()
        }),
        volume_mounts: Some(vec![
            pods::mount(VOLUME, DATA),
            pods::read_only_mount("files", FILES),
        ]),
        ..Container::default()
    };
    let files = pods::config_volume("files", &files_name(zookeeper));
    let mut pod = pods::pod(container, vec![files], 30);
    if zookeeper.servers > 1 {
        pods::spread(&mut pod, owner.selector(COMPONENT));
    }
    let claim = storage::template(owner, COMPONENT, VOLUME, &zookeeper.storage);
    let operation = &zookeeper.operation;
    Ok(pods::stateful_set(Servers {
        metadata: owner.meta(owner.name.clone(), COMPONENT),
        replicas: operation.replicas(zookeeper.servers),
        service_name: nodes_name(zookeeper),
        selector: owner.selector(COMPONENT),
        labels: owner.labels(COMPONENT),
        config,
        annotations: pods::scraped(exporter::PORT, "/metrics"),
        pod,
        overrides: vec![("spec.podOverrides", &operation.pod_overrides)],
        live_claims: zookeeper.live_template.as_slice(),
        claims: vec![claim],
        deletion_policy: zookeeper.deletion_policy,
    })?)
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::valid;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_objects_of_an_ensemble() {
        let three = valid(json!({"servers": 3})).unwrap();
        insta::assert_snapshot!(build(&three).unwrap().to_yaml().unwrap());
    }
}
