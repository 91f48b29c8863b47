//! Hours that grow old, under crashes and beside a compactor and late commits: what was retired is told from what is gone,
//! nothing else goes, and every retired file is in the trash once.
#![allow(clippy::unwrap_used, clippy::panic)]

mod model;

use std::collections::BTreeSet;

use futures::executor::block_on;
use millrace_lake::Storage as _;
use millrace_lake::compact::compact;
use millrace_lake::content::Content;
use millrace_lake::layout::Hour;
use millrace_lake::reader::{Finding, Records};
use millrace_lake::record::{Reason, Withdrawn};
use millrace_lake::retain::{code, replicate, retire};
use millrace_lake::storage::{Fault, Memory};
use millrace_lake::verify::{Report, verify};
use model::hours::{SETTINGS, commit, lake, layout, seen};
use model::worker::{Work, Worker};
use proptest::prelude::*;

fn proved(storage: &Memory) -> Report {
    let report = block_on(verify(storage, &layout(), None, None)).unwrap();
    assert_eq!(report.findings, []);
    report
}

/// What counts by the files, and what was retired by the records: together all that was committed, at any time.
fn both(storage: &Memory) -> (Content, Content) {
    let records = block_on(Records::read(storage, &layout())).unwrap();
    assert_eq!(records.unbalanced(), []);
    let retired = Content::total(records.retired().values());
    (seen(storage), retired)
}

fn sum(parts: (Content, Content)) -> Content {
    Content::total([&parts.0, &parts.1])
}

/// The names in the trash, and those of the hour.
fn places(storage: &Memory, hour: Hour) -> (BTreeSet<String>, BTreeSet<String>) {
    let (trash, folder) = (".Trash/Current/", format!("{}/", layout().hour(hour)));
    let names = storage.names();
    let of = |prefix: &str| {
        let names = names.iter().filter_map(|name| name.strip_prefix(prefix));
        names.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let all = of(trash);
    (all, of(&folder))
}

fn no_staging(storage: &Memory) {
    for name in storage.names() {
        let left = name.contains("/_staging/") || name.contains("/_coded/");
        assert!(!left, "{name} is left over");
    }
}

#[test]
fn a_retired_hour_is_not_gone_and_late_events_come_in() {
    let (storage, hour, content) = lake();
    let record = block_on(retire(&storage, &layout(), hour, Withdrawn::Trash))
        .unwrap()
        .unwrap();
    assert_eq!(
        (record.reason, record.replaces.len()),
        (Reason::Retirement, 4)
    );
    let report = proved(&storage);
    assert_eq!((report.files, report.content().rows), (0, 0));
    assert_eq!(report.retired[&hour], content);
    let (trash, left) = places(&storage, hour);
    assert_eq!((trash.len(), left.len()), (4, 0));
    // Again: nothing to do.
    let again = block_on(retire(&storage, &layout(), hour, Withdrawn::Trash)).unwrap();
    assert_eq!(again, None);
    // Late events.
    commit(&storage, hour, 20);
    let report = proved(&storage);
    assert_eq!((report.content().rows, report.retired[&hour].rows), (5, 20));
    let again = block_on(retire(&storage, &layout(), hour, Withdrawn::Removed)).unwrap();
    assert_eq!(again.unwrap().number, 2);
    assert_eq!(proved(&storage).retired[&hour].rows, 25);
    // These went without trash.
    assert_eq!(places(&storage, hour), (trash, BTreeSet::new()));
    no_staging(&storage);
}

#[test]
fn what_is_lost_before_it_is_retired_is_gone() {
    let (storage, hour, _) = lake();
    let records = block_on(Records::read(&storage, &layout())).unwrap();
    let lost = records.live()[&hour][2].path.clone();
    block_on(storage.remove(&lost)).unwrap();
    // What is not there cannot be retired.
    block_on(retire(&storage, &layout(), hour, Withdrawn::Trash)).unwrap();
    let report = block_on(verify(&storage, &layout(), None, None)).unwrap();
    assert_eq!(report.findings, [Finding::Gone { path: lost }]);
    assert_eq!(report.retired[&hour].rows, 15);
}

/// A process dies at each single change, before or after it, and another comes.
#[test]
fn a_crash_at_each_change_of_a_retirement() {
    for fault in [Fault::Before, Fault::After] {
        for change in 0..20 {
            let (storage, hour, content) = lake();
            storage.fail_after(change, fault);
            let died = block_on(retire(&storage, &layout(), hour, Withdrawn::Trash)).is_err();
            storage.mend();
            assert_eq!(sum(both(&storage)), content, "at {change}");
            proved(&storage);
            assert!(died || change > 5, "{change}");
            // A compactor finishes as well as another retirement.
            let at_most =
                block_on(compact(&storage, &layout(), hour, &SETTINGS, async |_| {})).unwrap();
            block_on(retire(&storage, &layout(), hour, Withdrawn::Trash)).unwrap();
            let (trash, left) = places(&storage, hour);
            assert!(left.is_empty(), "{left:?}");
            assert_eq!(
                trash.len(),
                if at_most.is_some() { 1 } else { 4 },
                "{trash:?}"
            );
            assert_eq!(proved(&storage).retired[&hour], content);
            no_staging(&storage);
        }
    }
}

#[test]
fn an_hour_is_coded_once_and_never_without_a_policy() {
    let (storage, hour, content) = lake();
    let error = block_on(code(&storage, &layout(), hour, 1)).unwrap_err();
    assert!(error.to_string().contains("telemetry/_coded"), "{error}");
    no_staging(&storage);
    storage.code(&layout().coded());
    assert_eq!(
        block_on(code(&storage, &layout(), hour, 1 << 40)).unwrap(),
        None
    );
    let record = block_on(code(&storage, &layout(), hour, 1))
        .unwrap()
        .unwrap();
    assert_eq!(
        (record.reason, record.content),
        (Reason::ErasureCoding, content)
    );
    assert!(block_on(storage.is_coded(&record.files[0].path)).unwrap());
    assert_eq!(proved(&storage).content(), content);
    assert_eq!(block_on(code(&storage, &layout(), hour, 1)).unwrap(), None);
    // Late events are compacted and copied among themselves.
    for start in [20, 25] {
        commit(&storage, hour, start);
    }
    let small = block_on(compact(&storage, &layout(), hour, &SETTINGS, async |_| {}));
    assert_eq!(small.unwrap().unwrap().replaces.len(), 2);
    assert_eq!(
        block_on(replicate(&storage, &layout(), hour, 2)).unwrap(),
        1
    );
    assert_eq!(
        block_on(replicate(&storage, &layout(), hour, 2)).unwrap(),
        0
    );
    assert!(block_on(storage.is_coded(&record.files[0].path)).unwrap());
    let late = block_on(code(&storage, &layout(), hour, 1))
        .unwrap()
        .unwrap();
    assert_eq!((late.replaces.len(), late.content.rows), (1, 10));
    assert_eq!((proved(&storage).files, seen(&storage).rows), (2, 30));
    no_staging(&storage);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_work_any_crashes_any_order(
        schedule in proptest::collection::vec(
            (0_usize..4, proptest::option::weighted(0.15, (0_u32..5, any::<bool>()))),
            0..60,
        ),
    ) {
        let (storage, hour, mut content) = lake();
        storage.code(&layout().coded());
        let mut workers: Vec<Worker> = [Work::Compact, Work::Retire, Work::Code]
            .into_iter()
            .map(|work| Worker::new(&storage, hour, work))
            .collect();
        let mut retired = 0;
        let mut start = 20;
        for (who, fault) in schedule {
            match workers.get_mut(who) {
                Some(worker) => worker.step(fault),
                // Late events.
                None => {
                    let before = seen(&storage);
                    commit(&storage, hour, start);
                    start += 5;
                    let rows = seen(&storage).rows - before.rows;
                    prop_assert_eq!(rows, 5);
                    content = sum(both(&storage));
                }
            }
            let now = both(&storage);
            prop_assert_eq!(sum(now), content);
            prop_assert!(now.1.rows >= retired, "what was retired came back");
            retired = now.1.rows;
        }
        block_on(retire(&storage, &layout(), hour, Withdrawn::Trash)).unwrap();
        let report = proved(&storage);
        prop_assert_eq!((report.files, report.retired[&hour]), (0, content));
        no_staging(&storage);
    }
}
