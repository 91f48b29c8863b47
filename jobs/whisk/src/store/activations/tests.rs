use std::time::Duration;

use super::*;
use crate::activation::tests::activation;

const KEEP: Retention = Retention {
    count: 100,
    age: Duration::from_secs(3600),
    bytes: 1 << 30,
};

fn begin(id: &str) -> Begin {
    Begin {
        id: id.to_owned(),
        namespace: "guest".to_owned(),
        name: "echo".to_owned(),
        path: None,
        version: "0.0.1".to_owned(),
        subject: "guest".to_owned(),
        cause: None,
        start: 7,
    }
}

fn ids(store: &ActivationStore, filter: &Filter) -> Vec<String> {
    listed(store, filter, part(0, usize::MAX))
}

fn listed(store: &ActivationStore, filter: &Filter, part: Part) -> Vec<String> {
    store
        .list("guest", filter, part, |record| record.activation_id.clone())
        .unwrap()
}

fn part(skip: usize, bytes: usize) -> Part {
    Part {
        skip,
        limit: 1000,
        bytes,
    }
}

#[test]
fn lists_the_latest_first_and_filters() {
    let directory = tempfile::tempdir().unwrap();
    let store = ActivationStore::open(directory.path(), KEEP, 0).unwrap();
    for (id, start) in [("a", 10), ("c", 30), ("b", 20)] {
        store.finish(&activation(id, start)).unwrap();
    }
    assert_eq!(ids(&store, &Filter::default()), ["c", "b", "a"]);
    assert_eq!(
        ids(
            &store,
            &Filter {
                since: Some(20),
                ..Filter::default()
            }
        ),
        ["c", "b"]
    );
    assert_eq!(
        ids(
            &store,
            &Filter {
                upto: Some(20),
                ..Filter::default()
            }
        ),
        ["b", "a"]
    );
    assert!(
        ids(
            &store,
            &Filter {
                since: Some(30),
                upto: Some(10),
                name: None
            }
        )
        .is_empty()
    );
    assert_eq!(
        store.count(
            "guest",
            &Filter {
                name: Some("other".to_owned()),
                ..Filter::default()
            }
        ),
        0
    );
    assert!(store.get("other", "a").unwrap().is_none());
    assert_eq!(store.get("guest", "a").unwrap(), Some(activation("a", 10)));
}

#[test]
fn a_crash_loses_no_record_and_leaves_none_open() {
    let directory = tempfile::tempdir().unwrap();
    let store = ActivationStore::open(directory.path(), KEEP, 0).unwrap();
    store.begin(begin("whole")).unwrap();
    store.begin(begin("cut")).unwrap();
    store.finish(&activation("whole", 7)).unwrap();
    drop(store);
    let file = directory
        .path()
        .join("activations/00000000000000000000.log");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend_from_slice(b"{\"record\":{\"acti");
    std::fs::write(&file, bytes).unwrap();

    let store = ActivationStore::open(directory.path(), KEEP, 99).unwrap();
    assert_eq!(
        store.get("guest", "whole").unwrap(),
        Some(activation("whole", 7))
    );
    let cut = store.get("guest", "cut").unwrap().unwrap();
    assert_eq!((cut.response.status, cut.end), (Status::Internal, Some(99)));
    assert_eq!(store.cut_off(), [cut]);
    store.finish(&activation("later", 8)).unwrap();
    let store = ActivationStore::open(directory.path(), KEEP, 0).unwrap();
    assert_eq!(store.count("guest", &Filter::default()), 3);
    assert_eq!(store.cut_off(), []);
    assert_eq!(
        store.get("guest", "later").unwrap(),
        Some(activation("later", 8))
    );
}

#[test]
fn keeps_no_more_than_told() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention { count: 16, ..KEEP };
    let store = ActivationStore::open(directory.path(), retention, 0).unwrap();
    for n in 0..100 {
        store.finish(&activation(&format!("{n}"), n)).unwrap();
    }
    let kept = ids(&store, &Filter::default());
    assert!((16..=18).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept[0], "99");
    let old = Retention {
        age: Duration::from_millis(10),
        ..KEEP
    };
    let store = ActivationStore::open(directory.path(), old, 0).unwrap();
    store.finish(&activation("new", 10_000)).unwrap();
    store.finish(&activation("newer", 10_001)).unwrap();
    assert!(ids(&store, &Filter::default()).len() < 6);
}

#[test]
fn what_has_begun_outlives_its_segment() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention { count: 16, ..KEEP };
    let store = ActivationStore::open(directory.path(), retention, 0).unwrap();
    store.begin(begin("running")).unwrap();
    store.begin(begin("ending")).unwrap();
    for n in 0..100 {
        store.finish(&activation(&format!("{n}"), n)).unwrap();
    }
    store.finish(&activation("ending", 100)).unwrap();
    store.sync().unwrap();
    let first = directory
        .path()
        .join("activations/00000000000000000000.log");
    assert!(!first.exists(), "the segment of the beginning is dropped");

    let store = ActivationStore::open(directory.path(), retention, 99).unwrap();
    let cut = store.get("guest", "running").unwrap().unwrap();
    assert_eq!((cut.response.status, cut.end), (Status::Internal, Some(99)));
    assert_eq!(store.cut_off(), [cut]);
    assert_eq!(
        store.get("guest", "ending").unwrap(),
        Some(activation("ending", 100))
    );
}

#[test]
fn a_list_of_whole_records_ends_at_its_bytes_and_goes_on_behind_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = ActivationStore::open(directory.path(), KEEP, 0).unwrap();
    for (id, start) in [("a", 10), ("b", 20), ("c", 30)] {
        store.finish(&activation(id, start)).unwrap();
    }
    let all = Filter::default();
    let file = directory
        .path()
        .join("activations/00000000000000000000.log");
    let lines = std::fs::read_to_string(file).unwrap();
    let length = lines.lines().next().unwrap().len();
    assert_eq!(listed(&store, &all, part(0, 2 * length)), ["c", "b"]);
    assert_eq!(listed(&store, &all, part(2, 2 * length)), ["a"]);
    // One comes in any case: whoever goes on behind it comes to the end.
    assert_eq!(listed(&store, &all, part(1, 1)), ["b"]);
    assert!(listed(&store, &all, part(3, 1)).is_empty());
}

#[test]
fn a_record_is_read_when_its_turn_comes() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention { count: 16, ..KEEP };
    let store = ActivationStore::open(directory.path(), retention, 0).unwrap();
    for n in 0..16 {
        store.finish(&activation(&format!("{n}"), n)).unwrap();
    }
    // While the first is shown, others come and what was to be shown next is dropped.
    let mut more = 16..200;
    let shown = store
        .list("guest", &Filter::default(), part(0, usize::MAX), |record| {
            for n in more.by_ref() {
                store.finish(&activation(&format!("{n}"), n)).unwrap();
            }
            record.activation_id.clone()
        })
        .unwrap();
    assert_eq!(shown, ["15"]);
}

/// A store whose writes fail for want of room, until [`heal`].
fn full(directory: &Path, retention: Retention) -> ActivationStore {
    let store = ActivationStore::open(directory, retention, 0).unwrap();
    store.begin(begin("a")).unwrap();
    let segments = directory.join("activations");
    std::os::unix::fs::symlink("/dev/full", segments.join("00000000000000000001.log")).unwrap();
    let segment = Segment::open(&segments, 1).unwrap();
    store.lock().segments.push_back(segment);
    store
}

fn heal(directory: &Path, store: &ActivationStore) {
    store.lock().segments.pop_back().unwrap();
    std::fs::remove_file(directory.join("activations/00000000000000000001.log")).unwrap();
}

#[test]
fn a_record_that_cannot_be_written_is_found_and_written_later() {
    let directory = tempfile::tempdir().unwrap();
    let store = full(directory.path(), KEEP);
    let record = activation("a", 7);
    let error = store.finish(&record).unwrap_err().to_string();
    assert!(error.contains("more room"), "{error}");
    assert_eq!(store.get("guest", "a").unwrap(), None);
    store.keep(&record);
    assert_eq!(store.get("guest", "a").unwrap(), Some(record.clone()));
    assert_eq!(store.get("other", "a").unwrap(), None);
    store.sync().unwrap_err();
    assert_eq!(store.get("guest", "a").unwrap(), Some(record.clone()));

    heal(directory.path(), &store);
    store.sync().unwrap();
    assert_eq!(ids(&store, &Filter::default()), ["a"]);
    store.sync().unwrap();
    assert_eq!(store.count("guest", &Filter::default()), 1);
    let store = ActivationStore::open(directory.path(), KEEP, 0).unwrap();
    assert_eq!(store.get("guest", "a").unwrap(), Some(record));
    assert_eq!(store.cut_off(), []);
}

#[test]
fn no_more_records_than_told_wait_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention {
        count: 10_000,
        ..KEEP
    };
    let store = full(directory.path(), retention);
    for n in 0..=held::HELD_RECORDS {
        store.keep(&activation(&n.to_string(), 7));
    }
    let last = held::HELD_RECORDS.to_string();
    assert_eq!(store.get("guest", &last).unwrap(), None);
    assert!(store.get("guest", "0").unwrap().is_some());
    heal(directory.path(), &store);
    store.sync().unwrap();
    assert_eq!(store.count("guest", &Filter::default()), held::HELD_RECORDS);
}
