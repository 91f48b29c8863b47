//! From a car to the lake and to its score on real nodes: `kubectl apply` of samples brings up HDFS and the archive, and what
//! was driven lies there, each event once; then PostgreSQL and score, and the trips are scored there as the pure functions do;
//! who drove well is made an offer;
//! in the end retention takes the hours out of the lake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster_support;
mod offer_scene;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cluster_support::lake::{LIMIT, lake, millrace_lake};
use cluster_support::{Drives, platform_and_trips, text};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use millrace_analytics::driving::{Driving, Reading, VehicleDriving, score};
use millrace_contract::score::ScoreConfig;
use millrace_testkit::Platform;
use offer_scene::OfferScene;
use serde_json::Value;

const SCORE: &str = include_str!("../../../manifests/samples/batchjob.yaml");
const POSTGRES: &str = include_str!("../../../manifests/samples/postgrescluster.yaml");
const SAMPLE: &str = include_str!("../../../manifests/samples/streamjob-archive.yaml");
const ROLL: &str = "rollInterval: 5m";

/// The day before yesterday, of which no other test has events: score looks at the last days.
fn day() -> jiff::civil::Date {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    today.checked_sub(2.days()).unwrap()
}

/// Vehicle and number of each event that this test has driven: others may have driven in these hours, too.
fn rows(platform: &Platform, drives: &Drives) -> Vec<(String, u64)> {
    let (from, to) = (format!("{}T08", day()), format!("{}T23", day()));
    let said = lake(platform, &["cat", "--from", &from, "--to", &to]).unwrap();
    // The log goes to standard error, and `kubectl logs` shows both.
    let lines = said.lines().filter(|line| line.contains("kafka_offset"));
    let rows = lines.map(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        let number = row["sequence"].as_u64().unwrap();
        (text(&row, "vehicle").to_owned(), number)
    });
    rows.filter(|(vehicle, _)| vehicle.starts_with(&drives.prefix))
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
            "batchjob/sample-score",
            "streamjob/sample-archive",
            "hdfscluster/sample-archive-hdfs",
            "postgrescluster/sample-postgres",
        ][..],
        &[
            "job/sample-score-now",
            "job/sample-archive-compact-now",
            "job/sample-archive-retain-now",
            "pvc/data-sample-archive-hdfs-namenode-0",
            "pvc/data-sample-archive-hdfs-datanode-0",
            "pvc/data-sample-postgres-0",
        ],
    ] {
        let arguments = [&["delete", "--ignore-not-found", "--timeout=60s"], what].concat();
        platform.kubectl(&arguments).unwrap();
    }
}

/// Vehicle, distance in m and score of each trip, as the pure functions have them.
fn scores_of(drives: &Drives) -> Vec<(String, f64, f64)> {
    let config = ScoreConfig::default();
    let driving = Driving::new(&config);
    let mut scores = Vec::new();
    for file in &drives.files {
        let mut state = VehicleDriving::default();
        let mut trips = Vec::new();
        let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
        for sample in drives.trip(file).samples {
            let reading = Reading {
                speed: known(sample.speed),
                engine_speed: known(sample.engine_speed),
                speed_limit: known(sample.speed_limit),
                longitudinal: known(sample.acceleration_longitudinal),
                lateral: known(sample.acceleration_lateral),
                yaw_rate: known(sample.yaw_rate),
                heading: known(sample.heading),
                fuel_rate: known(sample.fuel_rate),
                air_flow: known(sample.mass_air_flow),
                ..Reading::empty(sample.time.as_microsecond(), None)
            };
            trips.extend(state.observe(&driving, &reading, 0, f64::NAN));
        }
        trips.extend(state.finish(&driving, 0, f64::NAN));
        scores.extend(trips.iter().map(|trip| {
            let total = score(&config, &trip.exposure).unwrap().total;
            (drives.vehicle(file), trip.exposure.distance, total)
        }));
    }
    scores.sort_by(|a, b| a.0.cmp(&b.0));
    scores
}

/// A statement, by the role that writes scores.
fn sql(platform: &Platform, statement: &str) -> String {
    let password = platform.secret("sample-postgres-score-binding", "password");
    let score = ("score", password.as_deref().unwrap());
    let said = platform.psql("sample-postgres", score, statement);
    said.unwrap()
}

/// A run of now; its log is in the failure.
fn run_now(platform: &Platform, cron_job: &str) {
    platform.run_now(cron_job, LIMIT).unwrap();
}

/// The command line, by way of a pod of the archive: what that says, and its exit code.
fn can_be_asked(platform: &Platform, rows: usize) {
    let ask = |arguments: &[&str]| {
        let said = millrace_lake(platform, arguments);
        let errors = String::from_utf8(said.stderr).unwrap();
        (
            said.status.code(),
            String::from_utf8(said.stdout).unwrap(),
            errors,
        )
    };
    let (code, told, errors) = ask(&["ls", "--output", "json"]);
    assert_eq!(code, Some(0), "{errors}");
    let listed: Value = serde_json::from_str(&told).unwrap();
    let sources = listed["sources"].as_object().unwrap().values();
    let listed: u64 = sources.map(|source| source["rows"].as_u64().unwrap()).sum();
    assert!(listed >= u64::try_from(rows).unwrap(), "{told}");
    let (code, told, errors) = ask(&["cat", "--from", "today"]);
    assert_eq!((code, told.as_str()), (Some(2), ""), "{errors}");
    assert!(errors.contains("not an hour"), "{errors}");
}

/// Waits until a field of an object is there.
fn wait_for(platform: &Platform, of: &str, path: &str) {
    let (end, path) = (Instant::now() + LIMIT, format!("jsonpath={path}"));
    let get = ["get", of, "--ignore-not-found", "-o", &path];
    while platform.kubectl(&get).unwrap_or_default().is_empty() {
        assert!(Instant::now() < end, "{of}: no {path}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The CronJob of compaction in pods of its own: as many rows as before, and the lake is whole.
fn are_compacted(platform: &Platform, drives: &Drives, before: usize) {
    run_now(platform, "sample-archive-compact");
    assert_eq!(rows(platform, drives).len(), before, "compacted");
    let said = lake(platform, &["verify"]);
    assert!(said.is_ok(), "{said:?}");
    let job = "streamjob/sample-archive";
    wait_for(platform, job, "{.status.lake.lastCompacted}");
}

/// The CronJob of retention in pods of its own: what was driven the day before yesterday goes to the trash.
fn are_retired(platform: &Platform, drives: &Drives) {
    let retention = r#"{"spec":{"lake":{"retention":{"schedule":"@yearly","olderThan":"1d"}}}}"#;
    let job = "streamjob/sample-archive";
    let ask = ["patch", job, "--type=merge", "-p", retention];
    platform.kubectl(&ask).unwrap();
    wait_for(
        platform,
        "cronjob/sample-archive-retain",
        "{.metadata.name}",
    );
    // The user's home, for the trash, is made before the CronJob.
    run_now(platform, "sample-archive-retain");
    assert_eq!(rows(platform, drives), [], "retired");
    let said = lake(platform, &["verify"]).unwrap();
    assert!(said.contains("retired"), "{said}");
    wait_for(platform, job, "{.status.lake.lastRetained}");
}

/// PostgreSQL and score beside the lake: a run of now writes the trips of the day before yesterday.
fn are_scored(platform: &Platform, drives: &Drives) {
    platform.apply(POSTGRES).unwrap();
    // The definition as it comes: what is compared is computed by it.
    let (spec, _) = SCORE.split_once("  config:").unwrap();
    let name = &platform.name;
    // Whoever makes offers hears of it.
    let report = format!(
        "  report:\n    gatewayUrl: http://{name}-gateway-internal.{}.svc:8080\n    tokenSecretRef: {{name: {name}-gateway, key: events-token}}\n",
        platform.namespace
    );
    platform
        .apply(&(spec.replace("Europe/Vienna", "Etc/UTC") + &report))
        .unwrap();
    for what in ["postgrescluster/sample-postgres", "batchjob/sample-score"] {
        let wait = ["wait", "--for=condition=Available", what, "--timeout=240s"];
        platform.kubectl(&wait).unwrap();
    }
    run_now(platform, "sample-score");
    let like = format!("{}%", drives.prefix);
    let found = sql(
        platform,
        &format!(
            "SELECT vehicle, distance_m, score FROM millrace.trip_scores WHERE vehicle LIKE '{like}' ORDER BY vehicle, started"
        ),
    );
    let found: Vec<Vec<&str>> = found
        .lines()
        .map(|line| line.split('|').collect())
        .collect();
    let expected = scores_of(drives);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    assert!(!expected.is_empty());
    for (found, (vehicle, distance, total)) in found.iter().zip(&expected) {
        let number = |index: usize| found[index].parse::<f64>().unwrap();
        assert_eq!(found[0], vehicle);
        assert!((number(1) - distance).abs() < 1e-3, "{found:?} {distance}");
        assert!((number(2) - total).abs() < 1e-6, "{found:?} {total}");
    }
}

#[test]
#[ignore = "cluster tier"]
fn what_was_driven_lies_in_the_lake_each_event_once_and_is_scored() {
    let Some((platform, mut files)) = platform_and_trips("carobd", ".csv.gz") else {
        return;
    };
    let begin = Instant::now();
    let told = |what: &str| eprintln!("{what}: {:?}", begin.elapsed());
    remove(&platform);
    let hires = OfferScene::new(&platform);
    files.truncate(2);
    let drives = Drives::new(
        "lake",
        "carobd",
        format!("{}T08:00:00Z", day()).leak(),
        files,
    );
    let binding = format!("{}-kafka-binding", platform.name);
    assert!(SAMPLE.contains("sample-binding") && SAMPLE.contains(ROLL));
    let manifest = SAMPLE
        .replace("sample-binding", &binding)
        .replace(ROLL, "rollInterval: 5s");
    platform.apply(&manifest).unwrap();
    // Half of it while HDFS is still coming up.
    drives.drive(&platform);
    hires.drive(day());
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
        let seen = rows(&platform, &drives);
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
    can_be_asked(&platform, expected.len());
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
    hires.wait();
    told("offers can be made");
    are_scored(&platform, &drives);
    told("scored");
    hires.one_was_made(|| {
        let run = ["delete", "job/sample-score-now"];
        platform.kubectl(&run).unwrap();
        // As after a change of the definition: all days are scored and told anew.
        sql(&platform, "DELETE FROM millrace.score_runs");
        run_now(&platform, "sample-score");
    });
    told("offered");
    are_compacted(&platform, &drives, expected.len());
    told("compacted");
    are_retired(&platform, &drives);
    told("retired");
    remove(&platform);
    told("removed");
}
