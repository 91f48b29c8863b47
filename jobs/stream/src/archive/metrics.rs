//! Metrics of `archive`.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::budget::{Ahead, Memory};

/// Label of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabels {
    partition: i32,
}

/// Label of a step of the commit protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabels {
    step: &'static str,
}

/// Metrics of `archive`.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Records that were taken in, committed or not; what is read again counts again.
    pub taken: Counter,
    /// Records that were committed.
    pub records: Counter,
    /// Records whose value is no event; they are kept as they are.
    pub unreadable: Counter,
    /// Commits.
    pub commits: Counter,
    /// Files that were committed.
    pub files: Counter,
    /// Their bytes.
    pub bytes: Counter,
    /// Commits that another writer was first with.
    pub fenced: Counter,
    /// Offsets that Kafka had removed before they were archived.
    pub missing: Counter,
    /// From the first record of a commit being read to its files having their names.
    pub commit: Histogram,
    retries: Family<StepLabels, Counter>,
    archived: Family<PartitionLabels, Gauge>,
    lag: Family<PartitionLabels, Gauge>,
    oldest: Family<PartitionLabels, Gauge>,
}

impl Metrics {
    /// Makes the metrics and names them in `registry`.
    pub fn register(registry: &mut Registry, ahead: &Arc<Ahead>, memory: &Arc<Memory>) -> Self {
        let metrics = Self {
            taken: Counter::default(),
            records: Counter::default(),
            unreadable: Counter::default(),
            commits: Counter::default(),
            files: Counter::default(),
            bytes: Counter::default(),
            fenced: Counter::default(),
            missing: Counter::default(),
            commit: Histogram::new(exponential_buckets(0.25, 2.0, 14)),
            retries: Family::default(),
            archived: Family::default(),
            lag: Family::default(),
            oldest: Family::default(),
        };
        let m = metrics.clone();
        let r = registry.sub_registry_with_prefix("millrace_archive");
        r.register(
            "taken_records",
            "Records taken in, committed or not; what is read again counts again",
            m.taken,
        );
        r.register("records", "Records committed", m.records);
        r.register(
            "unreadable",
            "Records whose value is no event, kept as they are",
            m.unreadable,
        );
        r.register("commits", "Commits", m.commits);
        r.register("files", "Files committed", m.files);
        r.register_with_unit(
            "committed",
            "Bytes of files committed",
            Unit::Bytes,
            m.bytes,
        );
        r.register(
            "fenced",
            "Commits that another writer was first with",
            m.fenced,
        );
        r.register(
            "missing_records",
            "Offsets that Kafka had removed before they were archived",
            m.missing,
        );
        r.register(
            "retries",
            "Tries again, by step of the commit protocol",
            m.retries,
        );
        r.register("archived_offset", "The end of the last commit", m.archived);
        r.register(
            "lag_records",
            "Records in Kafka after the last commit",
            m.lag,
        );
        r.register(
            "oldest_unarchived_timestamp_seconds",
            "Kafka's time of the oldest record read and not committed; 0 when there is none",
            m.oldest,
        );
        r.register_with_unit(
            "commit",
            "From a commit's first record being read to its files having their names",
            Unit::Seconds,
            m.commit,
        );
        r.register_collector(Box::new(Held {
            ahead: Arc::clone(ahead),
            memory: Arc::clone(memory),
        }));
        metrics
    }

    /// A step is tried again.
    pub fn retry(&self, step: &'static str) {
        self.retries.get_or_create(&StepLabels { step }).inc();
    }

    /// A partition is archived up to before `offset`.
    pub fn archived(&self, partition: i32, offset: i64) {
        self.archived
            .get_or_create(&PartitionLabels { partition })
            .set(offset);
    }

    /// So many records of a partition are not committed.
    pub fn lag(&self, partition: i32, records: i64) {
        self.lag
            .get_or_create(&PartitionLabels { partition })
            .set(records);
    }

    /// The oldest record read and not committed is of that time, in milliseconds since 1970.
    pub fn oldest(&self, partition: i32, milliseconds: Option<i64>) {
        let seconds = milliseconds.map_or(0, |ms| ms / 1000);
        self.oldest
            .get_or_create(&PartitionLabels { partition })
            .set(seconds);
    }

    /// Partitions were given away: what is said of them is no longer ours to say.
    pub fn forget(&self) {
        self.archived.clear();
        self.lag.clear();
        self.oldest.clear();
    }
}

#[derive(Debug)]
struct Held {
    ahead: Arc<Ahead>,
    memory: Arc<Memory>,
}

impl Collector for Held {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, bytes) in [
            (
                "ahead",
                "Records read and not yet in a file",
                self.ahead.used(),
            ),
            ("open_files", "Memory of open files", self.memory.used()),
        ] {
            let gauge = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
            let metric =
                encoder.encode_descriptor(name, help, Some(&Unit::Bytes), gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_is_what_is_listed() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, &Ahead::new(1), &Memory::new(1));
        metrics.retry("commit");
        metrics.archived(0, 1);
        metrics.lag(0, 1);
        metrics.oldest(0, None);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert_eq!(
            millrace_contract::metric::differences("millrace_archive_", &text),
            Vec::<String>::new(),
            "{text}"
        );
    }
}
