//! Backups, and how a cluster begins from those of another.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::job::crd::{is_schedule, schedule};
use crate::types::{Storage, StorageGrowth};

/// Base backups by schedule, and the log in between, on a volume of their own.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.keep) && has(self.keepDays))")
        .message("backup.keep: given beside keepDays: one says how many base backups stay, the other for how long; remove one of them"),
)]
pub struct Backup {
    /// When a base backup is made, in the form of cron and in UTC, for example `30 1 * * *`.
    #[schemars(schema_with = "schedule")]
    #[x_kube(validation = is_schedule())]
    pub schedule: String,
    /// How many base backups are kept; the oldest go, and the log that only they needed. 7 when neither this nor `keepDays`
    /// is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 366))]
    pub keep: Option<i32>,
    /// The last so many days can be restored: base backups of these days are kept, and the newest one before them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 366))]
    pub keep_days: Option<i32>,
    /// A segment of the log is brought to the archive after so many seconds at the latest, if something was written: what is
    /// younger is lost with the server's volume. 300 when absent.
    #[serde(default = "default_archive_timeout")]
    #[schemars(range(min = 10, max = 86400))]
    pub archive_timeout_seconds: i32,
    /// The volume that they are on: the claim `NAME-backup`, which outlives the cluster.
    #[serde(default = "default_storage")]
    #[x_kube(validation = Rule::new("quantity(self.size).compareTo(quantity('512Mi')) >= 0").message(Message::Expression("'backup.storage.size: ' + self.size + ': a base backup of an empty server and some of its log take most of that; give at least 512Mi'".into())))]
    pub storage: Storage,
    /// It grows by itself where it fills, if the storage class can. It does not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_growth: Option<StorageGrowth>,
}

fn default_archive_timeout() -> i32 {
    300
}

fn default_storage() -> Storage {
    Storage {
        size: "20Gi".into(),
        storage_class: None,
    }
}

/// How a cluster begins.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// From the backups of a cluster, as it was at a time.
    pub restore: Restore,
}

/// What is restored.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restore {
    /// Whose backups.
    pub from: RestoreFrom,
    /// All that was committed by this time comes back, and nothing that was committed later (RFC 3339, for example
    /// `2026-03-01T09:30:00Z`). All that is in the archive when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$')").message(Message::Expression("'restore.targetTime: ' + self + ': is no time with an offset; write it like 2026-03-01T09:30:00Z'".into())))]
    pub target_time: Option<String>,
}

/// Where backups are.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.cluster) != has(self.claim)")
        .message("restore.from: wants either cluster or claim; give one of them"),
)]
pub struct RestoreFrom {
    /// A PostgresCluster of this namespace, which may be gone: its claim `CLUSTER-backup` is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = crate::names::object())]
    pub cluster: Option<String>,
    /// A volume claim of this namespace with the content of such a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub claim: Option<String>,
}
