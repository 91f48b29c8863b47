//! `millrace-batch`: the batch jobs, one subcommand each.

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use millrace_batch::{analyse, erase, score};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Parser)]
#[command(name = "millrace-batch", version, about = "The batch jobs of Millrace", long_about = None)]
struct Cli {
    /// How log lines are written; `json` suits pods
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        env = "MILLRACE_LOG_FORMAT"
    )]
    log_format: LogFormat,
    /// Which log lines are written, in the syntax of tracing's EnvFilter
    #[arg(
        long,
        global = true,
        default_value = "info",
        env = "MILLRACE_LOG",
        value_name = "FILTER"
    )]
    log: String,
    #[command(subcommand)]
    job: Job,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Subcommand)]
enum Job {
    /// Scores how vehicles were driven, by trip, hire and week, from the lake into PostgreSQL
    Score(score::Args),
    /// Answers what analysts ask, from vehicle events, alerts and odometers in the lake into PostgreSQL
    Analyse(analyse::Args),
    /// Takes the hires of a driver out of the lake, PostgreSQL and MongoDB
    Erase(erase::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = start_log(&cli) {
        eprintln!("millrace-batch: {error}");
        return ExitCode::from(2);
    }
    match run(cli.job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace-batch: {error:#}");
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
            Job::Score(args) => score::run(args).await,
            Job::Analyse(args) => analyse::run(args).await,
            Job::Erase(args) => erase::run(args).await,
        }
    })
}

// Results go to standard output, so the log does not.
fn start_log(cli: &Cli) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&cli.log).map_err(|e| {
        anyhow::anyhow!(
            "--log: {}: {e}; write for example info,millrace_batch=debug",
            cli.log
        )
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
    Ok(())
}
