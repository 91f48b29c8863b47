//! What tests of backups have in common: servers with an archive, what is asked of it, and clusters that begin from one.

#![allow(dead_code, reason = "each test program uses a part of it")]

mod kept;
mod several;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_operator::postgres::backup::ValidatedRestore;
use millrace_operator::postgres::backup::files::SOURCE;
use millrace_operator::postgres::validate::Founding;
use millrace_operator::postgres::{ValidatedPostgres, wanted};
use millrace_operator::remote::pipeline::converge;
use millrace_operator::remote::postgres::{Archive, Observed, RemotePostgres, Session};
use serde_json::{Value, json};

use crate::postgres_pod::{LIMIT, Pod, cluster, valid};

pub fn spec(backup: Value) -> Value {
    json!({
        "databases": [{"name": "scores", "owner": "score"}],
        "roles": [{"name": "score"}],
        "backup": backup,
    })
}

pub fn daily() -> Value {
    json!({"schedule": "@daily", "keep": 2, "archiveTimeoutSeconds": 3600})
}

/// Makes databases and roles as they are asked for, and looks at all.
pub async fn look(pod: &Pod, postgres: &ValidatedPostgres) -> Observed {
    let (login, wanted) = (pod.superuser(postgres), wanted(postgres, None));
    let remote = RemotePostgres::new(&login, &wanted);
    let outcome = converge(&remote).await.unwrap();
    let failed = remote.failed();
    assert!(failed.is_empty(), "{failed:?}");
    outcome.observed
}

pub async fn archive(pod: &Pod, postgres: &ValidatedPostgres) -> Archive {
    look(pod, postgres).await.archive.unwrap()
}

/// Waits until the archive is as it is wanted.
pub async fn until(
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
pub async fn started(root: &Path, net: u8, spec: Value) -> (Pod, ValidatedPostgres) {
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
pub fn beginning(
    root: &Path,
    net: u8,
    from: &Path,
    target: Option<Timestamp>,
) -> (Pod, ValidatedPostgres) {
    beginning_as(spec(daily()), (root, net), from, target)
}

/// The same, of a cluster with this spec.
pub fn beginning_as(
    spec: Value,
    (root, net): (&Path, u8),
    from: &Path,
    target: Option<Timestamp>,
) -> (Pod, ValidatedPostgres) {
    let mut postgres = valid(&cluster(spec), None);
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
pub async fn now(session: &Session) -> Timestamp {
    let row = session.query_one(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8",
        &[],
    );
    let at = Timestamp::from_microsecond(row.await.unwrap().get(0)).unwrap();
    // Nothing else is committed within this moment.
    tokio::time::sleep(Duration::from_millis(5)).await;
    at
}

pub async fn run(session: &Session, statement: &str) {
    session.batch_execute(statement).await.unwrap();
}

/// All rows, in order.
pub async fn rows(session: &Session) -> Vec<String> {
    let query = "SELECT string_agg(id || ':' || text, ',' ORDER BY id) FROM public.kept";
    let all: Option<String> = session.query_one(query, &[]).await.unwrap().get(0);
    all.iter()
        .flat_map(|all| all.split(',').map(str::to_owned))
        .collect()
}

/// Brings all that was committed so far to the archive.
pub async fn switch(pod: &Pod, postgres: &ValidatedPostgres) {
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

pub fn lineages(backups: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(backups)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    all.sort();
    all
}

pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
