//! A cluster of four real nodes, reconciled inside by the operator's own steps, and records that must not get lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_operator::kafka::ValidatedKafka;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::kafka::inside::{self, Inside, Seen};
use millrace_operator::kafka::moves::Factors;
use millrace_operator::kafka::throttle::{FOLLOWER_RATE, FOLLOWERS, LEADER_RATE, LEADERS};
use millrace_operator::kafka::validate::Found;
use millrace_operator::kafka::view::View;
use millrace_operator::remote::kafka::{ConfigSource, Isolation, KafkaAdmin, KafkaError, Timeouts};
use serde_json::{Value, json};

use crate::kafka_nodes::{LIMIT, Nodes, cluster, valid};

pub const RECORDS: usize = 40_000;

pub struct Scene {
    pub nodes: Nodes,
    pub admin: Arc<KafkaAdmin>,
    pub resource: KafkaCluster,
    pub kafka: ValidatedKafka,
    /// What topics ask for.
    pub factors: Factors,
}

impl Scene {
    /// Changes what is asked for. Four nodes are there.
    pub fn ask(&mut self, nodes: i32, annotations: Value, more: &[(&str, Value)]) {
        let status = self.resource.status.take();
        let mut spec = json!({"nodes": nodes, "storage": {"size": "1Gi"}});
        for (field, value) in more {
            spec[*field] = value.clone();
        }
        self.resource = cluster(spec);
        self.resource.status = status;
        self.resource.metadata.annotations = serde_json::from_value(annotations).unwrap();
        let found = Found {
            replicas: [("k".to_owned(), 4)].into(),
            ..Found::default()
        };
        self.kafka = valid(&self.resource, &found);
    }

    pub async fn view(&self) -> Result<View, KafkaError> {
        View::look(&self.admin).await
    }

    /// What a reconcile does inside, with nothing remembered but the status.
    pub async fn reconcile(&mut self) -> Option<(Seen, View)> {
        let view = self.view().await.ok()?;
        let inside = Inside {
            admin: Arc::clone(&self.admin),
            view,
        };
        let asked: BTreeSet<i32> = (0..self.kafka.pools[0].asked).collect();
        let seen = inside::settle(
            &self.resource,
            &self.kafka,
            &asked,
            &self.factors,
            Some(&inside),
        )
        .await;
        if let (Some(moved), Some(status)) = (&seen.moved, &mut self.resource.status) {
            moved.tell(status);
        }
        Some((seen, inside.view))
    }

    /// Reconciles until it is as hoped. Gives what was seen on the way.
    pub async fn until(&mut self, what: &str, hoped: impl Fn(&Seen, &View) -> bool) -> Vec<String> {
        let end = Instant::now() + LIMIT * 2;
        let mut told = Vec::new();
        loop {
            let looked = self.reconcile().await;
            if let Some((seen, view)) = &looked {
                told.extend(seen.changing.clone());
                let moved = seen.moved.as_ref();
                told.extend(moved.and_then(|moved| moved.plan.told()));
                told.extend(moved.and_then(|moved| moved.failed.clone()));
                if hoped(seen, view) {
                    return told;
                }
            }
            let last = looked.map(|(seen, _)| seen);
            assert!(Instant::now() < end, "{what}: {told:#?}\n{last:#?}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Waits until all brokers are to throttle at this rate: they learn of it a moment after the controller.
    pub async fn throttle_at(&self, rate: &str) {
        let wanted =
            [LEADER_RATE, FOLLOWER_RATE].map(|key| (key.to_owned(), Some(rate.to_owned())));
        for _ in 0..50 {
            if self.rates().await == wanted.clone().into() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{:?} instead of {rate}", self.rates().await);
    }

    pub async fn rates(&self) -> BTreeMap<String, Option<String>> {
        let keys = [LEADER_RATE, FOLLOWER_RATE];
        let set = self.admin.settings_of_all_brokers(&keys).await.unwrap();
        set.into_iter().map(|(key, e)| (key, e.value)).collect()
    }

    /// Topics with lists of throttled replicas.
    pub async fn throttled(&self) -> Vec<String> {
        let keys = [LEADERS, FOLLOWERS];
        let settings = self.admin.settings_of_topics(&["t"], &keys).await.unwrap();
        let topic = settings.into_values().flatten();
        let set = topic.filter(|(_, entry)| entry.source == ConfigSource::Topic);
        set.map(|(key, entry)| format!("{key}={}", entry.value.unwrap_or_default()))
            .collect()
    }

    pub async fn nothing_is_throttled(&self) {
        // Brokers learn of it a moment later.
        for _ in 0..50 {
            if self.rates().await.is_empty() && self.throttled().await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{:?} {:?}", self.rates().await, self.throttled().await);
    }

    pub async fn ends(&self) -> i64 {
        let ends = self
            .admin
            .end_offsets("t", Isolation::ReadUncommitted)
            .await;
        ends.unwrap().values().sum()
    }

    pub fn bootstrap(&self) -> String {
        let address = |pod| self.nodes.address(&self.kafka, pod, 9092).to_string();
        [address("k-0"), address("k-2")].join(",")
    }

    /// The records that are there, each once.
    pub fn read(&self) -> BTreeSet<String> {
        let most = RECORDS.to_string();
        let said = self.nodes.tool(
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            &[
                "--bootstrap-server",
                &self.bootstrap(),
                "--topic",
                "t",
                "--from-beginning",
                "--max-messages",
                &most,
                "--timeout-ms",
                "60000",
            ],
        );
        said.unwrap().lines().map(str::to_owned).collect()
    }

    pub fn write(&self) -> BTreeSet<String> {
        let file = self.nodes.directory.path().join("records");
        let mut out = fs::File::create(&file).unwrap();
        let records: BTreeSet<String> = (0..RECORDS)
            .map(|number| format!("record-{number:06}-{}", "x".repeat(500)))
            .collect();
        for record in &records {
            writeln!(out, "{record}").unwrap();
        }
        drop(out);
        let said = self.nodes.tool_reading(
            "org.apache.kafka.tools.ConsoleProducer",
            &[
                "--bootstrap-server",
                &self.bootstrap(),
                "--topic",
                "t",
                "--command-property",
                "acks=all",
            ],
            &file,
        );
        said.unwrap();
        records
    }
}

pub async fn start(libs: std::path::PathBuf) -> Scene {
    let mut resource =
        cluster(json!({"nodes": 4, "storage": {"size": "1Gi"}, "metadataVersion": "4.2"}));
    let kafka = valid(&resource, &Found::default());
    let mut nodes = Nodes::new(libs, 24, &kafka);
    nodes.by_address = true;
    nodes.mount(&kafka);
    let pods = ["k-0", "k-1", "k-2", "k-3"];
    for pod in pods {
        nodes.start(pod);
    }
    for pod in pods {
        nodes.wait(&kafka, pod, 9092);
    }
    let addresses = pods.map(|pod| nodes.address(&kafka, pod, 9092).to_string());
    let limits = Timeouts {
        connect: Duration::from_secs(2),
        request: Duration::from_secs(10),
        call: Duration::from_secs(20),
    };
    resource.status =
        serde_json::from_value(json!({"bootstrapped": true, "readyNodes": 4})).unwrap();
    Scene {
        admin: Arc::new(KafkaAdmin::new(&addresses.join(","), limits).unwrap()),
        nodes,
        resource,
        kafka,
        factors: Factors::new(),
    }
}
