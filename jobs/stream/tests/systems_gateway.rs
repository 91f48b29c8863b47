//! The gateway against a real Kafka: every answer a vehicle can get, and the way back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use millrace_contract::{DeadLetter, Telemetry, topics};
use millrace_stream::gateway::seal::SealKey;
use millrace_testkit::Kafka;
use reqwest::StatusCode;
use rumqttc::{Packet, QoS, SubscribeReasonCode};
use serde_json::{Value, json};
use support::{Gateway, SEAL, Vehicle, all, create_topics, event, notification};

const DRIVER: &str = "D-4711-Ivanova";

async fn telemetry_of(bootstrap: &str, vehicle: &str) -> Vec<Telemetry> {
    let records = all(bootstrap, topics::TELEMETRY).await;
    records
        .iter()
        .filter(|r| r.key_text() == Some(vehicle))
        .map(|r| serde_json::from_slice(r.payload.as_deref().unwrap()).unwrap())
        .collect()
}

async fn letters_of(bootstrap: &str, vehicle: &str) -> Vec<DeadLetter> {
    let records = all(bootstrap, topics::DEAD_LETTERS).await;
    records
        .iter()
        .filter(|r| r.key_text() == Some(vehicle))
        .map(|r| serde_json::from_slice(r.payload.as_deref().unwrap()).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn every_answer_a_vehicle_can_get() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let mut gateway = Gateway::start(&bootstrap, "maxBatch: 500\n").await;

    good_events(&gateway, &bootstrap).await;
    wrong_events(&gateway, &bootstrap).await;
    wrong_bodies(&gateway, &bootstrap).await;
    who_may(&gateway).await;
    canaries(&gateway, &bootstrap).await;
    mqtt_in(&gateway, &bootstrap).await;
    mqtt_5(&gateway, &bootstrap).await;
    mqtt_limits(&gateway).await;

    let metrics = gateway.metrics().await;
    for name in [
        "events_accepted_total",
        "events_refused_total",
        "dead_letters_total",
        "acknowledge_seconds_bucket",
    ] {
        assert!(
            metrics.contains(&format!("millrace_gateway_{name}")),
            "{name} in {metrics}"
        );
    }
    for topic in [
        topics::TELEMETRY,
        topics::DEAD_LETTERS,
        topics::VEHICLE_CREDENTIALS,
    ] {
        for record in all(&bootstrap, topic).await {
            assert!(!format!("{:?}", record.headers).contains(DRIVER));
            assert!(
                !String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default())
                    .contains(DRIVER)
            );
        }
    }
    gateway.terminate().await;
    let log = gateway.log_text();
    assert!(log.contains("stopped"), "{log}");
    assert!(!log.contains(DRIVER), "{log}");
}

async fn good_events(gateway: &Gateway, bootstrap: &str) {
    let token = gateway.enrol("good").await;
    let first = event(
        "good",
        1,
        &json!({ "driver": DRIVER, "hire": "H-1", "tyre_pressure_front_left": 230.0 }),
    );
    let (status, answer) = gateway.post("good", &token, first.to_string()).await;
    assert_eq!(
        (status, &answer["accepted"]),
        (StatusCode::OK, &json!(1)),
        "{answer}"
    );
    let batch: Vec<Value> = (2..=100).map(|n| event("good", n, &json!({}))).collect();
    let (status, answer) = gateway.post("good", &token, json!(batch).to_string()).await;
    assert_eq!(
        (status, &answer["accepted"]),
        (StatusCode::OK, &json!(99)),
        "{answer}"
    );
    // The value that a bus uses for "not available" is dropped; the event is good.
    let (status, _) = gateway
        .post(
            "good",
            &token,
            event("good", 101, &json!({ "coolant_temperature": 215 })).to_string(),
        )
        .await;
    assert_eq!(status, StatusCode::OK);

    let stored = telemetry_of(bootstrap, "good").await;
    assert_eq!(
        stored.iter().map(|t| t.sequence).collect::<Vec<_>>(),
        (1..=101).collect::<Vec<_>>(),
        "in order"
    );
    assert_eq!(stored[0].hire.as_ref().unwrap().len(), 22);
    assert_eq!(stored[1].coolant_temperature, Some(91.5));
    assert_eq!(stored[100].coolant_temperature, None);
    let record = all(bootstrap, topics::TELEMETRY)
        .await
        .into_iter()
        .find(|r| r.key_text() == Some("good"))
        .unwrap();
    assert_eq!(record.header("ce_type"), Some("dev.millrace.telemetry.v1"));
    assert_eq!(record.header("ce_subject"), Some("good"));
}

async fn wrong_events(gateway: &Gateway, bootstrap: &str) {
    let token = gateway.enrol("bad").await;
    let good = event("bad", 1, &json!({ "driver": DRIVER }));
    let cases = [
        (
            "time",
            event("bad", 1, &json!({ "time": "1970-01-01T00:00:00Z" })).to_string(),
        ),
        (
            "time",
            event("bad", 1, &json!({ "time": "2100-01-01T00:00:00Z" })).to_string(),
        ),
        ("vehicle", event("other", 1, &json!({})).to_string()),
        (
            "speed",
            event("bad", 1, &json!({ "speed": 5000 })).to_string(),
        ),
        (
            "speed",
            event("bad", 1, &json!({ "speed": "fast" })).to_string(),
        ),
        (
            "colour",
            event("bad", 1, &json!({ "colour": "red" })).to_string(),
        ),
        (
            "coolant_temperature",
            good.to_string().replace("91.5", "NaN"),
        ),
        ("body", good.to_string()[..60].to_owned()),
        ("body", "hello".to_owned()),
        ("body", String::new()),
        ("body", json!(vec![good.clone(); 501]).to_string()),
    ];
    let many = cases.len();
    for (field, body) in cases {
        let (status, answer) = gateway.post("bad", &token, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(answer["error"]["field"], field, "{answer}");
        assert!(
            !answer["error"]["cure"].as_str().unwrap().is_empty(),
            "{answer}"
        );
    }
    // A batch is judged event by event.
    let mixed = json!([
        good,
        event("bad", 2, &json!({ "speed": -7, "driver": DRIVER })),
        event("bad", 3, &json!({}))
    ]);
    let (status, answer) = gateway.post("bad", &token, mixed.to_string()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["accepted"], 2);
    assert_eq!(
        (
            &answer["rejected"][0]["index"],
            &answer["rejected"][0]["field"]
        ),
        (&json!(1), &json!("speed"))
    );

    assert_eq!(telemetry_of(bootstrap, "bad").await.len(), 2);
    let letters = letters_of(bootstrap, "bad").await;
    assert_eq!(letters.len(), many + 1);
    let key = SealKey::from_text(SEAL).unwrap();
    let opened = key.open(&letters.last().unwrap().payload).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&opened).unwrap()["sequence"],
        2
    );
    assert!(
        letters
            .iter()
            .all(|l| !l.reason.problem.is_empty() && l.source_topic_or_channel == "http")
    );
}

async fn wrong_bodies(gateway: &Gateway, bootstrap: &str) {
    let token = gateway.enrol("large").await;
    // Sealed, it is larger than what the topic takes: an answer comes, and the first part is kept.
    let truncated = format!(
        "{{\"vehicle\":\"large\",\"driver\":\"{DRIVER}\",\"model\":\"{}",
        "x".repeat(900 * 1024)
    );
    let (status, answer) = gateway.post("large", &token, truncated.clone()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert_eq!(answer["error"]["field"], "body", "{answer}");
    let letters = letters_of(bootstrap, "large").await;
    assert_eq!(letters.len(), 1);
    let key = SealKey::from_text(SEAL).unwrap();
    let opened = key.open(&letters[0].payload).unwrap();
    assert_eq!(opened, &truncated.as_bytes()[..512 * 1024]);
    let problem = &letters[0].reason.problem;
    let kept = format!(
        "only the first 524288 of {} bytes are kept",
        truncated.len()
    );
    assert!(problem.ends_with(&kept), "{problem}");
    let whole = json!(vec![event("large", 1, &json!({})); 501]).to_string();
    gateway.post("large", &token, whole.clone()).await;
    let letters = letters_of(bootstrap, "large").await;
    let opened = letters.iter().map(|l| key.open(&l.payload).unwrap());
    assert!(opened.into_iter().any(|o| o == whole.as_bytes()));
    // The session of MQTT gets its acknowledgement too.
    let mut car = Vehicle::connect(gateway, "large", &token).await.unwrap();
    car.publish(&truncated).await;
    assert_eq!(letters_of(bootstrap, "large").await.len(), 3);
    drop(car);
    let (status, answer) = gateway.post("large", &token, vec![b' '; 2 << 20]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        answer["error"]["value"],
        format!("{} bytes", 2 << 20),
        "{answer}"
    );
    let response = gateway
        .client
        .get(gateway.url("/v2/anything"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

async fn canaries(gateway: &Gateway, bootstrap: &str) {
    for sequence in [0, 1] {
        let path = format!("/v1/canary?sequence={sequence}");
        let (status, _, sent) = gateway
            .call(reqwest::Method::POST, &path, support::ADMIN)
            .await;
        assert_eq!(status, StatusCode::OK, "{sent}");
        assert_eq!(sent["topic"], topics::TELEMETRY);
        let stored = all(bootstrap, topics::TELEMETRY).await;
        let record = stored
            .iter()
            .find(|r| json!(r.partition) == sent["partition"] && json!(r.offset) == sent["offset"])
            .unwrap();
        let event: Telemetry = serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
        let nothing_measured = Telemetry {
            vehicle: "millrace-canary".into(),
            sequence,
            time: event.time,
            ..Telemetry::default()
        };
        assert_eq!(event, nothing_measured);
    }
    let path = "/v1/vehicles/millrace-canary";
    let (status, _, refused) = gateway
        .call(reqwest::Method::PUT, path, support::ADMIN)
        .await;
    assert_eq!(
        (status, &refused["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("vehicle"))
    );
}

async fn who_may(gateway: &Gateway) {
    let token = gateway.enrol("mine").await;
    let body = event("mine", 1, &json!({})).to_string();
    let (status, answer) = gateway.post("nobody", &token, body.clone()).await;
    assert_eq!(
        (status, &answer["error"]["field"]),
        (StatusCode::UNAUTHORIZED, &json!("vehicle"))
    );
    assert!(
        answer["error"]["cure"]
            .as_str()
            .unwrap()
            .contains("PUT /v1/vehicles/nobody")
    );
    let (status, _) = gateway.post("mine", "wrong", body.clone()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, answer) = gateway.post("a%20b", &token, body.clone()).await;
    assert_eq!(
        (status, &answer["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("vehicle"))
    );
    let response = gateway
        .client
        .put(gateway.url("/v1/vehicles/x"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(
        response.status(),
        StatusCode::UNAUTHORIZED,
        "a vehicle is no administrator"
    );

    let rotated = gateway.enrol("mine").await;
    assert_eq!(
        gateway.post("mine", &token, body.clone()).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        gateway.post("mine", &rotated, body.clone()).await.0,
        StatusCode::OK
    );
    let mut vehicle = Vehicle::connect(gateway, "mine", &rotated).await.unwrap();
    let url = gateway.url("/v1/vehicles/mine");
    let response = gateway
        .client
        .delete(&url)
        .bearer_auth(support::ADMIN)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    vehicle.ends().await;
    assert_eq!(
        gateway.post("mine", &rotated, body).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert!(Vehicle::connect(gateway, "mine", &rotated).await.is_err());
    let response = gateway
        .client
        .get(&url)
        .bearer_auth(support::ADMIN)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

async fn mqtt_in(gateway: &Gateway, bootstrap: &str) {
    let token = gateway.enrol("car").await;
    assert!(Vehicle::connect(gateway, "car", "wrong").await.is_err());
    assert!(Vehicle::connect(gateway, "nobody", &token).await.is_err());

    let mut car = Vehicle::connect(gateway, "car", &token).await.unwrap();
    car.publish(&event("car", 1, &json!({ "driver": DRIVER })).to_string())
        .await;
    assert_eq!(
        telemetry_of(bootstrap, "car").await.len(),
        1,
        "in Kafka when acknowledged"
    );
    // Many at once keep their order.
    for sequence in 2..=60 {
        let body = event("car", sequence, &json!({})).to_string();
        car.client
            .try_publish("vehicles/car/telemetry", QoS::AtLeastOnce, false, body)
            .unwrap();
        if sequence % 10 == 0 {
            for _ in 0..if sequence == 10 { 9 } else { 10 } {
                car.until("PUBACK", |p| matches!(p, Packet::PubAck(_)))
                    .await;
            }
        }
    }
    let stored = telemetry_of(bootstrap, "car").await;
    assert_eq!(
        stored.iter().map(|t| t.sequence).collect::<Vec<_>>(),
        (1..=60).collect::<Vec<_>>()
    );
    // A wrong event is acknowledged, since it is kept: as a dead letter.
    car.publish("{\"vehicle\":\"car\",\"speed\":NaN}").await;
    let letters = letters_of(bootstrap, "car").await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].source_topic_or_channel, "mqtt");

    for (topic, granted) in [
        ("vehicles/other/notifications", false),
        ("vehicles/#", false),
        ("vehicles/car/notifications", true),
    ] {
        car.client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
        let Packet::SubAck(ack) = car
            .until("SUBACK", |p| matches!(p, Packet::SubAck(_)))
            .await
        else {
            unreachable!()
        };
        assert_eq!(
            ack.return_codes[0] == SubscribeReasonCode::Success(QoS::AtLeastOnce),
            granted,
            "{topic}"
        );
    }
    car.client
        .publish("vehicles/other/telemetry", QoS::AtLeastOnce, false, "{}")
        .await
        .unwrap();
    car.ends().await;

    // A new connection takes the session over.
    let mut first = Vehicle::connect(gateway, "car", &token).await.unwrap();
    let mut second = Vehicle::connect(gateway, "car", &token).await.unwrap();
    first.ends().await;
    second
        .publish(&event("car", 61, &json!({})).to_string())
        .await;
}

async fn mqtt_5(gateway: &Gateway, bootstrap: &str) {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Packet, PubAck, PubAckReason};
    use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};

    async fn acknowledged(events: &mut EventLoop) -> PubAck {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(20), events.poll())
                .await
                .unwrap()
                .unwrap();
            if let Event::Incoming(Packet::PubAck(ack)) = event {
                return ack;
            }
        }
    }
    let token = gateway.enrol("five").await;
    let mut options = MqttOptions::new("five", "127.0.0.1", gateway.mqtt);
    options.set_credentials("five", token).set_clean_start(true);
    let (client, mut events) = AsyncClient::new(options, 16);
    let send = async |topic: &str, body: String| {
        client
            .publish(topic.to_owned(), QoS::AtLeastOnce, false, body)
            .await
            .unwrap();
    };
    send(
        "vehicles/five/telemetry",
        event("five", 1, &json!({})).to_string(),
    )
    .await;
    assert_eq!(
        acknowledged(&mut events).await.reason,
        PubAckReason::Success
    );
    assert_eq!(telemetry_of(bootstrap, "five").await.len(), 1);
    send(
        "vehicles/five/telemetry",
        event("five", 2, &json!({ "speed": 5000 })).to_string(),
    )
    .await;
    let ack = acknowledged(&mut events).await;
    assert_eq!(ack.reason, PubAckReason::PayloadFormatInvalid);
    assert!(
        ack.properties
            .unwrap()
            .reason_string
            .unwrap()
            .contains("speed")
    );
    send("vehicles/other/telemetry", "{}".to_owned()).await;
    assert_eq!(
        acknowledged(&mut events).await.reason,
        PubAckReason::NotAuthorized
    );
}

async fn mqtt_limits(gateway: &Gateway) {
    let token = gateway.enrol("wide").await;
    let mut car = Vehicle::connect(gateway, "wide", &token).await.unwrap();
    let batch: Vec<Value> = (1..=500).map(|n| event("wide", n, &json!({}))).collect();
    car.publish(&json!(batch).to_string()).await;
    car.client
        .publish(
            "vehicles/wide/telemetry",
            QoS::AtLeastOnce,
            false,
            vec![b' '; 2 << 20],
        )
        .await
        .unwrap();
    car.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn notifications_come_until_acknowledged_through_kills() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let mut gateway = Gateway::start(&bootstrap, "quietSeconds: 0\n").await;
    let token = gateway.enrol("car").await;

    // Accepted once, while the vehicle is away.
    let (status, answer) = gateway.notify(&notification("n1", "car", 600)).await;
    assert_eq!(
        (status, &answer["duplicate"]),
        (StatusCode::ACCEPTED, &json!(false)),
        "{answer}"
    );
    let (status, answer) = gateway.notify(&notification("n1", "car", 600)).await;
    assert_eq!(
        (status, &answer["duplicate"]),
        (StatusCode::ACCEPTED, &json!(true)),
        "{answer}"
    );
    let (status, answer) = gateway.notify(&notification("old", "car", -1)).await;
    assert_eq!(
        (status, &answer["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("expires_at"))
    );
    gateway.notify(&notification("short", "car", 2)).await;
    let flow = gateway.flow("?vehicle=car").await;
    assert_eq!(
        (&flow["notifications"]["undelivered"], &flow["through"]),
        (&json!(2), &json!(false)),
        "{flow}"
    );
    assert_eq!(
        gateway.flow("?vehicle=other").await["notifications"]["undelivered"],
        0
    );
    tokio::time::sleep(Duration::from_millis(2100)).await;

    // Sent, and not acknowledged; again on the next connection; again after a kill; until acknowledged.
    let mut car = Vehicle::connect(&gateway, "car", &token).await.unwrap();
    car.nothing_more().await;
    car.subscribe().await;
    assert_eq!(car.next_notification().await.1["id"], "n1");
    car.nothing_more().await;
    let mut car = Vehicle::connect(&gateway, "car", &token).await.unwrap();
    car.subscribe().await;
    assert_eq!(car.next_notification().await.1["id"], "n1");
    gateway.kill();
    car.ends().await;
    gateway.start_again().await;
    assert_eq!(
        gateway.notify(&notification("n1", "car", 600)).await.1["duplicate"],
        true,
        "known after a kill"
    );
    let mut car = Vehicle::connect(&gateway, "car", &token).await.unwrap();
    car.subscribe().await;
    let (publish, value) = car.next_notification().await;
    assert_eq!(
        (&value["id"], &value["text"]),
        (&json!("n1"), &json!("Too hot."))
    );
    car.acknowledge(&publish).await;

    // To an open session at once, and in order.
    gateway.notify(&notification("n2", "car", 600)).await;
    gateway.notify(&notification("n3", "car", 600)).await;
    let (second, value) = car.next_notification().await;
    assert_eq!(value["id"], "n2");
    assert_eq!(car.next_notification().await.1["id"], "n3");
    car.acknowledge(&second).await;
    let flow = gateway.flow("").await;
    assert_eq!(
        (
            &flow["telemetry"]["pending"],
            &flow["notifications"]["undelivered"]
        ),
        (&json!(0), &json!(1))
    );

    // What was acknowledged stays acknowledged; the rest comes again.
    gateway.terminate().await;
    gateway.start_again().await;
    let mut car = Vehicle::connect(&gateway, "car", &token).await.unwrap();
    car.subscribe().await;
    let (third, value) = car.next_notification().await;
    assert_eq!(value["id"], "n3");
    car.acknowledge(&third).await;
    car.nothing_more().await;
    assert_eq!(gateway.flow("?vehicle=car").await["through"], true);
    assert!(
        gateway
            .metrics()
            .await
            .contains("millrace_gateway_event_to_delivery_seconds_count 1")
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn while_kafka_is_away_nothing_is_acknowledged() {
    let Some(mut kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let gateway = Gateway::start(&bootstrap, "kafkaTimeoutMs: 1000\nmaxInFlight: 50\n").await;
    let token = gateway.enrol("car").await;
    assert_eq!(
        gateway
            .post("car", &token, event("car", 1, &json!({})).to_string())
            .await
            .0,
        StatusCode::OK
    );

    kafka.stop();
    let post = |sequence: u64| {
        gateway
            .client
            .post(gateway.url("/v1/vehicles/car/telemetry"))
            .bearer_auth(&token)
            .body(event("car", sequence, &json!({})).to_string())
            .send()
    };
    let response = post(2).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    // While that many wait, no more are taken.
    let waiting: Vec<_> = (0..60).map(|n| post(100 + n)).collect();
    let statuses: Vec<StatusCode> = futures::future::join_all(waiting)
        .await
        .into_iter()
        .map(|r| r.unwrap().status())
        .collect();
    assert!(
        statuses.contains(&StatusCode::TOO_MANY_REQUESTS),
        "{statuses:?}"
    );
    assert!(
        statuses.contains(&StatusCode::SERVICE_UNAVAILABLE),
        "{statuses:?}"
    );
    // MQTT: no acknowledgement, the connection closes.
    let mut car = Vehicle::connect(&gateway, "car", &token).await.unwrap();
    car.client
        .publish(
            "vehicles/car/telemetry",
            QoS::AtLeastOnce,
            false,
            event("car", 3, &json!({})).to_string(),
        )
        .await
        .unwrap();
    car.ends().await;

    kafka.start_again().unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while post(2).await.unwrap().status() != StatusCode::OK {
        assert!(std::time::Instant::now() < end, "does not recover");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut car = Vehicle::connect(&gateway, "car", &token).await.unwrap();
    car.publish(&event("car", 3, &json!({})).to_string()).await;
    let stored: std::collections::BTreeSet<u64> = telemetry_of(&bootstrap, "car")
        .await
        .iter()
        .map(|t| t.sequence)
        .collect();
    assert!([1, 2, 3].iter().all(|n| stored.contains(n)), "{stored:?}");
}
