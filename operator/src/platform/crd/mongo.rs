//! MongoDB and what is written into it, as parts of a Platform.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::outside::External;
use crate::mongo::crd::{Backup, Engine};
use crate::types::{FreeForm, PodResources, Storage, free_form};

/// Where documents are: alerts, what vehicles measured last, profiles of drivers.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.external) || !(has(self.engine) || has(self.members) || has(self.image) || has(self.storage) || has(self.resources) || has(self.backup))")
        .message("spec.mongo.external: given beside engine, members, image, storage, resources or backup: these are of a MongoDB that runs here; remove them, or remove external"),
    validation = Rule::new("!has(self.engine) || self.engine == 'mongodb' || (!has(self.members) || self.members == 1) && !has(self.backup)")
        .message("spec.mongo.engine: wire is one process without dumps; remove members and backup, or take engine mongodb"),
    validation = Rule::new("has(self.external) == has(oldSelf.external)")
        .message("spec.mongo.external: cannot be added or removed later: the documents would stay behind in the former MongoDB; put the field back as it was, or make a new Platform"),
    validation = Rule::new("!has(oldSelf.storage) || has(self.storage)")
        .message("spec.mongo.storage: absent: the profile's size would take its place, and a volume neither shrinks nor changes its class; put the former value back"),
)]
pub struct PlatformMongo {
    /// A MongoDB that somebody else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// Which server it is; the profile's when absent: `wire` in `dev`, else `mongodb`. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// How many members the replica set has: 1, 3 or 5. The profile's number when absent; 1 with the engine `wire`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self in [1, 3, 5]").message("spec.mongo.members: not 1, 3 or 5: an even number bears no more losses than one less; give 1, 3 or 5"))]
    pub members: Option<i32>,
    /// The container image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The volume of each member. The profile's size when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Memory and CPU of each member. The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// Dumps by schedule, with the engine `mongodb`. None when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
}

/// Alerts, deliveries and the state of vehicles as documents.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformMaterialize {
    /// The container image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// How many pods run. The profile's number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 64))]
    pub replicas: Option<i32>,
    /// Memory and CPU of one pod. The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// The job's own configuration, see docs/documents.md, for example `keep`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub config: FreeForm,
}
