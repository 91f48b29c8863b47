//! The flow against a real Kafka: what waits, and how far a canary comes. The gateway and the groups are played.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::BytesMut;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use millrace_operator::flow::{GatewayAt, Looker, Seen, Token, Wanted, Watched, told};
use millrace_operator::platform::crd::StageName;
use millrace_operator::remote::kafka::{
    Access, Connection, Credentials, KafkaAdmin, NewTopic, Timeouts,
};
use millrace_testkit::Kafka;
use serde_json::{Value, json};
use tokio::net::TcpListener;

fn limits() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(3),
        request: Duration::from_secs(10),
        call: Duration::from_secs(40),
    }
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// Writes one record to partition 0, made at `timestamp`, and gives its offset.
async fn produce(bootstrap: &str, admin: &KafkaAdmin, topic: &str, timestamp: i64) -> i64 {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp,
        key: None,
        value: Some("{}".into()),
        headers: Default::default(),
    };
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut batch = BytesMut::new();
    RecordBatchEncoder::encode(&mut batch, [&record], &options).unwrap();
    let batch = batch.freeze();
    let id = admin.topic(topic).await.unwrap().unwrap().id;
    let mut connection = Connection::open(bootstrap, &Credentials::default(), &limits())
        .await
        .unwrap();
    let build = |version: i16| {
        let partition = PartitionProduceData::default().with_records(Some(batch.clone()));
        let data = TopicProduceData::default().with_partition_data(vec![partition]);
        let data = if version >= 13 {
            data.with_topic_id(id)
        } else {
            data.with_name(name(topic))
        };
        ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![data])
    };
    let answer = connection
        .ask(build, "store a record", Duration::from_secs(10))
        .await
        .unwrap();
    let partition = &answer.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, 0);
    partition.base_offset
}

/// Commits a group's position in partition 0 of a topic.
async fn commit(bootstrap: &str, admin: &KafkaAdmin, group: &str, topic: &str, next: i64) {
    let id = admin.topic(topic).await.unwrap().unwrap().id;
    let mut connection = Connection::open(bootstrap, &Credentials::default(), &limits())
        .await
        .unwrap();
    let build = |version: i16| {
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(next)
            .with_committed_leader_epoch(-1);
        let topics = OffsetCommitRequestTopic::default().with_partitions(vec![partition]);
        let topics = if version >= 10 {
            topics.with_topic_id(id)
        } else {
            topics.with_name(name(topic))
        };
        OffsetCommitRequest::default()
            .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topics])
    };
    let answer = connection
        .ask(build, "commit", Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

/// Makes topics with one partition each, and waits until brokers know them, which is a moment after the controller has made
/// them.
async fn create(admin: &KafkaAdmin, topics: &[&str]) {
    for topic in topics {
        let new = NewTopic {
            name: (*topic).to_owned(),
            partitions: 1,
            replication_factor: 1,
            config: BTreeMap::new(),
        };
        admin.create_topic(&new).await.unwrap();
    }
    let made = Instant::now();
    for topic in topics {
        while let Err(error) = admin.waiting(topic, &BTreeMap::from([(0, 0)])).await {
            let is_early = error.is_unknown_topic() && made.elapsed() < Duration::from_secs(30);
            assert!(is_early, "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

struct Played {
    bootstrap: String,
    kafka: Arc<KafkaAdmin>,
}

async fn canary(State(played): State<Arc<Played>>) -> Json<Value> {
    let now = jiff::Timestamp::now().as_millisecond();
    let offset = produce(&played.bootstrap, &played.kafka, "telemetry", now).await;
    Json(json!({"partition": 0, "offset": offset}))
}

/// A gateway that stores canaries and has nothing undelivered; gives its address.
async fn gateway(played: Arc<Played>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new()
        .route("/v1/canary", post(canary))
        .route(
            "/v1/flow",
            get(|| async { Json(json!({"notifications": {"undelivered": 3}})) }),
        )
        .with_state(played);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}

fn stage(stage: StageName, topic: &str, group: Option<&str>) -> Watched {
    Watched {
        stage,
        topic: topic.into(),
        group: group.map(Into::into),
        leads_to_vehicles: stage != StageName::Notified,
        usual: Duration::ZERO,
    }
}

fn passed(seen: &Seen) -> Vec<bool> {
    seen.stages
        .iter()
        .map(|stage| stage.canary.is_some())
        .collect()
}

/// Records that are an hour apart wait for the archive, which comes to one after the other.
async fn the_oldest_that_is_not_archived_is_told(bootstrap: &str, admin: &Arc<KafkaAdmin>) {
    let topic = "archived";
    create(admin, &[topic]).await;
    let hour = 3_600_000;
    let first = jiff::Timestamp::now().as_millisecond() - 10 * hour;
    for n in 0..3 {
        produce(bootstrap, admin, topic, first + n * hour).await;
    }
    let wanted = Wanted {
        kafka: Arc::clone(admin),
        stages: vec![Watched {
            leads_to_vehicles: false,
            usual: Duration::from_secs(300),
            ..stage(StageName::Archived, topic, Some("archive"))
        }],
        gateway: None,
        druid: None,
        canary_every: None,
        stuck_after: Duration::ZERO,
    };
    let mut looker = Looker::new().unwrap();
    for next in 0..=3 {
        if next > 0 {
            commit(bootstrap, admin, "archive", topic, next).await;
        }
        let seen = looker.look(&wanted).await;
        let archived = told(None, &seen, None).stages.remove(0);
        // Told to the second, and as old as the look took.
        let waits = archived.oldest_waiting.as_ref().map(|time| {
            let time: jiff::Timestamp = time.parse().unwrap();
            (time.as_millisecond() - first + hour / 2).div_euclid(hour)
        });
        assert_eq!(waits, (next < 3).then_some(next), "{archived:?}");
        assert_eq!(seen.stages[0].lag, Some(3 - next), "{archived:?}");
    }
}

#[tokio::test]
#[ignore = "systems tier"]
async fn what_waits_and_how_far_a_canary_comes() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    let admin = Arc::new(KafkaAdmin::connect(&Access::plain(&bootstrap), limits()).unwrap());
    create(&admin, &["telemetry", "alerts", "notifications"]).await;
    let from = |next: i64| BTreeMap::from([(0, next)]);
    assert!(admin.waiting("alerts", &from(0)).await.unwrap().is_empty());
    let old = jiff::Timestamp::now().as_millisecond() - 60_000;
    for offset in 0..3 {
        assert_eq!(
            produce(&bootstrap, &admin, "alerts", old + offset).await,
            offset
        );
    }
    let waits = admin.waiting("alerts", &from(1)).await.unwrap();
    assert_eq!((waits[&0].offset, waits[&0].timestamp), (1, old + 1));
    assert!(admin.waiting("alerts", &from(3)).await.unwrap().is_empty());
    let unread = admin.waiting("alerts", &BTreeMap::new()).await.unwrap();
    assert_eq!(unread[&0].offset, 0, "from the start without a position");

    let played = Arc::new(Played {
        bootstrap: bootstrap.clone(),
        kafka: Arc::clone(&admin),
    });
    let wanted = Wanted {
        kafka: Arc::clone(&admin),
        stages: vec![
            stage(StageName::Produced, "telemetry", None),
            stage(StageName::Detected, "telemetry", Some("detect")),
            stage(StageName::Told, "alerts", Some("dispatch")),
            stage(StageName::Notified, "notifications", None),
        ],
        gateway: Some(GatewayAt {
            url: gateway(played).await,
            token: Token("t".into()),
            admin_token: None,
        }),
        druid: None,
        canary_every: Some(Duration::from_secs(3600)),
        stuck_after: Duration::ZERO,
    };
    let mut looker = Looker::new().unwrap();
    let seen = looker.look(&wanted).await;
    assert_eq!(passed(&seen), [true, false, false, false]);
    assert_eq!(
        seen.canary.as_ref().unwrap().stuck_at,
        Some(StageName::Detected)
    );
    assert_eq!((seen.stages[1].end, seen.stages[1].lag), (Some(1), Some(1)));
    assert_eq!((seen.stages[2].end, seen.stages[2].lag), (Some(3), Some(3)));
    assert!(seen.stages[2].lag_time.unwrap() >= Duration::from_secs(60));
    assert_eq!(seen.stages[3].lag, Some(3), "what vehicles have not heard");

    commit(&bootstrap, &admin, "detect", "telemetry", 1).await;
    let seen = looker.look(&wanted).await;
    assert_eq!(passed(&seen), [true, true, false, false]);
    assert_eq!(seen.stages[1].lag, Some(0));
    // An alert that came after detection had passed the canary is not waited for.
    produce(&bootstrap, &admin, "alerts", old).await;
    commit(&bootstrap, &admin, "dispatch", "alerts", 3).await;
    let seen = looker.look(&wanted).await;
    assert_eq!(passed(&seen), [true; 4]);
    assert_eq!(seen.canary.unwrap().stuck_at, None);
    assert_eq!(seen.stages[2].lag, Some(1));
    assert_eq!(looker.flies_since(), None);
    the_oldest_that_is_not_archived_is_told(&bootstrap, &admin).await;
}
