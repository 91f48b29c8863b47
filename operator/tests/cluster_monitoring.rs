//! Every panel of every dashboard on a platform on real nodes, with all that dashboards show running beside it: a real
//! Prometheus picks the pods by their annotations with the configuration of docs/monitoring.md, and each panel has data.
//!
//! Prometheus runs on this machine. It reaches pods as `kubectl port-forward` does, through a proxy of HTTP in this process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster_support;
mod pod_proxy;
mod prometheus_support;

use std::time::{Duration, Instant};

use cluster_support::{client, millrace};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use millrace_testkit::{Platform, fresh, prometheus};
use pod_proxy::proxy;
use prometheus_support::{Prometheus, documented, panels};
use serde_json::{Value, json};

/// Two cores start six containers one after the other, four of them of Java.
const LIMIT: Duration = Duration::from_secs(420);
const ARCHIVE: &str = include_str!("../../manifests/samples/streamjob-archive.yaml");
const MATERIALIZE: &str = include_str!("../../manifests/samples/streamjob-materialize.yaml");
const MONGO: &str = include_str!("../../manifests/samples/mongocluster.yaml");
const POSTGRES: &str = include_str!("../../manifests/samples/postgrescluster.yaml");
const ZOOKEEPER: &str = "apiVersion: millrace.dev/v1alpha1
kind: ZooKeeperEnsemble
metadata:
  name: sample-zookeeper
spec:
  storage:
    size: 1Gi
";

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_secs(2));
    }
    panic!("{what} did not come within {} s", LIMIT.as_secs());
}

const SAMPLES: [&str; 6] = [
    "streamjob/sample-archive",
    "hdfscluster/sample-archive-hdfs",
    "streamjob/sample-materialize",
    "mongocluster/sample-mongo",
    "postgrescluster/sample-postgres",
    "zookeeperensemble/sample-zookeeper",
];

fn is_available(platform: &Platform, what: &str) -> Option<()> {
    let text = platform.kubectl(&["get", what, "-o", "json"]).ok()?;
    let object: Value = serde_json::from_str(&text).ok()?;
    let mut conditions = object["status"]["conditions"].as_array()?.iter();
    conditions
        .any(|one| one["type"] == "Available" && one["status"] == "True")
        .then_some(())
}

/// All that dashboards show and the platform for development does not have.
fn make(platform: &Platform) {
    let kafka = format!("{}-kafka-binding", platform.name);
    platform
        .apply(&ARCHIVE.replace("sample-binding", &kafka))
        .unwrap();
    platform
        .apply(&MATERIALIZE.replace("sample-kafka-binding", &kafka))
        .unwrap();
    for sample in [MONGO, POSTGRES, ZOOKEEPER] {
        platform.apply(sample).unwrap();
    }
    for what in SAMPLES {
        wait(what, || is_available(platform, what));
    }
}

fn remove(platform: &Platform) {
    let mut arguments = vec!["delete", "--ignore-not-found", "--timeout=120s"];
    arguments.extend(SAMPLES);
    platform.kubectl(&arguments).unwrap();
    platform
        .kubectl(&[
            "delete",
            "pvc",
            "--ignore-not-found",
            "--timeout=60s",
            "data-sample-archive-hdfs-namenode-0",
            "data-sample-archive-hdfs-datanode-0",
            "data-sample-mongo-0",
            "data-sample-postgres-0",
            "data-sample-zookeeper-0",
        ])
        .unwrap();
}

/// A vehicle whose engine gets too hot: events, an alert, an action, a notification, and one event that is refused.
async fn drive(platform: &Platform) {
    let vehicle = fresh("eyes");
    let enrol = ["vehicle", "enrol", &vehicle];
    let token = millrace(platform, &platform.namespace, &enrol).unwrap();
    let url = format!("{}/v1/vehicles/{vehicle}/telemetry", platform.http);
    let client = reqwest::Client::new();
    let now = jiff::Timestamp::now();
    let events: Vec<Value> = (0..120_i64)
        .map(|second| {
            let time = now - jiff::SignedDuration::from_secs(120 - second);
            json!({"vehicle": vehicle, "sequence": second, "time": time.to_string(),
                "coolant_temperature": 90 + second * 2 / 5, "engine_speed": 2500, "speed": 80})
        })
        .collect();
    let wrong = json!([{"vehicle": vehicle, "sequence": 121, "time": "yesterday"}]);
    for (events, taken) in [(json!(events), true), (wrong, false)] {
        let answer = client.post(&url).bearer_auth(&token);
        let answer = answer.body(events.to_string()).send().await.unwrap();
        let status = answer.status();
        let told = answer.text().await.unwrap();
        assert_eq!(status.is_success(), taken, "{status}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "cluster tier"]
async fn every_panel_has_data() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    let Some(programs) = prometheus().unwrap() else {
        return;
    };
    remove(&platform);
    make(&platform);
    drive(&platform).await;
    let client = client(&platform).await;
    let pods = Api::<Pod>::all(client.clone());
    let mut pods = pods.list(&ListParams::default()).await.unwrap().items;
    // Of another test that has just ended.
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    let proxy = proxy(client).await;
    let home = tempfile::tempdir().unwrap();
    let by_proxy = format!("proxy_url: http://127.0.0.1:{proxy}\n    ");
    let scrape = documented(home.path(), &pods, &by_proxy);
    let prometheus = Prometheus::start_every(&programs, home.path(), &scrape, "5s");
    let all = panels();
    let empty = || -> Vec<String> {
        all.iter()
            .filter(|panel| prometheus.ask(&panel.query).unwrap().is_empty())
            .map(|panel| format!("{}: {}", panel.title, panel.query))
            .collect()
    };
    let started = Instant::now();
    let mut left = empty();
    while !left.is_empty() && started.elapsed() < LIMIT {
        tokio::time::sleep(Duration::from_secs(5)).await;
        left = empty();
    }
    let targets = prometheus.targets();
    assert!(left.is_empty(), "no data: {left:#?}\ntargets: {targets:#?}");
    // Whoever says that he is to be scraped is.
    let down: Vec<_> = targets.iter().filter(|(_, up)| *up != "\"1\"").collect();
    assert!(down.is_empty(), "{down:?}");
    assert!(targets.len() >= 12, "{targets:#?}");
    remove(&platform);
}
