//! What the real Kafka and ZooKeeper tell a real Prometheus by what is built for them, and the rules that see a fault.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod hdfs_nodes;
mod kafka_nodes;
mod prometheus_support;

use std::fs;

use kafka_nodes::{Nodes, cluster, ids, libs, valid};
use millrace_contract::metric::{Metric, differences_from};
use millrace_operator::kafka::validate::Found;
use millrace_operator::monitoring::of_systems;
use millrace_testkit::{hadoop, prometheus, zookeeper};
use prometheus_support::{Prometheus, panels, scrape, scrape_targets, target};
use serde_json::json;

const PODS: [&str; 3] = ["k-0", "k-1", "k-2"];
const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const QUORUM: &str = "org.apache.kafka.tools.MetadataQuorumCommand";

fn listed(prefix: &str) -> Vec<Metric> {
    let all = of_systems().into_iter();
    all.filter(|metric| metric.name.starts_with(prefix))
        .collect()
}

/// Whether all that a query needs is of the nodes here.
fn of_kafka(query: &str) -> bool {
    !query.contains("millrace_")
        && (query.contains("kafka_") || query.contains("app_kubernetes_io_name=\"kafka\""))
}

#[test]
#[ignore = "systems tier"]
fn kafka_tells_of_itself_and_rules_see_its_brokers_go() {
    let (Some(libs), Some(programs)) = (libs(), prometheus().unwrap()) else {
        return;
    };
    let kafka = valid(
        &cluster(json!({"nodes": 3, "storage": {"size": "1Gi"}})),
        &Found::default(),
    );
    let mut nodes = Nodes::new(libs, 24, &kafka);
    nodes.mount(&kafka);
    for pod in PODS {
        nodes.start(pod);
    }
    for pod in PODS {
        nodes.wait(&kafka, pod, 9092);
    }
    let at = ["--bootstrap-server", "k-0.k-nodes.ns.svc:9092"];
    for pod in ["k-1", "k-2"] {
        let settings = nodes.local(pod, "/tmp/server.properties");
        let arguments = [
            "--bootstrap-controller",
            "k-0.k-nodes.ns.svc:9093",
            "--command-config",
            &settings,
            "add-controller",
        ];
        nodes.tool(QUORUM, &arguments).unwrap();
    }
    nodes.quorum(&at, |text| ids(text, "CurrentVoters").len() == 3);
    // Each on all brokers, and all of them needed; and one on the broker that goes.
    let made = [
        ("all", "0:1:2", "min.insync.replicas=3"),
        ("one", "2", "min.insync.replicas=1"),
    ];
    for (name, brokers, setting) in made {
        let what = [
            "--create",
            "--topic",
            name,
            "--replica-assignment",
            brokers,
            "--config",
            setting,
        ];
        nodes.tool(TOPICS, &[&at[..], &what].concat()).unwrap();
    }
    let records = nodes.directory.path().join("records");
    fs::write(&records, "a\nb\nc\n").unwrap();
    let arguments = [&at[..], &["--topic", "all"]].concat();
    nodes
        .tool_reading(
            "org.apache.kafka.tools.ConsoleProducer",
            &arguments,
            &records,
        )
        .unwrap();

    let address = |pod: &str| nodes.address(&kafka, pod, 9404).to_string();
    // Combined nodes have all of it.
    let told = scrape(&address("k-0"), "kafka_");
    assert_eq!(
        differences_from(&listed("kafka_"), &told),
        Vec::<String>::new(),
        "{told}"
    );
    let home = tempfile::tempdir().unwrap();
    let targets = PODS.map(|pod| target(&address(pod), "kafka", "k", pod));
    let prometheus = Prometheus::start(&programs, home.path(), &scrape_targets(&targets));
    prometheus.wait_for("sum(kafka_server_brokertopicmetrics_messagesin_total) == 3");
    prometheus.wait_for("rate(kafka_server_brokertopicmetrics_bytesin_total[5m])");
    let mut asked = 0;
    for panel in panels().iter().filter(|panel| of_kafka(&panel.query)) {
        let found = prometheus.ask(&panel.query).unwrap();
        assert!(
            !found.is_empty(),
            "{} has no data: {}",
            panel.title,
            panel.query
        );
        asked += 1;
    }
    assert!(asked >= 16, "{asked}");
    prometheus.wait_for("sum(kafka_controller_kafkacontroller_activecontrollercount) == 1");
    // A rule that was worked out while not all targets had been asked is worked out again a second later.
    prometheus.wait_for("absent(ALERTS{alertname=~\"MillraceKafka.*\"})");

    nodes.kill("k-2");
    for rule in [
        "MillraceTargetDown",
        "MillraceKafkaUnderReplicated",
        "MillraceKafkaUnderMinIsr",
        "MillraceKafkaOfflinePartitions",
    ] {
        prometheus.wait_for_alert(rule);
    }
    let told = prometheus.alerts();
    assert!(
        !told.contains(&"MillraceKafkaNoController".to_owned()),
        "{told:?}"
    );
    // Without most of its controllers the last one gives up.
    nodes.kill("k-1");
    prometheus.wait_for_alert("MillraceKafkaNoController");
}

#[test]
#[ignore = "systems tier"]
fn zookeeper_tells_of_itself() {
    let (Some(hadoop), Some(zookeeper)) = (hadoop().unwrap(), zookeeper().unwrap()) else {
        return;
    };
    let Some(programs) = prometheus().unwrap() else {
        return;
    };
    let resource =
        hdfs_nodes::cluster(json!({"dataNodes": {"replicas": 1, "storage": {"size": "1Gi"}}}));
    let hdfs = hdfs_nodes::valid(&resource);
    let mut nodes = hdfs_nodes::Nodes::new(hadoop, zookeeper, 46, &hdfs);
    nodes.mount(&hdfs);
    nodes.start("z-0", "start");
    nodes.wait_for_port("z-0", 2181);
    let address = format!("{}:9404", nodes.address("z-0"));
    let home = tempfile::tempdir().unwrap();
    let targets = [target(&address, "zookeeper", "z", "z-0")];
    let prometheus = Prometheus::start(&programs, home.path(), &scrape_targets(&targets));
    prometheus.wait_for("sum(zookeeper_leader) == 1");
    prometheus.wait_for("rate(zookeeper_packetsreceived_total[5m])");
    let told = scrape(&address, "zookeeper_");
    assert_eq!(
        differences_from(&listed("zookeeper_"), &told),
        Vec::<String>::new(),
        "{told}"
    );
    let mut asked = 0;
    for panel in panels()
        .iter()
        .filter(|panel| panel.query.contains("zookeeper_"))
    {
        let found = prometheus.ask(&panel.query).unwrap();
        assert!(
            !found.is_empty(),
            "{} has no data: {}",
            panel.title,
            panel.query
        );
        asked += 1;
    }
    assert_eq!(asked, 6);
}
