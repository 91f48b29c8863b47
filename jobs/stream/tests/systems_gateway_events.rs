//! Vehicle events through the gateway into a real Kafka: who may send which, and what becomes of wrong ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use millrace_contract::{EventKind, VehicleEvent, topics, vehicle_event};
use millrace_testkit::Kafka;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{ADMIN, EVENTS, Gateway, NOTIFY, OPERATIONS, all, create_topics, event};

const DRIVER: &str = "D-4711-Ivanova";
const FLEET: &str = "/v1/vehicle-events";

fn happened(vehicle: &str, id: &str, kind: &str, changes: &Value) -> Value {
    let mut event = json!({
        "vehicle": vehicle, "id": id, "kind": kind, "time": Timestamp::now().to_string(), "odometer": 12_500_000,
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        event[name] = value.clone();
    }
    event
}

async fn stored(bootstrap: &str) -> Vec<VehicleEvent> {
    let records = all(bootstrap, topics::VEHICLE_EVENTS).await;
    let mut events: Vec<VehicleEvent> = records
        .iter()
        .map(|r| {
            let event = vehicle_event::decode(r.payload.as_deref().unwrap()).unwrap();
            assert_eq!(r.key_text(), Some(event.vehicle.as_str()));
            assert_eq!(r.header("ce_type"), Some("dev.millrace.vehicle-event.v1"));
            assert_eq!(r.header("ce_subject"), Some(event.vehicle.as_str()));
            let id = format!("{}/events/{}", event.vehicle, event.id);
            assert_eq!(r.header("ce_id"), Some(id.as_str()));
            event
        })
        .collect();
    events.sort_by(|a, b| a.id.cmp(&b.id));
    events
}

async fn letters(gateway: &Gateway, query: &str) -> Vec<Value> {
    let path = format!("/v1/dead-letters{query}");
    let (status, answer) = gateway.get(&path, OPERATIONS).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer.as_array().unwrap().clone()
}

async fn redrive(gateway: &Gateway, letter: &Value) -> (StatusCode, Value) {
    let id = letter["id"].as_str().unwrap();
    let path = format!("/v1/dead-letters/{id}/redrive");
    let (status, _, answer) = gateway.call(Method::POST, &path, OPERATIONS).await;
    (status, answer)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn vehicle_events_from_workshop_hire_desk_and_vehicle() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let mut gateway = Gateway::start(&bootstrap, "maxBatch: 500\n").await;

    let token = gateway.enrol("car-1").await;
    let own = "/v1/vehicles/car-1/vehicle-events";
    // The role speaks of all vehicles, also of one that is not enrolled.
    let batch = json!([
        happened(
            "car-1",
            "a1",
            "repair",
            &json!({"component": "engine", "note": "P0217"})
        ),
        happened("van-9", "a2", "maintenance", &json!({"model": "Van"})),
        happened(
            "car-1",
            "a3",
            "hire_started",
            &json!({"driver": DRIVER, "hire": "H-1"})
        ),
    ]);
    let (status, answer) = gateway.post_to(FLEET, EVENTS, batch.to_string()).await;
    assert_eq!(
        (status, &answer["accepted"]),
        (StatusCode::OK, &json!(3)),
        "{answer}"
    );
    // The vehicle of what it knows of itself.
    let broken = happened("car-1", "a4", "breakdown", &json!({"component": "engine"}));
    let (status, answer) = gateway.post_to(own, &token, broken.to_string()).await;
    assert_eq!(
        (status, &answer["accepted"]),
        (StatusCode::OK, &json!(1)),
        "{answer}"
    );
    let events = stored(&bootstrap).await;
    let kinds: Vec<EventKind> = events.iter().map(|e| e.kind).collect();
    use EventKind::{Breakdown, HireStarted, Maintenance, Repair};
    assert_eq!(kinds, [Repair, Maintenance, HireStarted, Breakdown]);
    // Telemetry of the hire has the same pseudonym.
    let driven = event("car-1", 1, &json!({"driver": DRIVER, "hire": "H-1"}));
    gateway.post("car-1", &token, driven.to_string()).await;
    let telemetry = all(&bootstrap, topics::TELEMETRY).await;
    let driven: Value = serde_json::from_slice(telemetry[0].payload.as_deref().unwrap()).unwrap();
    assert_eq!(driven["hire"].as_str(), events[2].hire.as_deref());

    who_may(&gateway, &token).await;
    wrong_ones(&gateway, &token, &bootstrap).await;
    what_lay_in_the_topic(&gateway, &bootstrap).await;

    // While nothing is taken in, they wait as telemetry does.
    gateway.order("accept: none\nretryAfterSeconds: 7\n");
    let late = happened("car-1", "z9", "check", &json!({})).to_string();
    let end = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let (status, answer) = gateway.post_to(FLEET, EVENTS, late.clone()).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer["error"]["field"], "ingest", "{answer}");
            break;
        }
        assert!(std::time::Instant::now() < end, "{answer}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let metrics = gateway.metrics().await;
    for channel in ["http-events", "http-own-events"] {
        let name = format!("millrace_gateway_events_accepted_total{{channel=\"{channel}\"}}");
        assert!(metrics.contains(&name), "{name} in {metrics}");
    }
    for topic in [topics::VEHICLE_EVENTS, topics::DEAD_LETTERS, topics::AUDIT] {
        for record in all(&bootstrap, topic).await {
            let text =
                String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default()).into_owned();
            assert!(
                !format!("{:?}{text}", record.headers).contains("4711"),
                "{text}"
            );
        }
    }
    gateway.terminate().await;
    assert!(!gateway.log_text().contains("4711"));
}

async fn who_may(gateway: &Gateway, token: &str) {
    let body = || happened("car-1", "x1", "check", &json!({})).to_string();
    let (status, answer) = gateway.post_to(FLEET, NOTIFY, body()).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    assert!(
        answer["error"]["cure"]
            .as_str()
            .unwrap()
            .contains("events-token")
    );
    // A vehicle's token is no role's, and a role's token is no vehicle's.
    let (status, _) = gateway.post_to(FLEET, token, body()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let own = "/v1/vehicles/car-1/vehicle-events";
    let (status, _) = gateway.post_to(own, EVENTS, body()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, _) = gateway
        .post_to("/v1/vehicles/van-9/vehicle-events", token, body())
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, _) = gateway.get("/v1/vehicles/car-1", EVENTS).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "enrolment is another role's");
}

async fn wrong_ones(gateway: &Gateway, token: &str, bootstrap: &str) {
    let before = stored(bootstrap).await.len();
    let good = |changes: &Value| happened("car-1", "w1", "repair", changes);
    for (field, body) in [
        ("kind", good(&json!({"kind": "repairs"})).to_string()),
        ("component", good(&json!({"component": "flux"})).to_string()),
        (
            "note",
            good(&json!({"note": "the driver was rude", "driver": DRIVER})).to_string(),
        ),
        ("phone", good(&json!({"phone": "0123"})).to_string()),
        ("hire", good(&json!({"kind": "hire_ended"})).to_string()),
        (
            "time",
            good(&json!({"time": "1970-01-01T00:00:00Z"})).to_string(),
        ),
        (
            "vehicle",
            good(&json!({"vehicle": DRIVER, "driver": DRIVER})).to_string(),
        ),
        (
            "vehicle",
            good(&json!({"vehicle": "millrace-canary"})).to_string(),
        ),
        ("body", "hello".to_owned()),
        ("body", json!(vec![good(&json!({})); 501]).to_string()),
    ] {
        let (status, answer) = gateway.post_to(FLEET, EVENTS, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(answer["error"]["field"], field, "{answer}");
        assert!(
            !answer["error"]["cure"].as_str().unwrap().is_empty(),
            "{answer}"
        );
    }
    let of_fleet = letters(gateway, "?topic=http-events").await;
    assert_eq!(of_fleet.len(), 10);
    let named: Vec<&Value> = of_fleet.iter().map(|l| &l["vehicle"]).collect();
    assert!(
        named[..2].iter().all(|v| v.is_null()),
        "of no vehicle: {named:?}"
    );
    assert!(named[3].is_null(), "a driver is no vehicle: {named:?}");
    assert_eq!(named[9], "car-1");

    // Of its own repair the vehicle knows nothing, and putting the letter back does not change that.
    let own = "/v1/vehicles/car-1/vehicle-events";
    let (status, answer) = gateway
        .post_to(own, token, good(&json!({})).to_string())
        .await;
    assert_eq!(
        (status, &answer["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("kind"))
    );
    let of_vehicle = letters(gateway, "?topic=http-own-events").await;
    assert_eq!(
        (of_vehicle.len(), &of_vehicle[0]["vehicle"]),
        (1, &json!("car-1"))
    );
    let (status, answer) = redrive(gateway, &of_vehicle[0]).await;
    assert_eq!(
        (status, &answer["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("kind"))
    );

    // Part of a batch is wrong; what is good by now can be put back.
    let early = (Timestamp::now() + SignedDuration::from_secs(303)).to_string();
    let batch = json!([
        happened("car-1", "w2", "check", &json!({"component": "tyre"})),
        happened(
            "van-9",
            "w3",
            "hire_ended",
            &json!({"time": early, "driver": DRIVER, "hire": "H-1"})
        ),
    ]);
    let (status, answer) = gateway.post_to(FLEET, EVENTS, batch.to_string()).await;
    assert_eq!(
        (status, &answer["accepted"]),
        (StatusCode::OK, &json!(1)),
        "{answer}"
    );
    assert_eq!(answer["rejected"][0]["index"], 1, "{answer}");
    let letter = letters(gateway, "?vehicle=van-9").await.remove(0);
    let path = format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap());
    let (_, shown) = gateway.get(&path, ADMIN).await;
    assert_eq!(shown["payload"]["opened"]["driver"], DRIVER, "{shown}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (status, answer) = redrive(gateway, &letter).await;
    assert_eq!(
        (status, &answer["to"]),
        (StatusCode::OK, &json!("vehicle-events")),
        "{answer}"
    );
    let events = stored(bootstrap).await;
    assert_eq!(events.len(), before + 2);
    let back = events.iter().find(|e| e.id == "w3").unwrap();
    assert_eq!(back.hire.as_ref().unwrap().len(), 22);
    assert_eq!(redrive(gateway, &letter).await.0, StatusCode::CONFLICT);
}

// A job could not process a record of the topic: its letter tells where it lay.
async fn what_lay_in_the_topic(gateway: &Gateway, bootstrap: &str) {
    let before = all(bootstrap, topics::VEHICLE_EVENTS).await;
    let record = before
        .iter()
        .find(|r| r.key_text() == Some("car-1"))
        .unwrap();
    let letter = |key: &str| {
        json!({
            "reason": {"problem": "the database was away", "cure": "put it back"},
            "source_topic_or_channel": "vehicle-events", "vehicle": key, "received_at": Timestamp::now(), "attempts": 3,
            "payload": {"clear": {
                "topic": record.topic, "partition": record.partition, "offset": record.offset, "bytes": 9,
            }},
            "kept": "place",
            "origin": {"topic": record.topic, "partition": record.partition, "offset": record.offset, "key": key},
        })
    };
    let producer = millrace_stream::connect::Producer::new(bootstrap, "test").unwrap();
    let put = async |key: &str| {
        let payload = letter(key).to_string();
        let sent = producer.send(topics::DEAD_LETTERS, key, &[], payload.as_bytes(), None);
        let (partition, offset) = sent.await.unwrap();
        json!({"id": format!("{partition}-{offset}")})
    };
    let (status, answer) = redrive(gateway, &put("car-1").await).await;
    assert_eq!(
        (status, &answer["to"]),
        (StatusCode::OK, &json!("vehicle-events")),
        "{answer}"
    );
    let after = all(bootstrap, topics::VEHICLE_EVENTS).await;
    assert_eq!(after.len(), before.len() + 1);
    let (status, _) = redrive(gateway, &put("van-9").await).await;
    assert_eq!(
        status,
        StatusCode::NOT_FOUND,
        "another vehicle's record lies there"
    );
}
