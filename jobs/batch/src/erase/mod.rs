//! `erase`: hires of a driver who wants to be forgotten, out of the lake, PostgreSQL and MongoDB.
//!
//! Each store is done on its own and may be done again: what is gone is gone. What leads from a pseudonym to the driver is
//! removed last, by the gateway, so that a run that broke off can be made again.

mod documents;
mod store;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use millrace_lake::layout::Layout;
use millrace_lake::reader;
use millrace_lake::{Storage, erase};
use millrace_settings::{Bindings, DocumentsArgs, LakeArgs};
use serde::Serialize;

use crate::postgres::PostgresArgs;

/// Flags of `erase`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the lake is.
    #[command(flatten)]
    lake: LakeArgs,
    /// Where PostgreSQL is.
    #[command(flatten)]
    postgres: PostgresArgs,
    /// Where MongoDB is.
    #[command(flatten)]
    documents: DocumentsArgs,
    /// Folder of service bindings: one sub-folder each, with files type, host, password, …
    #[arg(long, env = "SERVICE_BINDING_ROOT", value_name = "DIR")]
    service_binding_root: Option<PathBuf>,
    /// The key of the driver, as the gateway tells it
    #[arg(long, value_name = "KEY")]
    driver: String,
    /// A pseudonym of theirs; may be given several times
    #[arg(long, value_name = "PSEUDONYM")]
    hire: Vec<String>,
    /// A dataset of the lake that names hires; may be given several times
    #[arg(long, value_name = "NAME", default_values = ["telemetry", "vehicle-events", "alerts"])]
    dataset: Vec<String>,
    /// The user of HDFS that a dataset belongs to, where that is another one than the lake's; may be given several times
    #[arg(long, value_name = "DATASET=USER", value_parser = owner)]
    owner: Vec<(String, String)>,
    /// Stores that there are not; may be given several times
    #[arg(long, value_enum, value_name = "STORE")]
    without: Vec<Store>,
}

impl Args {
    /// The lake, as the user who may write a dataset.
    fn lake_of(&self, dataset: &str) -> LakeArgs {
        let mut lake = self.lake.clone();
        if let Some((_, user)) = self.owner.iter().find(|(of, _)| of == dataset) {
            lake.hdfs_user = Some(user.clone());
        }
        lake
    }
}

fn owner(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((dataset, user)) if !dataset.is_empty() && !user.is_empty() => {
            Ok((dataset.to_owned(), user.to_owned()))
        }
        _ => Err("is not DATASET=USER; write for example telemetry=archive".to_owned()),
    }
}

/// A store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Store {
    /// The lake
    Lake,
    /// PostgreSQL
    Postgres,
    /// MongoDB
    Mongodb,
}

/// What was removed somewhere. One line of JSON each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Where.
    pub place: String,
    /// So many rows, documents or files do not name the driver or their hires any more.
    pub count: u64,
    /// What became of them.
    pub how: &'static str,
}

/// Does what is asked, and prints what was removed where.
///
/// # Errors
/// A store cannot be used; those before it are done, and doing them again does no harm.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let hires: BTreeSet<String> = args
        .hire
        .iter()
        .filter(|hire| !hire.is_empty())
        .cloned()
        .collect();
    let bindings = || match &args.service_binding_root {
        Some(root) => Bindings::read(root),
        None => Ok(Bindings::default()),
    };
    let there = |store| !args.without.contains(&store);
    let mut removed = Vec::new();
    if there(Store::Lake) {
        for dataset in &args.dataset {
            let storage = args.lake_of(dataset).open(&bindings()?, None, None)?;
            removed.push(of_lake(&storage, dataset, &hires).await.with_context(|| {
                format!("the lake's dataset {dataset}; what was done stays done, run it again")
            })?);
        }
    }
    if there(Store::Postgres) {
        let mut client = args
            .postgres
            .connect(bindings)
            .await
            .context("PostgreSQL")?;
        removed.extend(
            store::erase(&mut client, &hires)
                .await
                .context("PostgreSQL")?,
        );
    }
    if there(Store::Mongodb) {
        let access = args.documents.access(&bindings()?, None)?;
        let database = access.database().await?;
        removed.extend(
            documents::erase(&database, &args.driver, &hires)
                .await
                .context("MongoDB")?,
        );
    }
    for line in removed {
        println!("{}", serde_json::to_string(&line)?);
    }
    Ok(())
}

async fn of_lake<S: Storage>(
    storage: &S,
    dataset: &str,
    hires: &BTreeSet<String>,
) -> anyhow::Result<Removed> {
    let layout = Layout::new(dataset)?;
    let mut hours = 0;
    if !hires.is_empty() {
        for hour in reader::hours(storage, layout.dataset()).await? {
            hours += u64::from(erase::erase(storage, &layout, hour, hires).await?.is_some());
        }
    }
    Ok(Removed {
        place: format!("lake: {dataset}"),
        count: hours,
        how: "hours written anew: rows stay and name no hire; former files are removed, not in the trash",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_dataset_is_written_as_its_owner() {
        let given = ["x", "--driver=d", "--hdfs-user=score"];
        let owners = ["--owner=telemetry=archive", "--owner=alerts=lake-alerts"];
        let cli = Cli::try_parse_from(given.into_iter().chain(owners)).unwrap();
        let user = |dataset: &str| cli.args.lake_of(dataset).hdfs_user.unwrap();
        assert_eq!(user("telemetry"), "archive");
        assert_eq!(user("alerts"), "lake-alerts");
        assert_eq!(user("vehicle-events"), "score");
        for wrong in ["telemetry", "=archive", "telemetry="] {
            assert!(
                owner(wrong).unwrap_err().contains("DATASET=USER"),
                "{wrong}"
            );
        }
    }
}
