//! Scores of drivers, as a part of a Platform.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::job::crd::{is_schedule, schedule};
use crate::types::{FreeForm, PodResources, free_form};

/// How drivers are scored.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformScore {
    /// When it is done, in the form of cron and in `timeZone`.
    #[serde(default = "nightly")]
    #[schemars(schema_with = "schedule")]
    #[x_kube(validation = is_schedule())]
    pub schedule: String,
    /// The time zone of `schedule`, by its IANA name; that of `config.zone`, else UTC, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = crate::batch::crd::is_zone())]
    pub time_zone: Option<String>,
    /// The first run looks back so many days, and a new definition has so many scored anew. Telemetry that was never scored or has
    /// changed is found however old, from the first run's first day on.
    #[serde(default = "week")]
    #[schemars(range(min = 1, max = 366))]
    pub catch_up_days: i32,
    /// Thresholds, weights and the time zone of days, see docs/scores.md.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub config: FreeForm,
    /// The container image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Memory and CPU of a run; 1Gi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
}

fn nightly() -> String {
    "20 2 * * *".into()
}

fn week() -> i32 {
    7
}
