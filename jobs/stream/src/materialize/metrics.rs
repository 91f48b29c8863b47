//! Metrics of `materialize`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Label of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CollectionLabels {
    collection: &'static str,
}

/// Labels of a partition of what a collection is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LagLabels {
    collection: &'static str,
    partition: i32,
}

/// Metrics of `materialize`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    records: Family<CollectionLabels, Counter>,
    documents: Family<CollectionLabels, Counter>,
    dead_letters: Family<CollectionLabels, Counter>,
    retries: Family<CollectionLabels, Counter>,
    lag: Family<LagLabels, Gauge>,
    /// From the first record of a batch being read to its documents being written.
    pub batch: Option<Histogram>,
}

impl Metrics {
    /// Makes the metrics and names them in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            batch: Some(Histogram::new(exponential_buckets(0.05, 2.0, 12))),
            ..Self::default()
        };
        let m = metrics.clone();
        let r = registry.sub_registry_with_prefix("millrace_materialize");
        r.register("records", "Records whose documents are written", m.records);
        r.register("documents", "Documents made or changed", m.documents);
        r.register(
            "dead_letters",
            "Records that cannot be read or that MongoDB refuses",
            m.dead_letters,
        );
        r.register(
            "retries",
            "Attempts to write that failed and were made again",
            m.retries,
        );
        r.register(
            "lag_records",
            "Records still to be read, by partition",
            m.lag,
        );
        if let Some(batch) = m.batch {
            r.register_with_unit(
                "batch",
                "From the first record of a batch being read to its documents being written",
                Unit::Seconds,
                batch,
            );
        }
        metrics
    }

    /// A batch was written.
    pub fn written(
        &self,
        collection: &'static str,
        records: usize,
        documents: usize,
        seconds: f64,
    ) {
        let labels = CollectionLabels { collection };
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        self.records.get_or_create(&labels).inc_by(count(records));
        self.documents
            .get_or_create(&labels)
            .inc_by(count(documents));
        if let Some(batch) = &self.batch {
            batch.observe(seconds);
        }
    }

    /// A record went to the dead letters.
    pub fn dead_letter(&self, collection: &'static str) {
        self.dead_letters
            .get_or_create(&CollectionLabels { collection })
            .inc();
    }

    /// An attempt failed.
    pub fn retry(&self, collection: &'static str) {
        self.retries
            .get_or_create(&CollectionLabels { collection })
            .inc();
    }

    /// So much is still to be read.
    pub fn lag(&self, collection: &'static str, partition: i32, records: i64) {
        let labels = LagLabels {
            collection,
            partition,
        };
        self.lag.get_or_create(&labels).set(records);
    }

    /// The partitions are somebody else's now.
    pub fn forget_lag(&self, collection: &'static str, partitions: &[i32]) {
        for partition in partitions {
            let partition = *partition;
            self.lag.remove(&LagLabels {
                collection,
                partition,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_is_what_is_listed() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.written("alerts", 1, 1, 0.1);
        metrics.dead_letter("alerts");
        metrics.retry("alerts");
        metrics.lag("alerts", 0, 1);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert_eq!(
            millrace_contract::metric::differences("millrace_materialize_", &text),
            Vec::<String>::new(),
            "{text}"
        );
    }
}
