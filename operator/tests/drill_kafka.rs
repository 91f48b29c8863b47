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

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use drill_support::load::{Load, Outcome};
use drill_support::{NAMESPACE, Nodes, condition};
use serde_json::{Value, json};

/// A whole round of restarts on two cores takes its time.
const LIMIT: Duration = Duration::from_secs(900);
/// Load before the first step and after the last one.
const CALM: Duration = Duration::from_secs(10);

const CLUSTER: &str = "k";

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
                 "volumes": [{"size": "1Gi"}], "resources": {"memory": memory, "cpu": "20m"}},
            ],
            "listeners": {"secure": {}},
        },
    })
    .to_string()
}

fn patch(nodes: &Nodes, change: &Value) {
    nodes.kubectl(&[
        "patch",
        "kafkacluster",
        CLUSTER,
        "--type=merge",
        "-p",
        &change.to_string(),
    ]);
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
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pods = list["items"].as_array().unwrap().iter();
    pods.map(|pod| {
        (
            text(&pod["metadata"]["name"]),
            text(&pod["metadata"]["uid"]),
        )
    })
    .collect()
}

fn all_pods(nodes: &Nodes) -> Vec<(String, String)> {
    [pods(nodes, "controllers"), pods(nodes, "brokers")].concat()
}

/// A value that no drill before has used.
fn fresh() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
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
    assert_ne!(
        at["spec"]["image"], nodes.image,
        "upgraded already: begin with a new cluster"
    );
    let before = all_pods(nodes);
    patch(nodes, &json!({"spec": {"image": nodes.image}}));
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
    let restarts = |pod: &str| {
        let seen = nodes.get("pod", pod)?;
        let container = seen["status"]["containerStatuses"][0].clone();
        Some((
            container["restartCount"].as_u64()?,
            container["ready"] == true,
        ))
    };
    for (pod, _) in all_pods(nodes) {
        let (before, _) = restarts(&pod).unwrap();
        nodes.kill(&pod);
        nodes.wait(&format!("{pod} after kill -9"), LIMIT, || {
            restarts(&pod).filter(|(count, ready)| *count > before && *ready)
        });
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

/// Namespace and cluster, unless a run before left them.
fn found(nodes: &Nodes) {
    if cluster(nodes).is_some() {
        return wait_settled(nodes, "the cluster of the run before");
    }
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    nodes.apply(&namespace.to_string());
    let started = Instant::now();
    nodes.apply(&manifest(&nodes.former));
    wait_settled(nodes, "a new cluster");
    println!(
        "three controllers and three brokers from nothing: {:.0} s",
        started.elapsed().as_secs_f64()
    );
}

#[test]
#[ignore = "drill"]
fn kafka_keeps_what_it_acknowledged() {
    let nodes = Nodes::find().expect("run it by `cargo xtask soak --only kafka`");
    let only = std::env::var("MILLRACE_SOAK_ONLY").unwrap_or_default();
    found(&nodes);
    Load::prepare(&nodes, CLUSTER);
    println!(
        "| what | took, s | acknowledged | lost | twice | out of order | not acknowledged | longest gap: written, s | read, s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut rows: Vec<(&str, Outcome)> = Vec::new();
    // As each row ends, so that a later failure does not take the figures of the former ones along.
    for (row, (what, fault)) in FAULTS.into_iter().enumerate() {
        if !what.contains(&only) {
            continue;
        }
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
        rows.push((what, seen));
    }
    assert!(
        !rows.is_empty(),
        "MILLRACE_SOAK_ONLY={only:?} is in no row's name"
    );
    for (what, seen) in rows {
        assert!(seen.acknowledged > 1000, "{what}: hardly any load");
        assert_eq!(
            (seen.lost, seen.out_of_order),
            (0, 0),
            "{what}: lost, out of order"
        );
    }
}
