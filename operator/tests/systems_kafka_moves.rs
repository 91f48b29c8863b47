//! What a cluster goes through in its life, with real nodes and the operator's own steps: controllers come and go, a
//! broker is emptied, replicas spread, a volume is lost, the metadata is raised. No record gets lost on the way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod kafka_nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_nodes::{LIMIT, Nodes, cluster, libs, valid};
use millrace_operator::kafka::ValidatedKafka;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::kafka::inside::{self, Inside, Seen};
use millrace_operator::kafka::membership;
use millrace_operator::kafka::moves::{FOLLOWER_RATE, FOLLOWERS, LEADER_RATE, LEADERS};
use millrace_operator::kafka::validate::Found;
use millrace_operator::kafka::view::View;
use millrace_operator::remote::kafka::{
    ConfigSource, Isolation, KafkaAdmin, KafkaError, NewTopic, Timeouts,
};
use serde_json::{Value, json};

const RECORDS: usize = 40_000;

struct Scene {
    nodes: Nodes,
    admin: Arc<KafkaAdmin>,
    resource: KafkaCluster,
    kafka: ValidatedKafka,
}

impl Scene {
    /// Changes what is asked for. Four nodes are there.
    fn ask(&mut self, nodes: i32, annotations: Value, more: &[(&str, Value)]) {
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

    async fn view(&self) -> Result<View, KafkaError> {
        View::look(&self.admin).await
    }

    /// What a reconcile does inside, with nothing remembered but the status.
    async fn reconcile(&mut self) -> Option<(Seen, View)> {
        let view = self.view().await.ok()?;
        let inside = Inside {
            admin: Arc::clone(&self.admin),
            view,
        };
        let asked: BTreeSet<i32> = (0..self.kafka.pools[0].asked).collect();
        let seen = inside::settle(&self.resource, &self.kafka, &asked, Some(&inside)).await;
        if let (Some(moved), Some(status)) = (&seen.moved, &mut self.resource.status) {
            moved.tell(status);
        }
        Some((seen, inside.view))
    }

    /// Reconciles until it is as hoped. Gives what was seen on the way.
    async fn until(&mut self, what: &str, hoped: impl Fn(&Seen, &View) -> bool) -> Vec<String> {
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
    async fn throttle_at(&self, rate: &str) {
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

    async fn rates(&self) -> BTreeMap<String, Option<String>> {
        let keys = [LEADER_RATE, FOLLOWER_RATE];
        let set = self.admin.settings_of_all_brokers(&keys).await.unwrap();
        set.into_iter().map(|(key, e)| (key, e.value)).collect()
    }

    /// Topics with lists of throttled replicas.
    async fn throttled(&self) -> Vec<String> {
        let keys = [LEADERS, FOLLOWERS];
        let settings = self.admin.settings_of_topics(&["t"], &keys).await.unwrap();
        let topic = settings.into_values().flatten();
        let set = topic.filter(|(_, entry)| entry.source == ConfigSource::Topic);
        set.map(|(key, entry)| format!("{key}={}", entry.value.unwrap_or_default()))
            .collect()
    }

    async fn nothing_is_throttled(&self) {
        // Brokers learn of it a moment later.
        for _ in 0..50 {
            if self.rates().await.is_empty() && self.throttled().await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{:?} {:?}", self.rates().await, self.throttled().await);
    }

    async fn ends(&self) -> i64 {
        let ends = self
            .admin
            .end_offsets("t", Isolation::ReadUncommitted)
            .await;
        ends.unwrap().values().sum()
    }

    fn bootstrap(&self) -> String {
        let address = |pod| self.nodes.address(&self.kafka, pod, 9092).to_string();
        [address("k-0"), address("k-2")].join(",")
    }

    /// The records that are there, each once.
    fn read(&self) -> BTreeSet<String> {
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

    fn write(&self) -> BTreeSet<String> {
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

fn copies(view: &View) -> Vec<usize> {
    (0..4).map(|id| view.copies_on(id)).collect()
}

fn is_quiet(seen: &Seen) -> bool {
    let moved = seen.moved.as_ref().unwrap();
    moved.moves.is_none() && moved.plan.told().is_none() && moved.failed.is_none()
}

fn voters(view: &View) -> BTreeSet<i32> {
    view.quorum.voters.iter().map(|voter| voter.id).collect()
}

fn is_synced(view: &View) -> bool {
    view.partitions()
        .all(|(_, p)| p.in_sync.len() == p.replicas.len())
}

async fn start(libs: std::path::PathBuf) -> Scene {
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
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn a_cluster_grows_shrinks_and_heals_without_losing_records() {
    let Some(libs) = libs() else {
        return;
    };
    let mut scene = start(libs).await;
    let held = [("metadataVersion", json!("4.2"))];

    // Three controllers come to vote one by one, then a fourth.
    scene.ask(3, json!({}), &held);
    scene
        .until("three vote", |_, view| voters(view) == [0, 1, 2].into())
        .await;
    scene.ask(4, json!({}), &held);
    scene
        .until("four vote", |_, view| voters(view).len() == 4)
        .await;

    let topic = NewTopic {
        name: "t".into(),
        partitions: 8,
        replication_factor: 3,
        config: [("min.insync.replicas".to_owned(), "2".to_owned())].into(),
    };
    scene.admin.create_topic(&topic).await.unwrap();
    scene
        .until("all are in sync", |_, view| {
            view.topics
                .iter()
                .any(|t| t.name == "t" && t.partitions.len() == 8)
                && is_synced(view)
        })
        .await;
    let written = scene.write();
    let ends = scene.ends().await;
    assert_eq!(ends, RECORDS as i64);

    drains(&mut scene).await;
    assert_eq!((scene.ends().await, scene.read()), (ends, written.clone()));
    rebalances(&mut scene).await;
    assert_eq!((scene.ends().await, scene.read()), (ends, written.clone()));
    a_volume_is_replaced(&mut scene).await;
    assert_eq!((scene.ends().await, scene.read()), (ends, written));
    the_metadata_is_raised(&mut scene).await;
}

/// Node 3 is to go: its vote and its replicas do, slowly, and adjusted on the way.
async fn drains(scene: &mut Scene) {
    let slow = [
        ("metadataVersion", json!("4.2")),
        ("replicaMoveRate", json!("64Ki")),
    ];
    scene.ask(3, json!({"millrace.dev/drain": "3"}), &slow);
    let hold = |kafka: &ValidatedKafka, view: &View| {
        let inside = membership::Inside::of(&view.quorum, &view.topics);
        membership::hold(&mut kafka.clone(), Some(&inside))
    };
    let view = scene.view().await.unwrap();
    assert!(!hold(&scene.kafka, &view).is_empty());
    // It is noted before anything is throttled.
    let (first, _) = scene.reconcile().await.unwrap();
    assert!(first.moved.unwrap().moves.is_some());
    assert!(scene.rates().await.is_empty());
    scene
        .until("it moves", |_, view| !view.reassignments.is_empty())
        .await;
    scene.throttle_at("65536").await;
    let lists = scene.throttled().await;
    assert!(
        lists.iter().any(|list| list.starts_with(FOLLOWERS)),
        "{lists:?}"
    );
    let (seen, _) = scene.reconcile().await.unwrap();
    assert!(seen.moved.unwrap().plan.drain[0].bytes_left.unwrap() > 0);
    // What moves is made faster.
    let fast = [
        ("metadataVersion", json!("4.2")),
        ("replicaMoveRate", json!("100Mi")),
    ];
    scene.ask(3, json!({"millrace.dev/drain": "3"}), &fast);
    let (seen, _) = scene.reconcile().await.unwrap();
    assert_eq!(seen.moved.unwrap().failed, None);
    scene.throttle_at("104857600").await;
    scene
        .until("it is empty", |seen, view| {
            is_quiet(seen) && voters(view).len() == 3
        })
        .await;
    let view = scene.view().await.unwrap();
    assert_eq!(view.copies_on(3), 0);
    assert!(is_synced(&view));
    assert!(scene.resource.status.as_ref().unwrap().drain[0].done);
    assert_eq!(hold(&scene.kafka, &view), Vec::<String>::new());
    scene.nothing_is_throttled().await;
}

/// Node 3 is asked for again and gets its share.
async fn rebalances(scene: &mut Scene) {
    let held = [("metadataVersion", json!("4.2"))];
    scene.ask(4, json!({"millrace.dev/rebalance": "1"}), &held);
    scene
        .until("it begins", |_, view| {
            !view.reassignments.is_empty() || view.copies_on(3) > 0
        })
        .await;
    scene
        .until("it is even", |seen, view| {
            is_quiet(seen) && voters(view).len() == 4
        })
        .await;
    let view = scene.view().await.unwrap();
    let copies = copies(&view);
    assert!(
        copies.iter().max().unwrap() - copies.iter().min().unwrap() <= 1,
        "{copies:?}"
    );
    let remembered = scene.resource.status.clone().unwrap().rebalance.unwrap();
    assert!(remembered.done && remembered.value == "1");
    scene.nothing_is_throttled().await;
}

/// A controller and broker comes back with an empty volume: its former vote goes, it gets a new one, and it is filled.
async fn a_volume_is_replaced(scene: &mut Scene) {
    let before = scene.view().await.unwrap();
    let directory = |view: &View| {
        let voter = view.quorum.voters.iter().find(|voter| voter.id == 1);
        voter.map(|voter| voter.directory)
    };
    let former = directory(&before);
    assert!(former.is_some());
    scene.nodes.kill("k-1");
    fs::remove_dir_all(scene.nodes.local("k-1", "/var/lib/kafka/data")).unwrap();
    scene.nodes.mount(&scene.kafka);
    scene.nodes.start("k-1");
    let told = scene
        .until("it votes again", |_, view| {
            voters(view).len() == 4
                && directory(view) != former
                && membership::change(&view.quorum, &[0, 1, 2, 3].into()).is_none()
                && is_synced(view)
        })
        .await;
    let said = |text: &str| told.iter().any(|line| line.contains(text));
    assert!(said("controller 1 loses its vote"), "{told:?}");
    assert!(said("controller 1 comes to vote"), "{told:?}");
    // It stays so, though the leader still lists the former directory.
    let again = told.iter().filter(|line| line.contains("comes to vote"));
    assert_eq!(again.count(), 1, "{told:?}");
    for _ in 0..5 {
        let (seen, _) = scene.reconcile().await.unwrap();
        assert_eq!(seen.changing, None);
    }
    // Leaders go back to where they belong.
    scene
        .until("leaders are preferred", |_, view| !view.wants_election())
        .await;
}

async fn the_metadata_is_raised(scene: &mut Scene) {
    let raise = async |scene: &Scene, all_run: bool| {
        let inside = Inside {
            admin: Arc::clone(&scene.admin),
            view: scene.view().await.unwrap(),
        };
        inside::raise_metadata(&scene.kafka, Some(&inside), all_run).await
    };
    let before = raise(scene, true).await;
    assert_eq!(before.finalized.as_deref(), Some("4.2-IV1"));
    assert_eq!((before.told, before.refused), (None, None));
    // It follows the image, once all nodes run it.
    scene.ask(4, json!({}), &[]);
    let waits = raise(scene, false).await.told.unwrap();
    assert!(waits.contains("once all nodes run"), "{waits}");
    let raised = raise(scene, true).await;
    assert!(raised.told.is_some(), "{raised:?}");
    let end = Instant::now() + LIMIT;
    loop {
        let now = raise(scene, true).await;
        if now.told.is_none() && now.finalized.as_deref() > Some("4.2-IV1") {
            break;
        }
        assert!(Instant::now() < end, "{now:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    scene.ask(4, json!({}), &[("metadataVersion", json!("4.2"))]);
    let refused = raise(scene, true).await.refused.unwrap();
    assert!(refused.contains("cannot go back"), "{refused}");
}
