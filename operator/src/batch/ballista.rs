//! Scheduler and executors of engine ballista. Pure.
//!
//! They hold nothing: what an executor was about when it ended, another one does, and a run that failed is tried again. So they restart
//! without asking, and are always of the version that the runs are.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;

use super::crd::BatchBallista;
use super::validate::ValidatedBatch;
use super::{BALLISTA, EXECUTOR_PORT, MEMORY, SCHEDULER_PORT};
use crate::hdfs;
use crate::job::lake::Place;
use crate::job::{GRACE_SECONDS, environment, pod_labels};
use crate::pods;
use crate::reconcile::{Error, approval};

/// Where the program is in its image.
pub const PROGRAM: &str = "/usr/local/bin/millrace-ballista";
/// Tells scheduler and executors apart.
const ROLE_LABEL: &str = "millrace.dev/ballista-role";
const SCHEDULER: &str = "scheduler";
const EXECUTOR: &str = "executor";
/// The last line of the log says why one ended.
const LAST_WORDS: &str = "FallbackToLogsOnError";
/// Memory of the scheduler: it knows the names of a day's files, and results pass through it.
const SCHEDULER_MEMORY: &str = "256Mi";

/// Name of the Deployment of executors.
#[must_use]
pub fn executors_name(owner: &str) -> String {
    format!("{owner}-{EXECUTOR}")
}

/// Where the scheduler is found.
#[must_use]
pub fn address(job: &ValidatedBatch) -> String {
    format!("{}:{SCHEDULER_PORT}", service_name(job))
}

fn service_name(job: &ValidatedBatch) -> String {
    format!("{}-{BALLISTA}", job.owner.name)
}

fn selector(job: &ValidatedBatch, role: &str) -> BTreeMap<String, String> {
    job.owner.pool_selector(BALLISTA, ROLE_LABEL, Some(role))
}

/// The Service of the scheduler.
#[must_use]
pub fn service(job: &ValidatedBatch) -> Service {
    Service {
        metadata: job.owner.meta(service_name(job), BALLISTA),
        spec: Some(ServiceSpec {
            selector: Some(selector(job, SCHEDULER)),
            ports: Some(vec![pods::service_port(SCHEDULER, SCHEDULER_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// The Deployment of the scheduler. There is never a second one: each would know half of the executors.
///
/// # Errors
/// What its user overrides in its pods cannot be merged.
pub fn scheduler(job: &ValidatedBatch) -> Result<Deployment, Error> {
    let container = Container {
        name: SCHEDULER.into(),
        image: Some(job.image.clone()),
        command: Some(vec![PROGRAM.into()]),
        args: Some(vec![SCHEDULER.into()]),
        env: Some(vec![pods::env("MILLRACE_LOG_FORMAT", "json")]),
        ports: Some(vec![pods::port(SCHEDULER, SCHEDULER_PORT)]),
        resources: Some(pods::resources(None, SCHEDULER_MEMORY, "20m")),
        // Not /readyz: that says whether there are executors, and these come by the Service.
        readiness_probe: Some(pods::http_probe("/healthz", SCHEDULER_PORT, 2, 3)),
        liveness_probe: Some(pods::http_probe("/healthz", SCHEDULER_PORT, 10, 6)),
        termination_message_policy: Some(LAST_WORDS.into()),
        ..Container::default()
    };
    let pod = pods::pod(container, Vec::new(), GRACE_SECONDS);
    let strategy = DeploymentStrategy {
        type_: Some("Recreate".into()),
        rolling_update: None,
    };
    deployment(job, SCHEDULER, 1, strategy, pod, &[])
}

/// The Deployment of executors, which read the lake.
///
/// # Errors
/// What its user overrides in its pods cannot be merged.
pub fn executors(
    job: &ValidatedBatch,
    asked: &BatchBallista,
    place: &Place,
) -> Result<Deployment, Error> {
    let (volumes, mounts) = pods::bindings(std::slice::from_ref(&job.lake_secret));
    let mut environment = environment(&place.environment());
    environment.push(pods::env("MILLRACE_SCHEDULER", address(job)));
    let container = Container {
        name: EXECUTOR.into(),
        image: Some(job.image.clone()),
        command: Some(vec![PROGRAM.into()]),
        args: Some(vec![EXECUTOR.into()]),
        env: Some(environment),
        ports: Some(vec![pods::port("results", EXECUTOR_PORT)]),
        resources: Some(pods::resources(asked.resources.as_ref(), MEMORY, "100m")),
        // It listens once it has found its scheduler.
        readiness_probe: Some(pods::tcp_probe(EXECUTOR_PORT, 5, 3)),
        volume_mounts: Some(mounts),
        termination_message_policy: Some(LAST_WORDS.into()),
        ..Container::default()
    };
    let mut pod = pods::pod(container, volumes, GRACE_SECONDS);
    pods::spread(&mut pod, selector(job, EXECUTOR));
    let strategy = DeploymentStrategy {
        type_: Some("RollingUpdate".into()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(0)),
            max_unavailable: Some(IntOrString::String("50%".into())),
        }),
    };
    let client_of = [hdfs::COMPONENT];
    deployment(job, EXECUTOR, asked.executors, strategy, pod, &client_of)
}

fn deployment(
    job: &ValidatedBatch,
    role: &str,
    replicas: i32,
    strategy: DeploymentStrategy,
    pod: PodSpec,
    client_of: &[&str],
) -> Result<Deployment, Error> {
    let selector = selector(job, role);
    let mut labels = pod_labels(&job.owner, BALLISTA, client_of);
    labels.extend(selector.clone());
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    };
    job.operation.override_pods(&mut template)?;
    let mut metadata = job
        .owner
        .meta(format!("{}-{role}", job.owner.name), BALLISTA);
    let free = (approval::FREE.to_owned(), "true".to_owned());
    metadata.annotations = Some(BTreeMap::from([free]));
    Ok(Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: Some(job.operation.replicas(replicas)),
            selector: LabelSelector {
                match_labels: Some(selector),
                ..LabelSelector::default()
            },
            strategy: Some(strategy),
            revision_history_limit: Some(2),
            template,
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    })
}
