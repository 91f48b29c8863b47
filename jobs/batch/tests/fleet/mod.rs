//! A lake in a folder, with recorded and made trips in it.
#![allow(dead_code)] // each test binary uses its own part

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
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
use serde_json::Value;

#[path = "../duckdb/mod.rs"]
pub mod duckdb;

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

/// A commit of one file whose columns are as `change` makes them, by name, of those that the archive writes. Its events lie in
/// one hour, and in a partition that the others do not use.
pub async fn archive_changed(
    root: &Path,
    events: &[Telemetry],
    change: impl Fn(&str, &ArrayRef) -> ArrayRef,
) {
    let (storage, layout) = (Local::new(root), Layout::new("telemetry").unwrap());
    let source = Source::new("telemetry", PARTITIONS);
    let values: Vec<Vec<u8>> = events.iter().map(codec::encode).collect();
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let mut hours = by_hour(&source, 0, &values);
    let (hour, mut rows) = hours.pop_first().unwrap();
    assert!(hours.is_empty(), "events of several hours");
    let batch = rows.finish().unwrap();
    let names = batch.schema();
    let names = names.fields().iter().map(|field| field.name());
    let changed = |(name, column): (&String, &ArrayRef)| (name.clone(), change(name, column));
    let columns: Vec<(String, ArrayRef)> = names.zip(batch.columns()).map(changed).collect();
    let fields = columns.iter();
    let fields = fields.map(|(name, column)| Field::new(name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    put(&storage, &layout, &source, 0, vec![(hour, batch)]).await;
}

async fn commit(
    storage: &Local,
    layout: &Layout,
    source: &Source,
    start: i64,
    values: &[&[u8]],
) -> CommitRecord {
    let hours = by_hour(source, start, values).into_iter();
    let batches = hours.map(|(hour, mut rows)| (hour, rows.finish().unwrap()));
    put(storage, layout, source, start, batches.collect()).await
}

fn by_hour(source: &Source, start: i64, values: &[&[u8]]) -> BTreeMap<Hour, Rows> {
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
    hours
}

/// A commit of one file for each of these batches.
async fn put(
    storage: &Local,
    layout: &Layout,
    source: &Source,
    start: i64,
    batches: Vec<(Hour, RecordBatch)>,
) -> CommitRecord {
    let rows: usize = batches.iter().map(|(_, batch)| batch.num_rows()).sum();
    let mut files = Vec::new();
    for (number, (hour, batch)) in batches.into_iter().enumerate() {
        let staged = format!("{}/{number:04}.parquet", layout.staging(source, start, "w"));
        let path = layout.data(hour, source, start, number);
        let mut file = ParquetFile::create(storage, staged, path, hour, batch.schema(), 1 << 22)
            .await
            .unwrap();
        file.write(&batch).await.unwrap();
        files.push(file.close().await.unwrap());
    }
    let record = CommitRecord {
        format: FORMAT,
        topic: source.topic.clone(),
        partition: source.partition,
        start_offset: start,
        end_offset: start + i64::try_from(rows).unwrap(),
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
    duckdb::settings(files, start, utc_offset, references)
}
