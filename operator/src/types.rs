//! Types that several custom resources share: quantities, storage, resources, references.

mod activations;
mod metadata;
mod operation;
mod overrides;

use std::borrow::Cow;
use std::fmt;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use activations::{Activations, LastError};
pub use metadata::without_managed_fields;
pub use operation::{
    Day, DeletionPolicy, MaintenanceWindow, Operation, Windows, moment, tell_stopped,
};
pub use overrides::override_pods;

/// The API group of every custom resource of this project.
pub const GROUP: &str = "millrace.dev";
/// The version that is served and stored.
pub const VERSION: &str = "v1alpha1";

/// A Kubernetes quantity such as `512Mi` or `1.5Gi`, kept as written.
///
/// Only the forms that people write for sizes are accepted: no exponents and no negative numbers.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

impl Quantity {
    /// The amount in its base unit (bytes for sizes), rounded down; `None` when it is not a quantity.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        let split = self
            .0
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(self.0.len());
        let (number, suffix) = self.0.split_at(split);
        let number: f64 = number.parse().ok()?;
        let factor: f64 = match suffix {
            "" => 1.0,
            "m" => 1e-3,
            "k" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            "T" => 1e12,
            "P" => 1e15,
            "Ki" => 1024.0,
            "Mi" => 1024.0 * 1024.0,
            "Gi" => 1024.0 * 1024.0 * 1024.0,
            "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            "Pi" => 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0,
            _ => return None,
        };
        let amount = number * factor;
        // Sizes beyond 2^53 would lose precision; nothing here is that large.
        (amount.is_finite() && amount < 9e15).then_some(amount as u64)
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&Quantity> for k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    fn from(quantity: &Quantity) -> Self {
        Self(quantity.0.clone())
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 24,
            "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$",
        })
    }
}

/// The schema of an object whose content belongs to somebody else: kept as written, checked by its reader.
pub fn free_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "maxProperties": 64,
    })
}

/// The schema of annotations of an object of Kubernetes.
#[must_use]
pub fn kubernetes_annotations(_: &mut SchemaGenerator) -> Schema {
    string_map(64, 1024)
}

/// The schema of annotations of an entity of OpenWhisk: their values are any JSON, as those of parameters.
#[must_use]
pub fn openwhisk_annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "maxProperties": 32,
    })
}

/// The schema of a map from string to string.
#[must_use]
pub fn string_map(max_properties: u32, max_length: u32) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": max_properties,
        "additionalProperties": {"type": "string", "maxLength": max_length},
    })
}

/// Whether a switch is off: what nobody asked for is not written.
#[must_use]
pub fn is_false(switch: &bool) -> bool {
    !switch
}

/// A free-form object.
pub type FreeForm = serde_json::Map<String, serde_json::Value>;

/// Reads the configuration of a job as the job itself will: the field that holds it, the job, and the page that tells its keys.
///
/// # Errors
/// A key is unknown, or a value has the wrong type.
pub fn configuration<T: serde::de::DeserializeOwned>(
    config: &FreeForm,
    (field, job, page): (&str, &str, &str),
) -> Result<T, millrace_contract::Invalid> {
    serde_json::from_value(serde_json::Value::Object(config.clone())).map_err(|error| {
        millrace_contract::Invalid::new(
            field,
            job,
            error.to_string(),
            format!("see {page} for the keys and their values"),
        )
    })
}

/// A persistent volume.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("quantity(self.size).compareTo(quantity('64Mi')) >= 0")
        .message(Message::Expression("'storage.size: ' + self.size + ': is too small; give at least 64Mi'".into())),
    validation = Rule::new("quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0")
        .message(Message::Expression("'storage.size: ' + self.size + ': a volume may grow but not shrink; give ' + oldSelf.size + ' or more'".into())),
    validation = Rule::new("has(self.storageClass) == has(oldSelf.storageClass) && (!has(self.storageClass) || self.storageClass == oldSelf.storageClass)")
        .message("storage.storageClass: cannot be changed once the volume exists; put the former value back, or make a new resource"),
)]
pub struct Storage {
    /// Size of the volume. It may grow later where the storage class can; it never shrinks.
    pub size: Quantity,
    /// Storage class of the volume; the cluster's default class when absent. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class: Option<String>,
}

/// How far volumes grow by themselves.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageGrowth {
    /// The size that no volume grows beyond.
    pub maximum: Quantity,
    /// By how much a volume grows that is 80 % full, in percent of its size.
    #[serde(default = "step_percent")]
    #[schemars(range(min = 5, max = 100))]
    pub step_percent: i32,
}

fn step_percent() -> i32 {
    25
}

/// How full the fullest volume is.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeStatus {
    /// How much of it is taken, in percent, in steps of 5.
    pub used_percent: i32,
    /// The pod whose volume it is.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Whether it is as good as full.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub full: bool,
}

/// What one pod asks for and may use.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodResources {
    /// Memory, both requested and the limit. A default that suits the component is taken when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// CPU requested. There is no CPU limit: it would only add latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
}

/// What copies are spread over.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rack {
    /// The label of the nodes of Kubernetes whose value is the rack.
    #[serde(default = "zone")]
    #[schemars(length(min = 1, max = 316))]
    pub topology_key: String,
}

fn zone() -> String {
    "topology.kubernetes.io/zone".into()
}

/// One key of a Secret.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// Name of the object, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key inside it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Where the connection details of a service are.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingStatus {
    /// Name of the Secret, in the form of the Service Binding specification.
    #[schemars(length(max = 253))]
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_bytes() {
        for (text, bytes) in [
            ("1Gi", Some(1 << 30)),
            ("512Mi", Some(512 << 20)),
            ("1.5Ki", Some(1536)),
            ("64M", Some(64_000_000)),
            ("100", Some(100)),
            ("1e3", None),
            ("", None),
            ("-1Gi", None),
            ("12 Gi", None),
        ] {
            assert_eq!(Quantity::from(text).bytes(), bytes, "{text}");
        }
    }
}
