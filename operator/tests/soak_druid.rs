//! Druid on real nodes, with events that vehicles send by the gateway: how long they take until an answer counts them, answers
//! beside the same aggregation in Rust, a specification that is refused while the running one goes on, the panels of its
//! dashboard, and who changed what; while a historical, a worker, ZooKeeper's leader and the NameNode go and come back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "only its files are asked for")]
#[path = "cluster_fleet/hdfs.rs"]
mod cluster_hdfs;
mod cluster_support;
#[allow(dead_code, reason = "vehicles send events of their own")]
#[path = "alerts_drill/door.rs"]
mod door;
mod drill_support;
mod druid_pods;
mod druid_soak;
mod druid_support;
mod pod_proxy;
mod prometheus_support;

use std::time::{Duration, Instant};

use cluster_hdfs::Hdfs;
use cluster_support::{client, condition, get, remove_namespace};
use druid_pods::fleet::Fleet;
use druid_pods::watch::HEAD;
use druid_soak::faults::{Fault, row};
use druid_soak::{COUNT, Evidence, LIMIT, MANAGER, NAMESPACE, Scene, found, shown, until};
use kube::api::ListParams;
use millrace_testkit::{Platform, prometheus};
use pod_proxy::proxy;
use prometheus_support::{Prometheus, documented, panels};
use serde_json::{Value, json};

/// Panels about what Druid tells of itself.
const PANELS: usize = 14;

/// Says how far it is.
fn told(what: &str, begin: Instant) {
    shown(&format!("{what}: {:.0} s", begin.elapsed().as_secs_f64()));
}

/// All is counted as it was sent; then historicals answer for it, and what comes is read on.
async fn is_taken_in(scene: &Scene, fleet: &mut Fleet) {
    for _ in 0..4 {
        scene.vehicles.send(fleet.take(500)).await;
    }
    scene.counted(fleet.taken).await;
    fleet.check(&scene.druid).await;
    scene.both_read(fleet.taken).await;
    scene.hand_over().await;
    scene.counted(fleet.taken).await;
    scene.change(&json!({"suspended": false}));
    scene.both_read(fleet.taken).await;
}

fn message(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let found = conditions.find(|condition| condition["type"] == type_);
    let message = found.and_then(|condition| condition["message"].as_str());
    message.unwrap_or_default().to_owned()
}

/// A topic of which nothing can be read is refused by Druid's own trial, and the supervisor goes on as it was.
async fn a_bad_one_is_refused(scene: &Scene, fleet: &mut Fleet) {
    let junk = (0..20).map(|n| json!({"nothing": n}).to_string().into_bytes());
    scene.put_junk(junk).await;
    let good = scene.druid.supervisor("telemetry").await.unwrap();
    assert!(good.is_some());
    let degraded = async |status: &str| {
        let what = format!("Degraded of the ingestion to be {status}");
        until(&what, async || {
            let object = get(&scene.platform, &["druidingestion", "telemetry"]);
            (condition(&object, "Degraded") == status).then_some(object)
        })
        .await
    };
    scene.change(&json!({"topic": "junk"}));
    let object = degraded("True").await;
    let why = message(&object, "Degraded");
    assert!(why.contains("none of the first"), "{why}");
    assert!(why.contains("the last good specification goes on"), "{why}");
    assert_eq!(condition(&object, "Available"), "True", "{object}");
    scene.vehicles.send(fleet.take(500)).await;
    scene.counted(fleet.taken).await;
    fleet.check(&scene.druid).await;
    let now = scene.druid.supervisor("telemetry").await.unwrap();
    assert_eq!(now, good);
    scene.change(&json!({"topic": "p-telemetry"}));
    degraded("False").await;
    let now = scene.druid.supervisor("telemetry").await.unwrap();
    assert_eq!(now, good);
}

/// Each panel about what Druid tells of itself has data in a real Prometheus that scrapes the pods. That of the operator is not
/// scraped: without it no panel shows a 0 for want of data.
async fn panels_have_data(scene: &Scene) {
    let Some(programs) = prometheus().unwrap() else {
        return;
    };
    let pods = scene.pods.list(&ListParams::default()).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let proxy = proxy(client(&scene.platform).await).await;
    let by_proxy = format!("proxy_url: http://127.0.0.1:{proxy}\n    ");
    let scrape = documented(home.path(), &pods.items, &by_proxy);
    let prometheus = Prometheus::start_every(&programs, home.path(), &scrape, "5s");
    let mut left = panels();
    left.retain(|panel| panel.query.contains("druid_") || panel.query.contains("\"druid\""));
    assert!(left.len() >= PANELS, "{}", left.len());
    let begin = Instant::now();
    while !left.is_empty() {
        let names: Vec<&String> = left.iter().map(|panel| &panel.title).collect();
        let targets = prometheus.targets();
        assert!(begin.elapsed() < LIMIT, "no data: {names:#?}\n{targets:#?}");
        // So that there are questions to tell of.
        let _ = scene.druid.sql(COUNT).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let has_none = |query: &str| {
            let found = prometheus.ask(query);
            found.unwrap_or_default().is_empty()
        };
        left.retain(|panel| has_none(&panel.query));
    }
}

/// What this test changed is found by who, what and which.
async fn it_is_known_who_changed_it(scene: &Scene) {
    let question = format!(
        "SELECT operation, SUM(events) AS n FROM audit WHERE action = 'change-resource' \
         AND resource = 'druidingestions' AND \"namespace\" = '{NAMESPACE}' AND name = 'telemetry' \
         AND manager = '{MANAGER}' GROUP BY 1"
    );
    let rows = until("the change is in answers", async || {
        // Until the first task has told of it there is no such table.
        let rows = scene.druid.sql(&question).await.unwrap_or_default();
        (!rows.is_empty()).then_some(rows)
    })
    .await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["operation"], "Update", "{rows:?}");
    assert!(rows[0]["n"].as_u64() > Some(0), "{rows:?}");
}

/// What came in since the NameNode is back lies in HDFS, and historicals answer for all of it.
async fn is_handed_over(scene: &Scene, fleet: &Fleet) {
    scene.hand_over().await;
    scene.counted(fleet.taken).await;
    fleet.check(&scene.druid).await;
    let files = Hdfs::open(&scene.pods, "h").await.files().await;
    let is_segment = |path: &&String| {
        path.starts_with("/millrace/druid/d/segments/telemetry/") && path.ends_with("index.zip")
    };
    let segments = files.iter().filter(is_segment).count();
    assert!(segments >= 2, "{files:?}");
}

// Waits by kubectl hold up a thread each; the ways into pods need others.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "cluster tier"]
async fn answers_are_those_of_what_was_sent_whatever_is_lost() {
    let Some(mut platform) = Platform::find().unwrap() else {
        return;
    };
    platform.namespace = NAMESPACE.to_owned();
    let begin = Instant::now();
    remove_namespace(&platform);
    let evidence = Evidence(&platform);
    found(&platform);
    told("available", begin);
    let scene = Scene::open(platform.clone()).await;
    let mut fleet = Fleet::simulated();
    is_taken_in(&scene, &mut fleet).await;
    told("taken in, and handed over", begin);
    a_bad_one_is_refused(&scene, &mut fleet).await;
    told("refused", begin);
    panels_have_data(&scene).await;
    told("panels have data", begin);
    shown(HEAD);
    for fault in [
        Fault::Nothing,
        Fault::Historical,
        Fault::Worker,
        Fault::ZooKeeperLeader,
        Fault::NameNode,
    ] {
        row(&scene, &mut fleet, fault).await;
    }
    told("all were lost, and are back", begin);
    is_handed_over(&scene, &fleet).await;
    it_is_known_who_changed_it(&scene).await;
    told("handed over again, and asked who changed it", begin);
    drop(evidence);
    remove_namespace(&platform);
    told("removed", begin);
}
