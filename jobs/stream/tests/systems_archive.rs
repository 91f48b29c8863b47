//! `archive` against a real Kafka: killed with -9 after each step of its protocol, stopped and woken as a zombie, with
//! the lake away: every event is in the lake, once. The lake is a local folder here; systems_archive_hdfs has it in HDFS.
// Helpers outside of test functions count as production code for clippy.
#![allow(clippy::unwrap_used, clippy::panic)]

mod kafka_support;
mod lake_support;

use lake_support::{LIMIT, Place, scenarios};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka"]
async fn killed_after_each_step() {
    let Some(mut place) = Place::local().await else {
        return;
    };
    scenarios::killed_after_each_step(&mut place).await;
    // The first record of a chain is lost: nothing in the lake lacks it, but Kafka has what it covered.
    let commits = place.files("telemetry/_commits").await;
    let (first, _) = commits.iter().min().unwrap();
    let path = place.directory.path().join("lake").join(first);
    std::fs::remove_file(path).unwrap();
    let (ok, text) = place.verify();
    assert!(!ok && text.contains("which Kafka still has"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka"]
async fn a_zombie_is_fenced() {
    let Some(mut place) = Place::local().await else {
        return;
    };
    scenarios::a_zombie_is_fenced(&mut place).await;
    let mut place = place.beside("second");
    scenarios::who_comes_second_is_fenced(&mut place).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka"]
async fn a_lake_that_is_away_is_waited_for() {
    let Some(mut place) = Place::local().await else {
        return;
    };
    let lake = place.directory.path().join("lake");
    let aside = place.directory.path().join("aside");
    // A file in its place: nothing can be made there.
    let take = || {
        std::fs::rename(&lake, &aside).unwrap();
        std::fs::write(&lake, "no folder").unwrap();
    };
    let give_back = || {
        std::fs::remove_file(&lake).unwrap();
        std::fs::rename(&aside, &lake).unwrap();
    };
    scenarios::away(&mut place, take, give_back).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka"]
async fn members_come_and_go_and_hours_are_compacted() {
    let Some(mut place) = Place::local().await else {
        return;
    };
    scenarios::members_come_and_go_and_hours_are_compacted(&mut place).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka"]
async fn old_hours_are_retired() {
    let Some(mut place) = Place::local().await else {
        return;
    };
    place.send(400).await;
    let job = place.archive("archive", &[]);
    place.wait_until_archived().await;
    job.terminate(LIMIT).await;
    scenarios::hours_are_retired(&mut place).await;
    assert!(!place.files(".Trash/Current/telemetry").await.is_empty());
}
