//! An archive that takes each file once, keeps what is needed, and is full for a while.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_operator::postgres::backup::files::{BACKUPS, BINDING};
use millrace_operator::postgres::files::VOLUME_AT;
use millrace_testkit::postgres;
use serde_json::json;

use super::{
    archive, beginning, daily, lineages, look, names, rows, run, spec, started, switch, until,
};
use crate::postgres_pod::{LIMIT, Pod, cluster, valid};

#[tokio::test]
#[ignore = "systems tier"]
async fn the_archive_takes_a_file_once_and_keeps_what_is_needed() {
    let Some(root) = postgres().unwrap() else {
        return;
    };
    let (pod, first) = started(&root, 68, spec(daily())).await;
    let backups = pod.pod.volume(BACKUPS).unwrap().to_owned();
    let score = pod.session(&first, "score").await.unwrap();
    run(
        &score,
        "CREATE TABLE public.kept(id serial PRIMARY KEY, text text)",
    )
    .await;
    switch(&pod, &first).await;
    let lineage = lineages(&backups)[0].clone();
    let wal = lineage.join("wal");
    let segment = names(&wal).pop().unwrap();
    let name = segment.strip_suffix(".gz").unwrap().to_owned();

    // As the server does it, of a file that is there already.
    let bring = |content: &[u8]| {
        let data = pod.pod.volume(VOLUME_AT).unwrap();
        fs::write(data.join("again"), content).unwrap();
        let command =
            format!("cd /data/pgdata && /bin/sh /etc/millrace/archive.sh /data/again {name}");
        pod.pod.run(&["/bin/sh", "-c", &command]).unwrap()
    };
    let unpacked = Command::new("gzip")
        .arg("-dc")
        .arg(wal.join(&segment))
        .output()
        .unwrap()
        .stdout;
    assert_eq!(unpacked.len(), 16 << 20);
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let was = inode(&wal.join(&segment));
    assert!(bring(&unpacked).status.success(), "it is the same");
    let mut other = unpacked.clone();
    other[100] ^= 1;
    let refused = bring(&other);
    assert!(!refused.status.success());
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        told.contains("another server writes to this volume"),
        "{told}"
    );
    assert_eq!(inode(&wal.join(&segment)), was, "it was not touched");
    assert!(
        names(&wal).iter().all(|name| !name.contains("part")),
        "{:?}",
        names(&wal)
    );

    // Two are kept, and the log since the older of them.
    for _ in 0..3 {
        run(&score, "INSERT INTO public.kept(text) VALUES ('x')").await;
        pod.run("backup.sh").unwrap();
        switch(&pod, &first).await;
    }
    let base = lineage.join("base");
    let kept = names(&base);
    assert_eq!(kept.len(), 2, "{kept:?}");
    let start = fs::read_to_string(base.join(&kept[0]).join("start-wal")).unwrap();
    let segments: Vec<_> = names(&wal)
        .into_iter()
        .filter(|name| name.len() == 27)
        .collect();
    assert_eq!(segments[0], format!("{}.gz", start.trim()));
    let seen = archive(&pod, &first).await;
    assert!(seen.bases.keys().eq(kept.iter()), "{seen:?}");

    // By days: all of them, and the newest before.
    let days = valid(
        &cluster(spec(json!({"schedule": "@daily", "keepDays": 3}))),
        Some(&first),
    );
    pod.mount(&days);
    let aged = |days: i64| {
        let then = Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
        then.strftime("%Y%m%dT%H%M%SZ").to_string()
    };
    for (name, days) in kept.iter().zip([9, 5]) {
        fs::rename(base.join(name), base.join(aged(days))).unwrap();
    }
    pod.run("backup.sh").unwrap();
    let left = names(&base);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0] > aged(6) && left[0] < aged(4), "{left:?}");

    // One that fails leaves what is there.
    fs::write(pod.pod.volume(BINDING).unwrap().join("password"), "other").unwrap();
    let told = pod.run("backup.sh").unwrap_err();
    assert!(told.contains("password authentication failed"), "{told}");
    assert_eq!(names(&base), left);
    assert!(!backups.join(".new").exists());
}

/// A file system of a few mebibytes. It goes with its value.
struct Small(PathBuf);

impl Small {
    fn on(directory: &Path) -> Self {
        let small = Self(directory.to_owned());
        small.mount("size=24m,uid=1000,gid=1000,mode=700");
        small
    }

    fn mount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", options, "backups"])
            .arg(&self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
#[ignore = "systems tier"]
async fn a_full_archive_holds_up_nobody_and_goes_on_when_there_is_room() {
    let Some(root) = postgres().unwrap() else {
        return;
    };
    let mut first = valid(&cluster(spec(daily())), None);
    let mut pod = Pod::new(root.clone(), 69);
    let backups = pod.pod.volume(BACKUPS).unwrap().to_owned();
    let small = Small::on(&backups);
    pod.mount(&first);
    pod.start();
    pod.wait_until_ready();
    look(&pod, &first).await;
    for role in &mut first.roles {
        role.password.as_mut().unwrap().is_kept = true;
    }
    pod.mount(&first);
    let score = pod.session(&first, "score").await.unwrap();
    run(
        &score,
        "CREATE TABLE public.kept(id serial PRIMARY KEY, text text)",
    )
    .await;
    pod.run("backup.sh").unwrap_err();
    // Random enough that it cannot be packed.
    let write = "INSERT INTO public.kept(text) SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 300000) AS n GROUP BY n % 3000";
    for _ in 0..6 {
        run(&score, write).await;
    }
    let failing = until(&pod, &first, "the archive fails", |seen| {
        seen.failed_at.is_some()
    })
    .await;
    assert!(
        failing
            .trouble
            .as_deref()
            .unwrap()
            .contains("No space left"),
        "{failing:?}"
    );
    assert!(
        failing.waiting > 0 && failing.room.unwrap().percent() > 50,
        "{failing:?}"
    );
    // Half a file makes room for others, between two attempts at the latest.
    let is_half = |lineage: &PathBuf| {
        let mut files = names(&lineage.join("wal")).into_iter();
        files.any(|name| name.contains("part"))
    };
    let end = Instant::now() + LIMIT;
    while lineages(&backups).iter().any(is_half) {
        assert!(Instant::now() < end, "half a file stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The databases go on.
    run(&score, "INSERT INTO public.kept(text) VALUES ('still')").await;

    // Room comes, and all follows by itself.
    small.mount("remount,size=512m");
    run(&score, "INSERT INTO public.kept(text) VALUES ('later')").await;
    let count = rows(&score).await.len();
    let well = until(&pod, &first, "it goes on", |seen| {
        seen.failed_at.is_none() && seen.waiting == 0
    })
    .await;
    assert!(well.room.unwrap().percent() < 50, "{well:?}");
    pod.run("backup.sh").unwrap();
    switch(&pod, &first).await;
    let (mut second, restored) = beginning(&root, 70, &backups, None);
    second.run("restore.sh").unwrap();
    second.start();
    second.wait_until_ready();
    look(&second, &restored).await;
    let score = second.session(&restored, "score").await.unwrap();
    assert_eq!(rows(&score).await.len(), count);
}
