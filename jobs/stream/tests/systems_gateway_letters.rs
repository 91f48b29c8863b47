//! Dead letters of the gateway: listed, shown and put back where they came from.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use millrace_contract::{DeadLetter, Origin, Payload, Reason, topics};
use millrace_stream::connect::Producer;
use millrace_testkit::Kafka;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{ADMIN, Gateway, OPERATIONS, all, create_topics, event};

async fn listed(gateway: &Gateway, query: &str) -> Vec<Value> {
    let (status, answer) = gateway
        .get(&format!("/v1/dead-letters{query}"), OPERATIONS)
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer.as_array().unwrap().clone()
}

async fn redrive(gateway: &Gateway, id: &str, query: &str) -> (StatusCode, Value) {
    let path = format!("/v1/dead-letters/{id}/redrive{query}");
    let (status, _, answer) = gateway.call(Method::POST, &path, OPERATIONS).await;
    (status, answer)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn dead_letters_from_list_to_redrive() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let mut gateway = Gateway::start(&bootstrap, "").await;
    what_vehicles_sent(&gateway, &bootstrap).await;
    let id = what_lay_in_a_topic(&gateway, &bootstrap).await;
    in_pages(&gateway, &bootstrap).await;

    // What was done is known after a restart too.
    gateway.terminate().await;
    gateway.start_again().await;
    assert_eq!(redrive(&gateway, &id, "").await.0, StatusCode::CONFLICT);
    let audit = all(&bootstrap, topics::AUDIT).await;
    let of_letter: Vec<Value> = audit
        .iter()
        .filter(|r| r.key_text() == Some(&id))
        .map(|r| serde_json::from_slice(r.payload.as_deref().unwrap()).unwrap())
        .collect();
    assert_eq!(of_letter.len(), 2, "{of_letter:?}");
    for entry in of_letter {
        assert_eq!(
            (&entry["role"], &entry["action"], &entry["vehicle"]),
            (&json!("operations"), &json!("redrive"), &json!("car"))
        );
    }
}

async fn what_vehicles_sent(gateway: &Gateway, bootstrap: &str) {
    let token = gateway.enrol("bad").await;
    let early = Timestamp::now() + SignedDuration::from_secs(303);
    let too_early = event(
        "bad",
        1,
        &json!({ "time": early.to_string(), "driver": "D-4711" }),
    );
    for body in [
        too_early.to_string(),
        event("bad", 2, &json!({ "speed": 5000, "driver": "D-4711" })).to_string(),
        "no JSON".to_owned(),
    ] {
        let (status, _) = gateway.post("bad", &token, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    let letters = listed(gateway, "?vehicle=bad").await;
    let fields: Vec<&Value> = letters.iter().map(|l| &l["reason"]["field"]).collect();
    assert_eq!(fields, ["body", "speed", "time"], "the newest first");
    for letter in &letters {
        assert_eq!(
            (&letter["source"], &letter["attempts"]),
            (&json!("http"), &json!(1))
        );
        assert_eq!(letter["redriven"], false);
        assert!(letter["size"].as_u64().unwrap() > 50 && letter["time"].is_string());
        assert!(!letter["reason"]["cure"].as_str().unwrap().is_empty());
    }
    assert_eq!(listed(gateway, "?reason=SPEED").await.len(), 1);
    assert_eq!(listed(gateway, "?topic=mqtt").await.len(), 0);
    assert_eq!(listed(gateway, "?limit=1").await.len(), 1);
    let (status, answer) = gateway.get("/v1/dead-letters?limit=0", OPERATIONS).await;
    assert_eq!(
        (status, &answer["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("limit"))
    );

    // Only the administrator reads what may name a driver.
    let id = |n: usize| letters[n]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/dead-letters/{}", id(1));
    let (_, shown) = gateway.get(&path, OPERATIONS).await;
    assert!(shown["payload"]["sealed"]["data"].is_string(), "{shown}");
    assert!(!shown.to_string().contains("4711"), "{shown}");
    let (_, shown) = gateway.get(&path, ADMIN).await;
    assert_eq!(shown["payload"]["opened"]["driver"], "D-4711", "{shown}");
    assert_eq!(shown["reason"]["field"], "speed", "{shown}");
    let (_, shown) = gateway
        .get(&format!("/v1/dead-letters/{}", id(0)), ADMIN)
        .await;
    assert_eq!(shown["payload"]["opened"], "no JSON");
    for missing in ["0-999999", "99-0"] {
        let (status, _) = gateway
            .get(&format!("/v1/dead-letters/{missing}"), OPERATIONS)
            .await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{missing}");
    }

    // What is still wrong is refused again and leaves no second letter; what is good by now goes through.
    let (status, answer) = redrive(gateway, &id(1), "").await;
    assert_eq!(
        (status, &answer["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("speed"))
    );
    assert_eq!(listed(gateway, "?vehicle=bad").await.len(), 3);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (status, answer) = redrive(gateway, &id(2), "").await;
    assert_eq!(
        (status, &answer["to"]),
        (StatusCode::OK, &json!("telemetry")),
        "{answer}"
    );
    let telemetry = all(bootstrap, topics::TELEMETRY).await;
    assert_eq!(telemetry.len(), 1);
    let stored: Value = serde_json::from_slice(telemetry[0].payload.as_deref().unwrap()).unwrap();
    assert_eq!(stored["sequence"], 1);
    assert_eq!(stored["hire"].as_str().unwrap().len(), 22);
    assert!(!stored.to_string().contains("4711"));
    let letters = listed(gateway, "?reason=ahead&vehicle=bad").await;
    let redriven = listed(gateway, "?vehicle=bad").await;
    assert!(letters.len() <= 1);
    assert_eq!(redriven[2]["redriven"], true, "{redriven:?}");
}

fn letter(origin: Option<Origin>, payload: Value) -> Vec<u8> {
    let letter = DeadLetter {
        reason: Reason {
            field: None,
            value: None,
            problem: "the action failed".to_owned(),
            cure: "see its log".to_owned(),
        },
        source_topic_or_channel: "mine".to_owned(),
        vehicle: Some("car".to_owned()),
        received_at: Timestamp::now(),
        attempts: 5,
        payload: Payload::Clear(payload),
        kept: None,
        origin,
    };
    serde_json::to_vec(&letter).unwrap()
}

fn alert_of(vehicle: &str) -> Value {
    let now = Timestamp::now();
    json!({
        "id": "a", "vehicle": vehicle, "rule": "overheating", "severity": "warning", "episode": "e",
        "event_time": now, "detected_at": now, "signal": "coolant_temperature", "value": 120.0,
        "unit": "Cel", "threshold": 110.0, "text": "Too hot.",
    })
}

async fn what_lay_in_a_topic(gateway: &Gateway, bootstrap: &str) -> String {
    let producer = Producer::new(bootstrap, "test").unwrap();
    let put = async |payload: Vec<u8>| {
        let sent = producer.send(topics::DEAD_LETTERS, "car", &[], &payload, None);
        let (partition, offset) = sent.await.unwrap();
        format!("{partition}-{offset}")
    };
    let record = json!({ "some": "record", "n": 1.5 }).to_string();
    let headers = vec![("ce_id".to_owned(), "x".to_owned())];
    let sent = producer.send("notified", "key-1", &headers, record.as_bytes(), None);
    let (partition, offset) = sent.await.unwrap();
    let origin = |offset| Origin {
        topic: "notified".to_owned(),
        partition,
        offset,
        key: Some("key-1".to_owned()),
        headers: vec![("group".to_owned(), "mine".to_owned())],
    };
    let place =
        json!({ "topic": "notified", "partition": partition, "offset": offset, "bytes": 9 });
    // The letter tells only where it lay: the record itself is read again.
    let id = put(letter(Some(origin(offset)), place.clone())).await;
    let (status, answer) = redrive(gateway, &id, "").await;
    assert_eq!(
        (status, &answer["to"]),
        (StatusCode::OK, &json!("notified")),
        "{answer}"
    );
    let found: Vec<_> = all(bootstrap, "notified")
        .await
        .into_iter()
        .filter(|r| r.key_text() == Some("key-1"))
        .collect();
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].payload.as_deref(), Some(record.as_bytes()));
    assert_eq!(found[1].header("millrace_redriven"), Some(id.as_str()));
    assert_eq!(found[1].header("group"), Some("mine"));

    // Once, unless it is asked for again.
    let (status, answer) = redrive(gateway, &id, "").await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(
        answer["error"]["cure"]
            .as_str()
            .unwrap()
            .contains("again=true")
    );
    assert_eq!(redrive(gateway, &id, "?again=true").await.0, StatusCode::OK);

    // The record is gone: what the letter kept of it counts, when that is all of it.
    let gone = put(letter(Some(origin(999_999)), place)).await;
    let (status, answer) = redrive(gateway, &gone, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    let kept = put(letter(Some(origin(999_999)), json!({ "kept": true }))).await;
    assert_eq!(redrive(gateway, &kept, "").await.0, StatusCode::OK);
    let last = all(bootstrap, "notified")
        .await
        .into_iter()
        .rfind(|r| r.key_text() == Some("key-1"));
    assert_eq!(last.unwrap().payload.unwrap(), b"{\"kept\":true}");
    // Another record lies in its place, as in a topic that was made anew.
    let place = json!({ "topic": "notified", "partition": partition, "offset": offset });
    let other_key = Origin {
        key: Some("key-2".to_owned()),
        ..origin(offset)
    };
    let taken = put(letter(Some(other_key.clone()), place)).await;
    let (status, answer) = redrive(gateway, &taken, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    // What the letter holds goes before what lies there, whatever JSON it is.
    for value in [json!([1, 2]), json!("text"), json!({}), json!(7)] {
        let kept = put(letter(Some(other_key.clone()), value.clone())).await;
        assert_eq!(redrive(gateway, &kept, "").await.0, StatusCode::OK);
        let found = all(bootstrap, "notified").await;
        let last = found.iter().rfind(|r| r.key_text() == Some("key-2"));
        let payload = last.unwrap().payload.as_deref().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(payload).unwrap(), value);
    }
    // An alert of another vehicle than the key's is not put back.
    let alert = Origin {
        topic: topics::ALERTS.to_owned(),
        ..other_key
    };
    let alert = put(letter(Some(alert), alert_of("key-1"))).await;
    let (status, answer) = redrive(gateway, &alert, "").await;
    assert_eq!(
        (status, &answer["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("vehicle")),
        "{answer}"
    );
    id
}

async fn in_pages(gateway: &Gateway, bootstrap: &str) {
    let producer = Producer::new(bootstrap, "test").unwrap();
    for n in 0..130 {
        let payload = letter(None, json!({ "n": n }));
        let key = format!("page-{}", n % 7);
        producer
            .send(topics::DEAD_LETTERS, &key, &[], &payload, None)
            .await
            .unwrap();
    }
    // Somebody else's record is listed as well.
    producer
        .send(topics::DEAD_LETTERS, "page-x", &[], b"what", None)
        .await
        .unwrap();
    let mut path = "/v1/dead-letters?limit=40".to_owned();
    let (mut ids, mut times, mut pages) = (HashSet::new(), Vec::new(), 0);
    loop {
        let (status, link, answer) = gateway.call(Method::GET, &path, OPERATIONS).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        pages += 1;
        for one in answer.as_array().unwrap() {
            assert!(ids.insert(one["id"].as_str().unwrap().to_owned()), "{one}");
            let time: Timestamp = one["time"].as_str().unwrap().parse().unwrap();
            times.push(time);
        }
        match link {
            Some(link) => path = link[1..].split_once('>').unwrap().0.to_owned(),
            None => break,
        }
    }
    let everything = all(bootstrap, topics::DEAD_LETTERS).await.len();
    assert_eq!((ids.len(), pages), (everything, everything.div_ceil(40)));
    assert!(
        times.windows(2).all(|pair| pair[0] >= pair[1]),
        "the newest first: {times:?}"
    );
}
