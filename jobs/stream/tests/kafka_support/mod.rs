//! What the tests against a real Kafka share.
#![allow(dead_code)] // each test binary uses its own part

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Alert, Severity, Telemetry, codec};
use millrace_stream::connect::{CompactedReader, Lookup, Producer, ReadEvent, Record};
use millrace_testkit::{Server, free_port};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

/// Makes topics: name, partitions, whether compacted.
pub async fn create_topics(bootstrap: &str, topics: &[(&str, i32, bool)]) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap();
    let wanted: Vec<NewTopic> = topics
        .iter()
        .map(|(name, partitions, compacted)| {
            let topic = NewTopic::new(name, *partitions, TopicReplication::Fixed(1));
            if *compacted {
                topic.set("cleanup.policy", "compact")
            } else {
                topic
            }
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    for result in admin.create_topics(&wanted, &options).await.unwrap() {
        result.unwrap();
    }
}

/// Makes a topic of one partition with settings of its own.
pub async fn create_topic(bootstrap: &str, name: &str, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap();
    let topic = settings.iter().fold(
        NewTopic::new(name, 1, TopicReplication::Fixed(1)),
        |topic, (key, value)| topic.set(key, value),
    );
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    for result in admin.create_topics(&[topic], &options).await.unwrap() {
        result.unwrap();
    }
}

/// All committed records of a topic.
pub async fn read_all(bootstrap: &str, topic: &str) -> Vec<Record> {
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

/// All committed alerts, by id, with how often each is there.
pub async fn read_alerts(bootstrap: &str) -> BTreeMap<String, (usize, Alert)> {
    let mut alerts: BTreeMap<String, (usize, Alert)> = BTreeMap::new();
    for record in read_all(bootstrap, "alerts").await {
        let alert: Alert = serde_json::from_slice(&record.payload.unwrap()).unwrap();
        alerts.entry(alert.id.clone()).or_insert((0, alert)).0 += 1;
    }
    alerts
}

/// Waits until a group has read a topic to its end.
pub async fn wait_until_read(bootstrap: &str, group: &str, topic: &str, limit: Duration) {
    let lookup = Lookup::new(bootstrap, "test").unwrap();
    let until = Instant::now() + limit;
    loop {
        let mut left = Vec::new();
        match lookup.committed(group, topic).await {
            Ok(committed) => {
                for (partition, offset) in committed {
                    let offset = offset.unwrap_or(0);
                    if lookup
                        .has_record_at_or_after(topic, partition, offset)
                        .await
                        .unwrap_or(true)
                    {
                        left.push((partition, offset));
                    }
                }
                if left.is_empty() {
                    return;
                }
            }
            Err(error) => eprintln!("{error}"),
        }
        assert!(
            Instant::now() < until,
            "{group} has not read {topic} to its end: stands at {left:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A trip at one event a second: warm, then from `fault_at` on the coolant climbs by `rate` °C a minute.
pub fn trip(vehicle: &str, samples: u64, fault_at: u64, rate: f64) -> Vec<Telemetry> {
    let start: jiff::Timestamp = "2026-11-01T08:00:00Z".parse().unwrap();
    (0..samples)
        .map(|n| {
            let time = start + jiff::SignedDuration::from_secs(i64::try_from(n).unwrap());
            let mut event = Telemetry::new(vehicle, n, time);
            #[allow(clippy::cast_precision_loss)]
            let climbed = n.saturating_sub(fault_at) as f64 * rate / 60.0;
            let swing = if n % 20 < 10 { 0.5 } else { -0.5 };
            event.coolant_temperature = Some((88.0 + swing + climbed).min(125.0));
            event.speed = Some(50.0);
            event
        })
        .collect()
}

/// Sends one event as the gateway does; gives its partition.
pub async fn send(producer: &Producer, event: &Telemetry) -> i32 {
    let sent = producer
        .send(
            "telemetry",
            &event.vehicle,
            &[],
            &codec::encode(event),
            None,
        )
        .await;
    sent.unwrap().0
}

/// A warning for a vehicle.
pub fn alert(vehicle: &str, id: String) -> Alert {
    let time = "2026-11-01T08:00:00Z".parse().unwrap();
    Alert {
        id,
        vehicle: vehicle.to_owned(),
        hire: None,
        model: None,
        rule: "overheating".to_owned(),
        severity: Severity::Warning,
        episode: "e".to_owned(),
        event_time: time,
        detected_at: time,
        signal: "coolant_temperature".to_owned(),
        value: 108.0,
        unit: "Cel".to_owned(),
        threshold: 107.0,
        trend_per_minute: None,
        seconds_to_limit: None,
        text: "hot".to_owned(),
        details: millrace_contract::AlertDetails::default(),
    }
}

/// Sends an alert as detection does.
pub async fn send_alert(producer: &Producer, alert: &Alert) {
    let headers = CloudEvent::of_alert(alert, "/test").headers();
    let value = serde_json::to_vec(alert).unwrap();
    producer
        .send("alerts", &alert.vehicle, &headers, &value, None)
        .await
        .unwrap();
}

/// A job as a child process.
pub struct Job {
    pub server: Server,
    pub metrics: u16,
}

impl Job {
    /// Starts `millrace-stream JOB --config CONFIG …`.
    pub fn start(job: &str, bootstrap: &str, config: &Path, log: &Path, more: &[&str]) -> Self {
        let metrics = free_port().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-stream"));
        command
            .args([
                job,
                "--bootstrap-servers",
                bootstrap,
                "--metrics",
                &format!("127.0.0.1:{metrics}"),
            ])
            .arg("--config")
            .arg(config)
            .args(more);
        Self {
            server: Server::start(&mut command, log).unwrap(),
            metrics,
        }
    }

    /// Status and body of one of the job's own endpoints, or none while nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Waits until the job says that it is ready.
    pub async fn wait_ready(&self, limit: Duration) {
        let until = Instant::now() + limit;
        loop {
            let answer = self.get("/readyz");
            if answer.as_ref().is_some_and(|(status, _)| *status == 200) {
                return;
            }
            assert!(
                Instant::now() < until,
                "not ready: {answer:?}\n{}",
                self.server.tail()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(self, limit: Duration) {
        let pid = self.server.pid().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let until = Instant::now() + limit;
        // A child that has ended stays as a zombie until it is waited for, which the drop below does.
        while !ended(&pid) {
            assert!(
                Instant::now() < until,
                "still running after SIGTERM\n{}",
                self.server.tail()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn ended(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| {
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'))
    })
}
