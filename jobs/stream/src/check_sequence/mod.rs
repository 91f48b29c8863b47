//! `check-sequence`: proof that Kafka keeps what it has acknowledged, for drills in which brokers fail.
//!
//! `produce` writes numbered records to every partition of a topic and prints which numbers were acknowledged. `consume`
//! reads them and prints which came, which did not, which twice and which out of order. Both go on through outages and
//! changed logins, and print one line of JSON on standard output at their end.

mod consume;
mod content;
mod ledger;
mod produce;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use tokio_util::sync::CancellationToken;

pub use ledger::{Consumed, Produced, Ranges};

use crate::connect::{Access, Lookup};
use crate::server::Health;
use crate::settings::Common;

/// Flags of check-sequence.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Writes numbered records, acks=all and idempotent, and prints what was acknowledged
    Produce(produce::Options),
    /// Reads them from the beginning of the topic and prints what came; fails when something acknowledged did not
    Consume(consume::Options),
}

/// Where the records lie.
#[derive(Debug, Clone, clap::Args)]
struct Place {
    /// Topic of the records; it must be there
    #[arg(long, default_value = "check-sequence", value_name = "TOPIC")]
    topic: String,
    /// Tells the records of this drill from those of others; no spaces
    #[arg(long, default_value = "drill", value_name = "NAME")]
    run: String,
    /// Folder of service bindings, one of them of type kafka
    #[arg(long, env = "SERVICE_BINDING_ROOT", value_name = "DIR")]
    service_binding_root: Option<PathBuf>,
    /// Kafka's bootstrap servers; else those of the binding
    #[arg(long, env = "MILLRACE_BOOTSTRAP_SERVERS", value_name = "HOST:PORT")]
    bootstrap_servers: Option<String>,
    /// Ends after that long; else at SIGTERM
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// Runs one of the two until it is done or `stop` is cancelled.
///
/// # Errors
/// Settings that cannot be used, or something acknowledged was lost.
pub async fn run(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let line = match args.part {
        Part::Produce(options) => {
            let access = options.place.access(&stop)?;
            serde_json::to_string(&produce::run(&options, &access, &stop).await?)?
        }
        Part::Consume(options) => {
            let acknowledged = options.acknowledged.as_deref().map(read).transpose()?;
            let access = options.place.access(&stop)?;
            let mut consumed = consume::run(&options, &access, &stop).await?;
            if let Some(acknowledged) = &acknowledged {
                consumed.judge(acknowledged);
            }
            let line = serde_json::to_string(&consumed)?;
            if let Some(lost) = consumed.lost.filter(|lost| *lost > 0) {
                println!("{line}");
                anyhow::bail!(
                    "{lost} acknowledged records of topic {} are lost",
                    consumed.topic
                );
            }
            line
        }
    };
    println!("{line}");
    Ok(())
}

impl Place {
    fn access(&self, stop: &CancellationToken) -> anyhow::Result<Access> {
        anyhow::ensure!(
            !self.run.is_empty() && !self.run.contains(' '),
            "--run: {:?} is no name; give one without spaces",
            self.run
        );
        let common = Common {
            config: None,
            service_binding_root: self.service_binding_root.clone(),
            bootstrap_servers: self.bootstrap_servers.clone(),
            metrics: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let access = common.kafka(&common.bindings()?)?;
        tokio::spawn(access.clone().follow(Health::new(), stop.clone()));
        if let Some(seconds) = self.seconds {
            let stop = stop.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                stop.cancel();
            });
        }
        Ok(access)
    }

    // Whoever starts a drill may be quicker than the topic.
    async fn partitions(
        &self,
        lookup: &Lookup,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<i32>> {
        loop {
            match lookup.partition_count(&self.topic).await {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.is_retriable() => {
                    tracing::warn!(%error, "waiting for the topic");
                }
                Err(error) => return Err(error.into()),
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }
}

// A file that `produce` printed; also the whole log of its pod, where the line is among others.
fn read(path: &Path) -> anyhow::Result<Produced> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("--acknowledged {}: give a readable file", path.display()))?;
    text.lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok())
        .with_context(|| {
            format!(
                "--acknowledged {}: no line of it is an output of produce; give that one",
                path.display()
            )
        })
}
