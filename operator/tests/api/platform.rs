//! A Platform and its parts.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use millrace_operator::action::crd::Action;
use millrace_operator::eventsource::crd::EventSource;
use millrace_operator::job::crd::StreamJob;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::openwhisk::crd::OpenWhisk;
use millrace_operator::platform::Platforms;
use millrace_operator::platform::crd::Platform;
use millrace_operator::topic::crd::KafkaTopic;
use serde_json::{Value, json};

use crate::support::Scene;

const ACTIONS: [&str; 5] = [
    "p-assess-vehicle",
    "p-notify-driver",
    "p-warn-driver",
    "p-warn-geofence",
    "p-warn-zone",
];

fn available(generation: i64) -> Value {
    json!({"conditions": [{"type": "Available", "status": "True", "observedGeneration": generation,
        "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ready", "message": "m"}]})
}

pub async fn parts_appear_and_jobs_wait_for_topics(scene: &Scene) {
    let spec = json!({"kafka": {}, "gateway": {}, "detect": {}, "openwhisk": {}, "warnings": {}});
    assert!(scene.make::<Platforms>("p", spec.clone()).await);
    assert!(scene.exists::<KafkaCluster>("p-kafka").await);
    assert!(scene.exists::<OpenWhisk>("p-whisk").await);
    for name in ["p-warnings", "p-zones"] {
        assert!(scene.exists::<EventSource>(name).await, "{name}");
    }
    for name in ACTIONS {
        assert!(scene.exists::<Action>(name).await, "{name}");
    }
    let topics = scene
        .api::<KafkaTopic>()
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    assert_eq!(topics.len(), millrace_contract::topics::ALL.len());
    assert!(
        !scene.exists::<StreamJob>("p-gateway").await,
        "it waits for its topics"
    );
    let secret = scene.api::<Secret>().get("p-gateway").await.unwrap();
    assert_eq!(
        secret.metadata.owner_references, None,
        "the keys outlive the platform, as volumes do"
    );
    let version = secret.metadata.resource_version;
    let secret = secret.data.unwrap();

    let waits = |platform: Platform| {
        let waiting = platform.status.unwrap().waiting_on;
        let gateway = waiting
            .into_iter()
            .find(|w| w.component == "StreamJob p-gateway");
        gateway.unwrap().reason
    };
    let reason = waits(scene.api::<Platform>().get("p").await.unwrap());
    assert_eq!(reason, "waits for its topics");
    assert!(scene.look::<Platforms>("p").await);
    let reason = waits(scene.api::<Platform>().get("p").await.unwrap());
    assert!(reason.starts_with("waits for KafkaTopic p-"), "{reason}");
    assert_eq!(
        scene.condition::<Platform>("p", "Available").await.0,
        "False"
    );
    let writes = scene.writes();
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(scene.writes(), writes, "a further look writes nothing");

    for topic in &topics {
        scene
            .set_status::<KafkaTopic>(&topic.name_any(), available(1))
            .await;
    }
    assert!(scene.look::<Platforms>("p").await);
    for name in ["p-gateway", "p-detect"] {
        assert!(scene.exists::<StreamJob>(name).await, "{name}");
        scene.set_status::<StreamJob>(name, available(1)).await;
    }
    scene
        .set_status::<KafkaCluster>("p-kafka", available(1))
        .await;
    scene.set_status::<OpenWhisk>("p-whisk", available(1)).await;
    for name in ["p-warnings", "p-zones"] {
        scene.set_status::<EventSource>(name, available(1)).await;
    }
    for name in ACTIONS {
        scene.set_status::<Action>(name, available(1)).await;
    }
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(
        scene.condition::<Platform>("p", "Available").await.0,
        "True"
    );
    let status = scene
        .api::<Platform>()
        .get("p")
        .await
        .unwrap()
        .status
        .unwrap();
    assert!(status.waiting_on.is_empty());
    assert!(
        status
            .components
            .iter()
            .all(|part| part.ready && part.message == "m")
    );

    // A topic that is away for a while takes nothing back.
    scene.set_status::<KafkaTopic>("p-telemetry", json!({"conditions": [{"type": "Available", "status": "False",
        "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "R", "message": "away"}]})).await;
    assert!(scene.look::<Platforms>("p").await);
    assert!(scene.exists::<StreamJob>("p-gateway").await);
    assert_eq!(
        scene.condition::<Platform>("p", "Available").await.2,
        "24 of 25 components ready; KafkaTopic p-telemetry: away"
    );

    // Parts that are taken out are removed; the gateway's keys are not.
    scene
        .apply("Platform", "p", json!({"kafka": {}}))
        .await
        .unwrap();
    assert!(scene.look::<Platforms>("p").await);
    assert!(!scene.exists::<StreamJob>("p-gateway").await);
    assert!(!scene.exists::<EventSource>("p-warnings").await);
    assert_eq!(
        scene
            .api::<Secret>()
            .get("p-gateway")
            .await
            .unwrap()
            .data
            .unwrap(),
        secret
    );
    scene.apply("Platform", "p", spec.clone()).await.unwrap();
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(
        scene
            .api::<Secret>()
            .get("p-gateway")
            .await
            .unwrap()
            .data
            .unwrap(),
        secret
    );

    // A platform made anew uses the keys of the former one, untouched.
    scene
        .api::<Platform>()
        .delete("p", &DeleteParams::background())
        .await
        .unwrap();
    crate::support::eventually("the end of the platform", || async {
        (!scene.exists::<Platform>("p").await).then_some(())
    })
    .await;
    scene.apply("Platform", "p", spec).await.unwrap();
    // Parts of the former platform may still be on their way out: that is not what this is about.
    scene.look::<Platforms>("p").await;
    let kept = scene.api::<Secret>().get("p-gateway").await.unwrap();
    assert_eq!(
        (kept.metadata.resource_version, kept.data.unwrap()),
        (version, secret)
    );
}
