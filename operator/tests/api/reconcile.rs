//! What the reconcilers do to Kubernetes, one look at a time.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use millrace_operator::action::crd::Action;
use millrace_operator::controller;
use millrace_operator::eventsource::EventSources;
use millrace_operator::eventsource::crd::EventSource;
use millrace_operator::job::Jobs;
use millrace_operator::job::crd::StreamJob;
use millrace_operator::kafka::Kafka;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::made;
use millrace_operator::openwhisk::Whisks;
use millrace_operator::registry::owned;
use millrace_operator::topic::crd::KafkaTopic;
use serde_json::{Value, json};

use crate::support::{Scene, eventually};

fn small() -> Value {
    json!({"nodes": 1, "storage": {"size": "1Gi"}})
}

fn available() -> Value {
    json!({"conditions": [{"type": "Available", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ready", "message": ""}]})
}

pub async fn a_cluster_appears_and_a_second_look_writes_nothing(scene: &Scene) {
    assert!(scene.make::<Kafka>("k", small()).await);
    for name in ["k-nodes", "k-bootstrap"] {
        assert!(scene.exists::<Service>(name).await, "{name}");
    }
    assert!(scene.exists::<ConfigMap>("k-files").await);
    assert!(scene.exists::<PodDisruptionBudget>("k").await);
    let binding = scene
        .api::<Secret>()
        .get("k-binding")
        .await
        .unwrap()
        .data
        .unwrap();
    let expected = format!("k-bootstrap.{}.svc:9092", scene.namespace);
    assert_eq!(
        String::from_utf8(binding["bootstrap-servers"].0.clone()).unwrap(),
        expected
    );
    let set = scene.api::<StatefulSet>().get("k").await.unwrap();
    assert_eq!(set.owner_references()[0].kind, "KafkaCluster");

    let status = scene
        .api::<KafkaCluster>()
        .get("k")
        .await
        .unwrap()
        .status
        .unwrap();
    assert_eq!(status.binding.unwrap().name, "k-binding");
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(
        scene.condition::<KafkaCluster>("k", "Available").await.0,
        "False"
    );
    assert_eq!(
        scene.condition::<KafkaCluster>("k", "Progressing").await.0,
        "True"
    );
    assert_eq!(
        scene.condition::<KafkaCluster>("k", "Degraded").await.0,
        "False"
    );

    let writes = scene.writes();
    assert!(writes >= 7, "{writes}");
    let version = scene
        .api::<KafkaCluster>()
        .get("k")
        .await
        .unwrap()
        .metadata
        .resource_version;
    for _ in 0..3 {
        assert!(scene.look::<Kafka>("k").await);
    }
    assert_eq!(scene.writes(), writes);
    assert_eq!(
        scene
            .api::<KafkaCluster>()
            .get("k")
            .await
            .unwrap()
            .metadata
            .resource_version,
        version
    );
}

pub async fn drift_is_corrected(scene: &Scene) {
    scene.make::<Kafka>("k", small()).await;
    let patch = json!({"data": {"server.properties": "process.roles=none"}});
    scene
        .api::<ConfigMap>()
        .patch("k-files", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    scene
        .api::<Service>()
        .delete("k-bootstrap", &DeleteParams::default())
        .await
        .unwrap();
    let patch = json!({"spec": {"replicas": 5}});
    scene
        .api::<StatefulSet>()
        .patch("k", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    // What somebody adds beside ours is theirs.
    let patch = json!({"metadata": {"annotations": {"theirs": "yes"}}});
    scene
        .api::<StatefulSet>()
        .patch("k", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    assert!(scene.look::<Kafka>("k").await);
    let files = scene
        .api::<ConfigMap>()
        .get("k-files")
        .await
        .unwrap()
        .data
        .unwrap();
    assert!(files["server.properties"].starts_with("process.roles=broker,controller"));
    assert!(scene.exists::<Service>("k-bootstrap").await);
    let set = scene.api::<StatefulSet>().get("k").await.unwrap();
    assert_eq!(set.spec.as_ref().unwrap().replicas, Some(1));
    assert_eq!(set.annotations()["theirs"], "yes");
    let writes = scene.writes();
    assert!(scene.look::<Kafka>("k").await);
    assert_eq!(scene.writes(), writes);
}

pub async fn a_ready_set_makes_the_cluster_available(scene: &Scene) {
    scene.make::<Kafka>("k", small()).await;
    scene
        .set_status::<StatefulSet>(
            "k",
            json!({"replicas": 1, "readyReplicas": 1, "observedGeneration": 1}),
        )
        .await;
    scene.look::<Kafka>("k").await;
    assert_eq!(
        scene.condition::<KafkaCluster>("k", "Available").await,
        ("True".into(), "Ready".into(), "1 of 1 nodes ready".into())
    );
    assert_eq!(
        scene.condition::<KafkaCluster>("k", "Progressing").await.0,
        "False"
    );
    let events = scene
        .api::<Event>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(events.iter().any(|e| e.reason.as_deref() == Some("Ready")
        && e.regarding.as_ref().unwrap().kind.as_deref() == Some("KafkaCluster")));
}

pub async fn a_bad_spec_leaves_what_ran(scene: &Scene) {
    scene.make::<Kafka>("k", small()).await;
    scene
        .set_status::<StatefulSet>(
            "k",
            json!({"replicas": 1, "readyReplicas": 1, "observedGeneration": 1}),
        )
        .await;
    scene.look::<Kafka>("k").await;
    let writes = scene.writes();
    // A line break gets past the rules of the definition, and must not get into the broker's file.
    let bad = json!({"nodes": 1, "storage": {"size": "1Gi"}, "config": {"log.retention.hours": "1\nlog.dirs=/tmp"}});
    assert!(!scene.make::<Kafka>("k", bad).await);
    let (status, reason, message) = scene.condition::<KafkaCluster>("k", "Degraded").await;
    assert_eq!((status.as_str(), reason.as_str()), ("True", "InvalidSpec"));
    assert!(
        message.starts_with("spec.config[log.retention.hours]: 1")
            && message.contains("write the value on one line"),
        "{message}"
    );
    assert_eq!(
        scene.condition::<KafkaCluster>("k", "Available").await.0,
        "True",
        "what ran goes on"
    );
    assert!(scene.exists::<StatefulSet>("k").await);
    assert_eq!(scene.writes(), writes + 1, "nothing but the status");
    scene
        .set_status::<StatefulSet>("k", json!({"readyReplicas": 0}))
        .await;
    assert!(!scene.look::<Kafka>("k").await);
    let (status, reason, _) = scene.condition::<KafkaCluster>("k", "Available").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "PodsNotReady"),
        "what ran is still watched"
    );
    scene
        .set_status::<StatefulSet>("k", json!({"readyReplicas": 1}))
        .await;
    assert!(!scene.look::<Kafka>("k").await);
    assert_eq!(
        scene.condition::<KafkaCluster>("k", "Available").await.0,
        "True"
    );
    let events = scene
        .api::<Event>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(events.iter().any(
        |e| e.reason.as_deref() == Some("InvalidSpec") && e.type_.as_deref() == Some("Warning")
    ));
    assert!(
        scene
            .context
            .metrics
            .text()
            .contains(r#"outcome="InvalidSpec""#)
    );

    assert!(scene.make::<Kafka>("k", small()).await);
    assert_eq!(
        scene.condition::<KafkaCluster>("k", "Degraded").await.0,
        "False"
    );
}

pub async fn what_is_built_no_longer_is_removed(scene: &Scene) {
    assert!(scene.make::<Jobs>("j", json!({"job": "gateway"})).await);
    assert!(scene.exists::<Service>("j").await);
    // Somebody copied our labels onto something of their own.
    let mut copied = scene.api::<Service>().get("j").await.unwrap();
    copied.metadata = ObjectMeta {
        name: Some("theirs".into()),
        labels: copied.metadata.labels,
        ..ObjectMeta::default()
    };
    copied.status = None;
    let spec = copied.spec.as_mut().unwrap();
    (spec.cluster_ip, spec.cluster_ips) = (None, None);
    scene
        .api::<Service>()
        .create(&PostParams::default(), &copied)
        .await
        .unwrap();

    // The selector of a Deployment cannot be changed, so the other job needs the former one gone.
    scene
        .api::<Deployment>()
        .delete("j", &DeleteParams::background())
        .await
        .unwrap();
    assert!(scene.make::<Jobs>("j", json!({"job": "detect"})).await);
    assert!(
        !scene.exists::<Service>("j").await,
        "a job that does not serve has no service"
    );
    assert!(scene.exists::<Deployment>("j").await);
    assert!(
        scene.exists::<Service>("theirs").await,
        "what we did not make stays"
    );
}

pub async fn a_taken_name_is_left_alone(scene: &Scene) {
    let theirs = ConfigMap {
        metadata: ObjectMeta {
            name: Some("k-files".into()),
            ..ObjectMeta::default()
        },
        data: Some([("mine".to_owned(), "yes".to_owned())].into()),
        ..ConfigMap::default()
    };
    scene
        .api::<ConfigMap>()
        .create(&PostParams::default(), &theirs)
        .await
        .unwrap();
    assert!(!scene.make::<Kafka>("k", small()).await);
    let (status, reason, message) = scene.condition::<KafkaCluster>("k", "Degraded").await;
    assert_eq!((status.as_str(), reason.as_str()), ("True", "NameTaken"));
    assert!(
        message.contains("ConfigMap k-files") && message.contains("delete or rename it"),
        "{message}"
    );
    assert_eq!(
        scene
            .api::<ConfigMap>()
            .get("k-files")
            .await
            .unwrap()
            .data
            .unwrap()["mine"],
        "yes"
    );
    assert!(!scene.exists::<StatefulSet>("k").await);
}

pub async fn volumes_grown_by_hand_are_the_truth(scene: &Scene) {
    scene.make::<Kafka>("k", small()).await;
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-k-0"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}}))
    .unwrap();
    scene
        .api::<PersistentVolumeClaim>()
        .create(&PostParams::default(), &claim)
        .await
        .unwrap();
    assert!(
        scene
            .make::<Kafka>("k", json!({"nodes": 1, "storage": {"size": "2Gi"}}))
            .await
    );
    let status = scene
        .api::<KafkaCluster>()
        .get("k")
        .await
        .unwrap()
        .status
        .unwrap();
    assert_eq!(status.storage.as_deref(), Some("5Gi"));
    assert_eq!(
        scene.condition::<KafkaCluster>("k", "Degraded").await.0,
        "False"
    );
    // This claim has no class that could grow it.
    assert!(
        scene
            .make::<Kafka>("k", json!({"nodes": 1, "storage": {"size": "6Gi"}}))
            .await
    );
    let (status, reason, message) = scene.condition::<KafkaCluster>("k", "Degraded").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("True", "VolumeCannotGrow"),
        "{message}"
    );
    assert!(
        message.starts_with("spec.storage.size: 6Gi: ") && message.contains("put 5Gi back"),
        "{message}"
    );
}

pub async fn paused_means_hands_off(scene: &Scene) {
    scene.make::<Kafka>("k", small()).await;
    let mut paused = small();
    paused["paused"] = json!(true);
    paused["config"] = json!({"log.retention.hours": "7"});
    scene.make::<Kafka>("k", paused).await;
    assert_eq!(
        scene.condition::<KafkaCluster>("k", "Paused").await.0,
        "True"
    );
    let files = scene
        .api::<ConfigMap>()
        .get("k-files")
        .await
        .unwrap()
        .data
        .unwrap();
    assert!(!files["server.properties"].contains("log.retention.hours"));
    let mut resumed = small();
    resumed["config"] = json!({"log.retention.hours": "7"});
    scene.make::<Kafka>("k", resumed).await;
    assert_eq!(
        scene.condition::<KafkaCluster>("k", "Paused").await.0,
        "False"
    );
    let files = scene
        .api::<ConfigMap>()
        .get("k-files")
        .await
        .unwrap()
        .data
        .unwrap();
    assert!(files["server.properties"].contains("log.retention.hours=7"));
}

pub async fn credentials_are_made_once(scene: &Scene) {
    assert!(scene.make::<Whisks>("w", json!({})).await);
    let auth = scene
        .api::<Secret>()
        .get("w-auth")
        .await
        .unwrap()
        .data
        .unwrap()["auth"]
        .0
        .clone();
    scene
        .api::<Secret>()
        .delete("w-binding", &DeleteParams::default())
        .await
        .unwrap();
    assert!(scene.look::<Whisks>("w").await);
    assert_eq!(
        scene
            .api::<Secret>()
            .get("w-auth")
            .await
            .unwrap()
            .data
            .unwrap()["auth"]
            .0,
        auth
    );
    let binding = scene
        .api::<Secret>()
        .get("w-binding")
        .await
        .unwrap()
        .data
        .unwrap();
    let joined = [&binding["username"].0[..], b":", &binding["password"].0[..]].concat();
    assert_eq!(joined, auth);
    let writes = scene.writes();
    scene.look::<Whisks>("w").await;
    assert_eq!(scene.writes(), writes);
}

pub async fn an_event_source_needs_its_topic(scene: &Scene) {
    assert!(
        !scene
            .make::<EventSources>("e", json!({"topic": "t", "action": "a"}))
            .await
    );
    let (status, reason, message) = scene.condition::<EventSource>("e", "Available").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "TopicMissing")
    );
    assert!(
        message.starts_with("spec.topic: t: ") && message.contains("make the KafkaTopic"),
        "{message}"
    );
    assert!(!scene.exists::<Deployment>("e-dispatch").await);

    scene
        .apply(
            "KafkaTopic",
            "t",
            json!({"kafka": "k", "topicName": "alerts", "partitions": 1, "schema": "alert"}),
        )
        .await
        .unwrap();
    scene
        .apply("Action", "a", json!({"openwhisk": "w", "sequence": ["x"]}))
        .await
        .unwrap();
    assert!(!scene.look::<EventSources>("e").await);
    assert_eq!(
        scene.condition::<EventSource>("e", "Available").await.1,
        "TopicNotReady"
    );
    scene.set_status::<KafkaTopic>("t", available()).await;
    scene.set_status::<Action>("a", available()).await;
    assert!(scene.look::<EventSources>("e").await);
    assert!(scene.exists::<Deployment>("e-dispatch").await);
    assert_eq!(
        scene.condition::<EventSource>("e", "Degraded").await.0,
        "False"
    );
    let config = scene
        .api::<ConfigMap>()
        .get("e-dispatch-config")
        .await
        .unwrap()
        .data
        .unwrap();
    assert!(
        config["config.yaml"].contains("topic: alerts"),
        "{config:?}"
    );

    scene
        .set_status::<Deployment>("e-dispatch", json!({"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "observedGeneration": 1}))
        .await;
    assert!(scene.look::<EventSources>("e").await);
    scene
        .api::<KafkaTopic>()
        .delete("t", &DeleteParams::default())
        .await
        .unwrap();
    assert!(!scene.look::<EventSources>("e").await);
    assert_eq!(
        scene.condition::<EventSource>("e", "Available").await.0,
        "True",
        "its pods go on"
    );
    let (status, reason, message) = scene.condition::<EventSource>("e", "Degraded").await;
    assert_eq!((status.as_str(), reason.as_str()), ("True", "TopicMissing"));
    assert!(
        message.starts_with("spec.topic: t: ") && message.contains("make the KafkaTopic"),
        "{message}"
    );
    scene
        .set_status::<Deployment>("e-dispatch", json!({"readyReplicas": 0}))
        .await;
    assert!(!scene.look::<EventSources>("e").await);
    let (status, reason, _) = scene.condition::<EventSource>("e", "Available").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "TopicMissing")
    );
    assert!(
        scene.exists::<Deployment>("e-dispatch").await,
        "what runs goes on"
    );
}

pub async fn a_job_needs_its_bindings(scene: &Scene) {
    assert!(
        !scene
            .make::<Jobs>("j", json!({"job": "detect", "bindings": ["k-binding"]}))
            .await
    );
    let (status, reason, message) = scene.condition::<StreamJob>("j", "Available").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "BindingMissing")
    );
    assert!(
        message.starts_with("spec.bindings: k-binding: "),
        "{message}"
    );
    scene.make::<Kafka>("k", small()).await;
    assert!(scene.look::<Jobs>("j").await);
    assert!(scene.exists::<Deployment>("j").await);
    scene
        .set_status::<Deployment>("j", json!({"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "observedGeneration": 1}))
        .await;
    scene.look::<Jobs>("j").await;
    assert_eq!(
        scene.condition::<StreamJob>("j", "Available").await.0,
        "True"
    );
    let scale = scene.api::<StreamJob>().get_scale("j").await.unwrap();
    assert_eq!(scale.status.unwrap().replicas, 1);

    scene
        .api::<Secret>()
        .delete("k-binding", &DeleteParams::default())
        .await
        .unwrap();
    assert!(!scene.look::<Jobs>("j").await);
    assert_eq!(
        scene.condition::<StreamJob>("j", "Available").await.0,
        "True",
        "its pods go on"
    );
    let (status, reason, _) = scene.condition::<StreamJob>("j", "Degraded").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("True", "BindingMissing")
    );
}

pub async fn a_running_controller_reacts_and_stops(scene: &Scene) {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(controller::run::<Kafka>(scene.context.clone(), stopped));
    let watching = tokio::spawn(made::watch(scene.context.clone(), owned()));
    scene.apply("KafkaCluster", "k", small()).await.unwrap();
    eventually("the StatefulSet", || async {
        scene.exists::<StatefulSet>("k").await.then_some(())
    })
    .await;
    scene
        .api::<Service>()
        .delete("k-bootstrap", &DeleteParams::default())
        .await
        .unwrap();
    eventually("the Service anew", || async {
        scene.exists::<Service>("k-bootstrap").await.then_some(())
    })
    .await;
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(10), running)
        .await
        .unwrap()
        .unwrap();
    watching.abort();
}
