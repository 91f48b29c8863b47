//! Launchers that stand ready: a cold action takes one and gets what it would get without, nobody gets what was another's, and
//! one that is gone is missed by nobody.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{Caller, SCRIPT, can_isolate, ends, settings, wait_for};
use millrace_whisk::serve::Server;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const READY: &str = "millrace_whisk_prewarmed";
const STARTS: &str = "millrace_whisk_child_starts_total";
const FROM_READY: &str = "millrace_whisk_prewarmed_starts_total";

async fn start(data: &Path, prewarmed: usize) -> Server {
    let mut settings = settings(data);
    settings.pool.prewarmed = prewarmed;
    let server = Server::start(settings).await.unwrap();
    wait(&server, READY, prewarmed).await;
    server
}

async fn metric(server: &Server, name: &str) -> usize {
    let address = server.metrics_address.unwrap();
    let answer = reqwest::get(format!("http://{address}/metrics")).await;
    let text = answer.unwrap().text().await.unwrap();
    let told = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    told.unwrap().parse().unwrap()
}

/// Waits until a metric has this value.
async fn wait(server: &Server, name: &str, value: usize) {
    for _ in 0..1500 {
        if metric(server, name).await == value {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(metric(server, name).await, value, "{name}");
}

/// The processes that wait to become an action of the server with this directory.
fn waiting(data: &Path) -> Vec<String> {
    let own = format!("\0--directory\0{}", data.display());
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&arguments).contains(&own) {
            found.push(process.file_name().to_str().unwrap().to_owned());
        }
    }
    found
}

/// Creates an action with these parameters in its environment.
async fn put(caller: &Caller, name: &str, environment: &[(&str, &str)]) {
    let parameters: Vec<Value> = environment
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": value, "init": true }))
        .collect();
    let body = json!({
        "exec": { "kind": "native:default", "code": SCRIPT },
        "limits": { "memory": 128 },
        "parameters": parameters,
    });
    let path = format!("actions/{name}");
    let (status, action) = caller.call(Method::PUT, &path, Some(body)).await;
    assert_eq!(status, 200, "{action}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_action_takes_one_and_another_takes_its_place() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path(), 2).await;
    let caller = Caller::of(&server);
    let ready = waiting(data.path());
    assert_eq!(ready.len(), 2, "{ready:?}");
    for pid in &ready {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(environment.is_empty(), "{environment:?}");
    }
    put(&caller, "a", &[("ONLY_A", "secret")]).await;
    let first = caller.result("a", json!({ "pid": 1 })).await;
    assert!(
        ready.contains(&first["pid"].as_str().unwrap().to_owned()),
        "{first} is none of {ready:?}"
    );
    let directory = first["directory"].as_str().unwrap().to_owned();
    assert!(directory.contains("/run/children/prewarmed-"), "{first}");
    wait(&server, READY, 2).await;
    assert_eq!(waiting(data.path()).len(), 2);
    assert_eq!(metric(&server, STARTS).await, 1);
    assert_eq!(metric(&server, FROM_READY).await, 1);

    // A warm one takes none.
    assert_eq!(caller.result("a", json!({ "pid": 1 })).await, first);
    assert_eq!(metric(&server, FROM_READY).await, 1);

    put(&caller, "b", &[("ONLY_B", "secret")]).await;
    let second = caller.result("b", json!({ "pid": 1 })).await;
    assert_ne!(second["pid"], first["pid"]);
    assert_ne!(second["directory"], first["directory"]);
    assert_eq!(metric(&server, FROM_READY).await, 2);
    for (name, own, other) in [("a", "ONLY_A", "ONLY_B"), ("b", "ONLY_B", "ONLY_A")] {
        let told = caller.result(name, json!({ "env": 1 })).await;
        let names: Vec<&str> = told["env"].as_str().unwrap().split(' ').collect();
        assert!(names.contains(&own), "{told}");
        assert!(names.contains(&"__OW_ACTION_NAME"), "{told}");
        assert!(!names.contains(&other), "{told}");
        assert!(!names.contains(&"HOME"), "{told}");
    }
    let file = format!("{directory}/tmp/file");
    for (name, what, can) in [
        ("a", "write", true),
        ("a", "read", true),
        ("b", "read", false),
    ] {
        let told = caller.result(name, json!({ what: file })).await;
        assert_eq!(told, json!({ "can": can }), "{name} {what}");
    }

    wait(&server, READY, 2).await;
    let left = waiting(data.path());
    assert_eq!(left.len(), 2, "{left:?}");
    server.stop().await;
    for pid in left {
        assert!(ends(&pid).await, "a launcher outlives its server");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn launchers_that_are_gone_fail_no_activation() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path(), 2).await;
    let caller = Caller::of(&server);
    for pid in waiting(data.path()) {
        let process = Pid::from_raw(pid.parse().unwrap()).unwrap();
        kill_process(process, Signal::KILL).unwrap();
        assert!(ends(&pid).await);
    }
    put(&caller, "a", &[]).await;
    let (status, record) = caller.invoke("a", json!({})).await;
    assert_eq!(
        (status, &record["response"]["result"]),
        (200, &json!({ "ok": true }))
    );
    assert_eq!(metric(&server, STARTS).await, 1);
    assert_eq!(metric(&server, FROM_READY).await, 0);
    wait(&server, READY, 2).await;
    assert_eq!(waiting(data.path()).len(), 2);
    put(&caller, "b", &[]).await;
    let told = caller.result("b", json!({})).await;
    assert_eq!(told, json!({ "ok": true }));
    assert_eq!(metric(&server, FROM_READY).await, 1);
    server.stop().await;
}

/// Where none stands ready, one starts while the code is unpacked.
#[tokio::test(flavor = "multi_thread")]
async fn code_that_cannot_be_unpacked_leaves_no_launcher() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path(), 0).await;
    let caller = Caller::of(&server);
    let body = json!({ "exec": { "kind": "native:default", "code": "" } });
    let (status, action) = caller.call(Method::PUT, "actions/a", Some(body)).await;
    assert_eq!(status, 200, "{action}");
    let (status, record) = caller.invoke("a", json!({})).await;
    let told = "Missing main/no code to execute.";
    assert_eq!(
        (status, &record["response"]["result"]["error"]),
        (502, &json!(told)),
        "{record}"
    );
    wait_for("the launcher ends", || {
        waiting(data.path()).is_empty().then_some(())
    })
    .await;
    assert_eq!(metric(&server, STARTS).await, 0);
    put(&caller, "b", &[]).await;
    assert_eq!(caller.result("b", json!({})).await, json!({ "ok": true }));
    assert_eq!(metric(&server, STARTS).await, 1);
    server.stop().await;
}

/// The dynamic linker does what the environment says before any program's own code runs: it must not before the launcher is bound.
#[tokio::test(flavor = "multi_thread")]
async fn an_actions_environment_rules_no_launcher() {
    if !can_isolate() {
        return;
    }
    for prewarmed in [0, 1] {
        let data = tempfile::tempdir().unwrap();
        let server = start(data.path(), prewarmed).await;
        let caller = Caller::of(&server);
        let place = data.path().join("leak");
        let place = place.to_str().unwrap();
        put(
            &caller,
            "a",
            &[("LD_DEBUG", "libs"), ("LD_DEBUG_OUTPUT", place)],
        )
        .await;
        let told = caller.result("a", json!({})).await;
        assert_eq!(told, json!({ "ok": true }));
        assert_eq!(metric(&server, FROM_READY).await, prewarmed);
        let leaks = std::fs::read_dir(data.path()).unwrap().flatten();
        let leaks: Vec<_> = leaks
            .map(|entry| entry.file_name())
            .filter(|name| name.to_string_lossy().starts_with("leak"))
            .collect();
        assert!(leaks.is_empty(), "{leaks:?}");
        server.stop().await;
    }
}
