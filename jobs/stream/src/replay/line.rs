//! A vehicle's MQTT connection: it listens, and it sends batches that stay until they are acknowledged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millrace_contract::Notification;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS,
    SubscribeReasonCode,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::error::DriveError;
use crate::settings::Secret;

const KEEP_ALIVE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(300);
const LARGEST_PACKET: usize = 1024 * 1024 + 1024;

/// Where and as whom to connect.
#[derive(Debug, Clone)]
pub struct Address {
    /// Host of the gateway's MQTT side.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The vehicle.
    pub vehicle: String,
    /// Its token.
    pub token: Secret,
}

/// The connection of one vehicle.
pub struct Line {
    telemetry: String,
    shared: Arc<Mutex<Shared>>,
    subscribed: watch::Receiver<bool>,
}

#[derive(Default)]
struct Shared {
    // Present while connected.
    client: Option<AsyncClient>,
    // What waits for its acknowledgement: one at a time, so nothing overtakes on a reconnect.
    waiting: Option<(Vec<u8>, oneshot::Sender<()>)>,
    refused: Option<String>,
}

impl Line {
    /// Connects in the background, and again whenever the connection breaks. What the vehicle receives goes
    /// to `received`.
    #[must_use]
    pub fn open(
        address: Address,
        received: mpsc::UnboundedSender<Notification>,
        stop: CancellationToken,
    ) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (report, subscribed) = watch::channel(false);
        let telemetry = format!("vehicles/{}/telemetry", address.vehicle);
        let line = Self {
            telemetry: telemetry.clone(),
            shared: Arc::clone(&shared),
            subscribed,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = keep(&address, &telemetry, &shared, &report, &received) => {}
            }
        });
        line
    }

    /// Completes when the vehicle is subscribed to its notifications for the first time.
    ///
    /// # Errors
    /// When the gateway turns the vehicle away or stays away for longer than `patience`.
    pub async fn subscribed(&self, patience: Duration) -> Result<(), DriveError> {
        let mut subscribed = self.subscribed.clone();
        match tokio::time::timeout(patience, subscribed.wait_for(|s| *s)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(self.refusal()),
            Err(_) => Err(DriveError::Away {
                what: "MQTT subscription",
                problem: "no answer".to_owned(),
                seconds: patience.as_secs(),
            }),
        }
    }

    /// Publishes a batch until it is acknowledged.
    ///
    /// # Errors
    /// When the gateway turns the vehicle away or does not acknowledge within `patience`.
    pub async fn send(&self, body: Vec<u8>, patience: Duration) -> Result<(), DriveError> {
        let (done, acknowledged) = oneshot::channel();
        {
            let mut shared = lock(&self.shared);
            publish(&shared, &self.telemetry, &body);
            shared.waiting = Some((body, done));
        }
        match tokio::time::timeout(patience, acknowledged).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.refusal()),
            Err(_) => Err(DriveError::Away {
                what: "MQTT publish",
                problem: "no PUBACK".to_owned(),
                seconds: patience.as_secs(),
            }),
        }
    }

    fn refusal(&self) -> DriveError {
        let problem = lock(&self.shared).refused.clone();
        DriveError::Mqtt(problem.unwrap_or_else(|| "the connection was closed".to_owned()))
    }
}

// A full queue is no loss: the batch is published again on the next connection.
fn publish(shared: &Shared, topic: &str, body: &[u8]) {
    if let Some(client) = &shared.client {
        let _ = client.try_publish(topic, QoS::AtLeastOnce, false, body);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn keep(
    address: &Address,
    telemetry: &str,
    shared: &Mutex<Shared>,
    report: &watch::Sender<bool>,
    received: &mpsc::UnboundedSender<Notification>,
) {
    loop {
        let mut options = MqttOptions::new(
            format!("replay-{}", address.vehicle),
            &address.host,
            address.port,
        );
        options
            .set_credentials(&address.vehicle, address.token.expose())
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_session(false)
            .set_max_packet_size(LARGEST_PACKET, LARGEST_PACKET);
        // A new client for each connection: this one decides itself what is sent again.
        let (client, mut events) = AsyncClient::new(options, 16);
        let error = serve(
            address,
            telemetry,
            shared,
            report,
            received,
            &client,
            &mut events,
        )
        .await;
        lock(shared).client = None;
        match error {
            ConnectionError::ConnectionRefused(
                code @ (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized),
            ) => {
                let mut shared = lock(shared);
                shared.refused = Some(format!(
                    "vehicle {}: connection refused: {code:?}",
                    address.vehicle
                ));
                shared.waiting = None;
                return;
            }
            error => {
                tracing::debug!(vehicle = address.vehicle, %error, "MQTT connection broke; connecting again")
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn serve(
    address: &Address,
    telemetry: &str,
    shared: &Mutex<Shared>,
    report: &watch::Sender<bool>,
    received: &mpsc::UnboundedSender<Notification>,
    client: &AsyncClient,
    events: &mut EventLoop,
) -> ConnectionError {
    loop {
        let packet = match events.poll().await {
            Ok(Event::Incoming(packet)) => packet,
            Ok(Event::Outgoing(_)) => continue,
            Err(error) => return error,
        };
        match packet {
            Packet::ConnAck(_) => {
                let topic = format!("vehicles/{}/notifications", address.vehicle);
                let _ = client.try_subscribe(topic, QoS::AtLeastOnce);
                let mut shared = lock(shared);
                shared.client = Some(client.clone());
                if let Some((body, _)) = &shared.waiting {
                    publish(&shared, telemetry, body);
                }
            }
            Packet::SubAck(ack)
                if matches!(
                    ack.return_codes.first(),
                    Some(SubscribeReasonCode::Success(_))
                ) =>
            {
                report.send_replace(true);
            }
            Packet::PubAck(_) => {
                if let Some((_, done)) = lock(shared).waiting.take() {
                    let _ = done.send(());
                }
            }
            Packet::Publish(publish) => {
                match serde_json::from_slice::<Notification>(&publish.payload) {
                    Ok(notification) => {
                        let _ = received.send(notification);
                    }
                    Err(error) => {
                        tracing::warn!(vehicle = address.vehicle, %error, "unreadable notification")
                    }
                }
            }
            _ => {}
        }
    }
}
