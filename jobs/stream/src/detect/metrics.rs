//! Metrics of `detect`.

use millrace_contract::{Alert, Severity};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Labels of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AlertLabels {
    rule: String,
    severity: String,
}

/// Label of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabels {
    partition: i32,
}

/// Label of how a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    outcome: &'static str,
}

/// Metrics of `detect`.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Telemetry records processed; after an abort some are counted again.
    pub events: Counter,
    /// Records that could not be read.
    pub unreadable: Counter,
    /// States that could not be read back.
    pub states_refused: Counter,
    /// Vehicles remembered.
    pub vehicles: Gauge,
    /// Vehicles of which events are held, because others are missing.
    pub waiting: Gauge,
    /// Times that held events were released by the clock.
    pub released: Counter,
    /// States that were dropped because no topic would take them.
    pub states_too_large: Counter,
    /// Zones in force.
    pub zones: Gauge,
    /// 1 when the rules and zones in the files are in force, 0 when they were refused.
    pub rules_current: Gauge,
    /// Rules or zones that were refused.
    pub rules_rejected: Counter,
    /// Rules taken over while running.
    pub rules_reloaded: Counter,
    /// How long the last restore took, in milliseconds.
    pub restore: Histogram,
    /// From a record's time in Kafka to the commit of its transaction.
    pub delay: Histogram,
    /// From an alert's event time to its commit.
    pub alert_delay: Histogram,
    /// How long a transaction takes.
    pub transaction: Histogram,
    alerts: Family<AlertLabels, Counter>,
    transactions: Family<OutcomeLabels, Counter>,
    lag: Family<PartitionLabels, Gauge>,
}

impl Metrics {
    /// Makes the metrics and names them in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let fine = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let coarse = || Histogram::new(exponential_buckets(0.01, 2.5, 14));
        let metrics = Self {
            events: Counter::default(),
            unreadable: Counter::default(),
            states_refused: Counter::default(),
            vehicles: Gauge::default(),
            waiting: Gauge::default(),
            released: Counter::default(),
            states_too_large: Counter::default(),
            zones: Gauge::default(),
            rules_current: Gauge::default(),
            rules_rejected: Counter::default(),
            rules_reloaded: Counter::default(),
            restore: coarse(),
            delay: fine(),
            alert_delay: coarse(),
            transaction: fine(),
            alerts: Family::default(),
            transactions: Family::default(),
            lag: Family::default(),
        };
        let r = registry.sub_registry_with_prefix("millrace_detect");
        r.register(
            "events",
            "Telemetry records processed",
            metrics.events.clone(),
        );
        r.register(
            "unreadable",
            "Records that could not be read",
            metrics.unreadable.clone(),
        );
        r.register(
            "states_refused",
            "States that could not be read back",
            metrics.states_refused.clone(),
        );
        r.register("vehicles", "Vehicles remembered", metrics.vehicles.clone());
        r.register(
            "waiting_vehicles",
            "Vehicles of which events are held, because others are missing",
            metrics.waiting.clone(),
        );
        r.register(
            "released",
            "Times that held events were released by the clock",
            metrics.released.clone(),
        );
        r.register(
            "states_too_large",
            "States dropped because no topic would take them",
            metrics.states_too_large.clone(),
        );
        r.register("zones", "Zones in force", metrics.zones.clone());
        r.register(
            "rules_current",
            "Whether the rules and zones in the files are in force (1) or were refused (0)",
            metrics.rules_current.clone(),
        );
        r.register(
            "rules_rejected",
            "Rules or zones refused",
            metrics.rules_rejected.clone(),
        );
        r.register(
            "rules_reloaded",
            "Rules taken over while running",
            metrics.rules_reloaded.clone(),
        );
        r.register("alerts", "Alerts committed", metrics.alerts.clone());
        r.register(
            "transactions",
            "Transactions by outcome",
            metrics.transactions.clone(),
        );
        r.register(
            "lag_records",
            "Records still to be read",
            metrics.lag.clone(),
        );
        let s = Unit::Seconds;
        r.register_with_unit(
            "restore",
            "Time to read states back",
            s.clone(),
            metrics.restore.clone(),
        );
        r.register_with_unit(
            "record_to_commit",
            "From a record's time in Kafka to its commit",
            s.clone(),
            metrics.delay.clone(),
        );
        r.register_with_unit(
            "event_to_alert",
            "From an alert's event time to its commit",
            s.clone(),
            metrics.alert_delay.clone(),
        );
        r.register_with_unit(
            "transaction",
            "Time of a transaction",
            s,
            metrics.transaction.clone(),
        );
        metrics
    }

    /// Rules and so many zones came into force.
    pub fn loaded(&self, zones: usize) {
        self.zones.set(i64::try_from(zones).unwrap_or(i64::MAX));
        self.rules_current.set(1);
    }

    /// New rules or zones were refused.
    pub fn rejected(&self) {
        self.rules_rejected.inc();
        self.rules_current.set(0);
    }

    /// An alert was committed.
    pub fn alert(&self, alert: &Alert) {
        let severity = match alert.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        };
        let labels = AlertLabels {
            rule: alert.rule.clone(),
            severity: severity.to_owned(),
        };
        self.alerts.get_or_create(&labels).inc();
    }

    /// A transaction ended.
    pub fn transaction_ended(&self, committed: bool) {
        let outcome = if committed { "committed" } else { "aborted" };
        self.transactions
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
    }

    /// So many records of a partition are still to be read.
    pub fn lag(&self, partition: i32, records: i64) {
        self.lag
            .get_or_create(&PartitionLabels { partition })
            .set(records);
    }

    /// Partitions were given away: what is said of them is no longer ours to say.
    pub fn forget_lag(&self) {
        self.lag.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_is_what_is_listed() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.transaction_ended(true);
        metrics.lag(0, 1);
        metrics
            .alerts
            .get_or_create(&AlertLabels {
                rule: "r".into(),
                severity: "info".into(),
            })
            .inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert_eq!(
            millrace_contract::metric::differences("millrace_detect_", &text),
            Vec::<String>::new(),
            "{text}"
        );
    }
}
