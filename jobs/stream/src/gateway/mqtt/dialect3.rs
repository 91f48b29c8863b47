//! MQTT 3.1.1: refusals have few words, so a publish that may not be is answered by closing.

use std::sync::Arc;

use ntex::time::Seconds;
use ntex::util::Bytes;
use ntex_mqtt::v3::codec::ConnectAckReason;
use ntex_mqtt::v3::{
    Handshake, HandshakeAck, MqttSink, ProtocolMessage, ProtocolMessageAck, Publish, QoS, Session,
};
use tokio::sync::mpsc;

use super::{Cutoff, LONGEST_SILENCE_SECONDS, Peer};
use crate::gateway::Gateway;
use crate::gateway::credentials::AuthError;
use crate::gateway::downlink::Command;
use crate::gateway::ingest::{StoreError, trace_of};

/// CONNECT.
pub(super) async fn handshake(
    gateway: Arc<Gateway>,
    hello: Handshake,
) -> Result<HandshakeAck<Peer>, Cutoff> {
    let packet = hello.packet();
    let silent = packet.keep_alive == 0;
    match Peer::admit(
        gateway,
        packet.username.as_deref(),
        packet.password.as_deref(),
    ) {
        Ok((peer, commands)) => {
            ntex::rt::spawn(pump(
                peer.gateway.clone(),
                peer.notifications(),
                hello.sink(),
                commands,
            ));
            let ack = hello.ack(peer, false);
            Ok(if silent {
                ack.idle_timeout(Seconds(LONGEST_SILENCE_SECONDS))
            } else {
                ack
            })
        }
        Err(AuthError::NoToken | AuthError::WrongToken(_)) => {
            Ok(hello.failed(ConnectAckReason::BadUserNameOrPassword))
        }
        Err(AuthError::UnknownVehicle(_)) => Ok(hello.failed(ConnectAckReason::NotAuthorized)),
    }
}

/// PUBLISH: what is wrong with an event can only be told by its dead letter.
pub(super) async fn publish(session: Session<Peer>, packet: Publish) -> Result<(), Cutoff> {
    let payload = packet.read_all().await.map_err(|_| Cutoff::Payload)?;
    // There is no word for later: without an acknowledgement the vehicle keeps what it sent, and sends no more than so
    // many before it has one.
    loop {
        session.throttle().lifted().await;
        let published = session.publish(packet.publish_topic(), &payload, trace_of(None));
        match published.await {
            Err(Cutoff::Store(StoreError::Throttled { .. })) => {}
            result => return result.map(|_| ()),
        }
    }
}

/// All other packets.
pub(super) async fn protocol(
    session: Session<Peer>,
    message: ProtocolMessage,
) -> Result<ProtocolMessageAck, Cutoff> {
    Ok(match message {
        ProtocolMessage::Subscribe(mut subscribe) => {
            let mut granted = false;
            for mut one in &mut subscribe {
                match session.judge_subscription(one.topic(), one.qos()) {
                    Ok(()) => {
                        one.confirm(QoS::AtLeastOnce);
                        granted = true;
                    }
                    Err(_) => one.fail(),
                }
            }
            if granted {
                session.subscribed();
            }
            subscribe.ack()
        }
        ProtocolMessage::Unsubscribe(unsubscribe) => {
            for topic in unsubscribe.iter() {
                session.unsubscribed(topic);
            }
            unsubscribe.ack()
        }
        other => other.ack(),
    })
}

async fn pump(
    gateway: Arc<Gateway>,
    topic: String,
    sink: MqttSink,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Deliver(notification) => {
                let Ok(payload) = serde_json::to_vec(&*notification) else {
                    continue;
                };
                // Sent now, in order; only the acknowledgements are waited for side by side.
                let sent = sink
                    .publish(topic.clone())
                    .send_at_least_once(Bytes::from(payload));
                let gateway = Arc::clone(&gateway);
                ntex::rt::spawn(async move {
                    if sent.await.is_ok() {
                        gateway.downlink.delivered(&notification.id);
                    }
                });
            }
            Command::Close(cut) => {
                tracing::info!(?cut, "MQTT session closed from this side");
                sink.force_close();
                return;
            }
        }
    }
}
