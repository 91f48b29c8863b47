//! TLS of the gateway: both protocols, and certificates that change while vehicles are connected.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use millrace_testkit::Kafka;
use reqwest::StatusCode;
use serde_json::json;
use support::tls::{Made, Tunnel};
use support::{Gateway, Vehicle, create_topics, event, notification};

async fn until_metric(gateway: &Gateway, line: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    while !gateway.metrics().await.contains(line) {
        assert!(Instant::now() < end, "no {line}: {}", gateway.log_text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn both_protocols_and_a_certificate_that_changes() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let (first, second) = (Made::new(), Made::new());
    let directory = tempfile::tempdir().unwrap();
    first.write(directory.path());
    let gateway = Gateway::start_with(&bootstrap, "", Some(directory.path())).await;
    let token = gateway.enrol("car").await;
    let https = Tunnel::open(gateway.https, &[&first, &second]).await;
    let mqtts = Tunnel::open(gateway.mqtts, &[&first, &second]).await;
    let post = async |sequence: u64| {
        // A client of its own: a connection of its own.
        let url = format!("http://127.0.0.1:{}/v1/vehicles/car/telemetry", https.port);
        let request = reqwest::Client::new().post(url).bearer_auth(&token);
        let body = event("car", sequence, &json!({})).to_string();
        request.body(body).send().await.unwrap().status()
    };

    assert_eq!(post(1).await, StatusCode::OK);
    assert_eq!(https.newest().unwrap(), first.certificate);
    let mut car = Vehicle::connect_at(mqtts.port, "car", &token)
        .await
        .unwrap();
    car.publish(&event("car", 2, &json!({})).to_string()).await;
    car.subscribe().await;
    assert_eq!(mqtts.newest().unwrap(), first.certificate);
    assert!(
        Vehicle::connect_at(mqtts.port, "car", "wrong")
            .await
            .is_err(),
        "a certificate is no token"
    );

    // Who trusts another certificate only does not speak to this gateway, nor does who speaks no TLS.
    let stranger = Tunnel::open(gateway.mqtts, &[&second]).await;
    assert!(
        Vehicle::connect_at(stranger.port, "car", &token)
            .await
            .is_err()
    );
    assert_eq!(stranger.newest(), None);
    assert!(
        Vehicle::connect_at(gateway.mqtts, "car", &token)
            .await
            .is_err()
    );

    // A new certificate: the open session lives, new connections get it.
    second.write(directory.path());
    until_metric(&gateway, "millrace_gateway_certificates_reloaded_total 1").await;
    car.publish(&event("car", 3, &json!({})).to_string()).await;
    gateway.notify(&notification("n1", "car", 600)).await;
    let (publish, value) = car.next_notification().await;
    assert_eq!(value["id"], "n1");
    car.acknowledge(&publish).await;
    assert_eq!(post(4).await, StatusCode::OK);
    assert_eq!(https.newest().unwrap(), second.certificate);

    // A bad one changes nothing, and is told.
    std::fs::write(directory.path().join("tls.crt"), "no certificate").unwrap();
    until_metric(&gateway, "millrace_gateway_certificates_rejected_total 1").await;
    assert!(gateway.log_text().contains("the last good one stays"));
    assert_eq!(post(5).await, StatusCode::OK);
    assert_eq!(https.newest().unwrap(), second.certificate);
    car.publish(&event("car", 6, &json!({})).to_string()).await;
    let token = gateway.enrol("other").await;
    let mut other = Vehicle::connect_at(mqtts.port, "other", &token)
        .await
        .unwrap();
    other
        .publish(&event("other", 1, &json!({})).to_string())
        .await;
    assert_eq!(mqtts.newest().unwrap(), second.certificate);
}
