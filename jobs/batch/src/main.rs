//! `millrace-batch`: the batch jobs, one subcommand each.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use millrace_batch::log::LogArgs;
use millrace_batch::{analyse, erase, postgres, reindex, score};

#[derive(Debug, Parser)]
#[command(name = "millrace-batch", version, about = "The batch jobs of Millrace", long_about = None)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    job: Job,
}

#[derive(Debug, Subcommand)]
enum Job {
    /// Scores how vehicles were driven, by trip, hire and week, from the lake into PostgreSQL
    Score(score::Args),
    /// Answers what analysts ask, from vehicle events, alerts and odometers in the lake into PostgreSQL
    Analyse(analyse::Args),
    /// Takes the hires of a driver out of the lake, PostgreSQL and MongoDB
    Erase(erase::Args),
    /// Loads days of the lake into a data source of a Druid, in place of what it has of them
    Reindex(reindex::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = cli.log.start() {
        eprintln!("millrace-batch: {error}");
        return ExitCode::from(2);
    }
    match run(cli.job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace-batch: {}", postgres::told(error));
            ExitCode::FAILURE
        }
    }
}

fn run(job: Job) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match job {
            Job::Score(args) => score::run(args, &score::Local).await,
            Job::Analyse(args) => analyse::run(args).await,
            Job::Erase(args) => erase::run(args).await,
            Job::Reindex(args) => reindex::run(args).await,
        }
    })
}
