//! The Services of a cluster.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::validate::ValidatedKafka;
use super::super::{CLIENT_PORT, COMPONENT, CONTROLLER_PORT};
use super::broker_selector;

pub(super) fn services(kafka: &ValidatedKafka) -> Vec<Service> {
    vec![nodes(kafka), bootstrap(kafka)]
}

fn nodes(kafka: &ValidatedKafka) -> Service {
    Service {
        metadata: kafka
            .owner
            .meta(format!("{}-nodes", kafka.owner.name), COMPONENT),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            // Nodes must find each other before they are ready.
            publish_not_ready_addresses: Some(true),
            selector: Some(kafka.owner.selector(COMPONENT)),
            ports: Some(vec![
                port("client", CLIENT_PORT),
                port("controller", CONTROLLER_PORT),
            ]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn bootstrap(kafka: &ValidatedKafka) -> Service {
    Service {
        metadata: kafka
            .owner
            .meta(format!("{}-bootstrap", kafka.owner.name), COMPONENT),
        spec: Some(ServiceSpec {
            selector: Some(broker_selector(kafka)),
            ports: Some(vec![port("client", CLIENT_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn port(name: &str, port: i32) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        port,
        target_port: Some(IntOrString::String(name.into())),
        protocol: Some("TCP".into()),
        ..ServicePort::default()
    }
}
