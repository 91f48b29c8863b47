//! `millrace-whisk`: the embedded OpenWhisk.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use millrace_whisk::auth::{Subject, Subjects};
use millrace_whisk::kinds::Kinds;
use millrace_whisk::pool::{Launch, launch};
use millrace_whisk::serve::Server;
use millrace_whisk::settings::{Bounds, Isolation, PoolSettings, Retention, Settings, Throttles};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The embedded OpenWhisk: actions, sequences, conductors, web actions, packages, triggers, rules and activations in one process
#[derive(Debug, Parser)]
#[command(name = "millrace-whisk", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the REST API
    Serve(Box<Serve>),
    /// Start an action (used by the server itself)
    #[command(hide = true)]
    Child(Launch),
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// Where the REST API listens
    #[arg(long, default_value = "0.0.0.0:3233", env = "MILLRACE_WHISK_LISTEN")]
    listen: SocketAddr,
    /// Directory of actions, packages, triggers, rules and activations
    #[arg(long, env = "MILLRACE_WHISK_DATA")]
    data: PathBuf,
    /// Directory of running children: their code and what they write; it must allow programs to be run [default: run in --data]
    #[arg(long, env = "MILLRACE_WHISK_RUN_DIR")]
    run_dir: Option<PathBuf>,
    /// File with the namespace's key, one line uuid:key
    #[arg(
        long,
        env = "MILLRACE_WHISK_AUTH_FILE",
        required_unless_present = "subject"
    )]
    auth_file: Option<PathBuf>,
    /// The namespace of the key in --auth-file
    #[arg(long, default_value = "millrace")]
    namespace: String,
    /// A further namespace and its key, NAMESPACE=UUID:KEY (visible in the process list: for tests)
    #[arg(long, value_name = "NAMESPACE=UUID:KEY")]
    subject: Vec<String>,
    /// Kinds in the form of OpenWhisk's runtimes.json, each run as an ActionLoop program [default: rust:default, native:default]
    #[arg(long)]
    runtimes: Option<PathBuf>,
    /// Where /metrics, /healthz and /readyz are told
    #[arg(long)]
    metrics: Option<SocketAddr>,
    /// Memory of all children together, as the sum of their actions' limits
    #[arg(long, default_value_t = 2048)]
    max_memory_mb: u64,
    /// Children of one action at once, unless its limits.instances says so
    #[arg(long, default_value_t = 8)]
    max_instances: usize,
    /// Seconds after which an unused child is ended
    #[arg(long, default_value_t = 600)]
    idle_seconds: u64,
    /// Seconds that an activation waits for a free child
    #[arg(long, default_value_t = 60)]
    wait_seconds: u64,
    /// How children are kept apart
    #[arg(long, default_value = "landlock")]
    isolation: Isolation,
    /// Invocations of a namespace in a minute
    #[arg(long, default_value_t = 60_000)]
    invocations_per_minute: u64,
    /// Trigger fires of a namespace in a minute
    #[arg(long, default_value_t = 60_000)]
    fires_per_minute: u64,
    /// Invocations of a namespace under way
    #[arg(long, default_value_t = 1000)]
    concurrent_invocations: u64,
    /// Activation records to keep
    #[arg(long, default_value_t = 100_000)]
    keep_activations: usize,
    /// Hours to keep activation records
    #[arg(long, default_value_t = 168)]
    keep_hours: u64,
    /// Disk for activation records
    #[arg(long, default_value_t = 512)]
    keep_mb: u64,
    /// The API's address as actions are told it [default: http://localhost:PORT]
    #[arg(long)]
    api_host: Option<String>,
    /// Seconds that activations under way get at the end
    #[arg(long, default_value_t = 25)]
    grace_seconds: u64,
    /// Form of the log
    #[arg(long, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        // Before anything opens a file: the launcher counts on the first free descriptor.
        Command::Child(child) => launch(&child),
        Command::Serve(serve) => match run(*serve) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("millrace-whisk: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn run(serve: Serve) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    match serve.log_format {
        LogFormat::Text => tracing_subscriber::fmt().with_env_filter(filter).init(),
        // Fields beside the message, as the operator and all jobs have them.
        LogFormat::Json => tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_env_filter(filter)
            .init(),
    }
    let settings = settings(serve)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let server = Server::start(settings).await?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("ending");
        server.stop().await;
        Ok(())
    })
}

fn settings(serve: Serve) -> anyhow::Result<Settings> {
    let mut subjects = Vec::new();
    if let Some(file) = &serve.auth_file {
        let text = std::fs::read_to_string(file).with_context(|| {
            format!(
                "--auth-file {}: give a readable file with one line uuid:key",
                file.display()
            )
        })?;
        subjects.push(Subject::new(&serve.namespace, &text)?);
    }
    for subject in &serve.subject {
        let (namespace, credentials) = subject
            .split_once('=')
            .context("--subject: no = in it; give NAMESPACE=UUID:KEY")?;
        subjects.push(Subject::new(namespace, credentials)?);
    }
    let kinds = match &serve.runtimes {
        None => Kinds::default(),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("--runtimes {}", file.display()))?;
            Kinds::from_manifest(&text)?
        }
    };
    Ok(Settings {
        listen: serve.listen,
        metrics: serve.metrics,
        run: serve.run_dir.unwrap_or_else(|| serve.data.join("run")),
        data: serve.data,
        subjects: Subjects::new(subjects),
        kinds,
        bounds: Bounds::default().within(serve.concurrent_invocations),
        throttles: Throttles {
            invocations_per_minute: serve.invocations_per_minute,
            fires_per_minute: serve.fires_per_minute,
            concurrent: serve.concurrent_invocations,
        },
        retention: Retention {
            count: serve.keep_activations,
            age: Duration::from_secs(serve.keep_hours * 3600),
            bytes: serve.keep_mb * 1024 * 1024,
        },
        pool: PoolSettings {
            launcher: std::env::current_exe().context("the program's own file")?,
            isolation: serve.isolation,
            memory: serve.max_memory_mb,
            instances: serve.max_instances.max(1),
            idle: Duration::from_secs(serve.idle_seconds),
            processes: 32,
            wait: Duration::from_secs(serve.wait_seconds),
            reap: true,
        },
        api_host: serve.api_host,
        grace: Duration::from_secs(serve.grace_seconds),
    })
}
