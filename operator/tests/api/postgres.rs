//! PostgresCluster without nodes: objects, Secrets that are made once, founding, stopping, a part of a Platform.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use millrace_operator::platform::Platforms;
use millrace_operator::platform::crd::Platform;
use millrace_operator::postgres::Postgres;
use millrace_operator::postgres::crd::{PostgresCluster, PostgresClusterStatus};
use serde_json::{Value, json};

use crate::support::Scene;

fn serving() -> Value {
    json!({"databases": [{"name": "scores", "owner": "score"}], "roles": [{"name": "score"}]})
}

async fn status(scene: &Scene) -> PostgresClusterStatus {
    let cluster = scene.api::<PostgresCluster>().get("p").await.unwrap();
    cluster.status.unwrap()
}

async fn founding(scene: &Scene) -> String {
    let files = scene.api::<ConfigMap>().get("p-files").await.unwrap();
    files.data.unwrap()["live.founding"].clone()
}

async fn entry(scene: &Scene, secret: &str, key: &str) -> String {
    let secret = scene.api::<Secret>().get(secret).await.unwrap();
    String::from_utf8(secret.data.unwrap()[key].0.clone()).unwrap()
}

async fn ready(scene: &Scene, count: i32) {
    let status = json!({"replicas": count, "readyReplicas": count, "observedGeneration": 1});
    scene.set_status::<StatefulSet>("p", status).await;
}

pub async fn a_server_is_founded_once_with_secrets_of_its_own(scene: &Scene) {
    assert!(scene.make::<Postgres>("p", serving()).await);
    assert!(scene.exists::<StatefulSet>("p").await);
    assert!(scene.exists::<PodDisruptionBudget>("p").await);
    assert!(scene.exists::<NetworkPolicy>("p-postgres").await);
    for service in ["p-primary", "p-nodes"] {
        assert!(scene.exists::<Service>(service).await, "{service}");
    }
    let password = entry(scene, "p-superuser", "password").await;
    let host = entry(scene, "p-superuser", "host").await;
    assert_eq!(host, format!("p-primary.{}.svc", scene.namespace));
    let authority = entry(scene, "p-ca", "ca.crt").await;
    assert_eq!(entry(scene, "p-superuser", "ca.crt").await, authority);
    // Nobody has told the server its password.
    assert!(!scene.exists::<Secret>("p-score-binding").await);
    assert_eq!(founding(scene).await, "allowed");
    let writes = scene.writes();
    for _ in 0..2 {
        assert!(scene.look::<Postgres>("p").await);
    }
    assert_eq!(scene.writes(), writes, "{:?}", scene.written());
    assert_eq!(entry(scene, "p-superuser", "password").await, password);

    // Once it was ready it never begins anew, and no template changes for it.
    let template = |set: StatefulSet| set.spec.unwrap().template;
    let sets = scene.api::<StatefulSet>();
    let before = template(sets.get("p").await.unwrap());
    ready(scene, 1).await;
    for _ in 0..2 {
        assert!(scene.look::<Postgres>("p").await);
    }
    assert!(status(scene).await.initialized);
    assert_eq!(founding(scene).await, "refused");
    assert_eq!(template(sets.get("p").await.unwrap()), before);
    // Nobody is there who could be asked.
    let (available, reason, _) = scene.condition::<PostgresCluster>("p", "Available").await;
    assert_eq!(
        (available.as_str(), reason.as_str()),
        ("False", "PostgresUnreachable")
    );
    let (degraded, _, message) = scene.condition::<PostgresCluster>("p", "Degraded").await;
    assert!(degraded == "True" && message.contains("5432"), "{message}");

    // A new password of the superuser needs a restart, a new certificate does not.
    let secrets = scene.api::<Secret>();
    for secret in ["p-certificate", "p-superuser"] {
        let gone = secrets.delete(secret, &DeleteParams::default()).await;
        gone.unwrap();
        assert!(scene.look::<Postgres>("p").await);
        let now = template(sets.get("p").await.unwrap());
        assert_eq!(now == before, secret == "p-certificate", "{secret}");
    }
    assert_ne!(entry(scene, "p-superuser", "password").await, password);
    assert_eq!(entry(scene, "p-certificate", "ca.crt").await, authority);
}

pub async fn a_volume_with_databases_is_not_founded_over(scene: &Scene) {
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-p-0"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}}))
    .unwrap();
    let claims = scene.api::<PersistentVolumeClaim>();
    claims.create(&PostParams::default(), &claim).await.unwrap();
    // Kubernetes counts in seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert!(scene.make::<Postgres>("p", serving()).await);
    assert_eq!(founding(scene).await, "refused");
    let asks = json!({"metadata": {"annotations": {"millrace.dev/allow-format": "1"}}});
    let clusters = scene.api::<PostgresCluster>();
    clusters
        .patch("p", &PatchParams::default(), &Patch::Merge(&asks))
        .await
        .unwrap();
    assert!(scene.look::<Postgres>("p").await);
    assert_eq!(founding(scene).await, "allowed");
}

pub async fn a_secret_of_somebody_else_is_not_taken(scene: &Scene) {
    let theirs: Secret = serde_json::from_value(json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "p-score-binding"}, "stringData": {"password": "mine"}}))
    .unwrap();
    let secrets = scene.api::<Secret>();
    secrets
        .create(&PostParams::default(), &theirs)
        .await
        .unwrap();
    assert!(!scene.make::<Postgres>("p", serving()).await);
    let (_, reason, message) = scene.condition::<PostgresCluster>("p", "Degraded").await;
    assert_eq!(reason, "NameTaken");
    assert!(message.contains("p-score-binding"), "{message}");
    assert_eq!(entry(scene, "p-score-binding", "password").await, "mine");
}

pub async fn a_server_is_stopped_and_comes_back(scene: &Scene) {
    let mut spec = serving();
    assert!(scene.make::<Postgres>("p", spec.clone()).await);
    spec["stopped"] = true.into();
    assert!(scene.make::<Postgres>("p", spec.clone()).await);
    let replicas = async || {
        let set = scene.api::<StatefulSet>().get("p").await.unwrap();
        set.spec.unwrap().replicas
    };
    assert_eq!(replicas().await, Some(0));
    let (stopped, _, _) = scene.condition::<PostgresCluster>("p", "Stopped").await;
    assert_eq!(stopped, "True");
    spec["stopped"] = false.into();
    assert!(scene.make::<Postgres>("p", spec).await);
    assert_eq!(replicas().await, Some(1));
}

pub async fn a_platform_has_a_postgres_here_or_elsewhere(scene: &Scene) {
    assert!(scene.make::<Platforms>("s", json!({"postgres": {}})).await);
    let clusters = scene.api::<PostgresCluster>();
    let made = clusters.get("s-postgres").await.unwrap().spec;
    assert_eq!(made.roles.len(), 2);
    let elsewhere = json!({"postgres": {"external": {"bindingSecret": "theirs"}}});
    assert!(scene.make::<Platforms>("t", elsewhere).await);
    assert!(!scene.exists::<PostgresCluster>("t-postgres").await);
    let platform = scene.api::<Platform>().get("t").await.unwrap();
    let waiting = platform.status.unwrap().waiting_on;
    assert_eq!(waiting[0].component, "Secret theirs");
    assert!(waiting[0].reason.contains("host, username, password"));
}
