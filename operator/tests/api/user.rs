//! Users of a Kafka: what is accepted, what they wait for, and what is done in a real Kafka with secure listeners.

use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::remote::kafka::{
    Access, KafkaAdmin, KafkaError, NewTopic, ResponseError, TopicView,
};
use millrace_operator::remote::topic::Topics;
use millrace_operator::remote::user::{ROTATE, Users};
use millrace_operator::topic::crd::KafkaTopic;
use millrace_operator::user::crd::KafkaUser;
use serde_json::{Value, json};

use crate::kafka_support::{Data, SecureKafka, limits, login, write};
use crate::support::{Scene, eventually};

async fn said(scene: &Scene, name: &str, type_: &str) -> (String, String, String) {
    scene.condition::<KafkaUser>(name, type_).await
}

async fn secret_of(scene: &Scene, name: &str) -> Data {
    let secret = scene.api::<Secret>().get(name).await.unwrap();
    secret.data.unwrap()
}

fn text(data: &Data, key: &str) -> String {
    String::from_utf8(data[key].0.clone()).unwrap()
}

async fn put_secret(scene: &Scene, name: &str, data: &Data) {
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(data.clone()),
        ..Secret::default()
    };
    let api = scene.api::<Secret>();
    let _ = api.delete(name, &DeleteParams::default()).await;
    api.create(&PostParams::default(), &secret).await.unwrap();
}

pub async fn users_need_a_secure_cluster(scene: &Scene) {
    scene.make::<Users>("alice", json!({"kafka": "k"})).await;
    let (status, reason, message) = said(scene, "alice", "Available").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "WaitingForKafka")
    );
    assert!(
        message.starts_with("spec.kafka: k: there is no"),
        "{message}"
    );
    let plain = json!({"nodes": 1, "storage": {"size": "1Gi"}});
    scene.apply("KafkaCluster", "k", plain).await.unwrap();
    assert!(scene.look::<Users>("alice").await);
    for type_ in ["Available", "Degraded"] {
        let (_, reason, message) = said(scene, "alice", type_).await;
        assert_eq!(reason, "NotSecure");
        assert!(message.contains("spec.listeners.secure"), "{message}");
    }
    let (_, told, _) = scene.millrace(&["status"]);
    assert!(told.contains("KafkaUser/alice"), "{told}");
    // Nothing was made, so nothing holds the resource.
    let api = scene.api::<KafkaUser>();
    api.delete("alice", &DeleteParams::default()).await.unwrap();
    assert!(scene.look::<Users>("alice").await);
    assert!(api.get_opt("alice").await.unwrap().is_none());
}

/// A cluster that is there and available: a real one.
async fn cluster(scene: &Scene, kafka: &SecureKafka) {
    let spec = serde_json::to_value(&kafka.cluster.spec).unwrap();
    scene.apply("KafkaCluster", "k", spec).await.unwrap();
    let available = json!({"conditions": [{"type": "Available", "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ready", "message": ""}]});
    scene.set_status::<KafkaCluster>("k", available).await;
    put_secret(scene, "k-admin", &kafka.admin).await;
    put_secret(scene, "k-binding", &kafka.binding).await;
}

pub async fn users_are_made_corrected_and_removed(scene: &Scene) {
    let Some(kafka) = SecureKafka::start(&scene.namespace, 27) else {
        return;
    };
    cluster(scene, &kafka).await;
    let admin = Access::from_secret(&kafka.admin).unwrap();
    let admin = KafkaAdmin::connect(&admin, limits()).unwrap();
    // Topics go the same way in.
    let spec = json!({"kafka": "k", "topicName": "alerts", "partitions": 1, "schema": "alert"});
    assert!(scene.make::<Topics>("alerts", spec).await);
    let (status, _, message) = scene.condition::<KafkaTopic>("alerts", "Available").await;
    assert_eq!(status, "True", "{message}");
    let alerts = admin.topic("alerts").await.unwrap().unwrap();

    let spec = json!({"kafka": "k", "quotas": {"producerByteRate": 1048576},
        "acls": [{"resource": "topic", "name": "alerts", "operations": ["Write"]}]});
    assert!(scene.make::<Users>("alice", spec.clone()).await);
    let (status, _, message) = said(scene, "alice", "Available").await;
    assert_eq!(status, "True", "{message}");
    let first = secret_of(scene, "alice-kafka").await;
    for (key, value) in [
        ("type", "kafka"),
        ("provider", "millrace"),
        ("security-protocol", "SASL_SSL"),
        ("sasl-mechanism", "SCRAM-SHA-512"),
        ("username", "alice"),
        (
            "bootstrap-servers",
            &text(&kafka.binding, "bootstrap-servers"),
        ),
        ("certificates", &text(&kafka.binding, "certificates")),
    ] {
        assert_eq!(text(&first, key), value);
    }
    let as_told = Access::from_secret(&first).unwrap();
    assert_eq!(write(&as_told, &alerts).await.unwrap(), None);
    let writes = scene.writes();
    assert!(scene.look::<Users>("alice").await);
    assert_eq!(scene.writes(), writes, "a further look writes nothing");

    the_older_one_has_the_user(scene).await;
    certificates_follow(scene, &kafka).await;
    a_new_password_is_asked_for(scene, &alerts, &first).await;
    a_password_put_in_by_hand_is_told(scene, &alerts).await;
    a_given_password_is_taken(scene, &kafka, &alerts, spec).await;

    let api = scene.api::<KafkaUser>();
    api.delete("alice", &DeleteParams::default()).await.unwrap();
    assert!(scene.look::<Users>("alice").await);
    assert!(api.get_opt("alice").await.unwrap().is_none());
    let gone = eventually("the removal", || async {
        let rules = admin.acls("User:alice").await.unwrap();
        let quotas = admin.quotas("alice").await.unwrap();
        let passwords = admin.credentials("alice").await.unwrap();
        (rules.is_empty() && quotas.is_empty() && passwords.is_empty()).then_some(())
    });
    gone.await;
}

async fn the_older_one_has_the_user(scene: &Scene) {
    // Within a second the name decides.
    let rival = json!({"kafka": "k", "userName": "alice"});
    assert!(scene.make::<Users>("b-rival", rival).await);
    let (status, reason, message) = said(scene, "b-rival", "Available").await;
    assert_eq!((status.as_str(), reason.as_str()), ("False", "Claimed"));
    assert!(message.contains("KafkaUser alice"), "{message}");
    assert!(!scene.exists::<Secret>("b-rival-kafka").await);
    // It goes without taking the user along.
    let api = scene.api::<KafkaUser>();
    api.delete("b-rival", &DeleteParams::default())
        .await
        .unwrap();
    assert!(scene.look::<Users>("b-rival").await);
    assert!(api.get_opt("b-rival").await.unwrap().is_none());
    let writes = scene.writes();
    assert!(scene.look::<Users>("alice").await);
    assert_eq!(scene.writes(), writes);
}

async fn certificates_follow(scene: &Scene, kafka: &SecureKafka) {
    let both = text(&kafka.binding, "certificates").repeat(2);
    let mut binding = kafka.binding.clone();
    binding.insert("certificates".into(), ByteString(both.clone().into_bytes()));
    put_secret(scene, "k-binding", &binding).await;
    assert!(scene.look::<Users>("alice").await);
    let now = secret_of(scene, "alice-kafka").await;
    assert_eq!(text(&now, "certificates"), both);
}

async fn a_new_password_is_asked_for(scene: &Scene, topic: &TopicView, first: &Data) {
    let asked = json!({"metadata": {"annotations": {ROTATE: "1"}}});
    let api = scene.api::<KafkaUser>();
    let params = PatchParams::default();
    api.patch("alice", &params, &Patch::Merge(&asked))
        .await
        .unwrap();
    assert!(scene.look::<Users>("alice").await);
    let next = secret_of(scene, "alice-kafka").await;
    assert_ne!(text(&next, "password"), text(first, "password"));
    let next = Access::from_secret(&next).unwrap();
    assert_eq!(write(&next, topic).await.unwrap(), None);
    let former = write(&Access::from_secret(first).unwrap(), topic).await;
    assert!(
        matches!(former, Err(KafkaError::Login { .. })),
        "{former:?}"
    );
    let status = api.get("alice").await.unwrap().status.unwrap();
    let rotation = status.rotation.unwrap();
    assert_eq!(rotation.rotated_for.as_deref(), Some("1"));
    let writes = scene.writes();
    assert!(scene.look::<Users>("alice").await);
    assert_eq!(scene.writes(), writes, "each value asks once");
}

async fn a_password_put_in_by_hand_is_told(scene: &Scene, topic: &TopicView) {
    let by_hand = json!({"stringData": {"password": "by hand"}});
    let params = PatchParams::default();
    let api = scene.api::<Secret>();
    api.patch("alice-kafka", &params, &Patch::Merge(&by_hand))
        .await
        .unwrap();
    assert!(scene.look::<Users>("alice").await);
    let bound = secret_of(scene, "alice-kafka").await;
    assert_eq!(text(&bound, "password"), "by hand");
    let access = Access::from_secret(&bound).unwrap();
    assert_eq!(write(&access, topic).await.unwrap(), None);
    let writes = scene.writes();
    assert!(scene.look::<Users>("alice").await);
    assert_eq!(scene.writes(), writes);
}

async fn a_given_password_is_taken(
    scene: &Scene,
    kafka: &SecureKafka,
    topic: &TopicView,
    mut spec: Value,
) {
    spec["authentication"] = json!({"passwordSecret": {"name": "mine", "key": "p"}});
    assert!(!scene.make::<Users>("alice", spec).await);
    let (_, reason, message) = said(scene, "alice", "Degraded").await;
    assert_eq!(reason, "Refused");
    assert!(message.contains("passwordSecret: mine, key p"), "{message}");
    // What was there goes on.
    assert_eq!(said(scene, "alice", "Available").await.0, "True");
    let given = Data::from([("p".to_owned(), ByteString(b"open sesame\n".to_vec()))]);
    put_secret(scene, "mine", &given).await;
    assert!(scene.look::<Users>("alice").await);
    let bound = secret_of(scene, "alice-kafka").await;
    assert_eq!(text(&bound, "password"), "open sesame");
    let access = login(&kafka.binding, "alice", "open sesame");
    assert_eq!(write(&access, topic).await.unwrap(), None);
    let other = NewTopic {
        name: "other".into(),
        partitions: 1,
        replication_factor: 1,
        config: Default::default(),
    };
    let admin = Access::from_secret(&kafka.admin).unwrap();
    let admin = KafkaAdmin::connect(&admin, limits()).unwrap();
    admin.create_topic(&other).await.unwrap();
    let other = eventually("the other topic", || async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        admin.topic("other").await.unwrap()
    });
    let refused = write(&access, &other.await).await.unwrap();
    assert_eq!(refused, Some(ResponseError::TopicAuthorizationFailed));
    assert_eq!(said(scene, "alice", "Degraded").await.0, "False");
    let user = scene.api::<KafkaUser>().get("alice").await.unwrap();
    let status = serde_json::to_string(&user.status).unwrap();
    assert!(!status.contains("sesame"), "{}", user.name_any());
}
