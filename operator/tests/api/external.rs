//! Parts of a Platform that somebody else runs.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use millrace_operator::job::crd::StreamJob;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::openwhisk::Whisks;
use millrace_operator::openwhisk::crd::OpenWhisk;
use millrace_operator::platform::Platforms;
use millrace_operator::platform::crd::{Platform, WaitingOn};
use millrace_operator::topic::crd::KafkaTopic;
use serde_json::{Value, json};

use crate::support::Scene;

async fn secret(scene: &Scene, name: &str, data: Value) {
    let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    let params = PatchParams::apply("user").force();
    let api = scene.api::<Secret>();
    api.patch(name, &params, &Patch::Apply(&body))
        .await
        .unwrap();
}

async fn waiting_on(scene: &Scene) -> Vec<WaitingOn> {
    let platform = scene.api::<Platform>().get("p").await.unwrap();
    platform.status.unwrap().waiting_on
}

pub async fn an_external_kafka_is_named_until_it_can_be_used(scene: &Scene) {
    let spec = json!({"kafka": {"external": {"bindingSecret": "theirs", "replicationFactor": 2}}, "gateway": {}});
    assert!(scene.make::<Platforms>("p", spec).await);
    let first = waiting_on(scene).await.remove(0);
    assert_eq!(first.component, "Secret theirs");
    assert_eq!(
        first.reason,
        "spec.kafka.external.bindingSecret: theirs: there is no Secret of that name in the namespace; make it with the key bootstrap-servers, and what else the Kafka needs"
    );
    assert!(!scene.exists::<KafkaCluster>("p-kafka").await);

    secret(
        scene,
        "theirs",
        json!({"bootstrap-servers": "k:9092", "security-protocol": "SASL_SSL"}),
    )
    .await;
    assert!(scene.look::<Platforms>("p").await);
    let first = waiting_on(scene).await.remove(0);
    assert!(
        first
            .reason
            .starts_with("spec.kafka.external.bindingSecret: theirs: the Secret cannot be used, "),
        "{}",
        first.reason
    );

    secret(
        scene,
        "theirs",
        json!({"bootstrap-servers": "k:9092", "security-protocol": "PLAINTEXT"}),
    )
    .await;
    let topics = scene.api::<KafkaTopic>();
    for topic in topics.list(&ListParams::default()).await.unwrap() {
        assert_eq!(
            (topic.spec.kafka.as_ref(), topic.spec.binding.as_deref()),
            (None, Some("theirs"))
        );
        assert_eq!(topic.spec.replication_factor, 2);
        let status = json!({"conditions": [{"type": "Available", "status": "True", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ready", "message": "m"}]});
        scene
            .set_status::<KafkaTopic>(&topic.name_any(), status)
            .await;
    }
    assert!(scene.look::<Platforms>("p").await);
    let gateway = scene.api::<StreamJob>().get("p-gateway").await.unwrap();
    assert_eq!(gateway.spec.bindings, ["theirs", "p-gateway"]);
    let waits = waiting_on(scene).await;
    assert!(
        waits.iter().all(|w| !w.component.starts_with("Secret")),
        "{waits:?}"
    );
}

pub async fn what_does_not_go_together_is_refused(scene: &Scene) {
    let external = json!({"bindingSecret": "s"});
    for (spec, says) in [
        (
            json!({"kafka": {"external": external, "storage": {"size": "2Gi"}}}),
            "spec.kafka.external: given beside",
        ),
        (
            json!({"kafka": {"external": external, "config": {"a": "b"}}}),
            "spec.kafka.external: given beside",
        ),
        (
            json!({"openwhisk": {"external": external, "image": "i"}}),
            "spec.openwhisk.external: given beside",
        ),
        (
            json!({"flow": {"canarySeconds": 5}}),
            "spec.flow.canarySeconds: from 1 to 9",
        ),
    ] {
        let refused = scene.apply("Platform", "refused", spec).await.unwrap_err();
        assert!(refused.contains(says), "{refused}");
    }
    for (name, before, after, says) in [
        (
            "a",
            json!({"kafka": {}}),
            json!({"kafka": {"external": external}}),
            "cannot be added or removed later",
        ),
        (
            "b",
            json!({"openwhisk": {"external": external}}),
            json!({"openwhisk": {"resources": {"memory": "512Mi"}}}),
            "cannot be added or removed later",
        ),
        (
            "c",
            json!({"profile": "ha", "kafka": {"partitions": 3}}),
            json!({"profile": "standard", "kafka": {"partitions": 3}}),
            "put ha back",
        ),
    ] {
        scene.apply("Platform", name, before).await.unwrap();
        let refused = scene.apply("Platform", name, after).await.unwrap_err();
        assert!(refused.contains(says), "{refused}");
    }
    let topic = |kafka: Value| {
        let mut spec = json!({"partitions": 1, "schema": "alert"});
        spec.as_object_mut()
            .unwrap()
            .extend(kafka.as_object().unwrap().clone());
        spec
    };
    for wrong in [json!({}), json!({"kafka": "k", "binding": "s"})] {
        let refused = scene
            .apply("KafkaTopic", "t", topic(wrong))
            .await
            .unwrap_err();
        assert!(refused.contains("set exactly one of the two"), "{refused}");
    }
    scene
        .apply("KafkaTopic", "t", topic(json!({"binding": "s"})))
        .await
        .unwrap();
    for moved in [json!({"binding": "other"}), json!({"kafka": "k"})] {
        let refused = scene
            .apply("KafkaTopic", "t", topic(moved))
            .await
            .unwrap_err();
        assert!(
            refused.contains("cannot move to another Kafka"),
            "{refused}"
        );
    }
    let refused = scene
        .apply("OpenWhisk", "w", json!({"mode": "external"}))
        .await
        .unwrap_err();
    assert!(
        refused.contains("spec.bindingSecret: belongs to mode external"),
        "{refused}"
    );
}

pub async fn an_external_openwhisk_has_a_binding_as_any(scene: &Scene) {
    let spec = json!({"mode": "external", "bindingSecret": "theirs"});
    assert!(!scene.make::<Whisks>("w", spec).await);
    let (status, reason, told) = scene.condition::<OpenWhisk>("w", "Degraded").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("True", "BindingMissing")
    );
    assert!(
        told.contains("make it with the keys uri, username and password"),
        "{told}"
    );
    secret(
        scene,
        "theirs",
        json!({"uri": "http://w:3233", "username": "u", "password": "k"}),
    )
    .await;
    assert!(scene.look::<Whisks>("w").await);
    assert_eq!(
        scene.condition::<OpenWhisk>("w", "Available").await.0,
        "True"
    );
    let copy = scene.api::<Secret>().get("w-binding").await.unwrap();
    assert_eq!(copy.data.unwrap()["uri"].0, b"http://w:3233");
    let writes = scene.writes();
    assert!(scene.look::<Whisks>("w").await);
    assert_eq!(scene.writes(), writes, "a further look writes nothing");
}
