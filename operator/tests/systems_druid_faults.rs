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

use std::sync::Mutex;
use std::time::Duration;

use druid_pods::fleet::Fleet;
use druid_pods::watch::{HEAD, Sent, Watched, load, number, watch};
use druid_pods::{Pods, servers};
use druid_support::{Topic, bring_about, limits, wanted};
use millrace_operator::druid::RoleKind;
use millrace_operator::ingestion::{Keep, Source, Wanted};
use millrace_operator::remote::druid::DruidClient;
use millrace_operator::remote::kafka::KafkaAdmin;
use millrace_testkit::{Hdfs, Kafka};
use serde_json::{Map, Value};

/// Into the load, the fault comes.
const BEFORE: Duration = Duration::from_secs(3);

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
            && servers().to_load(&coordinator).await == Ok(0);
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
    let sent = Mutex::new(Sent::after(before));
    let ((), watched, ()) = tokio::join!(
        load(
            async |batch: Vec<Vec<u8>>| {
                topic.send(batch.into_iter()).await;
            },
            fleet,
            &sent,
            long
        ),
        watch(client, before, &sent),
        strike(pods, hdfs, fault, long),
    );
    watched
}

#[tokio::test]
#[ignore = "systems tier"]
async fn no_answer_is_wrong_whatever_is_lost() {
    let Some(mut fleet) = Fleet::find() else {
        return;
    };
    let (Some(kafka), Some(hdfs)) = (Kafka::start().unwrap(), Hdfs::start().unwrap()) else {
        return;
    };
    let spec = serde_json::json!({"zookeeper": {"ensemble": "z"}, "deepStorage": {"hdfs": "h"},
        "historicals": {"replicas": 2, "storage": {"size": "2Gi"}}, "workers": {"replicas": 2}});
    let Some((cluster, mut pods)) = Pods::start_on_hdfs(56, spec, &hdfs).await else {
        return;
    };
    let mut hdfs = Some(hdfs);
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
    println!("{HEAD}");
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
        println!("{}", watched.line(fault.name(), fleet.taken - before));
        fleet.check(&client).await;
        pods.ready(&cluster).await;
        loaded_twice(&mut pods, &client).await;
    }
}
