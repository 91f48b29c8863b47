//! `millrace erase`: a driver who wants to be forgotten.
//!
//! The gateway alone knows which hires were theirs. These are taken out of the lake, PostgreSQL and MongoDB by a Job in the
//! cluster; then the gateway removes what led to them. What lies in Kafka until its time is over is told.

mod waits;
mod work;

use std::io::{Read as _, Write};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::gateway::Method;
use super::{Gateway, Output, Place, Role, reach, table};
use crate::job::crd::{JobLakeStatus, StreamJob};
use crate::mongo;
use crate::platform::crd::Platform;
use waits::{Waiting, waits};
use work::{arguments, bind, carry_out_alone, job};

/// StreamJobs of a platform that write into its lake, by what their names end in.
const ARCHIVES: [&str; 3] = ["archive", "lake-events", "lake-alerts"];

/// Batch jobs of a platform that know the way to its stores, by what the names of their CronJobs end in.
const BATCH_JOBS: [&str; 2] = ["score", "analyse"];

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
    /// Datasets of the lake, and the users of HDFS that they belong to: nobody else can write there.
    owners: Vec<(String, String)>,
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
            let arguments = arguments(key, &hires, &stores.without, &stores.owners);
            let job = job(&name, template, arguments);
            let runs = BATCH_JOBS.map(|part| format!("{name}-{part}"));
            carry_out_alone(&client, &namespace, &job, &runs).await?
        }
        None => Vec::new(),
    };
    // Last: until here all of it can be done again.
    finish(&gateway, &driver).await?;
    let has_openwhisk = platform.spec.openwhisk.is_some();
    let waits = waits(&client, &namespace, &name, has_openwhisk).await?;
    write(out, place.output, hires.len(), removed, &waits)
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
    for part in BATCH_JOBS {
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
            owners: owners(client, namespace, &name).await?,
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
        owners: Vec::new(),
    })
}

/// Whom the datasets of a platform's lake belong to: each to the user of the job that archives it.
async fn owners(
    client: &Client,
    namespace: &str,
    platform: &str,
) -> anyhow::Result<Vec<(String, String)>> {
    let jobs: Api<StreamJob> = Api::namespaced(client.clone(), namespace);
    let mut owners = Vec::new();
    for part in ARCHIVES {
        let job = jobs.get_opt(&format!("{platform}-{part}")).await?;
        let status = job.and_then(|job| job.status);
        owners.extend(status.and_then(|status| status.lake).and_then(owner));
    }
    Ok(owners)
}

/// The dataset, after which its directory is named, and its user.
fn owner(lake: JobLakeStatus) -> Option<(String, String)> {
    let (_, dataset) = lake.uri.rsplit_once('/')?;
    Some((dataset.to_owned(), lake.user))
}

fn mongo_secret(platform: &Platform) -> Option<String> {
    let mongo = platform.spec.mongo.as_ref()?;
    Some(match &mongo.external {
        Some(external) => external.binding_secret.clone(),
        None => mongo::binding_name(&format!("{}-mongo", platform.name_any())),
    })
}

fn write(
    out: &mut impl Write,
    output: Output,
    hires: usize,
    mut removed: Vec<Value>,
    waits: &[Waiting],
) -> anyhow::Result<()> {
    // By the gateway, as its last step.
    removed.push(json!({"place": "kafka: hires, drivers", "count": hires + 1,
        "how": "keys removed; older records go with the next compaction"}));
    if output == Output::Json {
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
        .collect();
    table::write(out, &["PLACE", "COUNT", "WHAT BECAME OF IT"], &rows)?;
    writeln!(out)?;
    let rows: Vec<Vec<String>> = waits
        .iter()
        .map(|one| {
            let latest = one.latest.clone().unwrap_or_default();
            vec![one.place.clone(), latest, one.until.clone()]
        })
        .collect();
    table::write(out, &["STILL NAMES HIRES", "GONE BY", "HOW LONG"], &rows)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_belongs_to_the_user_of_its_archive() {
        let lake = json!({"uri": "hdfs://h-namenode-0.ns.svc:8020/millrace/lake/telemetry", "user": "p-archive"});
        let owner = owner(serde_json::from_value(lake).unwrap());
        let expected = ("telemetry".to_owned(), "p-archive".to_owned());
        assert_eq!(owner, Some(expected));
    }

    #[test]
    fn the_report_tells_what_went_and_what_waits() {
        let removed =
            vec![json!({"place": "lake: telemetry", "count": 3, "how": "hours written anew"})];
        let waits = [Waiting {
            place: "kafka: telemetry".to_owned(),
            until: "7 days".to_owned(),
            latest: Some("2026-12-14".to_owned()),
        }];
        let told = |output| {
            let mut out = Vec::new();
            write(&mut out, output, 2, removed.clone(), &waits).unwrap();
            String::from_utf8(out).unwrap()
        };
        let table = told(Output::Table);
        for part in [
            "lake: telemetry",
            "hours written anew",
            "kafka: hires, drivers",
            "kafka: telemetry",
            "7 days",
            "2026-12-14",
        ] {
            assert!(table.contains(part), "{table}");
        }
        let report: Value = serde_json::from_str(&told(Output::Json)).unwrap();
        let removed = report["removed"].as_array().unwrap();
        assert_eq!(removed.len(), 2, "{report}");
        assert_eq!(removed[1]["place"], "kafka: hires, drivers");
        assert_eq!(removed[1]["count"], 3);
        assert_eq!(report["waits"][0]["latest"], "2026-12-14");
    }
}
