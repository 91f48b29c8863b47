//! Alert rules and dashboards: pure builders, from which `generate` writes the files. Rules and panels name only metrics of
//! the list in `millrace_contract::metric`, those of systems that have a list here, and what Prometheus itself says of a target.

mod dashboards;
mod page;
mod rules;
mod rules_druid;
mod rules_file;
mod rules_jobs;
mod rules_kafka;
mod rules_platform;
mod rules_short;
mod rules_stores;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use millrace_contract::metric::Metric;

use crate::pods::exporter;
use crate::{druid, kafka, zookeeper};

pub use rules_short::{NoTime, ShortRule, short_rules};

/// What Kafka, ZooKeeper and Druid tell of themselves.
#[must_use]
pub fn of_systems() -> Vec<Metric> {
    [kafka::METRICS, zookeeper::METRICS, druid::METRICS]
        .into_iter()
        .flat_map(exporter::metrics)
        .collect()
}

/// The file of rules with shorter times, as Prometheus reads it.
#[must_use]
pub fn short_rules_file(rules: &[ShortRule]) -> String {
    rules_file::short(rules)
}

/// The files of it: path below the root, and content.
///
/// # Errors
/// A dashboard cannot be written as JSON.
pub fn files() -> Result<Vec<(PathBuf, String)>, serde_json::Error> {
    let mut files: Vec<(PathBuf, String)> = vec![
        (
            "helm/millrace-operator/monitoring/rules.yaml".into(),
            rules_file::rules(),
        ),
        (
            "manifests/monitoring/rules.test.yaml".into(),
            rules_file::tests(),
        ),
        ("docs/metrics.md".into(), page::page()),
    ];
    for dashboard in dashboards::DASHBOARDS {
        let path = format!(
            "helm/millrace-operator/monitoring/dashboards/{}.json",
            dashboard.id
        );
        let json = serde_json::to_string_pretty(&dashboard.json())?;
        files.push((path.into(), json + "\n"));
    }
    Ok(files)
}
