//! The OpenWhisk of a platform.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::External;
use crate::openwhisk::crd::ImageActions;
use crate::openwhisk::crd::apache::RuntimeKind;
use crate::types::{PodResources, Storage, StorageGrowth};

/// Where actions run.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.external) || !(has(self.image) || has(self.storage) || has(self.storageGrowth) || has(self.resources) || has(self.mode) || has(self.apache) || has(self.imageActions))")
        .message("spec.openwhisk.external: given beside mode, apache, image, imageActions, storage, storageGrowth or resources: these are of an OpenWhisk that runs here; remove them, or remove external"),
    validation = Rule::new("has(self.external) == has(oldSelf.external)")
        .message("spec.openwhisk.external: cannot be added or removed later: the actions would stay behind in the former OpenWhisk; put the field back as it was, or make a new Platform"),
    validation = Rule::new("!has(oldSelf.storage) || has(self.storage)")
        .message("spec.openwhisk.storage: absent: the profile's size would take its place, and a volume neither shrinks nor changes its class; put the former value back"),
)]
pub struct PlatformOpenWhisk {
    /// An OpenWhisk that somebody else runs: only actions are made there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// How it is run; `embedded` when absent. `apache` and `lean` are Apache OpenWhisk, on the platform's own Kafka and MongoDB,
    /// with the same actions, address and keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PlatformWhiskMode>,
    /// The servers of the modes `apache` and `lean`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apache: Option<PlatformApache>,
    /// The container image of mode `embedded`. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The volume for actions and activations. The profile's size when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// A volume that runs full grows by itself, where the storage class can. It does not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_growth: Option<StorageGrowth>,
    /// Memory and CPU of the pod, with the actions inside it. The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,
    /// Whether each run of an action is a record of the topic `audit`. Mode `embedded` only. The topic keeps what its share of the
    /// volume holds: with many runs a second, credentials and erasures are kept for hours, not for years.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audit_runs: bool,
    /// Lets the server of mode `embedded` run actions of an image as pods beside it. Such actions are refused when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_actions: Option<ImageActions>,
}

/// How the OpenWhisk of a platform is run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum PlatformWhiskMode {
    /// One process with the REST API of OpenWhisk.
    #[default]
    Embedded,
    /// Apache OpenWhisk: a controller, and invokers that it reaches by Kafka.
    Apache,
    /// Apache OpenWhisk as one controller that is the invoker too.
    Lean,
}

/// The servers of Apache OpenWhisk in a platform.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformApache {
    /// The image of the controller. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub controller_image: Option<String>,
    /// The image of invokers, of the same version. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub invoker_image: Option<String>,
    /// How many invokers run in mode `apache`: the profile's number, 1 or 2, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub invokers: Option<i32>,
    /// Runtime kinds beside those that are always there, or in the place of one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind"]))]
    pub runtimes: Vec<RuntimeKind>,
}
