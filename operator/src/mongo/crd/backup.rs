//! Dumps by schedule.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::job::crd::{is_schedule, schedule};
use crate::types::Storage;

/// Dumps by schedule.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// When one is made, in the form of cron and in UTC, for example `30 2 * * *`.
    #[schemars(schema_with = "schedule")]
    #[x_kube(validation = is_schedule())]
    pub schedule: String,
    /// How many are kept; the oldest go.
    #[serde(default = "seven")]
    #[schemars(range(min = 1, max = 366))]
    pub keep: i32,
    /// The volume that they are written to.
    #[serde(default = "default_storage")]
    pub storage: Storage,
}

fn seven() -> i32 {
    7
}

fn default_storage() -> Storage {
    Storage {
        size: "10Gi".into(),
        storage_class: None,
    }
}
