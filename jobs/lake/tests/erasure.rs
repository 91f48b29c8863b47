//! Hires taken out of an hour under crashes, beside compaction: no row is lost, and none names them in the end.
#![allow(clippy::unwrap_used, clippy::panic)]

mod model;

use arrow_array::cast::AsArray as _;
use bytes::Bytes;
use futures::executor::block_on;
use millrace_lake::Storage as _;
use millrace_lake::commit::{Step, publish_committed};
use millrace_lake::compact::compact;
use millrace_lake::erase::erase;
use millrace_lake::parquet_file;
use millrace_lake::reader;
use millrace_lake::storage::{Memory, put};
use millrace_lake::verify::verify;
use model::hours::{SETTINGS, commit, commit_until, erased, lake, layout, seen};
use model::worker::{Work, Worker};
use proptest::prelude::*;

/// How many rows of all Parquet files that lie anywhere name a hire.
fn named(storage: &Memory, hire: &str) -> usize {
    let mut found = 0;
    for name in storage.names() {
        if !name.ends_with(".parquet") {
            continue;
        }
        let bytes = block_on(storage.read(&name)).unwrap();
        for batch in parquet_file::read(&name, bytes).unwrap() {
            let batch = batch.unwrap();
            let hires = batch.column_by_name("hire").unwrap().as_string::<i32>();
            found += hires
                .iter()
                .flatten()
                .filter(|named| *named == hire)
                .count();
        }
    }
    found
}

#[test]
fn no_file_names_the_hire_and_no_row_is_lost() {
    let (storage, hour, content) = lake();
    // An older state that was laid aside names it, too.
    block_on(compact(&storage, &layout(), hour, &SETTINGS, async |_| {})).unwrap();
    commit(&storage, hour, 20);
    assert!(named(&storage, "gone") > 10);
    let record = block_on(erase(&storage, &layout(), hour, &erased()))
        .unwrap()
        .unwrap();
    assert_eq!(record.held.unwrap().rows, 25);
    assert_eq!(named(&storage, "gone"), 0);
    assert_eq!(seen(&storage).rows, 25);
    assert_ne!(seen(&storage).sum, content.sum);
    let report = block_on(verify(&storage, &layout(), None, None)).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(
        block_on(erase(&storage, &layout(), hour, &erased())).unwrap(),
        None
    );
    // Others are still named, and later rewrites go on from there.
    assert_eq!(named(&storage, "kept"), 5);
    commit(&storage, hour, 25);
    block_on(erase(&storage, &layout(), hour, &erased()))
        .unwrap()
        .unwrap();
    block_on(compact(&storage, &layout(), hour, &SETTINGS, async |_| {})).unwrap();
    let report = block_on(verify(&storage, &layout(), None, None)).unwrap();
    assert_eq!((report.findings, seen(&storage).rows), (Vec::new(), 30));
}

#[test]
fn what_is_committed_and_not_published_is_erased_too() {
    let (storage, hour, _) = lake();
    // Nobody sees its hour by the folders yet.
    commit_until(&storage, model::hour(1), 20, Step::Publish);
    let hours = || block_on(reader::hours(&storage, layout().dataset())).unwrap();
    assert_eq!(hours(), [hour]);
    assert!(named(&storage, "gone") > 8);
    let publish = || block_on(publish_committed(&storage, &layout())).unwrap();
    assert_eq!(publish(), 1);
    for hour in hours() {
        block_on(erase(&storage, &layout(), hour, &erased()))
            .unwrap()
            .unwrap();
    }
    assert_eq!(named(&storage, "gone"), 0);
    let report = block_on(verify(&storage, &layout(), None, None)).unwrap();
    assert_eq!((report.findings, seen(&storage).rows), (Vec::new(), 25));
    assert_eq!(publish(), 0);
}

#[test]
fn a_dataset_is_a_folder_in_which_something_was_archived() {
    let (storage, _, _) = lake();
    for other in ["roads/day.csv", "_tmp/_commits/x", "note.txt"] {
        block_on(put(&storage, other, Bytes::from_static(b"x"))).unwrap();
    }
    let found = block_on(reader::datasets(&storage)).unwrap();
    let names: Vec<&str> = found.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["telemetry"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn beside_compaction_with_any_crashes_in_any_order(
        schedule in proptest::collection::vec(
            (0_usize..2, proptest::option::weighted(0.15, (0_u32..5, any::<bool>()))),
            0..60,
        ),
    ) {
        let (storage, hour, content) = lake();
        let mut both = [Work::Compact, Work::Erase].map(|work| Worker::new(&storage, hour, work));
        for (who, fault) in schedule {
            both[who].step(fault);
            prop_assert_eq!(seen(&storage).rows, content.rows);
        }
        block_on(erase(&storage, &layout(), hour, &erased())).unwrap();
        let report = block_on(verify(&storage, &layout(), None, None)).unwrap();
        prop_assert_eq!(&report.findings, &[]);
        prop_assert_eq!(report.content().rows, content.rows);
        prop_assert_eq!(named(&storage, "gone"), 0);
    }
}
