//! Compaction under crashes and with two at once: whoever reads by the records sees the same rows at any time.
#![allow(clippy::unwrap_used, clippy::panic)]

mod model;

use bytes::Bytes;
use futures::executor::block_on;
use jiff::Timestamp;
use millrace_lake::compact::{compact, forget_replaced};
use millrace_lake::layout::Source;
use millrace_lake::parquet_file;
use millrace_lake::reader::{Finding, Records};
use millrace_lake::verify::verify;
use millrace_lake::{LakeError, Storage as _};
use model::hours::{SETTINGS, commit, lake, layout, seen};
use model::worker::{Work, Worker};
use proptest::prelude::*;

#[test]
fn small_files_become_one_with_all_columns() {
    let (storage, hour, content) = lake();
    let record = block_on(compact(&storage, &layout(), hour, &SETTINGS, async |_| {}))
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
    let record = block_on(compact(&storage, &layout(), hour, &SETTINGS, async |_| {}))
        .unwrap()
        .unwrap();
    assert_eq!((record.number, record.replaces.len()), (2, 2));
    assert_eq!(seen(&storage).rows, 25);
    assert_eq!(
        block_on(compact(&storage, &layout(), hour, &SETTINGS, async |_| {})).unwrap(),
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
    let error = block_on(compact(&storage, &layout(), hour, &SETTINGS, async |_| {})).unwrap_err();
    assert!(matches!(error, LakeError::Changed { .. }), "{error}");
}

#[test]
fn a_commit_record_that_is_lost_or_there_twice_is_found() {
    let (storage, _, content) = lake();
    let source = Source::new("telemetry", 0);
    let put = |path: &str, bytes: &Bytes| {
        block_on(millrace_lake::storage::put(&storage, path, bytes.clone())).unwrap();
    };
    let verify = || block_on(verify(&storage, &layout(), None, None)).unwrap();
    let path = layout().commit(&source, 5);
    let record = block_on(storage.read(&path)).unwrap();

    block_on(storage.remove(&path)).unwrap();
    let gap = Finding::Gap {
        source: source.clone(),
        from: 5,
        to: 10,
    };
    let report = verify();
    assert!(!report.holds() && report.findings.contains(&gap));
    assert_eq!(report.content().rows, 15);
    put(&path, &record);
    assert_eq!(verify().findings, []);

    let twice = layout().commit(&source, 7);
    put(&twice, &record);
    let overlap = Finding::Overlap {
        source: source.clone(),
        from: 5,
        to: 10,
    };
    let report = verify();
    assert!(!report.holds() && report.findings.contains(&overlap));
    block_on(storage.remove(&twice)).unwrap();
    let report = verify();
    assert_eq!((report.content(), report.findings), (content, vec![]));

    // Nothing before a first record says that there was one: its file is named by none, and the rest only Kafka knows.
    let first = layout().commit(&source, 0);
    block_on(storage.remove(&first)).unwrap();
    let report = verify();
    assert!(report.holds());
    assert!(matches!(&report.findings[..], [Finding::Stray { .. }]));
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
        let mut both = [(); 2].map(|()| Worker::new(&storage, hour, Work::Compact));
        for (who, fault) in schedule {
            both[who].step(fault);
            prop_assert_eq!(seen(&storage), content);
        }
        while block_on(compact(&storage, &layout(), hour, &SETTINGS, async |_| {})).unwrap().is_some() {}
        let report = block_on(verify(&storage, &layout(), None, None)).unwrap();
        prop_assert_eq!(&report.findings, &[]);
        prop_assert_eq!(report.content(), content);
        prop_assert_eq!(report.files, 1);
    }
}
