//! Which actions ran is told to a gateway, once it takes it: who, what and how it ended, and nothing of what they were given.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use common::{Caller, can_isolate, settings};
use millrace_whisk::runs::ToldTo;
use millrace_whisk::serve::Server;
use serde_json::{Value, json};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What a gateway was told, and by which tokens.
#[derive(Default)]
struct Gateway {
    told: Vec<Value>,
    refused: usize,
}

async fn take(
    State(gateway): State<Arc<Mutex<Gateway>>>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    let mut gateway = gateway.lock().unwrap();
    if headers[header::AUTHORIZATION] != "Bearer a-new-token" {
        gateway.refused += 1;
        return StatusCode::UNAUTHORIZED;
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    gateway
        .told
        .extend(body["activations"].as_array().unwrap().iter().cloned());
    StatusCode::OK
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_is_told_until_the_gateway_takes_it() {
    if !can_isolate() {
        return;
    }
    let gateway = Arc::new(Mutex::new(Gateway::default()));
    let routes = Router::new()
        .route("/v1/activations", post(take))
        .with_state(Arc::clone(&gateway));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let data = tempfile::tempdir().unwrap();
    let token_file = data.path().join("token");
    std::fs::write(&token_file, "an-old-token\n").unwrap();
    let mut settings = settings(data.path());
    settings.audit = Some(ToldTo {
        gateway: format!("http://{address}"),
        token_file: token_file.clone(),
    });
    let server = Server::start(settings).await.unwrap();
    let caller = Caller::of(&server);
    caller.put("echo", json!({})).await;
    let event = json!({"cloudevent": {"traceparent": TRACE}, "driver": "Ada"});
    let (_, ran) = caller.invoke("echo", event).await;
    caller.invoke("echo", json!({"fail": true})).await;

    // What is refused waits: a new token is used without a restart.
    let begin = Instant::now();
    while gateway.lock().unwrap().refused == 0 {
        assert!(begin.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::write(&token_file, "a-new-token\n").unwrap();
    while gateway.lock().unwrap().told.len() < 2 {
        assert!(begin.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What ends last is told before the server does.
    caller.invoke("echo", json!({})).await;
    server.stop().await;

    let told = &gateway.lock().unwrap().told;
    assert_eq!(told.len(), 3, "{told:?}");
    let first = &told[0];
    assert_eq!(
        *first,
        json!({"time": first["time"], "subject": "me", "action_name": "me/echo", "activation": ran["activationId"],
            "status": "success", "trace": "4bf92f3577b34da6a3ce929d0e0e4736"})
    );
    let ended = ran["end"].as_i64().unwrap();
    let time: jiff::Timestamp = first["time"].as_str().unwrap().parse().unwrap();
    assert_eq!(time.as_millisecond(), ended);
    assert_eq!(told[1]["status"], "application_error");
    assert_eq!(told[1].get("trace"), None);
    assert!(!json!(told).to_string().contains("Ada"));
}
