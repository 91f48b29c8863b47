//! Metrics of `dispatch`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Why something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The action failed.
    Failed,
    /// The platform could not do it.
    Unavailable,
    /// There is no such action or trigger.
    NoSuchTarget,
    /// The dead letter could not be written.
    DeadLetter,
    /// A batch was split.
    Split,
}

/// Label of a retry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RetryLabels {
    reason: &'static str,
}

/// Label of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabels {
    partition: i32,
}

/// Metrics of `dispatch`.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Records whose action succeeded.
    pub delivered: Counter,
    /// Records that went to the dead letters.
    pub dead_letters: Counter,
    /// Records that were dropped, for want of a topic of dead letters.
    pub dropped: Counter,
    /// Records that the filter left out.
    pub filtered: Counter,
    /// Dead letters that were cut because their topic takes none of their size.
    pub cut: Counter,
    /// Records received and not finished.
    pub held: Gauge,
    /// Records in one invocation.
    pub batch: Histogram,
    /// How long an invocation takes.
    pub invocation: Histogram,
    /// From a record's time in Kafka to the success of its action.
    pub latency: Histogram,
    retries: Family<RetryLabels, Counter>,
    lag: Family<PartitionLabels, Gauge>,
}

impl Metrics {
    /// Makes the metrics and names them in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            delivered: Counter::default(),
            dead_letters: Counter::default(),
            dropped: Counter::default(),
            filtered: Counter::default(),
            cut: Counter::default(),
            held: Gauge::default(),
            batch: Histogram::new(exponential_buckets(1.0, 4.0, 8)),
            invocation: Histogram::new(exponential_buckets(0.001, 2.0, 17)),
            latency: Histogram::new(exponential_buckets(0.005, 2.0, 18)),
            retries: Family::default(),
            lag: Family::default(),
        };
        let r = registry.sub_registry_with_prefix("millrace_dispatch");
        r.register(
            "delivered",
            "Records whose action succeeded",
            metrics.delivered.clone(),
        );
        r.register(
            "dead_letters",
            "Records that went to the dead letters",
            metrics.dead_letters.clone(),
        );
        r.register(
            "dropped",
            "Records dropped after the last attempt",
            metrics.dropped.clone(),
        );
        r.register(
            "filtered",
            "Records that the filter left out",
            metrics.filtered.clone(),
        );
        r.register(
            "dead_letters_cut",
            "Dead letters cut to the size that their topic takes",
            metrics.cut.clone(),
        );
        r.register(
            "batch_records",
            "Records in one invocation",
            metrics.batch.clone(),
        );
        r.register(
            "held_records",
            "Records received and not finished",
            metrics.held.clone(),
        );
        r.register("retries", "Tries again, by reason", metrics.retries.clone());
        r.register(
            "lag_records",
            "Records still to be read",
            metrics.lag.clone(),
        );
        let s = Unit::Seconds;
        r.register_with_unit(
            "invocation",
            "Time of an invocation",
            s.clone(),
            metrics.invocation.clone(),
        );
        r.register_with_unit(
            "record_to_success",
            "From a record's time in Kafka to the success of its action",
            s,
            metrics.latency.clone(),
        );
        metrics
    }

    /// Something is tried again.
    pub fn retry(&self, why: Retry) {
        let reason = match why {
            Retry::Failed => "failed",
            Retry::Unavailable => "unavailable",
            Retry::NoSuchTarget => "no-such-target",
            Retry::DeadLetter => "dead-letter",
            Retry::Split => "split",
        };
        self.retries.get_or_create(&RetryLabels { reason }).inc();
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
        metrics.retry(Retry::Failed);
        metrics.lag(0, 1);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert_eq!(
            millrace_contract::metric::differences("millrace_dispatch_", &text),
            Vec::<String>::new(),
            "{text}"
        );
    }
}
