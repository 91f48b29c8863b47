//! The gateway takes no telemetry in while its file says so, and goes on with everything else.
//!
//! `cargo test -p millrace-stream --test systems_gateway_throttle -- --ignored`
#![cfg(test)]

mod support;

use std::time::{Duration, Instant};

use millrace_contract::topics;
use millrace_testkit::Kafka;
use reqwest::StatusCode;
use rumqttc::v5::mqttbytes::v5::{Packet as FivePacket, PubAckReason};
use rumqttc::{Event, Packet, QoS};
use serde_json::json;
use support::five::Five;
use support::{Gateway, Vehicle, all, create_topics, event, notification};

const PATIENCE: Duration = Duration::from_secs(20);

async fn until_gauge(gateway: &Gateway, value: &str) {
    let wanted = format!("\nmillrace_gateway_throttled {value}\n");
    let end = Instant::now() + PATIENCE;
    while !gateway.metrics().await.contains(&wanted) {
        assert!(Instant::now() < end, "{}", gateway.log_text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn telemetry_waits_and_nothing_else_does() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let gateway = Gateway::start(&bootstrap, "").await;
    let token = gateway.enrol("car").await;
    let mut car = Vehicle::connect(&gateway, "car", &token).await.unwrap();
    car.subscribe().await;
    car.publish(&event("car", 1, &json!({})).to_string()).await;
    until_gauge(&gateway, "0").await;

    gateway.order("accept: none\nretryAfterSeconds: 7\n");
    until_gauge(&gateway, "1").await;
    let response = gateway
        .client
        .post(gateway.url("/v1/vehicles/car/telemetry"))
        .bearer_auth(&token)
        .body(event("car", 2, &json!({})).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "7");
    let text = response.text().await.unwrap();
    assert!(
        text.contains("ingest") && text.contains("accept none"),
        "{text}"
    );

    // MQTT 3.1.1: no word, and no acknowledgement.
    let body = event("car", 3, &json!({})).to_string();
    car.client
        .publish("vehicles/car/telemetry", QoS::AtLeastOnce, false, body)
        .await
        .unwrap();
    let end = Instant::now() + Duration::from_secs(2);
    while let Ok(polled) = tokio::time::timeout(
        end.saturating_duration_since(Instant::now()),
        car.events.poll(),
    )
    .await
    {
        let polled = polled.unwrap();
        assert!(
            !matches!(polled, Event::Incoming(Packet::PubAck(_))),
            "{polled:?}"
        );
    }

    // MQTT 5: quota exceeded, and the connection stays.
    let other = gateway.enrol("five").await;
    let mut five = Five::connect(&gateway, "five", &other).await;
    five.client
        .publish(
            "vehicles/five/telemetry",
            rumqttc::v5::mqttbytes::QoS::AtLeastOnce,
            false,
            event("five", 1, &json!({})).to_string(),
        )
        .await
        .unwrap();
    let refused = loop {
        let polled = tokio::time::timeout(PATIENCE, five.events.poll()).await;
        if let rumqttc::v5::Event::Incoming(FivePacket::PubAck(ack)) = polled.unwrap().unwrap() {
            break ack;
        }
    };
    assert_eq!(refused.reason, PubAckReason::QuotaExceeded);
    five.stays(Duration::from_millis(500)).await;

    // The way to the vehicle is open.
    let (status, _) = gateway.notify(&notification("n1", "car", 600)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let (publish, notice) = car.next_notification().await;
    assert_eq!(notice["id"], "n1");
    car.acknowledge(&publish).await;
    assert_eq!(all(&bootstrap, topics::TELEMETRY).await.len(), 1);

    gateway.order("accept: all\n");
    car.until("PUBACK", |p| matches!(p, Packet::PubAck(_)))
        .await;
    until_gauge(&gateway, "0").await;
    let (status, _) = gateway
        .post("car", &token, event("car", 4, &json!({})).to_string())
        .await;
    assert_eq!(status, StatusCode::OK);
    let sequences: Vec<u64> = all(&bootstrap, topics::TELEMETRY)
        .await
        .iter()
        .map(|record| {
            let value: serde_json::Value =
                serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
            value["sequence"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(sequences, [1, 3, 4]);
    let log = gateway.log_text();
    for told in ["no telemetry is taken in", "telemetry is taken in again"] {
        assert_eq!(log.matches(told).count(), 1, "{told}: {log}");
    }
}
