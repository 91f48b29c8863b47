//! A PostgresCluster with several members, run by the real Patroni against a real API server with no other rights than those
//! that are built for it: founding, the primary lost under load, switchovers, settings, one server that becomes several.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod postgres_members;
mod postgres_pod;
mod postgres_writer;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_operator::pki::{Authority, Request};
use millrace_operator::postgres::files::VOLUME_AT;
use millrace_operator::postgres::patroni::files::shared;
use millrace_operator::postgres::patroni::gate::hand_over;
use millrace_operator::postgres::{ValidatedPostgres, wanted};
use millrace_operator::remote::pipeline::converge;
use millrace_operator::remote::postgres::{Login, RemotePostgres, Session};
use millrace_testkit::{ApiServer, postgres};
use postgres_members::{LIMIT, Members};
use postgres_pod::{cluster, valid};
use postgres_writer::Writer;
use serde_json::{Value, json};

fn serving(members: i32) -> Value {
    let mut spec = json!({
        "databases": [{"name": "scores", "owner": "score"}],
        "roles": [{"name": "score"}],
    });
    if members > 1 {
        spec["members"] = json!(members);
        spec["resources"] = json!({"memory": "384Mi"});
    }
    spec
}

/// Makes databases and roles on the primary, as the operator does; gives what was done.
async fn make(postgres: &ValidatedPostgres, login: &Login) -> Vec<String> {
    let wanted = wanted(postgres, None);
    let remote = RemotePostgres::new(login, &wanted);
    let outcome = converge(&remote).await.unwrap();
    assert!(remote.failed().is_empty());
    outcome.made.iter().map(ToString::to_string).collect()
}

async fn text(session: &Session, statement: &str) -> String {
    session.query_one(statement, &[]).await.unwrap().get(0)
}

async fn rows(session: &Session) -> BTreeSet<i64> {
    let rows = session.query("SELECT a FROM public.kept", &[]).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

/// The line on which a primary writes. What Patroni tells of it may be that of before a promotion for some seconds.
async fn timeline(session: &Session) -> String {
    let name = "SELECT pg_walfile_name(pg_current_wal_lsn())";
    let name: String = session.query(name, &[]).await.unwrap()[0].get(0);
    name[..8].to_owned()
}

/// Three members with databases and a table, and their primary.
async fn three(postgres: &ValidatedPostgres, net: u8) -> Option<(Members, String)> {
    let root = millrace_testkit::postgres().unwrap()?;
    let api_server = ApiServer::start().unwrap()?;
    let mut members = Members::new(api_server, root, net, postgres);
    let began = Instant::now();
    members.add(postgres);
    members.start(0);
    assert_eq!(members.wait_until_whole(postgres, 0).await, "p-0");
    println!("the first one leads after {:.1?}", began.elapsed());
    for _ in 0..2 {
        let next = members.add(postgres);
        members.start(next);
    }
    let leader = members.wait_until_whole(postgres, 2).await;
    println!("all three are there after {:.1?}", began.elapsed());
    let at = Members::ordinal(&leader);
    let made = make(postgres, &members.superuser(postgres, at)).await;
    assert_eq!(made.len(), 3, "{made:?}");
    let again = make(postgres, &members.superuser(postgres, at)).await;
    assert_eq!(again, [""; 0], "it is as it is to be");
    let login = members.as_role(postgres, at, "score");
    let session = login.connect("scores").await.unwrap();
    let table = "CREATE TABLE public.kept(a int8 PRIMARY KEY)";
    session.batch_execute(table).await.unwrap();
    Some((members, leader))
}

fn begun(mut postgres: ValidatedPostgres, servers: i32) -> ValidatedPostgres {
    postgres.begun = true;
    postgres.servers = servers;
    postgres
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "systems tier"]
async fn nothing_acknowledged_is_lost_with_the_primary() {
    // It promises that in any case; `Preferred` while a replica keeps up.
    let mut spec = serving(3);
    spec["synchronous"] = json!("Required");
    let first = begun(valid(&cluster(spec.clone()), None), 3);
    let Some((mut members, leader)) = three(&first, 63).await else {
        return;
    };
    let at = Members::ordinal(&leader);

    // Services lead to who is what, by labels that Patroni writes with the rights that it was given.
    assert_eq!(members.behind("p-primary", &first), [leader.as_str()]);
    assert_eq!(members.behind("p-replicas", &first).len(), 2);
    let view = members.api(&first).observe().await.unwrap();
    assert_eq!(view.config, shared(&first), "what was founded with");
    let replica = members.as_role(&first, (at + 1) % 3, "score");
    let session = replica.connect("scores").await.unwrap();
    let insert = session.execute("INSERT INTO public.kept VALUES (0)", &[]);
    let refused = insert.await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "25006", "it reads only");
    // Who follows the log sees nothing of what is in databases of users.
    let inside = members.lets_replication_in(&first, at, "scores").await;
    assert!(inside.is_err());
    assert!(
        members
            .lets_replication_in(&first, at, "postgres")
            .await
            .is_ok()
    );

    // The primary is gone at once, with all that it was doing.
    let logins = (0..3).map(|ordinal| members.as_role(&first, ordinal, "score"));
    let writer = Writer::start(logins.collect());
    writer.wait_for(200).await;
    members.kill(at);
    let gap = writer.wait_for(200).await;
    let next = members.wait_until_whole(&first, 1).await;
    assert_ne!(next, leader);
    println!("kill -9 of {leader}: the next row is acknowledged after {gap:.1?}, by {next}");
    assert_eq!(members.behind("p-primary", &first), [next.as_str()]);

    // It comes back behind the new one.
    let began = Instant::now();
    members.start(at);
    members.wait_until_whole(&first, 2).await;
    println!("{leader} follows {:.1?} after its start", began.elapsed());
    let view = members.api(&first).observe().await.unwrap();
    let lines: BTreeSet<_> = view.members.iter().map(|seen| seen.timeline).collect();
    assert_eq!(lines.len(), 1, "{view:?}");
    assert_eq!(members.behind("p-primary", &first), [next.as_str()]);

    // A switchover, as before a restart of the primary's pod.
    let switchover = hand_over(&view, 3).unwrap();
    assert_eq!(switchover.from, next);
    let waiting = writer.wait_for(400);
    let api = members.api(&first);
    let switching = api.switch_over(&switchover.from, &switchover.to);
    let (gap, switched) = tokio::join!(waiting, switching);
    switched.unwrap();
    println!(
        "switchover {next} to {}: no row was acknowledged for {gap:.1?}",
        switchover.to
    );
    let last = members.wait_until_whole(&first, 2).await;
    assert_eq!(last, switchover.to);

    // The primary hangs with all that is open, and goes on when another one has long taken over.
    let at = Members::ordinal(&last);
    let login = members.as_role(&first, at, "score");
    let open = login.connect("scores").await.unwrap();
    members.pods[at].freeze().unwrap();
    let gap = writer.wait_for(200).await;
    members.pods[at].thaw().unwrap();
    let late = open.execute("INSERT INTO public.kept VALUES (-1)", &[]);
    let late = tokio::time::timeout(Duration::from_secs(3), late).await;
    let late = late.is_ok_and(|done| done.is_ok());
    let last = members.wait_until_whole(&first, 2).await;
    assert_ne!(Members::ordinal(&last), at);
    println!(
        "p-{at} hung: the next row was acknowledged after {gap:.1?}, by {last}; it acknowledged one late: {late}"
    );

    // Kubernetes does not answer for longer than a lease lasts.
    let login = members.as_role(&first, Members::ordinal(&last), "score");
    let line = timeline(&login.connect("scores").await.unwrap()).await;
    members.api_server.hang(true).unwrap();
    let since = writer.count();
    tokio::time::sleep(Duration::from_secs(35)).await;
    writer.wait_for(100).await;
    let gap = writer.longest(since);
    let meanwhile = timeline(&login.connect("scores").await.unwrap()).await;
    assert_eq!(meanwhile, line, "nobody took over");
    println!("35 s without Kubernetes: rows are acknowledged, at most {gap:.1?} apart");
    // With Kubernetes back the lease has run out, and on a busy machine another one may be the first to take it.
    members.api_server.hang(false).unwrap();
    let last = members.wait_until_renewed(&first).await;

    let mut acknowledged = writer.end().await;
    acknowledged.extend(late.then_some(-1));
    for ordinal in 0..3 {
        let login = members.as_role(&first, ordinal, "score");
        let session = login.connect("scores").await.unwrap();
        let end = Instant::now() + LIMIT;
        loop {
            let lost = acknowledged.difference(&rows(&session).await).count();
            if lost == 0 {
                break;
            }
            assert!(Instant::now() < end, "p-{ordinal} lacks {lost} rows");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    println!(
        "{} rows were acknowledged, and all are there",
        acknowledged.len()
    );

    // Settings reach all of them, those that can without a restart at once.
    spec["parameters"] = json!({"work_mem": "7MB"});
    let other = begun(valid(&cluster(spec), Some(&first)), 3);
    let api = members.api(&first);
    api.configure(&last, &shared(&other)).await.unwrap();
    for ordinal in 0..3 {
        let end = Instant::now() + LIMIT;
        loop {
            let login = members.superuser(&first, ordinal);
            let session = login.connect("postgres").await.unwrap();
            if text(&session, "SHOW work_mem").await == "7MB" {
                break;
            }
            assert!(Instant::now() < end, "p-{ordinal} has the former setting");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "systems tier"]
async fn one_server_becomes_several() {
    let Some(root) = postgres().unwrap() else {
        return;
    };
    let Some(api_server) = ApiServer::start().unwrap() else {
        return;
    };
    let alone = valid(&cluster(serving(1)), None);
    let mut pod = postgres_pod::Pod::new(root.clone(), 64);
    pod.mount(&alone);
    pod.start();
    pod.wait_until_ready();
    make(&alone, &pod.superuser(&alone)).await;
    let session = pod.session(&alone, "score").await.unwrap();
    let table = "CREATE TABLE public.kept(a int8); INSERT INTO public.kept VALUES (7)";
    session.batch_execute(table).await.unwrap();
    drop(session);
    assert!(pod.script("stop.sh"));
    pod.wait_until_ended();

    // The same volume, in the pod that the operator makes of it.
    let several = begun(valid(&cluster(serving(2)), Some(&alone)), 2);
    let mut members = Members::new(api_server, root, 65, &several);
    members.add(&several);
    let from = pod.pod.volume(VOLUME_AT).unwrap();
    let to = members.pods[0].volume(VOLUME_AT).unwrap();
    std::fs::rename(from.join("pgdata"), to.join("pgdata")).unwrap();
    members.start(0);
    assert_eq!(members.wait_until_whole(&several, 0).await, "p-0");
    let next = members.add(&several);
    members.start(next);
    assert_eq!(members.wait_until_whole(&several, 1).await, "p-0");
    let made = make(&several, &members.superuser(&several, 0)).await;
    assert_eq!(made, [""; 0], "it is as it was");
    let login = members.as_role(&several, 1, "score");
    let session = login.connect("scores").await.unwrap();
    assert_eq!(rows(&session).await, [7].into());

    // A pod that is deleted hands over before it ends.
    let began = Instant::now();
    members.pods[0].terminate().unwrap();
    let view = members.wait(&several, "another one leads", |view| {
        view.leader().is_some_and(|leader| leader.pod == "p-1")
    });
    view.await;
    println!(
        "p-1 leads {:.1?} after p-0 was asked to end",
        began.elapsed()
    );
    drop(session);
    let session = login.connect("scores").await.unwrap();
    let insert = "INSERT INTO public.kept VALUES (8)";
    session.execute(insert, &[]).await.unwrap();
    drop(session);
    while !members.pods[0].server().unwrap().has_ended() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    members.start(0);
    assert_eq!(members.wait_until_whole(&several, 1).await, "p-1");

    // A certificate of another authority, which all trust beside the former one, is loaded by both without a restart.
    let mut renewed = several.clone();
    let other = Authority::make("other", Timestamp::now()).unwrap();
    let names = [several.host(), "*.p-nodes.ns.svc".to_owned()];
    let request = Request {
        common_name: "next".into(),
        names: names.into(),
    };
    let shown = other.issue(&request, Timestamp::now()).unwrap();
    renewed.certificates.server = shown;
    renewed.certificates.trusted = format!("{}{}", other.certificate, several.certificates.trusted);
    // A new password of the superuser is told by whoever becomes the primary next.
    renewed.superuser = "it's another".into();
    for ordinal in 0..2 {
        members.mount(ordinal, &renewed);
    }
    let mut only_new = renewed.clone();
    only_new.certificates.trusted = other.certificate.clone();
    members.wait_until_whole(&only_new, 1).await;
    for ordinal in 0..2 {
        let end = Instant::now() + LIMIT;
        let login = members.as_role(&only_new, ordinal, "score");
        while let Err(error) = login.connect("scores").await {
            assert!(Instant::now() < end, "p-{ordinal}: {error}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    let former = members.superuser(&several, 1).connect("postgres").await;
    assert_eq!(
        former.unwrap_err().reason(),
        "PostgresUnreachable",
        "it shows the new one"
    );
    let view = members
        .wait(&renewed, "both follow", |view| hand_over(view, 2).is_ok())
        .await;
    let switchover = hand_over(&view, 2).unwrap();
    let api = members.api(&renewed);
    api.switch_over(&switchover.from, &switchover.to)
        .await
        .unwrap();
    let end = Instant::now() + LIMIT;
    let login = members.superuser(&renewed, Members::ordinal(&switchover.to));
    while let Err(error) = login.connect("postgres").await {
        assert!(Instant::now() < end, "{error}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    // One by which members follow each other is told without a restart.
    renewed.patroni.replication = "it's another too".into();
    for ordinal in 0..2 {
        members.mount(ordinal, &renewed);
    }
    let at = Members::ordinal(&switchover.to);
    let end = Instant::now() + LIMIT;
    while let Err(error) = members.lets_replication_in(&renewed, at, "postgres").await {
        assert!(Instant::now() < end, "{error}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
