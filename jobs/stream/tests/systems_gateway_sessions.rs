//! One session per vehicle, with two replicas of the gateway, and how many notices are on the way in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use futures::future::join_all;
use millrace_testkit::Kafka;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::five::Five;
use support::{Gateway, Vehicle, create_topics, event, notification};

const QUIET: Duration = Duration::from_secs(4);
const CONFIG: &str = "quietSeconds: 4\n";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn one_session_over_all_replicas() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let here = Gateway::start(&bootstrap, CONFIG).await;
    let there = Gateway::start(&bootstrap, CONFIG).await;
    let token = here.enrol("car").await;
    // Let the other replica read it.
    tokio::time::sleep(Duration::from_millis(500)).await;

    newer_closes_older(&here, &there, &token).await;
    of_many_at_once_one_stays(&here, &there, &token).await;
    the_quiet_moves_along(&here, &there).await;
}

async fn newer_closes_older(here: &Gateway, there: &Gateway, token: &str) {
    let mut first = Five::connect(here, "car", token).await;
    let mut second = Five::connect(there, "car", token).await;
    let since = Instant::now();
    let said = first.ends().await;
    assert!(said.contains("SessionTakenOver"), "{said}");
    assert!(since.elapsed() < Duration::from_secs(3));
    second.stays(Duration::from_secs(1)).await;
    // And back again, also in the older version.
    let mut third = Vehicle::connect(here, "car", token).await.unwrap();
    let said = second.ends().await;
    assert!(said.contains("SessionTakenOver"), "{said}");
    third
        .publish(&event("car", 1, &json!({})).to_string())
        .await;
    let mut fourth = Five::connect(there, "car", token).await;
    third.ends().await;
    fourth.stays(Duration::from_secs(1)).await;
    assert_eq!(sessions(here).await + sessions(there).await, 1);
    let metrics = here.metrics().await;
    assert!(
        metrics.contains("millrace_gateway_sessions_taken_over_total 2"),
        "{metrics}"
    );
}

async fn of_many_at_once_one_stays(here: &Gateway, there: &Gateway, token: &str) {
    let many = (0..8).map(|n| {
        let gateway = if n % 2 == 0 { here } else { there };
        Vehicle::connect(gateway, "car", token)
    });
    let mut many = join_all(many).await;
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let open = sessions(here).await + sessions(there).await;
        // Connections are served as long as they are polled.
        let polls = many
            .iter_mut()
            .flatten()
            .map(|vehicle| tokio::time::timeout(Duration::from_millis(50), vehicle.events.poll()));
        join_all(polls).await;
        if open == 1 {
            break;
        }
        assert!(Instant::now() < end, "{open} are open");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sessions(here).await + sessions(there).await, 1);
}

async fn sessions(gateway: &Gateway) -> u32 {
    let metrics = gateway.metrics().await;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("millrace_gateway_sessions "));
    line.unwrap().parse().unwrap()
}

fn changed(id: &str, vehicle: &str, changes: &Value) -> Value {
    let mut notification = notification(id, vehicle, 600);
    for (name, value) in changes.as_object().unwrap() {
        notification[name] = value.clone();
    }
    notification
}

async fn notify(gateway: &Gateway, notification: &Value) {
    let (status, answer) = gateway.notify(notification).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
}

async fn the_quiet_moves_along(here: &Gateway, there: &Gateway) {
    let token = here.enrol("mover").await;
    notify(here, &changed("w", "mover", &json!({}))).await;
    let mut first = Vehicle::connect(here, "mover", &token).await.unwrap();
    first.subscribe().await;
    let (_, value) = first.next_notification().await;
    let told = Instant::now();
    assert_eq!(value["id"], "w");
    notify(
        here,
        &changed("c", "mover", &json!({ "severity": "critical" })),
    )
    .await;
    // Let the other replica read all of it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Not acknowledged, and not the first in line any more: the other replica must know that it was spoken.
    let mut second = Vehicle::connect(there, "mover", &token).await.unwrap();
    second.subscribe().await;
    let (publish, value) = second.next_notification().await;
    let waited = told.elapsed();
    assert_eq!(value["id"], "c");
    assert!(
        waited > QUIET - Duration::from_millis(300) && waited < QUIET + Duration::from_secs(2),
        "{waited:?}"
    );
    second.acknowledge(&publish).await;
    let (publish, value) = second.next_notification().await;
    assert_eq!(value["id"], "w");
    second.acknowledge(&publish).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn no_more_notices_on_the_way_than_the_vehicle_receives() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let gateway = Gateway::start(&bootstrap, CONFIG).await;
    for most in [1_u16, 2] {
        let vehicle = format!("car-{most}");
        let token = gateway.enrol(&vehicle).await;
        for n in 0..5 {
            let id = format!("{vehicle}-{n}");
            notify(&gateway, &changed(&id, &vehicle, &json!({ "ssml": "" }))).await;
        }
        let mut car = Five::connect_with(&gateway, &vehicle, &token, Some(most)).await;
        car.subscribe().await;
        let mut received = Vec::new();
        let mut on_the_way = car.notices(Duration::from_millis(700)).await;
        while !on_the_way.is_empty() {
            assert!(on_the_way.len() <= usize::from(most), "{on_the_way:?}");
            let first = on_the_way.remove(0);
            car.client.ack(&first).await.unwrap();
            let value: Value = serde_json::from_slice(&first.payload).unwrap();
            received.push(value["id"].as_str().unwrap().to_owned());
            on_the_way.extend(car.notices(Duration::from_millis(500)).await);
        }
        let all: Vec<String> = (0..5).map(|n| format!("{vehicle}-{n}")).collect();
        assert_eq!(received, all, "each once, in order");
    }

    // Who acknowledges nothing is heard all the same, and can be closed.
    let token = gateway.enrol("silent").await;
    for n in 0..3 {
        let id = format!("silent-{n}");
        notify(&gateway, &changed(&id, "silent", &json!({ "ssml": "" }))).await;
    }
    let mut silent = Five::connect_with(&gateway, "silent", &token, Some(1)).await;
    silent.subscribe().await;
    assert_eq!(silent.notices(Duration::from_millis(500)).await.len(), 1);
    let _newer = Five::connect(&gateway, "silent", &token).await;
    let said = silent.ends().await;
    assert!(said.contains("SessionTakenOver"), "{said}");
}
