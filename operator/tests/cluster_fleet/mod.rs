//! A platform of its own on real nodes, with everything that scores, offers, answers and erases; and the way into each of its stores.

pub mod day;
pub mod executors;
pub mod forgotten;
pub mod gateway;
pub mod hdfs;
pub mod identities;
pub mod kafka;
pub mod lake;
pub mod scan;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use millrace_testkit::Platform;
use serde_json::{Value, json};

use crate::cluster_support::{
    client, condition, forward, get, make_namespace, millrace, remove_namespace, wait,
};
use day::Day;
use gateway::Gateway;
use hdfs::Hdfs;
use kafka::Broker;

/// Where it lives.
pub const NAMESPACE: &str = "fleet-day";
/// Its name.
pub const PLATFORM: &str = "f";
/// Two cores start fifteen containers one after the other, five of them of Java.
pub const LIMIT: Duration = Duration::from_secs(1800);
/// For so long a server may be too busy to answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// The file of stretches, under the root of the lake.
const ROADS: &str = "roads/day.csv";
/// What offers ask for: rule, least score, least distance in km.
pub const RULES: [(&str, f64, f64); 2] = [("gold", 90.0, 10.0), ("silver", 75.0, 10.0)];
/// Litres on 100 km of each model.
pub const REFERENCE: f64 = 6.5;

/// All of it.
pub struct Scene {
    pub platform: Platform,
    pub python: PathBuf,
    pub day: Day,
    pub gateway: Gateway,
    pub hdfs: Hdfs,
    mongo: mongodb::Client,
    kafka: SocketAddr,
    whisk: SocketAddr,
    /// Passwords of the roles score and analyst.
    passwords: [String; 2],
}

/// Removes what a run before may have left. The user deletes the namespace, and nothing of it stays.
pub fn remove(platform: &Platform) {
    remove_namespace(platform);
}

/// Applies the namespace and the Platform, and waits until all of it works.
pub fn found(platform: &Platform) {
    make_namespace(platform);
    platform.apply(&wanted().to_string()).unwrap();
    for what in [
        "platform/f",
        "streamjob/f-archive",
        "streamjob/f-lake-events",
        "streamjob/f-lake-alerts",
        "streamjob/f-materialize",
        "batchjob/f-score",
        "batchjob/f-analyse",
        "action/f-make-offer",
        "eventsource/f-offers",
    ] {
        wait(what, LIMIT, || {
            let object = get(platform, &[what]);
            let observed =
                object["status"]["observedGeneration"] == object["metadata"]["generation"];
            (observed && condition(&object, "Available") == "True").then_some(())
        });
    }
}

fn wanted() -> Value {
    // Another platform is on the same node.
    let few = json!({"cpu": "10m"});
    let rule = |(name, score, distance): (&str, f64, f64)| {
        let text = format!("{name}: {{score}}");
        let rule = json!({"leastScore": score, "leastDistanceKm": distance, "reward": {"percent": 10},
            "text": {"en": text, "de": text}});
        (name.to_owned(), rule)
    };
    let rules: serde_json::Map<String, Value> = RULES.into_iter().map(rule).collect();
    // Runs are begun by the test, and none of the files that it copies is compacted meanwhile.
    let never = "@yearly";
    json!({"apiVersion": "millrace.dev/v1alpha1", "kind": "Platform",
    "metadata": {"name": PLATFORM, "namespace": NAMESPACE},
    "spec": {
        "kafka": {"resources": few, "storage": {"size": "1Gi"}},
        "gateway": {"resources": few},
        "detect": {"resources": few},
        "hdfs": {"nameNodes": {"resources": few}, "dataNodes": {"resources": few, "storage": {"size": "2Gi"}}},
        "archive": {"resources": few, "config": {"rollInterval": "10s"}, "compaction": {"schedule": never}},
        "postgres": {"resources": few},
        "score": {"schedule": never, "config": {"fuelReference": {"*": REFERENCE}}},
        "analysts": {"schedule": never, "config": {"roadFiles": [ROADS]}},
        "openwhisk": {"resources": few, "storage": {"size": "256Mi"}},
        "mongo": {"resources": few},
        "materialize": {"resources": few},
        "offers": {"rules": rules},
        // All that is in the lake is what the test has sent.
        "flow": {"canarySeconds": 0},
    }})
}

impl Scene {
    /// Opens the ways into a platform that works.
    pub async fn open(platform: Platform, python: PathBuf) -> Self {
        let pods: Api<Pod> = Api::namespaced(client(&platform).await, NAMESPACE);
        let gateways = ListParams::default().labels("app.kubernetes.io/instance=f-gateway");
        let gateways = pods.list(&gateways).await.unwrap().items;
        let gateway = forward(pods.clone(), gateways[0].name_any(), 8080).await;
        let mongo = forward(pods.clone(), "f-mongo-0".to_owned(), 27017).await;
        let mongo = format!("mongodb://{mongo}/?directConnection=true");
        let mongo = mongodb::Client::with_uri_str(mongo).await.unwrap();
        let password = |role: &str| {
            let binding = format!("{PLATFORM}-postgres-{role}-binding");
            platform.secret(&binding, "password").unwrap()
        };
        let passwords = ["score", "analyst"].map(password);
        Self {
            python,
            day: Day::new(),
            gateway: Gateway::new(&platform, "f-gateway", gateway),
            hdfs: Hdfs::open(&pods, "f-hdfs").await,
            mongo,
            kafka: forward(pods.clone(), "f-kafka-0".to_owned(), 9092).await,
            whisk: forward(pods, "f-whisk-0".to_owned(), 3233).await,
            passwords,
            platform,
        }
    }

    /// A connection to Kafka.
    pub async fn broker(&self) -> Broker {
        Broker::open(self.kafka).await
    }

    /// What `millrace` says, or complains of.
    pub fn millrace(&self, arguments: &[&str]) -> Result<String, String> {
        // Another Platform is the environment's default.
        let arguments = [&["--platform", PLATFORM][..], arguments].concat();
        millrace(&self.platform, NAMESPACE, &arguments)
    }

    /// What PostgreSQL answers a role: `score`, to whom the tables belong, or `analyst`.
    pub fn sql(&self, role: &str, statement: &str) -> anyhow::Result<String> {
        let [score, analyst] = &self.passwords;
        let password = if role == "score" { score } else { analyst };
        let cluster = format!("{PLATFORM}-postgres");
        let login = (role, password.as_str());
        self.platform.psql(&cluster, login, statement)
    }

    /// The rows of a query as objects, by PostgreSQL itself.
    pub fn objects(&self, role: &str, query: &str) -> Vec<Value> {
        let query = format!("SELECT row_to_json(q)::text FROM ({query}) q");
        let started = Instant::now();
        let rows = loop {
            match self.sql(role, &query) {
                Ok(rows) => break rows,
                // A busy machine may not let it in at once.
                Err(error) => assert!(started.elapsed() < PATIENCE, "{error:#}"),
            }
            std::thread::sleep(Duration::from_secs(2));
        };
        let rows = rows.lines().filter(|line| !line.is_empty());
        rows.map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Asks for a new password of the role score, runs the job that gets in by it at once, and goes on with the new one.
    pub fn rotate(&mut self) {
        let cluster = format!("postgrescluster/{PLATFORM}-postgres");
        let asks = "millrace.dev/rotate-password=score:1";
        self.platform
            .kubectl(&["annotate", &cluster, asks])
            .unwrap();
        self.run("score");
        let binding = format!("{PLATFORM}-postgres-score-binding");
        let next = wait("the new password", LIMIT, || {
            let password = self.platform.secret(&binding, "password").ok();
            password.filter(|password| *password != self.passwords[0])
        });
        // With the former one nobody gets in any more.
        assert!(self.sql("score", "SELECT 1").is_err());
        self.passwords[0] = next;
        self.sql("score", "SELECT 1").unwrap();
        // And by that it works as before.
        self.run("score");
    }

    /// Runs a batch job now.
    pub fn run(&self, job: &str) {
        let cron_job = format!("{PLATFORM}-{job}");
        self.platform.run_now(&cron_job, LIMIT).unwrap();
    }

    /// How many records of a topic the lake holds.
    pub fn archived(&self, dataset: &str) -> Option<usize> {
        let job = format!("{PLATFORM}-archive");
        let ask = [
            "lake",
            "ls",
            "--job",
            &job,
            "--dataset",
            dataset,
            "--output",
            "json",
        ];
        let listed: Value = serde_json::from_str(&self.millrace(&ask).ok()?).ok()?;
        let sources = listed["sources"].as_object()?.values();
        let rows: u64 = sources.filter_map(|source| source["rows"].as_u64()).sum();
        usize::try_from(rows).ok()
    }

    /// Waits until the lake holds so many.
    pub fn wait_archived(&self, dataset: &str, rows: usize) {
        let what = format!("{rows} records of {dataset} in the lake");
        wait(&what, LIMIT, || {
            (self.archived(dataset)? >= rows).then_some(())
        });
        assert_eq!(self.archived(dataset), Some(rows), "{dataset}");
    }

    /// Waits until a consumer group has read all of a topic.
    pub async fn wait_read(&self, group: &str, topic: &str) {
        let started = Instant::now();
        loop {
            let lag = self.broker().await.lag(group, topic).await;
            if lag == Some(0) {
                return;
            }
            assert!(started.elapsed() < LIMIT, "{group}: {lag:?} of {topic}");
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    /// Puts the file of roads where the job looks for it.
    pub async fn put_roads(&self) {
        let path = format!("/millrace/lake/{ROADS}");
        self.hdfs.write(&path, &self.day.roads).await;
    }
}
