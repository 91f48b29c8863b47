//! The flow through a Platform: what is asked for, and what was seen.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the flow through the platform is watched.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.canarySeconds == 0 || self.canarySeconds >= 10")
        .message("spec.flow.canarySeconds: from 1 to 9: the stages are looked at less often than that; give 10 or more, or 0 for no canary"),
)]
pub struct PlatformFlow {
    /// Seconds between two canaries: events of the vehicle `millrace-canary` that go through the platform as any other and
    /// trip no rule. 0 sends none.
    #[serde(default = "default_canary_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub canary_seconds: i32,
    /// Seconds after which a canary that has not passed a stage makes the platform Degraded; at stage `archived` so many
    /// more as records wait there on purpose.
    #[serde(default = "default_stuck_seconds")]
    #[schemars(range(min = 30, max = 86_400))]
    pub stuck_seconds: i32,
}

fn default_canary_seconds() -> i32 {
    60
}

fn default_stuck_seconds() -> i32 {
    300
}

impl Default for PlatformFlow {
    fn default() -> Self {
        Self {
            canary_seconds: default_canary_seconds(),
            stuck_seconds: default_stuck_seconds(),
        }
    }
}

/// Where records wait. It is written when something has changed that matters, not at each look: records that wait and
/// seconds are rounded down to 1, 2 or 5 times a power of ten.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowStatus {
    /// When this was seen (RFC 3339).
    #[schemars(length(max = 64))]
    pub observed: String,
    /// The stages in the order of the flow.
    #[serde(default)]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub stages: Vec<FlowStage>,
    /// The canary whose times the stages tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<FlowCanary>,
}

/// A stage of the flow.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum StageName {
    /// In the log.
    Produced,
    /// Seen by the rules.
    Detected,
    /// In files of the lake.
    Archived,
    /// In documents of MongoDB.
    Loaded,
    /// In the answers of Druid.
    Served,
    /// Brought to an action.
    Told,
    /// Delivered to vehicles.
    Notified,
}

impl StageName {
    /// As it stands in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Produced => "produced",
            Self::Detected => "detected",
            Self::Archived => "archived",
            Self::Loaded => "loaded",
            Self::Served => "served",
            Self::Told => "told",
            Self::Notified => "notified",
        }
    }
}

/// One stage, of one consumer group.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowStage {
    /// The stage.
    pub stage: StageName,
    /// The topic, by its name in Kafka, that the stage reads or writes.
    #[schemars(length(max = 249))]
    pub topic: String,
    /// The consumer group whose progress this is; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// Where the topic ended, as a sum over its partitions. Marks of transactions count too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_offset: Option<i64>,
    /// How far the group had come, as a sum over the partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_offset: Option<i64>,
    /// Records that waited, rounded; 0 when none did, whatever marks of transactions follow the committed offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_records: Option<i64>,
    /// How long the oldest of them had waited, in seconds, rounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<i64>,
    /// Stage `archived` only: Kafka's time of the oldest record that waited (RFC 3339). The topic's retention must not
    /// reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub oldest_waiting: Option<String>,
    /// Stage `served` only: how long ago the newest event was that an answer of Druid counts, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_seconds: Option<i64>,
    /// How long after it was sent the canary had passed this stage, in seconds, rounded; absent while it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_seconds: Option<i64>,
    /// Why nothing is known of the stage, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// A canary.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowCanary {
    /// Id of its event: vehicle and sequence number.
    #[schemars(length(max = 128))]
    pub id: String,
    /// When it was sent (RFC 3339).
    #[schemars(length(max = 64))]
    pub sent: String,
    /// The stage that it waits for longer than `spec.flow.stuckSeconds`, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck_at: Option<StageName>,
    /// Time between two canaries, in seconds: on an idle platform no event is newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_seconds: Option<i64>,
}
