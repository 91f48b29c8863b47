//! `millrace-whisk`: the embedded OpenWhisk.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use millrace_whisk::auth::{Subject, Subjects};
use millrace_whisk::kinds::Kinds;
use millrace_whisk::pods::{Access, Family, PORT, PodSettings, check, own_pod};
use millrace_whisk::pool::{Within, child};
use millrace_whisk::proxy::ProxySettings;
use millrace_whisk::runs::ToldTo;
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
    /// Run one action behind HTTP, as an image of OpenWhisk does: POST /init, then POST /run for each activation
    Proxy(Proxy),
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
    /// Disk of all children together, their code and what they write: above it unused code goes, then idle children end, then the largest
    #[arg(long, default_value_t = 1024)]
    run_mb: u64,
    /// Children of one action at once, unless its limits.instances says so
    #[arg(long, default_value_t = 8)]
    max_instances: usize,
    /// Seconds after which an unused child is ended
    #[arg(long, default_value_t = 600)]
    idle_seconds: u64,
    /// Seconds that an activation waits for a free child
    #[arg(long, default_value_t = 60)]
    wait_seconds: u64,
    /// Launchers that stand ready for cold starts, 64 at most [default: the sum of initialCount of stemCells in --runtimes; 2 without that file]
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=64))]
    prewarm: Option<u8>,
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
    #[command(flatten)]
    pods: PodArguments,
    /// The API's address as actions are told it [default: http://localhost:PORT]
    #[arg(long)]
    api_host: Option<String>,
    /// The gateway that is told which actions ran, for the topic audit: http://HOST:PORT
    #[arg(long, requires = "audit_token_file")]
    audit_gateway: Option<String>,
    /// File with the gateway's activations-token
    #[arg(long, requires = "audit_gateway")]
    audit_token_file: Option<PathBuf>,
    /// Seconds that activations under way get at the end
    #[arg(long, default_value_t = 25)]
    grace_seconds: u64,
    /// Form of the log
    #[arg(long, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, clap::Args)]
struct Proxy {
    /// Where /init and /run are
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Directory of the action and of what it writes; it must allow programs to be run [default: whisk-action in the directory for temporary files]
    #[arg(long)]
    run_dir: Option<PathBuf>,
    /// Directory with the program exec, the action of an image that brings its own: it runs when /init brings none
    #[arg(long)]
    code: Option<PathBuf>,
    /// Milliseconds within which a program that ends has not started
    #[arg(long, default_value_t = 50)]
    grace_milliseconds: u64,
}

#[derive(Debug, clap::Args)]
struct PodArguments {
    /// Run actions of an image (blackbox) as pods beside the own one, labelled as the instance's: for a server in Kubernetes
    #[arg(long, value_name = "INSTANCE")]
    pods: Option<String>,
    /// Memory of all pods of actions together, as the sum of their actions' limits
    #[arg(long, default_value_t = 1024, requires = "pods")]
    pods_memory_mb: u64,
    /// Secret with the login of the images' registry
    #[arg(long, value_name = "SECRET", requires = "pods")]
    pods_pull_secret: Option<String>,
    /// The API's address as actions in pods are told it
    #[arg(long, value_name = "URL", requires = "pods")]
    pods_api_host: Option<String>,
    /// Seconds after which a pod that does not run yet is given up: its image may have to be fetched
    #[arg(long, default_value_t = 300, requires = "pods")]
    pods_start_seconds: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    let given: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = child(&given) {
        return code;
    }
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Serve(serve) => ended(run(*serve)),
        Command::Proxy(proxy) => ended(run_proxy(proxy)),
    }
}

fn ended(how: anyhow::Result<()>) -> ExitCode {
    match how {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace-whisk: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_proxy(proxy: Proxy) -> anyhow::Result<()> {
    // What the container is told goes on to the action, and nothing else of its environment.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("__OW_"))
        .collect();
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let settings = ProxySettings {
        launcher: own_file()?,
        run: proxy
            .run_dir
            .unwrap_or_else(|| std::env::temp_dir().join("whisk-action")),
        code: proxy.code,
        grace: Duration::from_millis(proxy.grace_milliseconds),
        environment,
        wait_for_acknowledgement: is_set("OW_WAIT_FOR_ACK"),
        log_start_errors: is_set("OW_LOG_INIT_ERROR"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime
        .block_on(millrace_whisk::proxy::serve(proxy.listen, settings))
        .with_context(|| format!("--listen {}", proxy.listen))
}

fn own_file() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("the program's own file")
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
    let pods = pods(&serve)?;
    Ok(Settings {
        listen: serve.listen,
        metrics: serve.metrics,
        run: serve.run_dir.unwrap_or_else(|| serve.data.join("run")),
        data: serve.data,
        subjects: Subjects::new(subjects),
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
            launcher: own_file()?,
            isolation: serve.isolation,
            memory: serve.max_memory_mb,
            instances: serve.max_instances.max(1),
            idle: Duration::from_secs(serve.idle_seconds),
            processes: 32,
            wait: Duration::from_secs(serve.wait_seconds),
            prewarmed: serve.prewarm.map_or_else(|| kinds.prewarmed(), usize::from),
            disk: serve.run_mb,
            reap: true,
        },
        kinds,
        pods,
        api_host: serve.api_host,
        audit: serve
            .audit_gateway
            .zip(serve.audit_token_file)
            .map(|(gateway, token_file)| ToldTo {
                gateway: gateway.trim_end_matches('/').to_owned(),
                token_file,
            }),
        grace: Duration::from_secs(serve.grace_seconds),
    })
}

/// How pods of actions are made, if any are.
fn pods(serve: &Serve) -> anyhow::Result<Option<PodSettings>> {
    let arguments = &serve.pods;
    let Some(instance) = &arguments.pods else {
        return Ok(None);
    };
    let access = Access::in_cluster()?;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let settings = PodSettings {
        family: Family {
            instance: instance.clone(),
            namespace: access.namespace.clone(),
            server: own_pod(variable("POD_NAME"), variable("POD_UID"))?,
            pull_secret: arguments.pods_pull_secret.clone(),
            api_host: match (&arguments.pods_api_host, &serve.api_host) {
                (Some(host), _) | (None, Some(host)) => host.clone(),
                (None, None) => String::new(),
            },
            run: millrace_whisk::name::activation_id(),
        },
        access,
        within: Within {
            memory: arguments.pods_memory_mb,
            instances: serve.max_instances.max(1),
            idle: Duration::from_secs(serve.idle_seconds),
            wait: Duration::from_secs(serve.wait_seconds),
        },
        port: PORT,
        patience: Duration::from_secs(arguments.pods_start_seconds),
    };
    check(&settings)?;
    Ok(Some(settings))
}
