//! What the server tells about itself.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Label of counted activations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabel {
    /// How it ended.
    pub status: &'static str,
}

/// Label of counted requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    /// HTTP status.
    pub code: u16,
}

/// Label of counted fires and of what their rules did.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// Of a fire: `accepted`, `no_active_rule`, `throttled`; of a rule: `started`, `inactive`, `refused`.
    pub result: &'static str,
}

/// Why a child was ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// `idle`, `fault`, `memory`, `processes`, `evicted`, `changed`.
    pub reason: &'static str,
}

/// What the kernel does not keep actions from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WhatLabel {
    /// `truncate`, `tcp-bind`, `device-ioctl`, `signals`, `abstract-sockets`.
    pub what: &'static str,
}

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Activations by status.
    pub activations: Family<StatusLabel, Counter>,
    /// Running time of activations.
    pub duration: Histogram,
    /// Children started.
    pub starts: Counter,
    /// Those of them that took a prewarmed launcher.
    pub prewarmed_starts: Counter,
    /// Prewarmed launchers.
    pub prewarmed: Gauge,
    /// Children ended, by reason.
    pub ends: Family<ReasonLabel, Counter>,
    /// Children alive.
    pub children: Gauge,
    /// Memory promised to children, MiB.
    pub memory: Gauge,
    /// Pods of image actions started.
    pub pod_starts: Counter,
    /// Pods of image actions.
    pub pods: Gauge,
    /// Memory promised to them, MiB.
    pub pod_memory: Gauge,
    /// Requests by status.
    pub requests: Family<CodeLabel, Counter>,
    /// Fires of triggers, by result.
    pub fires: Family<ResultLabel, Counter>,
    /// Rules of fired triggers, by result.
    pub rules: Family<ResultLabel, Counter>,
    /// What isolated actions may do because the kernel is too old: 1 each.
    pub unconfined: Family<WhatLabel, Gauge>,
    /// Runs of actions that the gateway has taken for the audit trail.
    pub runs_told: Counter,
    /// Runs of actions that the audit trail lacks.
    pub runs_untold: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("millrace_whisk");
        let activations = Family::<StatusLabel, Counter>::default();
        registry.register("activations", "Activations by status", activations.clone());
        let duration = Histogram::new(exponential_buckets(0.000_1, 2.0, 20));
        registry.register_with_unit(
            "activation_duration",
            "Running time of activations",
            Unit::Seconds,
            duration.clone(),
        );
        let starts = Counter::default();
        registry.register("child_starts", "Children started", starts.clone());
        let prewarmed_starts = Counter::default();
        registry.register(
            "prewarmed_starts",
            "Children started that took a prewarmed launcher",
            prewarmed_starts.clone(),
        );
        let prewarmed = Gauge::default();
        registry.register("prewarmed", "Prewarmed launchers", prewarmed.clone());
        let ends = Family::<ReasonLabel, Counter>::default();
        registry.register(
            "child_ends",
            "Children and pods ended by the server, by reason",
            ends.clone(),
        );
        let children = Gauge::default();
        registry.register("children", "Children alive", children.clone());
        let memory = Gauge::default();
        registry.register(
            "promised_memory_mebibytes",
            "Memory promised to children",
            memory.clone(),
        );
        let pod_starts = Counter::default();
        let told = "Pods of image actions started";
        registry.register("pod_starts", told, pod_starts.clone());
        let pods = Gauge::default();
        registry.register("pods", "Pods of image actions", pods.clone());
        let pod_memory = Gauge::default();
        registry.register(
            "promised_pod_memory_mebibytes",
            "Memory promised to pods of image actions",
            pod_memory.clone(),
        );
        let requests = Family::<CodeLabel, Counter>::default();
        registry.register("requests", "Requests by status", requests.clone());
        let fires = Family::<ResultLabel, Counter>::default();
        registry.register("trigger_fires", "Fires of triggers", fires.clone());
        let rules = Family::<ResultLabel, Counter>::default();
        registry.register(
            "rule_results",
            "What rules of fired triggers did",
            rules.clone(),
        );
        let unconfined = Family::<WhatLabel, Gauge>::default();
        registry.register(
            "unconfined",
            "What this kernel does not keep isolated actions from",
            unconfined.clone(),
        );
        let runs_told = Counter::default();
        registry.register(
            "runs_told",
            "Runs of actions told for the topic audit",
            runs_told.clone(),
        );
        let runs_untold = Counter::default();
        registry.register(
            "runs_untold",
            "Runs of actions that the topic audit lacks",
            runs_untold.clone(),
        );
        Self {
            registry,
            activations,
            duration,
            starts,
            prewarmed_starts,
            prewarmed,
            ends,
            children,
            memory,
            pod_starts,
            pods,
            pod_memory,
            requests,
            fires,
            rules,
            unconfined,
            runs_told,
            runs_untold,
        }
    }
}

impl Metrics {
    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("metrics could not be encoded");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_is_what_is_listed() {
        let metrics = Metrics::default();
        let status = "success";
        metrics
            .activations
            .get_or_create(&StatusLabel { status })
            .inc();
        metrics
            .ends
            .get_or_create(&ReasonLabel { reason: "idle" })
            .inc();
        metrics
            .requests
            .get_or_create(&CodeLabel { code: 200 })
            .inc();
        let result = ResultLabel { result: "accepted" };
        metrics.fires.get_or_create(&result).inc();
        metrics.rules.get_or_create(&result).inc();
        metrics
            .unconfined
            .get_or_create(&WhatLabel { what: "signals" })
            .set(1);
        let text = metrics.text();
        assert_eq!(
            millrace_contract::metric::differences("millrace_whisk_", &text),
            Vec::<String>::new(),
            "{text}"
        );
    }
}
