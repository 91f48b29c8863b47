//! MongoCluster with the engine `mongodb`, without nodes: objects, Secrets that are made once, pods that the set may count
//! on, dumps.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::DeleteParams;
use millrace_operator::mongo::Mongo;
use millrace_operator::mongo::crd::MongoCluster;
use serde_json::{Value, json};

use crate::support::Scene;

fn spec(members: i32) -> Value {
    json!({"engine": "mongodb", "members": members, "backup": {"schedule": "@daily"}})
}

async fn entry(scene: &Scene, secret: &str, key: &str) -> String {
    let secret = scene.api::<Secret>().get(secret).await.unwrap();
    String::from_utf8(secret.data.unwrap()[key].0.clone()).unwrap()
}

async fn replicas(scene: &Scene) -> Option<i32> {
    let set = scene.api::<StatefulSet>().get("m").await.unwrap();
    set.spec.unwrap().replicas
}

async fn ready(scene: &Scene, count: i32) {
    let status = json!({"replicas": count, "readyReplicas": count, "observedGeneration": 1});
    scene.set_status::<StatefulSet>("m", status).await;
}

pub async fn a_replica_set_has_secrets_of_its_own(scene: &Scene) {
    assert!(scene.make::<Mongo>("m", spec(1)).await);
    for service in ["m-mongo", "m-nodes"] {
        assert!(scene.exists::<Service>(service).await, "{service}");
    }
    for policy in ["m-mongo", "m-mongo-backup"] {
        assert!(scene.exists::<NetworkPolicy>(policy).await, "{policy}");
    }
    let pem = entry(scene, "m-certificate", "tls.pem").await;
    assert!(pem.contains("BEGIN CERTIFICATE") && pem.contains("PRIVATE KEY"));
    let keyfile = entry(scene, "m-keyfile", "keyfile").await;
    // Nobody has told the set their passwords.
    for secret in ["m-binding", "m-backup-binding"] {
        assert!(!scene.exists::<Secret>(secret).await, "{secret}");
    }
    let writes = scene.writes();
    for _ in 0..2 {
        assert!(scene.look::<Mongo>("m").await);
    }
    assert_eq!(scene.writes(), writes, "{:?}", scene.written());
    assert_eq!(entry(scene, "m-keyfile", "keyfile").await, keyfile);

    // Dumps outlive the wish for them.
    assert!(scene.exists::<CronJob>("m-backup").await);
    assert!(scene.exists::<PersistentVolumeClaim>("m-backup").await);
    let without = json!({"engine": "mongodb"});
    assert!(scene.make::<Mongo>("m", without).await);
    assert!(!scene.exists::<CronJob>("m-backup").await);
    assert!(scene.exists::<PersistentVolumeClaim>("m-backup").await);
}

pub async fn pods_stay_while_nobody_can_say_whether_the_set_needs_them(scene: &Scene) {
    assert!(scene.make::<Mongo>("m", spec(3)).await);
    assert_eq!(replicas(scene).await, Some(3));
    ready(scene, 3).await;
    assert!(scene.look::<Mongo>("m").await);
    // Nobody is there who could be asked.
    let (available, _, _) = scene.condition::<MongoCluster>("m", "Available").await;
    assert_eq!(available, "False");
    let (_, reason, message) = scene.condition::<MongoCluster>("m", "Degraded").await;
    assert_eq!(reason, "MongoUnreachable", "{message}");
    assert!(scene.make::<Mongo>("m", spec(1)).await);
    assert_eq!(replicas(scene).await, Some(3));

    // No other keyfile is made while members run that have one.
    let secrets = scene.api::<Secret>();
    let gone = secrets.delete("m-keyfile", &DeleteParams::default()).await;
    gone.unwrap();
    assert!(!scene.look::<Mongo>("m").await);
    let (_, reason, message) = scene.condition::<MongoCluster>("m", "Degraded").await;
    assert_eq!(reason, "KeyfileMissing", "{message}");
    assert!(!scene.exists::<Secret>("m-keyfile").await);
    let mut stopped = spec(1);
    stopped["stopped"] = true.into();
    assert!(scene.make::<Mongo>("m", stopped).await);
    assert_eq!(replicas(scene).await, Some(0));
    assert!(scene.exists::<Secret>("m-keyfile").await);
}
