//! An hour of real Parquet files.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use futures::executor::block_on;
use jiff::Timestamp;
use millrace_lake::Storage as _;
use millrace_lake::commit::{Commit, Step};
use millrace_lake::compact::Settings;
use millrace_lake::content::Content;
use millrace_lake::layout::{Hour, Layout, Source};
use millrace_lake::parquet_file::{self, ParquetFile};
use millrace_lake::reader::{Records, locate};
use millrace_lake::record::{CommitRecord, FORMAT};
use millrace_lake::storage::Memory;

pub const SETTINGS: Settings = Settings {
    small: 1024 * 1024,
    at_least: 2,
    target: 1024 * 1024,
    row_group_bytes: 1024 * 1024,
};

/// The hire that half of the rows name.
pub fn erased() -> BTreeSet<String> {
    BTreeSet::from(["gone".to_owned()])
}

pub fn layout() -> Layout {
    Layout::new("telemetry").unwrap()
}

/// Commits one file; from the second one on with a column more and a wider one.
pub fn commit(storage: &Memory, hour: Hour, start: i64) {
    commit_until(storage, hour, start, Step::Done);
}

/// The same by a writer that dies before this step.
pub fn commit_until(storage: &Memory, hour: Hour, start: i64, before: Step) {
    let offsets: Vec<i64> = (start..start + 5).collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("kafka_partition", Arc::new(Int32Array::from(vec![0; 5]))),
        ("kafka_offset", Arc::new(Int64Array::from(offsets))),
        (
            "hire",
            Arc::new(StringArray::from(vec![
                Some("gone"),
                Some("kept"),
                None,
                Some("gone"),
                None,
            ])),
        ),
    ];
    if start == 0 {
        columns.push(("gears", Arc::new(Int32Array::from(vec![1, 2, 3, 4, 5]))));
    } else {
        columns.push((
            "gears",
            Arc::new(Float64Array::from(vec![1.0, 2.5, 3.0, 4.0, 5.0])),
        ));
        columns.push(("added", Arc::new(Int64Array::from(vec![7; 5]))));
    }
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let source = Source::new("telemetry", 0);
    let writer = format!("w{start}");
    block_on(async {
        let layout = layout();
        let staged = format!("{}/0000.parquet", layout.staging(&source, start, &writer));
        let path = layout.data(hour, &source, start, 0);
        let mut file = ParquetFile::create(storage, staged, path, hour, batch.schema(), 1 << 20)
            .await
            .unwrap();
        file.write(&batch).await.unwrap();
        let entry = file.close().await.unwrap();
        let record = CommitRecord {
            format: FORMAT,
            topic: source.topic.clone(),
            partition: 0,
            start_offset: start,
            end_offset: start + 5,
            missing: None,
            content: entry.content,
            files: vec![entry],
            schema_version: 1,
            writer,
            at: Timestamp::UNIX_EPOCH,
        };
        let mut commit = Commit::new(&layout, record);
        while commit.step() != before {
            commit.advance(storage).await.unwrap();
        }
    });
}

/// What whoever reads by the records sees.
pub fn seen(storage: &Memory) -> Content {
    block_on(async {
        let records = Records::read(storage, &layout()).await.unwrap();
        let mut total = Content::default();
        for file in records.live().into_values().flatten() {
            let path = locate(storage, &layout(), &file).await.unwrap().unwrap();
            let mut content = Content::default();
            for batch in parquet_file::read(&path, storage.read(&path).await.unwrap()).unwrap() {
                content.add(&Content::of(&batch.unwrap()).unwrap());
            }
            assert_eq!(content, file.content);
            total.add(&content);
        }
        total
    })
}

pub fn lake() -> (Memory, Hour, Content) {
    let storage = Memory::default();
    let hour = super::hour(0);
    for start in [0, 5, 10, 15] {
        commit(&storage, hour, start);
    }
    let content = seen(&storage);
    assert_eq!(content.rows, 20);
    (storage, hour, content)
}
