//! `millrace erase`: a driver who wants to be forgotten.
//!
//! The gateway alone knows which hires were theirs. What names these and is still on its way into a store is waited for; then a
//! Job in the cluster takes them out of the lake, PostgreSQL and MongoDB, and the gateway removes what led to them. What lies in
//! Kafka until its time is over is told.

mod pending;
mod stores;
mod waits;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::{Value, json};

use super::gateway::Method;
use super::{Gateway, Output, Place, Role, reach, table};
use crate::platform::crd::Platform;
use pending::Readers;
use stores::{BATCH_JOBS, Store, Stores, left_alone};
use waits::{Waiting, waits};
use work::{Runs, arguments, carry_out, job};

/// Who drives all the time would be gone after for ever.
const MOST_ROUNDS: usize = 3;

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
        /// A store that is left alone: it holds nothing of drivers, or they were erased there by hand; may be given several times
        #[arg(long, value_enum, value_name = "STORE")]
        without: Vec<Store>,
    },
}

/// What the gateway tells when an erasure begins.
#[derive(Debug, Deserialize)]
struct Begun {
    /// The key of the driver.
    driver: String,
    /// Their hires, each with what the gateway wants to be told of it in the end.
    hires: BTreeMap<String, String>,
}

/// What was erased.
#[derive(Debug, Default)]
struct Erased {
    hires: BTreeSet<String>,
    /// Places, with how much was removed there, and how.
    removed: Vec<Value>,
}

/// Everything that an erasure needs of a platform.
struct Work<'a> {
    client: &'a Client,
    namespace: &'a str,
    platform: &'a str,
    gateway: &'a Gateway,
    stores: Stores,
    readers: Readers,
}

/// Does it.
///
/// # Errors
/// The gateway or Kubernetes refuses, or a store cannot be used: then what is done is done, and it can be asked for again.
pub async fn run(place: &Place, command: Command, out: &mut impl Write) -> anyhow::Result<()> {
    let What::Driver { id, yes, without } = command.what;
    let id = if id == "-" { from_input()? } else { id };
    let gateway = reach::gateway(place, Role::Administrator).await?;
    if !yes {
        let found = gateway
            .send(Method::Post, "/v1/erasures/look-up", &json!({"driver": id}))
            .await?;
        let hires = found["hires"].as_array().map_or(0, Vec::len);
        writeln!(
            out,
            "{hires} hires of this driver are known; with --yes they are erased"
        )?;
        return Ok(());
    }
    let (client, namespace) = reach::client(place).await?;
    let name = reach::platform(&client, &namespace, place.platform.as_deref()).await?;
    let platform: Platform = Api::namespaced(client.clone(), &namespace)
        .get(&name)
        .await?;
    let stores = Stores::find(&client, &namespace, &platform, &without).await?;
    let readers = pending::readers(&client, &namespace, &platform, &stores).await?;
    let work = Work {
        client: &client,
        namespace: &namespace,
        platform: &name,
        gateway: &gateway,
        stores,
        readers,
    };
    let erased = work.erase(&id).await?;
    let has_openwhisk = platform.spec.openwhisk.is_some();
    let mut waits = waits(&client, &namespace, &name, has_openwhisk).await?;
    waits.extend(left_alone(&platform.spec, &without).map(|store| Waiting {
        place: store.to_owned(),
        until: format!("left alone, as --without {store} asks for"),
        latest: None,
    }));
    write(
        out,
        place.output,
        erased.hires.len(),
        erased.removed,
        &waits,
    )
}

impl Work<'_> {
    /// Goes round until no hire is left that was driven meanwhile, and no run of a batch job began meanwhile.
    async fn erase(&self, id: &str) -> anyhow::Result<Erased> {
        let runs = BATCH_JOBS.map(|part| format!("{}-{part}", self.platform));
        let runs = Runs::new(self.client, self.namespace, runs.to_vec());
        let mut erased = Erased::default();
        for _ in 0..MOST_ROUNDS {
            let known = runs.ended().await?;
            let begun = begin(self.gateway, id).await?;
            erased.hires.extend(begun.hires.keys().cloned());
            // Of a hire it is known before anything else of it is written.
            if !begun.hires.is_empty() {
                self.readers.wait(self.gateway).await?;
            }
            if let Some(template) = &self.stores.template {
                // One may have begun while others were waited for.
                runs.ended().await?;
                let arguments = arguments(&begun.driver, begun.hires.keys(), &self.stores);
                let job = job(self.platform, template.clone(), arguments);
                let removed = carry_out(self.client, self.namespace, &job).await?;
                add(&mut erased.removed, removed);
                if runs.has_others(&known).await? {
                    eprintln!("once more: a run of a batch job began meanwhile");
                    continue;
                }
            }
            // Last: until here all of it can be done again.
            let left = finish(self.gateway, id, &begun.hires).await?;
            if left == 0 {
                return Ok(erased);
            }
            eprintln!("once more: {left} hires of this driver are new, or were driven meanwhile");
        }
        bail!(
            "in each of {MOST_ROUNDS} rounds a hire of this driver was driven, or a run of a batch job began: what is older is erased, and the mapping was kept, for without it the rest could not be found; ask for it again when the hire is over"
        )
    }
}

fn from_input() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

async fn begin(gateway: &Gateway, id: &str) -> anyhow::Result<Begun> {
    let driver = json!({"driver": id});
    let begun = gateway
        .send(Method::Post, "/v1/erasures/begin", &driver)
        .await
        .context("it did not begin, and the mapping was kept; a gateway that answers 404 is older than this program: update it")?;
    serde_json::from_value(begun).context("the gateway's answer to the begin of an erasure")
}

/// Gives how many hires are left, of which nothing was removed.
async fn finish(
    gateway: &Gateway,
    id: &str,
    hires: &BTreeMap<String, String>,
) -> anyhow::Result<usize> {
    let erased = json!({"driver": id, "hires": hires});
    let finished = gateway
        .send(Method::Post, "/v1/erasures/finish", &erased)
        .await
        .context("everything else is erased; ask for it again to remove the last of it")?;
    let left = finished["left"].as_array();
    Ok(left
        .context("the gateway's answer to the end of an erasure")?
        .len())
}

/// Adds what a further Job removed to what those before it did.
fn add(removed: &mut Vec<Value>, again: Vec<Value>) {
    for line in again {
        let mut known = removed.iter_mut();
        match known.find(|known| known["place"] == line["place"]) {
            Some(known) => {
                let counts = [&known["count"], &line["count"]];
                let count: u64 = counts.into_iter().filter_map(Value::as_u64).sum();
                known["count"] = json!(count);
            }
            None => removed.push(line),
        }
    }
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
    use super::super::gateway::tests::{Exchange, gateway};
    use super::*;

    fn answers(asked: &'static str, answer: Value) -> Gateway {
        gateway(vec![Exchange {
            asked,
            status: "200 OK",
            next: None,
            answer,
        }])
    }

    #[tokio::test]
    async fn what_began_is_told_in_the_end() {
        let answer = json!({"driver": "key", "hires": {"a": "0-17"}});
        let gateway = answers("POST /v1/erasures/begin", answer);
        let begun = begin(&gateway, "D-1").await.unwrap();
        assert_eq!(begun.driver, "key");
        let hires = BTreeMap::from([("a".to_owned(), "0-17".to_owned())]);
        assert_eq!(begun.hires, hires);
        for (left, count) in [(json!([]), 0), (json!(["a", "b"]), 2)] {
            let answer = json!({"driver": "key", "hires": 0, "left": left});
            let gateway = answers("POST /v1/erasures/finish", answer);
            assert_eq!(finish(&gateway, "D-1", &hires).await.unwrap(), count);
        }
        // One that does not say what is left has not looked.
        let gateway = answers("POST /v1/erasures/finish", json!({"hires": 1}));
        assert!(finish(&gateway, "D-1", &hires).await.is_err());
    }

    #[test]
    fn what_several_jobs_removed_in_a_place_is_one_line() {
        let line = |place: &str, count: u64| json!({"place": place, "count": count, "how": "gone"});
        let mut removed = vec![line("lake: telemetry", 3), line("mongodb: hires", 2)];
        add(
            &mut removed,
            vec![line("lake: telemetry", 1), line("lake: alerts", 0)],
        );
        let expected = [
            line("lake: telemetry", 4),
            line("mongodb: hires", 2),
            line("lake: alerts", 0),
        ];
        assert_eq!(removed, expected);
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
