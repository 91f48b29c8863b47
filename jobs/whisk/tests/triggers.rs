//! Triggers and rules as clients, actions and a killed server see them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

mod common;

use std::time::Duration;

use common::{Caller, KEY, Program, can_isolate, settings};
use millrace_whisk::serve::Server;
use reqwest::Method;
use serde_json::{Value, json};

/// Answers with its input.
const ECHO: &str = "#!/bin/sh\nwhile read -r line; do v=${line#*\\\"value\\\":}; echo \"{\\\"line\\\":\\\"$(echo \"$line\" | tr -d '\\\"{}')\\\"}\" >&3; done\n";

async fn rule(caller: &Caller, name: &str, trigger: &str, action: &str) {
    let body = json!({ "trigger": format!("/_/{trigger}"), "action": format!("/_/{action}") });
    let (status, rule) = caller
        .call(Method::PUT, &format!("rules/{name}"), Some(body))
        .await;
    assert_eq!((status, &rule["status"]), (200, &json!("active")), "{rule}");
}

async fn trigger(caller: &Caller, name: &str, body: Value) {
    let (status, trigger) = caller
        .call(Method::PUT, &format!("triggers/{name}"), Some(body))
        .await;
    assert_eq!(status, 200, "{trigger}");
}

/// Fires, and reads the lines of the trigger's record, which is there as soon as the answer is.
async fn fire(caller: &Caller, name: &str, event: Value) -> Vec<Value> {
    let (status, answer) = caller
        .call(Method::POST, &format!("triggers/{name}"), Some(event))
        .await;
    assert_eq!(status, 202, "{answer}");
    let id = answer["activationId"].as_str().unwrap();
    let (status, record) = caller.get(&format!("activations/{id}")).await;
    assert_eq!(status, 200, "{record}");
    record["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| serde_json::from_str(line.as_str().unwrap()).unwrap())
        .collect()
}

/// The record of an activation, as soon as it is there.
async fn finished(caller: &Caller, id: &Value) -> Value {
    for _ in 0..200 {
        let (status, record) = caller
            .get(&format!("activations/{}", id.as_str().unwrap()))
            .await;
        if status == 200 {
            return record;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("activation {id} never got a record");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fire_starts_each_active_rule_and_keeps_the_key_to_itself() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(settings(data.path())).await.unwrap();
    let caller = Caller::of(&server);
    caller.put("one", json!({})).await;
    let echo = json!({ "exec": { "kind": "native:default", "code": ECHO },
        "parameters": [{ "key": "a", "value": "action" }, { "key": "b", "value": "action" }] });
    assert_eq!(
        caller.call(Method::PUT, "actions/echo", Some(echo)).await.0,
        200
    );
    let parameters = json!({ "parameters": [{ "key": "b", "value": "trigger" }, { "key": "c", "value": "trigger" }] });
    trigger(&caller, "t", parameters).await;
    let event = json!({ "c": "event" });
    let (status, _) = caller
        .call(Method::POST, "triggers/t", Some(event.clone()))
        .await;
    assert_eq!(status, 204, "nobody listens");
    rule(&caller, "r1", "t", "echo").await;
    rule(&caller, "r2", "t", "one").await;

    let lines = fire(&caller, "t", event.clone()).await;
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["rule"], "me/r2");
    assert_eq!(
        finished(&caller, &lines[1]["activationId"]).await["name"],
        "one"
    );
    let record = finished(&caller, &lines[0]["activationId"]).await;
    let line = record["response"]["result"]["line"].as_str().unwrap();
    for part in ["a:action", "b:trigger", "c:event", "__ow_headers:"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(
        !line.contains("uthorization") && !line.contains("Basic"),
        "{line}"
    );

    // What cannot be started is told, and the others start.
    let (_, told) = caller
        .call(
            Method::POST,
            "rules/r1",
            Some(json!({ "status": "inactive" })),
        )
        .await;
    assert_eq!(told, json!("OK"));
    rule(&caller, "r3", "t", "echo").await;
    let (status, _) = caller.call(Method::DELETE, "actions/echo", None).await;
    assert_eq!(status, 200);
    let lines = fire(&caller, "t", event).await;
    let success: Vec<&Value> = lines.iter().map(|line| &line["success"]).collect();
    assert_eq!(success, [false, true, false], "{lines:?}");
    let error = |line: &Value| line["error"].as_str().unwrap().to_owned();
    assert!(error(&lines[0]).ends_with("is inactive, action 'me/echo' was not activated."));
    assert_eq!(error(&lines[2]), "The requested resource does not exist.");

    let metrics = reqwest::get(format!(
        "http://{}/metrics",
        server.metrics_address.unwrap()
    ))
    .await
    .unwrap()
    .text()
    .await
    .unwrap();
    for line in [
        "millrace_whisk_trigger_fires_total{result=\"accepted\"} 2",
        "millrace_whisk_trigger_fires_total{result=\"no_active_rule\"} 1",
        "millrace_whisk_rule_results_total{result=\"started\"} 3",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fires_are_throttled_and_so_is_what_they_start() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(data.path());
    settings.throttles.fires_per_minute = 2;
    settings.throttles.concurrent = 1;
    let server = Server::start(settings).await.unwrap();
    let caller = Caller::of(&server);
    caller.put("echo", json!({})).await;
    trigger(&caller, "t", json!({})).await;
    rule(&caller, "a", "t", "echo").await;
    rule(&caller, "b", "t", "echo").await;
    let lines = fire(&caller, "t", json!({ "sleep": "0.5" })).await;
    assert_eq!(lines[0]["success"], true);
    assert_eq!(
        lines[1]["error"],
        "Too many concurrent requests in flight (count: 1, allowed: 1)."
    );
    finished(&caller, &lines[0]["activationId"]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fire(&caller, "t", json!({})).await[0]["success"], true);
    let (status, told) = caller
        .call(Method::POST, "triggers/t", Some(json!({})))
        .await;
    assert_eq!(
        (status, told["error"].as_str()),
        (
            429,
            Some("Too many requests in the last minute (count: 3, allowed: 2).")
        )
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_accounts_for_every_accepted_fire() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let auth = data.path().join("auth");
    std::fs::write(&auth, KEY).unwrap();
    let arguments = ["--namespace", "me", "--auth-file", auth.to_str().unwrap()];
    let mut program = Program::start(&data.path().join("data"), &arguments);
    let caller = Caller::new(program.base.clone());
    caller.put("echo", json!({})).await;
    trigger(
        &caller,
        "t",
        json!({ "parameters": [{ "key": "k", "value": 1 }] }),
    )
    .await;
    rule(&caller, "on", "t", "echo").await;
    rule(&caller, "off", "t", "echo").await;
    let inactive = json!({ "status": "inactive" });
    caller.call(Method::POST, "rules/off", Some(inactive)).await;
    let (_, before) = caller.get("triggers/t").await;
    let done = fire(&caller, "t", json!({})).await[1]["activationId"].clone();
    finished(&caller, &done).await;
    let mut fired = Vec::new();
    for _ in 0..5 {
        let (status, answer) = caller
            .call(Method::POST, "triggers/t", Some(json!({ "sleep": "20" })))
            .await;
        assert_eq!(status, 202, "{answer}");
        fired.push(answer["activationId"].clone());
    }
    program.child.kill().unwrap();
    program.child.wait().unwrap();

    let program = Program::start(&data.path().join("data"), &arguments);
    let caller = Caller::new(program.base.clone());
    assert_eq!(caller.get("triggers/t").await, (200, before));
    assert_eq!(caller.get("rules/off").await.1["status"], "inactive");
    assert_eq!(caller.get("rules/on").await.1["status"], "active");
    for id in fired {
        let (status, record) = caller
            .get(&format!("activations/{}", id.as_str().unwrap()))
            .await;
        assert_eq!(status, 200, "{record}");
        let line: Value = serde_json::from_str(record["logs"][1].as_str().unwrap()).unwrap();
        let (status, part) = caller
            .get(&format!(
                "activations/{}",
                line["activationId"].as_str().unwrap()
            ))
            .await;
        assert_eq!(
            (status, &part["response"]["status"]),
            (200, &json!("whisk internal error")),
            "what was cut off says so, and whoever fired can fire again"
        );
    }
    let (status, record) = caller
        .get(&format!("activations/{}", done.as_str().unwrap()))
        .await;
    assert_eq!(
        (status, &record["response"]["status"]),
        (200, &json!("success"))
    );
    let lines = fire(&caller, "t", json!({})).await;
    assert_eq!(lines[1]["success"], true, "it goes on");
}
