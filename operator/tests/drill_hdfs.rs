//! What an operator of HDFS is for, with the archive writing into it: NameNodes, JournalNodes, DataNodes, ZooKeeper and the
//! archive are killed, DataNodes go, everything is stopped and started, volumes are full. After each of it the lake holds what
//! Kafka acknowledged, each event once.
//!
//! Runs by `cargo xtask soak --only hdfs` on three nodes and prints the table of docs/reliability.md.
//! `MILLRACE_SOAK_ONLY=TEXT` picks the rows whose name holds the text.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod drill_rows;
mod drill_support;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use drill_rows::{data_nodes, kills, restarts, volumes};
use drill_support::lake::{Events, Lake, Place, Proof};
use drill_support::probe::Probe;
use drill_support::{LIMIT, NAMESPACE, Nodes, chosen, clock, fresh};
use serde_json::{Value, json};

/// Load before the first step and after the last one.
const CALM: Duration = Duration::from_secs(10);
/// The archive's `rollInterval`.
const ROLL: Duration = Duration::from_secs(5);

const PLACE: Place = Place {
    kafka: "events",
    topic: "telemetry",
    hdfs: "lake",
    job: "archive",
};
const KAFKA: (&str, &str) = ("kafkacluster", PLACE.kafka);
const ZOOKEEPER: (&str, &str) = ("zookeeperensemble", "zookeeper");
const HDFS: (&str, &str) = ("hdfscluster", PLACE.hdfs);
const JOB: (&str, &str) = ("streamjob", PLACE.job);
const ALL: [(&str, &str); 4] = [KAFKA, ZOOKEEPER, HDFS, JOB];
const NAME_NODES: [&str; 3] = ["lake-namenode-0", "lake-namenode-1", "lake-namenode-2"];
const DATA_NODES: u32 = 3;

fn resource((kind, name): (&str, &str), spec: &Value) -> Value {
    let kind = match kind {
        "kafkacluster" => "KafkaCluster",
        "kafkatopic" => "KafkaTopic",
        "zookeeperensemble" => "ZooKeeperEnsemble",
        "hdfscluster" => "HdfsCluster",
        _ => "StreamJob",
    };
    json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
    })
}

fn manifests() -> Vec<Value> {
    let resources = |memory: &str| json!({"memory": memory, "cpu": "20m"});
    vec![
        resource(
            KAFKA,
            &json!({"nodes": 1, "storage": {"size": "4Gi"}, "resources": resources("512Mi")}),
        ),
        resource(
            ("kafkatopic", PLACE.topic),
            &json!({"kafka": PLACE.kafka, "partitions": 3, "replicationFactor": 1, "schema": "telemetry"}),
        ),
        resource(
            ZOOKEEPER,
            &json!({"servers": 3, "storage": {"size": "256Mi"}, "resources": resources("256Mi")}),
        ),
        resource(
            HDFS,
            &json!({
                "nameNodes": {"replicas": NAME_NODES.len(), "storage": {"size": "512Mi"}, "resources": resources("384Mi")},
                "journalNodes": {"storage": {"size": "512Mi"}, "resources": resources("256Mi")},
                "dataNodes": {"replicas": DATA_NODES, "storage": {"size": "1024Mi"}, "resources": resources("320Mi")},
                "zookeeper": {"ensemble": ZOOKEEPER.1},
                "replication": 2,
                // Each node is a rack of its own.
                "rack": {"topologyKey": "kubernetes.io/hostname"},
                // A NameNode keeps room for a whole block for each file that is open, and these volumes are small.
                "hdfsSite": {"dfs.blocksize": "16m"},
            }),
        ),
        resource(
            JOB,
            &json!({
                "job": "archive",
                "bindings": [format!("{}-binding", PLACE.kafka)],
                "replicas": 2,
                "config": {"rollInterval": format!("{}s", ROLL.as_secs()), "longestWait": "5s"},
                "lake": {"hdfs": PLACE.hdfs},
                "resources": {"cpu": "20m"},
            }),
        ),
    ]
}

/// A row at work: the load, and what sees whether HDFS can be written.
struct Scene<'a> {
    nodes: &'a Nodes,
    lake: Lake<'a>,
    events: Events<'a>,
    probe: Probe<'a>,
    /// The NameNode that was active when this was asked last.
    was_active: Cell<Option<&'static str>>,
}

impl Scene<'_> {
    fn status(&self, resource: (&str, &str)) -> Value {
        self.nodes.wait_get(resource.0, resource.1)["status"].clone()
    }

    /// Waits until the status of a resource has this text.
    fn wait_text(&self, resource: (&str, &str), field: &str) -> String {
        let what = format!("status.{field} of {}", resource.1);
        self.nodes.wait(&what, LIMIT, || {
            Some(self.status(resource)[field].as_str()?.to_owned())
        })
    }

    fn wait_settled(&self, what: &str) {
        self.nodes.wait_settled(what, &ALL);
    }

    /// The NameNode that says that it is active, and when it became so, in milliseconds of the clock. The one that was it last
    /// is asked first, because each question takes a process.
    fn active(&self) -> Option<(&'static str, u64)> {
        let last = self.was_active.get();
        let others = NAME_NODES.into_iter().filter(|pod| Some(*pod) != last);
        let active = last.into_iter().chain(others).find_map(|pod| {
            let told = self.probe.jmx(pod, "NameNodeStatus")?;
            let since = told["LastHATransitionTime"].as_u64()?;
            (told["State"] == "active").then_some((pod, since))
        });
        self.was_active.set(active.map(|(pod, _)| pod));
        active
    }

    /// Waits until a NameNode says that it is active.
    fn wait_active(&self) -> (&'static str, u64) {
        let what = "a NameNode that is active";
        self.nodes.wait(what, LIMIT, || self.active())
    }

    /// Waits until the status names this NameNode as the active one.
    fn wait_told_active(&self, pod: &str) {
        let what = format!("{pod} as status.active");
        self.nodes.wait(&what, LIMIT, || {
            (self.status(HDFS)["active"] == pod).then_some(())
        });
    }

    /// What the active NameNode says of itself.
    fn jmx(&self, bean: &str) -> Option<Value> {
        self.probe.jmx(self.active()?.0, bean)
    }
}

type Fault = fn(&mut Scene) -> String;

const FAULTS: [(&str, Fault); 13] = [
    ("nothing", data_nodes::nothing),
    ("HDFS restarted by a changed setting", restarts::hdfs),
    (
        "ZooKeeper restarted by a changed setting",
        restarts::zookeeper,
    ),
    ("the active NameNode killed, kill -9", kills::name_node),
    (
        "the active NameNode and its fail-over controller killed, kill -9",
        kills::name_node_and_controller,
    ),
    ("a JournalNode killed, kill -9", kills::journal_node),
    ("a DataNode killed, kill -9", kills::data_node),
    ("ZooKeeper's leader killed, kill -9", kills::leader),
    ("the archive killed, kill -9", kills::archive),
    ("3 → 2 DataNodes", data_nodes::fewer),
    ("all stopped and started", restarts::cold_start),
    (
        "all DataNodes full, then emptied",
        volumes::full_and_emptied,
    ),
    ("all DataNodes full, then grown", volumes::full_and_grown),
];

/// Asks for what each row begins with: a row or a run before may have been broken off amid its own.
fn ask_for_all(nodes: &Nodes) {
    for resource in ALL {
        nodes.patch(resource, &json!({"spec": {"stopped": false}}));
    }
    let name_nodes = json!({"replicas": NAME_NODES.len()});
    nodes.patch(HDFS, &json!({"spec": {"nameNodes": name_nodes}}));
    data_nodes::ask(nodes, DATA_NODES);
}

/// Takes away what a row that failed has left, so that the next one says something of its own.
fn put_right(nodes: &Nodes) {
    nodes.remove_clients();
    ask_for_all(nodes);
    volumes::empty(nodes);
    nodes.wait_settled("all of it after a row that failed", &ALL);
    Lake::open(nodes, &PLACE).wait_quiet(2 * ROLL);
}

/// Namespace and clusters, unless a run before left them.
fn found(nodes: &Nodes) {
    let kept = nodes.get(HDFS.0, HDFS.1).is_some();
    nodes.found();
    let started = Instant::now();
    if !kept {
        for object in manifests() {
            nodes.apply(&object);
        }
    }
    ask_for_all(nodes);
    nodes.wait_settled("Kafka, ZooKeeper, HDFS and the archive", &ALL);
    if !kept {
        println!(
            "Kafka, ZooKeeper, HDFS and the archive from nothing: {:.0} s",
            started.elapsed().as_secs_f64()
        );
    }
}

/// What became of the events of one row.
struct Outcome {
    acknowledged: u64,
    failed: u64,
    archived: u64,
    proof: Proof,
}

fn run(nodes: &Nodes, (number, what, fault): (usize, &str, Fault)) -> Outcome {
    let lake = Lake::open(nodes, &PLACE);
    let before = lake.wait_rows();
    let mut scene = Scene {
        nodes,
        lake,
        events: Events::start(nodes, &PLACE, format!("r{number}-{}", fresh())),
        probe: Probe::start(nodes, &NAME_NODES),
        was_active: Cell::new(None),
    };
    std::thread::sleep(CALM);
    let (started, at) = (Instant::now(), clock());
    let note = fault(&mut scene);
    let took = started.elapsed().as_secs_f64();
    std::thread::sleep(CALM);
    let gap = scene.probe.longest_gap(at, clock());
    let Scene {
        lake,
        mut events,
        probe,
        ..
    } = scene;
    events.pause();
    let (acknowledged, failed) = (events.acknowledged, events.failed);
    let caught_up = lake.wait_for(before + acknowledged).as_secs_f64();
    probe.stop();
    // What came twice would come by now.
    std::thread::sleep(2 * ROLL);
    let proof = lake.verify();
    let archived = proof.rows.saturating_sub(before);
    let holds = if proof.wrong.is_empty() {
        format!("{} commits hold what Kafka has", proof.commits)
    } else {
        "WRONG".to_owned()
    };
    println!(
        "| {what} | {took:.0} | {acknowledged} | {archived} | {holds} | {gap:.1} | {caught_up:.0} | {note} |"
    );
    Outcome {
        acknowledged,
        failed,
        archived,
        proof,
    }
}

/// Fails where a row is not as it should be.
fn judge(what: &str, seen: &Outcome) {
    assert!(seen.acknowledged > 1000, "{what}: hardly any load");
    assert_eq!(seen.failed, 0, "{what}: Kafka was not touched");
    let wrong = &seen.proof.wrong;
    assert!(wrong.is_empty(), "{what}: {}", wrong.join("\n"));
    assert_eq!(
        seen.archived, seen.acknowledged,
        "{what}: events in the lake"
    );
}

#[test]
#[ignore = "drill"]
fn the_lake_holds_what_kafka_acknowledged() {
    let nodes = Nodes::find().expect("run it by `cargo xtask soak --only hdfs`");
    let rows = chosen(&FAULTS);
    found(&nodes);
    Lake::open(&nodes, &PLACE).wait_quiet(2 * ROLL);
    println!(
        "| what | took, s | acknowledged | in the lake | proof | longest time without a write, s | all in the lake after, s | |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut failed = Vec::new();
    for row in rows {
        let what = row.1;
        // A row that fails takes neither the figures of the former ones along nor the later rows.
        if catch_unwind(AssertUnwindSafe(|| judge(what, &run(&nodes, row)))).is_ok() {
            continue;
        }
        println!("| {what} | FAILED: the reason is above |");
        failed.push(what);
        if catch_unwind(AssertUnwindSafe(|| put_right(&nodes))).is_err() {
            failed.push(
                "(the clusters did not recover from it, so that the rows after it did not run)",
            );
            break;
        }
    }
    assert!(failed.is_empty(), "rows that failed: {failed:#?}");
}
