//! The commit protocol under every crash and any interleaving of writers: nothing lost, nothing twice.
#![allow(clippy::unwrap_used, clippy::panic)]

mod model;

use futures::executor::block_on;
use millrace_lake::commit::{self, Step};
use millrace_lake::content::Content;
use millrace_lake::layout::Layout;
use millrace_lake::reader::Records;
use millrace_lake::storage::{Fault, Local, Memory};
use millrace_lake::{Storage as _, StorageFile as _};
use model::{Act, Topic, Writer};
use proptest::prelude::*;

/// Whatever is committed at this moment is a chain from the beginning without gap or overlap.
fn check_chain(storage: &Memory, topic: &Topic) -> i64 {
    let records = block_on(Records::read(storage, &topic.layout)).unwrap();
    assert_eq!(records.chain(), [], "{records:#?}");
    let Some((from, to, content)) = records.sources().remove(&topic.source) else {
        return 0;
    };
    assert_eq!(from, 0);
    assert_eq!(content, topic.content(0, to));
    to
}

/// Everything is there, under its name, once, in the right hour, and nothing else.
fn check_all(storage: &Memory, topic: &Topic) {
    let resume = block_on(commit::resume(storage, &topic.layout, &topic.source)).unwrap();
    assert_eq!(
        resume.offset,
        topic.records.keys().last().map(|last| last + 1)
    );
    check_chain(storage, topic);
    let records = block_on(Records::read(storage, &topic.layout)).unwrap();
    let mut found: Vec<(i64, String)> = Vec::new();
    let mut contents: Vec<Content> = Vec::new();
    for (hour, files) in records.live() {
        for file in files {
            let bytes = block_on(storage.read(&file.path)).unwrap();
            assert_eq!(bytes.len() as u64, file.bytes);
            let offsets: Vec<i64> = serde_json::from_slice(&bytes).unwrap();
            found.extend(offsets.into_iter().map(|offset| (offset, hour.to_string())));
            contents.push(file.content);
        }
    }
    found.sort();
    let expected: Vec<(i64, String)> = topic
        .records
        .iter()
        .map(|(offset, hour)| (*offset, hour.to_string()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(Content::total(&contents), topic.content(0, i64::MAX));
    let known = records.names();
    for name in storage.names() {
        let stray = name.contains("/_staging/")
            || (name.contains("/date=") && !known.contains(name.as_str()));
        assert!(!stray, "{name} is left over");
    }
}

fn finish(storage: &Memory, topic: &Topic) {
    let mut last = Writer::new(9, &storage.clone());
    for _ in 0..10_000 {
        if last.is_done() {
            return check_all(storage, topic);
        }
        last.step(topic);
    }
    panic!("the last writer does not come to an end");
}

fn topic() -> impl Strategy<Value = Topic> {
    let hours = proptest::collection::vec(
        prop_oneof![8 => (0_u8..4).prop_map(Some), 1 => Just(None)],
        1..40,
    );
    hours.prop_filter_map("no record", |hours| {
        let topic = Topic::new(&hours);
        (!topic.records.is_empty()).then_some(topic)
    })
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.records)
    }
}

fn act() -> impl Strategy<Value = Act> {
    let fault = prop_oneof![Just(Fault::Before), Just(Fault::After)];
    prop_oneof![
        12 => Just(Act::Step),
        1 => (0_u32..4, fault.clone()).prop_map(|(after, fault)| Act::Die(after, fault)),
        1 => (0_u32..4, fault).prop_map(|(after, fault)| Act::Hang(after, fault)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn any_writers_any_crashes_any_order(
        topic in topic(),
        schedule in proptest::collection::vec((0_usize..3, act()), 0..200),
    ) {
        let storage = Memory::default();
        let mut writers: Vec<Writer> = (0..3).map(|n| Writer::new(n, &storage.clone())).collect();
        let mut reached = 0;
        for (who, act) in schedule {
            writers[who].act(&topic, act);
            let now = check_chain(&storage, &topic);
            prop_assert!(now >= reached, "what was committed is committed no more");
            reached = now;
        }
        finish(&storage, &topic);
    }
}

/// One writer dies at each single change of a run, before or after it; a zombie of it goes on when all is over.
#[test]
fn a_crash_at_each_step() {
    let topic = Topic::new(&[
        Some(0),
        Some(1),
        None,
        Some(0),
        Some(2),
        Some(1),
        Some(0),
        Some(3),
        None,
        Some(1),
    ]);
    let mut steps = std::collections::BTreeSet::new();
    for fault in [Fault::Before, Fault::After] {
        for change in 0..200 {
            let storage = Memory::default();
            let mut writer = Writer::new(0, &storage.clone());
            let mut zombie = Writer::new(1, &storage.clone());
            // The zombie has its rows in staging.
            for _ in 0..4 {
                zombie.step(&topic);
            }
            writer.act(&topic, Act::Die(change, fault));
            for _ in 0..200 {
                steps.extend(writer.next());
                writer.step(&topic);
                check_chain(&storage, &topic);
            }
            assert!(writer.is_done());
            for _ in 0..50 {
                zombie.step(&topic);
                check_chain(&storage, &topic);
            }
            finish(&storage, &topic);
        }
    }
    for step in [
        Step::Stage,
        Step::Close,
        Step::Seal,
        Step::Commit,
        Step::Publish,
        Step::Settle,
    ] {
        assert!(steps.contains(&step), "{step} was never reached");
    }
}

#[test]
fn a_writer_finds_out_whether_it_may_write_and_leaves_nothing() {
    let (storage, layout) = (Memory::default(), Layout::new("telemetry").unwrap());
    block_on(commit::may_write(&storage, &layout)).unwrap();
    assert_eq!(storage.names(), Vec::<String>::new());
    // One that was killed between the two steps.
    let trial = block_on(storage.create(&layout.trial())).unwrap();
    block_on(trial.close()).unwrap();
    block_on(commit::may_write(&storage, &layout)).unwrap();
    assert_eq!(storage.names(), Vec::<String>::new());
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("taken");
    std::fs::write(&place, "no folder").unwrap();
    let refused = block_on(commit::may_write(&Local::new(place), &layout)).unwrap_err();
    assert!(refused.is_refused(), "{refused}");
}
