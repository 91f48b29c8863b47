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

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use drill_rows::{kills, restarts, volumes};
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
const NAME_NODES: [&str; 2] = ["lake-namenode-0", "lake-namenode-1"];
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
                "nameNodes": {"replicas": 2, "storage": {"size": "512Mi"}, "resources": resources("384Mi")},
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
}

impl Scene<'_> {
    fn status(&self, resource: (&str, &str)) -> Value {
        self.nodes.get(resource.0, resource.1).unwrap()["status"].clone()
    }

    fn wait_settled(&self, what: &str) {
        self.nodes.wait_settled(what, &ALL);
    }

    /// The NameNode that says that it is active, and when it became so, in milliseconds of the clock.
    fn active(&self) -> Option<(&'static str, u64)> {
        NAME_NODES.into_iter().find_map(|pod| {
            let told = self.probe.jmx(pod, "NameNodeStatus")?;
            let since = told["LastHATransitionTime"].as_u64()?;
            (told["State"] == "active").then_some((pod, since))
        })
    }

    /// What the active NameNode says of itself.
    fn jmx(&self, bean: &str) -> Option<Value> {
        self.probe.jmx(self.active()?.0, bean)
    }
}

fn ask_data_nodes(nodes: &Nodes, count: u32) {
    nodes.patch(HDFS, &json!({"spec": {"dataNodes": {"replicas": count}}}));
}

/// What the active NameNode says of a DataNode.
fn told_of(scene: &Scene, pod: &str) -> Option<Value> {
    let info = scene.jmx("NameNodeInfo")?;
    let live: BTreeMap<String, Value> = serde_json::from_str(info["LiveNodes"].as_str()?).ok()?;
    let name = format!("{pod}.");
    let mut nodes = live.into_iter();
    nodes.find_map(|(host, node)| host.starts_with(&name).then_some(node))
}

/// The NameNode knows each DataNode in the rack that the node of Kubernetes says.
fn nothing(scene: &mut Scene) -> String {
    for ordinal in 0..DATA_NODES {
        let pod = format!("lake-datanode-{ordinal}");
        let runs_at = scene.nodes.get("pod", &pod).unwrap()["spec"]["nodeName"].clone();
        let told = told_of(scene, &pod).unwrap();
        let rack = format!("/{}", runs_at.as_str().unwrap());
        assert_eq!(told["location"], rack, "{pod}: {told}");
    }
    std::thread::sleep(Duration::from_secs(30));
    format!("{DATA_NODES} DataNodes in the racks of their nodes")
}

/// What the active NameNode says of the last DataNode: its state, and how many blocks it has.
fn last_data_node(scene: &Scene) -> Option<(String, u64)> {
    let node = told_of(scene, &format!("lake-datanode-{}", DATA_NODES - 1))?;
    let state = node["adminState"].as_str()?.to_owned();
    Some((state, node["numBlocks"].as_u64()?))
}

fn fewer_data_nodes(scene: &mut Scene) -> String {
    let pod = format!("lake-datanode-{}", DATA_NODES - 1);
    let (_, blocks) = last_data_node(scene).unwrap();
    assert!(
        blocks > 0,
        "{pod} has no blocks that would have to be moved"
    );
    let started = Instant::now();
    ask_data_nodes(scene.nodes, DATA_NODES - 1);
    // A pod is looked at before the NameNode is asked: what it says then was so while the pod was still wanted, or later.
    let mut decommissioned_before = false;
    // As the status tells it meanwhile, from what the NameNode says.
    let mut most_left = None;
    scene
        .nodes
        .wait("a DataNode decommissioned and gone", LIMIT, || {
            let seen = scene.nodes.get("pod", &pod);
            let told = last_data_node(scene);
            let status = scene.nodes.get(HDFS.0, HDFS.1);
            let left = status.and_then(|hdfs| {
                let leaving = &hdfs["status"]["decommissions"][0];
                (leaving["pod"] == pod).then(|| leaving["blocksLeft"].as_u64())?
            });
            most_left = most_left.max(left);
            let decommissioned = told.is_some_and(|(state, _)| state == "Decommissioned");
            let wanted = scene
                .nodes
                .get("pod", &pod)
                .is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_null());
            // Wanted after the NameNode has said so, hence when it said so.
            decommissioned_before |= decommissioned && wanted;
            seen.is_none().then_some(())
        });
    let gone = started.elapsed().as_secs_f64();
    assert!(
        decommissioned_before,
        "{pod} went before the NameNode called it decommissioned"
    );
    assert!(most_left > Some(0), "status.decommissions: {most_left:?}");
    scene.wait_settled("two DataNodes");
    let left = scene.jmx("FSNamesystemState").unwrap();
    assert_eq!(left["UnderReplicatedBlocks"], 0, "{left}");
    let proof = scene.lake.verify();
    assert!(proof.wrong.is_empty(), "{:?}", proof.wrong);
    ask_data_nodes(scene.nodes, DATA_NODES);
    scene.wait_settled("three DataNodes again");
    format!("{blocks} blocks; decommissioned before its pod ended, after {gone:.0} s; then 2 → 3")
}

type Fault = fn(&mut Scene) -> String;

const FAULTS: [(&str, Fault); 13] = [
    ("nothing", nothing),
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
    ("3 → 2 DataNodes", fewer_data_nodes),
    ("all stopped and started", restarts::cold_start),
    (
        "all DataNodes full, then emptied",
        volumes::full_and_emptied,
    ),
    ("all DataNodes full, then grown", volumes::full_and_grown),
];

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
    ask_data_nodes(nodes, DATA_NODES);
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
    let before = lake.rows().unwrap();
    let mut scene = Scene {
        nodes,
        lake,
        events: Events::start(nodes, &PLACE, format!("r{number}-{}", fresh())),
        probe: Probe::start(nodes, &NAME_NODES),
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
    // As each row ends, so that a later failure does not take the figures of the former ones along.
    let outcomes: Vec<_> = rows
        .into_iter()
        .map(|row| (row.1, run(&nodes, row)))
        .collect();
    for (what, seen) in outcomes {
        assert!(seen.acknowledged > 1000, "{what}: hardly any load");
        assert_eq!(seen.failed, 0, "{what}: Kafka was not touched");
        assert_eq!(
            seen.archived, seen.acknowledged,
            "{what}: events in the lake"
        );
        assert!(
            seen.proof.wrong.is_empty(),
            "{what}: {}",
            seen.proof.wrong.join("\n")
        );
    }
}
