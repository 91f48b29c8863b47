//! `erase`: hires of a driver who wants to be forgotten, out of the lake, PostgreSQL and MongoDB.
//!
//! Each store is done on its own and may be done again: what is gone is gone. What leads from a pseudonym to the driver is
//! removed last, by the gateway, so that a run that broke off can be made again.

mod datasets;
mod documents;
mod store;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use datasets::{Dataset, Given};
use documents::Names;
use millrace_lake::layout::Layout;
use millrace_lake::{Storage, commit, erase, reader};
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
    /// Datasets, and whose they are
    #[command(flatten)]
    datasets: Given,
    /// A database of documents and that of what leads to persons, NAME-identity when it is not given; that of the binding where
    /// NAME is empty, and when none is given. May be given several times
    #[arg(long, value_name = "NAME[=IDENTITY]", value_parser = Names::parse)]
    database: Vec<Names>,
    /// Stores that there are not; may be given several times
    #[arg(long, value_enum, value_name = "STORE")]
    without: Vec<Store>,
}

impl Args {
    /// The lake of a dataset, as the user who may write it.
    fn lake_of(&self, dataset: &Dataset) -> LakeArgs {
        let mut lake = self.lake.clone();
        if let Some(address) = &dataset.lake {
            lake.lake = Some(address.clone());
        }
        if let Some(owner) = &dataset.owner {
            lake.hdfs_user = Some(owner.clone());
        }
        lake
    }

    /// The databases that are gone through.
    fn databases(&self) -> Vec<Names> {
        match self.database.as_slice() {
            [] => vec![Names::default()],
            named => named.to_vec(),
        }
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
        let bindings = bindings()?;
        let lake = args.lake.open(&bindings, None, None)?;
        let found = reader::datasets(&lake).await.context("the lake")?;
        let address = args.lake.lake.as_deref();
        let datasets = args.datasets.all(found, address);
        if datasets.is_empty() {
            removed.push(Removed {
                place: format!("lake: {}", address.unwrap_or("that of the binding")),
                count: 0,
                how: "no dataset lies there",
            });
        }
        for dataset in datasets {
            let storage = args.lake_of(&dataset).open(&bindings, None, None)?;
            let erased = of_lake(&storage, &dataset, &args.driver, &hires).await;
            removed.push(erased.with_context(|| {
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
        let bindings = bindings()?;
        for names in args.databases() {
            let named = names.documents.as_deref();
            let access = args.documents.access(&bindings, named)?;
            let database = access.database().await?;
            let erased = documents::erase(&database, &names, &args.driver, &hires).await;
            removed.extend(erased.context("MongoDB")?);
        }
    }
    for line in removed {
        println!("{}", serde_json::to_string(&line)?);
    }
    Ok(())
}

async fn of_lake<S: Storage>(
    storage: &S,
    dataset: &Dataset,
    driver: &str,
    hires: &BTreeSet<String>,
) -> anyhow::Result<Removed> {
    let layout = Layout::new(&dataset.name)?;
    let mut hours = 0;
    if !hires.is_empty() {
        // What an archive has committed and not published, and perhaps never will, since it is gone.
        commit::publish_committed(storage, &layout).await?;
        // Archives of offers and of the audit name the driver, too.
        let mut names = hires.clone();
        names.insert(driver.to_owned());
        for hour in reader::hours(storage, layout.dataset()).await? {
            hours += u64::from(
                erase::erase(storage, &layout, hour, &names)
                    .await?
                    .is_some(),
            );
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
    use millrace_lake::storage::Entry;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(more: &[&str]) -> Args {
        let given = ["x", "--driver=d", "--lake=hdfs://nn/a", "--hdfs-user=score"];
        let cli = Cli::try_parse_from(given.iter().chain(more)).unwrap();
        cli.args
    }

    #[test]
    fn a_dataset_is_written_as_its_owner_where_it_lies() {
        let args = args(&[
            "--owner=telemetry=archive",
            "--dataset=hdfs://nn/b/own",
            "--dataset=new",
        ]);
        let found = |name: &str, owner: &str| Entry {
            name: name.to_owned(),
            folder: true,
            bytes: 0,
            replication: None,
            owner: Some(owner.to_owned()),
        };
        let found = vec![found("telemetry", "somebody"), found("left", "gone")];
        let all = args.datasets.all(found, args.lake.lake.as_deref());
        let as_opened = |dataset: &Dataset| {
            let lake = args.lake_of(dataset);
            let (address, user) = (lake.lake.unwrap(), lake.hdfs_user.unwrap());
            format!("{address} {} {user}", dataset.name)
        };
        let opened: Vec<String> = all.iter().map(as_opened).collect();
        let expected = [
            "hdfs://nn/a left gone",
            "hdfs://nn/a new score",
            "hdfs://nn/a telemetry archive",
            "hdfs://nn/b own score",
        ];
        assert_eq!(opened, expected);
    }

    #[test]
    fn without_a_name_it_is_the_database_of_the_binding() {
        assert_eq!(args(&[]).databases(), [Names::default()]);
        let named = args(&["--database=", "--database=fleet=persons"]).databases();
        assert_eq!(named[0], Names::default());
        assert_eq!(named[1].documents.as_deref(), Some("fleet"));
        assert_eq!(named[1].identity.as_deref(), Some("persons"));
    }
}
