//! Ingestions: what they wait for, and that a specification which fails its trial leaves the last good one alone. Druid is
//! played: what the real one says is in tests/systems_druid.rs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use millrace_operator::ingestion::crd::{DruidIngestion, ReindexPhase, ReindexStatus};
use millrace_operator::remote::ingestion::Ingestions;
use serde_json::{Value, json};

use crate::support::Scene;

#[derive(Default)]
struct Played {
    supervisors: BTreeMap<String, Value>,
    rules: Value,
    compaction: Option<Value>,
    /// Why trials fail.
    fails: Option<String>,
}

type Shared = Arc<Mutex<Played>>;
type Answer = Result<Json<Value>, (StatusCode, String)>;

fn or_404(found: Option<Value>) -> Answer {
    found
        .map(Json)
        .ok_or((StatusCode::NOT_FOUND, "none".into()))
}

async fn druid(played: Shared) -> String {
    let supervisor =
        |played: &Shared, name: &str| or_404(played.lock().unwrap().supervisors.get(name).cloned());
    let read = move |State(played): State<Shared>, Path(name): Path<String>| async move {
        supervisor(&played, &name)
    };
    let state = move |State(played): State<Shared>, Path(name): Path<String>| async move {
        supervisor(&played, &name).map(|_| {
            Json(json!({"payload": {"detailedState": "RUNNING", "healthy": true, "aggregateLag": 12, "activeTasks": [{}]}}))
        })
    };
    let submit = async |State(played): State<Shared>, Json(spec): Json<Value>| {
        let name = spec["spec"]["dataSchema"]["dataSource"]
            .as_str()
            .unwrap()
            .to_owned();
        played.lock().unwrap().supervisors.insert(name, spec);
        Json(json!({}))
    };
    let terminate = async |State(played): State<Shared>, Path(name): Path<String>| {
        or_404(played.lock().unwrap().supervisors.remove(&name))
    };
    let sample = async |State(played): State<Shared>, Json(_): Json<Value>| match &played
        .lock()
        .unwrap()
        .fails
    {
        Some(why) => Err((StatusCode::BAD_REQUEST, json!({"error": why}).to_string())),
        None => Ok(Json(json!({"numRowsRead": 3, "numRowsIndexed": 3}))),
    };
    let rules = async |State(played): State<Shared>| Json(played.lock().unwrap().rules.clone());
    let set_rules = async |State(played): State<Shared>, Json(rules): Json<Value>| {
        played.lock().unwrap().rules = rules;
    };
    let compaction =
        async |State(played): State<Shared>| or_404(played.lock().unwrap().compaction.clone());
    let set_compaction = async |State(played): State<Shared>, Json(config): Json<Value>| {
        played.lock().unwrap().compaction = Some(config);
    };
    let app = Router::new()
        .route("/druid/indexer/v1/supervisor", post(submit))
        .route("/druid/indexer/v1/supervisor/{name}", get(read))
        .route("/druid/indexer/v1/supervisor/{name}/status", get(state))
        .route(
            "/druid/indexer/v1/supervisor/{name}/terminate",
            post(terminate),
        )
        .route("/druid/indexer/v1/sampler", post(sample))
        .route("/druid/indexer/v1/tasks", get(async || Json(json!([]))))
        .route(
            "/druid/coordinator/v1/rules/{name}",
            get(rules).post(set_rules),
        )
        .route(
            "/druid/coordinator/v1/config/compaction",
            post(set_compaction),
        )
        .route(
            "/druid/coordinator/v1/config/compaction/{name}",
            get(compaction),
        )
        .with_state(played);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

async fn secret(scene: &Scene, name: &str, key: &str, value: &str) {
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some([(key.to_owned(), ByteString(value.as_bytes().to_vec()))].into()),
        ..Secret::default()
    };
    let secrets = scene.api::<Secret>();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
}

pub async fn the_last_good_specification_of_an_ingestion_goes_on(scene: &Scene) {
    let played = Shared::new(Mutex::new(Played {
        rules: json!([]),
        ..Played::default()
    }));
    let uri = druid(Arc::clone(&played)).await;
    let spec = json!({"binding": "d", "topic": "t", "dataSource": "cars", "compactAfter": "1d"});
    let available = async || scene.condition::<DruidIngestion>("i", "Available").await;
    let status = async || {
        scene
            .api::<DruidIngestion>()
            .get("i")
            .await
            .unwrap()
            .status
            .unwrap()
    };
    let sent = || played.lock().unwrap().supervisors.get("cars").cloned();

    assert!(scene.make::<Ingestions>("i", spec.clone()).await);
    assert!(
        available()
            .await
            .2
            .starts_with("spec.topic: t: there is no KafkaTopic")
    );
    let topic =
        json!({"kafka": "k", "partitions": 1, "schema": "telemetry", "topicName": "telemetry"});
    scene.apply("KafkaTopic", "t", topic).await.unwrap();
    assert!(scene.look::<Ingestions>("i").await);
    assert!(
        available()
            .await
            .2
            .starts_with("spec.binding: d: there is no Secret")
    );
    secret(scene, "d", "uri", &uri).await;
    secret(scene, "k-binding", "bootstrap-servers", "k:9092").await;

    // A first one that does not work is not started.
    played.lock().unwrap().fails = Some("nobody can read this".into());
    assert!(!scene.look::<Ingestions>("i").await);
    assert_eq!(available().await.0, "False");
    assert_eq!(sent(), None);

    played.lock().unwrap().fails = None;
    assert!(scene.look::<Ingestions>("i").await);
    let told = available().await;
    assert_eq!(
        (told.0.as_str(), told.1.as_str()),
        ("True", "SupervisorThere")
    );
    let (seen, good) = (status().await, sent());
    assert_eq!((seen.lag, seen.active_tasks), (Some(12), Some(1)));
    assert_eq!(
        good.as_ref().unwrap()["spec"]["ioConfig"]["topic"],
        "telemetry"
    );
    assert_eq!(played.lock().unwrap().rules[0]["type"], "loadForever");
    let writes = scene.writes();
    assert!(scene.look::<Ingestions>("i").await);
    assert_eq!(scene.writes(), writes, "a second look writes nothing");

    // A later one that does not work leaves the former one, and says so.
    played.lock().unwrap().fails = Some("nobody can read this".into());
    let mut other = spec.clone();
    other["signals"] = json!(["speed"]);
    assert!(scene.make::<Ingestions>("i", other).await);
    assert_eq!(sent(), good);
    assert_eq!(available().await.0, "True");
    let told = scene.condition::<DruidIngestion>("i", "Degraded").await;
    assert_eq!((told.0.as_str(), told.1.as_str()), ("True", "Refused"));
    assert!(
        told.2
            .contains("Druid says: nobody can read this; the last good specification goes on"),
        "{told:?}"
    );
    played.lock().unwrap().fails = None;
    assert!(scene.look::<Ingestions>("i").await);
    assert_ne!(sent(), good);
    assert_eq!(
        scene.condition::<DruidIngestion>("i", "Degraded").await.0,
        "False"
    );

    // It goes with its resource.
    let ingestions = scene.api::<DruidIngestion>();
    ingestions
        .delete("i", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(ingestions.get("i").await.unwrap().finalizers().len(), 1);
    assert!(scene.look::<Ingestions>("i").await);
    assert!(ingestions.get_opt("i").await.unwrap().is_none());
    assert_eq!(sent(), None);
}

async fn jobs(scene: &Scene) -> Vec<String> {
    let jobs = scene.api::<Job>().list(&ListParams::default()).await;
    let there = jobs.unwrap().items.into_iter();
    there
        .filter(|job| job.metadata.deletion_timestamp.is_none())
        .map(|job| job.name_any())
        .collect()
}

async fn load(scene: &Scene) -> Option<ReindexStatus> {
    let ingestion = scene.api::<DruidIngestion>().get("i").await.unwrap();
    ingestion.status.unwrap().reindex
}

/// As the controller of Kubernetes leaves a Job behind.
async fn end(scene: &Scene, job: &str, conditions: &[&str]) {
    let at = "2026-11-28T01:30:00Z";
    let ends: Vec<Value> = conditions
        .iter()
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": at, "lastProbeTime": at}))
        .collect();
    let mut status = json!({"startTime": at, "conditions": ends});
    if conditions.contains(&"Complete") {
        (status["completionTime"], status["succeeded"]) = (json!(at), json!(1));
    } else {
        status["failed"] = json!(1);
    }
    scene.set_status::<Job>(job, status).await;
}

pub async fn days_of_the_lake_are_loaded_once(scene: &Scene) {
    let played = Shared::new(Mutex::new(Played {
        rules: json!([]),
        ..Played::default()
    }));
    let uri = druid(Arc::clone(&played)).await;
    secret(scene, "d", "uri", &uri).await;
    secret(scene, "k-binding", "bootstrap-servers", "k:9092").await;
    let topic =
        json!({"kafka": "k", "partitions": 1, "schema": "telemetry", "topicName": "telemetry"});
    scene.apply("KafkaTopic", "t", topic).await.unwrap();
    let degraded = async || scene.condition::<DruidIngestion>("i", "Degraded").await;
    let mut spec = json!({"binding": "d", "topic": "t",
        "reindex": {"from": "2026-01-05", "to": "2999-01-01", "lake": {"bindingSecret": "lake"}}});

    // What cannot be loaded does not hold the supervisor back.
    assert!(scene.make::<Ingestions>("i", spec.clone()).await);
    let told = degraded().await.2;
    assert!(
        told.contains("spec.reindex.to: 2999-01-01: the day"),
        "{told}"
    );
    spec["reindex"]["to"] = json!("2026-01-08");
    assert!(scene.make::<Ingestions>("i", spec.clone()).await);
    let told = degraded().await.2;
    assert!(
        told.contains("spec.reindex.lake.bindingSecret: lake: "),
        "{told}"
    );
    let available = scene.condition::<DruidIngestion>("i", "Available").await;
    assert_eq!(available.1, "SupervisorThere");
    assert!(jobs(scene).await.is_empty());

    let lake = json!({"type": "hdfs", "uri": "hdfs://ns/data"});
    crate::archive::secret(scene, "lake", lake).await;
    assert!(scene.look::<Ingestions>("i").await);
    let first = jobs(scene).await;
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(scene.exists::<ConfigMap>("i-reindex").await);
    assert!(scene.exists::<NetworkPolicy>("i-reindex").await);
    let progress = scene.condition::<DruidIngestion>("i", "Progressing").await;
    assert_eq!(
        (progress.0.as_str(), progress.1.as_str()),
        ("True", "Reindexing")
    );
    assert_eq!(degraded().await.0, "False");
    let writes = scene.writes();
    assert!(scene.look::<Ingestions>("i").await);
    assert_eq!(scene.writes(), writes, "a second look writes nothing");
    // Another build of the operator has another image, and repeats nothing.
    assert!(scene.upgraded("2").look::<Ingestions>("i").await);
    assert_eq!(jobs(scene).await, first);

    // One that failed is told until another one is asked for.
    end(scene, &first[0], &["FailureTarget", "Failed"]).await;
    for _ in 0..2 {
        assert!(scene.look::<Ingestions>("i").await);
        let told = degraded().await.2;
        assert!(told.contains("spec.reindex.revision"), "{told}");
    }
    assert_eq!(load(scene).await.unwrap().phase, ReindexPhase::Failed);
    spec["reindex"]["revision"] = json!(1);
    assert!(scene.make::<Ingestions>("i", spec.clone()).await);
    let second = jobs(scene).await;
    assert_eq!(second.len(), 1, "the former one went: {second:?}");
    assert_ne!(first, second);
    end(scene, &second[0], &["SuccessCriteriaMet", "Complete"]).await;
    assert!(scene.look::<Ingestions>("i").await);
    let done = load(scene).await.unwrap();
    assert_eq!(
        (done.job, done.phase),
        (second[0].clone(), ReindexPhase::Succeeded)
    );
    assert_eq!(degraded().await.0, "False");

    // Once it has ended it is not made again, though Kubernetes has taken its Job away.
    let api = scene.api::<Job>();
    api.delete(&second[0], &DeleteParams::background())
        .await
        .unwrap();
    assert!(scene.look::<Ingestions>("i").await);
    assert!(jobs(scene).await.is_empty());
    spec.as_object_mut().unwrap().remove("reindex");
    assert!(scene.make::<Ingestions>("i", spec).await);
    assert!(!scene.exists::<NetworkPolicy>("i-reindex").await);
    assert_eq!(load(scene).await, None);
}
