//! The program as a process: killed amid activations.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use common::{Caller, KEY, Program, can_isolate};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_leaves_no_child_and_no_activation_without_a_record() {
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
    let pid = caller.result("echo", json!({ "pid": 1 })).await["pid"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut ids = Vec::new();
    for _ in 0..5 {
        let (status, answer) = caller
            .call(Method::POST, "actions/echo", Some(json!({ "sleep": "20" })))
            .await;
        assert_eq!(status, 202, "{answer}");
        ids.push(answer["activationId"].as_str().unwrap().to_owned());
    }
    program.child.kill().unwrap();
    program.child.wait().unwrap();

    let program = Program::start(&data.path().join("data"), &arguments);
    let caller = Caller::new(program.base.clone());
    for id in ids {
        let (status, record) = caller.get(&format!("activations/{id}")).await;
        assert_eq!(
            (status, &record["response"]["status"]),
            (200, &json!("whisk internal error")),
            "{record}"
        );
    }
    assert!(common::ends(&pid).await, "a child outlives its server");
    let directory = data.path().join("data/run").display().to_string();
    assert!(
        common::none_names(&directory, &program.child).await,
        "a child's launcher outlives its server"
    );
    assert_eq!(
        caller.result("echo", json!({})).await,
        json!({ "ok": true })
    );
}
