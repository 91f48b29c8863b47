//! What must hold on every storage.

use std::path::PathBuf;
use std::time::Duration;

use super::job::{
    signal, stays_unready, wait_for_line, wait_for_metric, wait_for_oldest, wait_unready,
};
use super::{LIMIT, Place};
use crate::kafka_support::Job;

/// The process is killed with -9 after each step of the protocol.
pub async fn killed_after_each_step(place: &mut Place) {
    for step in ["stage", "close", "seal", "commit", "publish", "settle"] {
        place.send(400).await;
        let mut job = place.archive(step, &["--halt-after", step]);
        wait_for_line(&place.log(step), "standing still").await;
        job.server.kill();
        let job = place.archive(&format!("after-{step}"), &[]);
        place.wait_until_archived().await;
        // What was committed before the kill counts at once; it is published when the partitions were given out again.
        place.wait_until_settled().await;
        // The group is told of it too, though what was killed never did so and nothing is left to commit.
        place.wait_until_told().await;
        job.terminate(LIMIT).await;
        place.check().await;
    }
}

/// A job that has closed its files and stands right before its record, as long as the file is there.
async fn stands_still(
    place: &Place,
    name: &str,
    start: fn(&Place, &str, &[&str]) -> Job,
) -> (Job, PathBuf) {
    let still = place.directory.path().join("still");
    std::fs::write(&still, "").unwrap();
    let file = still.to_str().unwrap();
    let job = start(place, name, &["--halt-after", "close", "--halt-file", file]);
    wait_for_line(&place.log(name), "standing still").await;
    (job, still)
}

/// It has closed its files and stands right before its record; then it is stopped, and the group takes it for dead.
pub async fn a_zombie_is_fenced(place: &mut Place) {
    place.send(600).await;
    let (zombie, still) = stands_still(place, "zombie", Place::archive).await;
    signal(&zombie, "-STOP");
    std::fs::remove_file(&still).unwrap();
    place.send(600).await;
    let heir = place.archive("heir", &[]);
    place.wait_until_archived().await;
    signal(&zombie, "-CONT");
    place.send(600).await;
    place.wait_until_archived().await;
    heir.terminate(LIMIT).await;
    zombie.terminate(LIMIT).await;
    place.wait_until_archived().await;
    place.check().await;
}

/// Another group reads the topic too: both own each partition, and neither is told otherwise. The one that comes second to the
/// name of a record is fenced, says so, and does no harm.
pub async fn who_comes_second_is_fenced(place: &mut Place) {
    place.send(600).await;
    let (second, still) = stands_still(place, "second", Place::rival).await;
    let first = place.archive("first", &[]);
    place.wait_until_archived().await;
    std::fs::remove_file(&still).unwrap();
    let fenced = "millrace_archive_fenced_total";
    wait_for_metric(&second, fenced, |times| times >= 1.0).await;
    second.terminate(LIMIT).await;
    // What the second one has left is removed after the next commits.
    place.send(600).await;
    place.wait_until_archived().await;
    place.wait_until_settled().await;
    first.terminate(LIMIT).await;
    place.check().await;
}

/// The storage is taken away while nothing is open, events come, and it is given back.
pub async fn away(place: &mut Place, take: impl FnOnce(), give_back: impl FnOnce()) {
    place.send(300).await;
    let job = place.archive("away", &[]);
    place.wait_until_archived().await;
    // A commit that counts is published until that is done, however long the storage is away: nothing would be read again.
    place.wait_until_settled().await;
    take();
    place.send(300).await;
    wait_for_line(&place.log("away"), "is read again").await;
    wait_unready(&job, "partition").await;
    stays_unready(&job, "partition", Duration::from_secs(2)).await;
    let waits = |oldest: &[u64]| oldest.iter().any(|seconds| *seconds > 0);
    wait_for_oldest(&job, "what waits is not told", waits).await;
    give_back();
    place.wait_until_archived().await;
    job.wait_ready(LIMIT).await;
    place.wait_until_told().await;
    let none = |oldest: &[u64]| !oldest.is_empty() && oldest.iter().all(|seconds| *seconds == 0);
    wait_for_oldest(&job, "nothing waits any more", none).await;
    job.terminate(LIMIT).await;
    place.check().await;
}

/// Members come and go while events come, and small files become one.
pub async fn members_come_and_go_and_hours_are_compacted(place: &mut Place) {
    let first = place.archive("first", &[]);
    first.wait_ready(LIMIT).await;
    for round in 0..3 {
        place.send(500).await;
        let other = place.archive(&format!("other-{round}"), &[]);
        other.wait_ready(LIMIT).await;
        place.send(500).await;
        other.terminate(LIMIT).await;
    }
    place.wait_until_archived().await;
    first.terminate(LIMIT).await;
    place.check().await;
    // Killed with -9 after each step: no row is missing or there twice, and whoever comes next ends what counts.
    for step in ["close", "seal", "commit", "withdraw", "publish", "settle"] {
        place.compaction_killed(step).await;
        assert_eq!(place.report()["rows"], place.sent(), "{step}");
    }
    let (ok, text) = place.lake_command(&["compact", "--at-least", "2", "--keep-replaced", "0s"]);
    assert!(ok && text.contains("files became 1"), "{text}");
    place.check().await;
}

/// Events come all the time, and meanwhile something happens to the storage.
pub async fn under_load(place: &mut Place, happens: impl FnOnce() + Send + 'static) {
    let job = place.archive("load", &[]);
    job.wait_ready(LIMIT).await;
    place.send(200).await;
    let happening = tokio::task::spawn_blocking(happens);
    while !happening.is_finished() {
        place.send(200).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    happening.await.unwrap();
    place.send(200).await;
    place.wait_until_archived().await;
    job.wait_ready(LIMIT).await;
    job.terminate(LIMIT).await;
    place.check().await;
}

/// Hours are retired by runs that are killed with -9 anywhere, until one gets through; late events come in and are
/// retired by the next one.
pub async fn hours_are_retired(place: &mut Place) {
    let retire = ["retain", "--older-than", "1h"];
    for after in [20, 40, 60, 80, 120, 160] {
        place
            .lake_command_killed(&retire, Duration::from_millis(after))
            .await;
        let report = place.report();
        let rows = |part: &serde_json::Value| part["rows"].as_u64().unwrap();
        assert_eq!(rows(&report) + rows(&report["retired"]), place.sent());
    }
    let (ok, text) = place.lake_command(&retire);
    assert!(ok, "{text}");
    assert_eq!(place.report()["rows"], place.young());
    assert_eq!(place.old_files().await, []);
    place.send(100).await;
    let job = place.archive("late", &[]);
    place.wait_until_archived().await;
    job.terminate(LIMIT).await;
    assert!(place.report()["rows"].as_u64() > Some(place.young()));
    let (ok, text) = place.lake_command(&retire);
    assert!(ok && text.contains("retired"), "{text}");
    let report = place.report();
    assert_eq!(report["rows"], place.young());
    assert_eq!(report["retired"]["rows"], place.sent() - place.young());
    assert_eq!(place.old_files().await, []);
    let (ok, text) = place.lake_command(&["ls"]);
    assert!(ok && text.contains("retired"), "{text}");
    let (ok, text) = place.lake_command(&["cat"]);
    assert!(ok);
    assert_eq!(text.lines().count() as u64, place.young());
}
