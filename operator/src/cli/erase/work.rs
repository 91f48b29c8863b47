//! The Job in the cluster that takes hires out of the stores.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::api::{DeleteParams, ListParams, LogParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::stores::Stores;
use crate::pods;

const EVERY: Duration = Duration::from_secs(2);
/// A lake of years is read whole.
const LONGEST_SECONDS: i64 = 24 * 3600;

/// Mounts one binding more.
pub(super) fn bind(template: &mut PodTemplateSpec, secret: &str) {
    let (volumes, mounts) = pods::bindings(&[secret.to_owned()]);
    let Some(spec) = template.spec.as_mut() else {
        return;
    };
    // The names of volumes of bindings count from 0 in each pod.
    let renamed = |name: &str| format!("mongo-{name}");
    for mut volume in volumes {
        volume.name = renamed(&volume.name);
        spec.volumes.get_or_insert_default().push(volume);
    }
    if let Some(container) = spec.containers.first_mut() {
        for mut mount in mounts {
            mount.name = renamed(&mount.name);
            container.volume_mounts.get_or_insert_default().push(mount);
        }
    }
}

/// What `millrace-batch` is called with.
pub(super) fn arguments<'a>(
    driver: &str,
    hires: impl IntoIterator<Item = &'a String>,
    stores: &Stores,
) -> Vec<String> {
    let content = &stores.content;
    let mut arguments = vec!["erase".to_owned(), format!("--driver={driver}")];
    let mut add = |flag: &str, value: &str| arguments.push(format!("--{flag}={value}"));
    for hire in hires {
        add("hire", hire);
    }
    for store in stores.without() {
        add("without", store.as_str());
    }
    for dataset in &content.datasets {
        add("dataset", dataset);
    }
    for (dataset, user) in &content.owners {
        add("owner", &format!("{dataset}={user}"));
    }
    for database in &content.databases {
        add("database", database);
    }
    arguments
}

/// The Job, made of a pod that has the way to the stores.
pub(super) fn job(platform: &str, mut template: PodTemplateSpec, arguments: Vec<String>) -> Job {
    if let Some(spec) = template.spec.as_mut() {
        spec.restart_policy = Some("Never".into());
        if let Some(container) = spec.containers.first_mut() {
            container.command = Some(vec!["/usr/local/bin/millrace-batch".into()]);
            container.args = Some(arguments);
            // It runs once and serves nobody.
            container.readiness_probe = None;
            container.liveness_probe = None;
            container.startup_probe = None;
        }
    }
    Job {
        metadata: ObjectMeta {
            generate_name: Some(format!("{platform}-erase-")),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            template,
            backoff_limit: Some(2),
            active_deadline_seconds: Some(LONGEST_SECONDS),
            // Its arguments are pseudonyms.
            ttl_seconds_after_finished: Some(60),
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

/// Runs of CronJobs that may have read hires before they went out of the lake, and write them after they went out of PostgreSQL.
pub(super) struct Runs {
    jobs: Api<Job>,
    cron_jobs: Vec<String>,
}

impl Runs {
    /// Those of CronJobs of these names.
    pub(super) fn new(client: &Client, namespace: &str, cron_jobs: Vec<String>) -> Self {
        Self {
            jobs: Api::namespaced(client.clone(), namespace),
            cron_jobs,
        }
    }

    /// Waits until none is under way, and says for which; gives the names of those that there are.
    ///
    /// # Errors
    /// Kubernetes refuses.
    pub(super) async fn ended(&self) -> anyhow::Result<BTreeSet<String>> {
        ended(&self.jobs, &self.cron_jobs).await
    }

    /// Whether there is one that is none of these.
    ///
    /// # Errors
    /// Kubernetes refuses.
    pub(super) async fn has_others(&self, known: &BTreeSet<String>) -> anyhow::Result<bool> {
        let runs = runs_of(&self.jobs, &self.cron_jobs).await?;
        Ok(runs.iter().any(|run| !known.contains(&run.name_any())))
    }
}

/// The Jobs of CronJobs that there are, begun by hand or not.
async fn runs_of(jobs: &Api<Job>, cron_jobs: &[String]) -> anyhow::Result<Vec<Job>> {
    let mut found = jobs.list(&ListParams::default()).await?.items;
    found.retain(|job| {
        let mut owners = job.owner_references().iter();
        owners.any(|owner| owner.kind == "CronJob" && cron_jobs.contains(&owner.name))
    });
    Ok(found)
}

fn is_under_way(run: &Job) -> bool {
    let is_suspended = run.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
    !is_suspended && !pods::job_is(run, "Complete") && !pods::job_is(run, "Failed")
}

/// Waits until no run of these CronJobs is under way; gives the names of those that there are.
async fn ended(jobs: &Api<Job>, cron_jobs: &[String]) -> anyhow::Result<BTreeSet<String>> {
    let mut told = BTreeSet::new();
    loop {
        let runs = runs_of(jobs, cron_jobs).await?;
        let Some(run) = runs.iter().find(|run| is_under_way(run)) else {
            return Ok(runs.iter().map(ResourceExt::name_any).collect());
        };
        let name = run.name_any();
        if !told.contains(&name) {
            eprintln!(
                "waiting for the end of Job {name}, which may write hires that it has read already"
            );
            told.insert(name);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Carries the Job out; gives what it says of each place.
///
/// # Errors
/// Kubernetes refuses, or it fails: then what is done is done.
pub(super) async fn carry_out(
    client: &Client,
    namespace: &str,
    job: &Job,
) -> anyhow::Result<Vec<Value>> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let name = jobs.create(&PostParams::default(), job).await?.name_any();
    let outcome = wait(client, namespace, &jobs, &name).await;
    // With its pods, whose arguments are pseudonyms.
    let removed = jobs.delete(&name, &DeleteParams::background()).await;
    let lines = outcome?;
    removed.with_context(|| format!("Job {name} stays; delete it"))?;
    Ok(lines)
}

async fn wait(
    client: &Client,
    namespace: &str,
    jobs: &Api<Job>,
    name: &str,
) -> anyhow::Result<Vec<Value>> {
    loop {
        tokio::time::sleep(EVERY).await;
        let job = jobs.get(name).await?;
        if pods::job_is(&job, "Complete") {
            return Ok(places(&log(client, namespace, name).await?));
        }
        if pods::job_is(&job, "Failed") {
            let log = log(client, namespace, name).await.unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(3).collect();
            bail!(
                "Job {name} failed: {}; the mapping is still there, so ask for it again when the cause is gone",
                last.into_iter().rev().collect::<Vec<_>>().join(" | ")
            );
        }
    }
}

/// The lines of a pod's log that tell of a place: lines of the log itself may be JSON as well.
fn places(log: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["place"].is_string() && line["count"].is_u64())
        .collect()
}

async fn log(client: &Client, namespace: &str, job: &str) -> anyhow::Result<String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let mut found = pods.list(&of_job).await?.items;
    found.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
    let Some(last) = found.last() else {
        bail!("Job {job}: its pods are gone");
    };
    Ok(pods.logs(&last.name_any(), &LogParams::default()).await?)
}

#[cfg(test)]
mod tests {
    use super::super::stores::{Content, Store};
    use super::*;
    use serde_json::json;

    #[test]
    fn only_lines_of_places_are_told() {
        let log = r#"{"timestamp":"2026-11-30T09:00:00Z","level":"INFO","message":"erased","target":"millrace_lake"}
not JSON
{"place":"lake: telemetry","count":2,"how":"hours written anew"}
{"level":"WARN","place":7}"#;
        let places = places(log);
        assert_eq!(places.len(), 1, "{places:?}");
        assert_eq!(places[0]["place"], "lake: telemetry");
    }

    #[test]
    fn a_run_is_under_way_until_it_has_ended() {
        let run = |value: Value| serde_json::from_value::<Job>(value).unwrap();
        let ended = |condition: &str| {
            let condition = json!({"type": condition, "status": "True"});
            run(json!({"metadata": {"name": "p-score-1"}, "status": {"conditions": [condition]}}))
        };
        assert!(is_under_way(&run(
            json!({"metadata": {"name": "p-score-1"}})
        )));
        assert!(!is_under_way(&ended("Complete")));
        assert!(!is_under_way(&ended("Failed")));
        assert!(is_under_way(&ended("FailureTarget")));
    }

    #[test]
    fn a_job_has_the_way_to_all_stores() {
        let template: PodTemplateSpec = serde_json::from_value(json!({
            "spec": {"containers": [{"name": "score", "command": ["x"], "args": ["score"],
                "volumeMounts": [{"name": "binding-0", "mountPath": "/bindings/lake"}]}],
                "volumes": [{"name": "binding-0", "secret": {"secretName": "lake"}}]}}))
        .unwrap();
        let mut bound = template;
        bind(&mut bound, "p-mongo-binding");
        let owner = ("hdfs://nn/a/fleet".to_owned(), "p-archive".to_owned());
        let stores = Stores {
            wanted: vec![Store::Lake, Store::Mongodb],
            template: None,
            jobs: Vec::new(),
            content: Content {
                datasets: BTreeSet::from(["hdfs://nn/a/fleet".to_owned()]),
                owners: BTreeSet::from([owner]),
                databases: BTreeSet::from(["fleet=persons".to_owned()]),
            },
        };
        let hires = ["a", "b"].map(str::to_owned);
        let made = job("p", bound, arguments("key", &hires, &stores));
        let spec = made.spec.unwrap().template.spec.unwrap();
        let container = &spec.containers[0];
        let expected = [
            "erase",
            "--driver=key",
            "--hire=a",
            "--hire=b",
            "--without=postgres",
            "--dataset=hdfs://nn/a/fleet",
            "--owner=hdfs://nn/a/fleet=p-archive",
            "--database=fleet=persons",
        ];
        assert_eq!(container.args.as_deref().unwrap(), expected);
        let names: Vec<_> = spec
            .volumes
            .as_ref()
            .unwrap()
            .iter()
            .map(|v| v.name.as_str())
            .collect();
        assert_eq!(names.len(), 2);
        assert_ne!(names[0], names[1]);
        let mounts: Vec<_> = container
            .volume_mounts
            .as_ref()
            .unwrap()
            .iter()
            .map(|m| m.mount_path.as_str())
            .collect();
        assert_eq!(mounts, ["/bindings/lake", "/bindings/p-mongo-binding"]);
    }
}
