//! `archive` against a real Kafka and a real HDFS: a pair of NameNodes over JournalNodes, and a DataNode whose volume can
//! be filled. What holds on a local folder (systems_archive) holds here; and NameNodes are killed while it writes, the
//! DataNode hangs, its volume is full.
// Helpers outside of test functions count as production code for clippy.
#![allow(clippy::unwrap_used, clippy::panic)]

mod kafka_support;
mod lake_support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lake_support::{LIMIT, Place, metric, scenarios, wait_for_line, wait_unready};
use millrace_testkit::{Hdfs, HdfsPlan};

/// Which NameNode is the active one.
struct Pair {
    hdfs: Hdfs,
    active: usize,
}

impl Pair {
    /// The active one is killed with -9.
    fn kill(&mut self) {
        self.hdfs.kill_name_node(self.active);
    }

    /// The other one takes over, and the one that was killed comes back as a standby.
    fn take_over(&mut self) {
        let former = self.active;
        self.active = 1 - former;
        self.hdfs.make_active(self.active).unwrap();
        self.hdfs.start_name_node_number(former).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a real HDFS"]
async fn what_holds_on_a_folder_holds_on_hdfs() {
    let Some(hdfs) = Hdfs::start().unwrap() else {
        return;
    };
    let place = async |root: &str| Place::hdfs(&hdfs.uri(), &hdfs.settings(), root).await;
    let Some(mut lake) = place("killed").await else {
        return;
    };
    scenarios::killed_after_each_step(&mut lake).await;
    let Some(mut lake) = place("zombie").await else {
        return;
    };
    scenarios::a_zombie_is_fenced(&mut lake).await;
    let Some(mut lake) = place("members").await else {
        return;
    };
    scenarios::members_come_and_go_and_hours_are_compacted(&mut lake).await;
}

// One HDFS for all of it: to bring up a pair takes as long as most of what is done with it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a real HDFS"]
async fn servers_of_hdfs_die_hang_and_have_no_room() {
    let plan = HdfsPlan {
        pair: true,
        volume: Some(96),
        ..HdfsPlan::default()
    };
    let Some(hdfs) = Hdfs::start_as(plan).unwrap() else {
        return;
    };
    let (uri, settings) = (hdfs.uri(), hdfs.settings());
    let pair = Arc::new(Mutex::new(Pair { hdfs, active: 0 }));
    let begun = Instant::now();
    let place = async |root: &str| {
        eprintln!("{root}, after {} s", begun.elapsed().as_secs());
        Place::hdfs(&uri, &settings, root).await
    };

    // No NameNode is active for a while.
    let Some(mut lake) = place("away").await else {
        return;
    };
    let take = || pair.lock().unwrap().kill();
    let give_back = || pair.lock().unwrap().take_over();
    scenarios::away(&mut lake, take, give_back).await;

    // The DataNode takes connections and says nothing.
    let Some(mut lake) = place("hangs").await else {
        return;
    };
    let take = || pair.lock().unwrap().hdfs.freeze_data_nodes().unwrap();
    let give_back = || pair.lock().unwrap().hdfs.thaw_data_nodes().unwrap();
    scenarios::away(&mut lake, take, give_back).await;

    let Some(mut lake) = place("fail-over").await else {
        return;
    };
    let own = Arc::clone(&pair);
    let fail_over = move || {
        let mut pair = own.lock().unwrap();
        pair.kill();
        pair.take_over();
    };
    scenarios::under_load(&mut lake, fail_over).await;

    let Some(mut lake) = place("fail-over-at-a-step").await else {
        return;
    };
    fails_over_at_each_step(&pair, &mut lake).await;

    let Some(mut lake) = place("full").await else {
        return;
    };
    a_full_volume_is_waited_for(&pair, &mut lake).await;
}

/// Files are open, closed, sealed, or committed and not published, while one NameNode dies and the other takes over.
async fn fails_over_at_each_step(pair: &Mutex<Pair>, place: &mut Place) {
    let still = place.directory.path().join("still");
    for step in ["stage", "seal", "commit"] {
        std::fs::write(&still, "").unwrap();
        place.send(300).await;
        let flags = ["--halt-after", step, "--halt-file", still.to_str().unwrap()];
        let job = place.archive(step, &flags);
        wait_for_line(&place.log(step), "standing still").await;
        {
            let mut pair = pair.lock().unwrap();
            pair.kill();
            pair.take_over();
        }
        std::fs::remove_file(&still).unwrap();
        place.wait_until_archived().await;
        job.terminate(LIMIT).await;
        place.check().await;
    }
}

async fn a_full_volume_is_waited_for(pair: &Mutex<Pair>, place: &mut Place) {
    place.send(300).await;
    let job = place.archive("full", &[]);
    place.wait_until_archived().await;
    let before = place.sent();
    pair.lock().unwrap().hdfs.fill_volumes().unwrap();
    // More than it may hold in memory.
    for _ in 0..5 {
        place.send(2000).await;
    }
    let why = wait_unready(&job, "partition").await;
    assert!(!why.contains("\tat "), "{why}");
    // Nothing is committed and no more is read than may be held, for as long as it takes.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(metric(&job, "millrace_archive_ahead_bytes") < 1.5 * 1024.0 * 1024.0);
    }
    wait_unready(&job, "partition").await;
    let archived = place.archived();
    assert!(
        archived < place.sent(),
        "{archived} were archived without room"
    );
    assert!(archived >= before);
    pair.lock().unwrap().hdfs.empty_volumes().unwrap();
    place.wait_until_archived().await;
    job.wait_ready(LIMIT).await;
    job.terminate(LIMIT).await;
    place.check().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and a real HDFS"]
async fn hours_that_grow_old_take_less_room_and_go_to_the_trash() {
    let plan = HdfsPlan {
        data_nodes: 5,
        replication: 2,
        ..HdfsPlan::default()
    };
    let Some(hdfs) = Hdfs::start_as(plan).unwrap() else {
        return;
    };
    let Some(mut place) = Place::hdfs(&hdfs.uri(), &hdfs.settings(), "old").await else {
        return;
    };
    place.send(400).await;
    let job = place.archive("archive", &[]);
    place.wait_until_archived().await;
    job.terminate(LIMIT).await;
    let on = async |place: &Place, disks: u32| {
        let files = place.old_files().await;
        files.iter().all(|(_, found)| *found == Some(disks))
    };
    assert!(on(&place, 2).await);
    let fewer = ["retain", "--replication", "1", "--replicate-after", "1h"];
    let (ok, text) = place.lake_command(&fewer);
    assert!(ok && text.contains("files lie on 1 disks"), "{text}");
    assert!(on(&place, 1).await);
    assert_eq!(place.lake_command(&fewer), (true, String::new()));
    place.check().await;

    // Without a policy nothing is replaced.
    let code = ["retain", "--code-after", "1h", "--code-at-least", "1"];
    assert!(!place.lake_command(&code).0);
    place.check().await;
    let (folder, policy) = ("/old/telemetry/_coded", "RS-3-2-1024k");
    hdfs.tool("ec", &["-enablePolicy", "-policy", policy])
        .unwrap();
    hdfs.dfs("hdfs", &["-mkdir", "-p", folder]).unwrap();
    hdfs.tool("ec", &["-setPolicy", "-path", folder, "-policy", policy])
        .unwrap();
    let (ok, text) = place.lake_command(&code);
    assert!(ok && text.contains("erasure-coded"), "{text}");
    place.check().await;
    let path = format!("/old/{}", place.old_files().await[0].0);
    let found = hdfs.tool("ec", &["-getPolicy", "-path", &path]).unwrap();
    assert!(found.contains(policy), "{found}");
    assert_eq!(place.lake_command(&code), (true, String::new()));

    scenarios::hours_are_retired(&mut place).await;
    let list = || hdfs.dfs("hdfs", &["-ls", "-R", "/user/hdfs/.Trash"]);
    let trash = list().unwrap();
    assert!(
        trash.contains("/user/hdfs/.Trash/Current/old/telemetry/date="),
        "{trash}"
    );
    hdfs.dfs("hdfs", &["-expunge", "-immediate"]).unwrap();
    let trash = list().unwrap();
    assert!(!trash.contains("parquet"), "{trash}");
}
