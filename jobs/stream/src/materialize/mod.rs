//! `materialize`: alerts, deliveries and the state of vehicles as documents in MongoDB.
//!
//! Each topic is read by a group of its own. Records of a second are gathered, each document that they speak of is read,
//! merged and written back once, where nobody else has changed it meanwhile; then the offsets are committed. Merging the
//! same record again changes nothing, so each record counts once, however often it is read.

pub mod document;
mod metrics;
mod source;
pub mod store;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use millrace_contract::materialize::MaterializeConfig;

use crate::connect::{DocumentsArgs, Lookup, Producer};
use crate::server::{self, Health};
use crate::settings::Common;

const TOPICS: &str = "topics";
/// How often what is too old is looked for.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
const UPKEEP_AGAIN: Duration = Duration::from_secs(5);

/// Flags of `materialize`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What every job takes.
    #[command(flatten)]
    pub common: Common,
    /// Where MongoDB is.
    #[command(flatten)]
    pub documents: DocumentsArgs,
}

/// Runs until `stop` is cancelled.
///
/// # Errors
/// Settings that cannot be used, or a consumer that is of no use any more.
pub async fn run(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let config: MaterializeConfig = args.common.load_config()?;
    config.validate()?;
    let bindings = args.common.bindings()?;
    let kafka = args.common.kafka(&bindings)?;
    let documents = args
        .documents
        .access(&bindings, config.database.as_deref())?;
    let health = Health::new();
    health.waiting(TOPICS, "not looked at yet");
    let mut registry = Registry::default();
    let metrics = metrics::Metrics::register(&mut registry);
    let client_id = format!("millrace-{}", config.group);
    let address =
        server::serve(args.common.metrics, health.clone(), registry, stop.clone()).await?;
    tracing::info!(%address, login = ?kafka.login(), topics = ?config.topics, "materialize starts");

    tokio::spawn(kafka.clone().follow(health.clone(), stop.clone()));
    let sources = source::sources(&config);
    let mut topics: Vec<&str> = sources.iter().map(|(topic, _)| topic.as_str()).collect();
    topics.push(&config.dead_letter_topic);
    let lookup = Lookup::new(&kafka, &client_id)?;
    if !lookup.wait_for(&topics, &health, TOPICS, &stop).await {
        return Ok(());
    }
    let shared = Arc::new(worker::Shared {
        producer: Producer::new(&kafka, &client_id)?,
        documents,
        client: tokio::sync::Mutex::default(),
        metrics,
        health,
        config,
    });
    tokio::spawn(upkeep(Arc::clone(&shared), stop.clone()));
    let mut workers = JoinSet::new();
    for (topic, target) in sources {
        let worker = worker::Worker {
            shared: Arc::clone(&shared),
            topic,
            target,
            kafka: kafka.clone(),
            client_id: client_id.clone(),
            runtime: tokio::runtime::Handle::current(),
            stop: stop.clone(),
        };
        workers.spawn_blocking(move || worker.run());
    }
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended.context("a worker broke off")? {
            // The others write what they have gathered.
            stop.cancel();
            while workers.join_next().await.is_some() {}
            return Err(error).context("materialize cannot go on");
        }
    }
    Ok(())
}

// Sees to the rules of offers, and removes what is too old. Several replicas may do so at once: it is the same each time.
async fn upkeep(shared: Arc<worker::Shared>, stop: CancellationToken) {
    let config = &shared.config;
    let keep = SignedDuration::try_from(config.keep.0).unwrap_or(SignedDuration::MAX);
    loop {
        let before = Timestamp::now().checked_sub(keep).unwrap_or(Timestamp::MIN);
        let done = async {
            let databases = shared.databases().await?;
            let (manager, rules) = (&config.offer_rules_manager, &config.offer_rules);
            let dropped = store::put_rules(&databases.documents, manager, rules).await;
            let dropped = dropped.map_err(|error| error.to_string())?;
            if dropped > 0 {
                tracing::info!(
                    dropped,
                    "rules of offers removed that nobody asks for any more"
                );
            }
            let removed = store::forget(&databases.documents, before).await;
            removed.map_err(|error| error.to_string())
        };
        // Offers wait for their rules: after a failure soon again.
        let pause = match done.await {
            Ok(0) => FORGET_EVERY,
            Ok(removed) => {
                tracing::info!(removed, %before, "old documents removed");
                FORGET_EVERY
            }
            Err(problem) => {
                tracing::warn!(
                    problem,
                    "rules of offers are not there yet, old documents stay"
                );
                UPKEEP_AGAIN
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
