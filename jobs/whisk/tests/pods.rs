//! Actions that bring an image: against a double of Kubernetes, whose pods are proxies on addresses of loopback.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

mod common;
mod kubernetes_double;

use std::path::Path;
use std::time::Duration;

use common::{Caller, SCRIPT, can_isolate, settings};
use kubernetes_double::Kubernetes;
use millrace_whisk::pods::{Access, Family, PodSettings};
use millrace_whisk::pool::Within;
use millrace_whisk::serve::Server;
use reqwest::Method;
use serde_json::{Value, json};

/// A server that makes pods there.
async fn serve(data: &Path, kubernetes: &Kubernetes, idle: Duration) -> Server {
    let mut settings = settings(data);
    settings.pods = Some(PodSettings {
        access: Access {
            url: kubernetes.url.clone(),
            token: None,
            roots: None,
            namespace: "ns".to_owned(),
        },
        family: Family {
            instance: "w".to_owned(),
            namespace: "ns".to_owned(),
            server: Some(("w-0".to_owned(), "u".to_owned())),
            pull_secret: None,
            api_host: "http://w.ns.svc:3233".to_owned(),
            run: millrace_whisk::name::activation_id(),
        },
        within: Within {
            memory: 1024,
            instances: 4,
            idle,
            wait: Duration::from_secs(20),
        },
        port: kubernetes.port,
        patience: Duration::from_secs(60),
    });
    Server::start(settings).await.unwrap()
}

async fn put(caller: &Caller, name: &str, image: &str) {
    let body = json!({
        "exec": { "kind": "blackbox", "image": image, "code": SCRIPT },
        "parameters": [{ "key": "SECRET_NAME", "value": "s", "init": true }],
    });
    let path = format!("actions/{name}?overwrite=true");
    let (status, action) = caller.call(Method::PUT, &path, Some(body)).await;
    assert_eq!(
        (status, &action["exec"]["image"]),
        (200, &json!(image)),
        "{action}"
    );
}

fn error(record: &Value) -> &str {
    record["response"]["result"]["error"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_action_is_a_pod_that_comes_and_goes() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let kubernetes = Kubernetes::start(data.path()).await;
    kubernetes.leave_behind("w-left-behind");
    let server = serve(data.path(), &kubernetes, Duration::from_secs(600)).await;
    let caller = Caller::of(&server);
    kubernetes.wait_for(&["w-left-behind"]).await;

    put(&caller, "shell", "good:1").await;
    let (status, record) = caller.invoke("shell", json!({ "log": "x" })).await;
    assert_eq!(
        (status, &record["response"]["result"]),
        (200, &json!({"logged": true})),
        "{record}"
    );
    let notes = record["annotations"].as_array().unwrap();
    let note = |key: &str| {
        notes
            .iter()
            .find(|note| note["key"] == key)
            .map(|note| &note["value"])
    };
    assert_eq!(note("kind"), Some(&json!("blackbox")));
    assert!(note("initTime").is_some(), "{record}");
    let id = record["activationId"].as_str().unwrap();
    let (_, kept) = caller.get(&format!("activations/{id}")).await;
    let logs = kept["logs"].to_string();
    assert!(
        logs.contains("stdout: out x") && logs.contains("stdout: err x"),
        "{kept}"
    );
    assert!(!logs.contains("THE_END"), "{kept}");

    // Warm, and with the environment that `/init` brought.
    let first = caller.result("shell", json!({ "pid": 1 })).await;
    assert_eq!(caller.result("shell", json!({ "pid": 1 })).await, first);
    let env = caller
        .result("shell", json!({ "env": 1 }))
        .await
        .to_string();
    for name in ["SECRET_NAME", "__OW_ACTION_NAME", "__OW_API_HOST"] {
        assert!(env.contains(name), "{env}");
    }
    let made = kubernetes.made();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(
        made[0]["metadata"]["annotations"]["millrace.dev/action"],
        "me/shell"
    );
    let first = name(&made[0]);

    // An action's own error leaves it warm; one that breaks takes its pod with it.
    let (status, record) = caller.invoke("shell", json!({ "fail": 1 })).await;
    assert_eq!((status, error(&record)), (502, "told to fail"));
    let (_, record) = caller.invoke("shell", json!({ "exit": "3" })).await;
    assert_eq!(record["response"]["status"], "action developer error");
    assert_eq!(error(&record), "command exited");
    kubernetes.wait_for(&[&first]).await;
    assert_eq!(
        caller.result("shell", json!({})).await,
        json!({ "ok": true })
    );
    let second = name(&kubernetes.made()[1]);

    // A pod that somebody took away is no activation's fault.
    kubernetes.take_away(&second);
    assert_eq!(
        caller.result("shell", json!({})).await,
        json!({ "ok": true })
    );
    let third = name(&kubernetes.made()[2]);

    put(&caller, "shell", "good:2").await;
    kubernetes.wait_for(&[&third]).await;
    assert_eq!(
        caller.result("shell", json!({})).await,
        json!({ "ok": true })
    );
    let fourth = name(&kubernetes.made()[3]);
    caller.call(Method::DELETE, "actions/shell", None).await;
    kubernetes.wait_for(&[&fourth]).await;

    put(&caller, "nowhere", "missing:1").await;
    let (_, record) = caller.invoke("nowhere", json!({})).await;
    assert_eq!(record["response"]["status"], "action developer error");
    assert!(
        error(&record).starts_with("Failed to pull container image 'missing:1'."),
        "{record}"
    );
    let fifth = name(&kubernetes.made()[4]);
    kubernetes.wait_for(&[&fifth]).await;

    put(&caller, "last", "good:1").await;
    caller.result("last", json!({})).await;
    server.stop().await;
    kubernetes.wait_for(&[&name(&kubernetes.made()[5])]).await;
    assert_eq!(kubernetes.running(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_asks_and_there_is_no_pod() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let kubernetes = Kubernetes::start(data.path()).await;
    let server = serve(data.path(), &kubernetes, Duration::from_millis(100)).await;
    let caller = Caller::of(&server);
    put(&caller, "shell", "good:1").await;
    assert_eq!(
        caller.result("shell", json!({})).await,
        json!({ "ok": true })
    );
    kubernetes.wait_for(&[&name(&kubernetes.made()[0])]).await;
    assert_eq!(kubernetes.running(), 0);
    assert_eq!(
        caller.result("shell", json!({})).await,
        json!({ "ok": true })
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_got_a_warm_pods_address_is_not_asked() {
    if !can_isolate() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let kubernetes = Kubernetes::start(data.path()).await;
    let server = serve(data.path(), &kubernetes, Duration::from_secs(600)).await;
    let caller = Caller::of(&server);
    put(&caller, "shell", "good:1").await;
    let first = caller.result("shell", json!({ "pid": 1 })).await;
    let former = name(&kubernetes.made()[0]);
    kubernetes.move_away(&former);
    // One that has just answered is not asked after.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_ne!(caller.result("shell", json!({ "pid": 1 })).await, first);
    kubernetes.wait_for(&[&former]).await;
    assert_eq!(kubernetes.made().len(), 2);
    server.stop().await;
}

/// The name of a pod.
fn name(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap().to_owned()
}
