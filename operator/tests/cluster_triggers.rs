//! A Trigger and a Rule between a topic and an action, and an action of an image, on real nodes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster_support;

use std::time::{Duration, Instant};

use cluster_support::{client, forward};
use jiff::{SignedDuration, Timestamp};
use kube::Api;
use millrace_testkit::{Platform, fresh};
use serde_json::{Value, json};

/// Drives a car for six minutes of its time, in which its coolant boils.
async fn boil(platform: &Platform, vehicle: &str) {
    let admin = std::fs::read_to_string(&platform.admin_token_file).unwrap();
    let client = reqwest::Client::new();
    let url = format!("{}/v1/vehicles/{vehicle}", platform.http);
    let put = client
        .put(&url)
        .bearer_auth(admin.trim())
        .send()
        .await
        .unwrap();
    let enrolled: Value = put.json().await.unwrap();
    let start = Timestamp::now() - SignedDuration::from_secs(360);
    let events: Vec<Value> = (0..360_i32)
        .map(|second| {
            json!({
                "vehicle": vehicle, "sequence": second,
                "time": start + SignedDuration::from_secs(i64::from(second)),
                "engine_speed": 2100.0, "engine_run_time": 1200 + second,
                "coolant_temperature": 90.0 + (f64::from((second - 60).max(0)) / 6.0).min(38.0),
            })
        })
        .collect();
    let sent = client
        .post(format!("{url}/telemetry"))
        .bearer_auth(enrolled["token"].as_str().unwrap())
        .json(&events)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 200);
}

/// A counter of the dispatch job of the event source.
fn counter(platform: &Platform, name: &str) -> f64 {
    let pods = platform
        .kubectl(&[
            "get",
            "pods",
            "-l",
            "app.kubernetes.io/instance=by-trigger",
            "--field-selector=status.phase=Running",
            "-o",
            "jsonpath={.items[0].metadata.name}",
        ])
        .unwrap_or_default();
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}:9090/proxy/metrics",
        platform.namespace,
        pods.trim()
    );
    let metrics = platform
        .kubectl(&["get", "--raw", &path])
        .unwrap_or_default();
    metrics
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter(|l| {
            l.split(['{', ' '])
                .next()
                .is_some_and(|metric| metric.ends_with(name))
        })
        .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn until(platform: &Platform, name: &str, least: f64) {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        let value = counter(platform, name);
        if value >= least {
            return;
        }
        assert!(Instant::now() < end, "{name} is {value}, not {least}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[tokio::test]
#[ignore = "cluster tier"]
async fn a_trigger_counts_as_served_only_when_its_actions_succeeded() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    let prefix = fresh("trigger");
    let p = &platform.name;
    let rule = |active: bool| {
        format!(
            "apiVersion: millrace.dev/v1alpha1\nkind: Rule\nmetadata: {{name: on-alarm}}\nspec: {{openwhisk: {p}-whisk, trigger: alarm, action: assess-vehicle, active: {active}}}\n"
        )
    };
    let manifest = format!(
        "apiVersion: millrace.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: alarm}}\nspec: {{openwhisk: {p}-whisk}}\n---\n{}---\napiVersion: millrace.dev/v1alpha1\nkind: EventSource\nmetadata: {{name: by-trigger}}\nspec: {{topic: {p}-alerts, trigger: alarm, filter: \"vehicle LIKE '{prefix}%'\", attempts: 200, backoff: {{initialMilliseconds: 100, maximumMilliseconds: 500}}, deadLetterTopic: {p}-dead-letters}}\n",
        rule(true)
    );
    platform.apply(&manifest).unwrap();
    // This test reads the metrics through the API server, which no policy of the operator lets in.
    let scrape = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "scrape-by-trigger"},
        "spec": {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "by-trigger"}}, "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": 9090}]}]}});
    platform.apply(&scrape.to_string()).unwrap();
    for name in [
        "trigger/alarm",
        "rule.millrace.dev/on-alarm",
        "eventsource/by-trigger",
    ] {
        platform
            .kubectl(&["wait", name, "--for=condition=Available", "--timeout=120s"])
            .unwrap();
    }
    boil(&platform, &format!("{prefix}-one")).await;
    until(&platform, "delivered_total", 2.0);

    // Without a rule that is active OpenWhisk answers 204: nothing ran, so the record is not done.
    platform.apply(&rule(false)).unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while platform
        .kubectl(&[
            "get",
            "rule.millrace.dev/on-alarm",
            "-o",
            "jsonpath={.status.active}",
        ])
        .unwrap()
        != "false"
    {
        assert!(Instant::now() < end, "the rule stays active");
        std::thread::sleep(Duration::from_millis(300));
    }
    let before = counter(&platform, "delivered_total");
    boil(&platform, &format!("{prefix}-two")).await;
    until(&platform, "retries_total", 1.0);
    assert_eq!(counter(&platform, "delivered_total"), before);
    platform.apply(&rule(true)).unwrap();
    until(&platform, "delivered_total", before + 2.0);
    assert_eq!(counter(&platform, "dead_letters_total"), 0.0);
    for name in [
        "eventsource/by-trigger",
        "rule.millrace.dev/on-alarm",
        "trigger/alarm",
        "networkpolicy/scrape-by-trigger",
    ] {
        platform.kubectl(&["delete", name]).unwrap();
    }
}

/// Tells where it runs, whether it has a token of Kubernetes, and whether it gets to another pod.
const SCRIPT: &str = r#"#!/bin/bash
while read -r line; do
  reached=false
  case $line in
    *'"reach":"'*)
      to=${line#*\"reach\":\"}; to=${to%%\"*}
      if timeout 5 bash -c ": </dev/tcp/$to/8080" 2>/dev/null; then reached=true; fi ;;
  esac
  token=false; [ -e /var/run/secrets/kubernetes.io ] && token=true
  echo "seen in $HOSTNAME"
  echo "{\"host\":\"$HOSTNAME\",\"user\":\"$UID\",\"token\":$token,\"reached\":$reached}" >&3
done
"#;

/// An OpenWhisk, asked by way of Kubernetes.
struct Whisk {
    base: String,
    auth: String,
}

impl Whisk {
    async fn of(platform: &Platform, name: &str) -> Self {
        let pods = Api::namespaced(client(platform).await, &platform.namespace);
        let address = forward(pods, format!("{name}-0"), 3233).await;
        let base = format!("http://{address}/api/v1/namespaces/_");
        let secret = format!("secret/{name}-auth");
        let auth = [
            "get",
            &secret,
            "-o",
            "go-template={{.data.auth | base64decode}}",
        ];
        let auth = platform.kubectl(&auth).unwrap().trim().to_owned();
        Self { base, auth }
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Value) -> Value {
        let (user, key) = self.auth.split_once(':').unwrap();
        let answer = reqwest::Client::new()
            .request(method, format!("{}/{path}", self.base))
            .basic_auth(user, Some(key))
            .json(&body)
            .send()
            .await
            .unwrap();
        answer.json().await.unwrap()
    }

    /// The record of an invocation.
    async fn invoke(&self, name: &str, input: Value) -> Value {
        let path = format!("actions/{name}?blocking=true");
        let record = self.call(reqwest::Method::POST, &path, input).await;
        assert_eq!(record["response"]["status"], "success", "{record}");
        record
    }
}

/// The pods of image actions of an OpenWhisk.
fn pods_of_actions(platform: &Platform, name: &str) -> Vec<Value> {
    let selector =
        format!("app.kubernetes.io/name=openwhisk-image-action,app.kubernetes.io/instance={name}");
    let listed = platform.kubectl(&["get", "pods", "-l", &selector, "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed.unwrap()).unwrap();
    listed["items"].as_array().unwrap().clone()
}

/// Waits until an OpenWhisk has no pod of an action.
fn until_none(platform: &Platform, name: &str) {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let left = pods_of_actions(platform, name);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "they stay: {left:?}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// A new OpenWhisk that runs images in this way.
async fn running(platform: &Platform, name: &str, image_actions: &str) -> Whisk {
    let manifest = format!(
        "apiVersion: millrace.dev/v1alpha1\nkind: OpenWhisk\nmetadata: {{name: {name}}}\n\
        spec: {{imageActions: {image_actions}, storage: {{size: 64Mi}}, deletionPolicy: Delete}}\n"
    );
    platform.apply(&manifest).unwrap();
    let name_of_it = format!("openwhisk/{name}");
    let ready = [
        "wait",
        &name_of_it,
        "--for=condition=Available",
        "--timeout=120s",
    ];
    platform.kubectl(&ready).unwrap();
    Whisk::of(platform, name).await
}

/// Makes actions of the server's own image, which runs actions too.
async fn make(platform: &Platform, whisk: &Whisk, openwhisk: &str, names: &[&str]) {
    let path = "jsonpath={.spec.template.spec.containers[0].image}";
    let set = format!("statefulset/{openwhisk}");
    let image = platform.kubectl(&["get", &set, "-o", path]).unwrap();
    let image = image.trim();
    let exec = json!({"exec": {"kind": "blackbox", "image": image, "code": SCRIPT}, "limits": {"memory": 128}});
    for name in names {
        let path = format!("actions/{name}");
        let made = whisk.call(reqwest::Method::PUT, &path, exec.clone()).await;
        assert_eq!(made["exec"]["image"], image, "{made}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "cluster tier"]
async fn an_action_of_an_image_runs_in_a_pod_that_goes_with_it() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    let whisk = running(&platform, "images", "{memory: 512Mi}").await;
    make(&platform, &whisk, "images", &["one", "two"]).await;

    let record = whisk.invoke("one", json!({})).await;
    let result = &record["response"]["result"];
    let pods = pods_of_actions(&platform, "images");
    assert_eq!(pods.len(), 1, "{pods:?}");
    assert_eq!(pods[0]["metadata"]["name"], result["host"]);
    assert_eq!(pods[0]["metadata"]["labels"]["millrace.dev/action"], "one");
    assert_eq!(
        (&result["user"], &result["token"]),
        (&json!("1000"), &json!(false))
    );
    let id = record["activationId"].as_str().unwrap();
    let kept = whisk
        .call(
            reqwest::Method::GET,
            &format!("activations/{id}"),
            json!({}),
        )
        .await;
    let said = format!("stdout: seen in {}", result["host"].as_str().unwrap());
    assert!(kept["logs"].to_string().contains(&said), "{kept}");
    // Warm.
    let again = whisk.invoke("one", json!({})).await;
    assert_eq!(&again["response"]["result"], result);

    // Nobody but the server gets in.
    let address = pods[0]["status"]["podIP"].as_str().unwrap();
    let other = whisk.invoke("two", json!({"reach": address})).await;
    assert_eq!(other["response"]["result"]["reached"], false, "{other}");
    assert_ne!(other["response"]["result"]["host"], result["host"]);

    whisk
        .call(reqwest::Method::DELETE, "actions/one", json!({}))
        .await;
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let left = pods_of_actions(&platform, "images");
        if left.len() == 1 && left[0]["metadata"]["labels"]["millrace.dev/action"] == "two" {
            break;
        }
        assert!(Instant::now() < end, "{left:?}");
        std::thread::sleep(Duration::from_millis(300));
    }
    // What is left goes with the server.
    platform
        .kubectl(&["delete", "openwhisk/images", "--timeout=120s"])
        .unwrap();
    until_none(&platform, "images");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "cluster tier"]
async fn an_action_of_an_image_that_nobody_asks_for_has_no_pod() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    let whisk = running(&platform, "idle", "{memory: 256Mi, idleSeconds: 2}").await;
    make(&platform, &whisk, "idle", &["one"]).await;
    assert!(pods_of_actions(&platform, "idle").is_empty());
    let mut hosts = Vec::new();
    // From none to one and back, more than once.
    for _ in 0..2 {
        let record = whisk.invoke("one", json!({})).await;
        hosts.push(record["response"]["result"]["host"].clone());
        until_none(&platform, "idle");
    }
    assert_ne!(hosts[0], hosts[1]);
    // The server is the one that it was.
    platform.kubectl(&["get", "pod/idle-0"]).unwrap();
    platform
        .kubectl(&["delete", "openwhisk/idle", "--timeout=120s"])
        .unwrap();
}
