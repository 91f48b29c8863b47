//! The files that are built for nodes, run by the real Kafka: a cluster is founded once, certificates hold, and an
//! authority is replaced while the cluster works.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod kafka_nodes;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kafka_nodes::{LIMIT, Nodes, cluster, ids, libs, line, valid};
use millrace_operator::kafka::ValidatedKafka;
use millrace_operator::kafka::build::build;
use millrace_operator::kafka::certificates::Secrets;
use millrace_operator::kafka::validate::Found;
use millrace_operator::pki::Phase;
use serde_json::json;

#[test]
#[ignore = "systems tier"]
fn a_cluster_is_founded_once_and_a_node_without_its_volume_joins_it_again() {
    let Some(libs) = libs() else {
        return;
    };
    let mut resource = cluster(json!({"nodes": 3, "storage": {"size": "1Gi"}}));
    let kafka = valid(&resource, &Found::default());
    let mut nodes = Nodes::new(libs, 21, &kafka);
    nodes.mount(&kafka);
    for pod in ["k-0", "k-1", "k-2"] {
        nodes.start(pod);
    }
    for pod in ["k-0", "k-1", "k-2"] {
        nodes.wait(&kafka, pod, 9092);
    }
    let at = ["--bootstrap-server", "k-1.k-nodes.ns.svc:9092"];
    let said = nodes.quorum(&at, |text| ids(text, "CurrentObservers").len() == 2);
    assert_eq!(ids(&said, "CurrentVoters"), [0], "{said}");
    // The others are taken into the quorum.
    for pod in ["k-1", "k-2"] {
        let settings = nodes.local(pod, "/tmp/server.properties");
        let arguments = [
            "--bootstrap-controller",
            "k-0.k-nodes.ns.svc:9093",
            "--command-config",
            &settings,
            "add-controller",
        ];
        nodes
            .tool("org.apache.kafka.tools.MetadataQuorumCommand", &arguments)
            .unwrap();
    }
    let before = nodes.quorum(&at, |text| ids(text, "CurrentVoters").len() == 3);
    // The founder loses its volume. The cluster has worked before, so it may not found another one.
    resource.status = serde_json::from_value(json!({"bootstrapped": true})).unwrap();
    let kafka = valid(&resource, &Found::default());
    nodes.kill("k-0");
    fs::remove_dir_all(nodes.local("k-0", "/var/lib/kafka/data")).unwrap();
    nodes.mount(&kafka);
    nodes.start("k-0");
    // The others may still believe that it leads: Kafka ends a node that is told so and knows nothing of it.
    nodes.wait_restarting(&kafka, "k-0", 9092);
    let after = nodes.quorum(&at, |text| ids(text, "CurrentObservers") == [0]);
    assert_eq!(line(&after, "ClusterId"), line(&before, "ClusterId"));
    assert_ne!(
        line(&after, "LeaderId").split_whitespace().last(),
        Some("0"),
        "{after}"
    );
}

#[test]
#[ignore = "systems tier"]
fn the_only_controller_does_not_begin_anew_without_being_let() {
    let Some(libs) = libs() else {
        return;
    };
    let mut resource = cluster(json!({"nodes": 1, "storage": {"size": "1Gi"}}));
    resource.status = serde_json::from_value(json!({"bootstrapped": true})).unwrap();
    let kafka = valid(&resource, &Found::default());
    let mut nodes = Nodes::new(libs, 22, &kafka);
    nodes.mount(&kafka);
    nodes.start("k-0");
    let end = Instant::now() + LIMIT;
    let told = nodes.local("k-0", "/dev/termination-log");
    while !Path::new(&told).exists() {
        assert!(Instant::now() < end, "{}", nodes.log("k-0"));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    nodes.kill("k-0");
    assert!(fs::read_to_string(&told).unwrap().contains("allow-format"));
    assert!(!Path::new(&nodes.local("k-0", "/var/lib/kafka/data/log")).exists());
    let allowed = json!({"millrace.dev/allow-format": "1"});
    resource.metadata.annotations = serde_json::from_value(allowed).unwrap();
    let kafka = valid(&resource, &Found::default());
    nodes.mount(&kafka);
    nodes.start("k-0");
    nodes.wait(&kafka, "k-0", 9092);
}

/// What Kubernetes would give back of a cluster: its Secrets, and pods which all run them.
fn seen(kafka: &ValidatedKafka) -> Found {
    let certificates = kafka.certificates.as_ref().unwrap();
    let built = build(kafka).unwrap();
    let secret = |name: &str| -> BTreeMap<String, ByteString> {
        built.get::<Secret>(name).unwrap().data.unwrap()
    };
    let pods = kafka
        .nodes()
        .map(|node| {
            let revision = certificates.rotation.revision.to_string();
            serde_json::from_value(json!({
                "metadata": {"name": node.pod, "annotations": {"millrace.dev/certificates": revision}},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]}}))
            .unwrap()
        })
        .collect();
    Found {
        pods,
        secrets: Secrets {
            authority: Some(certificates.authority_data()),
            given: None,
            nodes: secret("k-certificates"),
            operator: secret("k-admin"),
        },
        now: jiff::Timestamp::now(),
        ..Found::default()
    }
}

#[test]
#[ignore = "systems tier"]
fn secure_nodes_understand_each_other_in_every_phase_of_a_new_authority() {
    let Some(libs) = libs() else {
        return;
    };
    let mut resource = cluster(json!({
        "pools": [
            {"name": "control", "roles": ["controller"], "replicas": 1, "firstNodeId": 0, "lastNodeId": 9,
             "volumes": [{"size": "1Gi"}]},
            {"name": "store", "roles": ["broker"], "replicas": 2, "firstNodeId": 100, "lastNodeId": 109,
             "volumes": [{"size": "1Gi"}, {"size": "1Gi"}]}],
        "listeners": {"secure": {}}}));
    let now = Found {
        now: jiff::Timestamp::now(),
        ..Found::default()
    };
    let mut kafka = valid(&resource, &now);
    let mut nodes = Nodes::new(libs, 23, &kafka);
    nodes.mount(&kafka);
    let pods = ["k-control-0", "k-store-0", "k-store-1"];
    for pod in pods {
        nodes.start(pod);
    }
    for pod in &pods[1..] {
        nodes.wait(&kafka, pod, 9094);
    }
    let place = |nodes: &Nodes, name: &str| nodes.directory.path().join(name).display().to_string();
    let operator = place(&nodes, "operator.properties");
    let nobody = place(&nodes, "nobody.properties");
    let at = [
        "--bootstrap-server",
        "k-store-1.k-nodes.ns.svc:9091",
        "--command-config",
    ];
    let whole = |text: &str| ids(text, "CurrentObservers").len() == 2;
    let as_operator = [at[0], at[1], at[2], &operator];
    nodes.quorum(&as_operator, whole);
    // Without a certificate nobody gets in there.
    let mut as_nobody = vec![at[0], at[1], at[2], &nobody];
    as_nobody.extend(["describe", "--status"]);
    let refused = nodes.tool("org.apache.kafka.tools.MetadataQuorumCommand", &as_nobody);
    assert!(refused.is_err(), "{refused:?}");
    // A client logs in by name and password, and may do nothing until a rule lets it.
    let user = [
        "--bootstrap-server",
        at[1],
        "--command-config",
        &operator,
        "--alter",
        "--entity-type",
        "users",
        "--entity-name",
        "alice",
        "--add-config",
        "SCRAM-SHA-512=[password=secret]",
    ];
    nodes.tool("kafka.admin.ConfigCommand", &user).unwrap();
    let login = place(&nodes, "alice.properties");
    let trusted = fs::read_to_string(&nobody)
        .unwrap()
        .replace("=SSL", "=SASL_SSL");
    fs::write(
        &login,
        trusted
            + "sasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"alice\" password=\"secret\";\n",
    )
    .unwrap();
    let mut as_alice = vec![
        "--bootstrap-server",
        "k-store-0.k-nodes.ns.svc:9094",
        "--command-config",
        &login,
    ];
    as_alice.extend(["describe", "--status"]);
    let refused = nodes.tool("org.apache.kafka.tools.MetadataQuorumCommand", &as_alice);
    let refused = refused.unwrap_err();
    assert!(
        refused.contains("ClusterAuthorizationException"),
        "{refused}"
    );

    // One of its volumes is lost: the broker fills it again.
    nodes.kill("k-store-1");
    fs::remove_dir_all(nodes.local("k-store-1", "/var/lib/kafka/data-1")).unwrap();
    nodes.mount(&kafka);
    nodes.start("k-store-1");
    nodes.wait(&kafka, "k-store-1", 9094);

    let asked = json!({"millrace.dev/rotate-ca": "1"});
    resource.metadata.annotations = serde_json::from_value(asked).unwrap();
    let mut phases = Vec::new();
    loop {
        kafka = valid(&resource, &seen(&kafka));
        let phase = kafka.certificates.as_ref().unwrap().rotation.phase;
        phases.push(phase);
        if phase == Phase::Settled {
            break;
        }
        nodes.mount(&kafka);
        for pod in pods {
            nodes.restart(pod);
            if pod == "k-control-0" {
                nodes.wait(&kafka, pod, 9093);
            } else {
                nodes.wait(&kafka, pod, 9094);
            }
            // Those who are a phase behind still work with it, and so does the operator.
            let said = nodes.quorum(&as_operator, whole);
            assert_eq!(
                line(&said, "MaxFollowerLagTimeMs")
                    .split_whitespace()
                    .last(),
                Some("0")
            );
        }
    }
    assert_eq!(
        phases,
        [
            Phase::TrustBoth,
            Phase::Reissue,
            Phase::DropFormer,
            Phase::Settled
        ]
    );
}
