//! Batches of `dispatch` against a real Kafka: in part failed, split, too old, filtered, too large for the topic of
//! dead letters. The platform is a double that answers as OpenWhisk was recorded to.
// Helpers outside of test functions count as production code for clippy.
#![allow(clippy::unwrap_used, clippy::panic)]

mod kafka_support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use kafka_support::{
    Job, alert, create_topic, create_topics, read_all, send_alert, wait_until_read,
};
use millrace_contract::{DeadLetter, Payload, Severity};
use millrace_stream::connect::Producer;
use millrace_stream::dispatch::ONLY_GROUP;
use millrace_testkit::Kafka;
use serde_json::{Value, json};

const GROUP: &str = "dispatch-batches";
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Double {
    // What the result says of records that fail: their identifiers, or that all failed.
    partial: bool,
    sizes: Vec<usize>,
    calls: BTreeMap<String, usize>,
    succeeded: Vec<String>,
    busy: BTreeSet<String>,
    overlaps: usize,
}

type Shared = Arc<Mutex<Double>>;

async fn invoke(
    State(shared): State<Shared>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let records = body["records"].as_array().unwrap().clone();
    let word = |record: &Value, name: &str| record["value"][name].as_str().unwrap().to_owned();
    let vehicles: BTreeSet<String> = records.iter().map(|r| word(r, "vehicle")).collect();
    {
        let mut double = shared.lock().unwrap();
        double.sizes.push(records.len());
        double.overlaps += vehicles.iter().filter(|v| double.busy.contains(*v)).count();
        double.busy.extend(vehicles.iter().cloned());
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut double = shared.lock().unwrap();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for record in &records {
        assert_eq!(record["key"], record["value"]["vehicle"]);
        assert_eq!(record["time"], record["value"]["event_time"]);
        let id = word(record, "id");
        let calls = double.calls.entry(id.clone()).or_default();
        *calls += 1;
        if id.ends_with("broken") || (id.ends_with("flaky") && *calls <= 2) {
            let place = ["topic", "partition", "offset"].map(|n| record[n].to_string());
            bad.push(json!({"itemIdentifier": place.join("-").replace('"', "")}));
        } else {
            good.push(id);
        }
    }
    double.busy.retain(|vehicle| !vehicles.contains(vehicle));
    let (success, status, result) = if bad.is_empty() || double.partial {
        double.succeeded.extend(good);
        (true, "success", json!({"batchItemFailures": bad}))
    } else {
        (false, "application error", json!({"error": "boom"}))
    };
    let code = if success {
        StatusCode::OK
    } else {
        StatusCode::BAD_GATEWAY
    };
    let response = json!({"success": success, "status": status, "result": result});
    (
        code,
        Json(json!({"activationId": "a", "response": response})),
    )
}

struct Place {
    _kafka: Kafka,
    bootstrap: String,
    directory: tempfile::TempDir,
    double: Shared,
    uri: String,
    producer: Producer,
}

impl Place {
    async fn new(partial: bool, letters: &[(&str, &str)]) -> Option<Self> {
        let kafka = Kafka::start().unwrap()?;
        let bootstrap = kafka.bootstrap();
        create_topics(&bootstrap, &[("alerts", 3, false)]).await;
        create_topic(&bootstrap, "dead-letters", letters).await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("auth"), "u:p\n").unwrap();
        let double = Shared::default();
        double.lock().unwrap().partial = partial;
        let app = Router::new()
            .route("/api/v1/namespaces/_/actions/warn-many", post(invoke))
            .layer(axum::extract::DefaultBodyLimit::max(4 << 20))
            .with_state(Arc::clone(&double));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let producer = Producer::new(&bootstrap, "test").unwrap();
        Some(Self {
            _kafka: kafka,
            bootstrap,
            directory,
            double,
            uri,
            producer,
        })
    }

    async fn dispatch(&self, more: &str) -> Job {
        let at = |name: &str| self.directory.path().join(name);
        let config = format!(
            "{{topic: alerts, group: {GROUP}, action: warn-many, deadLetterTopic: dead-letters, attempts: 3, \
             maxInFlight: 4, backoff: {{initialMilliseconds: 50, maximumMilliseconds: 200}}, {more}}}"
        );
        std::fs::write(at("config.yaml"), config).unwrap();
        let auth = at("auth");
        let flags = [
            "--openwhisk-uri",
            &self.uri,
            "--openwhisk-auth-file",
            auth.to_str().unwrap(),
        ];
        let job = Job::start(
            "dispatch",
            &self.bootstrap,
            &at("config.yaml"),
            &at("dispatch.log"),
            &flags,
        );
        job.wait_ready(LIMIT).await;
        job
    }

    /// The dead letters with the ids of their alerts.
    async fn dead(&self) -> BTreeMap<String, DeadLetter> {
        let records = read_all(&self.bootstrap, "dead-letters").await;
        let letters = records.iter().map(|record| {
            let letter: DeadLetter =
                serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
            let Payload::Clear(payload) = &letter.payload else {
                panic!("sealed")
            };
            let id = payload["id"].as_str().unwrap_or("cut").to_owned();
            (id, letter)
        });
        letters.collect()
    }
}

/// 6 vehicles with 30 alerts each, of which a few make trouble.
async fn send_fleet(place: &Place) -> (Vec<String>, BTreeSet<String>) {
    let (mut good, mut broken) = (Vec::new(), BTreeSet::new());
    for n in 0..30 {
        for vehicle in ["car-1", "car-2", "car-3", "car-4", "car-5", "car-6"] {
            let kind = match (n, vehicle) {
                (7 | 8, "car-2") | (29, "car-5") => "broken",
                (3, "car-1") | (11, _) => "flaky",
                _ => "ok",
            };
            let id = format!("{vehicle}-{n:02}-{kind}");
            send_alert(&place.producer, &alert(vehicle, id.clone())).await;
            if kind == "broken" {
                broken.insert(id);
            } else {
                good.push(id);
            }
        }
    }
    (good, broken)
}

fn of_vehicle<'a>(ids: &'a [String], vehicle: &str) -> Vec<&'a String> {
    ids.iter().filter(|id| id.starts_with(vehicle)).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn of_a_batch_only_the_records_that_failed_are_tried_again() {
    let Some(place) = Place::new(true, &[]).await else {
        return;
    };
    let (good, broken) = send_fleet(&place).await;
    let mut noise = alert("car-1", "car-1-info".to_owned());
    noise.severity = Severity::Info;
    send_alert(&place.producer, &noise).await;
    // Sent again from the dead letters of another group: nothing to us.
    let value = serde_json::to_vec(&alert("car-1", "car-1-other".to_owned())).unwrap();
    let headers = [(ONLY_GROUP.to_owned(), "another".to_owned())];
    place
        .producer
        .send("alerts", "car-1", &headers, &value, None)
        .await
        .unwrap();
    let dispatch = place
        .dispatch("partialFailure: true, filter: \"severity <> 'info'\", batch: {maximumRecords: 10, windowMilliseconds: 300}")
        .await;
    wait_until_read(&place.bootstrap, GROUP, "alerts", LIMIT).await;
    {
        let double = place.double.lock().unwrap();
        assert_eq!(double.overlaps, 0, "two batches of a vehicle side by side");
        assert!(double.sizes.iter().all(|n| *n <= 10) && double.sizes.contains(&10));
        let succeeded: BTreeSet<&String> = double.succeeded.iter().collect();
        assert_eq!(succeeded, good.iter().collect());
        assert_eq!(double.succeeded.len(), good.len(), "told twice");
        for (id, calls) in &double.calls {
            let expected = if id.ends_with("ok") { 1 } else { 3 };
            assert_eq!(*calls, expected, "{id}");
        }
    }
    let dead = place.dead().await;
    assert_eq!(dead.keys().cloned().collect::<BTreeSet<_>>(), broken);
    for letter in dead.values() {
        assert_eq!(letter.attempts, 3);
        let origin = letter.origin.as_ref().unwrap();
        assert_eq!(origin.topic, "alerts");
        let only = (ONLY_GROUP.to_owned(), GROUP.to_owned());
        assert!(origin.headers.contains(&only), "{origin:?}");
        assert!(origin.headers.iter().any(|(name, _)| name == "ce_id"));
    }
    let (_, metrics) = dispatch.get("/metrics").unwrap();
    assert!(
        metrics.contains("millrace_dispatch_filtered_total 2"),
        "{metrics}"
    );
    dispatch.terminate(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn a_batch_that_fails_is_split_until_the_bad_record_is_alone() {
    let Some(place) = Place::new(false, &[]).await else {
        return;
    };
    let (good, broken) = send_fleet(&place).await;
    let dispatch = place
        .dispatch("bisect: true, batch: {maximumRecords: 16, windowMilliseconds: 200}")
        .await;
    wait_until_read(&place.bootstrap, GROUP, "alerts", LIMIT).await;
    {
        let double = place.double.lock().unwrap();
        assert_eq!(double.overlaps, 0, "two batches of a vehicle side by side");
        assert!(double.sizes.contains(&16) && double.sizes.contains(&1));
        assert_eq!(double.succeeded.len(), good.len(), "told twice");
        for n in 1..=6 {
            let vehicle = format!("car-{n}");
            assert_eq!(
                of_vehicle(&double.succeeded, &vehicle),
                of_vehicle(&good, &vehicle)
            );
        }
    }
    assert_eq!(
        place.dead().await.into_keys().collect::<BTreeSet<_>>(),
        broken
    );
    dispatch.terminate(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn what_is_too_old_or_too_large_becomes_a_dead_letter_that_says_so() {
    let Some(place) = Place::new(false, &[("max.message.bytes", "20000")]).await else {
        return;
    };
    let now = jiff::Timestamp::now();
    send_alert(&place.producer, &alert("car-1", "car-1-old".to_owned())).await;
    let mut young = alert("car-1", "car-1-young".to_owned());
    // Of an alert the detection counts: this car was offline.
    young.detected_at = now;
    send_alert(&place.producer, &young).await;
    // The broker looks at the compressed size, so it must not be compressible.
    let mut noise = vec![0; 300_000];
    getrandom::fill(&mut noise).unwrap();
    let mut large = alert("car-2", "car-2-broken".to_owned());
    large.detected_at = now;
    large.text = noise.iter().map(|byte| format!("{byte:02x}")).collect();
    send_alert(&place.producer, &large).await;
    let dispatch = place
        .dispatch("maximumAgeSeconds: 600, batch: {maximumRecords: 4, windowMilliseconds: 100}, bisect: true")
        .await;
    wait_until_read(&place.bootstrap, GROUP, "alerts", LIMIT).await;
    assert_eq!(place.double.lock().unwrap().succeeded, ["car-1-young"]);
    let dead = place.dead().await;
    assert_eq!(dead.len(), 2, "{:?}", dead.keys());
    let old = &dead["car-1-old"];
    assert_eq!(old.reason.field.as_deref(), Some("maximumAgeSeconds"));
    assert_eq!(old.attempts, 0);
    let cut = &dead["cut"];
    assert!(cut.reason.problem.contains("boom") && cut.reason.problem.contains("was cut"));
    let Payload::Clear(payload) = &cut.payload else {
        panic!("sealed")
    };
    assert!(payload["bytes"].as_u64().unwrap() > 600_000);
    assert_eq!(payload["place"]["topic"], "alerts");
    assert_eq!(
        cut.origin.as_ref().unwrap().offset,
        payload["place"]["offset"]
    );
    let (_, metrics) = dispatch.get("/metrics").unwrap();
    assert!(
        metrics.contains("millrace_dispatch_dead_letters_cut_total 1"),
        "{metrics}"
    );
    dispatch.terminate(Duration::from_secs(20)).await;
}
