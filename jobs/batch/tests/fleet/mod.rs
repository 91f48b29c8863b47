//! A lake in a folder, with recorded and made trips in it.
#![allow(dead_code)] // each test binary uses its own part

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use millrace_contract::{Telemetry, codec};
use millrace_lake::commit::{Commit, Step};
use millrace_lake::layout::{Hour, Layout, Source};
use millrace_lake::parquet_file::ParquetFile;
use millrace_lake::record::{CommitRecord, FORMAT};
use millrace_lake::rows::{Raw, Rows, Shape, hour};
use millrace_lake::storage::Local;
use millrace_testkit::{data_dir, left_out};
use millrace_trips::{TripArguments, TripOptions};
use serde_json::{Value, json};

/// Recorded sets that tell a speed, with the endings of their files.
const SETS: [(&str, &str); 4] = [
    ("carobd", ".csv.gz"),
    ("kit_obd2", ".csv.gz"),
    ("rsk_twizy", ".csv.gz"),
    ("envirocar", ".json.gz"),
];
const PARTITIONS: i32 = 3;

/// All recorded trips, each of a vehicle of its own, spread over the day that begins at `start`. None where there is no data.
pub fn recorded(start: Timestamp) -> Option<Vec<Telemetry>> {
    let Some(data) = data_dir() else {
        left_out("recorded trips", "set MILLRACE_DATA").unwrap();
        return None;
    };
    let mut events = Vec::new();
    let mut nth = 0;
    for (set, ending) in SETS {
        let options = TripOptions::parse(&TripArguments {
            format: set,
            ..TripArguments::default()
        })
        .unwrap();
        for path in files(&data.join(set), ending) {
            let vehicle = options.vehicle_of(&path).unwrap();
            let mut trip = options
                .read_path(&path, &format!("{set}-{vehicle}"))
                .unwrap();
            nth += 1;
            trip.start_at(start + SignedDuration::from_mins(nth * 13 % 1300));
            for mut sample in trip.samples {
                // Every third vehicle is not hired.
                sample.hire = (nth % 3 != 0).then(|| format!("hire-{}", nth / 2));
                events.push(sample);
            }
        }
    }
    assert!(nth > 50, "{nth}");
    Some(events)
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    found
}

/// Writes events into a lake as the archive does, in commits of some thousand, and gives the paths of its files.
pub async fn archive(root: &Path, events: &[Telemetry]) -> Vec<PathBuf> {
    archive_from(root, events, 0).await
}

/// The same, as if `start` events of each partition had been archived before.
pub async fn archive_from(root: &Path, events: &[Telemetry], start: i64) -> Vec<PathBuf> {
    let values: Vec<(&str, Vec<u8>)> = events
        .iter()
        .map(|event| (event.vehicle.as_str(), codec::encode(event)))
        .collect();
    archive_values(root, "telemetry", &values, start).await
}

/// The same with the values of any topic, each with its vehicle.
pub async fn archive_values(
    root: &Path,
    topic: &str,
    values: &[(&str, Vec<u8>)],
    start: i64,
) -> Vec<PathBuf> {
    let storage = Local::new(root);
    let layout = Layout::new(topic).unwrap();
    let mut by_partition: BTreeMap<i32, Vec<&[u8]>> = BTreeMap::new();
    for (vehicle, value) in values {
        let hash: u32 = vehicle.bytes().map(u32::from).sum();
        let partition = i32::try_from(hash).unwrap() % PARTITIONS;
        by_partition.entry(partition).or_default().push(value);
    }
    let mut paths = Vec::new();
    for (partition, values) in by_partition {
        let source = Source::new(topic, partition);
        let mut offset = start;
        for values in values.chunks(20_000) {
            let record = commit(&storage, &layout, &source, offset, values).await;
            offset = record.end_offset;
            paths.extend(record.files.iter().map(|file| root.join(&file.path)));
        }
    }
    paths
}

async fn commit(
    storage: &Local,
    layout: &Layout,
    source: &Source,
    start: i64,
    values: &[&[u8]],
) -> CommitRecord {
    let shape = Shape::of_topic(&source.topic);
    let mut hours: BTreeMap<Hour, Rows> = BTreeMap::new();
    for (offset, value) in (start..).zip(values) {
        let raw = Raw {
            offset,
            value: Some(value),
            source: Some("gateway"),
            ..Raw::default()
        };
        let parsed = shape.parse(&raw);
        hours
            .entry(hour(&raw, &parsed))
            .or_insert_with(|| Rows::new(shape, shape.schema(), source.partition))
            .push(&raw, &parsed);
    }
    let mut files = Vec::new();
    for (number, (hour, mut rows)) in hours.into_iter().enumerate() {
        let staged = format!("{}/{number:04}.parquet", layout.staging(source, start, "w"));
        let path = layout.data(hour, source, start, number);
        let schema = shape.schema();
        let mut file = ParquetFile::create(storage, staged, path, hour, schema, 1 << 22)
            .await
            .unwrap();
        file.write(&rows.finish().unwrap()).await.unwrap();
        files.push(file.close().await.unwrap());
    }
    let record = CommitRecord {
        format: FORMAT,
        topic: source.topic.clone(),
        partition: source.partition,
        start_offset: start,
        end_offset: start + i64::try_from(values.len()).unwrap(),
        missing: None,
        content: millrace_lake::content::Content::total(files.iter().map(|file| &file.content)),
        files,
        schema_version: 1,
        writer: "w".to_owned(),
        at: Timestamp::UNIX_EPOCH,
    };
    let mut commit = Commit::new(layout, record.clone());
    while commit.advance(storage).await.unwrap() != Step::Done {}
    record
}

/// The definition as it comes, for `duckdb/score.sql`: a day that begins at `start`, in a zone that is so many seconds ahead of
/// UTC. `references`: litres on 100 km, by model.
pub fn duckdb_settings(
    files: &[PathBuf],
    start: Timestamp,
    utc_offset: i64,
    references: &Value,
) -> Value {
    let start = start.as_microsecond();
    json!({
        "files": files, "start": start, "end": start + 86_400_000_000_i64, "utc_offset": utc_offset,
        "trip_gap": 300, "longest_step": 3, "implausible": 12.0, "acceleration": 3.0, "braking": 3.5, "turning": 4.0,
        "course_from": 10.0, "driving_from": 5.0, "speed_limit": 130.0, "tolerance": 5.0, "engine_from": 400.0,
        "idle_after": 120, "night_from": 23 * 60, "night_to": 5 * 60, "shift": 16200, "shift_break": 2700,
        "air_fuel_ratio": 14.7, "fuel_density": 745.0, "least": 5000.0, "references": references,
        "worst_acceleration": 60.0, "worst_braking": 60.0, "worst_turning": 60.0, "worst_speeding": 0.2,
        "worst_idling": 0.3, "worst_economy": 1.0, "worst_night": 0.5, "worst_long_shift": 0.25,
        "weights": [15.0, 20.0, 15.0, 25.0, 5.0, 10.0, 5.0, 5.0],
    })
}
