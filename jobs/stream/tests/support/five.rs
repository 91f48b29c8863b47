//! A vehicle on MQTT 5.

use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};

use super::Gateway;

/// It acknowledges only when told to.
pub struct Five {
    id: String,
    pub client: AsyncClient,
    pub events: EventLoop,
}

impl Five {
    pub async fn connect(gateway: &Gateway, id: &str, token: &str) -> Self {
        Self::connect_with(gateway, id, token, None).await
    }

    /// Connects with a Receive Maximum.
    pub async fn connect_with(
        gateway: &Gateway,
        id: &str,
        token: &str,
        receive_maximum: Option<u16>,
    ) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", gateway.mqtt);
        options
            .set_credentials(id, token)
            .set_clean_start(true)
            .set_manual_acks(true);
        if receive_maximum.is_some() {
            options.set_receive_maximum(receive_maximum);
        }
        let (client, mut events) = AsyncClient::new(options, 16);
        let first = events.poll().await.unwrap();
        assert!(
            matches!(first, Event::Incoming(Packet::ConnAck(_))),
            "{first:?}"
        );
        Self {
            id: id.to_owned(),
            client,
            events,
        }
    }

    pub async fn subscribe(&mut self) {
        let topic = format!("vehicles/{}/notifications", self.id);
        self.client
            .subscribe(topic, QoS::AtLeastOnce)
            .await
            .unwrap();
    }

    /// The notices that come in so long a time.
    pub async fn notices(&mut self, time: Duration) -> Vec<Publish> {
        let mut found = Vec::new();
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.events.poll()).await {
                Err(_) => return found,
                Ok(Ok(Event::Incoming(Packet::Publish(publish)))) => found.push(publish),
                Ok(event) => {
                    event.unwrap();
                }
            }
        }
    }

    /// Polls until a message that was published is acknowledged.
    pub async fn acknowledged(&mut self) {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(20), self.events.poll());
            let event = event.await.expect("no acknowledgement").unwrap();
            if matches!(event, Event::Incoming(Packet::PubAck(_))) {
                return;
            }
        }
    }

    /// Asserts that the connection lives on for so long.
    pub async fn stays(&mut self, time: Duration) {
        self.notices(time).await;
    }

    /// Polls until the connection ends; gives what was said.
    pub async fn ends(&mut self) -> String {
        let mut said = String::new();
        loop {
            let event = tokio::time::timeout(Duration::from_secs(20), self.events.poll());
            match event.await.expect("the connection stays") {
                Ok(event) => said.push_str(&format!("{event:?} ")),
                Err(error) => return format!("{said}{error:?}"),
            }
        }
    }
}
