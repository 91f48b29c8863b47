//! Detect, as a part of a Platform.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::types::{FreeForm, PodResources, free_form};

/// Rules over telemetry.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformDetect {
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
    /// Thresholds, per vehicle model where they differ, and own rules under `custom`. A change is taken over without a
    /// restart; what cannot be right is refused, and what was in force stays.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub rules: FreeForm,
    /// ConfigMaps with borders, closed zones and curfew areas as GeoJSON. A change is taken over without a restart; a
    /// ConfigMap that cannot be read is told in the condition Degraded, and what was in force stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["configMap"]))]
    pub zones: Vec<ZoneMap>,
}

/// A ConfigMap with zones.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneMap {
    /// Its name, in the same namespace.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub config_map: String,
    /// The key with the GeoJSON; all keys when absent. Content that is packed with gzip is unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: Option<String>,
}
