//! PostgresCluster without nodes: objects, Secrets that are made once, founding, stopping, backups, a cluster that is
//! restored, a part of a Platform.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
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
    assert_eq!(made.backup, None);
    let backup = json!({"schedule": "@daily", "keep": 3});
    let with = json!({"postgres": {"backup": backup}});
    assert!(scene.make::<Platforms>("s", with).await);
    let made = clusters.get("s-postgres").await.unwrap().spec;
    assert_eq!(made.backup.unwrap().keep, Some(3));
    let elsewhere = json!({"postgres": {"external": {"bindingSecret": "theirs"}}});
    assert!(scene.make::<Platforms>("t", elsewhere).await);
    assert!(!scene.exists::<PostgresCluster>("t-postgres").await);
    let platform = scene.api::<Platform>().get("t").await.unwrap();
    let waiting = platform.status.unwrap().waiting_on;
    assert_eq!(waiting[0].component, "Secret theirs");
    assert!(waiting[0].reason.contains("host, username, password"));
}

pub async fn backups_have_a_volume_that_outlives_them(scene: &Scene) {
    let mut spec = serving();
    spec["backup"] = json!({"schedule": "30 1 * * *"});
    assert!(scene.make::<Postgres>("p", spec.clone()).await);
    assert!(scene.exists::<CronJob>("p-backup").await);
    assert!(scene.exists::<PersistentVolumeClaim>("p-backup").await);
    assert!(scene.exists::<NetworkPolicy>("p-postgres-backup").await);
    // Nobody has told the server its password.
    assert!(!scene.exists::<Secret>("p-millrace-backup-binding").await);
    let writes = scene.writes();
    for _ in 0..2 {
        assert!(scene.look::<Postgres>("p").await);
    }
    assert_eq!(scene.writes(), writes, "{:?}", scene.written());

    // One that failed is told, with the last words of its pod.
    let failed = json!({"lastScheduleTime": "2026-11-28T01:30:00Z"});
    scene.set_status::<CronJob>("p-backup", failed).await;
    assert!(scene.look::<Postgres>("p").await);
    let (degraded, reason, message) = scene.condition::<PostgresCluster>("p", "Degraded").await;
    assert_eq!(
        (degraded.as_str(), reason.as_str()),
        ("True", "BackupFailed"),
        "{message}"
    );
    let seen = status(scene).await.backup.unwrap();
    assert_eq!(seen.began.as_deref(), Some("2026-11-28T01:30:00Z"));

    // The first one does not wait for the schedule.
    let first = async || {
        let jobs = scene
            .api::<Job>()
            .list(&ListParams::default())
            .await
            .unwrap();
        let names = jobs.items.into_iter().filter_map(|job| job.metadata.name);
        names
            .filter(|name| name.starts_with("p-backup-first-"))
            .count()
    };
    for (kept, count) in [(0, 1), (1, 0)] {
        let seen = json!({"backup": {"kept": kept}});
        scene.set_status::<PostgresCluster>("p", seen).await;
        assert!(scene.look::<Postgres>("p").await);
        assert_eq!(first().await, count, "{kept}");
    }

    // What this test has told would stay.
    let told = json!({"backup": {"kept": null}});
    scene.set_status::<PostgresCluster>("p", told).await;

    // No run while there is no server.
    spec["stopped"] = true.into();
    assert!(scene.make::<Postgres>("p", spec.clone()).await);
    let cron_job = scene.api::<CronJob>().get("p-backup").await.unwrap();
    assert_eq!(cron_job.spec.unwrap().suspend, Some(true));
    spec.as_object_mut().unwrap().remove("backup");
    assert!(scene.make::<Postgres>("p", spec).await);
    assert!(!scene.exists::<CronJob>("p-backup").await);
    assert!(!scene.exists::<NetworkPolicy>("p-postgres-backup").await);
    assert!(scene.exists::<PersistentVolumeClaim>("p-backup").await);
    assert_eq!(status(scene).await.backup, None);
}

async fn restore_jobs(scene: &Scene) -> Vec<Job> {
    let jobs = scene
        .api::<Job>()
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    let gone = |job: &Job| job.metadata.deletion_timestamp.is_some();
    jobs.into_iter().filter(|job| !gone(job)).collect()
}

pub async fn a_cluster_that_is_restored_has_a_server_afterwards(scene: &Scene) {
    let mut spec = serving();
    let restore = |time: &str| json!({"restore": {"from": {"cluster": "q"}, "targetTime": time}});
    spec["bootstrap"] = restore("2026-03-01T09:30:00Z");
    assert!(scene.make::<Postgres>("p", spec.clone()).await);
    assert!(!scene.exists::<StatefulSet>("p").await);
    assert!(scene.exists::<PersistentVolumeClaim>("data-p-0").await);
    assert!(scene.exists::<NetworkPolicy>("p-postgres-restore").await);
    let jobs = restore_jobs(scene).await;
    assert_eq!(jobs.len(), 1);
    let (available, reason, message) = scene.condition::<PostgresCluster>("p", "Available").await;
    assert_eq!(
        (available.as_str(), reason.as_str()),
        ("False", "Restoring")
    );
    assert!(message.contains("q-backup"), "{message}");
    let writes = scene.writes();
    for _ in 0..2 {
        assert!(scene.look::<Postgres>("p").await);
    }
    assert_eq!(scene.writes(), writes, "{:?}", scene.written());

    // One that failed is told; another time is another Job.
    let name = jobs[0].metadata.name.clone().unwrap();
    let at = "2026-11-28T01:30:00Z";
    let ends = |kinds: &[&str]| {
        let conditions: Vec<Value> = kinds
            .iter()
            .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": at, "lastProbeTime": at}))
            .collect();
        conditions
    };
    let failed =
        json!({"startTime": at, "failed": 1, "conditions": ends(&["FailureTarget", "Failed"])});
    scene.set_status::<Job>(&name, failed).await;
    assert!(scene.look::<Postgres>("p").await);
    let (_, reason, message) = scene.condition::<PostgresCluster>("p", "Degraded").await;
    assert_eq!(reason, "RestoreFailed");
    assert!(message.contains(&name), "{message}");
    spec["bootstrap"] = restore("2026-03-01T09:31:00Z");
    assert!(scene.make::<Postgres>("p", spec.clone()).await);
    let jobs = restore_jobs(scene).await;
    assert_eq!(jobs.len(), 1, "the former one went");
    let other = jobs[0].metadata.name.clone().unwrap();
    assert_ne!(other, name);

    // Once it is done there is a server, which founds nothing, and no second restore.
    let done = json!({"startTime": at, "completionTime": at, "succeeded": 1, "conditions": ends(&["SuccessCriteriaMet", "Complete"])});
    scene.set_status::<Job>(&other, done).await;
    for _ in 0..2 {
        assert!(scene.look::<Postgres>("p").await);
    }
    let seen = status(scene).await.restore.unwrap();
    assert_eq!(seen.claim, "q-backup");
    assert!(seen.completed.is_some());
    assert!(scene.exists::<StatefulSet>("p").await);
    assert_eq!(founding(scene).await, "refused");
    assert_eq!(restore_jobs(scene).await.len(), 0);
    spec["bootstrap"] = restore("2026-03-01T09:32:00Z");
    assert!(scene.make::<Postgres>("p", spec).await);
    assert_eq!(restore_jobs(scene).await.len(), 0);
}

pub async fn nothing_is_restored_over_a_volume(scene: &Scene) {
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-p-0"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}}))
    .unwrap();
    let claims = scene.api::<PersistentVolumeClaim>();
    claims.create(&PostParams::default(), &claim).await.unwrap();
    // Kubernetes counts in seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let mut spec = serving();
    spec["bootstrap"] = json!({"restore": {"from": {"claim": "q-backup"}}});
    assert!(!scene.make::<Postgres>("p", spec).await);
    let (_, _, message) = scene.condition::<PostgresCluster>("p", "Degraded").await;
    assert!(
        message.contains("data-p-0") && message.contains("delete the claim"),
        "{message}"
    );
    assert!(restore_jobs(scene).await.is_empty());
}
