//! An upgrade of the operator restarts nothing until somebody approves.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Patch, PatchParams};
use kube::config::Kubeconfig;
use millrace_operator::kafka::{Kafka, crd::KafkaCluster};
use millrace_operator::reconcile::PendingRestart;
use serde_json::{Value, json};

use super::support::Scene;

fn spec(replication: &str) -> Value {
    json!({"nodes": 1, "storage": {"size": "1Gi"}, "config": {"log.retention.hours": replication}})
}

async fn image(scene: &Scene) -> String {
    let set = scene.api::<StatefulSet>().get("k").await.unwrap();
    let pod = set.spec.unwrap().template.spec.unwrap();
    pod.containers[0].image.clone().unwrap()
}

async fn generation(scene: &Scene) -> Option<i64> {
    let set = scene.api::<StatefulSet>().get("k").await.unwrap();
    set.metadata.generation
}

async fn pending(scene: &Scene) -> Vec<PendingRestart> {
    let cluster = scene.api::<KafkaCluster>().get("k").await.unwrap();
    cluster.status.unwrap().pending_restarts
}

async fn approve(scene: &Scene, revision: &str) {
    let patch = json!({"metadata": {"annotations": {"millrace.dev/approve-restart": revision}}});
    let api = scene.api::<KafkaCluster>();
    api.patch("k", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

/// `millrace approve` shows what waits, approves nothing else, and then that.
fn approved_by_command(scene: &Scene, waiting: &PendingRestart) {
    let (code, out, error) = scene.millrace(&["approve"]);
    assert_eq!(code, 0, "{error}");
    for part in ["KafkaCluster/k", "StatefulSet/k", "kafka:1 → kafka:5"] {
        assert!(out.contains(part), "{part} is missing in: {out}");
    }
    let (code, out, _) = scene.millrace(&["approve", "--output", "json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_eq!(told[0]["pendingRestarts"], json!([waiting]));
    let (code, _, error) = scene.millrace(&["approve", "kafkacluster/k", "kafkacluster/other"]);
    assert_eq!(code, 1);
    let says = "kafkacluster/other: no restart of it waits";
    assert!(error.contains(says), "{error}");
    let context = Kubeconfig::read_from(&scene.kubeconfig).unwrap();
    let context = context.current_context.unwrap();
    let (code, out, error) = scene.millrace(&["approve", "-A", "--contexts", &context]);
    assert_eq!(code, 0, "{error}");
    let mut lines = out.lines();
    let heads: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let all = ["CONTEXT", "NAMESPACE", "RESOURCE", "RESTARTS", "BECAUSE"];
    assert_eq!(heads, all, "{out}");
    let begins = [context.as_str(), scene.namespace.as_str(), "KafkaCluster/k"];
    let found = lines.any(|line| line.split_whitespace().take(3).eq(begins));
    assert!(found, "{out}");
    let several = format!("{context},absent");
    let (code, out, error) = scene.millrace(&["approve", "k", "--contexts", &several]);
    assert_eq!((code, out.as_str()), (1, ""), "nothing is approved");
    assert!(error.contains("--contexts: absent"), "{error}");
    let (code, out, error) = scene.millrace(&["approve", "k"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "KafkaCluster/k: approved\n"),
        "{error}"
    );
}

pub async fn a_new_operator_restarts_nothing_until_approved(scene: &Scene) {
    assert!(scene.make::<Kafka>("k", spec("1")).await);
    let before = generation(scene).await;

    let scene = &scene.upgraded("5");
    for _ in 0..2 {
        assert!(scene.look::<Kafka>("k").await);
        assert_eq!(image(scene).await, "kafka:1");
        assert_eq!(
            generation(scene).await,
            before,
            "the StatefulSet is as it was"
        );
    }
    let waiting = pending(scene).await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].workload, "StatefulSet/k");
    assert!(
        waiting[0].reason.contains("kafka:1 → kafka:5"),
        "{}",
        waiting[0].reason
    );
    let writes = scene.writes();
    assert!(scene.look::<Kafka>("k").await);
    assert_eq!(scene.writes(), writes, "waiting writes nothing");

    // What was approved is that revision and no other.
    approve(scene, "0123456789abcdef").await;
    assert!(scene.look::<Kafka>("k").await);
    assert_eq!(image(scene).await, "kafka:1");
    approved_by_command(scene, &waiting[0]);
    assert!(scene.look::<Kafka>("k").await);
    assert_eq!(image(scene).await, "kafka:5");
    assert!(pending(scene).await.is_empty());
    let (code, out, _) = scene.millrace(&["approve"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "No restart waits for approval.\n")
    );

    // Who changes the spec of a resource wants its pods to have it.
    let before = generation(scene).await;
    assert!(scene.make::<Kafka>("k", spec("2")).await);
    assert_ne!(generation(scene).await, before);
    assert!(pending(scene).await.is_empty());
}

pub async fn what_is_asked_for_carries_no_other_build(scene: &Scene) {
    assert!(scene.make::<Kafka>("k", spec("1")).await);
    let before = generation(scene).await;

    // The spec is another one before the new operator has looked at all, and once more while that waits.
    let scene = &scene.upgraded("5");
    let mut revisions = Vec::new();
    for asked in ["2", "3"] {
        assert!(scene.make::<Kafka>("k", spec(asked)).await);
        assert_eq!(image(scene).await, "kafka:1");
        let now = generation(scene).await;
        assert_eq!(now, before, "the StatefulSet is as it was");
        let waiting = pending(scene).await;
        for part in ["kafka:1 → kafka:5", "`millrace approve KafkaCluster/k`"] {
            let reason = &waiting[0].reason;
            assert!(reason.contains(part), "{part} is missing in: {reason}");
        }
        let writes = scene.writes();
        assert!(scene.look::<Kafka>("k").await);
        assert_eq!(scene.writes(), writes, "waiting writes nothing");
        revisions.push(waiting[0].revision.clone());
    }
    assert_ne!(revisions[0], revisions[1]);

    approve(scene, &revisions[1]).await;
    assert!(scene.look::<Kafka>("k").await);
    assert_eq!(image(scene).await, "kafka:5");
    assert!(pending(scene).await.is_empty());
    // It is the operator's own from now on.
    let before = generation(scene).await;
    assert!(scene.make::<Kafka>("k", spec("4")).await);
    assert_ne!(generation(scene).await, before);
    assert!(pending(scene).await.is_empty());
}

pub async fn a_workload_without_marks_is_not_restarted_unasked(scene: &Scene) {
    assert!(scene.make::<Kafka>("k", spec("1")).await);
    let before = generation(scene).await;
    let patch = json!({"metadata": {"annotations": null}});
    scene
        .api::<StatefulSet>()
        .patch("k", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();

    let scene = &scene.upgraded("5");
    assert!(scene.look::<Kafka>("k").await);
    let waiting = pending(scene).await;
    assert!(
        waiting[0].reason.ends_with("kafka:1 → kafka:5"),
        "{}",
        waiting[0].reason
    );
    let writes = scene.writes();
    assert!(scene.look::<Kafka>("k").await);
    assert_eq!(scene.writes(), writes, "waiting writes nothing");
    assert_eq!(pending(scene).await, waiting);
    assert_eq!(image(scene).await, "kafka:1");
    assert_eq!(
        generation(scene).await,
        before,
        "the StatefulSet is as it was"
    );
    let (code, out, error) = scene.millrace(&["approve", "--all"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "KafkaCluster/k: approved\n"),
        "{error}"
    );
    assert!(scene.look::<Kafka>("k").await);
    assert_eq!(image(scene).await, "kafka:5");
    assert!(pending(scene).await.is_empty());
}
