//! The fault matrix: each part of the platform fails under load, and every warning is accounted for at the cars.
//!
//! Runs by `cargo xtask soak` on real nodes and prints the table of docs/reliability.md. What is expected is computed from
//! what was sent by the pure rules in this process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod soak_support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millrace_testkit::{Platform, fresh};
use soak_support::load::{Load, Told};
use soak_support::receiver::Receiver;

const CARS: u64 = 60;
/// Into the minute of load.
const FAULT_AFTER: Duration = Duration::from_secs(20);
/// How long all may take to be told once everything is sent.
const LIMIT: Duration = Duration::from_secs(240);

struct Row {
    fault: &'static str,
    expected: usize,
    lost: usize,
    unexpected: usize,
    redelivered: u32,
    slowest: f64,
}

impl Row {
    fn of(fault: &'static str, expected: &[String], told: &BTreeMap<String, Told>) -> Self {
        let wanted: BTreeSet<&String> = expected.iter().collect();
        assert_eq!(wanted.len(), expected.len(), "the rules repeat an id");
        assert!(wanted.len() > 100, "hardly any load: {}", wanted.len());
        let row = Self {
            fault,
            expected: wanted.len(),
            lost: wanted.iter().filter(|id| !told.contains_key(**id)).count(),
            unexpected: told.keys().filter(|id| !wanted.contains(id)).count(),
            redelivered: told.values().map(|t| t.deliveries - 1).sum(),
            slowest: told
                .values()
                .map(|t| t.after.as_secs_f64())
                .fold(0.0, f64::max),
        };
        println!(
            "| {} | {} | {} | {} | {} | {:.1} |",
            row.fault, row.expected, row.lost, row.unexpected, row.redelivered, row.slowest
        );
        row
    }
}

fn kill(platform: &Platform, part: &str) {
    let instance = format!("app.kubernetes.io/instance={}-{part}", platform.name);
    platform
        .kubectl(&[
            "delete",
            "pod",
            "-l",
            &instance,
            "--grace-period=0",
            "--force",
        ])
        .unwrap();
}

fn wait_available(platform: &Platform) {
    platform
        .kubectl(&[
            "wait",
            &format!("platform/{}", platform.name),
            "--for=condition=Available",
            "--timeout=180s",
        ])
        .unwrap();
}

/// Once the change is in force everywhere.
fn patch(platform: &Platform, change: &str) {
    let name = format!("platform/{}", platform.name);
    platform
        .kubectl(&["patch", &name, "--type=merge", "-p", change])
        .unwrap();
    std::thread::sleep(Duration::from_secs(4));
    wait_available(platform);
    // Available is also who still replaces its pods, and a request to one of the old ones may break off.
    for job in ["gateway", "detect"] {
        let deployment = format!("deployment/{}-{job}", platform.name);
        platform
            .kubectl(&["rollout", "status", &deployment, "--timeout=120s"])
            .unwrap();
    }
}

/// Kills the children in which actions run, once every 200 ms for five seconds, so that some die at work.
fn kill_action_children(platform: &Platform) {
    let pod = format!("{}-whisk-0", platform.name);
    let script = r#"for i in $(seq 25); do
        for p in /proc/[0-9]*; do
          case "$(readlink $p/exe 2>/dev/null)" in */exec) kill -9 ${p#/proc/} && echo killed;; esac
        done; sleep 0.2; done"#;
    let out = platform
        .kubectl(&["exec", &pod, "--", "sh", "-c", script])
        .unwrap();
    assert!(
        out.contains("killed"),
        "no child of an action was found: {out}"
    );
}

async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak"]
async fn every_fault_under_load() {
    let Some(platform) = Platform::find().unwrap() else {
        return;
    };
    let only = std::env::var("MILLRACE_SOAK_ONLY").unwrap_or_default();
    // Else a car that is told four things waits a minute for the last, whatever fails.
    tokio::task::block_in_place(|| {
        patch(
            &platform,
            r#"{"spec":{"gateway":{"config":{"quietSeconds":0}}}}"#,
        )
    });
    println!("| fault | alerts | lost | told twice | redelivered | slowest, s |");
    println!("|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    type Fault = fn(&Platform);
    let kills: [(&str, Fault); 8] = [
        ("none", |_| {}),
        ("detect killed", |p| kill(p, "detect")),
        ("dispatch killed", |p| kill(p, "warnings")),
        ("gateway killed", |p| kill(p, "gateway")),
        ("OpenWhisk killed", |p| kill(p, "whisk")),
        ("action children killed for 5 s", kill_action_children),
        ("broker killed", |p| kill(p, "kafka")),
        ("operator killed", |p| {
            p.kubectl(&[
                "-n",
                "millrace-system",
                "delete",
                "pod",
                "--all",
                "--grace-period=0",
                "--force",
            ])
            .unwrap();
        }),
    ];
    for (fault, inject) in kills {
        if !fault.contains(&only) {
            continue;
        }
        let load = Load::start(&platform, &fresh("soak"), CARS).await;
        sleep(FAULT_AFTER).await;
        tokio::task::block_in_place(|| inject(&platform));
        let (expected, told) = load.finish(LIMIT).await;
        rows.push(Row::of(fault, &expected, &told));
        wait_available(&platform);
    }
    if "cars offline for 60 s".contains(&only) {
        let load = Load::start(&platform, &fresh("soak"), CARS).await;
        sleep(FAULT_AFTER).await;
        load.offline(true);
        sleep(Duration::from_secs(60)).await;
        load.offline(false);
        let (expected, told) = load.finish(LIMIT).await;
        rows.push(Row::of("cars offline for 60 s", &expected, &told));
    }
    if "detect 1 → 3 → 1".contains(&only) {
        let load = Load::start(&platform, &fresh("soak"), CARS).await;
        sleep(Duration::from_secs(15)).await;
        tokio::task::block_in_place(|| patch(&platform, r#"{"spec":{"detect":{"replicas":3}}}"#));
        sleep(Duration::from_secs(10)).await;
        tokio::task::block_in_place(|| patch(&platform, r#"{"spec":{"detect":{"replicas":1}}}"#));
        let (expected, told) = load.finish(LIMIT).await;
        rows.push(Row::of("detect 1 → 3 → 1", &expected, &told));
    }
    if "webhook down for 60 s".contains(&only) {
        rows.extend(webhook(&platform).await);
    }
    tokio::task::block_in_place(|| patch(&platform, r#"{"spec":{"gateway":{"config":null}}}"#));
    let bad: Vec<&str> = rows
        .iter()
        .filter(|r| r.lost > 0 || r.unexpected > 0)
        .map(|r| r.fault)
        .collect();
    assert!(bad.is_empty(), "lost or told twice: {bad:?}");
}

async fn webhook(platform: &Platform) -> [Row; 2] {
    let mut receiver = tokio::task::block_in_place(|| {
        let receiver = Receiver::start(platform);
        let url = format!("http://receiver.{}.svc:8080/", platform.namespace);
        patch(
            platform,
            &format!(
                r#"{{"spec":{{"warnings":{{"channels":["vehicle","webhook"],"webhook":{{"url":"{url}","secretRef":{{"name":"receiver","key":"secret"}}}}}}}}}}"#
            ),
        );
        receiver
    });
    let load = Load::start(platform, &fresh("soak"), CARS).await;
    sleep(FAULT_AFTER).await;
    tokio::task::block_in_place(|| receiver.down());
    sleep(Duration::from_secs(60)).await;
    tokio::task::block_in_place(|| receiver.up());
    let (expected, told) = load.finish(LIMIT).await;
    // What the webhook could not be told is tried again for as long as it is worth telling.
    sleep(Duration::from_secs(45)).await;
    let heard = tokio::task::block_in_place(|| {
        patch(
            platform,
            r#"{"spec":{"warnings":{"channels":["vehicle"],"webhook":null}}}"#,
        );
        receiver.finish()
    });
    let cars = Row::of("webhook down for 60 s: at the cars", &expected, &told);
    let mut at_webhook: BTreeMap<String, Told> = BTreeMap::new();
    for id in heard {
        let told = at_webhook.entry(id).or_insert(Told {
            deliveries: 0,
            after: jiff::SignedDuration::ZERO,
        });
        told.deliveries += 1;
    }
    let hook = Row::of(
        "webhook down for 60 s: at the webhook",
        &expected,
        &at_webhook,
    );
    [cars, hook]
}
