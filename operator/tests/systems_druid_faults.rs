//! Druid loses servers while recorded trips come in: no answer counts an event that was not sent, or counts one twice, and in the
//! end answers are those that the same events give in Rust. How long events take from Kafka into answers is measured.
//!
//! `MILLRACE_FAULT_SECONDS` sets how long events come in at each fault; the table of docs/reliability.md is made with 20.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod druid_pods;
mod druid_support;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use druid_pods::{LIMIT, Pods, valid};
use druid_support::{BEGIN, Topic, bring_about, limits, wanted};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use millrace_contract::{Telemetry, codec};
use millrace_operator::druid::RoleKind;
use millrace_operator::druid::validate::Found;
use millrace_operator::ingestion::{Keep, Source, Wanted};
use millrace_operator::pods::secret_data;
use millrace_operator::remote::druid::{DruidClient, servers};
use millrace_operator::remote::hdfs::directory::{Directory, ensure};
use millrace_operator::remote::kafka::KafkaAdmin;
use millrace_testkit::{Hdfs, Kafka, data_dir, druid, left_out, zookeeper};
use millrace_trips::{TripArguments, TripOptions};
use serde_json::{Map, Value};

/// Events of one request, and the pause after it.
const BATCH: usize = 50;
const PAUSE: Duration = Duration::from_millis(200);
/// Into the load, the fault comes.
const BEFORE: Duration = Duration::from_secs(3);

/// Recorded trips, one after the other; when all were driven they are driven again by other vehicles.
struct Fleet {
    trips: Vec<Vec<Telemetry>>,
    next: (usize, usize),
    /// What an answer has to be for what was taken of it.
    expected: BTreeMap<(String, String), Row>,
    taken: usize,
}

/// Of two tasks that read the same one is asked, and one is a moment behind the other: only what was counted so long ago has to
/// be counted again.
const FIRM: Duration = Duration::from_secs(3);
/// Questions are answered again at the latest so long after what was killed is back.
const SETTLES: Duration = Duration::from_secs(60);

/// Of one model in one minute.
#[derive(Debug, Default)]
struct Row {
    events: u64,
    speeds: u64,
    speed_sum: f64,
    coolant_max: Option<f64>,
}

fn trips() -> Option<Vec<Vec<Telemetry>>> {
    let Some(data) = data_dir().map(|data| data.join("carobd")) else {
        left_out("recorded trips", "set MILLRACE_DATA").unwrap();
        return None;
    };
    let options = TripOptions::parse(&TripArguments {
        format: "carobd",
        ..TripArguments::default()
    })
    .unwrap();
    let mut files: Vec<PathBuf> = data
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".csv.gz"))
        .collect();
    files.sort();
    assert!(files.len() > 20, "{}", files.len());
    let read = |(n, path): (usize, &PathBuf)| {
        let mut trip = options.read_path(path, "car").unwrap();
        trip.start_at(Timestamp::from_second(BEGIN).unwrap());
        for sample in &mut trip.samples {
            sample.model = Some(["Polo", "Golf", "ID.3"][n % 3].into());
        }
        trip.samples
    };
    Some(files.iter().enumerate().map(read).collect())
}

impl Fleet {
    fn take(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let (drive, sample) = self.next;
            let trip = &self.trips[drive % self.trips.len()];
            let Some(event) = trip.get(sample) else {
                self.next = (drive + 1, 0);
                continue;
            };
            self.next.1 += 1;
            let event = Telemetry {
                vehicle: format!("car-{drive}"),
                ..event.clone()
            };
            taken.push(codec::encode(&event));
            let minute = Timestamp::from_second(event.time.as_second() / 60 * 60).unwrap();
            let key = (event.model.unwrap(), minute.strftime("%H:%M").to_string());
            let row = self.expected.entry(key).or_default();
            row.events += 1;
            if let Some(speed) = event.speed {
                row.speeds += 1;
                row.speed_sum += speed;
            }
            let coolants = row.coolant_max.into_iter().chain(event.coolant_temperature);
            row.coolant_max = coolants.reduce(f64::max);
        }
        self.taken += taken.len();
        taken
    }

    /// What Druid answers, beside what it has to.
    async fn check(&self, client: &DruidClient) {
        let question = "SELECT model, TIME_FORMAT(TIME_FLOOR(__time, 'PT1M'), 'HH:mm') AS \"at\", SUM(events) AS events, \
                 SUM(speed_count) AS speeds, COALESCE(SUM(speed_sum), 0) AS speed_sum, \
                 MAX(coolant_temperature_max) AS coolant_max FROM telemetry GROUP BY 1, 2";
        // A broker may still hold connections to who was killed: a question that fails is asked again, and no answer is wrong.
        let asked = Instant::now();
        let rows = loop {
            match client.sql(question).await {
                Ok(rows) => break rows,
                Err(error) => assert!(asked.elapsed() < SETTLES, "{error}"),
            }
            tokio::time::sleep(PAUSE).await;
        };
        assert_eq!(rows.len(), self.expected.len());
        for row in rows {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            let expected = &self.expected[&(text("model"), text("at"))];
            let count = |key: &str| row[key].as_u64().unwrap();
            let told = (count("events"), count("speeds"));
            assert_eq!(told, (expected.events, expected.speeds), "{row:?}");
            // Druid adds up in another order.
            let off = (row["speed_sum"].as_f64().unwrap() - expected.speed_sum).abs();
            assert!(
                off <= 1e-9 * expected.speed_sum.abs(),
                "{row:?} {expected:?}"
            );
            assert_eq!(row["coolant_max"].as_f64(), expected.coolant_max, "{row:?}");
        }
    }
}

/// What was sent: how many events, when that was begun, and when Kafka had them.
#[derive(Debug, Default)]
struct Sent {
    offered: u64,
    stored: Vec<(u64, Instant)>,
    is_over: bool,
}

/// Sends for so long.
async fn load(topic: &Topic<'_>, fleet: &mut Fleet, sent: &Mutex<Sent>, long: Duration) {
    let end = Instant::now() + long;
    while Instant::now() < end {
        let batch = fleet.take(BATCH);
        let all = u64::try_from(fleet.taken).unwrap();
        sent.lock().unwrap().offered = all;
        topic.send(batch.into_iter()).await;
        sent.lock().unwrap().stored.push((all, Instant::now()));
        tokio::time::sleep(PAUSE).await;
    }
    sent.lock().unwrap().is_over = true;
}

/// What answers said over a row.
#[derive(Debug, Default)]
struct Watched {
    answers: u64,
    /// Asked, and no answer.
    failed: Duration,
    /// Answers lacked something that one had counted [`FIRM`] before.
    short: Duration,
    /// From Kafka into an answer, for each request.
    delays: Vec<Duration>,
    /// From the last request until an answer counted all.
    settled: Duration,
}

fn number(rows: &[Map<String, Value>]) -> Option<u64> {
    rows.first()?.get("n")?.as_u64()
}

/// Asks without a pause until everything that was sent is counted.
async fn watch(client: &DruidClient, before: u64, sent: &Mutex<Sent>) -> Watched {
    let (mut watched, mut firm) = (Watched::default(), before);
    let mut counted = VecDeque::new();
    let (mut seen, begin) = (0, Instant::now());
    let mut last = Instant::now();
    loop {
        let answer = client.sql("SELECT SUM(events) AS n FROM telemetry").await;
        let now = Instant::now();
        let passed = now - last;
        last = now;
        match answer.as_deref().map(number) {
            Ok(Some(n)) => {
                watched.answers += 1;
                let sent = sent.lock().unwrap();
                assert!(
                    n <= sent.offered,
                    "{n} are counted, {} were sent",
                    sent.offered
                );
                while let Some((_, n)) = counted.pop_front_if(|(at, _)| now - *at > FIRM) {
                    firm = firm.max(n);
                }
                counted.push_back((now, n));
                if n < firm {
                    watched.short += passed;
                }
                while let Some((_, stored)) = sent.stored.get(seen).filter(|(all, _)| *all <= n) {
                    watched.delays.push(now.saturating_duration_since(*stored));
                    seen += 1;
                    watched.settled = now.saturating_duration_since(*stored);
                }
                if sent.is_over && seen == sent.stored.len() {
                    return watched;
                }
            }
            // No rows at all: what was there is not.
            Ok(None) => watched.short += passed,
            Err(_) => watched.failed += passed,
        }
        assert!(
            begin.elapsed() < 3 * LIMIT,
            "{watched:?} {firm} {:?}",
            sent.lock().unwrap()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Nothing,
    Historical,
    Worker,
    ZooKeeper,
    NameNode,
    Coordinator,
    Broker,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Historical => "a historical of two killed, kill -9",
            Self::Worker => "a worker of two killed, kill -9",
            Self::ZooKeeper => "the one ZooKeeper server killed, kill -9",
            Self::NameNode => "the NameNode away for the time",
            Self::Coordinator => "the one coordinator killed, kill -9",
            Self::Broker => "the one broker killed, kill -9",
        }
    }

    fn pod(self) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::NameNode => None,
            Self::Historical => Some("d-historical-0"),
            Self::Worker => Some("d-worker-0"),
            Self::ZooKeeper => Some("z-0"),
            Self::Coordinator => Some("d-coordinator-0"),
            Self::Broker => Some("d-broker-0"),
        }
    }
}

/// What goes is back after a few seconds, as Kubernetes brings it back; the NameNode when the load is over.
async fn strike(pods: &mut Pods, hdfs: &mut Option<Hdfs>, fault: Fault, long: Duration) {
    tokio::time::sleep(BEFORE).await;
    if let Some(pod) = fault.pod() {
        pods.kill(pod);
        tokio::time::sleep(Duration::from_secs(3)).await;
        pods.start(pod);
    } else if fault == Fault::NameNode {
        let mut taken = hdfs.take().unwrap();
        taken.stop_name_node();
        tokio::time::sleep(long.saturating_sub(BEFORE)).await;
        // It waits until the NameNode answers, and nobody else is to wait with it.
        let started = tokio::task::spawn_blocking(move || {
            taken.start_name_node().unwrap();
            taken
        });
        *hdfs = Some(started.await.unwrap());
    }
}

/// What is stored is on two historicals.
async fn loaded_twice(pods: &mut Pods, client: &DruidClient) {
    let segments = "SELECT is_available, num_replicas FROM sys.segments \
        WHERE datasource = 'telemetry' AND is_published = 1 AND is_overshadowed = 0";
    let coordinator = pods.http(RoleKind::Coordinator, 0);
    pods.until("what is stored is on two historicals", || async {
        let rows = client.sql(segments).await.ok()?;
        let is_there =
            |row: &Map<String, Value>| row["is_available"] == 1 && row["num_replicas"] == 2;
        let loaded = !rows.is_empty()
            && rows.iter().all(is_there)
            && servers::to_load(&coordinator).await == Ok(0);
        loaded.then_some(())
    })
    .await;
}

async fn row(
    pods: &mut Pods,
    hdfs: &mut Option<Hdfs>,
    (topic, client): (&Topic<'_>, &DruidClient),
    fleet: &mut Fleet,
    (fault, long): (Fault, Duration),
) -> Watched {
    let before = u64::try_from(fleet.taken).unwrap();
    let sent = Mutex::new(Sent {
        offered: before,
        ..Sent::default()
    });
    let ((), watched, ()) = tokio::join!(
        load(topic, fleet, &sent, long),
        watch(client, before, &sent),
        strike(pods, hdfs, fault, long),
    );
    watched
}

fn told(fault: Fault, events: usize, watched: &mut Watched) {
    watched.delays.sort();
    let delays = &watched.delays;
    let at = |percent: usize| delays[(delays.len() - 1) * percent / 100].as_secs_f64();
    println!(
        "| {} | {events} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
        fault.name(),
        watched.answers,
        watched.failed.as_secs_f64(),
        watched.short.as_secs_f64(),
        at(50),
        at(95),
        at(100),
        watched.settled.as_secs_f64(),
    );
}

#[tokio::test]
#[ignore = "systems tier"]
async fn no_answer_is_wrong_whatever_is_lost() {
    let (Some(home), Some(zookeeper), Some(trips)) =
        (druid().unwrap(), zookeeper().unwrap(), trips())
    else {
        return;
    };
    let (Some(kafka), Some(hdfs)) = (Kafka::start().unwrap(), Hdfs::start().unwrap()) else {
        return;
    };
    let binding = Secret {
        data: Some(secret_data([
            ("type", "hdfs".to_owned()),
            ("uri", hdfs.uri()),
        ])),
        ..Secret::default()
    };
    let spec = serde_json::json!({"zookeeper": {"ensemble": "z"}, "deepStorage": {"hdfs": "h"},
        "historicals": {"replicas": 2, "storage": {"size": "2Gi"}}, "workers": {"replicas": 2}});
    let found = Found {
        hdfs: Some(binding),
        ..Found::default()
    };
    let cluster = valid(spec, found);
    let directory = Directory {
        path: "/millrace/druid/d".into(),
        owner: "druid".into(),
        permission: "755".into(),
    };
    ensure(&[hdfs.http()], &directory).await.unwrap();
    let mut pods = Pods::new(home, zookeeper, 56, &cluster);
    for name in ["core-site.xml", "hdfs-site.xml"] {
        let text = std::fs::read_to_string(hdfs.settings().join(name)).unwrap();
        pods.write_site(&cluster, name, &text);
    }
    let mut hdfs = Some(hdfs);
    pods.start_all(&cluster);
    let bootstrap = kafka.bootstrap();
    let admin = KafkaAdmin::new(&bootstrap, limits()).unwrap();
    let topic = Topic {
        bootstrap: &bootstrap,
        admin: &admin,
        name: "telemetry",
    };
    topic.create().await;
    pods.ready(&cluster).await;
    let (coordinator, broker) = (
        pods.http(RoleKind::Coordinator, 0),
        pods.http(RoleKind::Broker, 0),
    );
    let client = DruidClient::new(&coordinator, &broker, Duration::from_secs(20)).unwrap();
    let asked = wanted(Source::Telemetry, "telemetry", &bootstrap);
    let asked = Wanted {
        replicas: 2,
        keep: Keep {
            copies: 2,
            ..asked.keep
        },
        ..asked
    };
    let mut fleet = Fleet {
        trips,
        next: (0, 0),
        expected: BTreeMap::new(),
        taken: 0,
    };
    for _ in 0..4 {
        topic.send(fleet.take(500).into_iter()).await;
    }
    pods.until("a supervisor is taken", || async {
        bring_about(&client, &asked).await.ok()
    })
    .await;
    pods.until("what was sent is counted", || async {
        let answer = client.sql("SELECT SUM(events) AS n FROM telemetry").await;
        (number(&answer.unwrap_or_default()) == Some(2000)).then_some(())
    })
    .await;
    // A task that is not yet known to have begun would be killed, and hand nothing over.
    pods.until("both tasks tell how far they are", || async {
        let state = client.state("telemetry").await.ok()??;
        let told = state.active_tasks.iter().filter(|task| {
            let offsets = task["currentOffsets"].as_object();
            offsets.is_some_and(|offsets| offsets.values().all(|next| *next == 2000))
        });
        (told.count() == 2 && state.detailed_state == "RUNNING").then_some(())
    })
    .await;
    // So that there is something that historicals answer for.
    let suspended = Wanted {
        suspended: true,
        ..asked.clone()
    };
    bring_about(&client, &suspended).await.unwrap();
    loaded_twice(&mut pods, &client).await;
    bring_about(&client, &asked).await.unwrap();

    let seconds = std::env::var("MILLRACE_FAULT_SECONDS").ok();
    let long = seconds.map_or(8, |seconds| seconds.parse().unwrap());
    let long = Duration::from_secs(long);
    println!(
        "| what | events | answers | failed, s | short, s | p50, s | p95, s | longest, s | settled, s |"
    );
    for fault in [
        Fault::Nothing,
        Fault::Historical,
        Fault::Worker,
        Fault::ZooKeeper,
        Fault::NameNode,
        Fault::Coordinator,
        Fault::Broker,
    ] {
        let before = fleet.taken;
        let at = (&topic, &client);
        let mut watched = row(&mut pods, &mut hdfs, at, &mut fleet, (fault, long)).await;
        told(fault, fleet.taken - before, &mut watched);
        fleet.check(&client).await;
        pods.ready(&cluster).await;
        loaded_twice(&mut pods, &client).await;
    }
}
