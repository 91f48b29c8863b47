//! What statuses of resources say, as numbers: whether they are available, what waits, how full volumes are, and how far
//! the flow has come.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use serde_json::Value;

use crate::reconcile::{key, parts};

/// What is said of a resource in a number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gauge {
    Available,
    Degraded,
    PendingRestarts,
    DiskUsedPercent,
    LagRecords,
    LagSeconds,
    NewestSeconds,
    CanarySeconds,
    CanaryStuck,
    CanaryInterval,
}

/// The gauges, their names, and what they mean.
const GAUGES: &[(Gauge, &str, &str)] = &[
    (
        Gauge::Available,
        "object_available",
        "Whether the condition Available of a resource is true",
    ),
    (
        Gauge::Degraded,
        "object_degraded",
        "Whether the condition Degraded of a resource is true",
    ),
    (
        Gauge::PendingRestarts,
        "pending_restarts",
        "Restarts that wait for approval",
    ),
    (
        Gauge::DiskUsedPercent,
        "disk_used_percent",
        "How full the fullest volume is, in steps of 5",
    ),
    (
        Gauge::LagRecords,
        "flow_lag_records",
        "Records that wait for a stage, rounded",
    ),
    (
        Gauge::LagSeconds,
        "flow_lag_seconds",
        "How long the oldest of them has waited, rounded down to 1, 2 or 5 times a power of ten, but not from above a minute to below it",
    ),
    (
        Gauge::NewestSeconds,
        "flow_newest_seconds",
        "How long ago the newest event was that an answer of Druid counts",
    ),
    (
        Gauge::CanarySeconds,
        "flow_canary_seconds",
        "What the canary took until it had passed a stage, rounded down to 1, 2 or 5 times a power of ten, but not from above 30 s to below it",
    ),
    (
        Gauge::CanaryStuck,
        "flow_canary_stuck",
        "Whether the canary waits for a stage for longer than it may",
    ),
    (
        Gauge::CanaryInterval,
        "flow_canary_interval_seconds",
        "Time between two canaries; nothing where none are sent",
    ),
];

/// One number of one gauge.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    gauge: Gauge,
    /// Stage and consumer group, of the flow through a Platform.
    stage: Option<Box<(String, String)>>,
    value: i64,
}

/// Samples by the key of their resource. Ten thousand are known at times: labels are made when they are asked for.
type ByKey = BTreeMap<Box<str>, Box<[Sample]>>;

/// What is known of resources. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    known: Arc<Mutex<ByKey>>,
}

impl Objects {
    /// A resource has this status.
    pub(super) fn tell(&self, kind: &str, namespace: &str, name: &str, status: &Value) {
        let samples = samples(kind, status).into_boxed_slice();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key(kind, namespace, name).into_boxed_str(), samples);
    }

    /// A resource is no more.
    pub(super) fn forget(&self, kind: &str, namespace: &str, name: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(key(kind, namespace, name).as_str());
    }
}

impl Collector for Objects {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (gauge, name, help) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (key, samples) in known.iter() {
                for sample in samples.iter().filter(|sample| sample.gauge == *gauge) {
                    let labels = labels(key, sample);
                    ConstGauge::new(sample.value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

fn labels<'a>(key: &'a str, sample: &'a Sample) -> Vec<(&'static str, &'a str)> {
    let (kind, namespace, name) = parts(key).unwrap_or_default();
    let object = [("object_namespace", namespace), ("object", name)];
    match sample.stage.as_deref() {
        None => [("kind", kind)].into_iter().chain(object).collect(),
        Some((stage, group)) => object
            .into_iter()
            .chain([("stage", stage.as_str()), ("group", group)])
            .collect(),
    }
}

fn samples(kind: &str, status: &Value) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut add = |gauge, stage: Option<(String, String)>, value| {
        samples.push(Sample {
            gauge,
            stage: stage.map(Box::new),
            value,
        });
    };
    let conditions = list(&status["conditions"]);
    for (condition, gauge) in [
        ("Available", Gauge::Available),
        ("Degraded", Gauge::Degraded),
    ] {
        if let Some(found) = conditions.iter().find(|c| c["type"] == condition) {
            add(gauge, None, i64::from(found["status"] == "True"));
        }
    }
    // A Platform repeats those of its parts, which tell them themselves.
    if kind != "Platform" {
        let waiting = list(&status["pendingRestarts"]).len();
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        add(Gauge::PendingRestarts, None, waiting);
    }
    // Backups may have a volume of their own.
    let disks = [&status["disk"], &status["backup"]["disk"]];
    let disks = disks.iter().filter_map(|disk| disk["usedPercent"].as_i64());
    if let Some(percent) = disks.max() {
        add(Gauge::DiskUsedPercent, None, percent);
    }
    let flow = &status["flow"];
    if let Some(seconds) = flow["canary"]["everySeconds"].as_i64() {
        add(Gauge::CanaryInterval, None, seconds);
    }
    for stage in list(&flow["stages"]) {
        let text = |field: &str| stage[field].as_str().unwrap_or_default().to_owned();
        let named = || Some((text("stage"), text("group")));
        for (field, gauge) in [
            ("lagRecords", Gauge::LagRecords),
            ("lagSeconds", Gauge::LagSeconds),
            ("newestSeconds", Gauge::NewestSeconds),
            ("canarySeconds", Gauge::CanarySeconds),
        ] {
            if let Some(number) = stage[field].as_i64() {
                add(gauge, named(), number);
            }
        }
        // The first stage that a canary does not pass is named; those behind it wait for that one.
        let canary = &flow["canary"];
        if canary.is_object() {
            let stuck = canary["stuckAt"] == stage["stage"] && stage["canarySeconds"].is_null();
            add(Gauge::CanaryStuck, named(), i64::from(stuck));
        }
    }
    samples
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_is_told_in_numbers_and_forgotten_with_its_resource() {
        let objects = Objects::default();
        objects.tell(
            "Platform",
            "m",
            "dev",
            &json!({"conditions": [{"type": "Available", "status": "True"}, {"type": "Degraded", "status": "False"}],
                "flow": {"canary": {"stuckAt": "told", "everySeconds": 60}, "stages": [
                    {"stage": "detected", "group": "d", "lagRecords": 7, "lagSeconds": 2, "canarySeconds": 1},
                    {"stage": "told", "group": "a"}, {"stage": "told", "group": "b", "canarySeconds": 1}]}}),
        );
        objects.tell(
            "KafkaCluster",
            "m",
            "k",
            &json!({"pendingRestarts": [{}, {}], "disk": {"usedPercent": 85}, "backup": {"disk": {"usedPercent": 90}}}),
        );
        let known = objects.known.lock().unwrap().clone();
        let told: Vec<String> = known
            .iter()
            .flat_map(|(key, samples)| samples.iter().map(move |sample| (key, sample)))
            .map(|(key, sample)| {
                let labels = labels(key, sample);
                let (_, last) = labels.last().unwrap();
                format!("{:?} {last} {}", sample.gauge, sample.value)
            })
            .collect();
        assert_eq!(
            told,
            [
                "PendingRestarts k 2",
                "DiskUsedPercent k 90",
                "Available dev 1",
                "Degraded dev 0",
                "CanaryInterval dev 60",
                "LagRecords d 7",
                "LagSeconds d 2",
                "CanarySeconds d 1",
                "CanaryStuck d 0",
                "CanaryStuck a 1",
                "CanarySeconds b 1",
                "CanaryStuck b 0",
            ]
        );
        objects.forget("Platform", "m", "dev");
        objects.forget("KafkaCluster", "other", "k");
        assert_eq!(objects.known.lock().unwrap().len(), 1);
    }
}
