//! `dispatch` against a real Kafka. The platform is a double that answers as OpenWhisk was recorded to,
//! so that every kind of trouble can be had when it is wanted.
// Helpers outside of test functions count as production code for clippy.
#![allow(clippy::unwrap_used, clippy::panic)]

mod kafka_support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use kafka_support::{Job, alert, create_topics, read_all, send_alert, wait_until_read};
use millrace_contract::DeadLetter;
use millrace_stream::connect::Producer;
use millrace_testkit::Kafka;
use serde_json::{Value, json};

const GROUP: &str = "dispatch-warnings";
const READY: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Double {
    action_exists: bool,
    slow: Duration,
    // By alert id: how often it was asked for.
    calls: BTreeMap<String, usize>,
    // Ids in the order in which they succeeded.
    succeeded: Vec<String>,
    // Vehicles with an invocation under way.
    busy: BTreeMap<String, usize>,
    overlaps: Vec<String>,
    // Invocations whose caller went away before they were answered.
    cut_off: usize,
    looked_up: usize,
}

type Shared = Arc<Mutex<Double>>;

// An invocation that ends when its caller goes away, too.
struct Busy {
    shared: Shared,
    vehicle: String,
    answered: bool,
}

impl Busy {
    fn new(shared: &Shared, vehicle: &str) -> Self {
        let mut double = shared.lock().unwrap();
        let now = double.busy.entry(vehicle.to_owned()).or_default();
        *now += 1;
        if *now > 1 {
            double.overlaps.push(vehicle.to_owned());
        }
        Self {
            shared: Arc::clone(shared),
            vehicle: vehicle.to_owned(),
            answered: false,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut double = self.shared.lock().unwrap();
        *double.busy.get_mut(&self.vehicle).unwrap() -= 1;
        double.cut_off += usize::from(!self.answered);
    }
}

fn record(id: &str, success: bool) -> Value {
    let status = if success {
        "success"
    } else {
        "application error"
    };
    let result = if success {
        json!({"delivered": []})
    } else {
        json!({"error": "boom"})
    };
    json!({"activationId": id, "response": {"success": success, "status": status, "result": result}})
}

async fn invoke(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    // Basic dTpw is u:p.
    if headers
        .get("authorization")
        .is_none_or(|v| v != "Basic dTpw")
    {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "bad key"})));
    }
    let (id, vehicle) = (
        body["alert"]["id"].as_str().unwrap().to_owned(),
        body["alert"]["vehicle"].as_str().unwrap().to_owned(),
    );
    assert_eq!(body["cloudevent"]["id"], body["alert"]["id"]);
    assert_eq!(body["cloudevent"]["subject"], body["alert"]["vehicle"]);
    let mut busy = Busy::new(&shared, &vehicle);
    let (exists, slow, call) = {
        let mut double = shared.lock().unwrap();
        let calls = double.calls.entry(id.clone()).or_default();
        *calls += 1;
        let call = *calls;
        (double.action_exists, double.slow, call)
    };
    if !exists {
        busy.answered = true;
        return (
            StatusCode::NOT_FOUND,
            Json(json!({"error": "The requested resource does not exist."})),
        );
    }
    tokio::time::sleep(slow).await;
    busy.answered = true;
    let kind = id.rsplit('-').next().unwrap();
    let answer = match kind {
        "flaky" if call <= 2 => (StatusCode::BAD_GATEWAY, record("a", false)),
        "broken" => (StatusCode::BAD_GATEWAY, record("a", false)),
        "throttled" if call <= 4 => (
            StatusCode::TOO_MANY_REQUESTS,
            json!({"error": "Too many requests in the last minute"}),
        ),
        "away" if call <= 4 => (StatusCode::SERVICE_UNAVAILABLE, Value::Null),
        "late" => (StatusCode::ACCEPTED, json!({"activationId": id})),
        _ => (StatusCode::OK, record("a", true)),
    };
    if answer.0 == StatusCode::OK {
        shared.lock().unwrap().succeeded.push(id);
    }
    (answer.0, Json(answer.1))
}

async fn activation(
    State(shared): State<Shared>,
    UrlPath(id): UrlPath<String>,
) -> (StatusCode, Json<Value>) {
    let mut double = shared.lock().unwrap();
    double.looked_up += 1;
    if double.looked_up <= 2 {
        return (
            StatusCode::NOT_FOUND,
            Json(json!({"error": "The requested resource does not exist."})),
        );
    }
    double.succeeded.push(id.clone());
    (StatusCode::OK, Json(record(&id, true)))
}

async fn double() -> (Shared, String) {
    let shared = Shared::default();
    let app = Router::new()
        .route("/api/v1/namespaces/_/actions/warn-driver", post(invoke))
        .route("/api/v1/namespaces/_/activations/{id}", get(activation))
        .with_state(Arc::clone(&shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (shared, uri)
}

const USUAL: &str =
    "attempts: 3, maxInFlight: 8, backoff: {initialMilliseconds: 50, maximumMilliseconds: 400}";

fn config(more: &str) -> String {
    format!(
        "{{topic: alerts, group: {GROUP}, action: warn-driver, deadLetterTopic: dead-letters, \
         limits: {{sessionTimeout: 6s}}, {more}}}"
    )
}

struct Place {
    _kafka: Kafka,
    bootstrap: String,
    directory: tempfile::TempDir,
    double: Shared,
    uri: String,
}

impl Place {
    async fn new() -> Option<Self> {
        let kafka = Kafka::start().unwrap()?;
        let bootstrap = kafka.bootstrap();
        create_topics(
            &bootstrap,
            &[("alerts", 3, false), ("dead-letters", 1, false)],
        )
        .await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.yaml"), config(USUAL)).unwrap();
        std::fs::write(directory.path().join("auth"), "u:p\n").unwrap();
        let (double, uri) = double().await;
        Some(Self {
            _kafka: kafka,
            bootstrap,
            directory,
            double,
            uri,
        })
    }

    fn dispatch(&self) -> Job {
        let at = |name: &str| self.directory.path().join(name);
        let auth = at("auth");
        let more = [
            "--openwhisk-uri",
            &self.uri,
            "--openwhisk-auth-file",
            auth.to_str().unwrap(),
        ];
        Job::start(
            "dispatch",
            &self.bootstrap,
            &at("config.yaml"),
            &at("dispatch.log"),
            &more,
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn every_kind_of_trouble_ends_in_success_or_a_dead_letter() {
    let Some(place) = Place::new().await else {
        return;
    };
    let producer = Producer::new(&place.bootstrap, "test").unwrap();
    let kinds = ["ok", "flaky", "broken", "throttled", "away", "late", "last"];
    for vehicle in ["car-1", "car-2"] {
        for (n, kind) in kinds.into_iter().enumerate() {
            send_alert(&producer, &alert(vehicle, format!("{vehicle}-{n}-{kind}"))).await;
        }
    }
    producer
        .send("alerts", "car-3", &[], b"no json", None)
        .await
        .unwrap();

    let dispatch = place.dispatch();
    // The action does not exist yet: nothing is lost, and readiness tells.
    let until = std::time::Instant::now() + READY;
    while !dispatch
        .get("/readyz")
        .is_some_and(|(_, text)| text.contains("action warn-driver does not exist"))
    {
        assert!(
            std::time::Instant::now() < until,
            "{:?}\n{}",
            dispatch.get("/readyz"),
            dispatch.server.tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    {
        let mut double = place.double.lock().unwrap();
        double.calls.clear();
        double.action_exists = true;
    }
    wait_until_read(&place.bootstrap, GROUP, "alerts", Duration::from_secs(60)).await;

    {
        let double = place.double.lock().unwrap();
        assert!(
            double.overlaps.is_empty(),
            "side by side for one vehicle: {:?}",
            double.overlaps
        );
        for vehicle in ["car-1", "car-2"] {
            let order: Vec<&String> = double
                .succeeded
                .iter()
                .filter(|id| id.starts_with(vehicle))
                .collect();
            let expected: Vec<String> = kinds
                .into_iter()
                .enumerate()
                .filter(|(_, kind)| *kind != "broken")
                .map(|(n, kind)| format!("{vehicle}-{n}-{kind}"))
                .collect();
            assert_eq!(order, expected.iter().collect::<Vec<_>>());
            assert_eq!(double.calls[&format!("{vehicle}-2-broken")], 3);
            // What was throttled five times is not given up after three attempts.
            assert_eq!(double.calls[&format!("{vehicle}-3-throttled")], 5);
        }
    }
    let dead: Vec<DeadLetter> = read_all(&place.bootstrap, "dead-letters")
        .await
        .iter()
        .map(|r| serde_json::from_slice(r.payload.as_deref().unwrap()).unwrap())
        .collect();
    assert_eq!(dead.len(), 3, "{dead:?}");
    let of = |vehicle: &str| {
        dead.iter()
            .find(|d| d.vehicle.as_deref() == Some(vehicle))
            .unwrap()
    };
    assert_eq!(of("car-1").attempts, 3);
    assert!(
        of("car-1").reason.problem.contains("boom"),
        "{:?}",
        of("car-1")
    );
    assert!(
        of("car-3").reason.problem.contains("not JSON"),
        "{:?}",
        of("car-3")
    );
    dispatch.wait_ready(READY).await;
    let (_, metrics) = dispatch.get("/metrics").unwrap();
    assert!(
        metrics.contains("millrace_dispatch_delivered_total 12"),
        "{metrics}"
    );
    dispatch.terminate(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn killed_it_delivers_again_and_stopped_it_finishes_what_it_began() {
    let Some(place) = Place::new().await else {
        return;
    };
    {
        let mut double = place.double.lock().unwrap();
        double.action_exists = true;
        double.slow = Duration::from_millis(40);
    }
    let producer = Producer::new(&place.bootstrap, "test").unwrap();
    let vehicles: Vec<String> = (0..12).map(|n| format!("car-{n}")).collect();
    for n in 0..40 {
        for vehicle in &vehicles {
            send_alert(&producer, &alert(vehicle, format!("{vehicle}-{n:02}-ok"))).await;
        }
    }
    let mut dispatch = place.dispatch();
    dispatch.wait_ready(READY).await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    dispatch.server.kill();
    let before = place.double.lock().unwrap().succeeded.len();
    assert!(
        before > 20 && before < 480,
        "the kill was to fall into the middle: {before}"
    );
    // The double notices a moment later that its callers are gone.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let cut_off = place.double.lock().unwrap().cut_off;

    let dispatch = place.dispatch();
    dispatch.wait_ready(READY).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    dispatch.terminate(Duration::from_secs(20)).await;
    {
        let double = place.double.lock().unwrap();
        assert!(
            double.succeeded.len() < 480,
            "the stop was to fall into the middle"
        );
        assert_eq!(
            double.cut_off, cut_off,
            "an orderly stop waits for invocations under way"
        );
    }
    let dispatch = place.dispatch();
    wait_until_read(&place.bootstrap, GROUP, "alerts", Duration::from_secs(60)).await;
    dispatch.terminate(Duration::from_secs(20)).await;

    let double = place.double.lock().unwrap();
    assert!(
        double.overlaps.is_empty(),
        "side by side for one vehicle: {:?}",
        double.overlaps
    );
    for vehicle in &vehicles {
        let mut first: Vec<&String> = Vec::new();
        for id in double
            .succeeded
            .iter()
            .filter(|id| id.starts_with(&format!("{vehicle}-")))
        {
            if !first.contains(&id) {
                first.push(id);
            }
        }
        let expected: Vec<String> = (0..40).map(|n| format!("{vehicle}-{n:02}-ok")).collect();
        assert_eq!(first, expected.iter().collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn the_past_is_passed_over_and_what_fails_keeps_nobody_waiting() {
    let Some(place) = Place::new().await else {
        return;
    };
    place.double.lock().unwrap().action_exists = true;
    let producer = Producer::new(&place.bootstrap, "test").unwrap();
    for vehicle in 0..8 {
        send_alert(
            &producer,
            &alert(&format!("car-{vehicle}"), format!("{vehicle}-past-ok")),
        )
        .await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let since = jiff::Timestamp::now();
    // One place only, and who fails waits for a minute.
    let more = format!(
        "since: '{since}', attempts: 3, maxInFlight: 1, backoff: {{initialMilliseconds: 60000, maximumMilliseconds: 60000}}"
    );
    std::fs::write(place.directory.path().join("config.yaml"), config(&more)).unwrap();
    send_alert(&producer, &alert("car-0", "0-now-flaky".to_owned())).await;
    for vehicle in 1..8 {
        send_alert(
            &producer,
            &alert(&format!("car-{vehicle}"), format!("{vehicle}-now-ok")),
        )
        .await;
    }
    let dispatch = place.dispatch();
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while place.double.lock().unwrap().succeeded.len() < 7 {
        assert!(
            std::time::Instant::now() < until,
            "{}",
            dispatch.server.tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What comes only now, too.
    send_alert(&producer, &alert("car-9", "9-now-ok".to_owned())).await;
    while place.double.lock().unwrap().succeeded.len() < 8 {
        assert!(
            std::time::Instant::now() < until,
            "{}",
            dispatch.server.tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    {
        let double = place.double.lock().unwrap();
        assert_eq!(double.calls["0-now-flaky"], 1);
        let past: Vec<&String> = double
            .calls
            .keys()
            .filter(|id| id.contains("past"))
            .collect();
        assert!(past.is_empty(), "{past:?}");
    }
    dispatch.terminate(Duration::from_secs(20)).await;
}
