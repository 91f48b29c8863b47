//! `dispatch`: the records of a topic to an OpenWhisk action or trigger, one by one or in batches.
//!
//! A record is finished when the records of its activations say success, or after its last attempt in the dead
//! letters. Records of one vehicle go one after the other, or in their order in one batch; offsets are committed
//! only up to the lowest record that is not finished. So every record is delivered at least once, also when this
//! process dies.

mod backoff;
mod body;
mod bury;
mod config;
mod deliver;
mod follow;
mod https;
mod lanes;
mod letters;
mod metrics;
mod parts;
mod tracker;
mod transport;
mod whisk;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

pub use body::ONLY_GROUP;
pub use config::{BatchConfig, DispatchConfig, Target};

use crate::connect::{Lookup, Producer};
use crate::server::{self, Health};
use crate::settings::{Bindings, Common, Secret, SettingsError};

const TOPICS: &str = "topics";

/// Flags of `dispatch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What every job takes.
    #[command(flatten)]
    pub common: Common,
    /// OpenWhisk's address, for example http://openwhisk:3233; else that of the binding of type openwhisk
    #[arg(long, env = "MILLRACE_OPENWHISK_URI", value_name = "URI")]
    pub openwhisk_uri: Option<String>,
    /// File with the certificate, in PEM, of the authority that OpenWhisk's own over https is of; else ca.crt of the binding, else what the system trusts
    #[arg(long, env = "MILLRACE_OPENWHISK_CA_FILE", value_name = "FILE")]
    pub openwhisk_ca_file: Option<PathBuf>,
    /// File with OpenWhisk's key, one line uuid:key; else the binding's username and password
    #[arg(long, env = "MILLRACE_OPENWHISK_AUTH_FILE", value_name = "FILE")]
    pub openwhisk_auth_file: Option<PathBuf>,
}

/// Runs until `stop` is cancelled.
///
/// # Errors
/// Settings that cannot be used, or a consumer that is of no use any more.
pub async fn run(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let config: DispatchConfig = args.common.load_config()?;
    config.validate()?;
    let (target, filter) = (config.target()?, config.condition()?);
    let bindings = args.common.bindings()?;
    let kafka = args.common.kafka(&bindings)?;
    let access = access(&args, &config, &bindings)?;
    let health = Health::new();
    health.waiting(TOPICS, "not looked at yet");
    let mut registry = Registry::default();
    let metrics = metrics::Metrics::register(&mut registry);
    let client_id = format!("millrace-{}", config.group);
    let address =
        server::serve(args.common.metrics, health.clone(), registry, stop.clone()).await?;
    tracing::info!(%address, login = ?kafka.login(), uri = access.uri, %target, topic = config.topic, "dispatch starts");

    let whisk = whisk::Whisk::new(access, &target, config.limits.invoke_timeout.0)?;
    let producer = Producer::new(&kafka, &client_id)?;
    tokio::spawn(kafka.clone().follow(health.clone(), stop.clone()));
    let topics: Vec<&str> = std::iter::once(config.topic.as_str())
        .chain(config.dead_letter_topic.as_deref())
        .collect();
    let lookup = Lookup::new(&kafka, "millrace-dispatch-topics")?;
    if !lookup.wait_for(&topics, &health, TOPICS, &stop).await {
        return Ok(());
    }
    let deliverer = Arc::new(deliver::Deliverer {
        whisk,
        producer,
        backoff: backoff::Backoff::new(config.backoff),
        config,
        target,
        filter,
        metrics,
        health,
    });
    let runtime = tokio::runtime::Handle::current();
    let worker = worker::Worker {
        deliverer,
        kafka,
        client_id,
        runtime,
        stop,
    };
    let (done, outcome) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("dispatch".to_owned())
        .spawn(move || {
            // Nobody waits for the outcome only when the whole process ends.
            let _ = done.send(worker.run());
        })?;
    outcome
        .await
        .context("the dispatch thread ended without an outcome")?
        .context("dispatch cannot go on")
}

fn access(
    args: &Args,
    config: &DispatchConfig,
    bindings: &Bindings,
) -> Result<whisk::Access, SettingsError> {
    let binding = match &config.openwhisk_binding {
        Some(name) => bindings.named(name),
        None => bindings.of_type("openwhisk"),
    };
    let missing = |name: &str, flag: &str| SettingsError::Missing {
        name: name.to_owned(),
        cure: format!("give {flag} or a binding of type openwhisk under SERVICE_BINDING_ROOT"),
    };
    let uri = match (&args.openwhisk_uri, binding) {
        (Some(uri), _) => uri.clone(),
        (None, Some(binding)) => binding.require("uri")?.to_owned(),
        (None, None) => return Err(missing("openwhisk uri", "--openwhisk-uri")),
    };
    let (username, password) = match (&args.openwhisk_auth_file, binding) {
        (Some(file), _) => {
            let key = Secret::from_file(file)?;
            let (user, password) =
                key.expose()
                    .split_once(':')
                    .ok_or_else(|| SettingsError::Unusable {
                        name: file.display().to_string(),
                        problem: "holds no key".to_owned(),
                        cure: "write one line uuid:key into it".to_owned(),
                    })?;
            (user.to_owned(), Secret::new(password))
        }
        (None, Some(binding)) => (
            binding.require("username")?.to_owned(),
            Secret::new(binding.require("password")?),
        ),
        (None, None) => return Err(missing("openwhisk key", "--openwhisk-auth-file")),
    };
    let authority = match (&args.openwhisk_ca_file, binding) {
        (Some(file), _) => Some(Secret::from_file(file)?.expose().to_owned()),
        (None, binding) => binding
            .and_then(|b| b.get("ca.crt"))
            .filter(|pem| !pem.is_empty())
            .map(str::to_owned),
    };
    let namespace = binding
        .and_then(|b| b.get("namespace"))
        .filter(|n| !n.is_empty())
        .unwrap_or("_")
        .to_owned();
    Ok(whisk::Access {
        uri,
        authority,
        username,
        password,
        namespace,
    })
}
