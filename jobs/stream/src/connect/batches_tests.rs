use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

use super::super::group::{GroupSettings, Member};
use super::*;

const TOPIC: &str = "telemetry";
const PARTITIONS: i32 = 3;
const EACH: i64 = 3000;
const SOON: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Assigned(Mutex<Vec<i32>>);

impl Assigned {
    fn get(&self) -> Vec<i32> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl GroupEvents for Assigned {
    fn assigned(&self, partitions: &[i32]) {
        *self.0.lock().unwrap() = partitions.to_vec();
    }

    fn revoked(&self, _: &Member<'_>, _: &[i32], _: bool) {}

    fn lag(&self, _: i32, _: i64) {}
}

type Headers<'a> = &'a [(&'a str, Option<&'a [u8]>)];

// None, some, one without a value, one twice, one that is long.
const HEADERS: [Headers<'static>; 4] = [
    &[],
    &[
        ("ce_id", Some(b"1")),
        ("ce_source", Some(b"/millrace/gateway")),
    ],
    &[("empty", Some(b"")), ("none", None), ("", Some(b"x"))],
    &[
        ("twice", Some(b"a")),
        ("twice", Some(b"b")),
        ("long", Some(&[7; 300])),
    ],
];

fn headers(n: i64) -> Headers<'static> {
    HEADERS[usize::try_from(n % 4).unwrap()]
}

fn to_send(all: Headers<'_>) -> Option<OwnedHeaders> {
    let put = |so_far: OwnedHeaders, (key, value): &(&str, Option<&[u8]>)| {
        so_far.insert(Header { key, value: *value })
    };
    (!all.is_empty()).then(|| all.iter().fold(OwnedHeaders::new(), put))
}

fn payload(n: i64) -> Option<String> {
    match n % 100 {
        98 => None,
        99 => Some(String::new()),
        _ => Some(format!("value {n}")),
    }
}

fn fill(servers: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("linger.ms", "20")
        .create()
        .unwrap();
    for n in 0..EACH {
        for partition in 0..PARTITIONS {
            let (key, payload) = (n.to_string(), payload(n));
            let mut record = BaseRecord::to(TOPIC)
                .key(&key)
                .partition(partition)
                .timestamp(n + 1);
            record.payload = payload.as_ref();
            record.headers = to_send(headers(n));
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(LIMIT).unwrap();
}

fn headers_of<'a>(record: &Fetched<'a>) -> Vec<(&'a str, Option<&'a [u8]>)> {
    let mut found = Vec::new();
    record.each_header(|key, value| {
        found.push((key, value));
        ControlFlow::Continue(())
    });
    found
}

// Reads until each of these partitions is at its end, or `stop` says so; the offsets follow on one another from where they are
// to begin.
fn read(
    batches: &mut Batches<'_, Assigned>,
    next: &mut BTreeMap<i32, i64>,
    stop: impl Fn(&BTreeMap<i32, i64>) -> bool,
) {
    let begun = Instant::now();
    while !stop(next) && next.values().any(|next| *next < EACH) {
        assert!(begun.elapsed() < LIMIT, "read to {next:?}");
        let mut batch = batches.poll(SOON).unwrap();
        assert!(batch.error().is_none() && batch.strayed.is_none());
        for record in batch.records() {
            let expected = next.get_mut(&record.partition()).unwrap();
            let n = *expected;
            assert_eq!(record.offset(), n, "of partition {}", record.partition());
            *expected += 1;
            assert_eq!(record.timestamp_ms(), Some(n + 1));
            assert_eq!(record.key(), Some(n.to_string().as_bytes()));
            let payload = payload(n);
            assert_eq!(record.payload(), payload.as_deref().map(str::as_bytes));
            let source = (n % 4 == 1).then_some("/millrace/gateway");
            assert_eq!(record.header("ce_source"), source);
        }
        for message in batch.messages.iter() {
            // SAFETY: it is a record, as there is no error, and is given back with the batch, after this.
            let record = unsafe { Fetched::new(NonNull::new(*message).unwrap()) };
            let n = record.offset();
            assert_eq!(headers_of(&record), headers(n), "of {n}");
        }
    }
}

#[test]
fn records_come_once_and_in_order_however_often_reading_is_started_anew() {
    let kafka: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
    kafka.create_topic(TOPIC, PARTITIONS, 1).unwrap();
    fill(&kafka.bootstrap_servers());
    let settings = GroupSettings {
        access: kafka.bootstrap_servers().as_str().into(),
        client_id: "test".to_owned(),
        group: "test".to_owned(),
        topic: TOPIC.to_owned(),
        session_timeout: Duration::from_secs(10),
        hold: true,
        since: None,
        tell_end: false,
    };
    let consumer = GroupConsumer::join(&settings, Assigned::default()).unwrap();
    let mut batches = consumer.batches().unwrap();
    let begun = Instant::now();
    while consumer.events().get().len() < 3 {
        assert!(begun.elapsed() < LIMIT, "no partitions are assigned");
        assert_eq!(batches.poll(SOON).unwrap().records().count(), 0);
    }
    let everywhere = |at: i64| (0..PARTITIONS).map(|partition| (partition, at)).collect();
    let start = |batches: &mut Batches<'_, Assigned>, at: &BTreeMap<i32, i64>| {
        let positions: Vec<_> = at.iter().map(|(p, at)| (*p, Some(*at))).collect();
        batches.start(&positions).unwrap();
    };
    let mut next: BTreeMap<i32, i64> = everywhere(0);
    start(&mut batches, &next);
    read(&mut batches, &mut next, |next| {
        next.values().sum::<i64>() > 2000
    });

    // With a queue that is full of records that are not wanted any more.
    for at in [1500, 10, 2000] {
        next = BTreeMap::from([(0, at), (2, 1)]);
        start(&mut batches, &next);
        read(&mut batches, &mut next, |next| next[&0] > at + 300);
    }
    // What was fetched is thrown away, and fetched again.
    consumer.pause(true).unwrap();
    for _ in 0..3 {
        assert_eq!(batches.poll(SOON).unwrap().records().count(), 0);
    }
    consumer.pause(false).unwrap();
    read(&mut batches, &mut next, |_| false);

    batches.start(&[]).unwrap();
    next = everywhere(0);
    start(&mut batches, &next);
    read(&mut batches, &mut next, |_| false);
    assert_eq!(next, everywhere(EACH));
    drop(batches);
    drop(consumer);
}
