//! What is told of a PostgresCluster.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::reconcile::PendingRestart;
use crate::reconcile::restarts::NodeRestart;
use crate::status::Condition;
use crate::types::{BindingStatus, DeletionPolicy, VolumeStatus};
use crate::user::crd::PasswordRotation;

/// What was seen of a cluster.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PostgresClusterStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded, Paused, Stopped and DiskPressure.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The Secret by which the superuser logs in. Jobs take that of their role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingStatus>,
    /// Where clients find the server that takes writes, as `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub address: Option<String>,
    /// The version of the server, as it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// Whether a server has ever worked. From then on none begins anew on an empty volume.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub initialized: bool,
    /// The value of the annotation `millrace.dev/allow-format` that was last followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub allowed_format: Option<String>,
    /// Databases that the operator keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub databases: Vec<DatabaseStatus>,
    /// Roles that the operator keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub roles: Vec<RoleStatus>,
    /// How full the volume is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<VolumeStatus>,
    /// The size of the live volume, which may be larger than asked for.
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

/// A database that is there.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// What becomes of it when it is taken out of the spec.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// A role that is there.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The Secret by which it logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingStatus>,
    /// What becomes of it when it is taken out of the spec.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// What it was let read, as `database.schema`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 128)))]
    pub reads: Vec<String>,
    /// The last change of its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<PasswordRotation>,
}
