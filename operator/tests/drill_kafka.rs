//! What an operator of Kafka is for: rolls, an upgrade, more and fewer brokers, a lost volume, new certificates, kills and
//! a cut network, each under a producer that waits for all acknowledgements and a consumer that checks every number.
//!
//! Runs by `cargo xtask soak --only kafka` on three nodes and prints the table of docs/reliability.md.
//! `MILLRACE_SOAK_ONLY=TEXT` picks the rows whose name holds the text.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod drill_support;

use std::time::{Duration, Instant};

use drill_support::load::Load;
use drill_support::{NAMESPACE, Nodes, condition};
use serde_json::{Value, json};

/// A whole round of restarts on two cores takes its time.
const LIMIT: Duration = Duration::from_secs(900);
/// Load before the first step and after the last one.
const CALM: Duration = Duration::from_secs(10);

const CLUSTER: &str = "k";

struct Row {
    what: &'static str,
    took: Duration,
    result: drill_support::load::Result,
}

fn manifest(image: &str) -> String {
    let memory = "384Mi";
    json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaCluster",
        "metadata": {"name": CLUSTER, "namespace": NAMESPACE},
        "spec": {
            "image": image,
            "pools": [
                {"name": "controllers", "roles": ["controller"], "replicas": 3, "firstNodeId": 0, "lastNodeId": 9,
                 "volumes": [{"size": "256Mi"}], "resources": {"memory": memory, "cpu": "20m"}},
                {"name": "brokers", "roles": ["broker"], "replicas": 3, "firstNodeId": 100, "lastNodeId": 199,
                 "volumes": [{"size": "512Mi"}], "resources": {"memory": memory, "cpu": "20m"}},
            ],
            "listeners": {"secure": {}},
        },
    })
    .to_string()
}

fn patch(nodes: &Nodes, change: &Value) {
    nodes.kubectl(&["patch", "kafkacluster", CLUSTER, "--type=merge", "-p", &change.to_string()]);
}

fn annotate(nodes: &Nodes, annotation: &str) {
    nodes.kubectl(&["annotate", "--overwrite", "kafkacluster", CLUSTER, annotation]);
}

fn cluster(nodes: &Nodes) -> Option<Value> {
    nodes.get("kafkacluster", CLUSTER)
}

/// Available, nothing under way, and that of the present spec.
fn settled(nodes: &Nodes) -> Option<()> {
    let seen = cluster(nodes)?;
    let current = seen["status"]["observedGeneration"] == seen["metadata"]["generation"];
    (current
        && condition(&seen, "Available") == Some("True")
        && condition(&seen, "Progressing") == Some("False"))
    .then_some(())
}

fn wait_settled(nodes: &Nodes, what: &str) {
    // A change is seen a moment after it was made.
    std::thread::sleep(Duration::from_secs(3));
    nodes.wait(what, LIMIT, || settled(nodes));
    // Twice: between two steps of a longer work it may look done.
    std::thread::sleep(Duration::from_secs(5));
    nodes.wait(what, LIMIT, || settled(nodes));
}

fn pods(nodes: &Nodes, pool: &str) -> Vec<(String, String)> {
    let selector = format!("app.kubernetes.io/instance={CLUSTER},millrace.dev/pool={pool}");
    let text = nodes.kubectl(&["get", "pods", "-l", &selector, "-o", "json"]);
    let list: Value = serde_json::from_str(&text).unwrap();
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]))
        })
        .collect()
}

fn roll_all(nodes: &Nodes) {
    let before = [pods(nodes, "controllers"), pods(nodes, "brokers")].concat();
    patch(nodes, &json!({"spec": {"config": {"log.segment.delete.delay.ms": "30000"}}}));
    wait_settled(nodes, "a roll of all");
    let after = [pods(nodes, "controllers"), pods(nodes, "brokers")].concat();
    for (name, uid) in before {
        assert!(!after.contains(&(name.clone(), uid)), "{name} was not restarted");
    }
}

fn upgrade(nodes: &Nodes) {
    patch(nodes, &json!({"spec": {"image": nodes.image}}));
    wait_settled(nodes, "an upgrade");
}

fn scale(nodes: &Nodes, brokers: u32) {
    let at = cluster(nodes).unwrap();
    let mut pools = at["spec"]["pools"].clone();
    for pool in pools.as_array_mut().unwrap() {
        if pool["name"] == "brokers" {
            pool["replicas"] = json!(brokers);
        }
    }
    patch(nodes, &json!({"spec": {"pools": pools}}));
}

fn more_brokers(nodes: &Nodes) {
    scale(nodes, 5);
    wait_settled(nodes, "five brokers");
    assert_eq!(pods(nodes, "brokers").len(), 5);
    annotate(nodes, "millrace.dev/rebalance=1");
    wait_settled(nodes, "replicas on five brokers");
}

fn fewer_brokers(nodes: &Nodes) {
    scale(nodes, 3);
    let refused = |nodes: &Nodes| {
        let seen = cluster(nodes)?;
        seen["status"]["conditions"]
            .as_array()?
            .iter()
            .any(|condition| condition["reason"] == "BrokersHoldReplicas")
            .then_some(())
    };
    nodes.wait("the refusal", LIMIT, || refused(nodes));
    assert_eq!(pods(nodes, "brokers").len(), 5, "brokers with replicas are kept");
    annotate(nodes, "millrace.dev/drain=103,104");
    nodes.wait("three brokers", LIMIT, || (pods(nodes, "brokers").len() == 3).then_some(()));
    wait_settled(nodes, "three brokers");
}

fn lost_volume(nodes: &Nodes) {
    let pod = format!("{CLUSTER}-brokers-1");
    annotate(nodes, &format!("millrace.dev/replace-volume={pod}"));
    let (_, before) = pods(nodes, "brokers").into_iter().find(|(name, _)| *name == pod).unwrap();
    nodes.wait("a new pod", LIMIT, || {
        pods(nodes, "brokers").into_iter().find(|(name, uid)| *name == pod && *uid != before)
    });
    wait_settled(nodes, "a new volume");
}

fn new_authority(nodes: &Nodes) {
    annotate(nodes, "millrace.dev/rotate-ca=1");
    wait_settled(nodes, "a new certificate authority");
}

fn kills(nodes: &Nodes) {
    for pool in ["controllers", "brokers"] {
        for (pod, _) in pods(nodes, pool) {
            nodes.kill(&pod);
            std::thread::sleep(Duration::from_secs(3));
            wait_settled(nodes, &format!("{pod} after kill -9"));
        }
    }
}

fn cut(nodes: &Nodes) {
    nodes.cable("cut", "n3");
    std::thread::sleep(Duration::from_secs(60));
    nodes.cable("heal", "n3");
    wait_settled(nodes, "a healed node");
}

#[test]
#[ignore = "drill"]
fn kafka_keeps_what_it_acknowledged() {
    let nodes = Nodes::find().expect("run it by `cargo xtask soak --only kafka`");
    let only = std::env::var("MILLRACE_SOAK_ONLY").unwrap_or_default();
    nodes.kubectl(&["create", "namespace", NAMESPACE]);
    nodes.kubectl(&[
        "label",
        "namespace",
        NAMESPACE,
        "pod-security.kubernetes.io/enforce=restricted",
    ]);
    let started = Instant::now();
    nodes.apply(&manifest(&nodes.former));
    wait_settled(&nodes, "a new cluster");
    println!("three controllers and three brokers from nothing: {:.0} s", started.elapsed().as_secs_f64());
    Load::prepare(&nodes, CLUSTER);
    type Fault = fn(&Nodes);
    let faults: [(&str, Fault); 9] = [
        ("nothing", |_| std::thread::sleep(Duration::from_secs(20))),
        ("all restarted by a changed setting", roll_all),
        ("upgraded to the next version", upgrade),
        ("3 → 5 brokers, replicas spread", more_brokers),
        ("5 → 3 brokers by drain", fewer_brokers),
        ("a broker's volume lost", lost_volume),
        ("a new certificate authority", new_authority),
        ("each controller and broker killed, kill -9", kills),
        ("a node cut off for 60 s", cut),
    ];
    println!("| what | took, s | acknowledged | lost | twice | longest gap, s |");
    println!("|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for (what, fault) in faults {
        if !what.contains(&only) {
            continue;
        }
        let load = Load::start(&nodes);
        std::thread::sleep(CALM);
        let started = Instant::now();
        fault(&nodes);
        let took = started.elapsed();
        std::thread::sleep(CALM);
        let result = load.finish(&nodes);
        println!(
            "| {what} | {:.0} | {} | {} | {} | {:.1} |",
            took.as_secs_f64(),
            result.acknowledged,
            result.lost,
            result.twice,
            result.longest_gap
        );
        rows.push(Row { what, took, result });
    }
    for row in rows {
        assert!(row.result.acknowledged > 1000, "{}: hardly any load", row.what);
        assert_eq!(row.result.lost, 0, "{}", row.what);
        assert!(row.took < LIMIT, "{}", row.what);
    }
}
