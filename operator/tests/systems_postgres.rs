//! What is built for a PostgresCluster, run by the real PostgreSQL: founding, databases and roles, passwords, drift, a lost
//! volume, a new certificate.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod postgres_pod;

use std::fs;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_operator::pki::{Authority, Request};
use millrace_operator::postgres::crd::PostgresClusterStatus;
use millrace_operator::postgres::files::{REFUSED, VOLUME_AT};
use millrace_operator::postgres::validate::Founding;
use millrace_operator::postgres::{ValidatedPostgres, wanted};
use millrace_operator::remote::pipeline::{Remote as _, converge};
use millrace_operator::remote::postgres::{PostgresError, RemotePostgres, Session};
use millrace_testkit::postgres;
use postgres_pod::{Pod, cluster, valid};
use serde_json::{Value, json};

fn serving() -> Value {
    json!({
        "parameters": {"work_mem": "7MB"},
        "databases": [{"name": "scores", "owner": "score"}],
        "roles": [
            {"name": "score", "connectionLimit": 5},
            {"name": "analysts", "login": false, "readOnly": [{"database": "scores", "schemas": ["public", "later"]}]},
            {"name": "ann", "memberOf": ["analysts"], "database": "scores"},
        ],
    })
}

/// Makes the server as it is asked for; gives what was done.
async fn make(
    pod: &Pod,
    postgres: &ValidatedPostgres,
    before: Option<&PostgresClusterStatus>,
) -> Result<Vec<String>, PostgresError> {
    let (login, wanted) = (pod.superuser(postgres), wanted(postgres, before));
    let remote = RemotePostgres::new(&login, &wanted);
    let outcome = converge(&remote).await?;
    match remote.failed().pop() {
        Some((_, error)) => Err(error),
        None => Ok(outcome.made.iter().map(ToString::to_string).collect()),
    }
}

async fn text(session: &Session, statement: &str) -> String {
    let row = session.query_one(statement, &[]).await.unwrap();
    row.get(0)
}

#[tokio::test]
#[ignore = "systems tier"]
async fn databases_and_roles_are_made_and_kept() {
    let Some(root) = postgres().unwrap() else {
        return;
    };
    let spec = cluster(serving());
    let first = valid(&spec, None);
    let mut pod = Pod::new(root, 61);
    pod.mount(&first);
    pod.start();
    pod.wait_until_ready();
    assert!(!pod.lets_in_without_tls());

    let made = make(&pod, &first, None).await.unwrap();
    assert_eq!(
        made,
        [
            "role score: create",
            "role analysts: create",
            "role ann: create",
            "role ann: make a member of analysts",
            "database scores: create",
            "role analysts: let it read scores.public",
            "role score: set the password of its Secret",
            "role ann: set the password of its Secret",
        ]
    );
    let again = make(&pod, &first, None).await.unwrap();
    assert_eq!(again, [""; 0], "it is as it is to be");

    // The owner makes tables and schemas, analysts read them, the later ones too.
    let score = pod.session(&first, "score").await.unwrap();
    assert_eq!(text(&score, "SHOW work_mem").await, "7MB");
    assert_eq!(
        text(&score, "SELECT current_database()::text").await,
        "scores"
    );
    score
        .batch_execute("CREATE TABLE public.score(vehicle text, value int); INSERT INTO public.score VALUES ('v1', 7); CREATE SCHEMA later; CREATE TABLE later.offer(id int)")
        .await
        .unwrap();
    let ann = pod.session(&first, "ann").await.unwrap();
    score.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let (login, asked) = (pod.superuser(&first), wanted(&first, None));
    let seen = RemotePostgres::new(&login, &asked).observe().await.unwrap();
    score.batch_execute("COMMIT").await.unwrap();
    let seen = seen.activity;
    // The operator's own session too.
    assert!(seen.connections >= 3, "{seen:?}");
    let most = text(&score, "SHOW max_connections").await;
    assert_eq!(seen.connections_limit.to_string(), most);
    assert_eq!((seen.waiting, seen.deadlocks), (0, 0), "{seen:?}");
    assert!(seen.commits > 0 && seen.blocks_hit > 0, "{seen:?}");
    assert!((0..60).contains(&seen.longest_transaction), "{seen:?}");
    let read = "SELECT vehicle FROM public.score";
    assert_eq!(text(&ann, read).await, "v1");
    assert!(
        ann.batch_execute("INSERT INTO public.score VALUES ('x', 1)")
            .await
            .is_err()
    );
    assert!(
        ann.batch_execute("CREATE TABLE public.mine(a int)")
            .await
            .is_err()
    );
    assert!(ann.query("SELECT * FROM later.offer", &[]).await.is_err());
    let made = make(&pod, &first, None).await.unwrap();
    assert_eq!(made, ["role analysts: let it read scores.later"]);
    assert!(ann.query("SELECT * FROM later.offer", &[]).await.is_ok());

    // Drift is put back.
    let admin = pod.superuser(&first).connect("postgres").await.unwrap();
    admin
        .batch_execute("ALTER ROLE score SUPERUSER PASSWORD 'other'; REVOKE analysts FROM ann; ALTER DATABASE scores OWNER TO postgres")
        .await
        .unwrap();
    let refused = pod.session(&first, "score").await.unwrap_err();
    assert_eq!(refused.reason(), "SuperuserRefused", "{refused}");
    let made = make(&pod, &first, None).await.unwrap();
    assert_eq!(
        made,
        [
            "role score: set what it may do and its connections",
            "role ann: make a member of analysts",
            "database scores: owner postgres → score",
            "role score: set the password of its Secret",
        ]
    );
    assert!(pod.session(&first, "score").await.is_ok());

    // A new password is asked of one of them.
    let mut asks = spec.clone();
    asks.metadata.annotations = Some(
        [(
            "millrace.dev/rotate-password".to_owned(),
            "score:1".to_owned(),
        )]
        .into(),
    );
    let rotated = valid(&asks, Some(&first));
    let made = make(&pod, &rotated, None).await.unwrap();
    assert_eq!(made, ["role score: set the password of its Secret"]);
    assert!(pod.session(&rotated, "score").await.is_ok());
    assert!(pod.session(&first, "score").await.is_err());
    assert!(pod.session(&first, "ann").await.is_ok(), "it keeps its own");
    // Who is in stays in.
    assert_eq!(text(&score, "SELECT 'still'").await, "still");

    // What was taken out goes where that was asked for, and what belongs to it is not lost with it.
    let before: PostgresClusterStatus = serde_json::from_value(json!({
        "databases": [{"name": "scores", "deletionPolicy": "Delete"}],
        "roles": [{"name": "score", "deletionPolicy": "Delete"}, {"name": "ann", "deletionPolicy": "Retain"},
            {"name": "analysts", "deletionPolicy": "Delete", "reads": ["scores.public", "scores.later"]}]}))
    .unwrap();
    let mut less = serving();
    less["roles"] = json!([less["roles"][0]]);
    let kept = valid(&cluster(less), Some(&rotated));
    let made = make(&pod, &kept, Some(&before)).await.unwrap();
    assert_eq!(
        made,
        [
            "role analysts: no longer let it read scores.later",
            "role analysts: no longer let it read scores.public",
            "role analysts: drop",
        ]
    );
    let none = valid(&cluster(json!({})), Some(&rotated));
    drop(score);
    let mut owner_only = before.clone();
    owner_only.databases.clear();
    let error = make(&pod, &none, Some(&owner_only))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("role score: drop: "), "{error}");
    assert!(error.contains("scores"), "{error}");
    let made = make(&pod, &none, Some(&before)).await.unwrap();
    assert_eq!(made, ["database scores: drop", "role score: drop"]);
    let roles = "SELECT string_agg(rolname::text, ',') FROM pg_roles WHERE rolname !~ '^pg_'";
    assert!(text(&admin, roles).await.contains("ann"), "it was to stay");
}

#[tokio::test]
#[ignore = "systems tier"]
async fn a_server_begins_once_and_comes_back() {
    let Some(root) = postgres().unwrap() else {
        return;
    };
    let first = valid(&cluster(serving()), None);
    let mut pod = Pod::new(root, 62);
    pod.mount(&first);
    pod.start();
    pod.wait_until_ready();
    make(&pod, &first, None).await.unwrap();
    let score = pod.session(&first, "score").await.unwrap();
    score
        .batch_execute("CREATE TABLE public.kept(a int); INSERT INTO public.kept VALUES (1)")
        .await
        .unwrap();

    // It ends soon although a client stays.
    assert!(pod.script("stop.sh"));
    let took = pod.wait_until_ended();
    assert!(took < Duration::from_secs(10), "{took:?}");

    // The volume is older than this password of the superuser, and its resource may found nothing.
    let mut next = valid(&cluster(serving()), Some(&first));
    next.superuser = "it's another".into();
    next.founding = Founding::Refused;
    pod.mount(&next);
    pod.start();
    pod.wait_until_ready();
    assert_eq!(make(&pod, &next, None).await.unwrap(), [""; 0]);
    let old = pod.superuser(&first).connect("postgres").await.unwrap_err();
    assert_eq!(old.reason(), "SuperuserRefused", "{old}");

    // A power cut.
    pod.pod.server().unwrap().kill();
    std::thread::sleep(Duration::from_secs(1));
    pod.start();
    pod.wait_until_ready();
    let score = pod.session(&next, "score").await.unwrap();
    assert_eq!(text(&score, "SELECT a::text FROM public.kept").await, "1");

    // A certificate that is made anew is loaded without a restart.
    let request = Request {
        common_name: "next".into(),
        names: [next.host()].into(),
    };
    let other = Authority::make("other", Timestamp::now()).unwrap();
    let mut renewed = next.clone();
    renewed.certificates.server = other.issue(&request, Timestamp::now()).unwrap();
    // Kubernetes counts in seconds, and so does nobody here.
    std::thread::sleep(Duration::from_millis(1100));
    pod.mount(&renewed);
    // From now on the server shows the new one, which this authority has not issued.
    let end = Instant::now() + Duration::from_secs(10);
    let told = loop {
        match make(&pod, &next, None).await {
            Err(error) => break error,
            Ok(made) => assert!(Instant::now() < end, "it shows the former one: {made:?}"),
        }
    };
    assert_eq!(told.reason(), "PostgresUnreachable", "{told}");
    renewed.certificates.authority = other;
    assert_eq!(make(&pod, &renewed, None).await.unwrap(), [""; 0]);
    assert_eq!(text(&score, "SELECT 'still'").await, "still");

    // Without its volume it does not begin anew.
    assert!(pod.script("stop.sh"));
    pod.wait_until_ended();
    fs::remove_dir_all(pod.pod.volume(VOLUME_AT).unwrap().join("pgdata")).unwrap();
    pod.start();
    pod.wait_until_ended();
    let log = fs::read_to_string(pod.pod.log()).unwrap();
    assert!(log.ends_with(&format!("{REFUSED}\n")), "{log}");
    next.founding = Founding::Allowed;
    pod.mount(&next);
    pod.start();
    pod.wait_until_ready();
    assert!(!make(&pod, &next, None).await.unwrap().is_empty());

    // Databases of another major version are left alone.
    assert!(pod.script("stop.sh"));
    pod.wait_until_ended();
    let version = pod.pod.volume(VOLUME_AT).unwrap().join("pgdata/PG_VERSION");
    fs::write(version, "14\n").unwrap();
    pod.start();
    pod.wait_until_ended();
    let log = fs::read_to_string(pod.pod.log()).unwrap();
    assert!(
        log.contains(
            "spec.image: is PostgreSQL 15, and the volume holds databases of PostgreSQL 14"
        ),
        "{log}"
    );
}
