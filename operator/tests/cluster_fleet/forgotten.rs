//! A driver who is erased: all stores name them before, and none does afterwards, but for what the report names.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use millrace_contract::topics;
use serde_json::Value;

use super::Scene;
use super::day::{self, DRIVERS};
use super::identities::Identities;
use super::lake::DATASETS;
use super::scan::Found;
use crate::cluster_support::wait;

const LIMIT: Duration = Duration::from_secs(900);
/// Topics that name the driver until their retention is over.
const WAITING: [&str; 6] = [
    topics::TELEMETRY,
    topics::VEHICLE_EVENTS,
    topics::ALERTS,
    topics::HIRE_SCORES,
    topics::OFFERS,
    topics::AUDIT,
];
/// Topics that the report names, and in which the driver is found or not: events lie there only if they had to wait for others, or
/// were refused.
const MAY_WAIT: [&str; 2] = [topics::DETECT_STATE, topics::DEAD_LETTERS];
/// Topics that lead to the driver, whose older records go with compaction.
const LEADING: [&str; 2] = [topics::DRIVERS, topics::HIRES];

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Waits until the documents of alerts and of vehicles name a driver.
async fn are_loaded(scene: &Scene, names: &[String]) {
    let started = Instant::now();
    for collection in ["alerts", "vehicles"] {
        loop {
            let all = scene.documents_of("millrace", collection).await;
            let text = format!("{all:?}");
            if names.iter().any(|name| text.contains(name)) {
                break;
            }
            assert!(
                started.elapsed() < LIMIT,
                "{collection}: {} documents",
                all.len()
            );
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
}

fn of_lake(seen: &Found, dataset: &str) -> bool {
    let folder = format!("/millrace/lake/{dataset}/");
    seen.files.iter().any(|file| file.starts_with(&folder))
}

/// Fails unless every store names the driver, else the scan afterwards would say nothing.
fn is_known(seen: &Found) {
    for dataset in DATASETS {
        assert!(of_lake(seen, dataset), "{dataset}: {seen:?}");
    }
    let tables = ["hire_scores", "trip_scores", "week_scores"];
    for table in tables.map(|table| format!("millrace.{table}")) {
        assert!(seen.tables.contains(&table), "{table}: {seen:?}");
    }
    let led = ["drivers", "hires", "offers", "open_offers"];
    for collection in led.map(|name| format!("millrace-identity.{name}")) {
        assert!(
            seen.collections.contains(&collection),
            "{collection}: {seen:?}"
        );
    }
    assert!(seen.live.is_superset(&set(&LEADING)), "{seen:?}");
    assert!(seen.topics.is_superset(&set(&WAITING)), "{seen:?}");
}

/// What is still found is what the report says is waiting, and older records of the topics that lead to drivers.
fn waits_as_reported(seen: &Found, report: &Value) {
    assert_eq!(seen.files, BTreeSet::new());
    assert_eq!(seen.tables, BTreeSet::new());
    assert_eq!(seen.collections, BTreeSet::new());
    assert_eq!(seen.live, BTreeSet::new());
    let waits = report["waits"].as_array().unwrap().iter();
    let waits: BTreeSet<&str> = waits.filter_map(|one| one["place"].as_str()).collect();
    let mut waiting: BTreeSet<String> = seen.topics.difference(&set(&LEADING)).cloned().collect();
    waiting.retain(|topic| !MAY_WAIT.contains(&topic.as_str()));
    assert_eq!(waiting, set(&WAITING));
    // All of them, found or not, and no other topic.
    let reported = waits
        .iter()
        .filter_map(|place| place.strip_prefix("kafka: "));
    let reported: BTreeSet<&str> = reported.collect();
    let expected: BTreeSet<&str> = WAITING.into_iter().chain(MAY_WAIT).collect();
    assert_eq!(reported, expected, "{report}");
    for wait in report["waits"].as_array().unwrap() {
        let place = wait["place"].as_str().unwrap();
        let is_log = WAITING
            .iter()
            .any(|topic| place == format!("kafka: {topic}"));
        let day = wait["latest"].as_str().map(str::parse::<jiff::civil::Date>);
        assert!(!is_log || matches!(day, Some(Ok(_))), "{wait}");
    }
    let activations = waits.contains("openwhisk: records of activations");
    assert!(activations || !seen.activations, "{report}");
}

/// Fails unless the report tells of something that was removed in each kind of store.
fn tells_what_was_removed(report: &Value) {
    let removed = report["removed"].as_array().unwrap();
    for place in [
        "lake: telemetry",
        "lake: vehicle-events",
        "lake: alerts",
        "postgresql: millrace.hire_scores",
        "mongodb: alerts",
        "mongodb: offers",
        "mongodb: hires",
        "kafka: hires, drivers",
    ] {
        let line = removed.iter().find(|line| line["place"] == place);
        let count = line.and_then(|line| line["count"].as_u64());
        assert!(count > Some(0), "{place}: {report}");
    }
}

/// Erases the first driver of the day.
pub async fn is_forgotten(scene: &Scene, identities: &Identities) {
    let [(erased, _), (other, _), ..] = DRIVERS;
    let (names, others) = (identities.names(erased), identities.names(other));
    are_loaded(scene, &names).await;
    let [raw, before, others_before] = scene.scan([&identities.raw(), &names, &others]).await;
    // Whoever drove is nowhere as telemetry and the hire desk have it.
    assert_eq!(raw, Found::default());
    is_known(&before);
    let held = DATASETS.map(|dataset| scene.archived(dataset));

    let driver = day::id(erased);
    let told = scene.millrace(&["erase", "driver", &driver]).unwrap();
    assert!(told.starts_with("2 hires"), "{told}");
    let erase = ["--output", "json", "erase", "driver", &driver, "--yes"];
    let report = scene.millrace(&erase).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["hires"], 2, "{report}");
    tells_what_was_removed(&report);
    // The Job had pseudonyms for arguments.
    wait("the end of the Job", LIMIT, || {
        let left = scene.platform.kubectl(&["get", "jobs,pods", "-o", "json"]);
        let left = left.ok()?;
        (!names.iter().any(|name| left.contains(name))).then_some(())
    });

    let [after, others_after] = scene.scan([&names, &others]).await;
    waits_as_reported(&after, &report);
    // No row is lost, and nobody else is forgotten.
    assert_eq!(DATASETS.map(|dataset| scene.archived(dataset)), held);
    for dataset in DATASETS {
        let verify = ["lake", "verify", "--job", "f-archive", "--dataset", dataset];
        scene.millrace(&verify).unwrap();
    }
    assert!(
        of_lake(&others_after, topics::TELEMETRY),
        "{others_after:?}"
    );
    assert!(others_after.tables.is_superset(&others_before.tables));
    assert!(
        others_after
            .collections
            .is_superset(&others_before.collections)
    );
    assert!(
        others_after.live.is_superset(&set(&LEADING)),
        "{others_after:?}"
    );
}
