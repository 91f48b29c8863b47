//! The server as clients and actions see it.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::time::{Duration, Instant};

use common::{Caller, SCRIPT, can_isolate, let_go_together, settings};
use millrace_whisk::serve::Server;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn entities_and_records_survive_a_restart() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(settings(data.path())).await.unwrap();
    let caller = Caller::of(&server);
    let action = caller.put("echo", json!({})).await;
    assert_eq!(action["version"], "0.0.1");
    assert_eq!(
        action["annotations"],
        json!([{ "key": "provide-api-key", "value": false }, { "key": "exec", "value": "native:default" }])
    );
    let (status, record) = caller.invoke("echo", json!({ "log": "hello" })).await;
    assert_eq!(
        (status, &record["response"]["result"]),
        (200, &json!({ "logged": true }))
    );
    assert_eq!(record["logs"], json!([]), "a blocking answer has no log");
    let id = record["activationId"].as_str().unwrap().to_owned();
    let (_, kept) = caller.get(&format!("activations/{id}")).await;
    let logs: Vec<&str> = kept["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    assert!(
        logs[0].ends_with("Z stdout: out hello") && logs[1].ends_with("Z stderr: err hello"),
        "{logs:?}"
    );
    server.stop().await;

    let server = Server::start(settings(data.path())).await.unwrap();
    let caller = Caller::of(&server);
    assert_eq!(caller.get("actions/echo").await, (200, action));
    assert_eq!(caller.get(&format!("activations/{id}")).await, (200, kept));
    assert_eq!(
        caller.get("activations?count=true").await,
        (200, json!({ "activations": 1 }))
    );
    assert_eq!(
        caller.result("echo", json!({})).await,
        json!({ "ok": true })
    );
    let metrics = reqwest::get(format!(
        "http://{}/metrics",
        server.metrics_address.unwrap()
    ))
    .await
    .unwrap()
    .text()
    .await
    .unwrap();
    assert!(
        metrics.contains("millrace_whisk_activations_total{status=\"success\"} 1"),
        "{metrics}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_are_used_again_and_in_parallel() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(settings(data.path())).await.unwrap();
    let caller = Caller::of(&server);
    caller.put("echo", json!({})).await;
    let first = caller.result("echo", json!({ "pid": 1 })).await;
    assert_eq!(
        caller.result("echo", json!({ "pid": 1 })).await,
        first,
        "a warm child answers again"
    );
    // Each stays inside until all of them are, so that one after the other never ends.
    let children = data.path().join("run/children");
    let meetings = (0..4).map(|_| caller.result("echo", json!({ "meet": 1 })));
    let (results, ()) = tokio::join!(
        futures::future::join_all(meetings),
        let_go_together(&children, 4)
    );
    assert_eq!(results, vec![json!({ "met": true }); 4]);
    // A change of the action reaches the very next invocation.
    let (_, changed) = caller
        .call(
            Method::PUT,
            "actions/echo?overwrite=true",
            Some(json!({ "exec": { "kind": "native:default",
            "code": SCRIPT.replace("\"ok\":true", "\"ok\":2") } })),
        )
        .await;
    assert_eq!(changed["version"], "0.0.2");
    assert_eq!(caller.result("echo", json!({})).await, json!({ "ok": 2 }));
    let started = Instant::now();
    for _ in 0..200 {
        caller.result("echo", json!({})).await;
    }
    eprintln!("warm blocking invocation: {:?}", started.elapsed() / 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_runs_its_parts_and_stops_at_an_error() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(settings(data.path())).await.unwrap();
    let caller = Caller::of(&server);
    caller.put("one", json!({})).await;
    caller.put("two", json!({})).await;
    let sequence = json!({ "exec": { "kind": "sequence", "components": ["/_/one", "/me/two"] } });
    let (status, action) = caller
        .call(Method::PUT, "actions/both", Some(sequence))
        .await;
    assert_eq!(
        (status, &action["exec"]["components"]),
        (200, &json!(["/me/one", "/me/two"]))
    );
    let (status, record) = caller.invoke("both", json!({})).await;
    assert_eq!(
        (status, &record["response"]["result"]),
        (200, &json!({ "ok": true }))
    );
    let parts = record["logs"].as_array().unwrap();
    assert_eq!(parts.len(), 2);
    let (_, part) = caller
        .get(&format!("activations/{}", parts[1].as_str().unwrap()))
        .await;
    assert_eq!(
        (&part["name"], &part["cause"]),
        (&json!("two"), &record["activationId"])
    );
    let (status, record) = caller.invoke("both", json!({ "fail": 1 })).await;
    assert_eq!(
        (status, &record["response"]["status"]),
        (502, &json!("application error"))
    );
    assert_eq!(record["logs"].as_array().unwrap().len(), 1);
    for (components, message) in [
        (json!(["/_/nope"]), "Sequence component does not exist."),
        (json!([]), "No component specified for the sequence."),
        (json!(["/_/circle"]), "Sequence may not refer to itself."),
    ] {
        let body = json!({ "exec": { "kind": "sequence", "components": components } });
        let (status, error) = caller.call(Method::PUT, "actions/circle", Some(body)).await;
        assert_eq!((status, error["error"].as_str()), (400, Some(message)));
    }
    server.stop().await;
}

/// A record's error, with its status.
fn error(record: &Value) -> (&str, &str) {
    (
        record["response"]["status"].as_str().unwrap(),
        record["response"]["result"]["error"]
            .as_str()
            .unwrap_or_default(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_actions_are_told_and_do_not_spread() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(settings(data.path())).await.unwrap();
    let caller = Caller::of(&server);
    caller
        .put("a", json!({ "timeout": 500, "memory": 128, "logs": 1 }))
        .await;
    caller.put("slow", json!({ "memory": 128 })).await;
    let developer = "action developer error";

    let pid = caller.result("a", json!({ "pid": 1 })).await["pid"]
        .as_str()
        .unwrap()
        .to_owned();
    let started = Instant::now();
    let (status, record) = caller.invoke("a", json!({ "sleep": "30" })).await;
    assert_eq!(status, 502);
    assert_eq!(
        error(&record),
        (
            developer,
            "The action exceeded its time limits of 500 milliseconds."
        )
    );
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert!(common::ends(&pid).await, "the child is gone");

    let (_, record) = caller.invoke("a", json!({ "exit": "3" })).await;
    assert_eq!(error(&record), (developer, "command exited"));
    let (_, record) = caller.invoke("slow", json!({ "grow": 1 })).await;
    assert_eq!(
        error(&record),
        (
            developer,
            "The action exhausted its memory and was aborted."
        )
    );
    let (_, record) = caller.invoke("slow", json!({ "fork": 1 })).await;
    assert_eq!(
        error(&record),
        (
            developer,
            "The action started too many processes and was aborted."
        )
    );
    let (_, record) = caller.invoke("slow", json!({ "flood": 1 })).await;
    assert_eq!(record["response"]["status"], "success");
    caller
        .put("quiet", json!({ "logs": 1, "memory": 128 }))
        .await;
    let (_, record) = caller.invoke("quiet", json!({ "flood": 1 })).await;
    let (_, record) = caller
        .get(&format!(
            "activations/{}",
            record["activationId"].as_str().unwrap()
        ))
        .await;
    let last = record["logs"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .as_str()
        .unwrap();
    assert!(
        last.ends_with("exceeds the limit of 1048576 bytes."),
        "{last}"
    );

    for (code, message) in [
        ("#!/bin/false\n", "cannot start action: command exited"),
        ("", "Missing main/no code to execute."),
    ] {
        let body = json!({ "exec": { "kind": "native:default", "code": code } });
        caller
            .call(Method::PUT, "actions/broken?overwrite=true", Some(body))
            .await;
        let (status, record) = caller.invoke("broken", json!({})).await;
        assert_eq!((status, error(&record)), (502, (developer, message)));
    }
    assert_eq!(
        caller.result("a", json!({})).await,
        json!({ "ok": true }),
        "the next activation is well"
    );

    let (status, answer) = caller
        .call(
            Method::POST,
            "actions/slow?blocking=true&timeout=100",
            Some(json!({ "sleep": "1" })),
        )
        .await;
    assert_eq!(status, 202, "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_reaches_nothing_but_its_own() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(settings(data.path())).await.unwrap();
    let caller = Caller::of(&server);
    caller.put("one", json!({})).await;
    caller.put("two", json!({})).await;
    let secret = data.path().join("auth");
    std::fs::write(&secret, common::KEY).unwrap();
    let one = caller.result("one", json!({ "pid": 1 })).await;
    let two = caller.result("two", json!({ "pid": 1 })).await;
    let (directory, neighbour) = (
        one["directory"].as_str().unwrap(),
        two["directory"].as_str().unwrap(),
    );
    let (neighbour_pid, server_pid) =
        (two["pid"].as_str().unwrap(), std::process::id().to_string());
    let secret = secret.to_str().unwrap();
    let gaps = millrace_whisk::pool::unconfined();
    let signals = gaps.iter().any(|gap| gap.what == "signals");
    let told =
        |path: &str| reqwest::get(format!("http://{}{path}", server.metrics_address.unwrap()));
    let health = told("/healthz").await.unwrap().text().await.unwrap();
    let metrics = told("/metrics").await.unwrap().text().await.unwrap();
    assert_eq!(health == "ok", gaps.is_empty(), "{health}");
    for gap in &gaps {
        let metric = format!("millrace_whisk_unconfined{{what=\"{}\"}} 1", gap.what);
        assert!(
            health.contains(gap.what) && metrics.contains(&metric),
            "{metrics}"
        );
    }
    let cases = [
        ("write", format!("{directory}/tmp/mine"), true),
        ("read", format!("{directory}/tmp/mine"), true),
        ("read", "/etc/hosts".to_owned(), true),
        ("write", format!("{directory}/elsewhere"), false),
        ("read", secret.to_owned(), false),
        ("write", secret.to_owned(), false),
        ("chmod", secret.to_owned(), false),
        ("chmod", format!("{neighbour}/tmp"), false),
        ("read", "/etc/shadow".to_owned(), false),
        ("list", data.path().display().to_string(), false),
        ("list", neighbour.to_owned(), false),
        ("write", format!("{neighbour}/tmp/x"), false),
        (
            "write",
            "/tmp/millrace-whisk-test-outside".to_owned(),
            false,
        ),
        ("read", format!("/proc/{neighbour_pid}/environ"), false),
        ("read", format!("/proc/{server_pid}/environ"), false),
        // Kernels before Linux 6.12 cannot prevent it, and the server says so.
        ("signal", neighbour_pid.to_owned(), signals),
        ("signal", server_pid, signals),
    ];
    for (what, target, may) in cases {
        let result = caller.result("one", json!({ what: target })).await;
        assert_eq!(result, json!({ "can": may }), "{what} {target}");
    }
    let env = caller.result("one", json!({ "env": 1 })).await;
    for name in env["env"].as_str().unwrap().split_whitespace() {
        assert!(
            name.starts_with("__OW_") || ["PWD", "_", "OLDPWD", "SHLVL"].contains(&name),
            "{name}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_at_once_wait_or_are_refused() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(data.path());
    settings.throttles.concurrent = 2;
    settings.pool.memory = 256;
    let server = Server::start(settings).await.unwrap();
    let caller = Caller::of(&server);
    caller.put("one", json!({})).await;
    caller.put("two", json!({})).await;
    // There is room for one child only: the second waits, then takes the room of the first.
    let (a, b) = tokio::join!(
        caller.result("one", json!({ "sleep": "0.3" })),
        caller.result("two", json!({ "sleep": "0.3" }))
    );
    assert_eq!((a, b), (json!({ "slept": true }), json!({ "slept": true })));
    let calls = (0..3).map(|_| caller.invoke("one", json!({ "sleep": "0.3" })));
    let statuses: Vec<u16> = futures::future::join_all(calls)
        .await
        .iter()
        .map(|(status, _)| *status)
        .collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 429).count(),
        1,
        "{statuses:?}"
    );
    server.stop().await;
}
