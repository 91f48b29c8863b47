//! What the operator tells a real Prometheus of a real PostgreSQL, and the rules that see a fault of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod postgres_pod;
mod prometheus_support;

use std::time::Duration;

use millrace_operator::metrics::Metrics;
use millrace_operator::postgres::wanted;
use millrace_operator::remote::pipeline::Remote as _;
use millrace_operator::remote::postgres::RemotePostgres;
use millrace_testkit::{postgres, prometheus};
use postgres_pod::{Pod, cluster, valid};
use prometheus_support::{Prometheus, panels, scrape_targets, serve, target};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
#[ignore = "systems tier"]
async fn sessions_that_run_out_are_seen() {
    let (Some(root), Some(programs)) = (postgres().unwrap(), prometheus().unwrap()) else {
        return;
    };
    let server = valid(&cluster(json!({})), None);
    let mut pod = Pod::new(root, 66);
    pod.mount(&server);
    pod.start();
    pod.wait_until_ready();
    let (login, asked) = (pod.superuser(&server), wanted(&server, None));
    let metrics = Metrics::default();
    let (telling, by) = (metrics.clone(), login.clone());
    // As the reconciler does each minute.
    let looking = tokio::spawn(async move {
        loop {
            let seen = RemotePostgres::new(&by, &asked).observe().await;
            telling.tell_postgres("ns", "p", seen.ok().map(|seen| seen.activity));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let home = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", serve(metrics));
    let target = target(&address, "operator", "o", "operator-0");
    let prometheus = Prometheus::start(&programs, home.path(), &scrape_targets(&[target]));
    prometheus.wait_for("rate(millrace_operator_postgres_commits_total[1m]) > 0");
    let of_postgres = |query: &str| query.contains("millrace_operator_postgres_");
    let panels = panels();
    let mut asked = 0;
    for panel in panels.iter().filter(|panel| of_postgres(&panel.query)) {
        let found = prometheus.ask(&panel.query).unwrap();
        assert!(!found.is_empty(), "{}: {}", panel.title, panel.query);
        asked += 1;
    }
    assert!(asked >= 6, "{asked}");
    let rules = "{alertname=~\"MillracePostgres.*\"}";
    prometheus.wait_for(&format!("absent(ALERTS{rules})"));

    // 64 may be open.
    let mut sessions = Vec::new();
    for _ in 0..53 {
        sessions.push(login.connect("postgres").await.unwrap());
    }
    prometheus.wait_for_alert("MillracePostgresSessions");
    drop(sessions);
    prometheus.wait_for(&format!("absent(ALERTS{rules})"));
    looking.abort();
}
