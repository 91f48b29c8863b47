//! `archive` with vehicle events and alerts, against a real Kafka: each once, in columns, proven against Kafka, before and after
//! compaction; what does not fit is kept.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod kafka_support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kafka_support::{Job, create_topics};
use millrace_stream::connect::Producer;
use millrace_testkit::Kafka;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);
const EVENTS: u64 = 300;

fn lake(root: &Path, dataset: &str, arguments: &[&str]) -> (bool, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_millrace-stream"))
        .arg("lake")
        .args(arguments)
        .arg("--lake")
        .arg(format!("file://{}", root.display()))
        .args(["--dataset", dataset])
        .output()
        .unwrap();
    eprint!("{}", String::from_utf8_lossy(&out.stderr));
    (out.status.success(), String::from_utf8(out.stdout).unwrap())
}

fn rows(root: &Path, dataset: &str) -> Vec<Value> {
    let (ok, text) = lake(root, dataset, &["cat"]);
    assert!(ok, "{text}");
    let parse = |line| serde_json::from_str(line).unwrap();
    text.lines().map(parse).collect()
}

fn of(topic: &str, n: u64) -> String {
    let (car, minute, odometer) = (n % 10, n % 60, n * 1000);
    match (topic, n % 50) {
        (_, 49) => format!("{{\"vehicle\":\"car-{car}\",\"id\":{n}"),
        ("alerts", _) => format!(
            "{{\"id\":\"a{n}\",\"vehicle\":\"car-{car}\",\"rule\":\"slow-puncture\",\"event_time\":\"2026-11-01T08:{minute:02}:00Z\",\"wheel\":\"rear_left\",\"value\":180.5}}"
        ),
        _ => format!(
            "{{\"vehicle\":\"car-{car}\",\"id\":\"e{n}\",\"time\":\"2026-11-01T08:{minute:02}:00Z\",\"kind\":\"breakdown\",\"component\":\"engine\",\"odometer\":{odometer},\"mood\":1}}"
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka"]
async fn vehicle_events_and_alerts_are_archived_each_once() {
    let kafka = tokio::task::spawn_blocking(Kafka::start);
    let Some(kafka) = kafka.await.unwrap().unwrap() else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("lake");
    let topics = ["vehicle-events", "alerts"];
    create_topics(&bootstrap, &topics.map(|topic| (topic, 2, false))).await;
    let producer = Producer::new(&bootstrap, "test").unwrap();
    let mut jobs = Vec::new();
    for topic in topics {
        for n in 0..EVENTS {
            let (key, value) = (format!("car-{}", n % 10), of(topic, n));
            let headers = [("ce_type".to_owned(), "t".to_owned())];
            let sent = producer.send(topic, &key, &headers, value.as_bytes(), None);
            sent.await.unwrap();
        }
        let config = directory.path().join(format!("{topic}.yaml"));
        let text =
            format!("topic: {topic}\ngroup: archive-{topic}\nrollInterval: 1s\nlongestWait: 1s\n");
        std::fs::write(&config, text).unwrap();
        let place = format!("file://{}", root.display());
        let log = directory.path().join(format!("{topic}.log"));
        jobs.push(Job::start(
            "archive",
            &bootstrap,
            &config,
            &log,
            &["--lake", &place],
        ));
    }
    let until = Instant::now() + LIMIT;
    for topic in topics {
        while rows(&root, topic).len() < usize::try_from(EVENTS).unwrap() {
            assert!(Instant::now() < until, "{topic}: not archived");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    for job in jobs {
        job.terminate(LIMIT).await;
    }
    for compacted in [false, true] {
        for topic in topics {
            if compacted {
                let (ok, text) = lake(&root, topic, &["compact", "--at-least", "2"]);
                assert!(ok, "{text}");
            }
            let (ok, text) = lake(
                &root,
                topic,
                &["verify", "--json", "--bootstrap-servers", &bootstrap],
            );
            let report: Value = serde_json::from_str(&text).unwrap();
            assert!(ok && report["findings"] == serde_json::json!([]), "{text}");
            assert_eq!(report["rows"].as_u64(), Some(EVENTS));
            let found = rows(&root, topic);
            assert_eq!(found.len(), usize::try_from(EVENTS).unwrap());
            let mut values: Vec<&str> = found
                .iter()
                .map(|row| row["raw"].as_str().unwrap())
                .collect();
            let mut sent: Vec<String> = (0..EVENTS).map(|n| of(topic, n)).collect();
            values.sort_unstable();
            sent.sort_unstable();
            assert_eq!(values, sent, "{topic}");
            let whole = found.iter().filter(|row| row["vehicle"].is_string());
            assert_eq!(whole.clone().count(), 294, "{topic}");
            for row in whole {
                match topic {
                    "alerts" => assert_eq!(
                        (&row["wheel"], row["value"].as_f64()),
                        (&"rear_left".into(), Some(180.5))
                    ),
                    _ => assert_eq!(row["component"], "engine"),
                }
                assert!(
                    row["time"].as_str().unwrap().starts_with("2026-11-01T08:"),
                    "{row}"
                );
            }
        }
    }
}
