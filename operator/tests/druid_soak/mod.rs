//! A Druid of several servers beside a small Platform on real nodes, the ways into both, and what is waited for.

pub mod faults;
pub mod gateway;

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use millrace_operator::remote::druid::DruidClient;
use millrace_operator::remote::kafka::message::{metadata_request, read_topics};
use millrace_operator::remote::kafka::{Connection, Credentials};
use millrace_testkit::Platform;
use serde_json::{Map, Value, json};

use crate::cluster_support::{client, condition, forward, get, make_namespace, wait};
use crate::door::Door;
use crate::druid_pods::watch::number;
use crate::druid_support::{limits, store};
use gateway::Vehicles;

/// Where it lives.
pub const NAMESPACE: &str = "fleet-druid";
/// As whom the test changes resources.
pub const MANAGER: &str = "cluster-druid";
/// A topic of records that no ingestion of telemetry can read.
const JUNK: &str = "junk";
/// How many events answers count.
pub const COUNT: &str = "SELECT SUM(events) AS n FROM telemetry";
/// Two cores start thirteen containers, twelve of them of Java.
pub const LIMIT: Duration = Duration::from_secs(1200);
/// So many answers one after the other are the same when nothing moves any more: either of two tasks may be asked.
const STEADY: usize = 20;

fn resource(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
    })
}

/// The Platform `p`, the smallest that takes telemetry in; and a Druid `d` that bears the loss of any server that answers or
/// takes in, on an HDFS of one NameNode and one DataNode. These are no parts of the Platform, which would put back what is
/// changed of them.
fn wanted() -> Vec<Value> {
    // Another platform is on the same node.
    let small = |memory: &str| json!({"memory": memory, "cpu": "10m"});
    let platform = json!({
        "kafka": {"resources": small("512Mi"), "storage": {"size": "1Gi"}},
        "gateway": {"resources": small("192Mi")},
        // All that is counted is what the test has sent.
        "flow": {"canarySeconds": 0},
    });
    let hdfs = json!({
        "nameNodes": {"resources": small("512Mi"), "storage": {"size": "1Gi"}},
        "dataNodes": {"replicas": 1, "resources": small("384Mi"), "storage": {"size": "2Gi"}},
    });
    let druid = json!({
        "zookeeper": {"ensemble": "z"},
        "deepStorage": {"hdfs": "h"},
        "coordinators": {"resources": small("384Mi")},
        "brokers": {"resources": small("384Mi")},
        "historicals": {"replicas": 2, "storage": {"size": "1Gi"}, "resources": small("384Mi")},
        "workers": {"replicas": 2, "resources": small("640Mi")},
    });
    let telemetry = json!({
        "binding": "d-binding", "topic": "p-telemetry", "signals": ["speed", "coolant_temperature"],
        "replicas": 2, "copies": 2,
    });
    let audit = json!({"binding": "d-binding", "topic": "p-audit", "granularity": "second"});
    vec![
        resource("Platform", "p", &platform),
        resource("HdfsCluster", "h", &hdfs),
        resource(
            "ZooKeeperEnsemble",
            "z",
            &json!({"servers": 3, "resources": small("256Mi")}),
        ),
        resource("DruidCluster", "d", &druid),
        resource(
            "KafkaTopic",
            JUNK,
            &json!({"kafka": "p-kafka", "partitions": 1, "replicationFactor": 1, "schema": "telemetry"}),
        ),
        resource("DruidIngestion", "telemetry", &telemetry),
        resource("DruidIngestion", "audit", &audit),
    ]
}

/// Applies the namespace and all that lives there, and waits until it works.
pub fn found(platform: &Platform) {
    make_namespace(platform);
    for object in wanted() {
        platform.apply(&object.to_string()).unwrap();
    }
    for what in [
        "platform/p",
        "hdfscluster/h",
        "zookeeperensemble/z",
        "druidcluster/d",
        "kafkatopic/junk",
        "druidingestion/telemetry",
        "druidingestion/audit",
    ] {
        wait(what, LIMIT, || {
            let object = get(platform, &[what]);
            let observed =
                object["status"]["observedGeneration"] == object["metadata"]["generation"];
            (observed && condition(&object, "Available") == "True").then_some(())
        });
    }
}

/// Says, when the test fails, what was going on: the resources, the pods, and the end of their logs.
pub struct Evidence<'a>(pub &'a Platform);

impl Drop for Evidence<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let told = |arguments: &[&str]| {
            let told = self.0.kubectl(arguments);
            told.unwrap_or_else(|error| format!("{error:#}"))
        };
        eprintln!("{}", told(&["get", "millrace,pods", "-o", "wide"]));
        for pod in told(&["get", "pods", "-o", "name"]).lines() {
            let log = ["logs", pod, "--all-containers", "--tail=12"];
            eprintln!("== {pod}\n{}", told(&log));
        }
    }
}

/// Writes a line that is shown of a test that succeeds, too: its measurements are what it is run for.
pub fn shown(line: &str) {
    // Not by a macro, whose output is kept back.
    let mut out = std::io::stderr().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Waits until there is an answer that holds.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            eprintln!("{what}: {:.1} s", begin.elapsed().as_secs_f64());
            return found;
        }
        assert!(begin.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Changes an object by a merge patch.
pub fn patch(platform: &Platform, what: (&str, &str), change: &Value) {
    let ((kind, name), change) = (what, change.to_string());
    let manager = format!("--field-manager={MANAGER}");
    let patch = ["patch", kind, name, "--type=merge", &manager, "-p", &change];
    platform.kubectl(&patch).unwrap();
}

/// All of it, and the ways in.
pub struct Scene {
    pub platform: Platform,
    pub pods: Api<Pod>,
    pub druid: DruidClient,
    pub vehicles: Vehicles,
    kafka: SocketAddr,
}

impl Scene {
    /// Opens the ways into what works.
    pub async fn open(platform: Platform) -> Self {
        let pods: Api<Pod> = Api::namespaced(client(&platform).await, NAMESPACE);
        let gateways = ListParams::default().labels("app.kubernetes.io/instance=p-gateway");
        let gateways = pods.list(&gateways).await.unwrap().items;
        let gateway = forward(pods.clone(), gateways[0].name_any(), 8080).await;
        let token = platform.secret("p-gateway", "admin-token").unwrap();
        let gateway = Door::at(gateway).shown(format!("Bearer {token}"));
        let coordinator = forward(pods.clone(), "d-coordinator-0".to_owned(), 8081).await;
        let broker = forward(pods.clone(), "d-broker-0".to_owned(), 8082).await;
        let (coordinator, broker) = (format!("http://{coordinator}"), format!("http://{broker}"));
        Self {
            druid: DruidClient::new(&coordinator, &broker, Duration::from_secs(20)).unwrap(),
            vehicles: Vehicles::new(gateway),
            kafka: forward(pods.clone(), "p-kafka-0".to_owned(), 9092).await,
            pods,
            platform,
        }
    }

    /// Waits until answers count so many events, and no other number any more.
    pub async fn counted(&self, events: usize) {
        let events = u64::try_from(events).unwrap();
        until(&format!("{events} events are counted"), async || {
            for _ in 0..STEADY {
                // Until the first task has told of it there is no such table.
                let answer = self.druid.sql(COUNT).await.unwrap_or_default();
                if number(&answer) != Some(events) {
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Some(())
        })
        .await;
    }

    /// Waits until both tasks tell that they have read so many records. One that is not yet known to have begun would be
    /// killed by a suspension, and hand nothing over.
    pub async fn both_read(&self, events: usize) {
        let events = u64::try_from(events).unwrap();
        until(&format!("both tasks have read {events}"), async || {
            let state = self.druid.state("telemetry").await.ok()??;
            let has_read = |task: &&Value| {
                let offsets = task["currentOffsets"].as_object();
                let next = offsets.map(|all| all.values().filter_map(Value::as_u64).sum::<u64>());
                next == Some(events)
            };
            let both = state.active_tasks.iter().filter(has_read).count() == 2;
            (both && state.detailed_state == "RUNNING").then_some(())
        })
        .await;
    }

    /// Waits until what is stored is on two historicals; with `all`, nothing is only with a worker.
    pub async fn loaded_twice(&self, all: bool) {
        let stored = if all { "" } else { " AND is_published = 1" };
        let segments = format!(
            "SELECT is_published, is_available, num_replicas FROM sys.segments \
             WHERE datasource = 'telemetry' AND is_overshadowed = 0{stored}"
        );
        until("what is stored is on two historicals", async || {
            let rows = self.druid.sql(&segments).await.ok()?;
            let is_there = |row: &Map<String, Value>| {
                row["is_published"] == 1 && row["is_available"] == 1 && row["num_replicas"] == 2
            };
            (!rows.is_empty() && rows.iter().all(is_there)).then_some(())
        })
        .await;
    }

    /// Changes the ingestion of telemetry.
    pub fn change(&self, spec: &Value) {
        let ingestion = ("druidingestion", "telemetry");
        patch(&self.platform, ingestion, &json!({"spec": spec}));
    }

    /// Lets nothing more be read, and waits until historicals answer for everything.
    pub async fn hand_over(&self) {
        self.change(&json!({"suspended": true}));
        self.loaded_twice(true).await;
    }

    /// Stores records in the topic of junk.
    pub async fn put_junk(&self, records: impl Iterator<Item = Vec<u8>>) {
        let (address, asked) = (self.kafka.to_string(), "find a topic");
        let connection = Connection::open(&address, &Credentials::default(), &limits()).await;
        let mut connection = connection.unwrap();
        let request = |_: i16| metadata_request(Some(&[JUNK][..]));
        let answer = connection
            .ask(request, asked, Duration::from_secs(60))
            .await;
        let topics = read_topics(&answer.unwrap(), asked).unwrap();
        store(&mut connection, &topics[0], records).await;
    }
}
