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

mod drill_support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use drill_support::lake::{Events, Lake, Place, Proof};
use drill_support::probe::Probe;
use drill_support::{LIMIT, NAMESPACE, Nodes, chosen, clock, condition, fresh};
use serde_json::{Value, json};

/// Load before the first step and after the last one.
const CALM: Duration = Duration::from_secs(10);
/// The archive's `rollInterval`.
const ROLL: Duration = Duration::from_secs(5);
/// So long volumes stay full after the archive has told that it waits.
const FULL: Duration = Duration::from_secs(60);

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

const NAME_NODE: &str = "org.apache.hadoop.hdfs.server.namenode.NameNode";
const FAIL_OVER: &str = "org.apache.hadoop.hdfs.tools.DFSZKFailoverController";
const JOURNAL_NODE: &str = "org.apache.hadoop.hdfs.qjournal.server.JournalNode";
const DATA_NODE: &str = "org.apache.hadoop.hdfs.server.datanode.DataNode";
const QUORUM_PEER: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";

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

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}

/// The active NameNode is killed, and what else is named of its pod.
fn kill_active(scene: &Scene, more: &[&str]) -> String {
    let (active, _) = scene.active().unwrap();
    let before = scene.nodes.restarts(active, "namenode").unwrap().0;
    let killed = clock();
    scene.nodes.kill(active, NAME_NODE);
    for word in more {
        scene.nodes.kill(active, word);
    }
    scene.nodes.wait_restarted(active, "namenode", before);
    scene.wait_settled("a NameNode after kill -9");
    let (other, since) = scene.active().unwrap();
    assert!(
        other != active && since > killed,
        "{active} is active again"
    );
    let told = scene.status(HDFS)["active"].clone();
    assert_eq!(told, other, "status.active");
    format!(
        "the other one was active after {:.1} s",
        seconds(since - killed)
    )
}

fn name_node(scene: &mut Scene) -> String {
    kill_active(scene, &[])
}

fn name_node_and_controller(scene: &mut Scene) -> String {
    kill_active(scene, &[FAIL_OVER])
}

fn journal_node(scene: &mut Scene) -> String {
    let pod = "lake-journalnode-1";
    scene.nodes.kill_and_wait(pod, "journalnode", JOURNAL_NODE);
    scene.wait_settled("a JournalNode after kill -9");
    String::new()
}

fn data_node(scene: &mut Scene) -> String {
    let pod = "lake-datanode-0";
    scene.nodes.kill_and_wait(pod, "datanode", DATA_NODE);
    scene.wait_settled("a DataNode after kill -9");
    String::new()
}

fn leader(scene: &mut Scene) -> String {
    let leader = scene.status(ZOOKEEPER)["leader"]
        .as_str()
        .unwrap()
        .to_owned();
    let before = scene.active().unwrap();
    scene.nodes.kill_and_wait(&leader, "zookeeper", QUORUM_PEER);
    scene.wait_settled("a ZooKeeper server after kill -9");
    let stayed = scene.active().unwrap() == before;
    let stayed = if stayed { "stayed" } else { "changed" };
    format!("the active NameNode {stayed}")
}

fn archive(scene: &mut Scene) -> String {
    let selector = scene.status(JOB)["selector"].as_str().unwrap().to_owned();
    let pods = scene.nodes.pods(&selector);
    assert_eq!(pods.len(), 2);
    for (pod, _) in &pods {
        scene.nodes.kill_and_wait(pod, "archive", "archive");
        scene.wait_settled("the archive after kill -9");
    }
    "one pod after the other".to_owned()
}

fn ask_data_nodes(nodes: &Nodes, count: u32) {
    nodes.patch(HDFS, &json!({"spec": {"dataNodes": {"replicas": count}}}));
}

/// What the active NameNode says of the last DataNode: its state, and how many blocks it has.
fn last_data_node(scene: &Scene) -> Option<(String, u64)> {
    let info = scene.jmx("NameNodeInfo")?;
    let live: BTreeMap<String, Value> = serde_json::from_str(info["LiveNodes"].as_str()?).ok()?;
    let name = format!("lake-datanode-{}.", DATA_NODES - 1);
    let node = live.iter().find(|(host, _)| host.starts_with(&name))?.1;
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
    scene
        .nodes
        .wait("a DataNode decommissioned and gone", LIMIT, || {
            let seen = scene.nodes.get("pod", &pod);
            let told = last_data_node(scene);
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
    scene.wait_settled("two DataNodes");
    let left = scene.jmx("FSNamesystemState").unwrap();
    assert_eq!(left["UnderReplicatedBlocks"], 0, "{left}");
    let proof = scene.lake.verify();
    assert!(proof.wrong.is_empty(), "{:?}", proof.wrong);
    ask_data_nodes(scene.nodes, DATA_NODES);
    scene.wait_settled("three DataNodes again");
    format!("{blocks} blocks; decommissioned before its pod ended, after {gone:.0} s; then 2 → 3")
}

/// What a NameNode has noted of its file system when it was formatted.
fn version(nodes: &Nodes, pod: &str) -> Vec<String> {
    let cat = [
        "exec",
        pod,
        "-c",
        "namenode",
        "--",
        "cat",
        "/data/name/current/VERSION",
    ];
    let text = nodes.kubectl(&cat);
    // A comment holds when it was written last.
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

fn stop(scene: &Scene, stopped: bool, resources: &[(&str, &str)]) {
    for resource in resources {
        scene
            .nodes
            .patch(*resource, &json!({"spec": {"stopped": stopped}}));
    }
    if !stopped {
        return scene.nodes.wait_settled("a cold start", resources);
    }
    for (kind, name) in resources {
        scene.nodes.wait(&format!("{name} stopped"), LIMIT, || {
            let seen = scene.nodes.get(kind, name)?;
            (condition(&seen, "Stopped") == Some("True")).then_some(())
        });
    }
}

fn cold_start(scene: &mut Scene) -> String {
    let of_both = |nodes: &Nodes| NAME_NODES.map(|pod| version(nodes, pod));
    let (versions, id) = (
        of_both(scene.nodes),
        scene.status(HDFS)["clusterId"].clone(),
    );
    let keys = ["namespaceID=", "clusterID=", "blockpoolID="];
    for key in keys {
        assert!(
            versions[0].iter().any(|line| line.starts_with(key)),
            "{versions:?}"
        );
    }
    // Kafka is stopped too: what a producer sends then is not acknowledged.
    scene.events.pause();
    let (begin, orders) = (Instant::now(), [&[JOB][..], &[HDFS], &[KAFKA, ZOOKEEPER]]);
    for resources in orders {
        stop(scene, true, resources);
    }
    scene.nodes.wait("no pods", LIMIT, || {
        let left = scene.nodes.pods("app.kubernetes.io/part-of=millrace");
        left.is_empty().then_some(())
    });
    let down = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for resources in orders.into_iter().rev() {
        stop(scene, false, resources);
    }
    let up = begin.elapsed().as_secs_f64();
    scene.events.resume();
    assert_eq!(of_both(scene.nodes), versions, "formatted");
    let status = scene.status(HDFS);
    assert_eq!(
        (&status["clusterId"], &status["formatted"]),
        (&id, &json!(true))
    );
    format!(
        "stopped in {down:.0} s, up in {up:.0} s; not formatted: the ids of the file system are the same"
    )
}

fn in_data_nodes(nodes: &Nodes, script: &str) {
    for ordinal in 0..DATA_NODES {
        let pod = format!("lake-datanode-{ordinal}");
        nodes.kubectl(&["exec", &pod, "--", "sh", "-c", script]);
    }
}

const FILL: &str = "n=$(df --output=avail -B1 /data | tail -n 1); fallocate -l \"$n\" /data/ballast || true; \
                    dd if=/dev/zero of=/data/ballast.rest bs=4k 2>/dev/null || true";
const EMPTY: &str = "rm -f /data/ballast /data/ballast.rest";

/// Fills all volumes of DataNodes to the last byte until each pod of the archive tells that it tries in vain, and some time more.
/// Gives how many rows the lake had.
fn fill(scene: &Scene) -> u64 {
    in_data_nodes(scene.nodes, FILL);
    let selector = scene.status(JOB)["selector"].as_str().unwrap().to_owned();
    for (pod, _) in scene.nodes.pods(&selector) {
        scene.nodes.wait("an archive that waits", LIMIT, || {
            let log = ["logs", &pod, "--since=10s"];
            let log = scene.nodes.try_kubectl(&log).ok()?;
            let words = ["what was not committed is read again", "trying again"];
            words.iter().any(|word| log.contains(word)).then_some(())
        });
    }
    scene.nodes.wait("DiskPressure", LIMIT, || {
        let seen = scene.nodes.get(HDFS.0, HDFS.1)?;
        let full = seen["status"]["disk"]["full"] == true;
        (full && condition(&seen, "DiskPressure") == Some("True")).then_some(())
    });
    let rows = scene.lake.rows().unwrap();
    std::thread::sleep(FULL);
    assert_eq!(
        scene.lake.rows().unwrap(),
        rows,
        "committed to a full file system"
    );
    rows
}

/// Waits until the archive commits again, and all is well.
fn recovered(scene: &Scene, rows: u64, room: Instant) -> String {
    scene.lake.wait_for(rows + 1);
    let again = room.elapsed().as_secs_f64();
    scene.wait_settled("room again");
    scene.nodes.wait("no DiskPressure", LIMIT, || {
        let seen = scene.nodes.get(HDFS.0, HDFS.1)?;
        (condition(&seen, "DiskPressure") != Some("True")).then_some(())
    });
    format!("the archive waited, and committed {again:.0} s after there was room")
}

fn full_and_emptied(scene: &mut Scene) -> String {
    let rows = fill(scene);
    let room = Instant::now();
    in_data_nodes(scene.nodes, EMPTY);
    recovered(scene, rows, room)
}

fn full_and_grown(scene: &mut Scene) -> String {
    let rows = fill(scene);
    let seen = scene.nodes.get(HDFS.0, HDFS.1).unwrap();
    let size = seen["spec"]["dataNodes"]["storage"]["size"]
        .as_str()
        .unwrap();
    let size: u64 = size.strip_suffix("Mi").unwrap().parse().unwrap();
    let room = Instant::now();
    let larger = json!({"size": format!("{}Mi", size + 512)});
    scene
        .nodes
        .patch(HDFS, &json!({"spec": {"dataNodes": {"storage": larger}}}));
    scene.lake.wait_for(rows + 1);
    // The ballast was no part of the cure, and would stay in the way of the next row.
    let again = room.elapsed();
    in_data_nodes(scene.nodes, EMPTY);
    recovered(scene, rows, Instant::now().checked_sub(again).unwrap())
}

type Fault = fn(&mut Scene) -> String;

const FAULTS: [(&str, Fault); 11] = [
    ("nothing", |_| {
        std::thread::sleep(Duration::from_secs(30));
        String::new()
    }),
    ("the active NameNode killed, kill -9", name_node),
    (
        "the active NameNode and its fail-over controller killed, kill -9",
        name_node_and_controller,
    ),
    ("a JournalNode killed, kill -9", journal_node),
    ("a DataNode killed, kill -9", data_node),
    ("ZooKeeper's leader killed, kill -9", leader),
    ("the archive killed, kill -9", archive),
    ("3 → 2 DataNodes", fewer_data_nodes),
    ("all stopped and started", cold_start),
    ("all DataNodes full, then emptied", full_and_emptied),
    ("all DataNodes full, then grown", full_and_grown),
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
