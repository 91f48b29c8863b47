//! The way back to the vehicle: quiet between spoken notices, partitions that are added, and the flow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use millrace_contract::topics;
use millrace_stream::connect::Producer;
use millrace_testkit::Kafka;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Gateway, Vehicle, all, create_topics, event, notification};

const QUIET: Duration = Duration::from_secs(4);

fn changed(id: &str, changes: &Value) -> Value {
    let mut notification = notification(id, "car", 600);
    for (name, value) in changes.as_object().unwrap() {
        notification[name] = value.clone();
    }
    notification
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn quiet_between_spoken_notices() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let mut gateway = Gateway::start(&bootstrap, "quietSeconds: 4\n").await;
    let token = gateway.enrol("car").await;
    for notification in [
        changed("w1", &json!({})),
        changed("w2", &json!({})),
        changed("w3", &json!({})),
        changed("c", &json!({ "severity": "critical" })),
        changed("i", &json!({ "severity": "info", "ssml": "" })),
    ] {
        let (status, answer) = gateway.notify(&notification).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }

    // At once: what is not spoken, and the critical one.
    let mut car = Vehicle::connect(&gateway, "car", &token).await.unwrap();
    car.subscribe().await;
    let (first, second) = (car.next_notification().await, car.next_notification().await);
    assert_eq!(
        (&first.1["id"], &second.1["id"]),
        (&json!("i"), &json!("c"))
    );
    for (publish, _) in [&first, &second] {
        car.acknowledge(publish).await;
    }
    let told = Instant::now();
    car.nothing_more().await;
    // Then the oldest, after the quiet.
    let (publish, value) = car.next_notification().await;
    assert_eq!(value["id"], "w1");
    let waited = told.elapsed();
    assert!(
        waited > QUIET - Duration::from_millis(300) && waited < QUIET + Duration::from_secs(2),
        "{waited:?}"
    );
    car.acknowledge(&publish).await;
    let told = Instant::now();
    // Let the acknowledgement arrive.
    car.nothing_more().await;

    // Over a restart the quiet goes on, and nothing is lost or told twice.
    gateway.terminate().await;
    gateway.start_again().await;
    let mut car = Vehicle::connect(&gateway, "car", &token).await.unwrap();
    car.subscribe().await;
    let (_, value) = car.next_notification().await;
    assert_eq!(value["id"], "w2");
    assert!(
        told.elapsed() > QUIET - Duration::from_millis(300),
        "{:?}",
        told.elapsed()
    );
    // Not acknowledged: in a new session the same one comes again at once, the last one in its turn.
    let mut car = Vehicle::connect(&gateway, "car", &token).await.unwrap();
    let told = Instant::now();
    car.subscribe().await;
    let (publish, value) = car.next_notification().await;
    assert_eq!(value["id"], "w2");
    assert!(told.elapsed() < Duration::from_secs(2));
    car.acknowledge(&publish).await;
    let (publish, value) = car.next_notification().await;
    assert_eq!(value["id"], "w3");
    assert!(told.elapsed() > QUIET - Duration::from_millis(300));
    car.acknowledge(&publish).await;
    car.nothing_more().await;
    assert_eq!(
        gateway.flow("?vehicle=car").await["notifications"]["undelivered"],
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn partitions_that_are_added_are_followed() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let gateway = Gateway::start(&bootstrap, "quietSeconds: 0\n").await;
    let token = gateway.enrol("car").await;
    gateway.notify(&notification("old", "car", 600)).await;
    let mut car = Vehicle::connect(&gateway, "car", &token).await.unwrap();
    car.subscribe().await;
    let (publish, value) = car.next_notification().await;
    assert_eq!(value["id"], "old");
    car.acknowledge(&publish).await;

    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .create()
        .unwrap();
    let more = [topics::NOTIFICATIONS, topics::VEHICLE_CREDENTIALS]
        .map(|topic| NewPartitions::new(topic, 5));
    for result in admin
        .create_partitions(&more, &AdminOptions::new())
        .await
        .unwrap()
    {
        result.unwrap();
    }
    let producer = Producer::new(&bootstrap, "test").unwrap();
    let payload = serde_json::to_vec(&notification("new", "car", 600)).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let sent = producer
            .send(topics::NOTIFICATIONS, "car", &[], &payload, Some(4))
            .await;
        match sent {
            Ok(_) => break,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (publish, value) = car.next_notification().await;
    assert_eq!(value["id"], "new");
    car.acknowledge(&publish).await;
    // What was there before was not read as new: the vehicle is still in, and told nothing twice.
    car.nothing_more().await;
    assert!(gateway.log_text().contains("partitions were added"));
    let (status, _) = gateway
        .post("car", &token, event("car", 1, &json!({})).to_string())
        .await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn the_flow_of_some_vehicles_waits_for_no_others() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let gateway = Gateway::start(&bootstrap, "dispatchGroups: [one, two]\n").await;
    let mut tokens = Vec::new();
    let ids: Vec<String> = (0..8).map(|n| format!("car-{n}")).collect();
    for id in &ids {
        let token = gateway.enrol(id).await;
        let body = event(id, 1, &json!({})).to_string();
        assert_eq!(gateway.post(id, &token, body).await.0, StatusCode::OK);
        tokens.push(token);
    }
    let records = all(&bootstrap, topics::TELEMETRY).await;
    let place = |id: &str| {
        let of = records.iter().filter(|r| r.key_text() == Some(id));
        of.map(|r| r.partition).next().unwrap()
    };
    let (mine, partition) = (&ids[0], place(&ids[0]));
    let other = ids.iter().find(|id| place(id) != partition).unwrap();
    let end = records
        .iter()
        .filter(|r| r.partition == partition)
        .map(|r| r.offset + 1)
        .max()
        .unwrap();
    let commit = |group: &str, topic: &str, offset: i64| {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &bootstrap)
            .set("group.id", group)
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        consumer.commit(&list, CommitMode::Sync).unwrap();
    };

    let flow = gateway.flow(&format!("?vehicle={mine}")).await;
    assert!(flow["telemetry"]["pending"].as_i64().unwrap() > 0, "{flow}");
    let mark = flow["mark"].as_str().unwrap().to_owned();
    commit("detect", topics::TELEMETRY, end);
    let flow = gateway.flow(&format!("?vehicle={mine}")).await;
    assert_eq!(flow["through"], true, "{flow}");
    assert_eq!(flow["telemetry"]["detected"], end, "{flow}");
    let flow = gateway.flow(&format!("?vehicle={other}")).await;
    assert_eq!(flow["through"], false, "{flow}");
    assert_eq!(
        gateway.flow("").await["through"],
        false,
        "all are asked for"
    );

    // What comes later is not waited for by who gives the mark back.
    let body = event(mine, 2, &json!({})).to_string();
    gateway.post(mine, &tokens[0], body).await;
    let flow = gateway.flow(&format!("?vehicle={mine}")).await;
    assert_eq!(flow["telemetry"]["pending"], 1, "{flow}");
    let flow = gateway.flow(&format!("?vehicle={mine}&mark={mark}")).await;
    assert_eq!(flow["through"], true, "{flow}");

    // Each of several groups must have come to the end of the alerts.
    let producer = Producer::new(&bootstrap, "test").unwrap();
    producer
        .send(topics::ALERTS, mine, &[], b"{}", None)
        .await
        .unwrap();
    let (_, offset) = producer
        .send(topics::ALERTS, mine, &[], b"{}", None)
        .await
        .unwrap();
    let asked = format!("?vehicle={mine}&mark={mark}");
    for (group, pending) in [("", 2), ("one", 2), ("two", 0)] {
        if !group.is_empty() {
            commit(group, topics::ALERTS, offset + 1);
        }
        let flow = gateway.flow(&asked).await;
        assert_eq!(flow["alerts"]["pending"], pending, "{group}: {flow}");
        assert_eq!(flow["through"], pending == 0, "{group}: {flow}");
    }
}
