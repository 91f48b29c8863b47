//! `archive`: a topic to Parquet files in the lake, each record exactly once.
//!
//! The group shares the partitions out; where each goes on is told by the lake's commit records, never by the group.
//! A partition's records go to one open file per hour of event time; when they are old or large enough, all of them
//! are committed together ([`millrace_lake::commit`]). Two processes that own a partition at once, for as long as one
//! does not know that it was given away, do no harm: one of them is fenced.

mod before;
mod budget;
mod chunk;
mod committer;
mod epoch;
pub(crate) mod halt;
mod metrics;
mod partition;
mod positions;
mod tries;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use millrace_lake::Storage;
use millrace_lake::commit::{self, Step};
use millrace_lake::layout::Layout;
use millrace_lake::rows::Shape;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

pub use millrace_contract::archive::ArchiveConfig;

use crate::connect::Lookup;
use crate::lake::LakeArgs;
use crate::server::{self, Health};
use crate::settings::{Common, SettingsError};

const TOPIC: &str = "topic";
const LAKE: &str = "lake";

/// Flags of `archive`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What every job takes.
    #[command(flatten)]
    pub common: Common,
    /// Where the lake is.
    #[command(flatten)]
    pub lake: LakeArgs,
    /// Stands still after this step of the commit protocol: for tests
    #[arg(
        long,
        hide = true,
        env = "MILLRACE_ARCHIVE_HALT_AFTER",
        value_name = "STEP"
    )]
    pub halt_after: Option<String>,
    /// Stands still only as long as this file is there: for tests
    #[arg(long, hide = true, value_name = "FILE")]
    pub halt_file: Option<PathBuf>,
}

/// Runs until `stop` is cancelled.
///
/// # Errors
/// Settings that cannot be used, or a consumer that is of no use any more.
pub async fn run(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let config: ArchiveConfig = args.common.load_config()?;
    config.validate()?;
    let layout = Layout::new(config.dataset())?;
    let halt = halt(args.halt_after.as_deref(), args.halt_file)?;
    let bindings = args.common.bindings()?;
    let kafka = args.common.kafka(&bindings)?;
    let storage = args.lake.open(
        &bindings,
        Some(config.storage_timeout.0),
        config.replication,
    )?;
    let health = Health::new();
    health.waiting(TOPIC, "not looked at yet");
    let mut registry = Registry::default();
    let ahead = budget::Ahead::new(config.ahead_bytes);
    let memory = budget::Memory::new(config.memory_bytes);
    let metrics = metrics::Metrics::register(&mut registry, &ahead, &memory);
    let client_id = format!("millrace-{}", config.group);
    let address =
        server::serve(args.common.metrics, health.clone(), registry, stop.clone()).await?;
    tracing::info!(%address, login = ?kafka.login(), lake = ?storage, topic = config.topic, "archive starts");

    tokio::spawn(kafka.clone().follow(health.clone(), stop.clone()));
    let lookup = Lookup::new(&kafka, &client_id)?;
    if !wait_for_lake(&storage, &layout, &health, &stop).await?
        || !lookup
            .wait_for(&[&config.topic], &health, TOPIC, &stop)
            .await
    {
        return Ok(());
    }
    let shared = Arc::new(partition::Shared {
        plan: Arc::new(epoch::Plan {
            storage,
            layout,
            shape: Shape::of_topic(&config.topic),
            row_group_bytes: config.row_group_bytes,
            memory,
        }),
        config,
        lookup,
        positions: positions::Positions::default(),
        metrics,
        health,
        halt,
    });
    let worker = worker::Worker {
        shared,
        ahead,
        kafka,
        client_id,
        runtime: tokio::runtime::Handle::current(),
        stop,
    };
    let (done, outcome) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("archive".to_owned())
        .spawn(move || {
            // Nobody waits for the outcome only when the whole process ends.
            let _ = done.send(worker.run());
        })?;
    outcome
        .await
        .context("the archive thread ended without an outcome")?
        .context("archive cannot go on")
}

fn halt(step: Option<&str>, while_there: Option<PathBuf>) -> Result<halt::Halt, SettingsError> {
    let Some(step) = step else {
        return Ok(halt::Halt::default());
    };
    let known = halt::Halt::parse(step, while_there);
    let of_a_commit = known.filter(|_| step != Step::Withdraw.name());
    of_a_commit.ok_or_else(|| SettingsError::Unusable {
        name: "--halt-after".to_owned(),
        problem: format!("{step} is no step"),
        cure: "name one of stage, close, seal, commit, publish, settle".to_owned(),
    })
}

// A lake that is away comes back. One that this user may not write into has to be given to it by somebody: the process ends
// with the words for that, which Kubernetes shows.
async fn wait_for_lake(
    storage: &impl Storage,
    layout: &Layout,
    health: &Health,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let mut told = String::new();
    loop {
        let error = match commit::may_write(storage, layout).await {
            Ok(()) => {
                health.ready(LAKE);
                return Ok(true);
            }
            Err(error) if error.is_refused() => return Err(error).context("the lake"),
            Err(error) => error,
        };
        let problem = error.to_string();
        if problem != told {
            tracing::warn!(problem, "waiting for the lake");
            told.clone_from(&problem);
        }
        health.waiting(LAKE, problem);
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}
