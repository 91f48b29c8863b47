//! Live aggregates by model and minute: a Druid as the profile `dev` has it takes a topic in, beside `detect` over the same topic,
//! on this machine and one after the other. Only the ratios say something: detect keeps windows of each vehicle and its alerts,
//! Druid columns that can be asked for.
//!
//! `cargo run --release -p millrace-operator --example bench_druid -- [EVENTS] [VEHICLES]`
//!
//! EVENTS (1,000,000) of VEHICLES (500) in one partition, so that each side has one reader. `detect` is the program
//! `millrace-stream` beside this one, or that of `$MILLRACE_STREAM`.
//!
//! - `events_per_second`: from the first that is seen to be taken in to the last; Druid, detect, Druid divided by detect;
//! - `resident_mib`: the most that was resident; of Druid the worker alone, and `resident_all_mib` all of its servers;
//! - `start_to_first_s`: from the order until the first is taken in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark fails by panicking"
)]

#[path = "../../tests/druid_pods/mod.rs"]
mod druid_pods;
#[path = "../../tests/druid_support/mod.rs"]
mod druid_support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use druid_pods::{Pods, valid};
use druid_support::{Topic, bring_about, limits, wanted};
use jiff::{SignedDuration, Timestamp};
use millrace_contract::{Telemetry, codec};
use millrace_operator::druid::RoleKind;
use millrace_operator::druid::validate::Found;
use millrace_operator::ingestion::Source;
use millrace_operator::remote::druid::DruidClient;
use millrace_operator::remote::kafka::{KafkaAdmin, NewTopic};
use millrace_testkit::{Kafka, Server, druid, zookeeper};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(900);
/// Of one request; a broker takes up to 1 MiB.
const BATCH: u64 = 2_000;
const MODELS: [&str; 3] = ["Polo", "Golf", "ID.3"];

/// What one side came to.
struct Figures {
    /// Events a second.
    rate: f64,
    first: Duration,
    /// Of the process that takes events in.
    mebibytes: u64,
}

fn event(n: u64, vehicles: u64, start: Timestamp) -> Telemetry {
    let (vehicle, sequence) = (n % vehicles, n / vehicles);
    let time = start + SignedDuration::from_secs(i64::try_from(sequence).unwrap());
    let mut event = Telemetry::new(format!("car-{vehicle:05}"), sequence, time);
    event.model = Some(MODELS[usize::try_from(vehicle % 3).unwrap()].into());
    event.speed = Some(50.0);
    event.engine_speed = Some(2100.0);
    event.coolant_temperature = Some(if sequence % 20 < 10 { 88.5 } else { 87.5 });
    event
}

/// Looks until all are taken in. `taken` gives how many are.
async fn measured<F: Future<Output = u64>>(
    events: u64,
    every: Duration,
    taken: impl Fn() -> F,
) -> (f64, Duration) {
    let begin = Instant::now();
    let mut first = None;
    loop {
        let (now, done) = (Instant::now(), taken().await);
        if done > 0 {
            let (at, then) = *first.get_or_insert((done, now));
            if done >= events {
                assert!(at < events, "too few events to measure: give more");
                #[allow(clippy::cast_precision_loss)] // far below 2^52
                let rate = (done - at) as f64 / (now - then).as_secs_f64();
                return (rate, then - begin);
            }
        }
        assert!(begin.elapsed() < LIMIT, "{done} of {events} in {LIMIT:?}");
        tokio::time::sleep(every).await;
    }
}

async fn of_druid(
    topic: &Topic<'_>,
    events: u64,
    expected: &BTreeMap<(String, String), u64>,
) -> Option<(Figures, u64)> {
    let (home, zookeeper) = (druid().unwrap()?, zookeeper().unwrap()?);
    let spec = json!({"zookeeper": {"ensemble": "z"}, "deepStorage": {"volume": {"size": "2Gi"}},
        "historicals": {"storage": {"size": "2Gi"}}, "workers": {}});
    let cluster = valid(spec, Found::default());
    let mut pods = Pods::new(home, zookeeper, 57, &cluster);
    pods.start_all(&cluster);
    pods.ready(&cluster).await;
    let at = |kind| pods.http(kind, 0);
    let (coordinator, broker) = (at(RoleKind::Coordinator), at(RoleKind::Broker));
    let client = DruidClient::new(&coordinator, &broker, Duration::from_secs(40)).unwrap();
    let mut asked = wanted(Source::Telemetry, topic.name, topic.bootstrap);
    asked.quantiles = Vec::new();
    pods.until("a supervisor is taken", || async {
        bring_about(&client, &asked).await.ok()
    })
    .await;
    let (rate, first) = measured(events, Duration::from_millis(200), || async {
        // Until the first task has told of it there is no such table.
        let rows = client
            .sql("SELECT SUM(events) AS n FROM telemetry")
            .await
            .unwrap_or_default();
        rows.first()
            .and_then(|row| row.get("n")?.as_u64())
            .unwrap_or(0)
    })
    .await;
    let rows = client
        .sql("SELECT model, TIME_FORMAT(TIME_FLOOR(__time, 'PT1M'), 'yyyy-MM-dd HH:mm') AS \"at\", SUM(events) AS n FROM telemetry GROUP BY 1, 2")
        .await
        .unwrap();
    let answered: BTreeMap<_, _> = rows
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            ((text("model"), text("at")), row["n"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(&answered, expected, "Druid answers something else");
    let nodes = cluster
        .roles
        .iter()
        .flat_map(|role| role.nodes(&cluster.owner));
    let all: u64 = nodes.map(|node| pods.peak(&node.pod)).sum::<u64>() + pods.peak("z-0");
    let mebibytes = pods.peak("d-worker-0");
    let figures = Figures {
        rate,
        first,
        mebibytes,
    };
    Some((figures, all))
}

async fn of_detect(topic: &Topic<'_>, events: u64) -> Figures {
    let beside = || {
        let own = std::env::current_exe().unwrap();
        // …/release/examples/bench_druid
        own.ancestors().nth(2).unwrap().join("millrace-stream")
    };
    let program = std::env::var_os("MILLRACE_STREAM").map_or_else(beside, PathBuf::from);
    for (name, compacted) in [("d-alerts", false), ("d-state", true), ("d-dead", false)] {
        let policy = compacted.then(|| ("cleanup.policy".to_owned(), "compact".to_owned()));
        let made = NewTopic {
            name: name.to_owned(),
            partitions: 1,
            replication_factor: 1,
            config: policy.into_iter().collect(),
        };
        topic.admin.create_topic(&made).await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("detect.yaml");
    let text = format!(
        "{{group: d, telemetryTopic: {}, alertsTopic: d-alerts, stateTopic: d-state, deadLettersTopic: d-dead}}",
        topic.name
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(&program);
    command
        .arg("detect")
        .arg("--config")
        .arg(&config)
        .args(["--bootstrap-servers", topic.bootstrap])
        .args(["--metrics", "127.0.0.1:0"]);
    let server = Server::start(&mut command, &directory.path().join("log"))
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let (rate, first) = measured(events, Duration::from_millis(10), || async {
        let committed = topic.admin.group_offsets("d", topic.name).await;
        let committed = committed.unwrap_or_default();
        let next = committed
            .values()
            .map(|offset| offset.committed)
            .sum::<i64>();
        u64::try_from(next).unwrap_or(0)
    })
    .await;
    Figures {
        rate,
        first,
        mebibytes: druid_pods::peak_of(server.pid()),
    }
}

fn line(name: &str, druid: f64, detect: f64) {
    println!("{name} {druid:.2} {detect:.2} {:.3}", druid / detect);
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| {
        let number = text.parse::<u64>();
        number.unwrap_or_else(|error| panic!("{text}: {error}; give EVENTS and VEHICLES"))
    });
    let events = numbers.next().unwrap_or(1_000_000).max(10_000);
    let vehicles = numbers.next().unwrap_or(500).clamp(1, events);
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    let admin = KafkaAdmin::new(&bootstrap, limits()).unwrap();
    let topic = Topic {
        bootstrap: &bootstrap,
        admin: &admin,
        name: "telemetry",
    };
    topic.create().await;
    let start = Timestamp::now() - SignedDuration::from_hours(20);
    let mut expected = BTreeMap::new();
    let mut bytes = 0;
    for from in (0..events).step_by(usize::try_from(BATCH).unwrap()) {
        let batch = (from..events.min(from + BATCH)).map(|n| event(n, vehicles, start));
        let batch: Vec<Vec<u8>> = batch
            .map(|event| {
                let minute = event.time.strftime("%Y-%m-%d %H:%M").to_string();
                let model = event.model.clone().unwrap();
                *expected.entry((model, minute)).or_default() += 1;
                codec::encode(&event)
            })
            .collect();
        bytes += batch.iter().map(Vec::len).sum::<usize>();
        topic.send(batch.into_iter()).await;
    }
    eprintln!("{events} events of {vehicles} vehicles, {bytes} bytes");
    let detect = of_detect(&topic, events).await;
    let Some((druid, all)) = of_druid(&topic, events, &expected).await else {
        return;
    };
    let number = |mebibytes: u64| f64::from(u32::try_from(mebibytes).unwrap());
    let (own, peer) = (number(druid.mebibytes), number(detect.mebibytes));
    line("events_per_second", druid.rate, detect.rate);
    line("resident_mib", own, peer);
    line("resident_all_mib", number(all), peer);
    let (own, peer) = (druid.first.as_secs_f64(), detect.first.as_secs_f64());
    line("start_to_first_s", own, peer);
}
