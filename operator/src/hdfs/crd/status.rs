//! What was seen of an HDFS.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reconcile::PendingRestart;
use crate::reconcile::restarts::NodeRestart;
use crate::status::Condition;
use crate::types::BindingStatus;

/// What was seen of an HDFS.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HdfsClusterStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded, Paused, Stopped and DiskPressure.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The address of the file system for clients, as `fs.defaultFS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub uri: Option<String>,
    /// The Secret with the connection details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingStatus>,
    /// Whether a NameNode has ever worked. From then on none is formatted: one with an empty volume copies the names of
    /// another.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub formatted: bool,
    /// The value of the annotation `millrace.dev/allow-format` that was last followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub allowed_format: Option<String>,
    /// The id of the file system, as the active NameNode says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub cluster_id: Option<String>,
    /// The pod whose NameNode is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub active: Option<String>,
    /// The NameNodes, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub name_nodes: Vec<NameNodeStatus>,
    /// JournalNodes that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_journal_nodes: Option<i32>,
    /// DataNodes that there are to be now: more than asked for while some are decommissioned.
    #[serde(default)]
    pub data_nodes: i32,
    /// DataNodes that the active NameNode hears of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_data_nodes: Option<i32>,
    /// Room in the file system, as the active NameNode says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacityStatus>,
    /// The fullest volume of all servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<HdfsDiskStatus>,
    /// Blocks that need attention, as the active NameNode says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<BlockStatus>,
    /// DataNodes that are to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub decommissions: Vec<DecommissionStatus>,
    /// The size of the smallest live volume of a DataNode, which may be larger than asked for.
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

/// What a NameNode does.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
pub enum NameNodeState {
    /// It serves clients.
    Active,
    /// It follows the active one, and can take over.
    Standby,
    /// It is on its way up, or does not answer.
    #[default]
    Unknown,
}

/// A NameNode.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NameNodeStatus {
    /// The pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// What it does.
    pub state: NameNodeState,
    /// Whether it is in safe mode: it waits for blocks to be reported, or was told to, and nothing can be written.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub safe_mode: bool,
}

/// Room in a file system.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityStatus {
    /// Bytes of all volumes together, in steps of a gibibyte.
    pub total_bytes: i64,
    /// How much of it is not to be had any more, in percent, in steps of 5.
    pub used_percent: i32,
}

/// The fullest volume of all servers.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HdfsDiskStatus {
    /// How full it is, in percent, in steps of 5.
    pub used_percent: i32,
    /// The pod that it is of.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// What that does: `datanode`, `namenode` or `journalnode`.
    #[schemars(length(max = 16))]
    pub role: String,
    /// Whether there is next to nothing left: from 95 % until it is under 90 %.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub full: bool,
}

/// Blocks that need attention.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockStatus {
    /// Blocks with fewer copies than asked for, and those that are being copied for it.
    pub under_replicated: i64,
    /// Blocks without any copy that is whole.
    pub missing: i64,
}

/// A DataNode that is to go.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecommissionStatus {
    /// The pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Blocks that have too few copies elsewhere; absent while the NameNode has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks_left: Option<i64>,
    /// Whether all of its blocks are elsewhere.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub done: bool,
}
