//! Topics of a real Kafka: bound to the schema of the records that they hold, and heard by their cluster.

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use millrace_operator::context::MANAGER;
use millrace_operator::kafka::Kafka as KafkaClusters;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::remote::kafka::{Access, KafkaAdmin};
use millrace_operator::remote::topic::{SCHEMA_LABEL, Topics};
use millrace_operator::topic::crd::KafkaTopic;
use millrace_testkit::Kafka;
use serde_json::json;

use crate::kafka_support::{limits, write};
use crate::support::Scene;

async fn plain_cluster(scene: &Scene, bootstrap: &str) {
    let spec = json!({"nodes": 1, "storage": {"size": "1Gi"}});
    scene.apply("KafkaCluster", "k", spec).await.unwrap();
    let available = json!({"conditions": [{"type": "Available", "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ready", "message": ""}]});
    scene.set_status::<KafkaCluster>("k", available).await;
    let admin = Secret {
        metadata: ObjectMeta {
            name: Some("k-admin".to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(
            [(
                "bootstrap-servers".to_owned(),
                ByteString(bootstrap.as_bytes().to_vec()),
            )]
            .into(),
        ),
        ..Secret::default()
    };
    let api = scene.api::<Secret>();
    api.create(&PostParams::default(), &admin).await.unwrap();
}

/// Schema in the status, label, and whether the condition Degraded stands.
async fn bound(scene: &Scene) -> (String, String, bool) {
    let topic = scene.api::<KafkaTopic>().get("t").await.unwrap();
    let degraded = scene.condition::<KafkaTopic>("t", "Degraded").await;
    (
        topic.schema().name().to_owned(),
        topic.labels()[SCHEMA_LABEL].clone(),
        degraded.0 == "True",
    )
}

pub async fn records_bind_a_topic_to_its_schema(scene: &Scene) {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    plain_cluster(scene, &kafka.bootstrap()).await;
    let of = |schema: &str| json!({"kafka": "k", "partitions": 1, "schema": schema});
    let is = |schema: &str, degraded| (schema.to_owned(), schema.to_owned(), degraded);
    assert!(scene.make::<Topics>("t", of("alert")).await);
    assert_eq!(bound(scene).await, is("alert", false));
    // While it is empty it can be bound anew.
    assert!(scene.make::<Topics>("t", of("audit")).await);
    assert!(scene.look::<Topics>("t").await);
    assert_eq!(bound(scene).await, is("audit", false));

    let access = Access::plain(&kafka.bootstrap());
    let admin = KafkaAdmin::connect(&access, limits()).unwrap();
    let view = admin.topic("t").await.unwrap().unwrap();
    assert_eq!(write(&access, &view).await.unwrap(), None);
    let mut other = of("alert");
    other["config"] = json!({"retention.ms": "1000"});
    assert!(scene.make::<Topics>("t", other).await);
    assert!(scene.look::<Topics>("t").await);
    assert_eq!(bound(scene).await, is("audit", true));
    let (_, reason, message) = scene.condition::<KafkaTopic>("t", "Degraded").await;
    assert_eq!(reason, "Refused");
    assert!(message.contains("put audit back"), "{message}");
    let status = scene.api::<KafkaTopic>().get("t").await.unwrap().status;
    let refused = status.unwrap().refused_schema.unwrap();
    assert_eq!((refused.schema.name(), refused.version), ("alert", Some(1)));
    assert!(message.contains(&refused.reason), "{message} {refused:?}");
    // The rest is done, and the topic works.
    let config = admin.topic_config("t").await.unwrap();
    assert_eq!(config["retention.ms"].value.as_deref(), Some("1000"));
    let (available, ..) = scene.condition::<KafkaTopic>("t", "Available").await;
    assert_eq!(available, "True");
    let writes = scene.writes();
    assert!(scene.look::<Topics>("t").await);
    assert_eq!(scene.writes(), writes, "a further look writes nothing");
    assert!(scene.make::<Topics>("t", of("audit")).await);
    assert_eq!(bound(scene).await, is("audit", false));
    let status = scene.api::<KafkaTopic>().get("t").await.unwrap().status;
    assert_eq!(status.unwrap().refused_schema, None);

    // A later operator bound it to a later version: this one leaves it so.
    scene
        .set_status::<KafkaTopic>("t", json!({"schemaVersion": 2}))
        .await;
    assert!(scene.look::<Topics>("t").await);
    assert_eq!(bound(scene).await, is("audit", true));
    let status = scene.api::<KafkaTopic>().get("t").await.unwrap().status;
    let status = status.unwrap();
    assert_eq!(status.schema_version, Some(2));
    let refused = status.refused_schema.unwrap();
    assert_eq!((refused.schema.name(), refused.version), ("audit", Some(1)));
    assert!(refused.reason.contains("version 2"), "{refused:?}");
    let writes = scene.writes();
    assert!(scene.look::<Topics>("t").await);
    assert_eq!(scene.writes(), writes, "a further look writes nothing");
    // A former one bound it to a former version: that is no matter.
    scene
        .set_status::<KafkaTopic>("t", json!({"schemaVersion": 0}))
        .await;
    assert!(scene.look::<Topics>("t").await);
    assert_eq!(bound(scene).await, is("audit", false));
    let status = scene.api::<KafkaTopic>().get("t").await.unwrap().status;
    let status = status.unwrap();
    assert_eq!(
        (status.schema_version, status.refused_schema),
        (Some(1), None)
    );
}

pub async fn a_topic_tells_which_version_of_its_schema_it_has(scene: &Scene) {
    // Before there is a Kafka, too.
    let of = |schema: &str| json!({"kafka": "k", "partitions": 1, "schema": schema});
    assert!(scene.make::<Topics>("t", of("telemetry")).await);
    let status = scene.api::<KafkaTopic>().get("t").await.unwrap().status;
    let status = status.unwrap();
    let version = i64::from(millrace_contract::telemetry::VERSION);
    assert_eq!(status.schema_version, Some(version));
    let fingerprint = millrace_contract::schema::fingerprint("telemetry");
    assert_eq!(status.schema_fingerprint.as_deref(), fingerprint);
    assert_eq!(status.refused_schema, None);
    let writes = scene.writes();
    assert!(scene.look::<Topics>("t").await);
    assert_eq!(scene.writes(), writes, "a further look writes nothing");
    // What only the jobs read has no versions.
    assert!(scene.make::<Topics>("u", of("notified")).await);
    let status = scene.api::<KafkaTopic>().get("u").await.unwrap().status;
    let status = status.unwrap();
    assert_eq!(
        (status.schema_version, status.schema_fingerprint),
        (None, None)
    );
}

pub async fn a_cluster_hears_how_many_copies_a_topic_asks_for(scene: &Scene) {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let spec = json!({"nodes": 1, "storage": {"size": "1Gi"}});
    assert!(scene.make::<KafkaClusters>("k", spec).await);
    let set = scene.api::<StatefulSet>().get("k").await.unwrap();
    let seen = json!({"observedGeneration": set.metadata.generation, "replicas": 0});
    scene.set_status::<StatefulSet>("k", seen).await;
    let available = json!({"bootstrapped": true, "readyNodes": 1, "nodes": 1,
        "conditions": [{"type": "Available", "status": "True",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ready", "message": ""}]});
    let way_in = Patch::Merge(json!({"stringData": {"bootstrap-servers": kafka.bootstrap()}}));
    let secrets = scene.api::<Secret>();
    let as_ever = PatchParams::default();
    secrets.patch("k-admin", &as_ever, &way_in).await.unwrap();
    scene
        .set_status::<KafkaCluster>("k", available.clone())
        .await;
    let topic = json!({"kafka": "k", "partitions": 1, "schema": "alert"});
    assert!(scene.make::<Topics>("t", topic).await);
    let mut status = serde_json::to_value(scene.api::<KafkaTopic>().get("t").await.unwrap().status);
    let status = status.as_mut().unwrap();
    assert_eq!(status.get("askedReplicationFactor"), None);

    // As it stands when brokers have gone since it was asked for.
    status["askedReplicationFactor"] = json!(2);
    let told = json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaTopic",
        "metadata": {"name": "t"}, "status": status.take()});
    let as_the_operator = PatchParams::apply(MANAGER).force();
    let topics = scene.api::<KafkaTopic>();
    topics
        .patch_status("t", &as_the_operator, &Patch::Apply(&told))
        .await
        .unwrap();
    assert!(scene.look::<KafkaClusters>("k").await);
    let (_, reason, told) = scene.condition::<KafkaCluster>("k", "Progressing").await;
    assert_eq!(reason, "MovingReplicas");
    assert!(
        told.contains("topic t is to have 2 copies, and only 1 brokers may have one"),
        "{told}"
    );

    // Nobody asks for it any more.
    scene.set_status::<KafkaCluster>("k", available).await;
    secrets.patch("k-admin", &as_ever, &way_in).await.unwrap();
    assert!(scene.look::<Topics>("t").await);
    assert_eq!(topics.get("t").await.unwrap().asked_factor(), None);
}
