//! The operator itself with several members of a PostgresCluster, run by the real Patroni against a real API server: it founds
//! them, makes databases on the primary, restarts them for a setting, and takes one out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic"
)]

mod postgres_members;
mod postgres_pod;
mod postgres_world;

use std::fs;
use std::process::Command;
use std::time::Instant;

use millrace_operator::postgres::crd::PostgresClusterStatus;
use millrace_testkit::{ApiServer, postgres};
use postgres_members::Members;
use postgres_world::{HOSTS, World};
use serde_json::{Value, json};

fn spec(members: i32, work_mem: &str) -> Value {
    json!({"members": members, "resources": {"memory": "384Mi"},
        "parameters": {"work_mem": work_mem},
        "databases": [{"name": "scores", "owner": "score"}], "roles": [{"name": "score"}]})
}

fn settled(status: &PostgresClusterStatus, members: usize) -> bool {
    let is = |type_: &str, expected: &str| {
        let mut conditions = status.conditions.iter();
        conditions.any(|one| one.type_ == type_ && one.status == expected)
    };
    status.members.len() == members
        && is("Available", "True")
        && is("Progressing", "False")
        && !is("Degraded", "True")
}

async fn several_members(members: Members) {
    let mut world = World::new(members).await;
    world.ask(spec(3, "5MB")).await;
    let began = Instant::now();
    world
        .until("three are founded", |status| settled(status, 3))
        .await;
    println!(
        "three members serve {:.1?} after they were asked for",
        began.elapsed()
    );
    assert_eq!(world.started[0], "p-0");
    let first = world.status().await;
    assert_eq!(first.primary.as_deref(), Some("p-0"));
    assert_eq!(world.query("SHOW work_mem").await, "5MB");

    // A setting: replicas first, then another one takes over, and the former primary comes last.
    world.started.clear();
    world.ask(spec(3, "7MB")).await;
    let generation = |status: &PostgresClusterStatus| status.observed_generation;
    let before = generation(&first);
    let began = Instant::now();
    world
        .until("all have the setting", |status| {
            generation(status) > before && settled(status, 3)
        })
        .await;
    println!(
        "all were restarted within {:.1?}: {:?}",
        began.elapsed(),
        world.started
    );
    assert_eq!(world.started, ["p-1", "p-2", "p-0"]);
    assert_eq!(world.query("SHOW work_mem").await, "7MB");
    let second = world.status().await;
    assert_ne!(second.primary, first.primary);
    let line = |status: &PostgresClusterStatus| status.timeline.unwrap();
    assert_eq!(line(&second), line(&first) + 1, "one switchover");

    // Two stay, and one of them leads, whoever did before.
    world.ask(spec(2, "7MB")).await;
    let before = generation(&second);
    world
        .until("two are left", |status| {
            generation(status) > before && settled(status, 2)
        })
        .await;
    let last = world.status().await;
    assert!(Members::ordinal(last.primary.as_deref().unwrap()) < 2);
    assert_eq!(world.query("SHOW work_mem").await, "7MB");
}

#[test]
#[ignore = "systems tier"]
fn the_operator_founds_restarts_and_takes_out_members() {
    let Some(root) = postgres().unwrap() else {
        return;
    };
    if std::env::var_os(HOSTS).is_none() {
        // Names lead somewhere in a mount namespace of its own only, so that the machine's stay as they are.
        let hosts = tempfile::NamedTempFile::new().unwrap();
        fs::write(hosts.path(), "127.0.0.1 localhost\n").unwrap();
        let script = format!("mount --bind \"${HOSTS}\" /etc/hosts && exec \"$@\"");
        let inside = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("the_operator_founds_restarts_and_takes_out_members")
            .env(HOSTS, hosts.path())
            .status()
            .unwrap();
        assert!(inside.success());
        return;
    }
    let Some(api_server) = ApiServer::start().unwrap() else {
        return;
    };
    let members = Members::empty(api_server, root, 66);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(16 * 1024 * 1024)
        .enable_all()
        .build()
        .unwrap();
    let task = runtime.spawn(several_members(members));
    runtime.block_on(task).unwrap();
}
