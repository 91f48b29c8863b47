//! Alert rules by promtool, and the dashboards' queries by a real Prometheus that scrapes the operator's metrics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod prometheus_support;

use std::process::Command;
use std::time::Duration;

use millrace_operator::metrics::Metrics;
use millrace_operator::remote::postgres::Activity;
use millrace_testkit::{prometheus, repository_root};
use prometheus_support::{Panel, Prometheus, panels, scrape_targets, serve, target};
use serde_json::json;

#[test]
#[ignore = "systems tier"]
fn every_rule_fires_when_it_should_and_only_then() {
    let Some(programs) = prometheus().unwrap() else {
        return;
    };
    let output = Command::new(programs.join("promtool"))
        .args(["test", "rules"])
        .arg(repository_root().join("manifests/monitoring/rules.test.yaml"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether all that a query needs is of the operator.
fn of_operator(query: &str) -> bool {
    query.contains("millrace_operator_")
        && query.matches("millrace_").count() == query.matches("millrace_operator_").count()
}

/// An operator's metrics in which something has been counted of everything, with each kind that dashboards pick.
fn metrics() -> Metrics {
    let metrics = Metrics::default();
    metrics.set_leader(true);
    metrics.count_reconcile("kafka", "ok", Duration::from_millis(3));
    metrics.count_write("ConfigMap");
    let conditions =
        json!([{"type": "Available", "status": "True"}, {"type": "Degraded", "status": "False"}]);
    let stage = json!({"stage": "served", "group": "g", "lagRecords": 1, "lagSeconds": 1, "newestSeconds": 3, "canarySeconds": 2});
    metrics.tell_status(
        "Platform",
        "m",
        "dev",
        &json!({"conditions": conditions, "flow": {"canary": {}, "stages": [stage]}}),
    );
    metrics.tell_postgres("m", "x", Some(Activity::default()));
    for kind in [
        "KafkaCluster",
        "HdfsCluster",
        "ZooKeeperEnsemble",
        "PostgresCluster",
        "MongoCluster",
    ] {
        let status = json!({"conditions": conditions, "disk": {"usedPercent": 40}});
        metrics.tell_status(kind, "m", "x", &status);
    }
    metrics
}

#[test]
#[ignore = "systems tier"]
fn a_real_prometheus_answers_every_panel() {
    let Some(programs) = prometheus().unwrap() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", serve(metrics()));
    let targets = [target(&address, "millrace-operator", "o", "o")];
    let prometheus = Prometheus::start(&programs, home.path(), &scrape_targets(&targets));
    let panels = panels();
    assert!(panels.len() > 40, "{}", panels.len());
    // Rates need two scrapes.
    prometheus.wait_for("rate(millrace_operator_reconciles_total[5m])");
    let mut with_data = 0;
    for Panel { title, query } in panels {
        let found = prometheus
            .ask(&query)
            .unwrap_or_else(|error| panic!("{title}: {query}: {error}"));
        if of_operator(&query) || query.starts_with("sum by (app_kubernetes_io_name) (up{") {
            assert!(!found.is_empty(), "{title} has no data: {query}");
            with_data += 1;
        }
    }
    assert!(with_data >= 15, "{with_data}");
}
