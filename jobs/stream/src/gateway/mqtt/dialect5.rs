//! MQTT 5: refusals carry a reason code and say why.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use millrace_contract::{Notification, trace};
use ntex::util::{ByteString, Bytes};
use ntex_mqtt::v5::codec::{
    ConnectAck, ConnectAckReason, Disconnect, DisconnectReasonCode, PublishAckReason,
    SubscribeAckReason,
};
use ntex_mqtt::v5::{
    Handshake, HandshakeAck, MqttSink, ProtocolMessage, ProtocolMessageAck, Publish, PublishAck,
    QoS, Session,
};
use tokio::sync::mpsc;

use super::{Cutoff, LONGEST_SILENCE_SECONDS, Peer, summary};
use crate::gateway::Gateway;
use crate::gateway::credentials::AuthError;
use crate::gateway::downlink::{Command, Cut};
use crate::gateway::ingest::{StoreError, trace_of};

// What has no answer of its own closes the connection.
impl TryFrom<Cutoff> for PublishAck {
    type Error = Cutoff;

    fn try_from(cutoff: Cutoff) -> Result<Self, Self::Error> {
        match cutoff {
            Cutoff::Topic(invalid) => Ok(PublishAck::new(PublishAckReason::NotAuthorized)
                .reason(ByteString::from(invalid.to_string()))),
            Cutoff::Store(error @ StoreError::Throttled { .. }) => {
                Ok(PublishAck::new(PublishAckReason::QuotaExceeded)
                    .reason(ByteString::from(error.to_string())))
            }
            other => Err(other),
        }
    }
}

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
            let ack = hello.ack(peer);
            Ok(if silent {
                ack.keep_alive(LONGEST_SILENCE_SECONDS)
            } else {
                ack
            })
        }
        Err(error) => {
            let reason_code = match error {
                AuthError::NoToken | AuthError::WrongToken(_) => {
                    ConnectAckReason::BadUserNameOrPassword
                }
                AuthError::UnknownVehicle(_) => ConnectAckReason::NotAuthorized,
            };
            let reason_string = Some(ByteString::from(error.to_string()));
            Ok(hello.fail_with(ConnectAck {
                reason_code,
                reason_string,
                ..ConnectAck::default()
            }))
        }
    }
}

/// PUBLISH.
pub(super) async fn publish(session: Session<Peer>, packet: Publish) -> Result<PublishAck, Cutoff> {
    let payload = packet.read_all().await.map_err(|_| Cutoff::Payload)?;
    let properties = &packet.packet().properties.user_properties;
    let told = properties.iter().find(|(name, _)| &**name == trace::NAME);
    let trace = trace_of(told.map(|(_, text)| &**text));
    let stored = session
        .publish(packet.publish_topic(), &payload, trace)
        .await?;
    Ok(match summary(&stored) {
        None => packet.ack(),
        Some(why) => {
            // A code of failure would make some clients send the good events of the batch again.
            let code = if stored.accepted == 0 {
                PublishAckReason::PayloadFormatInvalid
            } else {
                PublishAckReason::Success
            };
            packet.ack().reason_code(code).reason(ByteString::from(why))
        }
    })
}

/// All other packets.
pub(super) async fn protocol(
    session: Session<Peer>,
    message: ProtocolMessage,
) -> Result<ProtocolMessageAck, Cutoff> {
    Ok(match message {
        ProtocolMessage::Subscribe(mut subscribe) => {
            let (mut granted, mut refused) = (false, None);
            for mut one in &mut subscribe {
                match session.judge_subscription(one.topic(), one.options().qos) {
                    Ok(()) => {
                        one.confirm(QoS::AtLeastOnce);
                        granted = true;
                    }
                    Err(invalid) => {
                        one.fail(SubscribeAckReason::NotAuthorized);
                        refused = Some(invalid);
                    }
                }
            }
            if granted {
                session.subscribed();
            }
            match refused {
                Some(invalid) => subscribe
                    .ack_reason(ByteString::from(invalid.to_string()))
                    .ack(),
                None => subscribe.ack(),
            }
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

// What the library sends is counted against the client's Receive Maximum only from its first poll on, so a send
// starts when there is room for it and is polled once, before the next one. Meanwhile commands are heard.
async fn pump(
    gateway: Arc<Gateway>,
    topic: String,
    sink: MqttSink,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let mut waiting: VecDeque<Arc<Notification>> = VecDeque::new();
    loop {
        let room = async {
            if waiting.is_empty() {
                std::future::pending::<()>().await;
            }
            sink.ready().await
        };
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Deliver(notification)) => waiting.push_back(notification),
                Some(Command::Close(cut)) => return close(&sink, cut),
                None => return,
            },
            open = room => {
                if !open {
                    return;
                }
                if let Some(notification) = waiting.pop_front() {
                    send(&gateway, &topic, &sink, notification).await;
                }
            }
        }
    }
}

async fn send(
    gateway: &Arc<Gateway>,
    topic: &str,
    sink: &MqttSink,
    notification: Arc<Notification>,
) {
    // It may have waited for long.
    if notification.expires_at <= Timestamp::now() {
        return;
    }
    let Ok(payload) = serde_json::to_vec(&*notification) else {
        return;
    };
    let sent = sink
        .publish(topic.to_owned())
        .send_at_least_once(Bytes::from(payload));
    let mut sent = Box::pin(sent);
    if futures::poll!(&mut sent).is_ready() {
        // Only a connection that is gone answers at once.
        return;
    }
    let gateway = Arc::clone(gateway);
    ntex::rt::spawn(async move {
        if sent.await.is_ok() {
            gateway.downlink.delivered(&notification.id);
        }
    });
}

fn close(sink: &MqttSink, cut: Cut) {
    tracing::info!(?cut, "MQTT session closed from this side");
    let code = match cut {
        Cut::TakenOver => DisconnectReasonCode::SessionTakenOver,
        Cut::Rotated => DisconnectReasonCode::AdministrativeAction,
        Cut::Revoked => DisconnectReasonCode::NotAuthorized,
    };
    sink.close_with_reason(Disconnect::new(code));
}
