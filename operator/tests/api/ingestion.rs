//! Ingestions: what they wait for, and that a specification which fails its trial leaves the last good one alone. Druid is
//! played: what the real one says is in tests/systems_druid.rs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use millrace_operator::ingestion::crd::DruidIngestion;
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
