//! The custom resource Rule.

#![allow(
    clippy::duplicated_attributes,
    reason = "printer columns say the same of different things"
)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::status::Condition;
use crate::topic::crd::DeletionPolicy;
use crate::types::Activations;

/// A rule of an OpenWhisk: an action that runs at each event of a trigger.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "Rule",
    // The name Rule is taken: by rules of validation, and by those of access.
    root = "WhiskRule",
    plural = "rules",
    shortname = "mrule",
    category = "millrace",
    namespaced,
    status = "RuleStatus",
    derive = "PartialEq",
    doc = "A rule of an OpenWhisk: an action that runs at each event of a trigger.",
    printcolumn(
        name = "Trigger",
        type_ = "string",
        json_path = ".spec.trigger",
        description = "The trigger it listens to"
    ),
    printcolumn(
        name = "Action",
        type_ = "string",
        json_path = ".spec.action",
        description = "The action it runs"
    ),
    printcolumn(
        name = "Active",
        type_ = "boolean",
        json_path = ".status.active",
        description = "Whether it runs the action"
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Available')].status",
        description = "Whether the rule is as asked for"
    ),
    printcolumn(
        name = "Failed",
        type_ = "integer",
        json_path = ".status.activations.failed",
        description = "How many of its last runs failed"
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
    validation = Rule::new("has(self.ruleName) == has(oldSelf.ruleName) && (!has(self.ruleName) || self.ruleName == oldSelf.ruleName)")
        .message("spec.ruleName: cannot be changed, a rule has no rename; put the former value back, or make a new Rule"),
)]
pub struct RuleSpec {
    /// The OpenWhisk in the same namespace. It cannot be changed.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.openwhisk: cannot be changed, the rule would live on in the former one; put the former value back, or delete this Rule and make a new one"))]
    pub openwhisk: String,
    /// Name of the rule in OpenWhisk; the name of this resource when absent. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9_@ .-]*$")
    )]
    pub rule_name: Option<String>,
    /// Name of the trigger in the same OpenWhisk.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9_@ .-]*$")
    )]
    pub trigger: String,
    /// Name of the action in the same OpenWhisk.
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9_@ .-]*(/[A-Za-z0-9_][A-Za-z0-9_@ .-]*)?$")
    )]
    pub action: String,
    /// Whether the action runs at each event. An inactive rule stays in place and does nothing.
    #[serde(default = "active")]
    pub active: bool,
    /// Whether the rule is taken out of OpenWhisk when this resource is deleted.
    #[serde(default = "DeletionPolicy::of_what_holds_no_data")]
    pub deletion_policy: DeletionPolicy,
    /// Stop reconciling this rule.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

fn active() -> bool {
    true
}

/// What was seen of a rule.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded and Paused.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Name of the rule in OpenWhisk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub rule_name: Option<String>,
    /// The version that OpenWhisk gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// Whether OpenWhisk runs the action at each event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// How its last runs went, at the last 20 fires of its trigger: one failed when its action could not be started, or failed.
    /// Nothing while there has been none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activations: Option<Activations>,
}

impl WhiskRule {
    /// The name of the rule in OpenWhisk.
    #[must_use]
    pub fn rule_name(&self) -> &str {
        match &self.spec.rule_name {
            Some(name) => name,
            None => self.metadata.name.as_deref().unwrap_or_default(),
        }
    }
}

conditioned!(WhiskRule, RuleStatus);
