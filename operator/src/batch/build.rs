//! The objects of a batch job. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Container, PodTemplateSpec, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{ApiResource, ObjectMeta};

use super::crd::Batch;
use super::validate::ValidatedBatch;
use super::{COMPONENT, MEMORY, ballista};
use crate::hdfs;
use crate::job::lake::Place;
use crate::job::{CONFIG_DIR, GRACE_SECONDS, environment, pod_labels};
use crate::pods::{self, Schedule};
use crate::reconcile::{Error, Prepared, Resources};

/// The volume with the token by which scores are told.
const REPORT: &str = "report";
const REPORT_DIR: &str = "/etc/millrace-report";

/// Every kind that [`build`] makes.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<CronJob>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<Deployment>(&()),
    ]
}

/// All objects of a job whose lake is at `place`.
///
/// # Errors
/// An object cannot be written as JSON or YAML, or what its user overrides in its pods cannot be merged.
pub fn build(job: &ValidatedBatch, place: &Place) -> Result<Resources<Prepared>, Error> {
    let mut resources = Resources::new();
    resources.add(&config_map(job)?)?;
    resources.add(&cron_job(job, place)?)?;
    if let Some(executors) = &job.ballista {
        resources.add(&ballista::service(job))?;
        resources.add(&ballista::scheduler(job)?)?;
        resources.add(&ballista::executors(job, executors, place)?)?;
    }
    Ok(resources)
}

fn config_name(job: &ValidatedBatch) -> String {
    format!("{}-config", job.owner.name)
}

fn config_map(job: &ValidatedBatch) -> Result<ConfigMap, Error> {
    let text = serde_yaml_ng::to_string(&job.config).map_err(|error| Error::Build {
        what: "spec.config",
        problem: error.to_string(),
    })?;
    Ok(ConfigMap {
        metadata: job.owner.meta(config_name(job), COMPONENT),
        data: Some(BTreeMap::from([("config.yaml".into(), text)])),
        ..ConfigMap::default()
    })
}

fn cron_job(job: &ValidatedBatch, place: &Place) -> Result<CronJob, Error> {
    let (mut volumes, mut mounts) = pods::bindings(&job.bindings());
    volumes.push(pods::config_volume("config", &config_name(job)));
    mounts.push(pods::read_only_mount("config", CONFIG_DIR));
    let mut environment = environment(&place.environment());
    if let Some(report) = &job.report {
        let token = &report.token_secret_ref;
        let keys = [(token.key.as_str(), "token")];
        volumes.push(pods::secret_keys(REPORT, &token.name, &keys, false));
        mounts.push(pods::read_only_mount(REPORT, REPORT_DIR));
        environment.extend([
            pods::env("MILLRACE_REPORT_TO", &report.gateway_url),
            pods::env("MILLRACE_REPORT_TOKEN_FILE", format!("{REPORT_DIR}/token")),
        ]);
    }
    let container = Container {
        name: job.job.command().into(),
        image: Some(job.image.clone()),
        // The image of the stream jobs has another program for its entry point.
        command: Some(vec![program(job).into()]),
        args: Some(arguments(job)),
        env: Some(environment),
        resources: Some(pods::resources(job.resources.as_ref(), MEMORY, "100m")),
        volume_mounts: Some(mounts),
        // The last line of the log says why a run failed.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    };
    let mut pod = pods::pod(container, volumes, GRACE_SECONDS);
    pod.restart_policy = Some("Never".into());
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pod_labels(&job.owner, COMPONENT, &[hdfs::COMPONENT])),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    };
    job.operation.override_pods(&mut template)?;
    let schedule = Schedule {
        cron: &job.schedule,
        zone: &job.time_zone,
        suspended: job.operation.stopped,
        retries: job.retries,
        longest_seconds: job.longest_seconds,
        kept: job.history,
    };
    let metadata = job.owner.meta(job.owner.name.clone(), COMPONENT);
    Ok(pods::cron_job(metadata, &schedule, template))
}

fn program(job: &ValidatedBatch) -> &'static str {
    match job.ballista {
        Some(_) => ballista::PROGRAM,
        None => "/usr/local/bin/millrace-batch",
    }
}

fn arguments(job: &ValidatedBatch) -> Vec<String> {
    let mut arguments = vec![job.job.command().to_owned()];
    match job.job {
        Batch::Score => arguments.push(format!("--catch-up={}", job.catch_up_days)),
        Batch::Analyse => (),
    }
    if let Some(executors) = &job.ballista {
        arguments.extend([
            format!("--scheduler={}", ballista::address(job)),
            format!("--parts={}", executors.parts.unwrap_or(executors.executors)),
        ]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::valid;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_objects_of_score() {
        let spec = json!({"job": "score", "schedule": "20 2 * * *", "timeZone": "Europe/Vienna", "lake": {"hdfs": "h"},
            "postgresSecret": "p-score", "config": {"zone": "Europe/Vienna"},
            "report": {"gatewayUrl": "http://g:8080", "tokenSecretRef": {"name": "g", "key": "events-token"}}});
        let job = valid(spec).unwrap();
        let place = Place {
            address: "hdfs://h-namenode-0.ns.svc:8020".into(),
            root: "/millrace/lake".into(),
            user: "b".into(),
        };
        insta::assert_snapshot!(build(&job, &place).unwrap().to_yaml().unwrap());
    }

    #[test]
    fn the_objects_of_score_with_executors() {
        let spec = json!({"job": "score", "schedule": "20 2 * * *", "lake": {"hdfs": "h"}, "postgresSecret": "p-score",
            "engine": "ballista", "ballista": {"executors": 3, "parts": 12, "resources": {"memory": "4Gi"}},
            "podOverrides": {"spec": {"priorityClassName": "low"}}});
        let job = valid(spec).unwrap();
        let place = Place {
            address: "hdfs://h-namenode-0.ns.svc:8020".into(),
            root: "/millrace/lake".into(),
            user: "b".into(),
        };
        insta::assert_snapshot!(build(&job, &place).unwrap().to_yaml().unwrap());
    }

    #[test]
    fn a_stopped_job_has_no_executors_and_a_part_for_each_otherwise() {
        let place = Place {
            address: "hdfs://h-namenode-0.ns.svc:8020".into(),
            root: "/millrace/lake".into(),
            user: "b".into(),
        };
        let made = |stopped: bool| {
            let spec = json!({"job": "score", "schedule": "@daily", "lake": {"hdfs": "h"}, "postgresSecret": "p",
                "engine": "ballista", "stopped": stopped});
            let job = valid(spec).unwrap();
            assert_eq!(
                arguments(&job)[2..],
                ["--scheduler=b-ballista:50050", "--parts=2"]
            );
            let made = build(&job, &place).unwrap();
            ["b-scheduler", "b-executor"].map(|name| {
                let made: Deployment = made.get(name).unwrap();
                made.spec.unwrap().replicas.unwrap()
            })
        };
        assert_eq!(made(false), [1, 2]);
        assert_eq!(made(true), [0, 0]);
    }

    #[test]
    fn analyse_looks_at_all_days() {
        let spec = json!({"job": "analyse", "schedule": "50 2 * * *", "lake": {"hdfs": "h"}, "postgresSecret": "p-score"});
        assert_eq!(arguments(&valid(spec).unwrap()), ["analyse"]);
    }
}
