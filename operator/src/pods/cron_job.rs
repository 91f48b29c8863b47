//! CronJobs: what they have in common, and what is known of their runs. Pure.

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;

/// A run that could not begin so long is left out, in seconds.
const LATEST_SECONDS: i64 = 1800;

/// When pods run, and what becomes of runs that fail.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a> {
    /// In the form of cron.
    pub cron: &'a str,
    /// The time zone of it, by its IANA name.
    pub zone: &'a str,
    /// No run begins.
    pub suspended: bool,
    /// How often a run that failed is tried again.
    pub retries: i32,
    /// A run that takes longer is ended, in seconds: the next one would never begin.
    pub longest_seconds: i64,
    /// How many runs that succeeded are kept; of those that failed one more.
    pub kept: i32,
}

/// A CronJob, of whose runs there is one at a time.
#[must_use]
pub fn cron_job(
    metadata: ObjectMeta,
    schedule: &Schedule<'_>,
    template: PodTemplateSpec,
) -> CronJob {
    CronJob {
        metadata,
        spec: Some(CronJobSpec {
            schedule: schedule.cron.to_owned(),
            time_zone: Some(schedule.zone.to_owned()),
            // Of two at once one would wait for the other, or be fenced: work for nothing.
            concurrency_policy: Some("Forbid".into()),
            starting_deadline_seconds: Some(LATEST_SECONDS),
            suspend: Some(schedule.suspended),
            successful_jobs_history_limit: Some(schedule.kept),
            failed_jobs_history_limit: Some(schedule.kept + 1),
            job_template: JobTemplateSpec {
                metadata: None,
                spec: Some(JobSpec {
                    backoff_limit: Some(schedule.retries),
                    active_deadline_seconds: Some(schedule.longest_seconds),
                    template,
                    ..JobSpec::default()
                }),
            },
        }),
        ..CronJob::default()
    }
}

/// Whether a Job says this of itself: `Complete` or `Failed`.
#[must_use]
pub fn job_is(job: &Job, condition: &str) -> bool {
    let status = job.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one.type_ == condition && one.status == "True")
}

/// What is known of the runs of a CronJob.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// When one began last (RFC 3339).
    pub began: Option<String>,
    /// Whether one is under way.
    pub under_way: bool,
    /// When one ended with success last (RFC 3339).
    pub succeeded: Option<String>,
    /// What to say when the last one did not.
    pub trouble: Option<String>,
}

/// Reads them from its status. `component`: the name in the labels of its pods.
#[must_use]
pub fn runs(cron_job: &CronJob, component: &str) -> Runs {
    let Some(status) = &cron_job.status else {
        return Runs::default();
    };
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
            "CronJob {name}: its run of {} did not succeed; see the log of its pods (kubectl logs -l app.kubernetes.io/name={component})",
            rfc_3339(began)
        )
    });
    Runs {
        began: began.as_ref().map(rfc_3339),
        under_way: !is_over,
        succeeded: succeeded.as_ref().map(rfc_3339),
        trouble,
    }
}

pub(super) fn rfc_3339(time: &Time) -> String {
    time.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(status: Value) -> Runs {
        let cron_job = json!({"metadata": {"name": "j-compact"}, "status": status});
        runs(
            &serde_json::from_value(cron_job).unwrap(),
            "lake-maintenance",
        )
    }

    #[test]
    fn a_run_that_failed_is_told_until_one_succeeds() {
        let (one, two) = ("2026-11-28T13:17:00Z", "2026-11-28T13:19:10Z");
        assert_eq!(of(json!({})), Runs::default());
        let running = json!({"lastScheduleTime": one, "active": [{"name": "j-compact-1"}]});
        let running = of(running);
        assert!(running.under_way && running.trouble.is_none());
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
