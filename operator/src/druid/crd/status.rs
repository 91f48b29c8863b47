//! What was seen of a Druid.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::reconcile::PendingRestart;
use crate::reconcile::restarts::NodeRestart;
use crate::status::Condition;
use crate::types::BindingStatus;

/// What was seen of a Druid.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DruidClusterStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded, Paused and Stopped.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The Secret with the connection details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingStatus>,
    /// Where questions in SQL are answered, inside Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub sql: Option<String>,
    /// Whether the directory of segments in HDFS was made.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub directory_made: bool,
    /// Servers that are ready.
    #[serde(default)]
    pub ready: ReadyStatus,
    /// The coordinator that leads, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub leader: Option<String>,
    /// Segments that are to be answered for, and that no historical has loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable_segments: Option<i64>,
    /// The worker that takes no new tasks, because it is to be restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainStatus>,
    /// The size of the smallest live volume of a historical, which may be larger than asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub storage: Option<String>,
    /// Servers that have to be restarted, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub restarts: Vec<NodeRestart>,
    /// Restarts that wait for approval: `millrace approve`, or the annotation millrace.dev/approve-restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pending_restarts: Vec<PendingRestart>,
}

/// Servers that are ready, role by role.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadyStatus {
    /// Coordinators.
    #[serde(default)]
    pub coordinators: i32,
    /// Brokers.
    #[serde(default)]
    pub brokers: i32,
    /// Historicals.
    #[serde(default)]
    pub historicals: i32,
    /// Workers.
    #[serde(default)]
    pub workers: i32,
    /// Routers.
    #[serde(default)]
    pub routers: i32,
}

/// A worker that takes no new tasks.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainStatus {
    /// Its pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Since when (RFC 3339).
    #[schemars(length(max = 64))]
    pub since: String,
}
