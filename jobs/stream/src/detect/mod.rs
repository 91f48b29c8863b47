//! `detect`: telemetry to alerts, by rules and trends per vehicle.
//!
//! State, alerts and consumer offsets are written in one Kafka transaction; on assignment the state of a
//! partition is read back before its telemetry is. So a process may die at any point, and readers of committed
//! records see every alert once.

mod batch;
mod config;
mod engine;
mod metrics;
mod rules;
mod states;
mod worker;
mod zone_files;

use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

pub use config::DetectConfig;
pub use zone_files::ZonesConfig;

use crate::connect::{Access, ConnectError, Lookup};
use crate::server::{self, Health};
use crate::settings::Common;

const TOPICS: &str = "topics";

/// Flags of `detect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What every job takes.
    #[command(flatten)]
    pub common: Common,
    /// Name of this process within the group, the same after a restart; the host's name when not given
    #[arg(long, env = "MILLRACE_INSTANCE", value_name = "NAME")]
    pub instance: Option<String>,
}

/// Runs until `stop` is cancelled.
///
/// # Errors
/// Settings that cannot be used, or a producer that another process keeps fencing.
pub async fn run(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let (source, config, loaded) = rules::Source::open(args.common.config_file())?;
    let access = args.common.kafka(&args.common.bindings()?)?;
    let instance = match args.instance {
        Some(instance) => instance,
        None => host_name().context("the host's name cannot be read; give --instance NAME")?,
    };
    let health = Health::new();
    health.waiting(TOPICS, "not looked at yet");
    let mut registry = Registry::default();
    let metrics = metrics::Metrics::register(&mut registry);
    metrics.loaded(loaded.zones);
    if let Some(why) = &loaded.refused {
        tracing::error!(%why, "detect starts without zones, until they can be used");
        metrics.rejected();
    }
    let address =
        server::serve(args.common.metrics, health.clone(), registry, stop.clone()).await?;
    tracing::info!(%address, login = ?access.login(), instance, group = config.group, zones = loaded.zones, "detect starts");

    tokio::spawn(access.clone().follow(health.clone(), stop.clone()));
    if !wait_for_topics(&config, &access, &health, &stop).await? {
        return Ok(());
    }
    let worker = worker::Worker {
        config,
        source,
        detector: loaded.detector,
        access,
        instance,
        health,
        metrics,
        stop,
    };
    let (done, outcome) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("detect".to_owned())
        .spawn(move || {
            // Nobody waits for the outcome only when the whole process ends.
            let _ = done.send(worker.run());
        })?;
    outcome
        .await
        .context("the detect thread ended without an outcome")?
        .context("detect cannot go on")
}

// Whoever applies everything at once sees the topics come up late: that is no reason to crash.
async fn wait_for_topics(
    config: &DetectConfig,
    access: &Access,
    health: &Health,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let lookup = Lookup::new(access, "millrace-detect-topics")?;
    let mut told = String::new();
    loop {
        let problem = match topics_problem(&lookup, config).await {
            Ok(None) => {
                health.ready(TOPICS);
                return Ok(true);
            }
            Ok(Some(problem)) => problem,
            Err(error) => error.to_string(),
        };
        if problem != told {
            tracing::warn!(problem, "waiting for topics");
            told.clone_from(&problem);
        }
        health.waiting(TOPICS, problem);
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

async fn topics_problem(
    lookup: &Lookup,
    config: &DetectConfig,
) -> Result<Option<String>, ConnectError> {
    let telemetry = lookup.partition_count(&config.telemetry_topic).await?;
    let state = lookup.partition_count(&config.state_topic).await?;
    lookup.partition_count(&config.alerts_topic).await?;
    lookup.partition_count(&config.dead_letters_topic).await?;
    if telemetry == state {
        return Ok(None);
    }
    Ok(Some(format!(
        "topic {}: has {state} partitions, but {} has {telemetry}; give both the same number",
        config.state_topic, config.telemetry_topic
    )))
}

fn host_name() -> Option<String> {
    let name = std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}
