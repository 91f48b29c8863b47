//! Backups of a PostgresCluster and restoring from them, by the real PostgreSQL and the scripts that are built for it: the
//! content at a time between two commits, an archive that is full, damaged or somebody else's, what is kept, and several
//! members run by Patroni.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod postgres_archive;
mod postgres_members;
mod postgres_pod;

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use millrace_operator::postgres::backup::files::BACKUPS;
use millrace_operator::postgres::files::VOLUME_AT;
use millrace_testkit::postgres;
use postgres_archive::{
    archive, beginning, daily, lineages, look, names, now, rows, run, spec, started, switch,
};

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
