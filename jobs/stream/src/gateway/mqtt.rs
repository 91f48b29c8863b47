//! The MQTT side: 3.1.1 and 5 on one port, on a thread of its own.
//!
//! A PUBLISH is acknowledged by its handler's return, which waits for Kafka. What both versions do alike
//! is in [`Peer`]; the two halves below only speak their dialects.

mod dialect3;
mod dialect5;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use millrace_contract::{Invalid, Telemetry, TraceParent};
use ntex::io::{Filter, Io};
use ntex::service::cfg::SharedCfg;
use ntex::service::{ServiceFactory, chain_factory, fn_factory_with_config, fn_service};
use ntex::tls::rustls::TlsAcceptor;
use ntex_mqtt::{MqttError, MqttServer, MqttServiceConfig, QoS, v3, v5};
use rustls::ServerConfig;
use tokio::sync::{mpsc, oneshot};

use super::Gateway;
use super::credentials::AuthError;
use super::downlink::Command;
use super::ingest::{Sender, StoreError, Stored};
use super::metrics::{Channel, Refusal};
use super::outbox::SessionId;
use super::throttle::Throttle;

// More than a packet may have: payloads are always handed over whole, so handlers start in order.
const NEVER_STREAM: u32 = u32::MAX / 2;
const CONNECT_SECONDS: u16 = 10;
// Topic and header of a PUBLISH beside its payload.
const OVERHEAD: u32 = 1024;
/// A client that asks for no keep-alive is still looked after.
const LONGEST_SILENCE_SECONDS: u16 = 3600;

/// A socket that MQTT is served on.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// With TLS, its settings.
    pub tls: Option<Arc<ServerConfig>>,
}

/// A running MQTT server.
pub struct Running {
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<std::io::Result<()>>,
}

impl Running {
    /// Closes all sessions and waits until what was received has been handled.
    ///
    /// # Errors
    /// When the server had ended with an error before.
    pub async fn stop(self) -> std::io::Result<()> {
        let _ = self.stop.send(());
        self.stopped.await.unwrap_or(Ok(()))
    }
}

/// Starts to serve MQTT on all of the listeners.
///
/// # Errors
/// When the thread cannot be started.
pub fn serve(listeners: Vec<Listener>, gateway: Arc<Gateway>) -> std::io::Result<Running> {
    let (stop, stop_asked) = oneshot::channel();
    let (report, stopped) = oneshot::channel();
    std::thread::Builder::new()
        .name("mqtt".to_owned())
        .spawn(move || {
            let system = ntex::rt::System::build()
                .name("mqtt")
                .disable_signals()
                .build(ntex::rt::DefaultRuntime);
            let result = system.block_on(run(listeners, gateway, stop_asked));
            if let Err(error) = &result {
                tracing::error!(%error, "the MQTT server ended");
            }
            let _ = report.send(result);
        })?;
    Ok(Running { stop, stopped })
}

async fn run(
    listeners: Vec<Listener>,
    gateway: Arc<Gateway>,
    stop_asked: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let connections = usize::try_from(gateway.config.max_connections).unwrap_or(usize::MAX);
    let mut server = ntex::server::build()
        .workers(1)
        .maxconn(connections.saturating_mul(listeners.len()))
        .disable_signals()
        .shutdown_timeout(ntex::time::Seconds(10));
    for Listener { socket, tls } in listeners {
        let name = if tls.is_some() { "mqtts" } else { "mqtt" };
        let gateway = Arc::clone(&gateway);
        let limits = limits(&gateway);
        server = match tls {
            None => server.listen(name, socket, async move |_| both_versions(&gateway))?,
            Some(tls) => server.listen(name, socket, async move |_| {
                chain_factory(TlsAcceptor::new(Arc::clone(&tls)))
                    .map_err(|error| {
                        tracing::debug!(%error, "no TLS");
                        MqttError::Service(Cutoff::Tls)
                    })
                    .and_then(both_versions(&gateway))
            })?,
        };
        server = server.config(name, SharedCfg::new(name).add(limits));
    }
    let server = server.run();
    let _ = stop_asked.await;
    server.stop(true).await;
    Ok(())
}

fn limits(gateway: &Gateway) -> MqttServiceConfig {
    let limit = gateway.config.max_body_bytes;
    MqttServiceConfig::new()
        .set_max_qos(QoS::AtLeastOnce)
        .set_max_size(limit.saturating_add(OVERHEAD))
        .set_max_receive(gateway.config.receive_maximum)
        .set_max_receive_size(limit.saturating_add(OVERHEAD) as usize)
        .set_min_chunk_size(NEVER_STREAM)
        .set_connect_timeout(ntex::time::Seconds(CONNECT_SECONDS))
}

// A connection, encrypted or not, speaks the version that its first packet names.
fn both_versions<F: Filter>(
    gateway: &Arc<Gateway>,
) -> impl ServiceFactory<Io<F>, SharedCfg, Response = (), Error = MqttError<Cutoff>, InitError = ()>
+ use<F> {
    let (three, five) = (Arc::clone(gateway), Arc::clone(gateway));
    let v3 =
        v3::MqttServer::new(async move |hello| dialect3::handshake(three.clone(), hello).await)
            .protocol(fn_factory_with_config(
                async |session: v3::Session<Peer>| {
                    Ok::<_, Cutoff>(fn_service(move |message| {
                        dialect3::protocol(session.clone(), message)
                    }))
                },
            ))
            .publish(fn_factory_with_config(
                async |session: v3::Session<Peer>| {
                    Ok::<_, Cutoff>(fn_service(move |packet| {
                        dialect3::publish(session.clone(), packet)
                    }))
                },
            ));
    let v5 = v5::MqttServer::new(async move |hello| dialect5::handshake(five.clone(), hello).await)
        .protocol(fn_factory_with_config(
            async |session: v5::Session<Peer>| {
                Ok::<_, Cutoff>(fn_service(move |message| {
                    dialect5::protocol(session.clone(), message)
                }))
            },
        ))
        .publish(fn_factory_with_config(
            async |session: v5::Session<Peer>| {
                Ok::<_, Cutoff>(fn_service(move |packet| {
                    dialect5::publish(session.clone(), packet)
                }))
            },
        ));
    MqttServer::new().v3(v3).v5(v5)
}

/// Ends a connection: the dialects have no better answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Cutoff {
    /// The events could not be stored: without an acknowledgement the vehicle sends them again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vehicle published to a topic that is not its own.
    #[error("{0}")]
    Topic(Invalid),
    /// The payload did not come whole.
    #[error("payload: incomplete: the connection broke; send it again")]
    Payload,
    /// There was no TLS on a connection that needs it.
    #[error(
        "TLS: the handshake failed; connect with TLS 1.2 or 1.3 and trust the gateway's certificate"
    )]
    Tls,
    /// The worker that waits for Kafka is gone: the process is about to end.
    #[error("gateway: stopping: events are no longer taken; send them again")]
    Stopping,
}

// The library's default services fail with the unit type; they never do here.
impl From<()> for Cutoff {
    fn from((): ()) -> Self {
        Self::Stopping
    }
}

/// One connection of one vehicle.
pub struct Peer {
    vehicle: String,
    session: SessionId,
    gateway: Arc<Gateway>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.gateway.downlink.closed(&self.vehicle, self.session);
        tracing::debug!(vehicle = self.vehicle, "MQTT session closed");
    }
}

impl Peer {
    /// Lets a vehicle in and opens its session, or says why not.
    fn admit(
        gateway: Arc<Gateway>,
        username: Option<&str>,
        password: Option<&[u8]>,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Command>), AuthError> {
        let vehicle = username.unwrap_or_default().to_owned();
        let token = password.and_then(|p| std::str::from_utf8(p).ok());
        let refuse = |error| {
            gateway.metrics.refused(Channel::Mqtt, Refusal::Auth, 1);
            // The name is what anybody may have typed: only the known ones are logged.
            tracing::info!(
                known = gateway.credentials.partition_of(&vehicle).is_some(),
                "MQTT connection refused"
            );
            error
        };
        let check = || {
            let now = Timestamp::now();
            gateway.credentials.check(&vehicle, token, now)
        };
        let known = check().map_err(refuse)?;
        let (session, commands) = gateway.downlink.open(&vehicle, known);
        let peer = Self {
            vehicle: vehicle.clone(),
            session,
            gateway: Arc::clone(&gateway),
        };
        // A revocation in between found no session to close; what comes from here on finds this one.
        check().map_err(refuse)?;
        tracing::debug!(vehicle, session, "MQTT session opened");
        Ok((peer, commands))
    }

    /// Stores a payload; completes when Kafka has acknowledged it.
    async fn publish(
        &self,
        topic: &str,
        payload: &[u8],
        trace: TraceParent,
    ) -> Result<Stored, Cutoff> {
        let since = Instant::now();
        let own = format!("vehicles/{}/telemetry", self.vehicle);
        if topic != own {
            self.gateway
                .metrics
                .refused(Channel::Mqtt, Refusal::Auth, 1);
            let invalid = Invalid::new(
                "topic",
                topic,
                "is not the vehicle's own",
                format!("publish to {own}"),
            );
            tracing::info!(vehicle = self.vehicle, %invalid, "refused");
            return Err(Cutoff::Topic(invalid));
        }
        let gateway = &self.gateway;
        if let Some(seconds) = gateway.throttle.refused() {
            gateway
                .metrics
                .refused(Channel::Mqtt, Refusal::Throttled, 1);
            return Err(StoreError::Throttled { seconds }.into());
        }
        let judged = gateway
            .ingest
            .judge::<Telemetry>(Some(&self.vehicle), payload);
        let room = gateway.ingest.room(&self.vehicle, &judged).await?;
        let sender = Sender {
            vehicle: Some(&self.vehicle),
            channel: Channel::Mqtt,
            since,
            trace,
        };
        let line = gateway.ingest.put_in_line(sender, payload, judged, room)?;
        // Timers belong to the main runtime, not to this thread's.
        let waiting = Arc::clone(gateway);
        let stored = gateway
            .runtime
            .spawn(async move { waiting.ingest.acknowledged(line, Channel::Mqtt).await });
        Ok(stored.await.map_err(|_| Cutoff::Stopping)??)
    }

    fn throttle(&self) -> &Throttle {
        &self.gateway.throttle
    }

    /// The one topic that this vehicle may subscribe to.
    fn notifications(&self) -> String {
        format!("vehicles/{}/notifications", self.vehicle)
    }

    /// Judges a subscription: granted only to the own notifications, and only acknowledged ones.
    fn judge_subscription(&self, topic: &str, qos: QoS) -> Result<(), Invalid> {
        let own = self.notifications();
        let invalid = if topic != own {
            Invalid::new(
                "topic",
                topic,
                "is not the vehicle's own",
                format!("subscribe to {own}"),
            )
        } else if qos == QoS::AtMostOnce {
            Invalid::new(
                "qos",
                "0",
                "notifications would get lost unnoticed",
                "subscribe with QoS 1",
            )
        } else {
            return Ok(());
        };
        tracing::info!(vehicle = self.vehicle, %invalid, "subscription refused");
        Err(invalid)
    }

    fn subscribed(&self) {
        self.gateway
            .downlink
            .subscribed(&self.vehicle, self.session, Timestamp::now());
    }

    fn unsubscribed(&self, topic: &str) {
        if topic == self.notifications() {
            self.gateway
                .downlink
                .unsubscribed(&self.vehicle, self.session);
        }
    }
}

/// What the answer to a stored payload says, where a dialect can say it.
fn summary(stored: &Stored) -> Option<String> {
    let first = stored.rejected.first()?;
    let of = stored.accepted + stored.rejected.len();
    Some(format!(
        "{} of {of} events rejected; the first: {}",
        stored.rejected.len(),
        first.invalid
    ))
}
