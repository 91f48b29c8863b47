//! Records for a Druid, in the contract's own codec.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use jiff::Timestamp;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use millrace_contract::Telemetry;
use millrace_operator::ingestion::{Keep, Source, Wanted};
use millrace_operator::remote::druid::DruidClient;
use millrace_operator::remote::ingestion::{
    IngestionChange, IngestionError, RemoteIngestion, WantedIngestion,
};
use millrace_operator::remote::kafka::{
    Connection, Credentials, KafkaAdmin, NewTopic, ResponseError, Timeouts, TopicView,
};
use millrace_operator::remote::pipeline::{Outcome, converge};
use millrace_testkit::Druid;

/// 2026-01-05T08:00:00Z
pub const BEGIN: i64 = 1_767_600_000;

const LIMIT: Duration = Duration::from_secs(180);

pub fn limits() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(3),
        request: Duration::from_secs(10),
        call: Duration::from_secs(40),
    }
}

/// A topic of one partition.
pub struct Topic<'a> {
    pub bootstrap: &'a str,
    pub admin: &'a KafkaAdmin,
    pub name: &'static str,
}

impl Topic<'_> {
    pub async fn create(&self) {
        let topic = NewTopic {
            name: self.name.to_owned(),
            partitions: 1,
            replication_factor: 1,
            config: BTreeMap::new(),
        };
        self.admin.create_topic(&topic).await.unwrap();
    }

    /// Stores them, and gives the offset of the first.
    pub async fn send(&self, values: impl Iterator<Item = Vec<u8>>) -> i64 {
        let topic = self.admin.topic(self.name).await.unwrap().unwrap();
        let mut connection = Connection::open(self.bootstrap, &Credentials::default(), &limits())
            .await
            .unwrap();
        store(&mut connection, &topic, values).await
    }
}

/// Stores records in the first partition of a topic, as soon as somebody leads it, and gives the offset of the first.
pub async fn store(
    connection: &mut Connection,
    topic: &TopicView,
    values: impl Iterator<Item = Vec<u8>>,
) -> i64 {
    let record = |value: Vec<u8>| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp: Timestamp::now().as_millisecond(),
        key: None,
        value: Some(value.into()),
        headers: Default::default(),
    };
    let mut records: Vec<Record> = values.map(record).collect();
    // Records make one batch while both count up by one.
    for (n, record) in (0..).zip(&mut records) {
        (record.offset, record.sequence) = (i64::from(n), NO_SEQUENCE + n);
    }
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut batch = BytesMut::new();
    RecordBatchEncoder::encode(&mut batch, &records, &options).unwrap();
    let batch = batch.freeze();
    let end = Instant::now() + LIMIT;
    loop {
        let build = |version: i16| {
            let partition = PartitionProduceData::default().with_records(Some(batch.clone()));
            let data = TopicProduceData::default().with_partition_data(vec![partition]);
            let data = if version >= 13 {
                data.with_topic_id(topic.id)
            } else {
                let name = StrBytes::from_string(topic.name.clone());
                data.with_name(TopicName(name))
            };
            ProduceRequest::default()
                .with_acks(-1)
                .with_timeout_ms(10_000)
                .with_topic_data(vec![data])
        };
        let answer = connection
            .ask(build, "store records", Duration::from_secs(10))
            .await
            .unwrap();
        let stored = &answer.responses[0].partition_responses[0];
        match ResponseError::try_from_code(stored.error_code) {
            None => return stored.base_offset,
            Some(ResponseError::NotLeaderOrFollower) if Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Some(error) => panic!("{error:?}"),
        }
    }
}

/// Asks until an answer is there that holds.
pub async fn until<T, F: Future<Output = Option<T>>>(
    druid: &Druid,
    what: &str,
    look: impl Fn() -> F,
) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}\n{}", druid.tails());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Asks until answers count so many events in a data source.
pub async fn counted(druid: &Druid, client: &DruidClient, source: &str, events: usize) {
    let query = format!("SELECT SUM(events) AS n FROM {source}");
    let what = format!("{events} events in {source}");
    until(druid, &what, || async {
        // Until the first task has told of it there is no such table.
        let rows = client.sql(&query).await.unwrap_or_default();
        let n = rows.first()?.get("n")?.as_u64()?;
        (n == u64::try_from(events).unwrap()).then_some(())
    })
    .await;
}

/// Three vehicles for some minutes; not each event has each number, and times are of whole microseconds.
pub fn event(n: usize) -> Telemetry {
    let at = BEGIN * 1_000_000 + i64::try_from(n).unwrap() * 1_300_007;
    Telemetry {
        vehicle: format!("car-{}", n % 3),
        sequence: u64::try_from(n).unwrap(),
        time: Timestamp::from_microsecond(at).unwrap(),
        hire: Some("a1b2".into()),
        model: (n % 3 != 2).then(|| "Polo".into()),
        speed: (!n.is_multiple_of(4)).then_some((n % 130) as f64 + 0.25),
        coolant_temperature: Some(88.5 + (n % 7) as f64),
        mil_on: (!n.is_multiple_of(5)).then_some(n % 10 == 1),
        dtc_list: if n % 10 == 1 {
            Some(vec!["P0300".into(), "P0217".into()])
        } else {
            None
        },
        latitude: Some(52.5),
        longitude: Some(13.4),
        ..Telemetry::default()
    }
}

pub fn wanted(source: Source, name: &str, bootstrap: &str) -> Wanted {
    Wanted {
        data_source: name.to_owned(),
        source,
        topic: name.to_owned(),
        consumer: BTreeMap::from([("bootstrap.servers".into(), bootstrap.to_owned())]),
        credentials: None,
        signals: Vec::new(),
        quantiles: match source {
            Source::Telemetry => vec!["speed".into()],
            Source::Alert | Source::Audit => Vec::new(),
        },
        query_granularity: "MINUTE",
        segment_granularity: "DAY",
        tasks: 1,
        replicas: 1,
        task_duration: Duration::from_secs(3600),
        keep: Keep {
            retention: Some(Duration::from_secs(3650 * 86_400)),
            compact_after: Some(Duration::from_secs(86_400)),
            copies: 1,
        },
        suspended: false,
    }
}

pub async fn bring_about(
    client: &DruidClient,
    wanted: &Wanted,
) -> Result<Vec<IngestionChange>, IngestionError> {
    let wanted = WantedIngestion::of(wanted).unwrap();
    let remote = RemoteIngestion {
        client,
        wanted: &wanted,
    };
    let outcome: Outcome<_> = converge(&remote).await?;
    assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
    Ok(outcome.made)
}
