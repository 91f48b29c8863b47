//! `millrace` against a real API server: states, drains and sizes.

use kube::ResourceExt;
use millrace_operator::kafka::{Kafka, crd::KafkaCluster};
use millrace_operator::platform::Platforms;
use serde_json::{Value, json};

use super::support::Scene;

fn available(status: &str) -> Value {
    json!({"conditions": [{"type": "Available", "status": status, "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "R", "message": "as told"}]})
}

pub async fn a_platform_is_told_with_its_parts_and_what_is_missing(scene: &Scene) {
    let (code, _, error) = scene.millrace(&["status"]);
    assert_eq!(code, 1);
    assert!(error.contains("has no resource of Millrace"), "{error}");

    assert!(scene.make::<Platforms>("p", json!({"kafka": {}})).await);
    let (code, out, _) = scene.millrace(&["status"]);
    assert_eq!(code, 1, "it is not available yet");
    assert!(out.starts_with("-- Platform/p"), "{out}");
    assert!(
        out.contains("  -- KafkaCluster/p-kafka  nothing is known"),
        "{out}"
    );
    assert!(out.contains("waits for KafkaTopic p-telemetry"), "{out}");

    scene
        .set_status::<KafkaCluster>("p-kafka", available("True"))
        .await;
    let (code, out, _) = scene.millrace(&["status", "kafkacluster/p-kafka"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "ok KafkaCluster/p-kafka  as told\n")
    );

    let (code, out, _) = scene.millrace(&["flow"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("Nothing is known of the flow yet"), "{out}");
}

pub async fn a_drain_is_asked_for_and_taken_back(scene: &Scene) {
    let spec = json!({"nodes": 1, "storage": {"size": "1Gi"}});
    assert!(scene.make::<Kafka>("k", spec).await);
    let asked = || async {
        let cluster = scene.api::<KafkaCluster>().get("k").await.unwrap();
        cluster.annotations().get("millrace.dev/drain").cloned()
    };
    let (code, out, error) = scene.millrace(&["drain", "kafka/k", "--nodes", "3,4"]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("nodes 3,4"), "{out}");
    assert_eq!(asked().await.as_deref(), Some("3,4"));
    let (code, _, error) = scene.millrace(&["drain", "kafka/k", "--cancel"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(asked().await, None);
    let (code, _, error) = scene.millrace(&["drain", "platform/k", "--nodes", "3"]);
    assert_eq!(code, 1);
    assert!(error.contains("write kafka/NAME"), "{error}");
    let (code, _, error) = scene.millrace(&["rotate-ca", "kafka/k"]);
    assert_eq!(code, 1);
    assert!(error.contains("spec.listeners.secure"), "{error}");
}

pub async fn a_cluster_without_nodes_holds_nothing(scene: &Scene) {
    let load = [
        "size",
        "--vehicles",
        "1000",
        "--hz",
        "1",
        "--retention-hours",
        "24",
    ];
    let (code, out, _) = scene.millrace(&load);
    assert_eq!(code, 0);
    assert!(out.contains("partitions: "), "{out}");
    let (code, _, error) = scene.millrace(&[&load[..], &["--check"]].concat());
    assert_eq!(code, 1);
    assert!(error.contains("refused: --vehicles: 1000: "), "{error}");
    assert!(
        error.contains("refused: --storage-class: absent: "),
        "{error}"
    );

    let (code, out, _) = scene.millrace(&[&load[..], &["--output", "yaml"]].concat());
    assert_eq!(code, 0);
    let platform: Value = serde_yaml_ng::from_str(&out).unwrap();
    let spec = platform["spec"].clone();
    scene.apply("Platform", "fleet", spec).await.unwrap();
}
