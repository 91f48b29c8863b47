//! The flow of a Platform in its status.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::ListParams;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::platform::Platforms;
use millrace_operator::platform::crd::{Platform, StageName};
use millrace_operator::topic::crd::KafkaTopic;
use serde_json::{Value, json};

use crate::support::Scene;

fn available(more: &Value) -> Value {
    let mut status = json!({"conditions": [{"type": "Available", "status": "True", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ready", "message": "m"}]});
    status
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    status
}

pub async fn a_flow_that_cannot_be_read_is_told_once(scene: &Scene) {
    let spec = json!({"kafka": {}, "gateway": {}, "detect": {}, "flow": {"canarySeconds": 0}});
    assert!(scene.make::<Platforms>("p", spec).await);
    let flow = || async {
        let platform = scene.api::<Platform>().get("p").await.unwrap();
        platform.status.unwrap().flow
    };
    assert_eq!(flow().await, None, "there is no Kafka to ask yet");
    // Nothing listens there.
    let status = available(&json!({"bootstrapServers": "127.0.0.1:1"}));
    scene.set_status::<KafkaCluster>("p-kafka", status).await;
    for topic in scene
        .api::<KafkaTopic>()
        .list(&ListParams::default())
        .await
        .unwrap()
    {
        let name = topic.name_any();
        scene
            .set_status::<KafkaTopic>(&name, available(&json!({})))
            .await;
    }
    let mut seen = None;
    for _ in 0..60 {
        assert!(scene.look::<Platforms>("p").await);
        seen = flow().await;
        if seen.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let seen = seen.unwrap();
    let stages: Vec<StageName> = seen.stages.iter().map(|stage| stage.stage).collect();
    assert_eq!(
        stages,
        [
            StageName::Produced,
            StageName::Detected,
            StageName::Notified
        ]
    );
    for stage in &seen.stages {
        let message = stage.message.as_deref().unwrap();
        assert!(message.contains("127.0.0.1:1"), "{message}");
    }
    let writes = scene.writes();
    for _ in 0..3 {
        assert!(scene.look::<Platforms>("p").await);
    }
    assert_eq!(scene.writes(), writes, "a further look writes nothing");
}
