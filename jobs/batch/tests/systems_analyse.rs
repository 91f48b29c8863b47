//! The four answers in a real PostgreSQL, against a second computation of the same definitions (DuckDB and Python), against
//! published figures, and as a role that may only read.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod database;
mod fleet;
mod life;
#[path = "fleet/made.rs"]
mod made;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use database::{Database, text};
use fleet::duckdb::{self, ANSWERS, SURVIVAL};
use jiff::{SignedDuration, Timestamp};
use life::Life;
use millrace_contract::{Component, EventKind, VehicleEvent, vehicle_event};
use millrace_testkit::{data_dir, left_out};
use serde_json::{Value, json};
use tokio_postgres::Client;

const START: &str = "2026-10-01T00:00:00Z";
const HEADER: &str = "vehicle,began,ended,metres,highway,main,village\n";

fn start() -> Timestamp {
    START.parse().unwrap()
}

struct Lake {
    folder: tempfile::TempDir,
    files: BTreeMap<&'static str, Vec<PathBuf>>,
}

impl Lake {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            files: BTreeMap::new(),
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    async fn put(&mut self, topic: &'static str, values: &[(&str, Vec<u8>)], offset: i64) {
        let files = fleet::archive_values(&self.root(), topic, values, offset).await;
        self.files.entry(topic).or_default().extend(files);
    }

    async fn live(&mut self, life: &Life, offset: i64) {
        let files = fleet::archive_from(&self.root(), &life.telemetry, offset).await;
        self.files.entry("telemetry").or_default().extend(files);
        let events: Vec<_> = life.events.iter().map(of_event).collect();
        self.put("vehicle-events", &events, offset).await;
        let alerts = life.alerts.iter();
        let alerts: Vec<_> = alerts
            .map(|alert| (alert.vehicle.as_str(), serde_json::to_vec(alert).unwrap()))
            .collect();
        self.put("alerts", &alerts, offset).await;
    }

    fn analyse(&self, database: &Database, more: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_millrace-batch"))
            .args(["analyse", "--lake"])
            .arg(format!("file://{}", self.root().display()))
            .env("MILLRACE_POSTGRES_URI", &database.uri)
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    }
}

fn of_event(event: &VehicleEvent) -> (&str, Vec<u8>) {
    (&event.vehicle, vehicle_event::encode(event))
}

/// Rows of a query as objects, by PostgreSQL itself.
async fn objects(client: &Client, query: &str) -> Vec<Value> {
    let query = format!("SELECT row_to_json(q)::text FROM ({query}) q");
    let rows = client.query(&query, &[]).await.unwrap();
    let text = |row: &tokio_postgres::Row| row.get::<_, String>(0);
    rows.iter()
        .map(|row| serde_json::from_str(&text(row)).unwrap())
        .collect()
}

fn second_computation(python: &Path, lake: &Lake, gone_after: i64) -> Value {
    let settings = json!({
        "events": lake.files["vehicle-events"], "alerts": lake.files["alerts"], "telemetry": lake.files["telemetry"],
        "roads": lake.folder.path().join("roads.csv"), "gone_after": gone_after, "stands_for": 900,
    });
    duckdb::answers(python, &settings)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and DuckDB"]
async fn a_fleets_answers_are_those_of_a_second_computation() {
    let Some(python) = duckdb::python() else {
        return;
    };
    let Some(database) = Database::new().await else {
        return;
    };
    let mut lake = Lake::new();
    let life = Life::of(60, start(), 40);
    std::fs::create_dir(lake.root()).unwrap();
    let roads = format!("{HEADER}{}\n", life.roads.join("\n"));
    std::fs::write(lake.folder.path().join("roads.csv"), &roads).unwrap();
    std::fs::create_dir(lake.root().join("roads")).unwrap();
    std::fs::write(lake.root().join("roads/all.csv"), &roads).unwrap();
    let config = lake.folder.path().join("config.yaml");
    std::fs::write(&config, "goneAfter: 10d\nroadFiles: [roads/all.csv]\n").unwrap();
    let config = config.display().to_string();
    let run = |lake: &Lake, more: &[&str]| {
        let more: Vec<&str> = ["--config", &config]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        lake.analyse(&database, &more)
    };

    // A part of it first, then what came later: some of it repeated, some of it not to be read, and a day that grows.
    let again: Vec<VehicleEvent> = life.events.iter().step_by(9).cloned().collect();
    let (first, rest) = life.split(start() + SignedDuration::from_hours(24 * 25 + 12));
    lake.live(&first, 0).await;
    run(&lake, &[]);
    let repeated: Vec<VehicleEvent> = again
        .into_iter()
        .map(|mut event| {
            // The same told again, with another odometer and a day later: the first counts.
            event.odometer = event.odometer.map(|m| m + 5000.0);
            event.time += SignedDuration::from_hours(24);
            event
        })
        .collect();
    lake.live(&rest, 1_000_000).await;
    let mut odd: Vec<_> = repeated.iter().map(of_event).collect();
    odd.push((
        "car-1",
        br#"{"vehicle":"car-1","id":"x","kind":"polished"}"#.to_vec(),
    ));
    lake.put("vehicle-events", &odd, 2_000_000).await;
    run(&lake, &[]);

    let theirs = second_computation(&python, &lake, 10 * 86_400);
    let ours = objects(&database.client, ANSWERS).await;
    duckdb::same_answers(&ours, &theirs);
    duckdb::answer(&ours, "roads|highway / village|ratio|Clopper-Pearson");
    let steps = objects(&database.client, SURVIVAL).await;
    duckdb::same_survival(&steps, &theirs);
    let left = objects(&database.client, "SELECT * FROM analysts.left_out").await;
    assert_eq!(theirs["left_out"], json!(["car-7"]));
    assert_eq!(left[0]["vehicle"], "car-7");
    assert!(
        left[0]["why"].as_str().unwrap().contains("odometer"),
        "{left:?}"
    );
    let unreadable = objects(
        &database.client,
        "SELECT sum(unreadable)::int AS n FROM analysts.loads",
    )
    .await;
    assert_eq!(unreadable[0]["n"], 1);
    println!(
        "{} answers, {} steps of survival alike",
        theirs["answers"].as_array().unwrap().len(),
        steps.len()
    );

    // The same again reads nothing; all anew gives the same.
    let log = run(&lake, &[]);
    assert!(!log.contains("loaded"), "{log}");
    assert_eq!(objects(&database.client, ANSWERS).await, ours);
    run(&lake, &["--all"]);
    assert_eq!(objects(&database.client, ANSWERS).await, ours);

    as_an_analyst(&database).await;
}

// The role as the operator makes it for a Platform: it may read the schema analysts and no other.
async fn as_an_analyst(database: &Database) {
    database
        .client
        .batch_execute(
            "CREATE ROLE analyst LOGIN; GRANT USAGE ON SCHEMA analysts TO analyst; GRANT SELECT ON ALL TABLES IN SCHEMA analysts TO analyst;
             CREATE SCHEMA IF NOT EXISTS millrace; CREATE TABLE millrace.contacts (hire text, phone text)",
        )
        .await
        .unwrap();
    let analyst = database.of("analyst").await;
    for view in [
        "fewest_requests",
        "engine_breakdowns",
        "pressure_to_breakdown",
        "highway_against_village",
    ] {
        let rows = objects(&analyst, &format!("SELECT * FROM analysts.{view}")).await;
        assert!(!rows.is_empty(), "{view}");
    }
    for refused in [
        "SELECT * FROM millrace.contacts",
        "DELETE FROM analysts.answers",
    ] {
        let error = analyst.batch_execute(refused).await.unwrap_err();
        assert_eq!(
            error.code(),
            Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE),
            "{refused}"
        );
    }
    // Nothing that it can read is about a person, by its name or by what is in it.
    let columns = objects(
        &analyst,
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
    )
    .await;
    assert!(columns.len() > 50, "{columns:?}");
    for column in &columns {
        let name = column["column_name"].as_str().unwrap();
        for word in [
            "hire",
            "driver",
            "pseudonym",
            "mail",
            "phone",
            "contact",
            "name",
            "key",
        ] {
            assert!(!name.contains(word), "{column}");
        }
        let table = column["table_name"].as_str().unwrap();
        let query = format!(
            "SELECT count(*) AS n FROM analysts.{table} WHERE \"{name}\"::text LIKE '%pseudonym-of-somebody%'"
        );
        assert_eq!(objects(&analyst, &query).await[0]["n"], 0, "{column}");
    }
    // Each table and view says what it is.
    let silent = objects(
        &analyst,
        "SELECT relname FROM pg_class WHERE relnamespace = 'analysts'::regnamespace AND relkind IN ('r', 'v') AND obj_description(oid) IS NULL",
    )
    .await;
    assert_eq!(silent, Vec::<Value>::new());
}

/// The rows of a CSV file of the recorded sets, by column.
fn csv(path: &Path) -> Vec<BTreeMap<String, String>> {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if path.extension().is_some_and(|e| e == "gz") {
        let output = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
        text = String::from_utf8(output.stdout).unwrap();
    } else {
        bytes.as_slice().read_to_string(&mut text).unwrap();
    }
    let clean = |cell: &str| cell.trim().trim_matches('"').to_owned();
    let mut lines = text.lines();
    let header: Vec<String> = lines.next().unwrap().split(',').map(clean).collect();
    lines
        .map(|line| {
            header
                .iter()
                .cloned()
                .zip(line.split(',').map(clean))
                .collect()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn published_lifetimes_have_their_published_figures() {
    let Some(data) = data_dir() else {
        left_out("published lifetimes", "set MILLRACE_DATA").unwrap();
        return;
    };
    let Some(database) = Database::new().await else {
        return;
    };
    // Each shock absorber is the engine of a vehicle that begins at 0 km.
    let mut lake = Lake::new();
    let mut events = Vec::new();
    for (n, row) in csv(&data.join("mtbf_field_data/shockabsorber.csv"))
        .iter()
        .enumerate()
    {
        let vehicle = format!("unit-{n}");
        let km: f64 = row["miles"].parse().unwrap();
        let failed = row["event"] == "Failure";
        let event = |id: &str, days: i64, kind, odometer| VehicleEvent {
            vehicle: vehicle.clone(),
            id: id.to_owned(),
            time: start() + SignedDuration::from_hours(24 * days),
            kind,
            component: (kind == EventKind::Breakdown).then_some(Component::Engine),
            odometer: Some(odometer),
            model: Some("O'Connor".to_owned()),
            hire: None,
            note: None,
        };
        let end = if failed {
            EventKind::Breakdown
        } else {
            EventKind::Check
        };
        events.extend([
            event("a", 0, EventKind::HireStarted, 0.0),
            event("b", 20, end, km * 1000.0),
        ]);
    }
    let values: Vec<_> = events.iter().map(of_event).collect();
    lake.put("vehicle-events", &values, 0).await;
    // A bus on roads of a map, by the map's own words.
    let classes = [
        "Primary",
        "Primary_link",
        "Secondary",
        "Secondary_link",
        "Tertiary",
        "Tertiary_link",
        "Trunk",
        "Motorway",
        "Motorway_link",
        "Service",
        "Residential",
        "Track",
        "Unknown",
        "Unclassified",
    ];
    let file = "carta_bus_road_class/BYD_751_with_Segment_Number_without_Turns.csv.gz";
    let mut roads = format!("vehicle,began,ended,metres,{}\n", classes.join(","));
    for (n, row) in csv(&data.join(file)).iter().enumerate() {
        let at = start() + SignedDuration::from_secs(10 * i64::try_from(n).unwrap());
        let shares: Vec<&str> = classes.iter().map(|class| row[*class].as_str()).collect();
        roads += &format!(
            "bus,{at},{},{},{}\n",
            at + SignedDuration::from_secs(10),
            row["Distance"],
            shares.join(",")
        );
    }
    let roads_file = lake.folder.path().join("roads.csv");
    std::fs::write(&roads_file, roads).unwrap();
    let config = lake.folder.path().join("config.yaml");
    std::fs::write(&config, "firstKm: 28100\n").unwrap();
    lake.analyse(
        &database,
        &[
            "--config",
            &config.display().to_string(),
            "--roads",
            &roads_file.display().to_string(),
        ],
    );

    let ours = objects(&database.client, "SELECT * FROM analysts.answers").await;
    let found = |wanted: &str| duckdb::answer(&ours, wanted);
    let is = |answer: &Value, field: &str, value: f64, within: f64| {
        let told = answer[field].as_f64().unwrap();
        assert!(
            (told - value).abs() <= within,
            "{field}: {answer} is not {value}"
        );
    };
    // docs/analysts.md: 38 units, 11 failed; mean 24,812 km, limits 20,202 to 30,472; restricted mean 22,875 km.
    let mean = found("engine|all|mean|Weibull, maximum likelihood");
    is(mean, "estimate", 24_812.0, 1.0);
    is(mean, "low", 20_202.0, 5.0);
    is(mean, "high", 30_472.0, 5.0);
    assert_eq!(
        (&mean["events"], &mean["censored"]),
        (&json!(11), &json!(27))
    );
    let restricted = found("engine|all|restricted mean|Kaplan-Meier");
    is(restricted, "estimate", 22_875.0, 1.0);
    let steps = objects(&database.client, SURVIVAL).await;
    let curve: Vec<&Value> = steps.iter().filter(|s| s["scope"] == "all").collect();
    is(curve[0], "survival", 37.0 / 38.0, 1e-9);
    is(curve[1], "survival", 37.0 / 38.0 * 33.0 / 34.0, 1e-9);
    // 237.1 km of a bus: highway 26.8, main 126.0, village 84.4.
    for (road, km) in [("highway", 26.755), ("main", 125.963), ("village", 84.394)] {
        let rate = found(&format!("roads|{road}|per 1000 km|Garwood"));
        is(rate, "exposure", km / 1000.0, 2e-6);
        is(rate, "estimate", 0.0, 0.0);
    }
    println!("shock absorbers: {mean}; {restricted}");
}
