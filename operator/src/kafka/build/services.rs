//! The Services of a cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};

use super::super::crd::ExternalType;
use super::super::external::{External, bootstrap_name, broker_name};
use super::super::validate::ValidatedKafka;
use super::super::{
    CLIENT_PORT, COMPONENT, CONTROLLER_PORT, EXTERNAL_PORT, INTERNAL_PORT, SECURE_PORT,
};
use super::broker_selector;
use crate::pods::{self, service_port as port};

/// Set by Kubernetes on each pod of a StatefulSet.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";

pub(super) fn services(kafka: &ValidatedKafka) -> Vec<Service> {
    let mut services = vec![nodes(kafka)];
    if kafka.is_secure() {
        services.push(for_brokers(kafka, "bootstrap", port("secure", SECURE_PORT)));
        services.push(for_brokers(
            kafka,
            "internal",
            port("internal", INTERNAL_PORT),
        ));
    } else {
        services.push(for_brokers(kafka, "bootstrap", port("client", CLIENT_PORT)));
    }
    services
}

fn nodes(kafka: &ValidatedKafka) -> Service {
    let mut ports = vec![
        port("client", CLIENT_PORT),
        port("controller", CONTROLLER_PORT),
    ];
    if kafka.is_secure() {
        ports = vec![
            port("internal", INTERNAL_PORT),
            port("controller", CONTROLLER_PORT),
            port("secure", SECURE_PORT),
        ];
    }
    let name = format!("{}-nodes", kafka.owner.name);
    pods::names_of_pods(
        kafka.owner.meta(name, COMPONENT),
        kafka.owner.selector(COMPONENT),
        ports,
    )
}

fn for_brokers(kafka: &ValidatedKafka, name: &str, port: ServicePort) -> Service {
    Service {
        metadata: kafka
            .owner
            .meta(format!("{}-{name}", kafka.owner.name), COMPONENT),
        spec: Some(ServiceSpec {
            selector: Some(broker_selector(kafka)),
            ports: Some(vec![port]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// The Services for clients outside Kubernetes: one to begin with, and one for each broker.
#[must_use]
pub fn external(kafka: &ValidatedKafka) -> Vec<Service> {
    let Some(external) = &kafka.external else {
        return Vec::new();
    };
    let mut first = outside(
        kafka,
        external,
        bootstrap_name(&kafka.owner.name),
        broker_selector(kafka),
    );
    if let Some(spec) = &mut first.spec {
        for port in spec.ports.iter_mut().flatten() {
            port.node_port = external.spec.bootstrap_node_port;
        }
    }
    let mut services = vec![first];
    for node in kafka.all_nodes().filter(|node| node.broker) {
        let mut selector = kafka.owner.selector(COMPONENT);
        selector.insert(POD_NAME.into(), node.pod);
        let name = broker_name(&kafka.owner.name, node.id);
        services.push(outside(kafka, external, name, selector));
    }
    services
}

fn outside(
    kafka: &ValidatedKafka,
    external: &External,
    name: String,
    selector: BTreeMap<String, String>,
) -> Service {
    let asked = &external.spec;
    let mut metadata = kafka.owner.meta(name, COMPONENT);
    if !asked.annotations.is_empty() {
        metadata.annotations = Some(asked.annotations.clone());
    }
    let ranges = &asked.load_balancer_source_ranges;
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(
                match asked.type_ {
                    ExternalType::NodePort => "NodePort",
                    ExternalType::LoadBalancer => "LoadBalancer",
                }
                .into(),
            ),
            selector: Some(selector),
            ports: Some(vec![port("external", EXTERNAL_PORT)]),
            load_balancer_source_ranges: (!ranges.is_empty()).then(|| ranges.clone()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
