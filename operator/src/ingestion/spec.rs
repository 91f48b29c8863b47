//! What Druid is told of a data source: its supervisor, how long rows are kept, how they are merged. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_contract::Invalid;
use serde_json::{Value, json};

use super::columns::Source;
use crate::reconcile::fingerprint;

/// The key in the context of a supervisor by which the operator knows what it has sent: Druid writes out all defaults, so
/// that specifications themselves cannot be compared.
pub const MARK: &str = "millrace.dev/spec";

const DAY: u64 = 86_400;

/// How rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Rows older than this are dropped; none are when absent.
    pub retention: Option<Duration>,
    /// Rows of days that ended this long ago are merged; none are when absent.
    pub compact_after: Option<Duration>,
    /// Copies of each segment.
    pub copies: i32,
}

/// A data source as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its name, and that of its supervisor.
    pub data_source: String,
    /// What the records are.
    pub source: Source,
    /// The topic.
    pub topic: String,
    /// How Kafka is reached, as a Kafka consumer takes it.
    pub consumer: BTreeMap<String, String>,
    /// Changes with what tasks read of files when they log in to Kafka; none where they log in by nothing.
    pub credentials: Option<String>,
    /// Numbers to take; all when empty.
    pub signals: Vec<String>,
    /// Numbers of which there is a sketch of quantiles.
    pub quantiles: Vec<String>,
    /// Events of one such span with the same dimensions are one row: `SECOND`, `MINUTE`, `HOUR`.
    pub query_granularity: &'static str,
    /// Segments are of one such span: `HOUR`, `DAY`.
    pub segment_granularity: &'static str,
    /// Tasks that share the partitions.
    pub tasks: i32,
    /// Tasks that read the same.
    pub replicas: i32,
    /// After this a task hands over what it has read.
    pub task_duration: Duration,
    /// How rows are kept.
    pub keep: Keep,
    /// Whether nothing is read for now.
    pub suspended: bool,
}

impl Wanted {
    /// The specification of the supervisor.
    ///
    /// # Errors
    /// A signal is none of the contract.
    pub fn supervisor(&self) -> Result<Value, Invalid> {
        let metrics = self.source.metrics(&self.signals, &self.quantiles)?;
        let spec = json!({
            "dataSchema": {
                "dataSource": self.data_source,
                "timestampSpec": {"column": self.source.time(), "format": "iso"},
                "dimensionsSpec": {"dimensions": self.source.dimensions()},
                "metricsSpec": metrics,
                "granularitySpec": {
                    "segmentGranularity": self.segment_granularity,
                    "queryGranularity": self.query_granularity,
                    "rollup": true,
                },
            },
            "ioConfig": {
                "topic": self.topic,
                "inputFormat": self.source.input_format(),
                "consumerProperties": self.consumer,
                "taskCount": self.tasks,
                "replicas": self.replicas,
                "taskDuration": period(self.task_duration),
                // All that Kafka still has: what was sent before Druid came is asked for too.
                "useEarliestOffset": true,
                "startDelay": "PT1S",
                "period": "PT10S",
            },
            "tuningConfig": {
                "type": "kafka",
                // A record that nobody can read is passed over and told, up to this many in a task.
                "maxParseExceptions": 1000,
                "maxSavedParseExceptions": 5,
                "logParseExceptions": true,
                // How far tasks have read is a stage of a Platform's flow; Druid asks them each 30 s else.
                "offsetFetchPeriod": "PT10S",
            },
        });
        // A consumer reads its password once, so that a new one needs a new supervisor.
        let mark = match &self.credentials {
            None => fingerprint(&spec),
            Some(credentials) => fingerprint(&(&spec, credentials)),
        };
        Ok(
            json!({"type": "kafka", "spec": spec, "context": {MARK: mark}, "suspended": self.suspended}),
        )
    }

    /// The rules of how long rows are kept; none where the cluster's own hold.
    #[must_use]
    pub fn rules(&self) -> Vec<Value> {
        let tiers = json!({"_default_tier": self.keep.copies});
        match self.keep.retention {
            None => vec![json!({"type": "loadForever", "tieredReplicants": tiers})],
            Some(retention) => vec![
                json!({"type": "loadByPeriod", "period": period(retention), "includeFuture": true,
                    "tieredReplicants": tiers}),
                json!({"type": "dropForever"}),
            ],
        }
    }

    /// How rows are merged, if they are.
    #[must_use]
    pub fn compaction(&self) -> Option<Value> {
        let after = self.keep.compact_after?;
        Some(json!({
            "dataSource": self.data_source,
            // A late event opens its day again; merging a day that still gets events would be in their way.
            "skipOffsetFromLatest": period(after),
            "granularitySpec": {"segmentGranularity": "DAY"},
            "tuningConfig": {"partitionsSpec": {"type": "dynamic"}},
        }))
    }
}

/// In the form of ISO 8601.
fn period(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds > 0 && seconds.is_multiple_of(DAY) {
        format!("P{}D", seconds / DAY)
    } else {
        format!("PT{seconds}S")
    }
}

/// Whether all that is asked for is as asked for; what Druid adds on its own does not count.
#[must_use]
pub fn covers(observed: &Value, wanted: &Value) -> bool {
    match (observed, wanted) {
        (Value::Object(observed), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, value)| observed.get(key).is_some_and(|there| covers(there, value))),
        (Value::Array(observed), Value::Array(wanted)) => {
            observed.len() == wanted.len() && observed.iter().zip(wanted).all(|(o, w)| covers(o, w))
        }
        _ => observed == wanted,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn wanted() -> Wanted {
        Wanted {
            data_source: "telemetry".into(),
            source: Source::Telemetry,
            topic: "telemetry".into(),
            consumer: BTreeMap::from([("bootstrap.servers".into(), "k:9092".into())]),
            credentials: None,
            signals: vec!["speed".into()],
            quantiles: vec!["speed".into()],
            query_granularity: "MINUTE",
            segment_granularity: "DAY",
            tasks: 1,
            replicas: 1,
            task_duration: Duration::from_secs(3600),
            keep: Keep {
                retention: Some(Duration::from_secs(90 * DAY)),
                compact_after: Some(Duration::from_secs(36 * 3600)),
                copies: 2,
            },
            suspended: false,
        }
    }

    #[test]
    fn a_supervisor() {
        insta::assert_json_snapshot!(wanted().supervisor().unwrap());
    }

    #[test]
    fn a_supervisor_of_alerts() {
        let alerts = Wanted {
            data_source: "alerts".into(),
            source: Source::Alert,
            topic: "alerts".into(),
            signals: Vec::new(),
            quantiles: Vec::new(),
            ..wanted()
        };
        insta::assert_json_snapshot!(alerts.supervisor().unwrap());
    }

    #[test]
    fn the_mark_follows_all_but_whether_it_is_suspended() {
        let mark = |wanted: &Wanted| wanted.supervisor().unwrap()["context"][MARK].clone();
        let (first, mut second) = (wanted(), wanted());
        second.suspended = true;
        assert_eq!(mark(&first), mark(&second));
        second.tasks = 2;
        assert_ne!(mark(&first), mark(&second));
        let mut third = wanted();
        third.credentials = Some("1".into());
        assert_ne!(mark(&first), mark(&third));
        assert_eq!(
            third.supervisor().unwrap()["spec"],
            first.supervisor().unwrap()["spec"]
        );
    }

    #[test]
    fn rows_are_kept_and_merged_as_asked_for() {
        let mut wanted = wanted();
        assert_eq!(wanted.rules()[0]["period"], "P90D");
        assert_eq!(wanted.rules()[0]["tieredReplicants"]["_default_tier"], 2);
        assert_eq!(wanted.rules()[1]["type"], "dropForever");
        assert_eq!(
            wanted.compaction().unwrap()["skipOffsetFromLatest"],
            "PT129600S"
        );
        (wanted.keep.retention, wanted.keep.compact_after) = (None, None);
        assert_eq!(wanted.rules()[0]["type"], "loadForever");
        assert_eq!(wanted.compaction(), None);
    }

    #[test]
    fn what_druid_adds_is_no_difference() {
        let asked = json!([{"a": 1, "b": {"c": 2}}]);
        assert!(covers(
            &json!([{"a": 1, "b": {"c": 2, "d": 3}, "e": 4}]),
            &asked
        ));
        assert!(!covers(&json!([{"a": 1, "b": {"c": 3}}]), &asked));
        assert!(!covers(&json!([]), &asked));
    }
}
