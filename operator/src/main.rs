//! `millrace-operator`: arguments only.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use millrace_operator::context::{Images, Settings};
use millrace_operator::leader::Candidate;
use millrace_operator::network::NetworkSettings;
use millrace_operator::reconcile::fingerprint;
use millrace_operator::{generate, run};
use sha2::{Digest, Sha256};
use tracing_subscriber::EnvFilter;

/// The operator of Millrace.
#[derive(Debug, Parser)]
#[command(name = "millrace-operator", version, about = "The operator of Millrace", long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reconciles until told to stop
    Run(Box<RunArguments>),
    /// Prints the custom resource definitions
    Crd,
    /// Writes what follows from the registry: CRDs, RBAC rules, manifests, reference
    Generate {
        /// Write nothing; fail when a file differs
        #[arg(long)]
        check: bool,
        /// The root of the source tree
        #[arg(long, default_value = ".", value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Namespaces to watch, separated by commas; all when empty
    #[arg(
        long,
        env = "MILLRACE_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE"
    )]
    watch_namespaces: Vec<String>,
    /// Where /metrics, /healthz and /readyz are served
    #[arg(
        long,
        env = "MILLRACE_LISTEN",
        default_value = "0.0.0.0:8080",
        value_name = "ADDR"
    )]
    listen: std::net::SocketAddr,
    /// Image of Apache Kafka where a resource names none
    #[arg(long, env = "MILLRACE_IMAGE_KAFKA", value_name = "IMAGE")]
    image_kafka: String,
    /// Image of Apache ZooKeeper where a resource names none
    #[arg(long, env = "MILLRACE_IMAGE_ZOOKEEPER", value_name = "IMAGE")]
    image_zookeeper: String,
    /// Image of Apache Hadoop where a resource names none
    #[arg(long, env = "MILLRACE_IMAGE_HADOOP", value_name = "IMAGE")]
    image_hadoop: String,
    /// Image of Apache Druid where a resource names none
    #[arg(long, env = "MILLRACE_IMAGE_DRUID", value_name = "IMAGE")]
    image_druid: String,
    /// Image of PostgreSQL where a resource names none
    #[arg(long, env = "MILLRACE_IMAGE_POSTGRES", value_name = "IMAGE")]
    image_postgres: String,
    /// Image of MongoDB where a resource names none
    #[arg(long, env = "MILLRACE_IMAGE_MONGODB", value_name = "IMAGE")]
    image_mongodb: String,
    /// Image of the document store of development where a resource names none
    #[arg(long, env = "MILLRACE_IMAGE_MONGO_WIRE", value_name = "IMAGE")]
    image_mongo_wire: String,
    /// Image of the stream jobs where a resource names none
    #[arg(long, env = "MILLRACE_IMAGE_STREAM", value_name = "IMAGE")]
    image_stream: String,
    /// Image of the embedded OpenWhisk where a resource names none
    #[arg(long, env = "MILLRACE_IMAGE_WHISK", value_name = "IMAGE")]
    image_whisk: String,
    /// Image of the job score on several machines where a resource names none
    #[arg(long, env = "MILLRACE_IMAGE_BALLISTA", value_name = "IMAGE")]
    image_ballista: String,
    /// Directory with the zips of the actions that come with the operator
    #[arg(
        long,
        env = "MILLRACE_ACTIONS_DIR",
        default_value = "/opt/millrace/actions",
        value_name = "DIR"
    )]
    actions_dir: PathBuf,
    /// The operator's own namespace, for the Lease by which several operators decide which of them works, and for
    /// NetworkPolicies. Without it there is neither: run no second operator for the same namespaces then
    #[arg(long, env = "MILLRACE_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Whether NetworkPolicies are made
    #[arg(
        long,
        env = "MILLRACE_NETWORK_POLICIES",
        default_value = "true",
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    network_policies: bool,
    /// Labels of the namespaces whose pods may read metrics, as a JSON object; none when empty
    #[arg(
        long,
        env = "MILLRACE_NETWORK_METRICS_FROM",
        default_value = "{}",
        value_name = "JSON"
    )]
    network_metrics_from: String,
    /// Name of the Lease
    #[arg(
        long,
        env = "MILLRACE_LEASE_NAME",
        default_value = "millrace-operator",
        value_name = "NAME"
    )]
    lease_name: String,
    /// Which log lines are written, in the syntax of tracing's EnvFilter
    #[arg(
        long,
        env = "MILLRACE_LOG",
        default_value = "info,kube_client=warn",
        value_name = "FILTER"
    )]
    log: String,
}

fn main() -> ExitCode {
    match start(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("millrace-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// Not the version: two builds of one version may differ too.
fn build_of(images: &Images) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("this program's path")?;
    let told = || program.display().to_string();
    let mut file = std::fs::File::open(&program).with_context(told)?;
    let mut digest = Sha256::new();
    std::io::copy(&mut file, &mut digest).with_context(told)?;
    let digest = format!("{:x}", digest.finalize());
    Ok(fingerprint(&(&digest, images.all())))
}

fn start(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(arguments) => {
            let filter = EnvFilter::try_new(&arguments.log).map_err(|error| {
                anyhow::anyhow!(
                    "--log: {}: {error}; write for example info,millrace_operator=debug",
                    arguments.log
                )
            })?;
            tracing_subscriber::fmt()
                .with_env_filter(filter)
                .json()
                .flatten_event(true)
                .init();
            let images = Images {
                kafka: arguments.image_kafka,
                zookeeper: arguments.image_zookeeper,
                hadoop: arguments.image_hadoop,
                druid: arguments.image_druid,
                postgres: arguments.image_postgres,
                mongodb: arguments.image_mongodb,
                mongo_wire: arguments.image_mongo_wire,
                stream: arguments.image_stream,
                whisk: arguments.image_whisk,
                ballista: arguments.image_ballista,
            };
            let namespace = arguments
                .namespace
                .filter(|namespace| !namespace.is_empty());
            let network = NetworkSettings::parse(
                namespace.as_deref(),
                arguments.network_policies,
                &arguments.network_metrics_from,
            )?;
            let settings = Settings {
                network,
                build: build_of(&images)?,
                images,
                namespaces: arguments
                    .watch_namespaces
                    .into_iter()
                    .filter(|name| !name.is_empty())
                    .collect(),
                actions_dir: arguments.actions_dir,
            };
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            let lease = arguments.lease_name;
            let candidate = namespace.map(|namespace| Candidate::this(namespace, lease));
            runtime.block_on(run::run(settings, arguments.listen, candidate))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Crd => {
            print!("{}", generate::all_crds()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Generate { check, out } => {
            let differing = generate::write(&out, check)?;
            for path in &differing {
                println!(
                    "{} {}",
                    if check { "differs:" } else { "wrote" },
                    path.display()
                );
            }
            let stale = check && !differing.is_empty();
            if stale {
                eprintln!(
                    "run `cargo run -p millrace-operator -- generate` and commit what it writes"
                );
            }
            Ok(if stale {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            })
        }
    }
}
