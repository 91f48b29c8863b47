//! A Deployment of `millrace-stream`, as StreamJob and EventSource both need it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, PodTemplateSpec};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;

use super::crd::JobFiles;
use super::{CONFIG_DIR, METRICS_PORT, TLS_BINDING};
use crate::context::Context;
use crate::reconcile::{Error, Owner, fingerprint};
use crate::types::{FreeForm, Operation, PodResources};
use crate::{network, pods};

/// What runs in a Deployment of `millrace-stream`.
#[derive(Clone, Debug)]
pub struct Program<'a> {
    /// Whose object it is.
    pub owner: &'a Owner,
    /// Name of the Deployment.
    pub name: String,
    /// The component's name in labels.
    pub component: &'a str,
    /// Subcommand of `millrace-stream`.
    pub command: &'a str,
    /// The container image.
    pub image: &'a str,
    /// How many pods.
    pub replicas: i32,
    /// Secrets that are mounted.
    pub bindings: &'a [String],
    /// ConfigMaps that are mounted.
    pub files: &'a [JobFiles],
    /// The Secret with the certificate, if it has one.
    pub tls: Option<&'a str>,
    /// The job's configuration.
    pub config: &'a FreeForm,
    /// Keys of the configuration that the job reads again while it runs: they restart nothing.
    pub reloaded: &'a [&'a str],
    /// Ports that it serves, besides that of its metrics.
    pub ports: Vec<(&'a str, i32)>,
    /// Memory and CPU of a pod.
    pub resources: Option<&'a PodResources>,
    /// Its memory where nobody says.
    pub memory: &'a str,
    /// What its environment has besides.
    pub env: Vec<EnvVar>,
    /// Components that its pods are clients of, in whatever namespace.
    pub client_of: &'a [&'a str],
    /// Seconds that a pod has to end.
    pub grace_seconds: i64,
    /// Whether a new pod comes up before the old one goes. Consumers do it the other way around, else their partitions
    /// would move twice.
    pub surge: bool,
    /// How it is run over time.
    pub operation: &'a Operation,
}

impl Program<'_> {
    fn config_name(&self) -> String {
        format!("{}-config", self.name)
    }

    /// The job's configuration file.
    ///
    /// # Errors
    /// It cannot be written as YAML.
    pub fn config_map(&self) -> Result<ConfigMap, Error> {
        let text = if self.config.is_empty() {
            String::new()
        } else {
            serde_yaml_ng::to_string(self.config).map_err(|error| Error::Build {
                what: "spec.config",
                problem: error.to_string(),
            })?
        };
        Ok(ConfigMap {
            metadata: self.owner.meta(self.config_name(), self.component),
            data: Some(BTreeMap::from([("config.yaml".into(), text)])),
            ..ConfigMap::default()
        })
    }

    fn needs_restart(&self) -> String {
        let read_once: FreeForm = self
            .config
            .iter()
            .filter(|(key, _)| !self.reloaded.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        fingerprint(&read_once)
    }
}

/// How many of a program's pods may be away at once because of work on their nodes. `None` where there is one pod at
/// most: a budget would hold the work up for ever.
#[must_use]
pub fn disruption_budget(program: &Program<'_>) -> Option<PodDisruptionBudget> {
    (program.replicas > 1).then(|| {
        let metadata = program.owner.meta(program.name.clone(), program.component);
        pods::disruption_budget(metadata, program.owner.selector(program.component), 1)
    })
}

/// The Deployment of a program.
///
/// # Errors
/// What its user overrides in its pods cannot be merged.
pub fn deployment(program: &Program<'_>) -> Result<Deployment, Error> {
    let (mut volumes, mut mounts) = pods::bindings(program.bindings);
    volumes.push(pods::config_volume("config", &program.config_name()));
    mounts.push(pods::read_only_mount("config", CONFIG_DIR));
    for (index, files) in program.files.iter().enumerate() {
        let name = format!("files-{index}");
        volumes.push(pods::optional_config_volume(&name, &files.config_map));
        mounts.push(pods::read_only_mount(&name, &files.directory));
    }
    if let Some(secret) = program.tls {
        volumes.push(pods::secret_volume("tls", secret));
        let path = format!("{}/{TLS_BINDING}", pods::BINDING_ROOT);
        mounts.push(pods::read_only_mount("tls", &path));
    }
    let ports = program
        .ports
        .iter()
        .copied()
        .chain([("metrics", METRICS_PORT)]);
    let container = Container {
        name: program.command.into(),
        image: Some(program.image.into()),
        args: Some(vec![program.command.into()]),
        env: Some(environment(&program.env)),
        ports: Some(ports.map(|(name, port)| pods::port(name, port)).collect()),
        resources: Some(pods::resources(program.resources, program.memory, "20m")),
        readiness_probe: Some(pods::http_probe("/readyz", METRICS_PORT, 2, 3)),
        liveness_probe: Some(pods::http_probe("/healthz", METRICS_PORT, 10, 6)),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let mut pod = pods::pod(container, volumes, program.grace_seconds);
    if program.replicas > 1 {
        pods::spread(&mut pod, program.owner.selector(program.component));
    }
    let mut annotations = pods::scraped(METRICS_PORT, "/metrics");
    annotations.insert("millrace.dev/config".into(), program.needs_restart());
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pod_labels(
                program.owner,
                program.component,
                program.client_of,
            )),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    };
    program.operation.override_pods(&mut template)?;
    let (surge, unavailable) = if program.surge { (1, 0) } else { (0, 1) };
    Ok(Deployment {
        metadata: program.owner.meta(program.name.clone(), program.component),
        spec: Some(DeploymentSpec {
            replicas: Some(program.replicas),
            selector: LabelSelector {
                match_labels: Some(program.owner.selector(program.component)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(surge)),
                    max_unavailable: Some(IntOrString::Int(unavailable)),
                }),
            }),
            revision_history_limit: Some(2),
            template,
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    })
}

/// The environment of every program of `millrace-stream`, and what this one has besides.
pub(crate) fn environment(besides: &[EnvVar]) -> Vec<EnvVar> {
    let mut env = vec![
        pods::env("SERVICE_BINDING_ROOT", pods::BINDING_ROOT),
        pods::env("MILLRACE_LOG_FORMAT", "json"),
    ];
    env.extend_from_slice(besides);
    env
}

/// Labels of pods of a component that are clients of others.
pub(crate) fn pod_labels(
    owner: &Owner,
    component: &str,
    client_of: &[&str],
) -> BTreeMap<String, String> {
    let mut labels = owner.labels(component);
    labels.extend(
        client_of
            .iter()
            .map(|other| (network::client_label(other), "true".to_owned())),
    );
    labels
}

/// How many pods there are and are ready, and whether a roll-out is over, as a Deployment says it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeploymentState {
    /// Pods that exist.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Whether all pods are of the present template and ready.
    pub settled: bool,
}

/// Reads a Deployment's status.
#[must_use]
pub fn deployment_state(deployment: &Deployment) -> DeploymentState {
    let Some(status) = &deployment.status else {
        return DeploymentState::default();
    };
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let replicas = status.replicas.unwrap_or(0);
    let ready = status.ready_replicas.unwrap_or(0);
    DeploymentState {
        replicas,
        ready,
        settled: status.observed_generation >= deployment.metadata.generation
            && status.updated_replicas.unwrap_or(0) == wanted
            && replicas == wanted
            && ready == wanted,
    }
}

/// What keeps the pods of a Deployment that is not settled from being ready. Where it has none yet, none has a problem.
pub async fn deployment_trouble(
    context: &Context,
    owner: &Owner,
    component: &str,
    state: DeploymentState,
) -> Option<String> {
    if state.settled || state.replicas == 0 {
        return None;
    }
    pods::trouble(context, owner, component).await
}

/// Whether the Deployment of an owner serves; `None` when there is none.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn serves(
    context: &Context,
    owner: &Owner,
    name: &str,
) -> Result<Option<bool>, kube::Error> {
    let api = context.namespaced::<Deployment>(&owner.namespace);
    let found = api.get_opt(name).await?;
    Ok(found
        .filter(|deployment| owner.owns(&deployment.metadata))
        .map(|deployment| {
            let asked = deployment.spec.as_ref().and_then(|spec| spec.replicas);
            asked == Some(0) || deployment_state(&deployment).ready > 0
        }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rollout_is_settled_when_all_pods_are_new_and_ready() {
        let state = |observed: i64, updated: i32, ready: i32| {
            deployment_state(
                &serde_json::from_value(json!({"metadata": {"generation": 2}, "spec": {"replicas": 2,
                    "selector": {}, "template": {}}, "status": {"observedGeneration": observed, "replicas": 2,
                    "updatedReplicas": updated, "readyReplicas": ready}}))
                .unwrap(),
            )
            .settled
        };
        assert!(state(2, 2, 2));
        assert!(!state(1, 2, 2));
        assert!(!state(2, 1, 2));
        assert!(!state(2, 2, 1));
    }
}
