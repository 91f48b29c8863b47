//! Each alert rule against a real fault: a small Platform on a real node, a real Prometheus that scrapes its pods with the
//! configuration of docs/monitoring.md and has the rules of the chart with shorter times, and faults that are made and taken
//! back. Each rule has to fire, and to be silent when its fault is over.
//!
//! Runs by `cargo xtask soak --only alerts` and prints the table of docs/monitoring.md. `MILLRACE_SOAK_ONLY=TEXT` picks the
//! rows in whose name, or in the name of a rule of which, the text is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod alerts_drill;
mod cluster_support;
mod drill_support;
mod pod_proxy;
mod prometheus_support;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alerts_drill::found::found;
use alerts_drill::repeat::Repeat;
use alerts_drill::row::{Row, run};
use alerts_drill::rows::{ALONE, BESIDE, LAST, NOT_PROVOKED, all};
use alerts_drill::scene::Scene;
use alerts_drill::table::Table;
use alerts_drill::timeline::Timeline;
use cluster_support::client_by;
use drill_support::Nodes;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use millrace_operator::monitoring::{ShortRule, short_rules, short_rules_file};
use millrace_testkit::prometheus;
use pod_proxy::proxy;
use prometheus_support::{Panel, Prometheus, discover, documented, panels};
use tokio::runtime::Runtime;

/// How often pods are scraped and rules worked out.
const EVERY: &str = "5s";
/// What fired is silent by then: the longest window of a rule is six minutes with the usual divisor, and twelve with the least.
const SILENT: Duration = Duration::from_secs(900);

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The rules, their times divided by what the task was given.
fn rules() -> Vec<ShortRule> {
    let divisor = variable("MILLRACE_ALERTS_SHORTEN").unwrap_or_else(|| "20".to_owned());
    let divisor: NonZeroU32 = divisor.parse().expect("MILLRACE_ALERTS_SHORTEN");
    short_rules(divisor).unwrap()
}

async fn pods(client: &Client) -> Option<Vec<Pod>> {
    let pods = Api::<Pod>::all(client.clone());
    let mut pods = pods.list(&ListParams::default()).await.ok()?.items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    Some(pods)
}

/// Prometheus, and what tells it which pods there are.
fn watched(
    runtime: &Runtime,
    client: &Client,
    home: &Path,
    rules: &[ShortRule],
) -> (Prometheus, Repeat) {
    let programs = prometheus().unwrap().expect("Prometheus");
    let file = home.join("rules.yaml");
    std::fs::write(&file, short_rules_file(rules)).unwrap();
    let proxy = runtime.block_on(proxy(client.clone()));
    let there = runtime.block_on(pods(client)).unwrap();
    let by_proxy = format!("proxy_url: http://127.0.0.1:{proxy}\n    ");
    let scrape = documented(home, &there, &by_proxy);
    let prometheus = Prometheus::start_with(&programs, home, &scrape, EVERY, &file);
    let (client, home, handle) = (client.clone(), home.to_owned(), runtime.handle().clone());
    let telling = Repeat::every(Duration::from_secs(3), move || {
        if let Some(there) = handle.block_on(pods(&client)) {
            discover(&home, &there);
        }
    });
    (prometheus, telling)
}

fn chosen(rows: &[Row], only: &str) -> Vec<Row> {
    let rows = rows.iter().copied();
    rows.filter(|row| row.is_chosen(only)).collect()
}

/// All rows, those that touch nothing of each other beside each other.
fn run_all(scene: &Scene, table: &Table, only: &str) {
    std::thread::scope(|scope| {
        for rows in BESIDE {
            let rows = chosen(rows, only);
            scope.spawn(move || run(scene, &rows, table));
        }
    });
    run(scene, &chosen(ALONE, only), table);
    let last = chosen(LAST, only);
    if !last.is_empty() {
        table.wait_silent(SILENT);
        run(scene, &last, table);
    }
}

/// Each panel about Druid, and about the flow up to it, had data while the drill went on, also without the 0 that it shows where
/// nobody tells.
fn druid_panels_had_data(prometheus: &Prometheus, table: &Table) {
    let all = panels().into_iter();
    let of_druid: Vec<_> = all
        .filter(|panel| panel.title.contains("Millrace: Druid"))
        .collect();
    assert!(of_druid.len() >= 18, "{}", of_druid.len());
    let had_none = |panel: &Panel| {
        let query = panel.query.split(" or 0 *").next().unwrap_or_default();
        let ever = format!("count_over_time(({query})[3h:30s])");
        prometheus.ask(&ever).unwrap().is_empty()
    };
    for panel in of_druid.into_iter().filter(had_none) {
        table.failed("its panel", &panel.title, "it never had data");
    }
}

#[test]
#[ignore = "drill"]
fn each_rule_fires_for_a_real_fault_and_is_silent_after_it() {
    let nodes = Nodes::find().expect("run it by `cargo xtask soak --only alerts`");
    let only = variable("MILLRACE_SOAK_ONLY").unwrap_or_default();
    assert!(
        all().any(|row| row.is_chosen(&only)),
        "MILLRACE_SOAK_ONLY={only:?} is in no row's name"
    );
    let rules = rules();
    let took = found(&nodes);
    println!("all of it from nothing: {:.0} s", took.as_secs_f64());
    let runtime = Runtime::new().unwrap();
    let kubeconfig = PathBuf::from(variable("MILLRACE_KUBECONFIG").unwrap());
    let client = runtime.block_on(client_by(&kubeconfig));
    let home = tempfile::tempdir().unwrap();
    let (prometheus, telling) = watched(&runtime, &client, home.path(), &rules);
    prometheus.wait_for("sum(millrace_operator_leader) == 1");

    let file = variable("MILLRACE_ALERTS_TABLE").map(PathBuf::from);
    let table = Arc::new(Table::new(rules, file));
    for (rule, why) in NOT_PROVOKED {
        table.not_provoked(rule, why);
    }
    let scene = Scene {
        nodes,
        client,
        runtime,
        prometheus: Arc::new(prometheus),
        timeline: Timeline::default(),
    };
    let (timeline, told) = (scene.timeline.clone(), Arc::clone(&table));
    let prometheus = Arc::clone(&scene.prometheus);
    let looking = Repeat::every(Duration::from_secs(1), move || {
        timeline.look(&prometheus);
        told.tell_silent(&timeline);
    });
    // Something flows all the time.
    let mut car = scene.car("car");
    let driving = Repeat::every(Duration::from_secs(1), move || {
        // What is refused is sent again.
        let _ = car.send(1);
    });
    run_all(&scene, &table, &only);
    table.wait_silent(SILENT);
    drop((driving, looking, telling));
    if only.is_empty() {
        druid_panels_had_data(&scene.prometheus, &table);
    }
    let failed = table.failures();
    assert!(failed.is_empty(), "rows that failed: {failed:#?}");
}

#[test]
fn each_rule_has_a_row_or_a_reason() {
    let mut seen: BTreeSet<&str> = all()
        .flat_map(Row::expected)
        .map(|expect| expect.rule)
        .collect();
    for (rule, _) in NOT_PROVOKED {
        assert!(seen.insert(rule), "{rule} has a row");
    }
    let rules = rules();
    let wanted: BTreeSet<&str> = rules.iter().map(|rule| rule.name).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn rows_are_picked_by_their_fault_or_a_rule() {
    let of = |only: &str| all().filter(|row| row.is_chosen(only)).count();
    assert_eq!(of("MillraceLag"), 1);
    assert_eq!(of("NameNode|historical"), 3);
    assert_eq!(of("nothing that is there"), 0);
    assert!(of("") >= 20);
}
