//! A Kafka of one node with secure listeners, as the operator builds it, run as a process; and a client that logs in.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use millrace_operator::context::Images;
use millrace_operator::kafka::build::build;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::kafka::validate::{Found, validate};
use millrace_operator::remote::kafka::{
    Access, Connection, Credentials, KafkaAdmin, KafkaError, NewTopic, ResponseError, Timeouts,
    TopicView,
};
use millrace_testkit::{Server, exporting_at, left_out, own_loopback};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(90);

pub type Data = BTreeMap<String, ByteString>;

pub fn limits() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(3),
        request: Duration::from_secs(10),
        call: Duration::from_secs(30),
    }
}

/// A running cluster called `k`.
pub struct SecureKafka {
    /// What its Secret `k-admin` holds, with an address that is reached from here.
    pub admin: Data,
    /// What its Secret `k-binding` holds, with an address that is reached from here.
    pub binding: Data,
    /// The same with the address that is told to clients outside the cluster.
    pub outside: Data,
    /// Its specification.
    pub cluster: KafkaCluster,
    _directory: tempfile::TempDir,
    _server: Server,
}

impl SecureKafka {
    /// Starts it on an address of its own, as if it were in this namespace. `None`, after saying why, where it cannot be had.
    pub fn start(namespace: &str, net: u8) -> Option<Self> {
        let libs = std::env::var_os("MILLRACE_KAFKA_LIBS").map(PathBuf::from);
        let libs = libs.filter(|libs| libs.is_dir());
        let Some(libs) = libs.filter(|_| Command::new("java").arg("-version").output().is_ok())
        else {
            left_out("a secure Kafka", "$MILLRACE_KAFKA_LIBS and java are needed").unwrap();
            return None;
        };
        let ip = own_loopback(net, 10).to_string();
        // With this address among the external ones, it is in the certificate: there is no DNS here.
        let cluster: KafkaCluster = serde_json::from_value(json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaCluster",
            "metadata": {"name": "k", "namespace": namespace, "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
            "spec": {"nodes": 1, "storage": {"size": "1Gi"},
                "listeners": {"secure": {}, "external": {"type": "NodePort", "host": ip}}}}))
        .unwrap();
        let service: Service =
            serde_json::from_value(json!({"spec": {"ports": [{"port": 9095, "nodePort": 9095}]}}))
                .unwrap();
        let names = ["k-external", "k-external-0"];
        let found = Found {
            now: jiff::Timestamp::now(),
            services: names.map(|name| (name.to_owned(), service.clone())).into(),
            ..Found::default()
        };
        let images = Images::named(str::to_owned);
        let kafka = validate(&cluster, &found, &images).unwrap();
        let built = build(&kafka).unwrap();
        let secret = |name: &str| built.get::<Secret>(name).unwrap().data.unwrap();

        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().display().to_string();
        let local = |text: &str| {
            exporting_at(text, &ip)
                .replace("/tmp/", &format!("{home}/tmp/"))
                .replace(
                    "/etc/millrace-certificates",
                    &format!("{home}/certificates"),
                )
                .replace("/etc/millrace/", &format!("{home}/etc/"))
                .replace("/var/lib/kafka", &format!("{home}/volumes"))
                .replace("/opt/kafka/libs", &libs.display().to_string())
                .replace("/dev/termination-log", &format!("{home}/tmp/end"))
        };
        for part in ["etc", "tmp", "certificates", "volumes/data"] {
            fs::create_dir_all(directory.path().join(part)).unwrap();
        }
        let files: ConfigMap = built.get("k-files").unwrap();
        for (name, content) in files.data.unwrap() {
            // Only on its own address: other clusters have the same ports.
            let content = content.replace("://:", "://@HOST@:");
            let path = directory.path().join("etc").join(name);
            fs::write(path, local(&content)).unwrap();
        }
        for (name, content) in secret("k-certificates") {
            fs::write(directory.path().join("certificates").join(name), content.0).unwrap();
        }
        let hosts = directory.path().join("hosts");
        let host = kafka.nodes().next().unwrap().host;
        fs::write(&hosts, format!("{ip} {host}\n")).unwrap();
        let mut command = Command::new("sh");
        command
            .arg(directory.path().join("etc/start.sh"))
            .env("HOSTNAME", "k-0")
            .env(
                "JAVA_TOOL_OPTIONS",
                format!("-Djdk.net.hosts.file={}", hosts.display()),
            );
        let log = directory.path().join("tmp/log");
        let server = Server::start(&mut command, &log).unwrap();
        let address: SocketAddr = format!("{ip}:9094").parse().unwrap();
        let end = Instant::now() + LIMIT;
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            let log = fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < end, "{log}");
            std::thread::sleep(Duration::from_millis(200));
        }
        let reached_at = |mut data: Data, port: u16| {
            let address = ByteString(format!("{ip}:{port}").into_bytes());
            data.insert("bootstrap-servers".into(), address);
            data
        };
        Some(Self {
            admin: reached_at(secret("k-admin"), 9091),
            binding: reached_at(secret("k-binding"), 9094),
            outside: reached_at(secret("k-binding"), 9095),
            cluster,
            _directory: directory,
            _server: server,
        })
    }
}

/// The way in of a user.
pub fn login(binding: &Data, username: &str, password: &str) -> Access {
    let mut data = binding.clone();
    for (key, value) in [("username", username), ("password", password)] {
        data.insert(key.into(), ByteString(value.as_bytes().to_vec()));
    }
    Access::from_secret(&data).unwrap()
}

/// A topic of one partition, as soon as it has it; `within` bounds the wait.
pub async fn topic(admin: &KafkaAdmin, name: &str, within: Duration) -> TopicView {
    let new = NewTopic {
        name: name.into(),
        partitions: 1,
        replication_factor: 1,
        config: BTreeMap::new(),
    };
    admin.create_topic(&new).await.unwrap();
    let end = Instant::now() + within;
    loop {
        match admin.topic(name).await.unwrap() {
            Some(view) if !view.partitions.is_empty() => return view,
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        assert!(Instant::now() < end, "{name} did not come");
    }
}

/// Logs in and writes a record, as a client does: again while nobody leads the partition. Gives the broker's answer.
pub async fn write(
    access: &Access,
    topic: &TopicView,
) -> Result<Option<ResponseError>, KafkaError> {
    let end = Instant::now() + LIMIT;
    loop {
        let answer = write_once(access, topic).await?;
        if answer != Some(ResponseError::NotLeaderOrFollower) || Instant::now() > end {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn write_once(
    access: &Access,
    topic: &TopicView,
) -> Result<Option<ResponseError>, KafkaError> {
    let credentials = Credentials {
        tls: access.tls().unwrap(),
        login: access.login.clone(),
    };
    let mut connection = Connection::open(&access.bootstrap, &credentials, &limits()).await?;
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp: 1,
        key: None,
        value: Some("x".into()),
        headers: IndexMap::new(),
    };
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut batch = BytesMut::new();
    RecordBatchEncoder::encode(&mut batch, [&record], &options).unwrap();
    let batch = batch.freeze();
    let request = |version: i16| {
        let partition = PartitionProduceData::default()
            .with_index(0)
            .with_records(Some(batch));
        let data = TopicProduceData::default().with_partition_data(vec![partition]);
        let data = if version >= 13 {
            data.with_topic_id(topic.id)
        } else {
            data.with_name(TopicName(StrBytes::from_string(topic.name.clone())))
        };
        ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(5_000)
            .with_topic_data(vec![data])
    };
    let answer = connection
        .ask(request, "write a record", Duration::from_secs(10))
        .await?;
    let code = answer.responses[0].partition_responses[0].error_code;
    Ok(ResponseError::try_from_code(code))
}
