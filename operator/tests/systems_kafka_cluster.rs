//! The files that are built for nodes, run by the real Kafka: a cluster is founded once, certificates hold, and an
//! authority is replaced while the cluster works.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use millrace_operator::context::Images;
use millrace_operator::kafka::ValidatedKafka;
use millrace_operator::kafka::build::build;
use millrace_operator::kafka::certificates::Secrets;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::kafka::validate::{Found, validate};
use millrace_operator::pki::Phase;
use millrace_testkit::{Server, left_out};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(90);

/// The nodes of one cluster, each on a loopback address and in a directory of its own.
struct Nodes {
    directory: tempfile::TempDir,
    libs: PathBuf,
    /// The third number of the nodes' addresses.
    net: u8,
    running: BTreeMap<String, Server>,
}

fn libs() -> Option<PathBuf> {
    let libs = std::env::var_os("MILLRACE_KAFKA_LIBS").map(PathBuf::from);
    let libs = libs.filter(|libs| libs.is_dir());
    if libs.is_none() || Command::new("java").arg("-version").output().is_err() {
        left_out("Kafka clusters", "$MILLRACE_KAFKA_LIBS and java are needed").unwrap();
        return None;
    }
    libs
}

fn cluster(spec: Value) -> KafkaCluster {
    serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaCluster",
        "metadata": {"name": "k", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        "spec": spec,
    }))
    .unwrap()
}

fn valid(cluster: &KafkaCluster, found: &Found) -> ValidatedKafka {
    let images = Images {
        kafka: "kafka".into(),
        stream: "stream".into(),
        whisk: "whisk".into(),
    };
    validate(cluster, found, &images).unwrap()
}

impl Nodes {
    fn new(libs: PathBuf, net: u8, kafka: &ValidatedKafka) -> Self {
        let nodes = Self {
            directory: tempfile::tempdir().unwrap(),
            libs,
            net,
            running: BTreeMap::new(),
        };
        let mut hosts = String::new();
        for (number, node) in kafka.nodes().enumerate() {
            hosts += &format!("127.0.{net}.{} {}\n", 10 + number, node.host);
        }
        fs::write(nodes.hosts(), hosts).unwrap();
        nodes
    }

    fn hosts(&self) -> PathBuf {
        self.directory.path().join("hosts")
    }

    fn address(&self, kafka: &ValidatedKafka, pod: &str, port: u16) -> SocketAddr {
        let number = kafka.nodes().position(|node| node.pod == pod).unwrap();
        SocketAddr::from(([127, 0, self.net, 10 + number as u8], port))
    }

    /// Paths of a container become paths of a directory.
    fn local(&self, pod: &str, text: &str) -> String {
        let home = self.directory.path().join(pod);
        let home = home.display();
        text.replace("/tmp/", &format!("{home}/tmp/"))
            .replace(
                "/etc/millrace-certificates",
                &format!("{home}/certificates"),
            )
            .replace("/etc/millrace/", &format!("{home}/etc/"))
            .replace("/var/lib/kafka", &format!("{home}/volumes"))
            .replace("/opt/kafka/libs", &self.libs.display().to_string())
            .replace("/dev/termination-log", &format!("{home}/tmp/end"))
    }

    /// Writes what Kubernetes would mount.
    fn mount(&self, kafka: &ValidatedKafka) {
        let built = build(kafka).unwrap();
        for pool in &kafka.pools {
            let files: ConfigMap = built.get(&pool.files_name()).unwrap();
            for node in pool.nodes(&kafka.owner) {
                let home = self.directory.path().join(&node.pod);
                for part in ["etc", "tmp", "certificates"] {
                    fs::create_dir_all(home.join(part)).unwrap();
                }
                for volume in &pool.volumes {
                    fs::create_dir_all(self.local(&node.pod, &volume.path)).unwrap();
                }
                for (name, content) in files.data.clone().unwrap() {
                    // All nodes have the same ports, so each listens on its own address only.
                    let content = if name == "server.properties" {
                        content
                            .lines()
                            .map(|line| match line.strip_prefix("listeners=") {
                                Some(list) => {
                                    format!("listeners={}", list.replace("://:", "://@HOST@:"))
                                }
                                None => line.to_owned(),
                            })
                            .fold(String::new(), |text, line| text + &line + "\n")
                    } else {
                        content
                    };
                    fs::write(home.join("etc").join(name), self.local(&node.pod, &content))
                        .unwrap();
                }
                if let Some(secret) = built.get::<Secret>("k-certificates") {
                    for (name, content) in secret.data.unwrap() {
                        fs::write(home.join("certificates").join(name), content.0).unwrap();
                    }
                }
            }
        }
        if let Some(admin) = built
            .get::<Secret>("k-admin")
            .filter(|_| kafka.certificates.is_some())
        {
            let data = admin.data.unwrap();
            let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
            let place = |name: &str| self.directory.path().join(name);
            fs::write(place("trusted.pem"), text("certificates")).unwrap();
            fs::write(
                place("operator.pem"),
                text("private-key") + &text("client-certificate"),
            )
            .unwrap();
            let trusted = format!(
                "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location={}\n",
                place("trusted.pem").display()
            );
            fs::write(place("nobody.properties"), &trusted).unwrap();
            let operator = format!(
                "{trusted}ssl.keystore.type=PEM\nssl.keystore.location={}\n",
                place("operator.pem").display()
            );
            fs::write(place("operator.properties"), operator).unwrap();
        }
    }

    fn java(&self, command: &mut Command) {
        let hosts = format!("-Djdk.net.hosts.file={}", self.hosts().display());
        command.env("JAVA_TOOL_OPTIONS", hosts);
    }

    fn start(&mut self, pod: &str) {
        let home = self.directory.path().join(pod);
        let mut command = Command::new("sh");
        command.arg(home.join("etc/start.sh")).env("HOSTNAME", pod);
        self.java(&mut command);
        let server = Server::start(&mut command, &home.join("tmp/log")).unwrap();
        self.running.insert(pod.to_owned(), server);
    }

    fn log(&self, pod: &str) -> String {
        fs::read_to_string(self.directory.path().join(pod).join("tmp/log")).unwrap_or_default()
    }

    fn kill(&mut self, pod: &str) {
        self.running.remove(pod);
    }

    /// Ends a node as Kubernetes does, and starts it again.
    fn restart(&mut self, pod: &str) {
        let server = self.running.remove(pod).unwrap();
        let pid = server.pid().to_string();
        Command::new("kill").arg(&pid).status().unwrap();
        let end = Instant::now() + LIMIT;
        while Path::new("/proc").join(&pid).join("exe").exists() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(server);
        self.start(pod);
    }

    fn wait(&self, kafka: &ValidatedKafka, pod: &str, port: u16) {
        let address = self.address(kafka, pod, port);
        let end = Instant::now() + LIMIT;
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            assert!(Instant::now() < end, "{pod}: {}", self.log(pod));
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Runs one of Kafka's own tools. Gives what it says, or what went wrong.
    fn tool(&self, class: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("java");
        command
            .args([
                "-Xmx128m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
            ])
            .arg(self.libs.join("*"))
            .arg(class)
            .args(arguments);
        self.java(&mut command);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stdout) + &text(output.stderr))
        }
    }

    /// What the quorum says of itself, asked until it says what is hoped for.
    fn quorum(&self, arguments: &[&str], hoped: impl Fn(&str) -> bool) -> String {
        let mut all = arguments.to_vec();
        all.extend(["describe", "--status"]);
        let end = Instant::now() + LIMIT;
        loop {
            let said = self.tool("org.apache.kafka.tools.MetadataQuorumCommand", &all);
            match said {
                Ok(text) if hoped(&text) => return text,
                other => assert!(Instant::now() < end, "{other:?}"),
            }
        }
    }
}

fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().find(|line| line.starts_with(name));
    found.unwrap_or_default()
}

fn ids(text: &str, name: &str) -> Vec<i32> {
    let of = line(text, name);
    let parts = of.split("\"id\": ").skip(1);
    parts
        .map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap()
        })
        .collect()
}

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
    nodes.wait(&kafka, "k-0", 9092);
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
        std::thread::sleep(Duration::from_millis(100));
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
