//! What the systems tier of the stream jobs shares: topics, a gateway as a process, an MQTT vehicle.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(
    clippy::result_large_err,
    reason = "the size of the client library's error does not matter here"
)]

pub mod five;
pub mod tls;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use millrace_stream::connect::{CompactedReader, ReadEvent, Record};
use millrace_testkit::{Server, free_port};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use reqwest::StatusCode;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS};
use serde_json::{Value, json};

pub const ADMIN: &str = "admin-token-of-the-tests";
pub const NOTIFY: &str = "notify-token-of-the-tests";
pub const VEHICLES: &str = "vehicles-token-of-the-tests";
pub const EVENTS: &str = "events-token-of-the-tests";
pub const DRIVERS: &str = "drivers-token-of-the-tests";
pub const OPERATIONS: &str = "operations-token-of-the-tests";
pub const AUDIT: &str = "audit-token-of-the-tests";
pub const ACTIVATIONS: &str = "activations-token-of-the-tests";
pub const SEAL: &str = "seal-key-of-the-tests-0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(20);

/// Creates every topic of the contract with three partitions.
pub async fn create_topics(bootstrap: &str) {
    let admin: AdminClient<DefaultClientContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap();
    let topics: Vec<NewTopic<'_>> = millrace_contract::topics::ALL
        .iter()
        .map(|(name, compacted)| {
            let topic = NewTopic::new(name, 3, TopicReplication::Fixed(1));
            if *compacted {
                topic.set("cleanup.policy", "compact")
            } else {
                topic
            }
        })
        .collect();
    for result in admin
        .create_topics(&topics, &AdminOptions::new())
        .await
        .unwrap()
    {
        result.unwrap();
    }
}

/// All records of a topic.
pub async fn all(bootstrap: &str, topic: &str) -> Vec<Record> {
    let mut reader = CompactedReader::open(bootstrap, "test", topic, None)
        .await
        .unwrap();
    let mut records = Vec::new();
    loop {
        match reader.next().await.unwrap() {
            ReadEvent::Record(record) => records.push(record),
            ReadEvent::End => return records,
        }
    }
}

/// The gateway as a process of its own, so that it can be killed.
pub struct Gateway {
    directory: tempfile::TempDir,
    bootstrap: String,
    http: u16,
    pub mqtt: u16,
    pub https: u16,
    pub mqtts: u16,
    metrics: u16,
    certificate: Option<PathBuf>,
    server: Option<Server>,
    pub client: reqwest::Client,
}

impl Gateway {
    pub async fn start(bootstrap: &str, config: &str) -> Self {
        Self::start_with(bootstrap, config, None).await
    }

    /// Starts it with the folder of a certificate.
    pub async fn start_with(bootstrap: &str, config: &str, certificate: Option<&Path>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("bindings/gateway");
        std::fs::create_dir_all(&folder).unwrap();
        for (name, value) in [
            ("type", "millrace-gateway"),
            ("admin-token", ADMIN),
            ("notify-token", NOTIFY),
            ("vehicles-token", VEHICLES),
            ("events-token", EVENTS),
            ("drivers-token", DRIVERS),
            ("operations-token", OPERATIONS),
            ("audit-token", AUDIT),
            ("activations-token", ACTIVATIONS),
            ("pseudonym-key", "pseudonym-key-of-the-tests-0123456789"),
            ("seal-key", SEAL),
        ] {
            std::fs::write(folder.join(name), value).unwrap();
        }
        std::fs::write(directory.path().join("config.yaml"), config).unwrap();
        let mut gateway = Self {
            directory,
            bootstrap: bootstrap.to_owned(),
            http: free_port().unwrap(),
            mqtt: free_port().unwrap(),
            https: free_port().unwrap(),
            mqtts: free_port().unwrap(),
            certificate: certificate.map(Path::to_path_buf),
            metrics: free_port().unwrap(),
            server: None,
            client: reqwest::Client::new(),
        };
        gateway.start_again().await;
        gateway
    }

    pub async fn start_again(&mut self) {
        self.kill();
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-stream"));
        command
            .arg("gateway")
            .arg("--config")
            .arg(self.directory.path().join("config.yaml"))
            .arg("--service-binding-root")
            .arg(self.directory.path().join("bindings"))
            .args(["--bootstrap-servers", &self.bootstrap])
            .arg("--ingest-directory")
            .arg(self.directory.path().join("ingest"))
            .args(["--http", &format!("127.0.0.1:{}", self.http)])
            .args(["--mqtt", &format!("127.0.0.1:{}", self.mqtt)])
            .args(["--https", &format!("127.0.0.1:{}", self.https)])
            .args(["--mqtts", &format!("127.0.0.1:{}", self.mqtts)])
            .args(["--metrics", &format!("127.0.0.1:{}", self.metrics)]);
        if let Some(certificate) = &self.certificate {
            command.arg("--tls-directory").arg(certificate);
        }
        self.server = Some(Server::start(&mut command, &self.log()).unwrap());
        let end = Instant::now() + PATIENCE;
        while !self.is_ready().await {
            assert!(Instant::now() < end, "not ready: {}", self.log_text());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
    }

    /// Ends it with SIGTERM and waits until it is gone.
    pub async fn terminate(&mut self) {
        let Some(server) = self.server.take() else {
            return;
        };
        let pid = server.pid().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        let end = Instant::now() + PATIENCE;
        while state(&pid).is_some_and(|s| s != "Z") {
            assert!(Instant::now() < end, "does not end: {}", self.log_text());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Tells whether telemetry is taken in, as whoever watches the disks does.
    pub fn order(&self, text: &str) {
        let folder = self.directory.path().join("ingest");
        std::fs::create_dir_all(&folder).unwrap();
        let new = folder.join(".new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, folder.join("ingest.yaml")).unwrap();
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("gateway.log")
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    async fn is_ready(&self) -> bool {
        let url = format!("http://127.0.0.1:{}/readyz", self.metrics);
        self.client
            .get(url)
            .send()
            .await
            .is_ok_and(|r| r.status().is_success())
    }

    pub async fn metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics);
        self.client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    pub async fn enrol(&self, vehicle: &str) -> String {
        let response = self
            .client
            .put(self.url(&format!("/v1/vehicles/{vehicle}")))
            .bearer_auth(ADMIN)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.json::<Value>().await.unwrap()["token"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Posts telemetry; gives status and JSON.
    pub async fn post(
        &self,
        vehicle: &str,
        token: &str,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Value) {
        let path = format!("/v1/vehicles/{vehicle}/telemetry");
        self.post_to(&path, token, body).await
    }

    /// Posts a body anywhere with a bearer token; gives status and JSON.
    pub async fn post_to(
        &self,
        path: &str,
        token: &str,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Value) {
        let request = self.client.post(self.url(path)).bearer_auth(token);
        let response = request.body(body).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    pub async fn notify(&self, notification: &Value) -> (StatusCode, Value) {
        self.post_to("/v1/notifications", NOTIFY, notification.to_string())
            .await
    }

    /// Any call with a bearer token; gives status, the `Link` header and JSON.
    pub async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        token: &str,
    ) -> (StatusCode, Option<String>, Value) {
        let response = self
            .client
            .request(method, self.url(path))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        let link = response.headers().get("link");
        let link = link.map(|l| l.to_str().unwrap().to_owned());
        (response.status(), link, response.json().await.unwrap())
    }

    pub async fn get(&self, path: &str, token: &str) -> (StatusCode, Value) {
        let (status, _, value) = self.call(reqwest::Method::GET, path, token).await;
        (status, value)
    }

    pub async fn flow(&self, query: &str) -> Value {
        let response = self
            .client
            .get(self.url(&format!("/v1/flow{query}")))
            .bearer_auth(ADMIN)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }
}

fn state(pid: &str) -> Option<String> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
    Some(
        stat.rsplit_once(')')?
            .1
            .split_whitespace()
            .next()?
            .to_owned(),
    )
}

/// One event, with `changes` over a good one.
pub fn event(vehicle: &str, sequence: u64, changes: &Value) -> Value {
    let mut event = json!({
        "vehicle": vehicle, "sequence": sequence, "time": jiff::Timestamp::now().to_string(),
        "coolant_temperature": 91.5, "speed": 50.0,
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        event[name] = value.clone();
    }
    event
}

pub fn notification(id: &str, vehicle: &str, seconds: i64) -> Value {
    let now = jiff::Timestamp::now();
    json!({
        "id": id, "vehicle": vehicle, "rule": "overheating", "severity": "warning", "episode": "e",
        "event_time": now, "detected_at": now, "language": "en", "text": "Too hot.",
        "ssml": "<speak>Too hot.</speak>",
        "expires_at": now + jiff::SignedDuration::from_secs(seconds),
    })
}

/// A vehicle on MQTT 3.1.1 that acknowledges only when told to.
pub struct Vehicle {
    pub id: String,
    pub client: AsyncClient,
    pub events: EventLoop,
}

impl Vehicle {
    /// Connects. The gateway's answer is an error when it turns the vehicle away.
    pub async fn connect(
        gateway: &Gateway,
        id: &str,
        token: &str,
    ) -> Result<Self, rumqttc::ConnectionError> {
        Self::connect_at(gateway.mqtt, id, token).await
    }

    /// Connects to a port of this machine.
    pub async fn connect_at(
        port: u16,
        id: &str,
        token: &str,
    ) -> Result<Self, rumqttc::ConnectionError> {
        let mut options = MqttOptions::new(format!("{id}-client"), "127.0.0.1", port);
        options
            .set_credentials(id, token)
            .set_clean_session(false)
            .set_manual_acks(true);
        options.set_max_packet_size(4 << 20, 4 << 20);
        let (client, mut events) = AsyncClient::new(options, 16);
        let first = tokio::time::timeout(PATIENCE, events.poll())
            .await
            .unwrap()?;
        assert!(
            matches!(first, Event::Incoming(Packet::ConnAck(_))),
            "{first:?}"
        );
        Ok(Self {
            id: id.to_owned(),
            client,
            events,
        })
    }

    pub async fn subscribe(&mut self) {
        self.client
            .subscribe(
                format!("vehicles/{}/notifications", self.id),
                QoS::AtLeastOnce,
            )
            .await
            .unwrap();
        self.until("SUBACK", |p| matches!(p, Packet::SubAck(_)))
            .await;
    }

    pub async fn publish(&mut self, body: &str) {
        let topic = format!("vehicles/{}/telemetry", self.id);
        self.client
            .publish(topic, QoS::AtLeastOnce, false, body)
            .await
            .unwrap();
        self.until("PUBACK", |p| matches!(p, Packet::PubAck(_)))
            .await;
    }

    /// Polls until such a packet comes.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Packet) -> bool) -> Packet {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = tokio::time::timeout(left, self.events.poll()).await;
            match event
                .unwrap_or_else(|_| panic!("no {what} for {}", self.id))
                .unwrap()
            {
                Event::Incoming(packet) if wanted(&packet) => return packet,
                _ => {}
            }
        }
    }

    pub async fn next_notification(&mut self) -> (Publish, Value) {
        let Packet::Publish(publish) = self
            .until("notification", |p| matches!(p, Packet::Publish(_)))
            .await
        else {
            unreachable!()
        };
        let value = serde_json::from_slice(&publish.payload).unwrap();
        (publish, value)
    }

    pub async fn acknowledge(&mut self, publish: &Publish) {
        self.client.ack(publish).await.unwrap();
        // The acknowledgement leaves when the loop turns.
        let out = |e: &Event| matches!(e, Event::Outgoing(rumqttc::Outgoing::PubAck(_)));
        while !out(&tokio::time::timeout(PATIENCE, self.events.poll())
            .await
            .unwrap()
            .unwrap())
        {}
    }

    /// Asserts that nothing more arrives for a while.
    pub async fn nothing_more(&mut self) {
        let end = Instant::now() + Duration::from_millis(700);
        while let Ok(event) = tokio::time::timeout(
            end.saturating_duration_since(Instant::now()),
            self.events.poll(),
        )
        .await
        {
            assert!(
                !matches!(event, Ok(Event::Incoming(Packet::Publish(_)))),
                "{event:?}"
            );
        }
    }

    /// Polls until the connection ends.
    pub async fn ends(&mut self) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.events.poll())
                .await
                .expect("the connection stays")
            {
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
        }
    }
}
