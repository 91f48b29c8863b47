//! The objects of a cluster. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, Probe, Secret, Service, ServiceSpec, TCPSocketAction,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ApiResource;

use super::crd::Engine;
use super::validate::{ValidatedMongo, WIRE_MEMORY};
use super::{COMPONENT, PORT, binding_name, replica};
use crate::pods::{self, Servers};
use crate::reconcile::{Error, Prepared, Resources, fingerprint, storage};

/// Name of the volume claim template.
pub(super) const VOLUME: &str = "data";
/// Where the volume is mounted.
const DATA: &str = "/data/db";
/// Name of the port.
pub(super) const PORT_NAME: &str = "mongo";

/// Every kind that [`build`] makes.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<CronJob>(&()),
        ApiResource::erase::<StatefulSet>(&()),
    ]
}

/// All objects of a cluster.
///
/// # Errors
/// An object cannot be written as JSON, or overrides are not in the form of a pod template.
pub fn build(mongo: &ValidatedMongo) -> Result<Resources<Prepared>, Error> {
    match mongo.engine {
        Engine::Wire => wire(mongo),
        Engine::Mongodb => replica::build(mongo),
    }
}

fn wire(mongo: &ValidatedMongo) -> Result<Resources<Prepared>, Error> {
    let owner = &mongo.owner;
    let mut resources = Resources::new();
    resources.add(&binding(mongo))?;
    resources.add(&pods::names_of_pods(
        owner.meta(replica::nodes_name(&owner.name), COMPONENT),
        owner.selector(COMPONENT),
        vec![pods::service_port(PORT_NAME, PORT)],
    ))?;
    resources.add(&Service {
        metadata: owner.meta(mongo.service(), COMPONENT),
        spec: Some(ServiceSpec {
            selector: Some(owner.selector(COMPONENT)),
            ports: Some(vec![pods::service_port(PORT_NAME, PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })?;
    resources.add(&pods::disruption_budget(
        owner.meta(owner.name.clone(), COMPONENT),
        owner.selector(COMPONENT),
        1,
    ))?;
    resources.add(&stateful_set(mongo)?)?;
    Ok(resources)
}

/// Connection details (Service Binding).
fn binding(mongo: &ValidatedMongo) -> Secret {
    let (host, database) = (mongo.host(), &mongo.database);
    let name = binding_name(&mongo.owner.name);
    Secret {
        metadata: mongo.owner.meta(name, COMPONENT),
        type_: Some("servicebinding.io/mongodb".into()),
        data: Some(pods::secret_data([
            ("type", "mongodb".to_owned()),
            ("provider", "millrace".to_owned()),
            (
                "uri",
                format!("mongodb://{host}:{PORT}/{database}?directConnection=true"),
            ),
            ("host", host),
            ("port", PORT.to_string()),
            ("database", database.clone()),
        ])),
        ..Secret::default()
    }
}

fn stateful_set(mongo: &ValidatedMongo) -> Result<StatefulSet, Error> {
    let owner = &mongo.owner;
    let arguments = [
        format!("-Xmx{}m", mongo.heap_mebibytes()),
        "-XX:+UseSerialGC".into(),
        "-XX:TieredStopAtLevel=1".into(),
        "-XX:+ExitOnOutOfMemoryError".into(),
        "-cp".into(),
        "lib/*".into(),
        "dev.millrace.wire.Server".into(),
        DATA.into(),
        PORT.to_string(),
    ];
    let container = Container {
        name: "mongo".into(),
        image: Some(mongo.image.clone()),
        args: Some(arguments.to_vec()),
        ports: Some(vec![pods::port(PORT_NAME, PORT)]),
        resources: Some(pods::resources(Some(&mongo.resources), WIRE_MEMORY, "50m")),
        readiness_probe: Some(Probe {
            tcp_socket: Some(TCPSocketAction {
                port: IntOrString::Int(PORT),
                ..TCPSocketAction::default()
            }),
            period_seconds: Some(3),
            ..Probe::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![pods::mount(VOLUME, DATA)]),
        ..Container::default()
    };
    let pod = pods::pod(container, Vec::new(), 30);
    let claim = storage::template(owner, COMPONENT, VOLUME, &mongo.storage);
    let operation = &mongo.operation;
    Ok(pods::stateful_set(Servers {
        metadata: owner.meta(owner.name.clone(), COMPONENT),
        replicas: operation.replicas(1),
        service_name: replica::nodes_name(&owner.name),
        selector: owner.selector(COMPONENT),
        labels: owner.labels(COMPONENT),
        config: fingerprint(&arguments),
        annotations: BTreeMap::new(),
        pod,
        overrides: vec![("spec.podOverrides", &operation.pod_overrides)],
        live_claims: mongo.live_template.as_slice(),
        claims: vec![claim],
        deletion_policy: mongo.deletion_policy,
    })?)
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::valid;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_objects_of_a_cluster() {
        let wire = valid(json!({"engine": "wire"})).unwrap();
        insta::assert_snapshot!(build(&wire).unwrap().to_yaml().unwrap());
    }
}
