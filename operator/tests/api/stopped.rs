//! A Platform to zero and back.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::ListParams;
use millrace_operator::eventsource::crd::EventSource;
use millrace_operator::job::crd::StreamJob;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::openwhisk::crd::OpenWhisk;
use millrace_operator::platform::Platforms;
use millrace_operator::platform::crd::Platform;
use millrace_operator::topic::crd::KafkaTopic;
use serde_json::{Value, json};

use crate::support::Scene;

const PARTS: [(&str, &str); 6] = [
    ("KafkaCluster", "p-kafka"),
    ("OpenWhisk", "p-whisk"),
    ("StreamJob", "p-detect"),
    ("EventSource", "p-warnings"),
    ("EventSource", "p-zones"),
    ("StreamJob", "p-gateway"),
];

/// A part as its own controller would leave it: stopped or available, as its spec asks.
async fn follow(scene: &Scene, kind: &str, name: &str) -> bool {
    let body = match kind {
        "KafkaCluster" => json!(scene.api::<KafkaCluster>().get(name).await.unwrap()),
        "OpenWhisk" => json!(scene.api::<OpenWhisk>().get(name).await.unwrap()),
        "EventSource" => json!(scene.api::<EventSource>().get(name).await.unwrap()),
        _ => json!(scene.api::<StreamJob>().get(name).await.unwrap()),
    };
    let stopped = body["spec"]["stopped"] == true;
    let one = |type_: &str, is: bool| {
        json!({"type": type_, "status": if is { "True" } else { "False" }, "reason": "R", "message": "m",
            "observedGeneration": body["metadata"]["generation"], "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let status = json!({"conditions": [one("Available", !stopped), one("Stopped", stopped)]});
    match kind {
        "KafkaCluster" => scene.set_status::<KafkaCluster>(name, status).await,
        "OpenWhisk" => scene.set_status::<OpenWhisk>(name, status).await,
        "EventSource" => scene.set_status::<EventSource>(name, status).await,
        _ => scene.set_status::<StreamJob>(name, status).await,
    }
    stopped
}

/// Which parts are stopped, after they have followed.
async fn stopped(scene: &Scene) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (kind, name) in PARTS {
        if follow(scene, kind, name).await {
            names.push(name);
        }
    }
    names
}

pub async fn a_platform_goes_to_zero_in_order_and_comes_back(scene: &Scene) {
    let spec = |stopped: bool| json!({"kafka": {}, "gateway": {}, "detect": {}, "openwhisk": {}, "warnings": {}, "stopped": stopped});
    assert!(scene.make::<Platforms>("p", spec(false)).await);
    for topic in scene
        .api::<KafkaTopic>()
        .list(&ListParams::default())
        .await
        .unwrap()
    {
        let status = json!({"conditions": [{"type": "Available", "status": "True", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ready", "message": "m"}]});
        scene
            .set_status::<KafkaTopic>(&topic.name_any(), status)
            .await;
    }
    assert!(scene.look::<Platforms>("p").await);
    assert!(stopped(scene).await.is_empty());

    assert!(scene.make::<Platforms>("p", spec(true)).await);
    assert_eq!(
        stopped(scene).await,
        ["p-gateway"],
        "nothing more is taken in"
    );
    // What reads the log goes on: nothing is known of how far it has come.
    for _ in 0..2 {
        assert!(scene.look::<Platforms>("p").await);
        assert_eq!(stopped(scene).await, ["p-gateway"]);
    }
    let (status, reason, told) = scene.condition::<Platform>("p", "Stopped").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "GatewayStopped")
    );
    assert!(told.contains("records wait in the log"), "{told}");
    // Its time is up.
    let condition = json!({"type": "Stopped", "status": "False", "reason": "GatewayStopped", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    scene
        .set_status::<Platform>("p", json!({"conditions": [condition]}))
        .await;
    let mut steps: Vec<Vec<&str>> = Vec::new();
    for _ in 0..8 {
        assert!(scene.look::<Platforms>("p").await);
        let now = stopped(scene).await;
        if steps.last() != Some(&now) {
            steps.push(now);
        }
    }
    let readers = ["p-detect", "p-warnings", "p-zones", "p-gateway"];
    let mut whisk = vec!["p-whisk"];
    whisk.extend(readers);
    let mut all = vec!["p-kafka"];
    all.extend(&whisk);
    let down = [
        vec!["p-gateway"],
        readers.to_vec(),
        whisk.clone(),
        all.clone(),
    ];
    assert_eq!(steps, down);
    assert_eq!(scene.condition::<Platform>("p", "Stopped").await.0, "True");
    assert_eq!(
        scene.condition::<Platform>("p", "Available").await.1,
        "Stopped"
    );
    let waits = scene
        .api::<Platform>()
        .get("p")
        .await
        .unwrap()
        .status
        .unwrap();
    assert!(waits.waiting_on.is_empty(), "{:?}", waits.waiting_on);
    // A time of transition that is taken anew differs by then.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let written = scene.written();
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(scene.written(), written, "a stopped platform is left alone");

    assert!(scene.make::<Platforms>("p", spec(false)).await);
    let mut steps: Vec<Vec<&str>> = vec![stopped(scene).await];
    for _ in 0..8 {
        assert!(scene.look::<Platforms>("p").await);
        let now = stopped(scene).await;
        if steps.last() != Some(&now) {
            steps.push(now);
        }
    }
    let up: Vec<Vec<&str>> = [all, whisk, readers.to_vec(), vec!["p-gateway"], vec![]].into();
    assert_eq!(steps, up);
    let body: Value = json!(scene.api::<Platform>().get("p").await.unwrap());
    let conditions = body["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions.iter().all(|c| c["type"] != "Stopped"),
        "{conditions:?}"
    );
}
