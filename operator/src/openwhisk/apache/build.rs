//! The objects of an Apache OpenWhisk. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVar, EnvVarSource, PodSpec, Secret, SecretKeySelector, Service,
    ServiceAccount, ServiceSpec,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ApiResource;

use super::files::{self, FILES, START, TRUST_SOURCES};
use super::rights::starts_pods;
use super::settings::settings;
use super::validate::{Server, ValidatedApache};
use super::{CONTROLLER, INVOKER, INVOKER_PORT, ROLE_LABEL, controller_set, invoker_set};
use crate::openwhisk::API_PORT;
use crate::openwhisk::build::{self as embedded, COMPONENT};
use crate::pods::{self, Servers};
use crate::reconcile::{Error, Prepared, Resources, fingerprint};
use crate::types::DeletionPolicy;

/// The key of the Secret with the settings.
const SETTINGS: &str = "config";
/// Components of a composition, as the embedded server bounds them.
const SEQUENCE: &str = "50";
/// Activations that a server has begun are given so long.
const GRACE_SECONDS: i64 = 60;

/// Every kind that [`build`] makes beside those of the embedded server.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<Role>(&()),
        ApiResource::erase::<RoleBinding>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
    ]
}

/// All objects of an Apache OpenWhisk.
///
/// # Errors
/// An object cannot be written as JSON, or overrides are not in the form of a pod template.
pub fn build(whisk: &ValidatedApache) -> Result<Resources<Prepared>, Error> {
    let owner = &whisk.owner;
    let mut resources = Resources::new();
    if whisk.makes_auth {
        resources.add(&embedded::auth(owner, &whisk.auth))?;
    }
    resources.add(&embedded::binding(
        owner,
        &whisk.namespace,
        &whisk.auth,
        &whisk.host(),
    ))?;
    resources.add(&ConfigMap {
        metadata: owner.meta(files_name(whisk), COMPONENT),
        data: Some(files::files()),
        ..ConfigMap::default()
    })?;
    let trusted = trusted(whisk);
    if !trusted.is_empty() {
        resources.add(&ConfigMap {
            metadata: owner.meta(trust_name(whisk), COMPONENT),
            data: Some(trusted.clone()),
            ..ConfigMap::default()
        })?;
    }
    let settings = settings(whisk);
    resources.add(&Secret {
        metadata: owner.meta(settings_name(whisk), COMPONENT),
        type_: Some("Opaque".into()),
        data: Some(pods::secret_data([(SETTINGS, STANDARD.encode(&settings))])),
        ..Secret::default()
    })?;
    starts_pods(whisk, &mut resources)?;
    resources.add(&service(whisk))?;
    let config = fingerprint(&(&settings, &whisk.runtimes, files::files(), &trusted));
    if let Some(invokers) = &whisk.invokers {
        resources.add(&pods::names_of_pods(
            owner.meta(invoker_set(&owner.name), INVOKER),
            owner.selector(INVOKER),
            vec![pods::service_port("http", INVOKER_PORT)],
        ))?;
        resources.add(&pods::disruption_budget(
            owner.meta(invoker_set(&owner.name), INVOKER),
            owner.selector(INVOKER),
            1,
        ))?;
        resources.add(&invoker(whisk, invokers, config.clone())?)?;
    }
    resources.add(&controller(whisk, config)?)?;
    Ok(resources)
}

fn files_name(whisk: &ValidatedApache) -> String {
    format!("{}-files", whisk.owner.name)
}

fn trust_name(whisk: &ValidatedApache) -> String {
    format!("{}-trust", whisk.owner.name)
}

fn settings_name(whisk: &ValidatedApache) -> String {
    format!("{}-settings", whisk.owner.name)
}

/// The authorities that Java is to trust, by the file's name.
fn trusted(whisk: &ValidatedApache) -> BTreeMap<String, String> {
    let kafka = whisk.kafka.as_ref();
    [
        ("mongo.crt", whisk.mongo.authorities.as_ref()),
        (
            "kafka.crt",
            kafka.and_then(|kafka| kafka.access.authorities.as_ref()),
        ),
    ]
    .into_iter()
    .filter_map(|(name, pem)| Some((name.to_owned(), pem?.clone())))
    .collect()
}

/// The labels that find the controller. The embedded server, whose name it has, does not carry all of them.
fn controller_selector(whisk: &ValidatedApache) -> BTreeMap<String, String> {
    whisk
        .owner
        .pool_selector(COMPONENT, ROLE_LABEL, Some(CONTROLLER))
}

/// The Service of the embedded server, which leads to the controller now.
fn service(whisk: &ValidatedApache) -> Service {
    Service {
        metadata: whisk.owner.meta(whisk.owner.name.clone(), COMPONENT),
        spec: Some(ServiceSpec {
            selector: Some(controller_selector(whisk)),
            ports: Some(vec![pods::service_port("api", API_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn controller(whisk: &ValidatedApache, config: String) -> Result<StatefulSet, Error> {
    let owner = &whisk.owner;
    let server = &whisk.controller;
    let throttles = &whisk.throttles;
    let mut environment = environment(whisk, server, API_PORT);
    environment.extend([
        pods::env("CONTROLLER_INSTANCES", "1"),
        pods::env(
            "LIMITS_ACTIONS_INVOKES_PERMINUTE",
            throttles.invocations_per_minute.to_string(),
        ),
        pods::env(
            "LIMITS_ACTIONS_INVOKES_CONCURRENT",
            throttles.concurrent_invocations.to_string(),
        ),
        pods::env(
            "LIMITS_TRIGGERS_FIRES_PERMINUTE",
            throttles.fires_per_minute.to_string(),
        ),
        pods::env("LIMITS_ACTIONS_SEQUENCE_MAXLENGTH", SEQUENCE),
    ]);
    let mut labels = owner.labels(COMPONENT);
    labels.insert(ROLE_LABEL.into(), CONTROLLER.into());
    let mut pod = pod(whisk, server, (CONTROLLER, "api", API_PORT), environment);
    if whisk.is_lean() {
        lets_start_pods(whisk, &mut pod);
    }
    // It remembers who has which key; keys that were replaced must not work on.
    let config = fingerprint(&(config, &whisk.auth));
    stateful_set(
        whisk,
        server,
        Shape {
            component: COMPONENT,
            name: controller_set(&owner.name),
            service: owner.name.clone(),
            selector: controller_selector(whisk),
            labels,
            config,
            pod,
        },
    )
}

fn invoker(whisk: &ValidatedApache, server: &Server, config: String) -> Result<StatefulSet, Error> {
    let owner = &whisk.owner;
    let mut environment = environment(whisk, server, INVOKER_PORT);
    // It must be there, and nobody asks there: the number of each invoker is that of its pod.
    environment.push(pods::env("ZOOKEEPER_HOSTS", "none:2181"));
    let ports = ("invoker", "http", INVOKER_PORT);
    let mut pod = pod(whisk, server, ports, environment);
    lets_start_pods(whisk, &mut pod);
    if server.replicas > 1 {
        pods::spread(&mut pod, owner.selector(INVOKER));
    }
    stateful_set(
        whisk,
        server,
        Shape {
            component: INVOKER,
            name: invoker_set(&owner.name),
            service: invoker_set(&owner.name),
            selector: owner.selector(INVOKER),
            labels: owner.labels(INVOKER),
            config,
            pod,
        },
    )
}

/// What both are told by variables: what stands there is shown to whoever may see pods, so it is nothing secret.
fn environment(whisk: &ValidatedApache, server: &Server, port: i32) -> Vec<EnvVar> {
    let mut environment = vec![
        pods::env("PORT", port.to_string()),
        pods::env(
            "JAVA_OPTS",
            format!("-Xmx{}m -XX:+ExitOnOutOfMemoryError", server.heap),
        ),
        EnvVar {
            name: "OPENWHISK_ENCODED_CONFIG".into(),
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: settings_name(whisk),
                    key: SETTINGS.into(),
                    optional: None,
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        },
        pods::env("RUNTIMES_MANIFEST", whisk.runtimes.clone()),
        // What actions are told of where the API is.
        pods::env("WHISK_API_HOST_PROTO", "http"),
        pods::env("WHISK_API_HOST_NAME", whisk.host()),
        pods::env("WHISK_API_HOST_PORT", API_PORT.to_string()),
    ];
    if let Some(kafka) = &whisk.kafka {
        environment.push(pods::env("KAFKA_HOSTS", kafka.access.bootstrap.clone()));
    }
    environment
}

fn pod(
    whisk: &ValidatedApache,
    server: &Server,
    (name, port_name, port): (&str, &str, i32),
    environment: Vec<EnvVar>,
) -> PodSpec {
    let container = Container {
        name: name.into(),
        image: Some(server.image.clone()),
        command: Some(vec![
            "/bin/bash".into(),
            format!("{FILES}/{START}"),
            name.into(),
        ]),
        env: Some(environment),
        ports: Some(vec![pods::port(port_name, port)]),
        resources: Some(pods::resources(Some(&server.resources), "768Mi", "100m")),
        readiness_probe: Some(pods::http_probe("/ping", port, 3, 3)),
        // A start takes seconds, and on a busy node more of them.
        liveness_probe: Some(pods::http_probe("/ping", port, 10, 18)),
        // The last lines of the log say why a server does not start.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![
            pods::read_only_mount("files", FILES),
            pods::read_only_mount("trust", TRUST_SOURCES),
        ]),
        ..Container::default()
    };
    let volumes = vec![
        pods::config_volume("files", &files_name(whisk)),
        pods::optional_config_volume("trust", &trust_name(whisk)),
    ];
    let mut pod = pods::pod(container, volumes, GRACE_SECONDS);
    pods::limit_tmp(&mut pod, "256Mi");
    pod
}

fn lets_start_pods(whisk: &ValidatedApache, pod: &mut PodSpec) {
    pod.service_account_name = Some(invoker_set(&whisk.owner.name));
    pod.automount_service_account_token = Some(true);
}

/// What differs between the two StatefulSets.
struct Shape {
    component: &'static str,
    name: String,
    service: String,
    selector: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    config: String,
    pod: PodSpec,
}

fn stateful_set(
    whisk: &ValidatedApache,
    server: &Server,
    shape: Shape,
) -> Result<StatefulSet, Error> {
    let overrides = server.pod_overrides.iter();
    let set = pods::stateful_set(Servers {
        metadata: whisk.owner.meta(shape.name, shape.component),
        replicas: whisk.operation.replicas(server.replicas),
        service_name: shape.service,
        selector: shape.selector,
        labels: shape.labels,
        config: shape.config,
        annotations: BTreeMap::new(),
        pod: shape.pod,
        overrides: overrides
            .map(|(field, overrides)| (*field, overrides))
            .collect(),
        live_claims: &[],
        claims: Vec::new(),
        // There are no volumes.
        deletion_policy: DeletionPolicy::Retain,
    })?;
    Ok(set)
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
