//! `millrace erase`: a driver who wants to be forgotten.
//!
//! The gateway alone knows which hires were theirs. These are taken out of the lake, PostgreSQL and MongoDB by a Job in the
//! cluster; then the gateway removes what led to them. What lies in Kafka until its time is over is told.

use std::io::{Read as _, Write};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::api::{DeleteParams, ListParams, LogParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use millrace_contract::topics;
use serde_json::{Value, json};

use super::gateway::Method;
use super::{Gateway, Output, Place, Role, reach, table};
use crate::mongo;
use crate::platform::crd::Platform;
use crate::pods;
use crate::topic::crd::KafkaTopic;

const EVERY: Duration = Duration::from_secs(2);
/// A lake of years is read whole.
const LONGEST_SECONDS: i64 = 24 * 3600;
/// Topics that name hires or drivers until their time is over.
const WAITING: [&str; 7] = [
    topics::TELEMETRY,
    topics::VEHICLE_EVENTS,
    topics::ALERTS,
    topics::HIRE_SCORES,
    topics::OFFERS,
    topics::DEAD_LETTERS,
    topics::AUDIT,
];

/// Takes out of all stores what leads to a person
#[derive(Clone, Debug, Args)]
pub struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// A driver: which hires were theirs is not known any more, anywhere
    Driver {
        /// The id by which telemetry names the driver; `-` reads it from standard input, which no history of a shell keeps
        id: String,
        /// Do it; without, it is only told what would be done
        #[arg(long)]
        yes: bool,
    },
}

/// The stores of a platform, and where a Job gets its way to them from.
struct Stores {
    template: Option<PodTemplateSpec>,
    without: Vec<&'static str>,
}

/// Does it.
///
/// # Errors
/// The gateway or Kubernetes refuses, or a store cannot be used: then what is done is done, and it can be asked for again.
pub async fn run(place: &Place, command: Command, out: &mut impl Write) -> anyhow::Result<()> {
    let What::Driver { id, yes } = command.what;
    let id = if id == "-" { from_input()? } else { id };
    let gateway = reach::gateway(place, Role::Administrator).await?;
    let driver = json!({"driver": id});
    let found = gateway
        .send(Method::Post, "/v1/erasures/look-up", &driver)
        .await?;
    let hires: Vec<&str> = texts(&found["hires"]);
    let key = found["driver"].as_str().unwrap_or_default();
    if !yes {
        writeln!(
            out,
            "{} hires of this driver are known; with --yes they are erased",
            hires.len()
        )?;
        return Ok(());
    }
    let (client, namespace) = reach::client(place).await?;
    let name = reach::platform(&client, &namespace, place.platform.as_deref()).await?;
    let platform: Platform = Api::namespaced(client.clone(), &namespace)
        .get(&name)
        .await?;
    let stores = stores(&client, &namespace, &platform).await?;
    let removed = match stores.template {
        Some(template) => {
            let job = job(&name, template, arguments(key, &hires, &stores.without));
            carry_out(&client, &namespace, job).await?
        }
        None => Vec::new(),
    };
    // Last: until here all of it can be done again.
    finish(&gateway, &driver).await?;
    let waits = waits(&client, &namespace, &name).await?;
    write(out, place.output, hires.len(), &removed, &waits)
}

fn from_input() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

async fn finish(gateway: &Gateway, driver: &Value) -> anyhow::Result<()> {
    let finished = gateway
        .send(Method::Post, "/v1/erasures/finish", driver)
        .await;
    finished.context("everything else is erased; ask for it again to remove the last of it")?;
    Ok(())
}

/// The pod that has the way to the platform's stores: that of a batch job where there is one, else that of materialize.
async fn stores(client: &Client, namespace: &str, platform: &Platform) -> anyhow::Result<Stores> {
    let name = platform.name_any();
    let cron_jobs: Api<CronJob> = Api::namespaced(client.clone(), namespace);
    for part in ["score", "analyse"] {
        let Some(cron_job) = cron_jobs.get_opt(&format!("{name}-{part}")).await? else {
            continue;
        };
        let template = cron_job.spec.and_then(|spec| spec.job_template.spec);
        let Some(mut template) = template.map(|spec| spec.template) else {
            continue;
        };
        let without = match mongo_secret(platform) {
            Some(secret) => {
                bind(&mut template, &secret);
                Vec::new()
            }
            None => vec!["mongodb"],
        };
        return Ok(Stores {
            template: Some(template),
            without,
        });
    }
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let materialize = deployments.get_opt(&format!("{name}-materialize")).await?;
    if platform.spec.archive.is_some() {
        bail!(
            "{name}: has a lake, and neither spec.score nor spec.analysts, whose Jobs know the way to it; add one of them"
        );
    }
    Ok(Stores {
        template: materialize.and_then(|one| Some(one.spec?.template)),
        without: vec!["lake", "postgres"],
    })
}

fn mongo_secret(platform: &Platform) -> Option<String> {
    let mongo = platform.spec.mongo.as_ref()?;
    Some(match &mongo.external {
        Some(external) => external.binding_secret.clone(),
        None => mongo::binding_name(&format!("{}-mongo", platform.name_any())),
    })
}

/// Mounts one binding more.
fn bind(template: &mut PodTemplateSpec, secret: &str) {
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

fn arguments(driver: &str, hires: &[&str], without: &[&str]) -> Vec<String> {
    let mut arguments = vec!["erase".to_owned(), format!("--driver={driver}")];
    arguments.extend(hires.iter().map(|hire| format!("--hire={hire}")));
    arguments.extend(without.iter().map(|store| format!("--without={store}")));
    arguments
}

fn job(platform: &str, mut template: PodTemplateSpec, arguments: Vec<String>) -> Job {
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

/// Gives what the Job says of each place.
async fn carry_out(client: &Client, namespace: &str, job: Job) -> anyhow::Result<Vec<Value>> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let name = jobs.create(&PostParams::default(), &job).await?.name_any();
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
        let status = jobs.get(name).await?.status.unwrap_or_default();
        let is = |kind: &str| {
            let conditions = status.conditions.iter().flatten();
            conditions
                .into_iter()
                .any(|c| c.type_ == kind && c.status == "True")
        };
        if is("Complete") {
            let log = log(client, namespace, name).await?;
            return Ok(log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect());
        }
        if is("Failed") {
            let log = log(client, namespace, name).await.unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(3).collect();
            bail!(
                "Job {name} failed: {}; the mapping is still there, so ask for it again when the cause is gone",
                last.into_iter().rev().collect::<Vec<_>>().join(" | ")
            );
        }
    }
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

/// Topics that still name hires, and for how long.
async fn waits(
    client: &Client,
    namespace: &str,
    platform: &str,
) -> anyhow::Result<Vec<(String, String)>> {
    let api: Api<KafkaTopic> = Api::namespaced(client.clone(), namespace);
    let mut waits = Vec::new();
    for topic in WAITING {
        let Some(found) = api.get_opt(&format!("{platform}-{topic}")).await? else {
            continue;
        };
        let retention = found.spec.config.get("retention.ms");
        let days = retention
            .and_then(|ms| ms.parse::<i64>().ok())
            .map(|ms| ms / 86_400_000);
        let until = match days {
            Some(days) if days >= 0 => {
                format!("{days} days from when it was written, at the longest")
            }
            _ => "what the broker keeps it for".to_owned(),
        };
        waits.push((topic.to_owned(), until));
    }
    Ok(waits)
}

fn write(
    out: &mut impl Write,
    output: Output,
    hires: usize,
    removed: &[Value],
    waits: &[(String, String)],
) -> anyhow::Result<()> {
    if output == Output::Json {
        let waits: Vec<Value> = waits
            .iter()
            .map(|(topic, until)| json!({"topic": topic, "until": until}))
            .collect();
        let report = json!({"hires": hires, "removed": removed, "waits": waits});
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = removed
        .iter()
        .map(|line| {
            ["place", "count", "how"]
                .map(|name| table::cell(&line[name]))
                .to_vec()
        })
        .chain([vec![
            "kafka: hires, drivers".to_owned(),
            (hires + 1).to_string(),
            "keys removed; older records go with the next compaction".to_owned(),
        ]])
        .collect();
    table::write(out, &["PLACE", "COUNT", "WHAT BECAME OF IT"], &rows)?;
    writeln!(out)?;
    let rows: Vec<Vec<String>> = waits
        .iter()
        .map(|(topic, until)| vec![format!("kafka: {topic}"), until.clone()])
        .collect();
    table::write(out, &["STILL NAMES HIRES", "FOR"], &rows)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_the_way_to_all_stores() {
        let template: PodTemplateSpec = serde_json::from_value(json!({
            "spec": {"containers": [{"name": "score", "command": ["x"], "args": ["score"],
                "volumeMounts": [{"name": "binding-0", "mountPath": "/bindings/lake"}]}],
                "volumes": [{"name": "binding-0", "secret": {"secretName": "lake"}}]}}))
        .unwrap();
        let mut bound = template;
        bind(&mut bound, "p-mongo-binding");
        let made = job("p", bound, arguments("key", &["a", "b"], &[]));
        let spec = made.spec.unwrap().template.spec.unwrap();
        let container = &spec.containers[0];
        let expected = ["erase", "--driver=key", "--hire=a", "--hire=b"];
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

    #[test]
    fn the_report_tells_what_went_and_what_waits() {
        let removed =
            [json!({"place": "lake: telemetry", "count": 3, "how": "hours written anew"})];
        let waits = [("telemetry".to_owned(), "7 days".to_owned())];
        let mut out = Vec::new();
        write(&mut out, Output::Table, 2, &removed, &waits).unwrap();
        let text = String::from_utf8(out).unwrap();
        for part in [
            "lake: telemetry",
            "hours written anew",
            "kafka: telemetry",
            "7 days",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
