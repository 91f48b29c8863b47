//! The gateway: MQTT and HTTP in, Kafka out, and the way back to the vehicle.
//!
//! An event is acknowledged (HTTP 200, PUBACK) only after Kafka has acknowledged it. No raw driver id goes
//! to Kafka or into a log. Every replica follows the topics `vehicle-credentials`, `notifications` and
//! `notified` as a whole and keeps nothing of its own.

mod admin;
mod answer;
pub mod config;
pub mod credentials;
pub mod downlink;
pub mod flow;
mod follower;
mod http;
pub mod ingest;
pub mod intake;
pub mod metrics;
pub mod mqtt;
mod notify;
pub mod outbox;
pub mod seal;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use millrace_contract::{Notification, topics};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::config::{Config, Secrets};
use self::credentials::Credentials;
use self::downlink::Downlink;
use self::follower::{Progress, follow};
use self::http::Bodies;
use self::ingest::Ingest;
use self::metrics::Metrics;
use self::notify::Turns;
use crate::connect::{ConnectError, Lookup, Producer};
use crate::server::{self, Health};
use crate::settings::{Common, SettingsError};

const CLIENT_ID: &str = "millrace-gateway";
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
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
}

/// What all parts of the gateway share.
pub struct Gateway {
    config: Config,
    secrets: Secrets,
    credentials: Arc<Credentials>,
    downlink: Arc<Downlink>,
    ingest: Ingest,
    producer: Producer,
    lookup: Lookup,
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
    let bootstrap = args.common.kafka_servers(&bindings)?;

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
    let http = TcpListener::bind(args.http)
        .await
        .map_err(|source| GatewayError::Listen {
            address: args.http,
            source,
        })?;
    let mqtt = std::net::TcpListener::bind(args.mqtt).map_err(|source| GatewayError::Listen {
        address: args.mqtt,
        source,
    })?;

    let gateway = Arc::new(assemble(
        config, secrets, &bootstrap, metrics, &health, &stop,
    )?);
    // Before that, vehicles that are enrolled would be turned away.
    if !restored(&health, &stop).await {
        return Ok(None);
    }
    spawn_upkeep(Arc::clone(&gateway), health.clone(), stop.clone());
    let http_address = http.local_addr().map_err(|source| GatewayError::Server {
        what: "HTTP",
        source,
    })?;
    let app = http::routes(Arc::clone(&gateway));
    let http_server = tokio::spawn({
        let stop = stop.clone();
        async move {
            axum::serve(http, app)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await
        }
    });
    let mqtt_server =
        mqtt::serve(mqtt, Arc::clone(&gateway)).map_err(|source| GatewayError::Server {
            what: "MQTT",
            source,
        })?;
    health.ready("listeners");
    tracing::info!(http = %http_address, mqtt = %mqtt_server.address, metrics = %metrics_address, "serving");
    Ok(Some(Running {
        http: http_address,
        mqtt: mqtt_server.address,
        metrics: metrics_address,
        mqtt_server,
        http_server,
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

fn assemble(
    config: Config,
    secrets: Secrets,
    bootstrap: &str,
    metrics: Arc<Metrics>,
    health: &Health,
    stop: &CancellationToken,
) -> Result<Gateway, GatewayError> {
    let producer = Producer::new(bootstrap, CLIENT_ID)?;
    let lookup = Lookup::new(bootstrap, CLIENT_ID)?;
    let runtime = Handle::current();
    let credentials = Arc::new(Credentials::default());
    let downlink = Arc::new(Downlink::new(
        config.remember_seconds,
        producer.clone(),
        Arc::clone(&metrics),
        runtime.clone(),
    ));
    let followed = Followed {
        credentials: follow_credentials(bootstrap, health, stop, &credentials, &downlink, &metrics),
        notifications: follow_notifications(bootstrap, health, stop, &downlink),
        notified: follow_notified(bootstrap, health, stop, &downlink),
    };
    let ingest = Ingest::new(
        config.clone(),
        secrets.clone(),
        producer.clone(),
        Arc::clone(&metrics),
    );
    Ok(Gateway {
        config,
        secrets,
        credentials,
        downlink,
        ingest,
        producer,
        lookup,
        followed,
        turns: Turns::default(),
        bodies: Bodies::default(),
        metrics,
        runtime,
    })
}

fn follow_credentials(
    bootstrap: &str,
    health: &Health,
    stop: &CancellationToken,
    credentials: &Arc<Credentials>,
    downlink: &Arc<Downlink>,
    metrics: &Arc<Metrics>,
) -> Progress {
    let (credentials, downlink, metrics) = (
        Arc::clone(credentials),
        Arc::clone(downlink),
        Arc::clone(metrics),
    );
    follow(
        bootstrap.to_owned(),
        CLIENT_ID,
        topics::VEHICLE_CREDENTIALS,
        health.clone(),
        stop.clone(),
        move |record| {
            let Some(vehicle) = record.key_text() else {
                return;
            };
            if credentials.apply(vehicle, record.payload.as_deref()) {
                downlink.cut(vehicle);
            }
            metrics
                .vehicles
                .set(i64::try_from(credentials.len()).unwrap_or(i64::MAX));
        },
    )
}

fn follow_notifications(
    bootstrap: &str,
    health: &Health,
    stop: &CancellationToken,
    downlink: &Arc<Downlink>,
) -> Progress {
    let downlink = Arc::clone(downlink);
    follow(
        bootstrap.to_owned(),
        CLIENT_ID,
        topics::NOTIFICATIONS,
        health.clone(),
        stop.clone(),
        move |record| match serde_json::from_slice::<Notification>(
            record.payload.as_deref().unwrap_or_default(),
        ) {
            Ok(notification) => downlink.offer(notification, Timestamp::now()),
            Err(error) => tracing::error!(
                partition = record.partition, offset = record.offset, %error,
                "unreadable record in topic notifications; it is passed over"
            ),
        },
    )
}

fn follow_notified(
    bootstrap: &str,
    health: &Health,
    stop: &CancellationToken,
    downlink: &Arc<Downlink>,
) -> Progress {
    let downlink = Arc::clone(downlink);
    follow(
        bootstrap.to_owned(),
        CLIENT_ID,
        topics::NOTIFIED,
        health.clone(),
        stop.clone(),
        move |record| {
            if let Some(id) = record.key_text() {
                downlink.apply_notified(id, record.payload.as_deref());
            }
        },
    )
}

async fn restored(health: &Health, stop: &CancellationToken) -> bool {
    // Everything but the listeners themselves.
    while health.reasons().len() > 1 {
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
    !stop.is_cancelled()
}

fn spawn_upkeep(gateway: Arc<Gateway>, health: Health, stop: CancellationToken) {
    tokio::spawn(async move {
        let mut every = tokio::time::interval(UPKEEP_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = every.tick() => {}
            }
            gateway.downlink.expire(Timestamp::now());
            if let Some(reason) = gateway.producer.fatal() {
                tracing::error!(reason, "the Kafka producer is of no use any more");
                health.dead(format!("Kafka producer: {reason}"));
            }
        }
    });
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
