//! archive as a StreamJob and as a part of a Platform.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Patch, PatchParams};
use millrace_operator::hdfs::Hdfs;
use millrace_operator::hdfs::crd::HdfsCluster;
use millrace_operator::job::Jobs;
use millrace_operator::job::crd::StreamJob;
use millrace_operator::kafka::Kafka;
use millrace_operator::platform::Platforms;
use millrace_operator::platform::crd::Platform;
use millrace_operator::zookeeper::crd::ZooKeeperEnsemble;
use serde_json::{Value, json};

use crate::support::Scene;

pub async fn secret(scene: &Scene, name: &str, data: Value) {
    let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    let api = scene.api::<Secret>();
    let params = PatchParams::apply("user").force();
    api.patch(name, &params, &Patch::Apply(&body))
        .await
        .unwrap();
}

fn archive(lake: Value) -> Value {
    json!({"job": "archive", "bindings": ["k-binding"], "lake": lake})
}

pub async fn an_archive_waits_for_its_file_system(scene: &Scene) {
    scene
        .make::<Kafka>("k", json!({"nodes": 1, "storage": {"size": "1Gi"}}))
        .await;
    let spec = archive(json!({"hdfs": "h"}));
    assert!(!scene.make::<Jobs>("j", spec).await);
    let (_, reason, told) = scene.condition::<StreamJob>("j", "Available").await;
    assert_eq!(reason, "BindingMissing");
    assert!(told.starts_with("spec.lake.hdfs: h: "), "{told}");
    let one = json!({"dataNodes": {"replicas": 1, "storage": {"size": "1Gi"}}});
    assert!(scene.make::<Hdfs>("h", one).await);
    assert!(!scene.look::<Jobs>("j").await);
    let (_, reason, told) = scene.condition::<StreamJob>("j", "Available").await;
    assert_eq!(reason, "LakeNotReady");
    assert!(told.contains("no NameNode of it has worked yet"), "{told}");
    scene
        .set_status::<HdfsCluster>("h", json!({"formatted": true}))
        .await;
    assert!(!scene.look::<Jobs>("j").await);
    let (_, _, told) = scene.condition::<StreamJob>("j", "Available").await;
    assert!(
        told.contains("the directory /millrace/lake/telemetry could not be looked at"),
        "{told}"
    );
    assert!(!scene.exists::<Deployment>("j").await);
}

pub async fn an_archive_runs_beside_its_compaction(scene: &Scene) {
    scene
        .make::<Kafka>("k", json!({"nodes": 1, "storage": {"size": "1Gi"}}))
        .await;
    let compacted = json!({"bindingSecret": "theirs", "compaction": {"schedule": "17 * * * *"}});
    secret(scene, "theirs", json!({"uri": "hdfs://ns/data"})).await;
    assert!(!scene.make::<Jobs>("j", archive(compacted)).await);
    let (_, reason, told) = scene.condition::<StreamJob>("j", "Available").await;
    assert_eq!(reason, "BindingIncomplete");
    assert!(told.contains("no key type"), "{told}");
    secret(
        scene,
        "theirs",
        json!({"type": "hdfs", "uri": "hdfs://ns/data", "username": "cars"}),
    )
    .await;
    assert!(scene.look::<Jobs>("j").await);
    let writes = scene.writes();
    for _ in 0..2 {
        assert!(scene.look::<Jobs>("j").await);
    }
    assert_eq!(scene.writes(), writes, "nothing is left to do");
    let status = scene.api::<StreamJob>().get("j").await.unwrap().status;
    let lake = status.unwrap().lake.unwrap();
    assert_eq!(
        (lake.uri.as_str(), lake.user.as_str()),
        ("hdfs://ns/data/telemetry", "cars")
    );
    let deployment = scene.api::<Deployment>().get("j").await.unwrap();
    let labels = deployment.spec.unwrap().template.metadata.unwrap().labels;
    assert_eq!(labels.unwrap()["millrace.dev/uses-hdfs"], "true");
    for policy in ["j-archive", "j-lake-maintenance"] {
        assert!(scene.exists::<NetworkPolicy>(policy).await, "{policy}");
    }
    // A run that failed is told, and holds nothing up.
    let failed = json!({"lastScheduleTime": "2026-11-28T13:17:00Z"});
    scene.set_status::<CronJob>("j-compact", failed).await;
    assert!(scene.look::<Jobs>("j").await);
    let (_, reason, _) = scene.condition::<StreamJob>("j", "Degraded").await;
    assert_eq!(reason, "MaintenanceFailed");
    assert!(
        scene
            .make::<Jobs>("j", archive(json!({"bindingSecret": "theirs"})))
            .await
    );
    assert!(!scene.exists::<CronJob>("j-compact").await);
    assert!(!scene.exists::<NetworkPolicy>("j-lake-maintenance").await);
    let typo =
        json!({"job": "archive", "lake": {"bindingSecret": "theirs"}, "config": {"rolBytes": 1}});
    assert!(!scene.make::<Jobs>("j", typo).await);
    let (_, reason, told) = scene.condition::<StreamJob>("j", "Degraded").await;
    assert_eq!(reason, "InvalidSpec");
    assert!(told.contains("rolBytes"), "{told}");
}

pub async fn a_platform_has_a_lake(scene: &Scene) {
    let spec = json!({"profile": "ha", "kafka": {}, "hdfs": {}, "archive": {}});
    assert!(scene.make::<Platforms>("p", spec).await);
    assert!(scene.exists::<ZooKeeperEnsemble>("p-zookeeper").await);
    let hdfs = scene.api::<HdfsCluster>().get("p-hdfs").await.unwrap().spec;
    assert_eq!((hdfs.name_nodes.replicas, hdfs.data_nodes.replicas), (2, 3));
    let waits = scene.api::<Platform>().get("p").await.unwrap();
    let waits = waits.status.unwrap().waiting_on;
    for part in [
        "HdfsCluster p-hdfs",
        "ZooKeeperEnsemble p-zookeeper",
        "StreamJob p-archive",
    ] {
        assert!(
            waits.iter().any(|w| w.component == part),
            "{part}: {waits:?}"
        );
    }
    // What the jobs wait for is told by name once it is there.
    assert!(scene.look::<Platforms>("p").await);
    let writes = scene.writes();
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(scene.writes(), writes);
}
