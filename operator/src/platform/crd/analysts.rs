//! What analysts ask for, as a part of a Platform.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::job::crd::{is_schedule, schedule};
use crate::types::{FreeForm, PodResources, free_form};

/// How the questions of analysts are answered.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformAnalysts {
    /// When it is done, in the form of cron and in `timeZone`.
    #[serde(default = "nightly")]
    #[schemars(schema_with = "schedule")]
    #[x_kube(validation = is_schedule())]
    pub schedule: String,
    /// The time zone of `schedule`, by its IANA name; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = crate::batch::crd::is_zone())]
    pub time_zone: Option<String>,
    /// Datasets, files of roads and restricted means, see docs/analysts.md.
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
    "50 2 * * *".into()
}
