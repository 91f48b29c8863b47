//! What the batch jobs say, and what they leave as it was, when a file of the lake is damaged or has columns of other types, when
//! HDFS or PostgreSQL is away, and when PostgreSQL has no room or other tables. Once that is over the next run is whole by itself.
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

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use database::{Database, text};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use life::Life;
use millrace_contract::{Telemetry, vehicle_event};
use millrace_testkit::free_port;

/// What runs leave behind, as far as it is the same after each of them.
const TABLES: [&str; 6] = [
    "millrace.trip_scores",
    "analysts.vehicle_events",
    "analysts.pressure_alerts",
    "analysts.vehicle_days",
    "analysts.engine_distances",
    "analysts.left_out",
];

struct Place {
    database: Database,
    folder: tempfile::TempDir,
    /// The day of which trips are scored.
    day: Date,
    life: Life,
}

impl Place {
    fn new(database: Database) -> Self {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let day = today.checked_sub(2.days()).unwrap();
        let start = midnight(day) - SignedDuration::from_hours(24 * 8);
        Self {
            database,
            folder: tempfile::tempdir().unwrap(),
            day,
            life: Life::of(15, start, 10),
        }
    }

    fn lake(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    /// Trips of these vehicles on the day.
    fn trips(&self, seeds: std::ops::Range<u64>) -> Vec<Telemetry> {
        let at = midnight(self.day) + SignedDuration::from_hours(4);
        seeds
            .flat_map(|seed| made::wild(&format!("driven-{seed}"), seed, at, 3000))
            .collect()
    }

    /// Puts a life and trips into the lake, after `offset` other records of each partition; gives the files by dataset.
    async fn put(
        &self,
        life: &Life,
        trips: Vec<Telemetry>,
        offset: i64,
    ) -> [(&'static str, Vec<PathBuf>); 3] {
        let lake = self.lake();
        let mut telemetry = life.telemetry.clone();
        telemetry.extend(trips);
        let telemetry = fleet::archive_from(&lake, &telemetry, offset).await;
        let events = life.events.iter();
        let events: Vec<_> = events
            .map(|event| (event.vehicle.as_str(), vehicle_event::encode(event)))
            .collect();
        let events = fleet::archive_values(&lake, "vehicle-events", &events, offset).await;
        let alerts = life.alerts.iter();
        let alerts: Vec<_> = alerts
            .map(|alert| (alert.vehicle.as_str(), serde_json::to_vec(alert).unwrap()))
            .collect();
        let alerts = fleet::archive_values(&lake, "alerts", &alerts, offset).await;
        [
            ("telemetry", telemetry),
            ("vehicle-events", events),
            ("alerts", alerts),
        ]
    }

    fn run(&self, job: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-batch"));
        command
            .env("MILLRACE_LAKE", format!("file://{}", self.lake().display()))
            .env("MILLRACE_POSTGRES_URI", &self.database.uri)
            .args([job, "--postgres-wait", "0s"])
            .args(more);
        command.output().unwrap()
    }

    fn works(&self, job: &str, more: &[&str]) {
        let output = self.run(job, more);
        assert!(output.status.success(), "{job}: {}", text(&output));
    }

    /// Why a run failed: the last line of its log, which a BatchJob tells as its condition.
    fn fails(&self, job: &str, more: &[&str]) -> String {
        let output = self.run(job, more);
        let told = text(&output);
        assert!(!output.status.success(), "{job}: {told}");
        let last = told.lines().last().unwrap_or_default();
        let why = last.strip_prefix("millrace-batch: ");
        why.unwrap_or_else(|| panic!("{job}: {told}")).to_owned()
    }

    /// Both jobs, with all days anew.
    fn both_work(&self) {
        self.works("score", &["--day", &self.day.to_string()]);
        self.works("analyse", &["--all"]);
    }

    async fn state(&self) -> Vec<(i64, i64)> {
        let mut all = Vec::new();
        for table in TABLES {
            let query = format!(
                "SELECT count(*), coalesce(sum(hashtext(t::text)), 0)::bigint FROM {table} AS t"
            );
            let row = self.database.client.query_one(&query, &[]).await.unwrap();
            all.push((row.get(0), row.get(1)));
        }
        all
    }

    async fn alter(&self, statement: &str) {
        self.database.client.batch_execute(statement).await.unwrap();
    }
}

fn midnight(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).unwrap().timestamp()
}

fn has(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "no {part}: {told}");
    }
}

fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

/// A file of the same size, with other bytes where Parquet's own description is; one that lacks its end; and one that is gone.
async fn damaged(place: &Place, dataset: &str, files: &[PathBuf]) {
    let good = place.state().await;
    let day = place.day.to_string();
    let is_of_day = |file: &&PathBuf| file.display().to_string().contains(&format!("date={day}/"));
    let is_scored = dataset == "telemetry";
    let victim = files.iter().find(|file| !is_scored || is_of_day(file));
    let victim = victim.unwrap_or_else(|| panic!("{dataset}: nothing on {day}"));
    let whole = std::fs::read(victim).unwrap();
    let mut damaged = whole.clone();
    let from = damaged.len() - 400;
    damaged[from..].fill(0xff);
    std::fs::write(victim, &damaged).unwrap();
    let name = victim.file_name().unwrap().to_string_lossy().into_owned();
    // Each job that reads it.
    let fail = |parts: &[&str]| {
        let told = place.fails("analyse", &["--all"]);
        has(&told, &[dataset, name.as_str()]);
        has(&told, parts);
        if is_scored {
            let told = place.fails("score", &["--day", &day]);
            has(&told, &[name.as_str()]);
            has(&told, parts);
        }
    };
    fail(&["damaged", "snapshot"]);
    std::fs::write(victim, &whole[..whole.len() - 1]).unwrap();
    let found = format!("{} bytes", whole.len() - 1);
    let expected = format!("its record says {}", whole.len());
    fail(&[found.as_str(), expected.as_str()]);
    std::fs::remove_file(victim).unwrap();
    fail(&["not there"]);
    assert_eq!(place.state().await, good, "{dataset}");
    std::fs::write(victim, &whole).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn damaged_files_and_other_types_are_named_and_change_nothing() {
    let Some(database) = Database::new().await else {
        return;
    };
    let place = Place::new(database);
    let files = place.put(&place.life, place.trips(0..3), 0).await;
    place.both_work();
    let good = place.state().await;
    assert!(good[..4].iter().all(|(rows, _)| *rows > 0), "{good:?}");

    for (dataset, files) in &files {
        damaged(&place, dataset, files).await;
    }

    // Numbers that became texts.
    let before = files_below(&place.lake());
    let at = midnight(place.day) + SignedDuration::from_hours(4);
    let odd: Vec<Telemetry> = (0..60)
        .map(|n| {
            let time = at + SignedDuration::from_secs(i64::try_from(n).unwrap());
            let mut event = Telemetry::new("odd", n, time);
            event.speed = Some(50.0);
            event.odometer = Some(1000.0);
            event
        })
        .collect();
    let as_texts = |name: &str, column: &ArrayRef| match name {
        "speed" | "odometer" => arrow_cast::cast(column, &DataType::Utf8).unwrap(),
        _ => ArrayRef::clone(column),
    };
    fleet::archive_changed(&place.lake(), &odd, as_texts).await;
    let told = place.fails("score", &[]);
    has(&told, &["parquet", "column speed", "Utf8", "Float64"]);
    let told = place.fails("analyse", &[]);
    has(
        &told,
        &[
            "telemetry",
            "column odometer",
            "Utf8",
            "Float64",
            "as it was",
        ],
    );
    assert_eq!(place.state().await, good);
    for new in files_below(&place.lake()).difference(&before) {
        std::fs::remove_file(new).unwrap();
    }

    // Nobody there, whom they name.
    let port = free_port().unwrap();
    let postgres = format!("postgresql://score@127.0.0.1:{port}/fleet");
    for job in ["score", "analyse"] {
        let told = place.fails(job, &["--postgres", &postgres]);
        let where_to = format!("127.0.0.1:{port}, database fleet, user score");
        has(&told, &["cannot be reached", where_to.as_str(), "refused"]);
    }
    let hdfs = format!("hdfs://127.0.0.1:{port}");
    let once = "<configuration><property><name>dfs.client.failover.max.attempts</name><value>1</value></property></configuration>";
    std::fs::write(place.folder.path().join("hdfs-site.xml"), once).unwrap();
    let settings = place.folder.path().display().to_string();
    let elsewhere = format!("{hdfs}/lake");
    for job in ["score", "analyse"] {
        let told = place.fails(job, &["--lake", &elsewhere, "--hadoop-conf-dir", &settings]);
        has(&told, &[hdfs.as_str()]);
    }
    assert_eq!(place.state().await, good);

    place.both_work();
    assert_eq!(place.state().await, good);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn without_room_or_with_other_tables_nothing_is_changed() {
    let Some(database) = Database::on_volume(192).await else {
        return;
    };
    let mut place = Place::new(database);
    let later = std::mem::take(&mut place.life);
    let (first, later) = later.split(midnight(place.day) - SignedDuration::from_hours(12));
    place.put(&first, place.trips(0..3), 0).await;
    place.works("score", &[]);
    place.works("analyse", &[]);
    let good = place.state().await;

    // More comes in than there is room for.
    place.put(&later, place.trips(3..15), 1_000_000).await;
    place.database.fill().await;
    for _ in 0..2 {
        for job in ["score", "analyse"] {
            let told = place.fails(job, &[]);
            has(
                &told,
                &["volume is full", "spec.storage.size", "No space left"],
            );
        }
    }
    place.database.make_room();
    assert_eq!(place.state().await, good);
    place.works("score", &[]);
    place.works("analyse", &[]);
    let grown = place.state().await;
    assert!(
        grown.iter().zip(&good).all(|(now, then)| now.0 >= then.0)
            && grown[0].0 > good[0].0
            && grown[3].0 > good[3].0,
        "{good:?} {grown:?}"
    );

    // Tables that somebody has changed.
    let day = place.day.to_string();
    let type_of = |kind: &str| {
        format!("ALTER TABLE millrace.trip_scores ALTER COLUMN fuel_reference_l TYPE {kind}")
    };
    place.alter(&type_of("int")).await;
    let told = place.fails("score", &["--day", &day]);
    has(
        &told,
        &[
            "change it back",
            "fuel_reference_l",
            "trip_scores",
            day.as_str(),
        ],
    );
    place.alter(&type_of("float8")).await;
    let rename = |from: &str, to: &str| {
        format!("ALTER TABLE analysts.vehicle_days RENAME COLUMN {from} TO {to}")
    };
    place.alter(&rename("readings", "events")).await;
    let told = place.fails("analyse", &["--all"]);
    has(&told, &["change it back", "readings", "as it was"]);
    place.alter(&rename("events", "readings")).await;
    assert_eq!(place.state().await, grown);
    place.both_work();
    assert_eq!(place.state().await, grown);
}
