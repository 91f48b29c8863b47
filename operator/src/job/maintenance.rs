//! What is done to the files of a lake from time to time: CronJobs of `millrace-stream lake`. Pure.

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;

use super::crd::{Compaction, Retention};
use super::deployment::{environment, pod_labels};
use super::lake::{Lake, MAINTENANCE_MEMORY, Place};
use super::validate::ValidatedJob;
use crate::hdfs;
use crate::pods;
use crate::reconcile::Error;

/// The component's name in labels: pods of the job itself must not be found by it.
pub const COMPONENT: &str = "lake-maintenance";
/// A run that takes longer is ended, in seconds: the next one would never begin. What it had not committed does not count.
const LONGEST_SECONDS: i64 = 6 * 3600;
/// A run that could not begin so long is left out, in seconds.
const LATEST_SECONDS: i64 = 1800;

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
    Ok(CronJob {
        metadata: job.owner.meta(name, COMPONENT),
        spec: Some(CronJobSpec {
            schedule: schedule.to_owned(),
            time_zone: Some("Etc/UTC".into()),
            // Of two at once one would be fenced: work for nothing.
            concurrency_policy: Some("Forbid".into()),
            starting_deadline_seconds: Some(LATEST_SECONDS),
            suspend: Some(job.operation.stopped),
            successful_jobs_history_limit: Some(1),
            failed_jobs_history_limit: Some(2),
            job_template: JobTemplateSpec {
                metadata: None,
                spec: Some(JobSpec {
                    backoff_limit: Some(1),
                    active_deadline_seconds: Some(LONGEST_SECONDS),
                    template,
                    ..JobSpec::default()
                }),
            },
        }),
        ..CronJob::default()
    })
}

/// What is known of the runs of a CronJob.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// When one ended with success last (RFC 3339).
    pub succeeded: Option<String>,
    /// What to say when the last one did not.
    pub trouble: Option<String>,
}

/// Reads them from its status.
#[must_use]
pub fn runs(cron_job: &CronJob) -> Runs {
    let Some(status) = &cron_job.status else {
        return Runs::default();
    };
    let text = |time: &Time| time.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let (began, succeeded) = (&status.last_schedule_time, &status.last_successful_time);
    let is_over = status.active.as_ref().is_none_or(Vec::is_empty);
    let failed = match (began, succeeded) {
        (Some(began), Some(succeeded)) => began.0 > succeeded.0,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let name = cron_job.metadata.name.as_deref().unwrap_or_default();
    let trouble = began.as_ref().filter(|_| failed && is_over).map(|began| {
        format!(
            "CronJob {name}: its run of {} did not succeed; see the log of its pods (kubectl logs -l app.kubernetes.io/name={COMPONENT})",
            text(began)
        )
    });
    Runs {
        succeeded: succeeded.as_ref().map(text),
        trouble,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(status: Value) -> Runs {
        runs(
            &serde_json::from_value(json!({"metadata": {"name": "j-compact"}, "status": status}))
                .unwrap(),
        )
    }

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

    #[test]
    fn a_run_that_failed_is_told_until_one_succeeds() {
        let (one, two) = ("2026-11-28T13:17:00Z", "2026-11-28T13:19:10Z");
        assert_eq!(of(json!({})), Runs::default());
        let running = json!({"lastScheduleTime": one, "active": [{"name": "j-compact-1"}]});
        assert_eq!(of(running), Runs::default());
        let failed = of(json!({"lastScheduleTime": one}));
        let told = failed.trouble.unwrap();
        assert!(
            told.starts_with("CronJob j-compact: its run of 2026-11-28T13:17:00Z"),
            "{told}"
        );
        let good = of(json!({"lastScheduleTime": one, "lastSuccessfulTime": two}));
        assert_eq!((good.succeeded.as_deref(), good.trouble), (Some(two), None));
        let again =
            of(json!({"lastScheduleTime": "2026-11-28T14:17:00Z", "lastSuccessfulTime": two}));
        assert!(again.trouble.is_some());
    }
}
