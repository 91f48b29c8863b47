//! Compaction under crashes and with two at once: whoever reads by the records sees the same rows at any time.
#![allow(clippy::unwrap_used, clippy::panic)]

mod model;

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch};
use bytes::Bytes;
use futures::executor::block_on;
use jiff::Timestamp;
use millrace_lake::commit::{Commit, Step};
use millrace_lake::compact::{self, Settings, compact, forget_replaced};
use millrace_lake::content::Content;
use millrace_lake::layout::{Hour, Layout, Source};
use millrace_lake::parquet_file::{self, ParquetFile};
use millrace_lake::reader::{Finding, Records, locate};
use millrace_lake::record::{CommitRecord, FORMAT};
use millrace_lake::rewrite::Rewrite;
use millrace_lake::storage::{Fault, Memory};
use millrace_lake::verify::verify;
use millrace_lake::{LakeError, Storage as _};
use proptest::prelude::*;

const SETTINGS: Settings = Settings {
    small: 1024 * 1024,
    at_least: 2,
    target: 1024 * 1024,
    row_group_bytes: 1024 * 1024,
};

fn layout() -> Layout {
    Layout::new("telemetry").unwrap()
}

/// Commits one file; from the second one on with a column more and a wider one.
fn commit(storage: &Memory, hour: Hour, start: i64) {
    let offsets: Vec<i64> = (start..start + 5).collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("kafka_partition", Arc::new(Int32Array::from(vec![0; 5]))),
        ("kafka_offset", Arc::new(Int64Array::from(offsets))),
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
        while commit.advance(storage).await.unwrap() != Step::Done {}
    });
}

/// What whoever reads by the records sees.
fn seen(storage: &Memory) -> Content {
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

fn lake() -> (Memory, Hour, Content) {
    let storage = Memory::default();
    let hour = model::hour(0);
    for start in [0, 5, 10, 15] {
        commit(&storage, hour, start);
    }
    let content = seen(&storage);
    assert_eq!(content.rows, 20);
    (storage, hour, content)
}

#[test]
fn small_files_become_one_with_all_columns() {
    let (storage, hour, content) = lake();
    let record = block_on(compact(&storage, &layout(), hour, &SETTINGS))
        .unwrap()
        .unwrap();
    assert_eq!(
        (record.number, record.replaces.len(), record.files.len()),
        (1, 4, 1)
    );
    assert_eq!(record.content, content);
    let report = block_on(verify(&storage, &layout(), None, None)).unwrap();
    assert_eq!((report.content(), report.files), (content, 1));
    assert_eq!(report.findings, []);
    // Another file, and a second compaction of old and new.
    commit(&storage, hour, 20);
    let record = block_on(compact(&storage, &layout(), hour, &SETTINGS))
        .unwrap()
        .unwrap();
    assert_eq!((record.number, record.replaces.len()), (2, 2));
    assert_eq!(seen(&storage).rows, 25);
    assert_eq!(
        block_on(compact(&storage, &layout(), hour, &SETTINGS)).unwrap(),
        None
    );
    let bytes = block_on(storage.read(&record.files[0].path)).unwrap();
    let schema = parquet_file::schema_of("x", bytes).unwrap();
    assert_eq!(
        schema.field_with_name("gears").unwrap().data_type(),
        &arrow_schema::DataType::Float64
    );
    assert!(schema.field_with_name("added").is_ok());
    // Replaced files stay for a while, and then go.
    assert_eq!(
        block_on(forget_replaced(&storage, &layout(), Timestamp::UNIX_EPOCH)).unwrap(),
        0
    );
    assert_eq!(
        block_on(forget_replaced(&storage, &layout(), Timestamp::MAX)).unwrap(),
        6
    );
    assert_eq!(seen(&storage).rows, 25);
    assert!(
        storage
            .names()
            .iter()
            .all(|name| !name.contains("_replaced") && !name.contains("_staging"))
    );
}

#[test]
fn what_is_not_as_its_record_says_is_found_and_not_compacted() {
    let (storage, hour, _) = lake();
    let records = block_on(Records::read(&storage, &layout())).unwrap();
    let files = records.live().remove(&hour).unwrap();
    // One file takes the place of another; its size is that of the other by chance, or not.
    let other = block_on(storage.read(&files[2].path)).unwrap();
    block_on(async {
        storage.remove(&files[1].path).await.unwrap();
        millrace_lake::storage::put(&storage, &files[1].path, other)
            .await
            .unwrap();
        storage.remove(&files[3].path).await.unwrap();
        let stray = format!("{}/part-0.parquet", layout().hour(hour));
        millrace_lake::storage::put(&storage, &stray, Bytes::from_static(b"x"))
            .await
            .unwrap();
    });
    let report = block_on(verify(&storage, &layout(), None, None)).unwrap();
    assert!(!report.holds());
    assert_eq!(report.findings.len(), 3, "{:?}", report.findings);
    assert!(matches!(&report.findings[0], Finding::Differs { path, .. } if *path == files[1].path));
    assert!(matches!(&report.findings[1], Finding::Gone { path } if *path == files[3].path));
    assert!(matches!(&report.findings[2], Finding::Stray { .. }));
    let error = block_on(compact(&storage, &layout(), hour, &SETTINGS)).unwrap_err();
    assert!(matches!(error, LakeError::Changed { .. }), "{error}");
}

struct Compactor {
    storage: Memory,
    hour: Hour,
    rewrite: Option<Rewrite>,
}

impl Compactor {
    fn step(&mut self) {
        let done = block_on(async {
            match &mut self.rewrite {
                None => {
                    self.rewrite =
                        compact::begin(&self.storage, &layout(), self.hour, &SETTINGS).await?
                }
                Some(rewrite) => {
                    if rewrite.advance(&self.storage).await? == Step::Done {
                        self.rewrite = None;
                    }
                }
            }
            Ok::<(), LakeError>(())
        });
        match done {
            Ok(()) => {}
            // Dead or fenced, or another moved a file while it was read: it starts afresh.
            Err(LakeError::Storage(_) | LakeError::Fenced { .. } | LakeError::Gone { .. }) => {
                self.storage.mend();
                self.rewrite = None;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn two_compactors_any_crashes_any_order(
        schedule in proptest::collection::vec(
            (0_usize..2, proptest::option::weighted(0.15, (0_u32..5, any::<bool>()))),
            0..60,
        ),
    ) {
        let (storage, hour, content) = lake();
        let mut both: Vec<Compactor> = (0..2)
            .map(|_| Compactor { storage: storage.clone(), hour, rewrite: None })
            .collect();
        for (who, fault) in schedule {
            if let Some((after, done)) = fault {
                both[who].storage.fail_after(after, if done { Fault::After } else { Fault::Before });
            }
            both[who].step();
            prop_assert_eq!(seen(&storage), content);
        }
        while block_on(compact(&storage, &layout(), hour, &SETTINGS)).unwrap().is_some() {}
        let report = block_on(verify(&storage, &layout(), None, None)).unwrap();
        prop_assert_eq!(&report.findings, &[]);
        prop_assert_eq!(report.content(), content);
        prop_assert_eq!(report.files, 1);
    }
}
