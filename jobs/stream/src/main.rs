//! `millrace-stream`: the stream jobs, one subcommand each.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use millrace_stream::{
    archive, check_sequence, detect, dispatch, gateway, lake, materialize, replay, server, simulate,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

// The libraries' own lines may quote what a client sent.
const DEFAULT_LOG: &str = "info,librdkafka=error,rdkafka::client=off,ntex=warn,ntex_io=warn,ntex_mqtt=error,ntex_net=warn,ntex_rt=warn,ntex_server=warn";

#[derive(Debug, Parser)]
#[command(name = "millrace-stream", version, about = "The stream jobs of Millrace", long_about = None)]
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
    #[arg(long, global = true, default_value = DEFAULT_LOG, env = "MILLRACE_LOG", value_name = "FILTER")]
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
    /// MQTT and HTTP in, Kafka out, and the way back to the vehicle
    Gateway(gateway::Args),
    /// Telemetry to alerts, by rules and trends per vehicle
    Detect(detect::Args),
    /// Kafka to OpenWhisk actions
    Dispatch(dispatch::Args),
    /// A topic to Parquet files in the lake, each event exactly once
    Archive(archive::Args),
    /// Alerts, deliveries and the state of vehicles to MongoDB
    Materialize(materialize::Args),
    /// Lists, reads, proves and compacts what was archived
    Lake(lake::Args),
    /// Sends recorded trips to a running platform and prints the warnings that come back
    Replay(replay::Args),
    /// Drives simulated cars, with injected faults and the ground truth
    Simulate(simulate::Args),
    /// Proves that Kafka keeps what it acknowledges, while brokers fail
    #[command(hide = true)]
    CheckSequence(check_sequence::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = start_log(&cli) {
        eprintln!("millrace-stream: {error}");
        return ExitCode::from(2);
    }
    match run(cli.job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace-stream: {error:#}");
            leave_last_words(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

// Kubernetes keeps them with the pod, and the operator shows them; elsewhere there is no such file.
fn leave_last_words(words: &str) {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/termination-log");
    if let Ok(mut file) = file {
        let _ = file.write_all(words.as_bytes());
    }
}

fn run(job: Job) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let on_signal = stop.clone();
        tokio::spawn(async move {
            server::terminated().await;
            tracing::info!("asked to stop");
            on_signal.cancel();
        });
        match job {
            Job::Gateway(args) => gateway::run(args, stop).await?,
            Job::Detect(args) => detect::run(args, stop).await?,
            Job::Dispatch(args) => dispatch::run(args, stop).await?,
            Job::Archive(args) => archive::run(args, stop).await?,
            Job::Materialize(args) => materialize::run(args, stop).await?,
            Job::Lake(args) => lake::run(args, stop).await?,
            Job::Replay(args) => replay::run(args, stop).await?,
            Job::Simulate(args) => simulate::run(args, stop).await?,
            Job::CheckSequence(args) => check_sequence::run(args, stop).await?,
        }
        Ok(())
    })
}

// These print their results on stdout, so their log goes to stderr.
fn start_log(cli: &Cli) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&cli.log).map_err(|e| {
        anyhow::anyhow!(
            "--log: {}: {e}; write for example info,millrace_stream=debug",
            cli.log
        )
    })?;
    let to_stderr = matches!(
        cli.job,
        Job::Lake(_) | Job::Replay(_) | Job::Simulate(_) | Job::CheckSequence(_)
    );
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    match (cli.log_format, to_stderr) {
        (LogFormat::Json, false) => log.json().flatten_event(true).init(),
        (LogFormat::Json, true) => log
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .init(),
        (LogFormat::Text, false) => log.init(),
        (LogFormat::Text, true) => log.with_writer(std::io::stderr).init(),
    }
    Ok(())
}
