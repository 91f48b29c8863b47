//! Two event sources with one consumer group: the older one has it.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::DeleteParams;
use millrace_operator::action::crd::Action;
use millrace_operator::eventsource::EventSources;
use millrace_operator::eventsource::crd::EventSource;
use millrace_operator::topic::crd::KafkaTopic;
use serde_json::{Value, json};

use crate::support::Scene;

fn available() -> Value {
    json!({"conditions": [{"type": "Available", "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ready", "message": ""}]})
}

async fn topic(scene: &Scene, name: &str) {
    let spec = json!({"kafka": "k", "topicName": name, "partitions": 1, "schema": "alert"});
    scene.apply("KafkaTopic", name, spec).await.unwrap();
    scene.set_status::<KafkaTopic>(name, available()).await;
}

pub async fn the_older_event_source_has_the_group(scene: &Scene) {
    topic(scene, "alerts").await;
    topic(scene, "other").await;
    let action = json!({"openwhisk": "w", "sequence": ["x"]});
    scene.apply("Action", "act", action).await.unwrap();
    scene.set_status::<Action>("act", available()).await;

    // Within a second the name decides, so the older one's comes first.
    let named = json!({"topic": "alerts", "action": "act"});
    assert!(scene.make::<EventSources>("a", named.clone()).await);
    let explicit = json!({"topic": "alerts", "action": "act", "group": "dispatch-a"});
    assert!(scene.make::<EventSources>("b", explicit).await);
    for type_ in ["Available", "Degraded"] {
        let (_, reason, message) = scene.condition::<EventSource>("b", type_).await;
        assert_eq!(reason, "Claimed");
        assert!(
            message.starts_with("spec.group: dispatch-a: ") && message.contains("EventSource a"),
            "{message}"
        );
    }
    assert_eq!(
        scene.condition::<EventSource>("b", "Available").await.0,
        "False"
    );
    assert!(scene.exists::<Deployment>("a-dispatch").await);
    assert!(!scene.exists::<Deployment>("b-dispatch").await);
    let writes = scene.writes();
    assert!(scene.look::<EventSources>("b").await);
    assert!(scene.look::<EventSources>("a").await);
    assert_eq!(scene.writes(), writes, "a further look writes nothing");

    // The group is free in a topic that the older one does not read any more, and its own again when it comes back.
    let elsewhere = json!({"topic": "other", "action": "act"});
    assert!(scene.make::<EventSources>("a", elsewhere).await);
    assert!(scene.look::<EventSources>("b").await);
    assert!(scene.exists::<Deployment>("b-dispatch").await);
    assert_eq!(
        scene.condition::<EventSource>("b", "Degraded").await.0,
        "False"
    );
    assert!(scene.make::<EventSources>("a", named).await);
    assert!(scene.look::<EventSources>("b").await);
    assert_eq!(
        scene.condition::<EventSource>("b", "Available").await.1,
        "Claimed"
    );
    assert!(!scene.exists::<Deployment>("b-dispatch").await);

    scene
        .api::<EventSource>()
        .delete("a", &DeleteParams::background())
        .await
        .unwrap();
    assert!(scene.look::<EventSources>("b").await);
    assert!(scene.exists::<Deployment>("b-dispatch").await);
}
