//! From a car to the lake on real nodes: `kubectl apply` of a sample brings up HDFS and the archive, and what was driven lies
//! there, each event once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster_support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cluster_support::{Drives, platform_and_trips, text};
use millrace_testkit::Platform;
use serde_json::{Value, json};

/// Hours of event time that no other test uses.
const START: &str = "2026-03-05T08:00:00Z";
const FROM: &str = "2026-03-05T08";
const TO: &str = "2026-03-06T00";
const SAMPLE: &str = include_str!("../../../manifests/samples/streamjob-archive.yaml");
/// Java starts slowly on two cores.
const LIMIT: Duration = Duration::from_secs(150);
const ROLL: &str = "rollInterval: 5m";

/// What `millrace-stream lake` says in a pod of its own, which is a client of HDFS and Kafka as any.
fn lake(platform: &Platform, arguments: &[&str]) -> Result<String, String> {
    let get = |of: &str, path: &str| platform.kubectl(&["get", of, "-o", path]).unwrap();
    let job = get(
        "deployment/sample-archive",
        "jsonpath={.spec.template.spec.containers[0]}{\"\\n\"}",
    );
    let job: Value = serde_json::from_str(&job).unwrap();
    let security = json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "sample-lake-client",
            "labels": {"millrace.dev/uses-hdfs": "true", "millrace.dev/uses-kafka": "true"}},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": security,
            "volumes": [{"name": "binding", "secret": {"secretName": "sample-archive-hdfs-binding"}}],
            "containers": [{
                "name": "lake", "image": job["image"], "env": job["env"],
                "args": ([&["lake"][..], arguments].concat()),
                "volumeMounts": [{"name": "binding", "mountPath": "/bindings/sample-archive-hdfs-binding"}],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    let remove = [
        "delete",
        "pod",
        "sample-lake-client",
        "--ignore-not-found",
        "--grace-period=0",
        "--force",
    ];
    platform.kubectl(&remove).unwrap();
    platform.apply(&pod.to_string()).unwrap();
    let end = Instant::now() + LIMIT;
    loop {
        let phase = get("pod/sample-lake-client", "jsonpath={.status.phase}");
        if ["Succeeded", "Failed"].contains(&phase.as_str()) {
            let said = platform.kubectl(&["logs", "sample-lake-client"]).unwrap();
            platform.kubectl(&remove).unwrap();
            return if phase == "Succeeded" {
                Ok(said)
            } else {
                Err(said)
            };
        }
        assert!(Instant::now() < end, "the pod is {phase}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Vehicle and number of each event in the hours of this test.
fn rows(platform: &Platform) -> Vec<(String, u64)> {
    let said = lake(platform, &["cat", "--from", FROM, "--to", TO]).unwrap();
    // The log goes to standard error, and `kubectl logs` shows both.
    let lines = said.lines().filter(|line| line.contains("kafka_offset"));
    lines
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let number = row["sequence"].as_u64().unwrap();
            (text(&row, "vehicle").to_owned(), number)
        })
        .collect()
}

/// The same with the events of each vehicle counted from 0: a replay goes on after the numbers of those before it.
fn from_zero(rows: &[(String, u64)]) -> BTreeSet<(String, u64)> {
    let mut first: BTreeMap<&str, u64> = BTreeMap::new();
    for (vehicle, number) in rows {
        let least = first.entry(vehicle).or_insert(*number);
        *least = (*least).min(*number);
    }
    let rows = rows.iter();
    rows.map(|(vehicle, number)| (vehicle.clone(), number - first[vehicle.as_str()]))
        .collect()
}

fn remove(platform: &Platform) {
    for what in [
        &[
            "streamjob/sample-archive",
            "hdfscluster/sample-archive-hdfs",
        ][..],
        &[
            "pvc/data-sample-archive-hdfs-namenode-0",
            "pvc/data-sample-archive-hdfs-datanode-0",
        ],
    ] {
        let arguments = [&["delete", "--ignore-not-found", "--timeout=60s"], what].concat();
        platform.kubectl(&arguments).unwrap();
    }
}

#[test]
#[ignore = "cluster tier"]
fn what_was_driven_lies_in_the_lake_each_event_once() {
    let Some((platform, mut files)) = platform_and_trips("carobd", ".csv.gz") else {
        return;
    };
    let begin = Instant::now();
    let told = |what: &str| eprintln!("{what}: {:?}", begin.elapsed());
    remove(&platform);
    files.truncate(2);
    let drives = Drives::new("lake", "carobd", START, files);
    let binding = format!("{}-kafka-binding", platform.name);
    assert!(SAMPLE.contains("sample-binding") && SAMPLE.contains(ROLL));
    let manifest = SAMPLE
        .replace("sample-binding", &binding)
        .replace(ROLL, "rollInterval: 5s");
    platform.apply(&manifest).unwrap();
    // Half of it while HDFS is still coming up.
    drives.drive(&platform);
    told("driven");
    let expected: BTreeSet<(String, u64)> = drives
        .files
        .iter()
        .flat_map(|file| drives.trip(file).samples)
        .map(|sample| (sample.vehicle.clone(), sample.sequence))
        .collect();
    assert!(expected.len() > 100, "{}", expected.len());
    let wait = [
        "wait",
        "--for=condition=Available",
        "streamjob/sample-archive",
        "--timeout=150s",
    ];
    platform.kubectl(&wait).unwrap();
    told("available");
    let end = Instant::now() + LIMIT;
    let seen = loop {
        let seen = rows(&platform);
        if seen.len() >= expected.len() {
            break seen;
        }
        assert!(
            Instant::now() < end,
            "{} of {} events",
            seen.len(),
            expected.len()
        );
        std::thread::sleep(Duration::from_secs(2));
    };
    told("archived");
    // The archive keeps repeated ones, and nobody repeated any.
    assert_eq!(seen.len(), expected.len());
    assert_eq!(from_zero(&seen), expected);
    let servers = format!("{}-kafka-bootstrap:9092", platform.name);
    let said = lake(&platform, &["verify", "--bootstrap-servers", &servers]).unwrap();
    eprintln!("{said}");
    assert!(said.contains("commits hold what Kafka has"), "{said}");
    // The job's user writes into its dataset, and the status says where.
    let lake_of = [
        "get",
        "streamjob/sample-archive",
        "-o",
        "jsonpath={.status.lake.uri} {.status.lake.user}",
    ];
    let place = platform.kubectl(&lake_of).unwrap();
    assert!(
        place.ends_with("/millrace/lake/telemetry sample-archive"),
        "{place}"
    );
    remove(&platform);
    told("removed");
}
