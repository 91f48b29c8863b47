//! What Druid says.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A supervisor as Druid keeps it: its specification, with all defaults written out.
#[derive(Clone, Debug, PartialEq)]
pub struct Supervisor {
    /// The whole specification.
    pub spec: Value,
}

impl Supervisor {
    /// Whether it reads nothing for now.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.spec.get("suspended").and_then(Value::as_bool) == Some(true)
    }

    /// What stands in its context under this key.
    #[must_use]
    pub fn context(&self, key: &str) -> Option<&str> {
        self.spec.get("context")?.get(key)?.as_str()
    }
}

/// How a supervisor fares.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct SupervisorState {
    /// `RUNNING`, `SUSPENDED`, `UNHEALTHY_TASKS`, ….
    pub detailed_state: String,
    /// Whether Druid finds nothing wrong.
    pub healthy: bool,
    /// Whether it reads nothing for now.
    pub suspended: bool,
    /// Records that are in Kafka and not yet read; `None` while Druid has not looked.
    pub aggregate_lag: Option<i64>,
    /// Tasks that read.
    pub active_tasks: Vec<Value>,
    /// Tasks that read no more, and hand over what they have read.
    pub publishing_tasks: Vec<Value>,
    /// What went wrong last, the latest first.
    pub recent_errors: Vec<RecentError>,
}

impl SupervisorState {
    /// The next offset of each partition, as far as tasks have told: what is before it is answered for. Of tasks that read the
    /// same the slower one counts, because either may be asked.
    #[must_use]
    pub fn read_up_to(&self) -> BTreeMap<i32, i64> {
        let mut next = BTreeMap::new();
        for (partition, offset) in self.active_tasks.iter().flat_map(offsets) {
            let least = next.entry(partition).or_insert(offset);
            *least = offset.min(*least);
        }
        // Until the tasks after them have told.
        let mut handed = BTreeMap::new();
        for (partition, offset) in self.publishing_tasks.iter().flat_map(offsets) {
            let most = handed.entry(partition).or_insert(offset);
            *most = offset.max(*most);
        }
        for (partition, offset) in handed {
            next.entry(partition).or_insert(offset);
        }
        next
    }
}

fn offsets(task: &Value) -> impl Iterator<Item = (i32, i64)> {
    let told = task.get("currentOffsets").and_then(Value::as_object);
    told.into_iter()
        .flatten()
        .filter_map(|(partition, offset)| {
            let partition = partition.parse().ok()?;
            Some((partition, offset.as_i64()?))
        })
}

/// The newest events that an answer counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Newest {
    /// Of all, in milliseconds of the epoch; `None` when there are no rows.
    pub of_all: Option<i64>,
    /// Of the one vehicle that was asked about; `None` too when its last is longer ago than was looked for.
    pub of_one: Option<i64>,
}

/// One thing that went wrong in a supervisor.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct RecentError {
    /// When.
    pub timestamp: String,
    /// Of which kind.
    pub exception_class: String,
    /// In words.
    pub message: Option<String>,
}

/// What a trial run of a specification over the first records gave.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Sampled {
    /// Records that were read.
    pub num_rows_read: u64,
    /// Those of them that became rows.
    pub num_rows_indexed: u64,
}

/// A task that ended badly.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct FailedTask {
    /// Its id.
    pub id: String,
    /// When it was made (RFC 3339).
    #[serde(rename = "createdTime")]
    pub created: String,
    /// `SUCCESS` or `FAILED`.
    #[serde(rename = "statusCode")]
    pub status: Option<String>,
    /// Why it failed.
    #[serde(rename = "errorMsg")]
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn how_far_tasks_have_read() {
        let state = |active: Value, publishing: Value| {
            let told = json!({"activeTasks": active, "publishingTasks": publishing});
            let state: SupervisorState = serde_json::from_value(told).unwrap();
            state.read_up_to()
        };
        assert_eq!(state(json!([{"id": "a"}]), json!([])), BTreeMap::new());
        let copies =
            json!([{"currentOffsets": {"0": 7, "1": null}}, {"currentOffsets": {"0": 5, "1": 9}}]);
        let handed = json!([{"currentOffsets": {"0": 90, "2": 3}}, {"currentOffsets": {"2": 4}}]);
        assert_eq!(
            state(copies, handed),
            BTreeMap::from([(0, 5), (1, 9), (2, 4)])
        );
    }
}
