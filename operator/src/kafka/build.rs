//! The objects of a cluster. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, ContainerPort, PodTemplateSpec, Secret, Service, ServicePort, ServiceSpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{ApiResource, ObjectMeta};

use super::validate::ValidatedKafka;
use super::{CLIENT_PORT, CONTROLLER_PORT, binding_name, config};
use crate::pods;
use crate::reconcile::{Error, Prepared, Resources, fingerprint, storage};

/// The component's name in labels.
pub const COMPONENT: &str = "kafka";
/// Name of the volume claim template.
pub const VOLUME: &str = "data";

/// Every kind that [`build`] makes.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<StatefulSet>(&()),
    ]
}

/// The address for clients inside Kubernetes.
#[must_use]
pub fn bootstrap(kafka: &ValidatedKafka) -> (String, i32) {
    (
        format!(
            "{}-bootstrap.{}.svc",
            kafka.owner.name, kafka.owner.namespace
        ),
        CLIENT_PORT,
    )
}

/// All objects of a cluster.
///
/// # Errors
/// An object cannot be written as JSON.
pub fn build(kafka: &ValidatedKafka) -> Result<Resources<Prepared>, Error> {
    let mut resources = Resources::new();
    let files = files(kafka);
    resources.add(&files)?;
    resources.add(&nodes_service(kafka))?;
    resources.add(&bootstrap_service(kafka))?;
    resources.add(&binding(kafka))?;
    resources.add(&disruption_budget(kafka))?;
    resources.add(&stateful_set(kafka, &files))?;
    Ok(resources)
}

fn files(kafka: &ValidatedKafka) -> ConfigMap {
    ConfigMap {
        metadata: kafka
            .owner
            .meta(format!("{}-files", kafka.owner.name), COMPONENT),
        data: Some(BTreeMap::from([
            ("server.properties".into(), config::server_properties(kafka)),
            (
                "log4j2.properties".into(),
                config::log4j2_properties().into(),
            ),
            ("start.sh".into(), config::start_script(kafka)),
        ])),
        ..ConfigMap::default()
    }
}

fn nodes_service(kafka: &ValidatedKafka) -> Service {
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

fn bootstrap_service(kafka: &ValidatedKafka) -> Service {
    Service {
        metadata: kafka
            .owner
            .meta(format!("{}-bootstrap", kafka.owner.name), COMPONENT),
        spec: Some(ServiceSpec {
            selector: Some(kafka.owner.selector(COMPONENT)),
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

fn binding(kafka: &ValidatedKafka) -> Secret {
    let (host, port) = bootstrap(kafka);
    Secret {
        metadata: kafka.owner.meta(binding_name(&kafka.owner.name), COMPONENT),
        type_: Some("servicebinding.io/kafka".into()),
        data: Some(pods::secret_data([
            ("type", "kafka".to_owned()),
            ("provider", "millrace".to_owned()),
            ("host", host.clone()),
            ("port", port.to_string()),
            ("uri", format!("kafka://{host}:{port}")),
            ("bootstrap-servers", format!("{host}:{port}")),
        ])),
        ..Secret::default()
    }
}

fn disruption_budget(kafka: &ValidatedKafka) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: kafka.owner.meta(kafka.owner.name.clone(), COMPONENT),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(selector(kafka)),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

fn selector(kafka: &ValidatedKafka) -> LabelSelector {
    LabelSelector {
        match_labels: Some(kafka.owner.selector(COMPONENT)),
        ..LabelSelector::default()
    }
}

fn stateful_set(kafka: &ValidatedKafka, files: &ConfigMap) -> StatefulSet {
    let name = &kafka.owner.name;
    let container = Container {
        name: "kafka".into(),
        image: Some(kafka.image.clone()),
        command: Some(vec![
            "/bin/sh".into(),
            format!("{}/start.sh", config::FILES),
        ]),
        ports: Some(vec![
            container_port("client", CLIENT_PORT),
            container_port("controller", CONTROLLER_PORT),
        ]),
        resources: Some(pods::resources(Some(&kafka.resources), "512Mi", "100m")),
        // No liveness and no startup probe: a broker that recovers a long log must not be killed for it, and the JVM
        // ends by itself when it cannot go on.
        readiness_probe: Some(pods::tcp_probe(CLIENT_PORT, 2, 3)),
        volume_mounts: Some(vec![
            pods::mount(VOLUME, config::DATA),
            pods::read_only_mount("files", config::FILES),
        ]),
        ..Container::default()
    };
    let template = match &kafka.live_template {
        Some(live) => live.clone(),
        None => storage::template(&kafka.owner, COMPONENT, VOLUME, &kafka.storage),
    };
    StatefulSet {
        metadata: kafka.owner.meta(name.clone(), COMPONENT),
        spec: Some(StatefulSetSpec {
            replicas: Some(kafka.nodes),
            service_name: Some(format!("{name}-nodes")),
            pod_management_policy: Some("Parallel".into()),
            selector: selector(kafka),
            // Only `roll` restarts a node.
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".into()),
                ..StatefulSetUpdateStrategy::default()
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(kafka.owner.labels(COMPONENT)),
                    annotations: Some(BTreeMap::from([(
                        "millrace.dev/config".into(),
                        fingerprint(&files.data),
                    )])),
                    ..ObjectMeta::default()
                }),
                spec: Some(pods::pod(
                    container,
                    vec![pods::config_volume("files", &format!("{name}-files"))],
                    60,
                )),
            },
            volume_claim_templates: Some(vec![template]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

fn container_port(name: &str, port: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: port,
        ..ContainerPort::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{cluster, images};
    use super::super::validate::validate;
    use super::*;
    use serde_json::json;

    fn valid(spec: serde_json::Value) -> ValidatedKafka {
        validate(&cluster(spec), None, &images()).unwrap()
    }

    #[test]
    fn the_objects_of_a_cluster() {
        let kafka = valid(json!({"nodes": 1, "storage": {"size": "2Gi", "storageClass": "fast"}}));
        insta::assert_snapshot!(build(&kafka).unwrap().to_yaml().unwrap());
    }

    #[test]
    fn changed_settings_change_the_template() {
        let hash = |spec| {
            let set: StatefulSet = build(&valid(spec)).unwrap().get("k").unwrap();
            set.spec
                .unwrap()
                .template
                .metadata
                .unwrap()
                .annotations
                .unwrap()["millrace.dev/config"]
                .clone()
        };
        let before = hash(json!({"nodes": 1, "storage": {"size": "2Gi"}}));
        assert_eq!(
            before,
            hash(json!({"nodes": 1, "storage": {"size": "3Gi"}}))
        );
        assert_ne!(
            before,
            hash(
                json!({"nodes": 1, "storage": {"size": "2Gi"}, "config": {"log.retention.hours": "1"}})
            )
        );
    }

    #[test]
    fn a_live_claim_template_is_left_as_it_is() {
        let kafka = cluster(json!({"nodes": 1, "storage": {"size": "9Gi"}}));
        let live = storage::template(
            &valid(json!({"nodes": 1, "storage": {"size": "2Gi"}})).owner,
            COMPONENT,
            VOLUME,
            &crate::types::Storage {
                size: "2Gi".into(),
                storage_class: None,
            },
        );
        let set: StatefulSet = build(&validate(&kafka, Some(live.clone()), &images()).unwrap())
            .unwrap()
            .get("k")
            .unwrap();
        assert_eq!(set.spec.unwrap().volume_claim_templates.unwrap()[0], live);
    }
}
