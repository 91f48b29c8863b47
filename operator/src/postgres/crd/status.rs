//! What is told of a PostgresCluster.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::members::MemberStatus;
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
    /// How many servers are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_members: Option<i32>,
    /// The pod that takes writes, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub primary: Option<String>,
    /// The timeline of the primary, where there are several: it is one higher with each new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<i64>,
    /// Several servers, as Patroni last told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub members: Vec<MemberStatus>,
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
    /// Base backups and the archive of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// What the cluster began from. It is restored once ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreStatus>,
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

/// Base backups and the archive of the log, as they were last seen. Times are RFC 3339.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// When a run that makes a base backup began last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub began: Option<String>,
    /// When one ended with success last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub succeeded: Option<String>,
    /// How many base backups there are of the databases as they have been since they were founded or restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<i32>,
    /// The newest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<BaseBackup>,
    /// The earliest time that can be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub earliest: Option<String>,
    /// The latest time that can be restored; later ones follow with the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub latest: Option<String>,
    /// Since when files of the log cannot be brought to the archive, while they cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub failing_since: Option<String>,
    /// How full the volume of the archive is, which goes by the name of its claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<VolumeStatus>,
}

/// A base backup.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseBackup {
    /// When it was complete (RFC 3339).
    #[schemars(length(max = 64))]
    pub completed: String,
    /// Its size, in bytes.
    pub bytes: i64,
    /// The size of the databases in it, in bytes.
    pub database_bytes: i64,
}

/// What a cluster began from.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreStatus {
    /// The volume claim that was read.
    #[schemars(length(max = 253))]
    pub claim: String,
    /// When the restore was seen to be complete (RFC 3339); none begins from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub completed: Option<String>,
    /// The base backup, as its path on the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub backup: Option<String>,
    /// The time of the last transaction that came back, as PostgreSQL writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reached: Option<String>,
}
