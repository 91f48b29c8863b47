//! Backups of a PostgresCluster and restoring from them, by the real PostgreSQL and the scripts that are built for it: the
//! content at a time between two commits, an archive that is full, damaged or somebody else's, and what is kept.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod postgres_pod;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_operator::postgres::backup::ValidatedRestore;
use millrace_operator::postgres::backup::files::{BACKUPS, BINDING, SOURCE};
use millrace_operator::postgres::files::VOLUME_AT;
use millrace_operator::postgres::validate::Founding;
use millrace_operator::postgres::{ValidatedPostgres, wanted};
use millrace_operator::remote::pipeline::converge;
use millrace_operator::remote::postgres::{Archive, Observed, RemotePostgres, Session};
use millrace_testkit::postgres;
use postgres_pod::{LIMIT, Pod, cluster, valid};
use serde_json::{Value, json};

fn spec(backup: Value) -> Value {
    json!({
        "databases": [{"name": "scores", "owner": "score"}],
        "roles": [{"name": "score"}],
        "backup": backup,
    })
}

fn daily() -> Value {
    json!({"schedule": "@daily", "keep": 2, "archiveTimeoutSeconds": 3600})
}

/// Makes databases and roles as they are asked for, and looks at all.
async fn look(pod: &Pod, postgres: &ValidatedPostgres) -> Observed {
    let (login, wanted) = (pod.superuser(postgres), wanted(postgres, None));
    let remote = RemotePostgres::new(&login, &wanted);
    let outcome = converge(&remote).await.unwrap();
    let failed = remote.failed();
    assert!(failed.is_empty(), "{failed:?}");
    outcome.observed
}

async fn archive(pod: &Pod, postgres: &ValidatedPostgres) -> Archive {
    look(pod, postgres).await.archive.unwrap()
}

/// Waits until the archive is as it is wanted.
async fn until(
    pod: &Pod,
    postgres: &ValidatedPostgres,
    what: &str,
    is: impl Fn(&Archive) -> bool,
) -> Archive {
    // After three failures PostgreSQL waits for a minute.
    let end = Instant::now() + 2 * LIMIT;
    loop {
        let seen = archive(pod, postgres).await;
        if is(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "{what}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// A server with backups whose role knows its password.
async fn started(root: &Path, net: u8, spec: Value) -> (Pod, ValidatedPostgres) {
    let mut postgres = valid(&cluster(spec), None);
    let mut pod = Pod::new(root.to_owned(), net);
    pod.mount(&postgres);
    pod.start();
    pod.wait_until_ready();
    look(&pod, &postgres).await;
    for role in &mut postgres.roles {
        role.password.as_mut().unwrap().is_kept = true;
    }
    pod.mount(&postgres);
    (pod, postgres)
}

/// One that is to begin from the backups of another, at a time.
fn beginning(
    root: &Path,
    net: u8,
    from: &Path,
    target: Option<Timestamp>,
) -> (Pod, ValidatedPostgres) {
    let mut postgres = valid(&cluster(spec(daily())), None);
    postgres.founding = Founding::Refused;
    postgres.restore = Some(ValidatedRestore {
        claim: "q-backup".into(),
        cluster: None,
        target,
    });
    let mut pod = Pod::new(root.to_owned(), net);
    pod.pod.mount(from, SOURCE).unwrap();
    pod.mount(&postgres);
    (pod, postgres)
}

/// A moment of the server's clock.
async fn now(session: &Session) -> Timestamp {
    let row = session.query_one(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8",
        &[],
    );
    let at = Timestamp::from_microsecond(row.await.unwrap().get(0)).unwrap();
    // Nothing else is committed within this moment.
    tokio::time::sleep(Duration::from_millis(5)).await;
    at
}

async fn run(session: &Session, statement: &str) {
    session.batch_execute(statement).await.unwrap();
}

/// All rows, in order.
async fn rows(session: &Session) -> Vec<String> {
    let query = "SELECT string_agg(id || ':' || text, ',' ORDER BY id) FROM public.kept";
    let all: Option<String> = session.query_one(query, &[]).await.unwrap().get(0);
    all.iter()
        .flat_map(|all| all.split(',').map(str::to_owned))
        .collect()
}

/// Brings all that was committed so far to the archive.
async fn switch(pod: &Pod, postgres: &ValidatedPostgres) {
    let admin = pod.superuser(postgres).connect("postgres").await.unwrap();
    // Kubernetes' clock is not asked: what was written last counts in seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    run(
        &admin,
        "SELECT pg_create_restore_point('switch'); SELECT pg_switch_wal()",
    )
    .await;
    until(pod, postgres, "all is in the archive", |seen| {
        seen.waiting == 0 && seen.failed_at.is_none()
    })
    .await;
}

fn lineages(backups: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(backups)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    all.sort();
    all
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
#[ignore = "systems tier"]
async fn a_moment_between_two_commits_comes_back() {
    let Some(root) = postgres().unwrap() else {
        return;
    };
    let (mut pod, first) = started(&root, 63, spec(daily())).await;
    let backups = pod.pod.volume(BACKUPS).unwrap().to_owned();
    let score = pod.session(&first, "score").await.unwrap();
    run(
        &score,
        "CREATE TABLE public.kept(id serial PRIMARY KEY, text text)",
    )
    .await;
    let before = now(&score).await;
    run(
        &score,
        "INSERT INTO public.kept(text) SELECT 'before' FROM generate_series(1, 1000)",
    )
    .await;
    pod.run("backup.sh").unwrap();
    // Base backups are named in seconds, rounded up.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    run(&score, "INSERT INTO public.kept(text) VALUES ('a')").await;
    let content = rows(&score).await;
    let target = now(&score).await;
    run(
        &score,
        "UPDATE public.kept SET text = 'b' WHERE id < 500; DELETE FROM public.kept WHERE id > 900",
    )
    .await;
    let last_content = rows(&score).await;
    let after = now(&score).await;
    for _ in 0..2 {
        switch(&pod, &first).await;
    }
    let seen = archive(&pod, &first).await;
    assert!(seen.is_on && seen.bases.len() == 1, "{seen:?}");
    assert!(seen.latest.unwrap() >= after.as_second(), "{seen:?}");
    let base = seen.bases.values().next().unwrap();
    assert!(
        base.bytes > 0 && base.database_bytes > 4 * base.bytes,
        "{base:?}"
    );

    // What makes base backups gets into no database.
    let user = "millrace_backup";
    let error = pod.session(&first, user).await.unwrap_err().to_string();
    assert!(error.contains("pg_hba.conf rejects"), "{error}");

    // The server is gone with its volume.
    drop(score);
    pod.pod.server().unwrap().kill();
    fs::remove_dir_all(pod.pod.volume(VOLUME_AT).unwrap().join("pgdata")).unwrap();

    let (mut second, restored) = beginning(&root, 64, &backups, Some(target));
    second.run("restore.sh").unwrap();
    second.start();
    second.wait_until_ready();
    let observed = look(&second, &restored).await;
    let known = observed.restored.unwrap();
    assert!(
        known.backup.contains("/base/") && !known.reached.is_empty(),
        "{known:?}"
    );
    // By the Secrets of the new one.
    let score = second.session(&restored, "score").await.unwrap();
    assert_eq!(rows(&score).await, content);
    let former = first.roles[0].password.as_ref().unwrap();
    let login = second.login(&restored, "score", &former.text);
    let refused = login.connect("scores").await.unwrap_err();
    assert_eq!(refused.reason(), "SuperuserRefused", "{refused}");
    run(&score, "INSERT INTO public.kept(text) VALUES ('goes on')").await;
    // Its own log is apart, and it is restored once.
    switch(&second, &restored).await;
    let own = second.pod.volume(BACKUPS).unwrap().to_owned();
    assert!(
        lineages(&own)[0]
            .file_name()
            .unwrap()
            .to_string_lossy()
            .contains('-')
    );
    second.run("restore.sh").unwrap();
    assert_eq!(rows(&score).await.len(), content.len() + 1);

    // All that there is, and the same by a time after the last commit.
    for target in [None, Some(after)] {
        let (mut third, latest) = beginning(&root, 65, &backups, target);
        third.run("restore.sh").unwrap();
        third.start();
        third.wait_until_ready();
        look(&third, &latest).await;
        let score = third.session(&latest, "score").await.unwrap();
        assert_eq!(rows(&score).await, last_content, "{target:?}");
        third.pod.server().unwrap().kill();
    }

    // Times that cannot be had.
    let told = |target: Timestamp| {
        let (pod, _) = beginning(&root, 66, &backups, Some(target));
        let told = pod.run("restore.sh").unwrap_err();
        assert!(!pod.pod.volume(VOLUME_AT).unwrap().join("pgdata").exists());
        told
    };
    let early = told(before);
    assert!(
        early.contains("the earliest base backup was complete at"),
        "{early}"
    );
    let late = told(after + jiff::SignedDuration::from_hours(1));
    assert!(late.contains("the archive ends at"), "{late}");

    // Over databases nothing is restored.
    let (fourth, _) = beginning(&root, 67, &backups, None);
    let data = fourth.pod.volume(VOLUME_AT).unwrap().join("pgdata");
    fs::create_dir(&data).unwrap();
    let told = fourth.run("restore.sh").unwrap_err();
    assert!(told.contains("never begins over them"), "{told}");
    fs::remove_dir(&data).unwrap();
    // Cut short, it is begun anew.
    fs::create_dir(data.with_file_name("restoring")).unwrap();
    fourth.run("restore.sh").unwrap();

    // A file of the log that is missing or damaged is no end of the log.
    let lineage = &lineages(&backups)[0];
    let wal = lineage.join("wal");
    let segments: Vec<_> = names(&wal)
        .into_iter()
        .filter(|name| name.len() == 27)
        .collect();
    let missing = wal.join(&segments[segments.len() - 2]);
    fs::rename(&missing, backups.join("aside")).unwrap();
    let (fifth, _) = beginning(&root, 66, &backups, None);
    let told = fifth.run("restore.sh").unwrap_err();
    assert!(told.contains("is missing in the archive"), "{told}");
    fs::rename(backups.join("aside"), &missing).unwrap();
    let last = wal.join(segments.last().unwrap());
    let content = fs::read(&last).unwrap();
    fs::write(&last, &content[..content.len() / 2]).unwrap();
    let told = fifth.run("restore.sh").unwrap_err();
    assert!(told.contains("is damaged"), "{told}");
    fs::write(&last, content).unwrap();
    // Neither is a base backup that is damaged one.
    let base = lineage.join("base").join(&names(&lineage.join("base"))[0]);
    let tar = base.join("base.tar.gz");
    let content = fs::read(&tar).unwrap();
    let mut damaged = content.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    fs::write(&tar, damaged).unwrap();
    let (sixth, _) = beginning(&root, 66, &backups, None);
    let told = sixth.run("restore.sh").unwrap_err();
    assert!(
        told.contains("cannot be unpacked") || told.contains("is damaged"),
        "{told}"
    );
    fs::write(&tar, content).unwrap();
    sixth.run("restore.sh").unwrap();
}

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
