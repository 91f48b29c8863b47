//! What actions have on the disk together, code and files: what nobody needs goes, then the largest, and the others are well.
//! What an accepted activation needs stays.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{Caller, can_isolate, let_go_together, settings, wait_for};
use millrace_whisk::serve::Server;
use reqwest::Method;
use serde_json::{Value, json};

/// Writes so many files of 40 MB as the field `fill` of its input says, and stays inside until it may go.
const SCRIPT: &str = r#"#!/bin/sh
while read -r line; do
  case $line in
    *'"fill":"'*)
      v=${line#*\"fill\":\"}; v=${v%%\"*}; i=0
      while [ $i -lt "$v" ]; do i=$((i+1)); head -c 40000000 /dev/zero > tmp/$i; done
      : > tmp/inside; while ! [ -e tmp/go ]; do sleep 0.05; done; echo '{"filled":true}' >&3 ;;
    *) echo '{"ok":"first"}' >&3 ;;
  esac
done
exit
"#;

async fn put(caller: &Caller, name: &str, code: &str) {
    let body = json!({
        "exec": { "kind": "native:default", "code": code },
        "limits": { "memory": 128, "timeout": 300_000 },
    });
    let path = format!("actions/{name}?overwrite=true");
    let (status, action) = caller.call(Method::PUT, &path, Some(body)).await;
    assert_eq!(status, 200, "{action}");
}

/// How many entries a directory has.
fn count(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_ends_when_all_together_write_too_much() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(data.path());
    // MiB: less than both write, and more than either.
    settings.pool.disk = 100;
    let server = Server::start(settings).await.unwrap();
    let caller = Caller::of(&server);
    put(&caller, "large", SCRIPT).await;
    put(&caller, "small", SCRIPT).await;
    let children = data.path().join("run/children");
    let large = async {
        let (status, record) = caller.invoke("large", json!({ "fill": "2" })).await;
        let_go_together(&children, 1).await;
        (status, record["response"]["result"].clone())
    };
    let (large, small) = tokio::join!(large, caller.result("small", json!({ "fill": "1" })));
    let told = json!({ "error": "The action wrote too much and was aborted." });
    assert_eq!(large, (502, told));
    assert_eq!(small, json!({ "filled": true }));
    let next = caller.result("large", json!({})).await;
    assert_eq!(next, json!({ "ok": "first" }));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_runs_makes_room_for_other_code_when_it_is_idle() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(data.path());
    settings.pool.disk = 10;
    let server = Server::start(settings).await.unwrap();
    let caller = Caller::of(&server);
    // Each is well alone, but two are too many.
    for name in ["a", "b", "c"] {
        let code = format!("{SCRIPT}#{name}{}", "#".repeat(6 << 20));
        put(&caller, name, &code).await;
    }
    let code = data.path().join("run/children/code");
    for name in ["a", "b", "c", "a"] {
        let result = caller.result(name, json!({})).await;
        assert_eq!(result, json!({ "ok": "first" }), "{name}");
        wait_for("code that is idle goes", || {
            (count(&code) == 1).then_some(())
        })
        .await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_activation_runs_the_code_that_it_was_accepted_for() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(data.path());
    // Room for one child.
    settings.pool.memory = 128;
    settings.pool.wait = Duration::from_secs(120);
    let server = Server::start(settings).await.unwrap();
    let caller = Caller::of(&server);
    put(&caller, "busy", SCRIPT).await;
    // Too large to be unpacked before it is asked for.
    let old = SCRIPT.replace("first", "old") + &"#".repeat(9 << 20);
    put(&caller, "late", &old).await;
    let children = data.path().join("run/children");
    let change = async {
        wait_for("the busy one is inside", || {
            let mut entries = std::fs::read_dir(&children).unwrap().flatten();
            entries.find(|entry| entry.path().join("tmp/inside").exists())
        })
        .await;
        let (status, accepted) = caller
            .call(Method::POST, "actions/late", Some(json!({})))
            .await;
        assert_eq!(status, 202, "{accepted}");
        // It has not run yet, and nothing of it is unpacked.
        put(&caller, "late", &SCRIPT.replace("first", "new")).await;
        let_go_together(&children, 1).await;
        accepted["activationId"].as_str().unwrap().to_owned()
    };
    let (busy, id) = tokio::join!(caller.result("busy", json!({ "fill": "0" })), change);
    assert_eq!(busy, json!({ "filled": true }));
    let record = finished(&caller, &id).await;
    let response = &record["response"];
    assert_eq!(response["result"], json!({ "ok": "old" }), "{record}");
    let next = caller.result("late", json!({})).await;
    assert_eq!(next, json!({ "ok": "new" }));
    // Then nobody needs it any more.
    let kept = data.path().join("code");
    wait_for("the old code goes", || (count(&kept) == 2).then_some(())).await;
    server.stop().await;
}

/// The record of an activation, as soon as it has ended.
async fn finished(caller: &Caller, id: &str) -> Value {
    let mut last = Value::Null;
    for _ in 0..3000 {
        let (status, record) = caller.get(&format!("activations/{id}")).await;
        if status == 200 && record["end"].is_i64() {
            return record;
        }
        last = record;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    last
}
