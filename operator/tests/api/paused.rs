//! A Platform that rests, with all that belongs to it.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use millrace_operator::context::PAUSER;
use millrace_operator::kafka::Kafka;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::openwhisk::crd::OpenWhisk;
use millrace_operator::platform::Platforms;
use millrace_operator::platform::crd::Platform;
use millrace_operator::topic::crd::KafkaTopic;
use serde_json::json;

use crate::support::Scene;

/// Whether the cluster, OpenWhisk, and all topics or none are paused.
async fn paused(scene: &Scene) -> (bool, bool, bool) {
    let cluster = scene.api::<KafkaCluster>().get("p-kafka").await.unwrap();
    let whisk = scene.api::<OpenWhisk>().get("p-whisk").await.unwrap();
    let topics = scene.api::<KafkaTopic>();
    let topics = topics.list(&ListParams::default()).await.unwrap().items;
    let of_topics = topics[0].spec.paused;
    for topic in &topics {
        assert_eq!(topic.spec.paused, of_topics, "{}", topic.name_any());
    }
    (cluster.spec.paused, whisk.spec.paused, of_topics)
}

async fn said(scene: &Scene) -> (String, String) {
    let (status, reason, _) = scene.condition::<Platform>("p", "Paused").await;
    (status, reason)
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

pub async fn a_platform_rests_with_its_parts(scene: &Scene) {
    let spec = json!({"kafka": {}, "openwhisk": {}});
    assert!(scene.make::<Platforms>("p", spec.clone()).await);
    assert_eq!(paused(scene).await, (false, false, false));
    // One part its user has paused.
    let by_user = PatchParams {
        field_manager: Some("user".to_owned()),
        ..PatchParams::default()
    };
    let own = Patch::Merge(json!({"spec": {"paused": true}}));
    let whisks = scene.api::<OpenWhisk>();
    whisks.patch("p-whisk", &by_user, &own).await.unwrap();

    // Without OpenWhisk: but nothing is removed meanwhile.
    let resting = json!({"kafka": {}, "paused": true});
    assert!(scene.make::<Platforms>("p", resting).await);
    assert_eq!(said(scene).await, is("True", "PausedWithParts"));
    assert_eq!(paused(scene).await, (true, true, true));
    assert!(scene.look::<Kafka>("p-kafka").await);
    let of_part = scene.condition::<KafkaCluster>("p-kafka", "Paused").await;
    assert_eq!(of_part.0, "True");
    assert!(!scene.exists::<StatefulSet>("p-kafka").await);
    let writes = scene.writes();
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(scene.writes(), writes, "a further look writes nothing");
    let another = scene.upgraded("2");
    assert!(another.look::<Platforms>("p").await);
    assert_eq!(another.writes(), 0, "nor does another operator");

    assert!(scene.make::<Platforms>("p", spec).await);
    assert_eq!(said(scene).await, is("False", "NotPaused"));
    assert_eq!(
        paused(scene).await,
        (false, true, false),
        "what its user has paused stays so"
    );
    let cluster = scene.api::<KafkaCluster>().get("p-kafka").await.unwrap();
    let mut managers = cluster.managed_fields().iter();
    assert!(managers.all(|entry| entry.manager.as_deref() != Some(PAUSER)));
    assert!(scene.look::<Kafka>("p-kafka").await);
    assert!(scene.exists::<StatefulSet>("p-kafka").await);
    assert!(scene.look::<Platforms>("p").await);
    let writes = scene.writes();
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(scene.writes(), writes, "a further look writes nothing");
}

pub async fn a_platform_paused_by_a_former_version_rests_with_its_parts_too(scene: &Scene) {
    let spec = |paused: bool| json!({"kafka": {}, "openwhisk": {}, "paused": paused});
    assert!(scene.make::<Platforms>("p", spec(false)).await);
    let condition = json!({"type": "Paused", "status": "True", "reason": "Paused", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    scene.apply("Platform", "p", spec(true)).await.unwrap();
    scene
        .set_status::<Platform>("p", json!({"conditions": [condition]}))
        .await;
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(paused(scene).await, (true, true, true));
    // It began to pause and came no further: what is paused goes on all the same.
    let condition = json!({"type": "Paused", "status": "True", "reason": "PausingParts", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    scene
        .set_status::<Platform>("p", json!({"conditions": [condition]}))
        .await;
    assert!(scene.make::<Platforms>("p", spec(false)).await);
    assert_eq!(paused(scene).await, (false, false, false));
}
