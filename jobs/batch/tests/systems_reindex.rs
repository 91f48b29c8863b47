//! Days of a lake in a real Druid, by the configuration that the operator writes: the answers are those of the events that were
//! archived, each once; loaded again they are the same; a day that cannot be read leaves what was there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod fleet;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_contract::Telemetry;
use millrace_testkit::Druid;
use serde_json::{Map, Value, json};

/// 2026-01-05T08:00:00Z: the configuration loads from this day on up to before the 8th.
const BEGIN: i64 = 1_767_600_000;
const DAY: i64 = 86_400;
/// Events of the first day, and of the second; the third has none.
const EVENTS: [usize; 2] = [600, 200];
/// So many of them were archived twice.
const REPEATED: usize = 50;
const LIMIT: Duration = Duration::from_secs(600);

/// The configuration as the operator writes it: what its own test holds it to.
fn config() -> Value {
    let snapshot = Path::new(env!("CARGO_MANIFEST_DIR")).join(
        "../../operator/src/ingestion/reindex/snapshots/millrace_operator__ingestion__reindex__tests__the_configuration_of_a_run.snap",
    );
    let text = std::fs::read_to_string(snapshot).unwrap();
    serde_json::from_str(text.splitn(3, "---\n").nth(2).unwrap()).unwrap()
}

fn event(day: usize, n: usize) -> Telemetry {
    let (day, at) = (i64::try_from(day).unwrap(), i64::try_from(n).unwrap());
    let micros = (BEGIN + day * DAY) * 1_000_000 + at * 1_300_007;
    Telemetry {
        speed: (!n.is_multiple_of(4)).then_some((n % 130) as f64 + 0.25),
        model: (n % 3 != 2).then(|| "Polo".into()),
        hire: Some("a1b2".into()),
        mil_on: (!n.is_multiple_of(5)).then_some(n % 10 == 1),
        dtc_list: (n % 10 == 1).then(|| vec!["P0300".into(), "P0217".into()]),
        latitude: Some(52.5),
        ..Telemetry::new(
            format!("car-{}", n % 3),
            u64::try_from(n).unwrap(),
            Timestamp::from_microsecond(micros).unwrap(),
        )
    }
}

fn events() -> Vec<Telemetry> {
    let days = EVENTS.iter().enumerate();
    days.flat_map(|(day, events)| (0..*events).map(move |n| event(day, n)))
        .collect()
}

/// What Druid is asked for, by day and vehicle.
#[derive(Debug, Default, PartialEq)]
struct Row {
    events: u64,
    speeds: u64,
    speed_sum: f64,
    speed_max: Option<f64>,
    lamp: u64,
}

fn expected() -> BTreeMap<(String, String), Row> {
    let mut rows = BTreeMap::<_, Row>::new();
    for event in events() {
        let day = event.time.strftime("%Y-%m-%d").to_string();
        let row = rows.entry((day, event.vehicle)).or_default();
        row.events += 1;
        if let Some(speed) = event.speed {
            row.speeds += 1;
            row.speed_sum += speed;
            row.speed_max = Some(row.speed_max.map_or(speed, |max| max.max(speed)));
        }
        row.lamp += u64::from(event.mil_on == Some(true));
    }
    rows
}

async fn sql(druid: &Druid, query: &str) -> Vec<Map<String, Value>> {
    let url = format!("{}/druid/v2/sql", druid.broker());
    let asked = reqwest::Client::new()
        .post(url)
        .header("content-type", "application/json")
        .body(json!({"query": query}).to_string())
        .send();
    let answer = asked.await.unwrap().bytes().await.unwrap();
    // Until the first segment is loaded there is no such table.
    serde_json::from_slice(&answer).unwrap_or_default()
}

async fn found(druid: &Druid) -> BTreeMap<(String, String), Row> {
    let query = "SELECT TIME_FORMAT(__time, 'yyyy-MM-dd') AS \"day\", vehicle, SUM(events) AS events, SUM(speed_count) AS speeds, \
                 SUM(speed_sum) AS speed_sum, MAX(speed_max) AS speed_max, SUM(mil_on_count) AS lamp FROM telemetry GROUP BY 1, 2";
    let rows = sql(druid, query).await;
    let row = |row: &Map<String, Value>| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let count = |key: &str| row[key].as_u64().unwrap();
        let found = Row {
            events: count("events"),
            speeds: count("speeds"),
            speed_sum: row["speed_sum"].as_f64().unwrap(),
            speed_max: row["speed_max"].as_f64(),
            lamp: count("lamp"),
        };
        ((text("day"), text("vehicle")), found)
    };
    rows.iter().map(row).collect()
}

/// Asks until an answer is there that holds.
async fn until<T, F: Future<Output = Option<T>>>(
    druid: &Druid,
    what: &str,
    look: impl Fn() -> F,
) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}\n{}", druid.tails());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// What a Broker answers that has not known the data source before: it learns of it by and by.
async fn found_anew(
    druid: &Druid,
    expected: &BTreeMap<(String, String), Row>,
) -> BTreeMap<(String, String), Row> {
    until(druid, "all rows", || async {
        let found = found(druid).await;
        (found.len() == expected.len()).then_some(found)
    })
    .await
}

/// Waits until what counts of so many days is loaded, and newer than `after`. Gives the newest version.
async fn loaded(druid: &Druid, days: usize, after: &str) -> String {
    let query = "SELECT \"start\", \"version\" FROM sys.segments WHERE datasource = 'telemetry' AND is_published = 1 \
                 AND is_available = 1 AND is_overshadowed = 0";
    let what = format!("{days} days loaded after {after:?}");
    until(druid, &what, || async {
        let rows = sql(druid, query).await;
        let text = |row: &Map<String, Value>, key: &str| row[key].as_str().unwrap().to_owned();
        let newer: BTreeMap<String, String> = rows
            .iter()
            .map(|row| (text(row, "start"), text(row, "version")))
            .filter(|(_, version)| version.as_str() > after)
            .collect();
        let newest = newer.values().max()?.clone();
        (newer.len() == days).then_some(newest)
    })
    .await
}

struct Scene {
    folder: tempfile::TempDir,
    druid: Druid,
}

impl Scene {
    fn lake(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    fn run(&self, config: &Value) -> Output {
        let file = self.folder.path().join("config.yaml");
        std::fs::write(&file, config.to_string()).unwrap();
        Command::new(env!("CARGO_BIN_EXE_millrace-batch"))
            .args(["reindex", "--listen", "127.0.0.1:0"])
            .args(["--reached-at", "127.0.0.1", "--druid"])
            .arg(self.druid.coordinator())
            .arg("--lake")
            .arg(format!("file://{}", self.lake().display()))
            .arg("--config")
            .arg(file)
            .output()
            .unwrap()
    }

    fn succeeds(&self, config: &Value) -> Value {
        let output = self.run(config);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{}", self.druid.tails());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn fails(&self, config: &Value) -> String {
        let output = self.run(config);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        said.lines().last().unwrap().to_owned()
    }
}

#[tokio::test]
#[ignore = "systems tier"]
async fn days_take_the_place_of_what_druid_has_of_them_or_leave_it() {
    let Some(druid) = Druid::start_with_historical().unwrap() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene { folder, druid };
    let (druid, config, expected) = (&scene.druid, config(), expected());
    let mut archived = events();
    archived.extend((0..REPEATED).map(|n| event(0, n)));
    let files = fleet::archive(&scene.lake(), &archived).await;

    // A data source that never saw Kafka.
    let done = scene.succeeds(&config);
    assert_eq!(done["days"], 2);
    assert_eq!(done["rows"], EVENTS.iter().sum::<usize>());
    assert_eq!(done["repeated"], REPEATED);
    assert_eq!(done["left"], 1, "{done}");
    let why = done["why"].as_str().unwrap();
    assert!(why.starts_with("2026-01-07: "), "{why}");
    let first = loaded(druid, 2, "").await;
    assert_eq!(found_anew(druid, &expected).await, expected);
    let columns = sql(
        druid,
        "SELECT COLUMN_NAME AS name FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'telemetry'",
    )
    .await;
    let has = |name: &str| columns.iter().any(|column| column["name"] == name);
    assert!(has("speed_quantiles") && has("dtc_list"), "{columns:?}");
    assert!(!has("hire") && !has("latitude"), "{columns:?}");

    // Again is the same.
    scene.succeeds(&config);
    let second = loaded(druid, 2, &first).await;
    assert_eq!(found(druid).await, expected);

    // All that Druid had is lost.
    let url = format!(
        "{}/druid/coordinator/v1/datasources/telemetry",
        druid.coordinator()
    );
    let lost = reqwest::Client::new().delete(url).send().await.unwrap();
    assert!(lost.status().is_success(), "{lost:?}");
    until(druid, "no rows", || async {
        found(druid).await.is_empty().then_some(())
    })
    .await;
    scene.succeeds(&config);
    let third = loaded(druid, 2, &second).await;
    assert_eq!(found_anew(druid, &expected).await, expected);

    a_day_that_cannot_be_read(&scene, &files, &third).await;

    // What Druid does not take changes nothing.
    let mut wrong = config;
    wrong["dataSchema"]["metricsSpec"][0]["type"] = json!("nonsense");
    let said = scene.fails(&wrong);
    assert!(said.contains("Druid did not take the task"), "{said}");
    assert_eq!(found(druid).await, expected);
}

/// The days before it are loaded, and of it what was there stays.
async fn a_day_that_cannot_be_read(scene: &Scene, files: &[PathBuf], before: &str) {
    let (druid, config) = (&scene.druid, config());
    // The last file of the day: rows of the others have been sent by then.
    let damaged = files
        .iter()
        .rfind(|path| path.to_string_lossy().contains("date=2026-01-06"))
        .unwrap();
    let bytes = std::fs::read(damaged).unwrap();
    std::fs::write(damaged, vec![0; bytes.len()]).unwrap();
    let said = scene.fails(&config);
    assert!(
        said.contains("2026-01-06: not loaded") && said.contains("days loaded before it: 1"),
        "{said}"
    );
    let name = damaged.file_name().unwrap().to_string_lossy();
    assert!(said.contains(&*name), "{said}");
    loaded(druid, 1, before).await;
    assert_eq!(found(druid).await, expected());
    // Once it is there again it is loaded.
    std::fs::write(damaged, bytes).unwrap();
    scene.succeeds(&config);
    loaded(druid, 2, before).await;
    assert_eq!(found(druid).await, expected());
}
