//! What is done to the files of a lake from time to time: CronJobs of `millrace-stream lake`. Pure.

use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use kube::api::ObjectMeta;

use super::crd::{Compaction, Retention};
use super::deployment::{environment, pod_labels};
use super::lake::{Lake, MAINTENANCE_MEMORY, Place};
use super::validate::ValidatedJob;
use crate::hdfs;
use crate::pods::{self, Schedule};
use crate::reconcile::Error;

/// The component's name in labels: pods of the job itself must not be found by it.
pub const COMPONENT: &str = "lake-maintenance";
/// A run that takes longer is ended, in seconds: the next one would never begin. What it had not committed does not count.
const LONGEST_SECONDS: i64 = 6 * 3600;

/// Name of the CronJob that compacts.
#[must_use]
pub fn compaction_name(job: &str) -> String {
    format!("{job}-compact")
}

/// Name of the CronJob that looks for hours that have grown old.
#[must_use]
pub fn retention_name(job: &str) -> String {
    format!("{job}-retain")
}

/// The CronJobs of a job; none while it is not known where the lake is.
///
/// # Errors
/// What its user overrides in its pods cannot be merged.
pub fn cron_jobs(job: &ValidatedJob) -> Result<Vec<CronJob>, Error> {
    let Some((lake, place)) = job
        .lake
        .as_ref()
        .and_then(|lake| Some((lake, lake.place.as_ref()?)))
    else {
        return Ok(Vec::new());
    };
    let compaction = lake.compaction.iter().map(|compaction| {
        let name = compaction_name(&job.owner.name);
        cron_job(
            job,
            lake,
            place,
            name,
            &compaction.schedule,
            compact(compaction),
        )
    });
    let retention = lake.retention.iter().map(|retention| {
        let name = retention_name(&job.owner.name);
        cron_job(
            job,
            lake,
            place,
            name,
            &retention.schedule,
            retain(retention),
        )
    });
    compaction.chain(retention).collect()
}

fn retain(retention: &Retention) -> Vec<String> {
    let mut arguments = vec!["retain".to_owned()];
    let replication = retention.replication.map(|copies| copies.to_string());
    for (flag, value) in [
        ("older-than", retention.older_than.as_ref()),
        ("replicate-after", retention.replicate_after.as_ref()),
        ("replication", replication.as_ref()),
        ("code-after", retention.code_after.as_ref()),
    ] {
        arguments.extend(value.map(|value| format!("--{flag}={value}")));
    }
    if retention.skip_trash {
        arguments.push("--skip-trash".to_owned());
    }
    arguments
}

fn compact(compaction: &Compaction) -> Vec<String> {
    let mut arguments = vec!["compact".to_owned()];
    if let Some(files) = compaction.at_least {
        arguments.push(format!("--at-least={files}"));
    }
    if let Some(bytes) = compaction.small.as_ref().and_then(|small| small.bytes()) {
        arguments.push(format!("--small={bytes}"));
    }
    arguments
}

fn cron_job(
    job: &ValidatedJob,
    lake: &Lake,
    place: &Place,
    name: String,
    schedule: &str,
    arguments: Vec<String>,
) -> Result<CronJob, Error> {
    let (volumes, mounts) = pods::bindings(std::slice::from_ref(&lake.binding));
    let mut args = vec!["lake".to_owned()];
    args.extend(arguments);
    args.push(format!("--dataset={}", lake.dataset));
    let resources = lake.maintenance_resources.as_ref();
    let container = Container {
        // As in the job's own pods, so that what is laid over those fits here too.
        name: job.job.command().into(),
        image: Some(job.image.clone()),
        args: Some(args),
        env: Some(environment(&place.environment())),
        resources: Some(pods::resources(resources, MAINTENANCE_MEMORY, "20m")),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let mut pod = pods::pod(container, volumes, super::GRACE_SECONDS);
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
        cron: schedule,
        zone: "Etc/UTC",
        suspended: job.operation.stopped,
        retries: 1,
        longest_seconds: LONGEST_SECONDS,
        kept: 1,
    };
    Ok(pods::cron_job(
        job.owner.meta(name, COMPONENT),
        &schedule,
        template,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn retention_becomes_flags() {
        let asked = json!({"schedule": "@daily", "olderThan": "90d", "skipTrash": true,
            "replicateAfter": "7d", "replication": 2, "codeAfter": "30d"});
        assert_eq!(
            retain(&serde_json::from_value(asked).unwrap()),
            [
                "retain",
                "--older-than=90d",
                "--replicate-after=7d",
                "--replication=2",
                "--code-after=30d",
                "--skip-trash"
            ]
        );
    }
}
