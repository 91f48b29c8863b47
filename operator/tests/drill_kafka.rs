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

use drill_support::load::{Load, Outcome};
use drill_support::{LIMIT, NAMESPACE, Nodes, chosen, condition, fresh};
use serde_json::{Value, json};

/// Load before the first step and after the last one.
const CALM: Duration = Duration::from_secs(10);

const CLUSTER: &str = "k";
const RESOURCE: (&str, &str) = ("kafkacluster", CLUSTER);

fn manifest(image: &str) -> Value {
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
                 "volumes": [{"size": "1Gi"}], "resources": {"memory": memory, "cpu": "20m"}},
            ],
            "listeners": {"secure": {}},
            "rack": {},
        },
    })
}

fn patch(nodes: &Nodes, change: &Value) {
    nodes.patch(RESOURCE, change);
}

/// `NAME=VALUE`, or `NAME-` to take it away.
fn annotate(nodes: &Nodes, annotation: &str) {
    nodes.kubectl(&[
        "annotate",
        "--overwrite",
        "kafkacluster",
        CLUSTER,
        annotation,
    ]);
}

fn cluster(nodes: &Nodes) -> Option<Value> {
    nodes.get("kafkacluster", CLUSTER)
}

fn wait_settled(nodes: &Nodes, what: &str) {
    nodes.wait_settled(what, &[RESOURCE]);
}

fn pods(nodes: &Nodes, pool: &str) -> Vec<(String, String)> {
    nodes.pods(&format!(
        "app.kubernetes.io/instance={CLUSTER},millrace.dev/pool={pool}"
    ))
}

fn all_pods(nodes: &Nodes) -> Vec<(String, String)> {
    [pods(nodes, "controllers"), pods(nodes, "brokers")].concat()
}

fn is_another_pod(nodes: &Nodes, before: &(String, String)) -> Option<()> {
    let now = pods(
        nodes,
        if before.0.contains("brokers") {
            "brokers"
        } else {
            "controllers"
        },
    );
    now.iter()
        .any(|pod| pod.0 == before.0 && pod.1 != before.1)
        .then_some(())
}

/// Each pod is another one. Waits, so that an operator that calls itself done too early does not cost the row its figures.
fn all_restarted(nodes: &Nodes, before: &[(String, String)]) {
    for pod in before {
        let what = format!("{} restarted", pod.0);
        nodes.wait(&what, LIMIT, || is_another_pod(nodes, pod));
    }
    wait_settled(nodes, "all restarted");
}

fn roll_all(nodes: &Nodes) {
    let before = all_pods(nodes);
    let delay = (30_000 + fresh() % 10_000).to_string();
    patch(
        nodes,
        &json!({"spec": {"config": {"log.segment.delete.delay.ms": delay}}}),
    );
    wait_settled(nodes, "a roll of all");
    all_restarted(nodes, &before);
}

fn upgrade(nodes: &Nodes) {
    let at = cluster(nodes).unwrap();
    let image = nodes.image("KAFKA");
    assert_ne!(
        at["spec"]["image"], image,
        "upgraded already: begin with a new cluster"
    );
    let before = all_pods(nodes);
    patch(nodes, &json!({"spec": {"image": image}}));
    wait_settled(nodes, "an upgrade");
    all_restarted(nodes, &before);
    let former = at["status"]["metadataVersion"].clone();
    nodes.wait("a raised metadata version", LIMIT, || {
        (cluster(nodes)?["status"]["metadataVersion"] != former).then_some(())
    });
}

fn scale(nodes: &Nodes, brokers: u32) {
    let mut pools = cluster(nodes).unwrap()["spec"]["pools"].clone();
    for pool in pools.as_array_mut().unwrap() {
        if pool["name"] == "brokers" {
            pool["replicas"] = json!(brokers);
        }
    }
    patch(nodes, &json!({"spec": {"pools": pools}}));
}

fn more_brokers(nodes: &Nodes) {
    annotate(nodes, "millrace.dev/drain-");
    scale(nodes, 5);
    wait_settled(nodes, "five brokers");
    assert_eq!(pods(nodes, "brokers").len(), 5);
    let value = fresh().to_string();
    annotate(nodes, &format!("millrace.dev/rebalance={value}"));
    nodes.wait("replicas on five brokers", LIMIT, || {
        let at = cluster(nodes)?["status"]["rebalance"].clone();
        (at["value"] == value && at["done"] == true).then_some(())
    });
    wait_settled(nodes, "replicas on five brokers");
}

fn fewer_brokers(nodes: &Nodes) {
    scale(nodes, 3);
    nodes.wait("the refusal", LIMIT, || {
        let conditions = cluster(nodes)?["status"]["conditions"].clone();
        let refused = |one: &Value| one["reason"] == "BrokersHoldReplicas";
        conditions.as_array()?.iter().any(refused).then_some(())
    });
    assert_eq!(
        pods(nodes, "brokers").len(),
        5,
        "brokers with replicas are kept"
    );
    annotate(nodes, "millrace.dev/drain=103,104");
    nodes.wait("three brokers", LIMIT, || {
        (pods(nodes, "brokers").len() == 3).then_some(())
    });
    wait_settled(nodes, "three brokers");
}

fn replaced_volume(nodes: &Nodes) {
    annotate(nodes, "millrace.dev/replace-volume-");
    let before = pods(nodes, "brokers").remove(1);
    annotate(nodes, &format!("millrace.dev/replace-volume={}", before.0));
    nodes.wait("a new pod", LIMIT, || is_another_pod(nodes, &before));
    wait_settled(nodes, "a new volume");
}

/// The claims of a pod go, and the pod at once: what its disk held is gone.
fn lose_volume(nodes: &Nodes, pool: &str) {
    let before = pods(nodes, pool).remove(0);
    let pod = nodes.get("pod", &before.0).unwrap();
    for volume in pod["spec"]["volumes"].as_array().unwrap() {
        if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
            nodes.kubectl(&["delete", "pvc", claim, "--wait=false"]);
        }
    }
    nodes.kubectl(&["delete", "pod", &before.0, "--force", "--grace-period=0"]);
    nodes.wait("a new pod", LIMIT, || is_another_pod(nodes, &before));
    wait_settled(nodes, &format!("{} with an empty volume", before.0));
}

fn lost_volumes(nodes: &Nodes) {
    lose_volume(nodes, "brokers");
    lose_volume(nodes, "controllers");
}

fn new_authority(nodes: &Nodes) {
    let of_now = |nodes: &Nodes| {
        nodes.get("secret", &format!("{CLUSTER}-binding")).unwrap()["data"]["certificates"].clone()
    };
    let (pods, before) = (all_pods(nodes), of_now(nodes));
    annotate(nodes, &format!("millrace.dev/rotate-ca={}", fresh()));
    wait_settled(nodes, "a new certificate authority");
    all_restarted(nodes, &pods);
    assert_ne!(of_now(nodes), before, "clients trust the former authority");
}

fn kills(nodes: &Nodes) {
    for (pod, _) in all_pods(nodes) {
        nodes.kill_and_wait(&pod, "kafka", "java");
        wait_settled(nodes, &format!("{pod} after kill -9"));
    }
}

fn cut(nodes: &Nodes) {
    nodes.cable("cut", "n3");
    std::thread::sleep(Duration::from_secs(60));
    nodes.cable("heal", "n3");
    nodes.wait("n3 is back", LIMIT, || {
        let node = nodes.get("node", "n3")?;
        (condition(&node, "Ready") == Some("True")).then_some(())
    });
    wait_settled(nodes, "a healed node");
}

type Fault = fn(&Nodes);

const FAULTS: [(&str, Fault); 10] = [
    ("nothing", |_| std::thread::sleep(Duration::from_secs(30))),
    ("all restarted by a changed setting", roll_all),
    ("upgraded to the next version", upgrade),
    ("a new certificate authority", new_authority),
    ("each controller and broker killed, kill -9", kills),
    ("a node cut off for 60 s", cut),
    ("3 → 5 brokers, replicas spread", more_brokers),
    ("5 → 3 brokers by drain", fewer_brokers),
    ("a broker's volume replaced", replaced_volume),
    ("volumes of a broker and a controller lost", lost_volumes),
];

/// Each broker runs with the rack that the node of Kubernetes says under it.
fn are_in_their_racks(nodes: &Nodes) {
    for (pod, _) in pods(nodes, "brokers") {
        let runs_at = nodes.get("pod", &pod).unwrap()["spec"]["nodeName"].clone();
        let node = nodes.get("node", runs_at.as_str().unwrap()).unwrap();
        let zone = &node["metadata"]["labels"]["topology.kubernetes.io/zone"];
        let wanted = format!("broker.rack={}", zone.as_str().unwrap());
        let cat = [
            "exec",
            &pod,
            "-c",
            "kafka",
            "--",
            "cat",
            "/tmp/server.properties",
        ];
        let settings = nodes.kubectl(&cat);
        assert!(
            settings.lines().any(|line| line == wanted),
            "{pod}: no {wanted} in {settings}"
        );
    }
}

/// Namespace and cluster, unless a run before left them.
fn found(nodes: &Nodes) {
    nodes.found();
    if cluster(nodes).is_some() {
        return wait_settled(nodes, "the cluster of the run before");
    }
    let started = Instant::now();
    nodes.apply(&manifest(&nodes.image("FORMER_KAFKA")));
    wait_settled(nodes, "a new cluster");
    are_in_their_racks(nodes);
    println!(
        "three controllers and three brokers from nothing: {:.0} s",
        started.elapsed().as_secs_f64()
    );
}

#[test]
#[ignore = "drill"]
fn kafka_keeps_what_it_acknowledged() {
    let nodes = Nodes::find().expect("run it by `cargo xtask soak --only kafka`");
    let rows = chosen(&FAULTS);
    found(&nodes);
    Load::prepare(&nodes, CLUSTER);
    println!(
        "| what | took, s | acknowledged | lost | twice | out of order | not acknowledged | longest gap: written, s | read, s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut outcomes: Vec<(&str, Outcome)> = Vec::new();
    // As each row ends, so that a later failure does not take the figures of the former ones along.
    for (row, what, fault) in rows {
        let load = Load::start(&nodes, format!("r{row}-{}", fresh()));
        std::thread::sleep(CALM);
        let started = Instant::now();
        fault(&nodes);
        let took = started.elapsed().as_secs_f64();
        std::thread::sleep(CALM);
        let seen = load.finish(&nodes);
        println!(
            "| {what} | {took:.0} | {} | {} | {} | {} | {} | {:.1} | {:.1} |",
            seen.acknowledged,
            seen.lost,
            seen.doubled,
            seen.out_of_order,
            seen.failed,
            seen.written_gap,
            seen.read_gap
        );
        outcomes.push((what, seen));
    }
    for (what, seen) in outcomes {
        assert!(seen.acknowledged > 1000, "{what}: hardly any load");
        assert_eq!(
            (seen.lost, seen.out_of_order),
            (0, 0),
            "{what}: lost, out of order"
        );
    }
}
