//! The nodes of a KafkaCluster as processes: the files that are built for them, run by the real Kafka, each node on a
//! loopback address of its own.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use millrace_operator::context::Images;
use millrace_operator::kafka::ValidatedKafka;
use millrace_operator::kafka::build::build;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::kafka::validate::{Found, validate};
use millrace_testkit::{Server, exporting_at, left_out, own_loopback};
use serde_json::{Value, json};

pub const LIMIT: Duration = Duration::from_secs(90);

/// The nodes of one cluster, each on a loopback address and in a directory of its own.
pub struct Nodes {
    pub directory: tempfile::TempDir,
    libs: PathBuf,
    /// The third number of the nodes' addresses.
    net: u8,
    /// The address of each node, by pod.
    addresses: BTreeMap<String, IpAddr>,
    running: BTreeMap<String, Server>,
    /// Whether brokers tell their clients an address, which those find who do not know the names of the nodes.
    pub by_address: bool,
}

pub fn libs() -> Option<PathBuf> {
    let libs = std::env::var_os("MILLRACE_KAFKA_LIBS").map(PathBuf::from);
    let libs = libs.filter(|libs| libs.is_dir());
    if libs.is_none() || Command::new("java").arg("-version").output().is_err() {
        left_out("Kafka clusters", "$MILLRACE_KAFKA_LIBS and java are needed").unwrap();
        return None;
    }
    libs
}

pub fn cluster(spec: Value) -> KafkaCluster {
    serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaCluster",
        "metadata": {"name": "k", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        "spec": spec,
    }))
    .unwrap()
}

pub fn valid(cluster: &KafkaCluster, found: &Found) -> ValidatedKafka {
    let images = Images::named(str::to_owned);
    validate(cluster, found, &images).unwrap()
}

impl Nodes {
    pub fn new(libs: PathBuf, net: u8, kafka: &ValidatedKafka) -> Self {
        let mut nodes = Self {
            directory: tempfile::tempdir().unwrap(),
            libs,
            net,
            addresses: BTreeMap::new(),
            running: BTreeMap::new(),
            by_address: false,
        };
        let mut hosts = String::new();
        for (number, node) in kafka.nodes().enumerate() {
            let address = own_loopback(net, 10 + number as u8);
            hosts += &format!("{address} {}\n", node.host);
            nodes.addresses.insert(node.pod, address.into());
        }
        fs::write(nodes.hosts(), hosts).unwrap();
        nodes
    }

    pub fn hosts(&self) -> PathBuf {
        self.directory.path().join("hosts")
    }

    pub fn address(&self, kafka: &ValidatedKafka, pod: &str, port: u16) -> SocketAddr {
        let number = kafka.nodes().position(|node| node.pod == pod).unwrap();
        SocketAddr::from((own_loopback(self.net, 10 + number as u8), port))
    }

    /// Paths of a container become paths of a directory.
    pub fn local(&self, pod: &str, text: &str) -> String {
        let home = self.directory.path().join(pod);
        let home = home.display();
        // On the node's own address, as its listeners are.
        exporting_at(text, &self.addresses[pod].to_string())
            .replace("/tmp/", &format!("{home}/tmp/"))
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
    pub fn mount(&self, kafka: &ValidatedKafka) {
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
                            .map(|line| match line.split_once('=') {
                                Some(("listeners", list)) => {
                                    format!("listeners={}", list.replace("://:", "://@HOST@:"))
                                }
                                Some(("advertised.listeners", _)) if self.by_address => {
                                    let address = self.address(kafka, &node.pod, 9092);
                                    let client = format!("PLAINTEXT://{address}");
                                    line.replace("PLAINTEXT://@HOST@:9092", &client)
                                }
                                _ => line.to_owned(),
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

    pub fn java(&self, command: &mut Command) {
        let hosts = format!("-Djdk.net.hosts.file={}", self.hosts().display());
        command.env("JAVA_TOOL_OPTIONS", hosts);
    }

    pub fn start(&mut self, pod: &str) {
        let home = self.directory.path().join(pod);
        let mut command = Command::new("sh");
        command.arg(home.join("etc/start.sh")).env("HOSTNAME", pod);
        self.java(&mut command);
        let server = Server::start(&mut command, &home.join("tmp/log")).unwrap();
        self.running.insert(pod.to_owned(), server);
    }

    pub fn log(&self, pod: &str) -> String {
        fs::read_to_string(self.directory.path().join(pod).join("tmp/log")).unwrap_or_default()
    }

    pub fn kill(&mut self, pod: &str) {
        self.running.remove(pod);
    }

    /// Ends a node as Kubernetes does, and starts it again.
    pub fn restart(&mut self, pod: &str) {
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

    pub fn wait(&self, kafka: &ValidatedKafka, pod: &str, port: u16) {
        let address = self.address(kafka, pod, port);
        let end = Instant::now() + LIMIT;
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            assert!(Instant::now() < end, "{pod}: {}", self.log(pod));
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits for a node, and starts it again when it ends, as the kubelet does.
    pub fn wait_restarting(&mut self, kafka: &ValidatedKafka, pod: &str, port: u16) {
        let address = self.address(kafka, pod, port);
        let end = Instant::now() + LIMIT;
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            assert!(Instant::now() < end, "{pod}: {}", self.log(pod));
            if self.running.get_mut(pod).is_some_and(Server::has_ended) {
                self.start(pod);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Runs one of Kafka's own tools. Gives what it says, or what went wrong.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<String, String> {
        self.tool_reading(class, arguments, Path::new("/dev/null"))
    }

    /// The same, with a file to read.
    pub fn tool_reading(
        &self,
        class: &str,
        arguments: &[&str],
        input: &Path,
    ) -> Result<String, String> {
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
            .args(arguments)
            .stdin(fs::File::open(input).unwrap());
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
    pub fn quorum(&self, arguments: &[&str], hoped: impl Fn(&str) -> bool) -> String {
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

pub fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().find(|line| line.starts_with(name));
    found.unwrap_or_default()
}

pub fn ids(text: &str, name: &str) -> Vec<i32> {
    let of = line(text, name);
    let parts = of.split("\"id\": ").skip(1);
    parts
        .map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap()
        })
        .collect()
}
