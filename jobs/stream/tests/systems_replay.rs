//! Trips through a real Kafka, the gateway and detection, back to the vehicle. An action's place is taken by
//! a consumer here that posts one notification for each alert.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use millrace_contract::{Alert, EventKind, Severity, WarningLine, topics, vehicle_event};
use millrace_testkit::{Kafka, Server, data_dir, free_port};
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::Message;
use serde_json::json;
use support::{ADMIN, Gateway, NOTIFY, create_topics};

const CONFIG: &str = "dispatchGroups: [dispatch-warnings]\n";

struct Platform {
    gateway: Gateway,
    directory: tempfile::TempDir,
    _detect: Server,
    dispatcher: tokio::task::JoinHandle<()>,
    kafka: Kafka,
}

impl Platform {
    async fn start() -> Option<Self> {
        let kafka = Kafka::start().unwrap()?;
        let bootstrap = kafka.bootstrap();
        create_topics(&bootstrap).await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("admin-token"), ADMIN).unwrap();
        let gateway = Gateway::start(&bootstrap, CONFIG).await;
        let detect = detect(&bootstrap, directory.path());
        let dispatcher = tokio::spawn(dispatch(bootstrap, gateway.url("/v1/notifications")));
        Some(Self {
            gateway,
            directory,
            _detect: detect,
            dispatcher,
            kafka,
        })
    }

    fn command(&self, job: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-stream"));
        command
            .args([job, "--json"])
            .args(["--gateway-http", &self.gateway.url("")])
            .args([
                "--gateway-mqtt",
                &format!("127.0.0.1:{}", self.gateway.mqtt),
            ])
            .arg("--admin-token-file")
            .arg(self.directory.path().join("admin-token"))
            .args(["--timeout", "90"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end; gives its lines and what it said on stderr.
    async fn lines(&self, mut command: Command) -> (Vec<WarningLine>, String) {
        let child = command.spawn().unwrap();
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{told}\n{}",
            self.gateway.log_text()
        );
        let text = String::from_utf8(output.stdout).unwrap();
        (
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
            told,
        )
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.dispatcher.abort();
    }
}

fn detect(bootstrap: &str, directory: &Path) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-stream"));
    command
        .args([
            "detect",
            "--instance",
            "detect-0",
            "--bootstrap-servers",
            bootstrap,
        ])
        .args(["--metrics", &format!("127.0.0.1:{}", free_port().unwrap())]);
    Server::start(&mut command, &directory.join("detect.log")).unwrap()
}

/// At least once: the offset is committed after the gateway has accepted.
async fn dispatch(bootstrap: String, url: String) {
    let consumer: StreamConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .set("group.id", "dispatch-warnings")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    consumer.subscribe(&[topics::ALERTS]).unwrap();
    let client = reqwest::Client::new();
    loop {
        let Ok(message) = consumer.recv().await else {
            continue;
        };
        let alert: Alert = serde_json::from_slice(message.payload().unwrap()).unwrap();
        let notification = json!({
            "id": alert.id, "vehicle": alert.vehicle, "rule": alert.rule, "severity": alert.severity,
            "episode": alert.episode, "event_time": alert.event_time, "detected_at": alert.detected_at,
            "language": "en", "text": alert.text, "ssml": "<speak>Stop.</speak>",
            "expires_at": jiff::Timestamp::now() + jiff::SignedDuration::from_secs(600),
        });
        while !client
            .post(&url)
            .bearer_auth(NOTIFY)
            .body(notification.to_string())
            .send()
            .await
            .is_ok_and(|r| r.status().is_success())
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        consumer.commit_message(&message, CommitMode::Sync).unwrap();
    }
}

/// Episodes at warning or above, by vehicle.
fn episodes(lines: &[WarningLine]) -> HashMap<&str, BTreeSet<&str>> {
    let mut all: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for line in lines.iter().filter(|l| l.severity >= Severity::Warning) {
        assert_eq!(line.rule, "overheating");
        assert!(line.delivered_at.is_some_and(|at| at >= line.detected_at));
        all.entry(&line.vehicle).or_default().insert(&line.episode);
    }
    all
}

fn ids_are_unique(lines: &[WarningLine]) {
    let ids: BTreeSet<_> = lines
        .iter()
        .map(|l| (&l.vehicle, &l.rule, &l.episode, l.severity))
        .collect();
    assert_eq!(ids.len(), lines.len(), "told twice: {lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn simulated_cars_are_warned_once_though_the_gateway_is_killed() {
    let Some(mut platform) = Platform::start().await else {
        return;
    };
    let truth = platform.directory.path().join("truth.jsonl");
    let fleet = |command: &mut Command, prefix: &str| {
        command
            .args([
                "--vehicles",
                "4",
                "--faulty",
                "2",
                "--duration",
                "900",
                "--coolant",
                "88",
                "--inject",
                "coolant-ramp@300:8",
            ])
            .args(["--vehicle-prefix", prefix, "--truth"])
            .arg(&truth);
    };
    for via in ["http", "mqtt"] {
        let mut command = platform.command("simulate");
        fleet(&mut command, via);
        command.args(["--via", via, "--vehicle-events"]);
        let (lines, told) = platform.lines(command).await;
        assert!(told.contains("3600 events in"), "{told}");
        // Two that break down; their repairs lie ahead.
        assert!(told.contains(" vehicle events"), "{told}");
        let events = support::all(&platform.kafka.bootstrap(), topics::VEHICLE_EVENTS).await;
        let kinds: Vec<EventKind> = events
            .iter()
            .filter(|r| r.key_text().is_some_and(|key| key.starts_with(via)))
            .map(|r| {
                vehicle_event::decode(r.payload.as_deref().unwrap())
                    .unwrap()
                    .kind
            })
            .collect();
        let count = |kind| kinds.iter().filter(|k| **k == kind).count();
        assert_eq!(
            (count(EventKind::Breakdown), count(EventKind::Repair)),
            (2, 0),
            "{kinds:?}"
        );
        assert_eq!(
            (count(EventKind::HireStarted), count(EventKind::HireEnded)),
            (4, 4),
            "{kinds:?}"
        );
        ids_are_unique(&lines);
        let episodes = episodes(&lines);
        assert_eq!(episodes.len(), 2, "{lines:?}");
        for (vehicle, from) in std::fs::read_to_string(&truth)
            .unwrap()
            .lines()
            .map(|line| {
                let truth: serde_json::Value = serde_json::from_str(line).unwrap();
                (
                    truth["vehicle"].as_str().unwrap().to_owned(),
                    truth["injected_at"]
                        .as_str()
                        .unwrap()
                        .parse::<jiff::Timestamp>()
                        .unwrap(),
                )
            })
        {
            assert_eq!(episodes[vehicle.as_str()].len(), 1, "{lines:?}");
            assert!(
                lines
                    .iter()
                    .filter(|l| l.vehicle == vehicle)
                    .all(|l| l.event_time >= from)
            );
        }
    }

    // At sixty times the speed of driving it takes 15 s; the gateway dies twice on the way.
    let mut command = platform.command("simulate");
    fleet(&mut command, "killed-");
    command.args(["--speed", "60", "--via", "mqtt"]);
    let child = command.spawn().unwrap();
    let waiting = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        platform.gateway.kill();
        tokio::time::sleep(Duration::from_secs(1)).await;
        platform.gateway.start_again().await;
    }
    let output = waiting.await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let lines: Vec<WarningLine> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    ids_are_unique(&lines);
    let episodes = episodes(&lines);
    assert_eq!(episodes.len(), 2, "{lines:?} {told}");
    assert!(episodes.values().all(|e| e.len() == 1), "{lines:?}");
    println!("{told}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn recorded_trips_are_quiet_until_a_fault_is_injected() {
    let Some(data) = data_dir().map(|d| d.join("carobd")).filter(|d| d.is_dir()) else {
        millrace_testkit::left_out(
            "recorded trips",
            "neither $MILLRACE_DATA nor ../shared/data is there",
        )
        .unwrap();
        return;
    };
    let Some(platform) = Platform::start().await else {
        return;
    };
    let files = ["drive1.csv.gz", "drive2.csv.gz", "idle1.csv.gz"].map(|name| data.join(name));
    let replay = |prefix: &str, more: &[&str]| {
        let mut command = platform.command("replay");
        command
            .args(["--format", "carobd", "--vehicle-prefix", prefix])
            .args(more)
            .args(&files);
        command
    };
    let (lines, told) = platform.lines(replay("healthy-", &[])).await;
    assert!(
        lines.iter().all(|l| l.severity < Severity::Warning),
        "{lines:?}"
    );
    assert!(told.contains("0 warnings"), "{told}");
    let (lines, told) = platform
        .lines(replay("faulty-", &["--inject", "coolant-ramp@120:10"]))
        .await;
    ids_are_unique(&lines);
    let episodes = episodes(&lines);
    assert!(
        !episodes.is_empty() && episodes.values().all(|e| e.len() == 1),
        "{lines:?}"
    );
    println!("{told}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "systems tier"]
async fn who_is_stuck_is_told_where() {
    let Some(kafka) = Kafka::start().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    create_topics(&bootstrap).await;
    let gateway = Gateway::start(&bootstrap, CONFIG).await;
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("admin-token");
    std::fs::write(&token, ADMIN).unwrap();
    let run = |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_millrace-stream"))
            .args([
                "simulate",
                "--vehicles",
                "1",
                "--duration",
                "60",
                "--gateway-http",
                &gateway.url(""),
            ])
            .args([
                "--gateway-mqtt",
                &format!("127.0.0.1:{}", gateway.mqtt),
                "--admin-token-file",
            ])
            .arg(&token)
            .args(more)
            .output()
            .unwrap()
    };
    let output = run(&["--timeout", "2"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        told.contains("60 telemetry records wait for detection"),
        "{told}"
    );
    std::fs::write(&token, "another").unwrap();
    let output = run(&["--timeout", "2"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && told.contains("vehicles-token"),
        "{told}"
    );
}
