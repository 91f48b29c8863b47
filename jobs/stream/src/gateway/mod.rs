//! The gateway: MQTT and HTTP in, Kafka out, and the way back to the vehicle.
//!
//! An event is acknowledged (HTTP 200, PUBACK) only after Kafka has acknowledged it. No raw driver id goes
//! to Kafka or into a log. Every replica follows the topics `vehicle-credentials`, `vehicle-sessions`,
//! `notifications`, `notified` and `audit` as a whole, and `hires` from its start on, and keeps nothing of its own.

mod access;
mod admin;
mod answer;
mod assemble;
pub mod audit;
pub mod canary;
pub mod changes;
pub mod config;
pub mod credential;
pub mod credentials;
mod dead;
pub mod downlink;
mod drivers;
mod erasure;
pub mod event;
pub mod flow;
mod follower;
mod hires;
mod http;
pub mod ingest;
pub mod intake;
pub mod letters;
mod listen;
pub mod mark;
pub mod metrics;
pub mod mqtt;
pub mod notified;
mod notify;
pub mod outbox;
mod partition;
mod pending;
mod query;
pub mod quiet;
mod runs;
pub mod seal;
mod shares;
mod sockets;
mod throttle;
pub mod tls;
mod vehicle_events;
pub mod vehicle_session;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::audit::Redriven;
use self::config::{Config, Secrets};
use self::credentials::Credentials;
use self::downlink::Downlink;
use self::follower::Progress;
use self::http::Bodies;
use self::ingest::Ingest;
use self::metrics::Metrics;
use self::notify::Turns;
use self::sockets::{Sockets, serve};
use self::throttle::Throttle;
use self::tls::{Certificates, TlsError};
use crate::connect::{Access, ConnectError, Lookup, Producer, SpanReader};
use crate::server::{self, Health};
use crate::settings::{Common, SettingsError};

const CLIENT_ID: &str = "millrace-gateway";
const LAST_REQUESTS: Duration = Duration::from_secs(5);
const LAST_WRITES: Duration = Duration::from_secs(10);

/// Flags of the gateway.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What every job takes
    #[command(flatten)]
    pub common: Common,
    /// Where HTTP is served
    #[arg(
        long,
        env = "MILLRACE_HTTP",
        default_value = "0.0.0.0:8080",
        value_name = "ADDR"
    )]
    pub http: SocketAddr,
    /// Where MQTT 3.1.1 and 5 are served
    #[arg(
        long,
        env = "MILLRACE_MQTT",
        default_value = "0.0.0.0:1883",
        value_name = "ADDR"
    )]
    pub mqtt: SocketAddr,
    /// Where HTTPS is served, when there is a certificate
    #[arg(
        long,
        env = "MILLRACE_HTTPS",
        default_value = "0.0.0.0:8443",
        value_name = "ADDR"
    )]
    pub https: SocketAddr,
    /// Where MQTT over TLS is served, when there is a certificate
    #[arg(
        long,
        env = "MILLRACE_MQTTS",
        default_value = "0.0.0.0:8883",
        value_name = "ADDR"
    )]
    pub mqtts: SocketAddr,
    /// Folder with tls.crt and tls.key; else that of the binding of type millrace-gateway-tls
    #[arg(long, env = "MILLRACE_TLS_DIRECTORY", value_name = "DIR")]
    pub tls_directory: Option<PathBuf>,
    /// Folder whose file ingest.yaml says whether telemetry is taken in; without the file it is
    #[arg(
        long,
        env = "MILLRACE_INGEST_DIRECTORY",
        default_value = "/etc/millrace/ingest",
        value_name = "DIR"
    )]
    pub ingest_directory: PathBuf,
}

/// Why the gateway cannot run.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Kafka's client.
    #[error(transparent)]
    Kafka(#[from] ConnectError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A socket.
    #[error("{address}: cannot listen: {source}; choose a free address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A server ended.
    #[error("{what}: {source}; see the log above")]
    Server {
        /// Which.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// How far the followed topics have been read.
struct Followed {
    credentials: Progress,
    notifications: Progress,
    notified: Progress,
    hires: Progress,
    audit: Progress,
}

/// What all parts of the gateway share.
pub struct Gateway {
    config: Config,
    secrets: Secrets,
    credentials: Arc<Credentials>,
    redriven: Arc<Redriven>,
    downlink: Arc<Downlink>,
    ingest: Ingest,
    throttle: Arc<Throttle>,
    producer: Producer,
    lookup: Lookup,
    spans: SpanReader,
    access: Access,
    followed: Followed,
    turns: Turns,
    bodies: Bodies,
    metrics: Arc<Metrics>,
    runtime: Handle,
}

/// A gateway that serves; its addresses are the bound ones.
pub struct Running {
    /// HTTP.
    pub http: SocketAddr,
    /// MQTT.
    pub mqtt: SocketAddr,
    /// HTTPS, with a certificate.
    pub https: Option<SocketAddr>,
    /// MQTT over TLS, with a certificate.
    pub mqtts: Option<SocketAddr>,
    /// Health and metrics.
    pub metrics: SocketAddr,
    mqtt_server: mqtt::Running,
    http_server: JoinHandle<std::io::Result<()>>,
    gateway: Arc<Gateway>,
    stop: CancellationToken,
}

/// Runs until `stop` is cancelled; then finishes what was received.
///
/// # Errors
/// When the settings are not usable, an address is taken or a server ends.
pub async fn run(args: Args, stop: CancellationToken) -> Result<(), GatewayError> {
    let Some(running) = start(args, stop.clone()).await? else {
        return Ok(());
    };
    stop.cancelled().await;
    running.finish().await
}

/// Starts the gateway and comes back when it serves: after all topics that it follows have been read.
/// `None` when `stop` was cancelled before.
///
/// # Errors
/// As [`run`].
pub async fn start(args: Args, stop: CancellationToken) -> Result<Option<Running>, GatewayError> {
    let config: Config = args.common.load_config()?;
    config.validate()?;
    let bindings = args.common.bindings()?;
    let secrets = Secrets::from_bindings(&bindings)?;
    let access = args.common.kafka(&bindings)?;

    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::new(&mut registry));
    let health = Health::new();
    health.waiting("listeners", "not open yet");
    let metrics_address =
        server::serve(args.common.metrics, health.clone(), registry, stop.clone())
            .await
            .map_err(|source| GatewayError::Server {
                what: "--metrics",
                source,
            })?;
    let directory = tls::directory(args.tls_directory.as_deref(), &bindings);
    let certificates = directory.as_deref().map(Certificates::open).transpose()?;
    let sockets = Sockets::open(&args, certificates.is_some())?;

    let throttle = Arc::new(Throttle::open(&args.ingest_directory)?);
    let gateway = Arc::new(assemble::gateway(
        config,
        secrets,
        &access,
        Arc::clone(&throttle),
        Arc::clone(&metrics),
        &health,
        &stop,
    )?);
    tokio::spawn(access.follow(health.clone(), stop.clone()));
    // Before that, vehicles that are enrolled would be turned away.
    if !assemble::restored(&health, &stop).await {
        return Ok(None);
    }
    tokio::spawn(throttle.follow(Arc::clone(&metrics), stop.clone()));
    assemble::spawn_upkeep(&gateway, health.clone(), &stop);
    let bound = sockets.addresses()?;
    let servers = serve(sockets, &gateway, certificates.as_ref(), &stop)?;
    if let Some(certificates) = certificates {
        tokio::spawn(certificates.follow(metrics, stop.clone()));
    }
    health.ready("listeners");
    tracing::info!(
        http = %bound.http, mqtt = %bound.mqtt, https = ?bound.https, mqtts = ?bound.mqtts,
        metrics = %metrics_address, "serving"
    );
    Ok(Some(Running {
        http: bound.http,
        mqtt: bound.mqtt,
        https: bound.https,
        mqtts: bound.mqtts,
        metrics: metrics_address,
        mqtt_server: servers.mqtt,
        http_server: servers.http,
        gateway,
        stop,
    }))
}

impl Running {
    /// Stops in order: no new requests, what was received is finished, what was delivered is recorded.
    ///
    /// # Errors
    /// When a server had ended with an error.
    pub async fn finish(self) -> Result<(), GatewayError> {
        self.stop.cancel();
        let mqtt = self
            .mqtt_server
            .stop()
            .await
            .map_err(|source| GatewayError::Server {
                what: "MQTT",
                source,
            });
        let http = ended(self.http_server, LAST_REQUESTS)
            .await
            .map_err(|source| GatewayError::Server {
                what: "HTTP",
                source,
            });
        // Whatever became of the servers, what they took in is written.
        if let Err(error) = self.gateway.producer.flush(LAST_WRITES).await {
            tracing::warn!(%error, "some records were not acknowledged before the end");
        }
        mqtt.and(http)?;
        tracing::info!("stopped");
        Ok(())
    }
}

// A client that sends its body slowly must not keep the process from its last writes.
async fn ended(
    mut server: JoinHandle<std::io::Result<()>>,
    patience: Duration,
) -> std::io::Result<()> {
    match tokio::time::timeout(patience, &mut server).await {
        Ok(Ok(result)) => result,
        Ok(Err(join)) => Err(std::io::Error::other(join)),
        Err(_) => {
            server.abort();
            tracing::warn!(
                seconds = patience.as_secs(),
                "some HTTP requests did not end in time and are given up"
            );
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_does_not_end_is_given_up() {
        let patience = Duration::from_millis(20);
        let hanging = tokio::spawn(std::future::pending());
        assert!(ended(hanging, patience).await.is_ok());
        let broken = tokio::spawn(async { Err(std::io::Error::other("x")) });
        assert!(ended(broken, patience).await.is_err());
    }
}
