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
    store
        .list("guest", filter, 0, 1000)
        .unwrap()
        .into_iter()
        .map(|record| record.activation_id)
        .collect()
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
