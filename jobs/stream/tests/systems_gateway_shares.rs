//! What one vehicle sends does not shut out the others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use millrace_testkit::Kafka;
use reqwest::StatusCode;
use serde_json::json;
use support::{Gateway, create_topics, event};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn slow_bodies_of_one_vehicle() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let gateway = Gateway::start(&bootstrap, "").await;
    let slow = gateway.enrol("slow").await;
    let other = gateway.enrol("other").await;
    let address = gateway.url("");
    let address = address.strip_prefix("http://").unwrap();
    let begun: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            let head = format!(
                "POST /v1/vehicles/slow/telemetry HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {slow}\r\n\
                 content-length: 1000000\r\n\r\n["
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;

    let response = gateway
        .client
        .post(gateway.url("/v1/vehicles/slow/telemetry"))
        .bearer_auth(&slow)
        .body(event("slow", 1, &json!({})).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "1");
    let body = event("other", 1, &json!({})).to_string();
    let (status, answer) = gateway.post("other", &other, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");

    drop(begun);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let body = event("slow", 1, &json!({})).to_string();
    let (status, answer) = gateway.post("slow", &slow, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}
