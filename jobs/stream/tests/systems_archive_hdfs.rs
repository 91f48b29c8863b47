//! `archive` against a real Kafka and a real HDFS: a pair of NameNodes over JournalNodes, and a DataNode whose volume can
//! be filled. What holds on a local folder (systems_archive) holds here; and NameNodes are killed while it writes, the
//! DataNode hangs, its volume is full.
// Helpers outside of test functions count as production code for clippy.
#![allow(clippy::unwrap_used, clippy::panic)]

mod kafka_support;
mod lake_support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lake_support::job::{metric, stays_unready, wait_for_line, wait_unready};
use lake_support::{LIMIT, Place, scenarios};
use millrace_testkit::{Hdfs, HdfsPlan};

/// Which NameNode is the active one.
struct Pair {
    hdfs: Hdfs,
    active: usize,
}

impl Pair {
    /// The active one is killed with -9. The other one is there to take over.
    fn kill(&mut self) {
        self.hdfs.wait_for_name_node(1 - self.active).unwrap();
        self.hdfs.kill_name_node(self.active);
    }

    /// The other one takes over, and the one that was killed comes back as a standby after a while.
    fn take_over(&mut self) {
        let former = self.active;
        self.active = 1 - former;
        self.hdfs.make_active(self.active).unwrap();
        self.hdfs.launch_name_node(former).unwrap();
    }
}

// Side by side on one HDFS, since most of the time is waiting: for members to be taken for dead, for commits to be old enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
#[ignore = "needs a real Kafka and a real HDFS"]
async fn what_holds_on_a_folder_holds_on_hdfs_and_hours_grow_old() {
    // As many as erasure coding wants.
    let plan = HdfsPlan {
        data_nodes: 5,
        replication: 2,
        ..HdfsPlan::default()
    };
    let hdfs = tokio::task::spawn_blocking(move || Hdfs::start_as(plan));
    let Some(hdfs) = hdfs.await.unwrap().unwrap().map(Arc::new) else {
        return;
    };
    let begun = Instant::now();
    let (uri, settings) = (hdfs.uri(), hdfs.settings());
    let place = move |root: &'static str| {
        let (uri, settings) = (uri.clone(), settings.clone());
        async move { Place::hdfs(&uri, &settings, root).await }
    };
    let done = move |what: &str| eprintln!("{what}: after {} s", begun.elapsed().as_secs());
    let own = place.clone();
    let killed = tokio::spawn(async move {
        let Some(mut lake) = own("killed").await else {
            return;
        };
        scenarios::killed_after_each_step(&mut lake).await;
        done("killed after each step");
    });
    let (own, of_all) = (place.clone(), Arc::clone(&hdfs));
    let members = tokio::spawn(async move {
        let Some(mut lake) = own("zombie").await else {
            return;
        };
        scenarios::a_zombie_is_fenced(&mut lake).await;
        done("a zombie");
        let mut lake = lake.beside("second");
        scenarios::who_comes_second_is_fenced(&mut lake).await;
        done("two groups");
        let mut lake = lake.beside("members");
        scenarios::members_come_and_go_and_hours_are_compacted(&mut lake).await;
        done("members");
        a_user_without_rights_is_told_the_cure(&of_all, &lake).await;
        done("a user without rights");
    });
    let own = Arc::clone(&hdfs);
    let old = tokio::spawn(async move {
        let Some(mut lake) = place("old").await else {
            return;
        };
        hours_that_grow_old_take_less_room_and_go_to_the_trash(&own, &mut lake).await;
        done("hours that grow old");
    });
    for lane in [killed, members, old] {
        lane.await.unwrap();
    }
}

// One HDFS and one Kafka for all of it: to bring them up takes as long as most of what is done with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a real Kafka and a real HDFS"]
async fn servers_of_hdfs_die_hang_and_have_no_room() {
    let plan = HdfsPlan {
        pair: true,
        volume: Some(96),
        ..HdfsPlan::default()
    };
    let hdfs = tokio::task::spawn_blocking(move || Hdfs::start_as(plan));
    let Some(hdfs) = hdfs.await.unwrap().unwrap() else {
        return;
    };
    let (uri, settings) = (hdfs.uri(), hdfs.settings());
    let pair = Arc::new(Mutex::new(Pair { hdfs, active: 0 }));
    let begun = Instant::now();
    let done = |what: &str| eprintln!("{what}: after {} s", begun.elapsed().as_secs());

    // No NameNode is active for a while.
    let Some(mut lake) = Place::hdfs(&uri, &settings, "away").await else {
        return;
    };
    let take = || pair.lock().unwrap().kill();
    let give_back = || pair.lock().unwrap().take_over();
    scenarios::away(&mut lake, take, give_back).await;
    done("no NameNode is active");

    // The DataNode takes connections and says nothing.
    let mut lake = lake.beside("hangs");
    let take = || pair.lock().unwrap().hdfs.freeze_data_nodes().unwrap();
    let give_back = || pair.lock().unwrap().hdfs.thaw_data_nodes().unwrap();
    scenarios::away(&mut lake, take, give_back).await;
    done("the DataNode hangs");

    let mut lake = lake.beside("fail-over-at-a-step");
    fails_over_at_each_step(&pair, &mut lake).await;
    done("fail-over at a step");

    let mut lake = lake.beside("full");
    a_full_volume_is_waited_for(&pair, &mut lake).await;
    done("the volume is full");

    let mut lake = lake.beside("fail-over");
    let own = Arc::clone(&pair);
    let fail_over = move || {
        let mut pair = own.lock().unwrap();
        pair.kill();
        pair.take_over();
    };
    scenarios::under_load(&mut lake, fail_over).await;
    done("fail-over under load");
}

/// Nobody has given the directory to the user: the job ends and says what is to be given to whom. Then it works.
async fn a_user_without_rights_is_told_the_cure(hdfs: &Hdfs, place: &Place) {
    let place = place.of_user("stranger", "private");
    let mut job = place.archive("stranger", &[]);
    let until = Instant::now() + LIMIT;
    while !job.server.has_ended() {
        assert!(Instant::now() < until, "{}", job.server.tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = std::fs::read_to_string(place.log("stranger")).unwrap();
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("millrace-stream: the lake: "), "{last}");
    let folder = "/private/telemetry";
    for words in [
        "user=stranger",
        &format!("hdfs dfs -mkdir -p {folder} "),
        &format!("hdfs dfs -chown -R stranger {folder};"),
    ] {
        assert!(last.contains(words), "{last}");
    }
    hdfs.dfs("hdfs", &["-mkdir", "-p", folder]).unwrap();
    hdfs.dfs("hdfs", &["-chown", "-R", "stranger", folder])
        .unwrap();
    let job = place.archive("at-home", &[]);
    place.wait_until_archived().await;
    job.terminate(LIMIT).await;
    place.check().await;
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
        stays_unready(&job, "partition", Duration::from_millis(500)).await;
        assert!(metric(&job, "millrace_archive_ahead_bytes") < 1.5 * 1024.0 * 1024.0);
    }
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

/// Whether all files of the old hours lie on so many disks.
async fn on(place: &Place, disks: u32) -> bool {
    let files = place.old_files().await;
    files.iter().all(|(_, found)| *found == Some(disks))
}

async fn hours_that_grow_old_take_less_room_and_go_to_the_trash(hdfs: &Hdfs, place: &mut Place) {
    place.send(400).await;
    let job = place.archive("archive", &[]);
    place.wait_until_archived().await;
    job.terminate(LIMIT).await;
    assert!(on(place, 2).await);
    let fewer = ["retain", "--replication", "1", "--replicate-after", "1h"];
    let (ok, text) = place.lake_command(&fewer);
    assert!(ok && text.contains("files lie on 1 disks"), "{text}");
    assert!(on(place, 1).await);
    assert_eq!(place.lake_command(&fewer), (true, String::new()));
    place.check().await;

    a_file_comes_back_from_a_snapshot(hdfs, place).await;

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

    scenarios::hours_are_retired(place).await;
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

async fn a_file_comes_back_from_a_snapshot(hdfs: &Hdfs, place: &Place) {
    hdfs.tool("dfsadmin", &["-allowSnapshot", "/old"]).unwrap();
    hdfs.dfs("hdfs", &["-createSnapshot", "/old", "kept"])
        .unwrap();
    let file = place.old_files().await[0].0.clone();
    let (path, kept) = (
        format!("/old/{file}"),
        format!("/old/.snapshot/kept/{file}"),
    );
    hdfs.dfs("hdfs", &["-rm", "-skipTrash", &path]).unwrap();
    let (ok, text) = place.lake_command(&["verify", "--json"]);
    assert!(
        !ok && text.contains("gone") && text.contains(&file),
        "{text}"
    );
    hdfs.dfs("hdfs", &["-cp", &kept, &path]).unwrap();
    place.check().await;
}
