//! Erasing a driver with several gateways: whoever is erased at one of them is forgotten by all, and known again where they drive
//! on; and whether what lay in the topics was taken in is told by the groups that read them.
// Helpers outside of test functions count as production code for clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use millrace_contract::topics;
use millrace_testkit::Kafka;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{ADMIN, DRIVERS, Gateway, create_topics, event};

const LIMIT: Duration = Duration::from_secs(60);
const DRIVER: &str = "D-Ann";

async fn ask(gateway: &Gateway, what: &str, body: &Value) -> Value {
    let path = format!("/v1/erasures/{what}");
    let (status, answer) = gateway.post_to(&path, ADMIN, body.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{what}: {answer}");
    answer
}

async fn look_up(gateway: &Gateway) -> Value {
    let found = ask(gateway, "look-up", &json!({"driver": DRIVER})).await;
    found["hires"].clone()
}

async fn begin(gateway: &Gateway) -> Value {
    ask(gateway, "begin", &json!({"driver": DRIVER})).await
}

/// The hires that are left.
async fn finish(gateway: &Gateway, begun: &Value) -> Value {
    let body = json!({"driver": DRIVER, "hires": begun["hires"]});
    ask(gateway, "finish", &body).await["left"].clone()
}

/// Drives without an id of the hire: always the same pseudonym.
async fn drive(gateway: &Gateway, token: &str, sequence: u64) {
    let body = event("car-1", sequence, &json!({"driver": DRIVER})).to_string();
    let until = Instant::now() + LIMIT;
    loop {
        let (status, answer) = gateway.post("car-1", token, body.clone()).await;
        if status == StatusCode::OK {
            return;
        }
        // A replica that has not read yet who is enrolled.
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
        assert!(Instant::now() < until, "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka"]
async fn whoever_drives_on_is_known_again_whichever_gateway_hears_of_it() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let first = Gateway::start(&bootstrap, "").await;
    let second = Gateway::start(&bootstrap, "").await;
    let token = first.enrol("car-1").await;
    drive(&first, &token, 1).await;
    drive(&second, &token, 2).await;
    let hires = look_up(&first).await;
    assert_eq!(hires.as_array().unwrap().len(), 1);

    // Events of after the beginning may not be among what is erased: the mapping stays.
    let begun = begin(&first).await;
    drive(&second, &token, 3).await;
    assert_eq!(finish(&first, &begun).await, hires);
    assert_eq!(look_up(&first).await, hires);

    let begun = begin(&first).await;
    assert_eq!(finish(&first, &begun).await, json!([]));
    assert_eq!(look_up(&second).await, json!([]));
    for (sequence, gateway) in [(4, &second), (5, &first)] {
        drive(gateway, &token, sequence).await;
        assert_eq!(look_up(&first).await, hires, "{sequence}");
    }
    // One that starts after all that knows nothing of it, and goes on from there.
    let third = Gateway::start(&bootstrap, "").await;
    drive(&third, &token, 6).await;
    let begun = begin(&third).await;
    assert_eq!(finish(&third, &begun).await, json!([]));
    drive(&second, &token, 7).await;
    assert_eq!(look_up(&third).await, hires);
}

/// A group has read so far.
fn commit(bootstrap: &str, group: &str, topic: &str, ends: &Value) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for (partition, end) in ends.as_object().unwrap() {
        let offset = Offset::Offset(end.as_i64().unwrap());
        list.add_partition_offset(topic, partition.parse().unwrap(), offset)
            .unwrap();
    }
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka"]
async fn groups_are_waited_for_up_to_where_topics_ended() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let gateway = Gateway::start(&bootstrap, "").await;
    let token = gateway.enrol("car-1").await;
    drive(&gateway, &token, 1).await;
    let readers = json!([
        {"group": "archive", "topic": topics::TELEMETRY}, {"group": "archive-alerts", "topic": topics::ALERTS},
    ]);
    let ask_from = async |ends: &Value| {
        let body = json!({"readers": readers, "ends": ends});
        ask(&gateway, "pending", &body).await
    };
    let asked = ask_from(&json!({})).await;
    let waits = asked["pending"].as_array().unwrap();
    // Of the other topic there is nothing to be read.
    assert_eq!(waits.len(), 1, "{asked}");
    assert_eq!(
        (&waits[0]["group"], &waits[0]["offsets"]),
        (&json!("archive"), &json!(1))
    );
    let ends = &asked["ends"];
    commit(&bootstrap, "archive", topics::TELEMETRY, &ends["telemetry"]);
    drive(&gateway, &token, 2).await;
    let again = ask_from(ends).await;
    assert_eq!((&again["pending"], &again["ends"]), (&json!([]), ends));
    let anew = ask_from(&json!({})).await;
    assert_eq!(anew["pending"].as_array().unwrap().len(), 1, "{anew}");

    let path = "/v1/erasures/pending";
    let body = json!({"readers": readers}).to_string();
    let (status, _) = gateway.post_to(path, DRIVERS, body).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let nameless = json!({"readers": [{"group": "", "topic": "telemetry"}]}).to_string();
    let (status, answer) = gateway.post_to(path, ADMIN, nameless).await;
    assert_eq!(
        (status, &answer["error"]["field"]),
        (StatusCode::BAD_REQUEST, &json!("readers[0].group"))
    );
}
