//! What was seen of a Kafka cluster.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reconcile::PendingRestart;
use crate::reconcile::restarts::NodeRestart;
use crate::status::Condition;
use crate::types::BindingStatus;

/// What was seen of a Kafka cluster.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded, Paused, Stopped and DiskPressure.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Addresses for clients inside Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub bootstrap_servers: Option<String>,
    /// The address that clients outside Kubernetes begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub external_bootstrap_servers: Option<String>,
    /// The Secret with the connection details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingStatus>,
    /// Nodes that are asked for, in all pools.
    #[serde(default)]
    pub nodes: i32,
    /// Nodes that are ready, in all pools.
    #[serde(default)]
    pub ready_nodes: i32,
    /// The size of the smallest live volume of a node, which may be larger than asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub storage: Option<String>,
    /// The pools, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub pools: Vec<PoolStatus>,
    /// Whether the cluster has ever worked. From then on a node with an empty volume joins, and never founds a cluster anew.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub bootstrapped: bool,
    /// The value of the annotation `millrace.dev/allow-format` that was last followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub allowed_format: Option<String>,
    /// The id that the cluster has, as its nodes say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub cluster_id: Option<String>,
    /// The quorum of controllers, as it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<QuorumStatus>,
    /// The version of the metadata that is finalized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub metadata_version: Option<String>,
    /// The certificates of a cluster with secure listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<CertificateStatus>,
    /// Nodes that are being emptied, as the annotation `millrace.dev/drain` asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub drain: Vec<DrainStatus>,
    /// The last rebalance that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<RebalanceStatus>,
    /// Replicas that the operator moves now. As long as this stands here, throttles of replication in Kafka are the
    /// operator's, and it takes them away at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<MovesStatus>,
    /// The last replacement of volumes that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_replacement: Option<VolumeReplacementStatus>,
    /// The fullest volume of all brokers, as they say themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskStatus>,
    /// Nodes that have to be restarted, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub restarts: Vec<NodeRestart>,
    /// Restarts that wait for approval: `millrace approve`, or the annotation millrace.dev/approve-restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pending_restarts: Vec<PendingRestart>,
}

/// The fullest volume of all brokers.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskStatus {
    /// How full it is, in percent, in steps of 5.
    pub used_percent: i32,
    /// Id of the node.
    pub node: i32,
    /// Kafka's directory on the volume.
    #[schemars(length(max = 256))]
    pub directory: String,
    /// Whether nothing more is to be written: from 95 % until it is under 90 %. The gateway of a Platform takes no
    /// telemetry in meanwhile.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub full: bool,
}

/// A pool as it is.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Name of the pool; absent for `spec.nodes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub name: Option<String>,
    /// Nodes that it is to have now, and has again when a stopped cluster goes on. More than asked for while nodes cannot
    /// be removed yet.
    #[serde(default)]
    pub nodes: i32,
    /// Nodes that are ready.
    #[serde(default)]
    pub ready: i32,
    /// The size of its smallest live volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub storage: Option<String>,
}

/// The quorum of controllers.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuorumStatus {
    /// Id of the node that leads, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<i32>,
    /// Ids of the nodes that vote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub voters: Vec<i32>,
}

/// How far a change of the certificate authority is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum CertificatePhase {
    /// One authority is trusted, and all certificates are from it.
    #[default]
    Settled,
    /// All nodes come to trust the next authority beside the present one.
    TrustBoth,
    /// All nodes get certificates of the next authority; both are trusted.
    Reissue,
    /// All nodes cease to trust the former authority.
    DropFormer,
}

/// The certificates of a cluster.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// Counts the authorities that the cluster has had.
    pub generation: i64,
    /// How far a change of the authority is.
    pub phase: CertificatePhase,
    /// When the authority ends (RFC 3339).
    #[schemars(length(max = 64))]
    pub authority_not_after: String,
    /// When the first certificate of a node ends (RFC 3339). It is made anew well before.
    #[schemars(length(max = 64))]
    pub not_after: String,
    /// The value of the annotation `millrace.dev/rotate-ca` that was last followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub rotated_for: Option<String>,
}

/// A node that is being emptied.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainStatus {
    /// Id of the node.
    pub node: i32,
    /// Copies of partitions that it still holds.
    pub replicas_left: i32,
    /// Bytes of them, where the node could be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_left: Option<i64>,
    /// Whether it is empty.
    pub done: bool,
    /// Whether the node was taken away after that. Then the drain is over: a new node with this id is not emptied until it
    /// is asked for anew.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub gone: bool,
}

/// A rebalance.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceStatus {
    /// The value of the annotation `millrace.dev/rebalance` that asked for it.
    #[schemars(length(max = 256))]
    pub value: String,
    /// Partitions that are still to be moved, or move.
    pub partitions_left: i32,
    /// Whether it is over.
    pub done: bool,
}

/// Replicas that are moved.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MovesStatus {
    /// Partitions that are still to be moved, or move.
    pub partitions_left: i32,
    /// Bytes per second that each broker sends, and takes, at most for it.
    pub bytes_per_second: i64,
}

/// How far a replacement of volumes is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum VolumeReplacementPhase {
    /// It waits until the node can be spared.
    #[default]
    Waiting,
    /// It cannot be done.
    Refused,
    /// The claims and the pod are deleted.
    Deleting,
    /// The node is there with new volumes, and is filled by the others.
    Filling,
    /// It is over.
    Done,
}

/// A replacement of the volumes of a node by new ones.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeReplacementStatus {
    /// The pod, as the annotation `millrace.dev/replace-volume` names it.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// How far it is.
    pub phase: VolumeReplacementPhase,
    /// What it waits for, or why it cannot be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Uids of what is deleted, the pod and its claims, so that nothing that comes after them is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64)))]
    pub former: Vec<String>,
}
