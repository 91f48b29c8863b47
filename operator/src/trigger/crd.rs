//! The custom resource Trigger.

#![allow(
    clippy::duplicated_attributes,
    reason = "printer columns say the same of different things"
)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::action::crd::SecretParameter;
use crate::conditioned;
use crate::status::Condition;
use crate::topic::crd::DeletionPolicy;
use crate::types::{Activations, FreeForm, free_form};

/// A trigger of an OpenWhisk: a named channel of events. Rules say what runs at each of them.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "Trigger",
    plural = "triggers",
    shortname = "mtrig",
    category = "millrace",
    namespaced,
    status = "TriggerStatus",
    derive = "PartialEq",
    doc = "A trigger of an OpenWhisk: a named channel of events. Rules say what runs at each of them.",
    printcolumn(
        name = "OpenWhisk",
        type_ = "string",
        json_path = ".spec.openwhisk",
        description = "The OpenWhisk it lives in"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        description = "Version that OpenWhisk gave it"
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Available')].status",
        description = "Whether the trigger is as asked for"
    ),
    printcolumn(
        name = "Failed",
        type_ = "integer",
        json_path = ".status.activations.failed",
        description = "How many of its last fires failed"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Available')].message",
        description = "Why it is, or is not",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.triggerName) == has(oldSelf.triggerName) && (!has(self.triggerName) || self.triggerName == oldSelf.triggerName)")
        .message("spec.triggerName: cannot be changed, a trigger has no rename; put the former value back, or make a new Trigger"),
)]
pub struct TriggerSpec {
    /// The OpenWhisk in the same namespace. It cannot be changed.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.openwhisk: cannot be changed, the trigger would live on in the former one; put the former value back, or delete this Trigger and make a new one"))]
    pub openwhisk: String,
    /// Name of the trigger in OpenWhisk; the name of this resource when absent. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9_@ .-]*$")
    )]
    pub trigger_name: Option<String>,
    /// Parameters that every event has, unless it brings its own of the same name.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub parameters: FreeForm,
    /// Parameters whose values are in Secrets. They win over `parameters` of the same name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters_from: Vec<SecretParameter>,
    /// Annotations of the trigger in OpenWhisk, their values any JSON.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::openwhisk_annotations")]
    pub annotations: FreeForm,
    /// Whether the trigger is taken out of OpenWhisk when this resource is deleted.
    #[serde(default = "DeletionPolicy::of_what_holds_no_data")]
    pub deletion_policy: DeletionPolicy,
    /// Stop reconciling this trigger.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

/// What was seen of a trigger.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded and Paused.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Name of the trigger in OpenWhisk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub trigger_name: Option<String>,
    /// The version that OpenWhisk gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// How its last fires went: one failed when the action of an active rule could not be started. What the actions answered
    /// is told by the Rules and the Actions. Nothing while no fire started anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activations: Option<Activations>,
}

impl Trigger {
    /// The name of the trigger in OpenWhisk.
    #[must_use]
    pub fn trigger_name(&self) -> &str {
        match &self.spec.trigger_name {
            Some(name) => name,
            None => self.metadata.name.as_deref().unwrap_or_default(),
        }
    }
}

conditioned!(Trigger, TriggerStatus);
