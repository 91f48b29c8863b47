//! `archive` against a real Kafka: killed with -9 after each step of its protocol, stopped and woken as a zombie, with
//! the lake away: every event is in the lake, once.
// Helpers outside of test functions count as production code for clippy.
#![allow(clippy::unwrap_used, clippy::panic)]

mod kafka_support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kafka_support::{Job, create_topics, read_all};
use millrace_contract::cloudevent::CloudEvent;
use millrace_contract::{Telemetry, codec};
use millrace_stream::connect::Producer;
use millrace_testkit::Kafka;
use serde_json::Value;

const PARTITIONS: i32 = 3;
const LIMIT: Duration = Duration::from_secs(90);
const CONFIG: &str = "rollInterval: 1s\nsessionTimeout: 6s\ndrainTimeout: 10s\nlongestWait: 1s\n";

struct Place {
    // Held so that it lives as long as the place.
    _kafka: Kafka,
    bootstrap: String,
    directory: tempfile::TempDir,
    sent: u64,
}

impl Place {
    async fn new() -> Option<Self> {
        let kafka = Kafka::start().unwrap()?;
        let bootstrap = kafka.bootstrap();
        create_topics(&bootstrap, &[("telemetry", PARTITIONS, false)]).await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.yaml"), CONFIG).unwrap();
        Some(Self {
            _kafka: kafka,
            bootstrap,
            directory,
            sent: 0,
        })
    }

    fn lake(&self) -> String {
        std::env::var("MILLRACE_TEST_LAKE")
            .unwrap_or_else(|_| format!("file://{}", self.directory.path().join("lake").display()))
    }

    fn log(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }

    fn archive(&self, name: &str, more: &[&str]) -> Job {
        let config = self.directory.path().join("config.yaml");
        let lake = self.lake();
        let mut flags = vec!["--lake", &lake];
        flags.extend(more);
        Job::start("archive", &self.bootstrap, &config, &self.log(name), &flags)
    }

    /// Events of ten vehicles over three hours, some of them late, one in fifty that no column can hold.
    async fn send(&mut self, events: u64) {
        let producer = Producer::new(&self.bootstrap, "test").unwrap();
        let start: jiff::Timestamp = "2026-11-01T08:30:00Z".parse().unwrap();
        let mut sends = Vec::new();
        for n in self.sent..self.sent + events {
            let vehicle = format!("car-{}", n % 10);
            let late = if n % 7 == 0 { 5 * 3600 } else { 0 };
            let seconds = i64::try_from(n * 20 % 10_800).unwrap() - late;
            let mut event = Telemetry::new(
                &vehicle,
                n,
                start + jiff::SignedDuration::from_secs(seconds),
            );
            event.speed = Some(50.5);
            event.dtc_list = (n % 11 == 0).then(|| vec!["P0217".to_owned()]);
            let value = if n % 50 == 0 {
                format!("{{\"vehicle\":\"{vehicle}\",\"sequence\":{n},\"mood\":\"fine\"")
                    .into_bytes()
            } else {
                codec::encode(&event)
            };
            let headers = CloudEvent::of_telemetry(&event, "/test").headers();
            let producer = producer.clone();
            sends.push(async move {
                producer
                    .send("telemetry", &vehicle, &headers, &value, None)
                    .await
                    .unwrap();
            });
        }
        futures::future::join_all(sends).await;
        self.sent += events;
    }

    fn lake_command(&self, arguments: &[&str]) -> (bool, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_millrace-stream"))
            .arg("lake")
            .args(arguments)
            .args(["--lake", &self.lake()])
            .output()
            .unwrap();
        eprint!("{}", String::from_utf8_lossy(&out.stderr));
        (out.status.success(), String::from_utf8(out.stdout).unwrap())
    }

    /// How many records the lake's commits hold.
    fn archived(&self) -> u64 {
        let (ok, text) = self.lake_command(&["ls", "--json"]);
        assert!(ok);
        let listing: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(listing["findings"], serde_json::json!([]));
        let sources = listing["sources"].as_object().unwrap().values();
        sources.map(|source| source["rows"].as_u64().unwrap()).sum()
    }

    async fn wait_until_archived(&self) {
        let until = Instant::now() + LIMIT;
        loop {
            let archived = self.archived();
            assert!(archived <= self.sent, "{archived} of {}", self.sent);
            if archived == self.sent {
                return;
            }
            assert!(
                Instant::now() < until,
                "{archived} of {} are archived",
                self.sent
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What lies in the lake is what lies in Kafka: by count, hash and record.
    async fn check(&self) {
        let (ok, text) =
            self.lake_command(&["verify", "--json", "--bootstrap-servers", &self.bootstrap]);
        assert!(ok, "{text}");
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["findings"], serde_json::json!([]));
        assert_eq!(report["rows"].as_u64(), Some(self.sent));
        assert_eq!(report["noLongerInKafka"].as_u64(), Some(0));
        let (ok, text) = self.lake_command(&["cat"]);
        assert!(ok);
        let mut found: BTreeMap<(i64, i64), Value> = BTreeMap::new();
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let at = (
                row["kafka_partition"].as_i64().unwrap(),
                row["kafka_offset"].as_i64().unwrap(),
            );
            assert!(found.insert(at, row).is_none(), "{at:?} is there twice");
        }
        let records = read_all(&self.bootstrap, "telemetry").await;
        assert_eq!(found.len(), records.len());
        for record in records {
            let row = &found[&(i64::from(record.partition), record.offset)];
            assert_eq!(row["kafka_key"].as_str(), record.key_text());
            assert_eq!(row["source"], "/test");
            let value = record.payload.unwrap();
            match codec::decode(&value) {
                Ok(event) => {
                    assert_eq!(row["vehicle"], event.vehicle);
                    assert_eq!(row["sequence"].as_u64(), Some(event.sequence));
                    assert_eq!(row["time"].as_str(), Some(event.time.to_string().as_str()));
                    assert_eq!(row["speed"].as_f64(), event.speed);
                    assert_eq!(row.get("dtc_list").is_some(), event.dtc_list.is_some());
                    assert_eq!(row.get("raw"), None);
                }
                Err(_) => assert_eq!(row["raw"].as_str().unwrap().as_bytes(), value),
            }
        }
        let stray = staging(self.directory.path());
        assert!(stray.is_empty(), "left over: {stray:?}");
    }
}

/// Files in staging.
fn staging(directory: &Path) -> Vec<String> {
    let found = Command::new("find")
        .arg(directory)
        .args(["-type", "f", "-path", "*/_staging/*"])
        .output()
        .unwrap();
    String::from_utf8(found.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

async fn wait_for_line(log: &Path, text: &str) {
    let until = Instant::now() + LIMIT;
    loop {
        let all = std::fs::read_to_string(log).unwrap_or_default();
        if all.contains(text) {
            return;
        }
        assert!(Instant::now() < until, "\"{text}\" was not logged:\n{all}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn signal(job: &Job, name: &str) {
    let pid = job.server.pid().to_string();
    assert!(
        Command::new("kill")
            .args([name, &pid])
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka"]
async fn killed_after_each_step() {
    let Some(mut place) = Place::new().await else {
        return;
    };
    for step in ["stage", "close", "seal", "commit", "publish", "settle"] {
        place.send(400).await;
        let mut job = place.archive(step, &["--halt-after", step]);
        wait_for_line(&place.log(step), "standing still").await;
        job.server.kill();
        let job = place.archive(&format!("after-{step}"), &[]);
        place.wait_until_archived().await;
        job.terminate(LIMIT).await;
        place.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka"]
async fn a_zombie_is_fenced() {
    let Some(mut place) = Place::new().await else {
        return;
    };
    place.send(600).await;
    // It has closed its files and stands right before its record; then it is stopped, and the group takes it for dead.
    let still = place.directory.path().join("still");
    std::fs::write(&still, "").unwrap();
    let flags = [
        "--halt-after",
        "close",
        "--halt-file",
        still.to_str().unwrap(),
    ];
    let zombie = place.archive("zombie", &flags);
    wait_for_line(&place.log("zombie"), "standing still").await;
    signal(&zombie, "-STOP");
    std::fs::remove_file(&still).unwrap();
    place.send(600).await;
    let heir = place.archive("heir", &[]);
    place.wait_until_archived().await;
    signal(&zombie, "-CONT");
    place.send(600).await;
    place.wait_until_archived().await;
    heir.terminate(LIMIT).await;
    zombie.terminate(LIMIT).await;
    place.wait_until_archived().await;
    place.check().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka"]
async fn a_lake_that_is_away_is_waited_for() {
    let Some(mut place) = Place::new().await else {
        return;
    };
    let lake = place.directory.path().join("lake");
    place.send(300).await;
    let job = place.archive("away", &[]);
    place.wait_until_archived().await;
    // A file in its place: nothing can be made there.
    let aside = place.directory.path().join("aside");
    std::fs::rename(&lake, &aside).unwrap();
    std::fs::write(&lake, "no folder").unwrap();
    place.send(300).await;
    wait_for_line(&place.log("away"), "is read again").await;
    let (status, why) = job.get("/readyz").unwrap();
    assert_eq!(status, 503, "{why}");
    std::fs::remove_file(&lake).unwrap();
    std::fs::rename(&aside, &lake).unwrap();
    place.wait_until_archived().await;
    job.wait_ready(LIMIT).await;
    job.terminate(LIMIT).await;
    place.check().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka"]
async fn members_come_and_go_and_hours_are_compacted() {
    let Some(mut place) = Place::new().await else {
        return;
    };
    let first = place.archive("first", &[]);
    first.wait_ready(LIMIT).await;
    for round in 0..3 {
        place.send(500).await;
        let other = place.archive(&format!("other-{round}"), &[]);
        other.wait_ready(LIMIT).await;
        place.send(500).await;
        other.terminate(LIMIT).await;
    }
    place.wait_until_archived().await;
    first.terminate(LIMIT).await;
    place.check().await;
    let (ok, text) = place.lake_command(&["compact", "--at-least", "2", "--keep-replaced", "0s"]);
    assert!(ok && text.contains("files became 1"), "{text}");
    place.check().await;
}
