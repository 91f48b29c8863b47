//! The custom resource Action.

#![allow(
    clippy::duplicated_attributes,
    reason = "printer columns say the same of different things"
)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::status::Condition;
use crate::topic::crd::DeletionPolicy;
use crate::types::{Activations, FreeForm, KeyRef, free_form};

/// An action of an OpenWhisk: code, or a sequence of other actions.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "Action",
    plural = "actions",
    shortname = "mact",
    category = "millrace",
    namespaced,
    status = "ActionStatus",
    derive = "PartialEq",
    doc = "An action of an OpenWhisk: code, or a sequence of other actions.",
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
        description = "Whether the action is as asked for"
    ),
    printcolumn(
        name = "Failed",
        type_ = "integer",
        json_path = ".status.activations.failed",
        description = "How many of its last activations failed"
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
    validation = Rule::new("has(self.code) || has(self.sequence)")
        .message("spec.code: absent: action without code; set one of spec.code.builtin, spec.code.configMap, spec.code.url, spec.code.oci and spec.code.image, or spec.sequence"),
    validation = Rule::new("!(has(self.code) && has(self.sequence))")
        .message("spec.sequence: given beside spec.code: an action is either code or a sequence; remove one of the two"),
    validation = Rule::new("!has(self.sequence) || !has(self.parametersFrom) || size(self.parametersFrom) == 0")
        .message("spec.parametersFrom: given on a sequence: OpenWhisk takes the parameters of a sequence's components; set them on the component actions"),
    validation = Rule::new("has(self.actionName) == has(oldSelf.actionName) && (!has(self.actionName) || self.actionName == oldSelf.actionName)")
        .message("spec.actionName: cannot be changed, an action has no rename; put the former value back, or make a new Action"),
)]
pub struct ActionSpec {
    /// The OpenWhisk in the same namespace. It cannot be changed.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.openwhisk: cannot be changed, the action would live on in the former one; put the former value back, or delete this Action and make a new one"))]
    pub openwhisk: String,
    /// Name of the action in OpenWhisk; the name of this resource when absent. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9_@ .-]*$")
    )]
    pub action_name: Option<String>,
    /// The code to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ActionCode>,
    /// Names of actions in the same OpenWhisk that run one after the other, each with the former one's result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50), inner(length(min = 1, max = 256)))]
    pub sequence: Option<Vec<String>>,
    /// Runtime kind of the code.
    #[serde(default = "default_kind")]
    #[schemars(length(min = 1, max = 64))]
    pub kind: String,
    /// Entry point, where the runtime kind wants one.
    #[serde(default = "default_main")]
    #[schemars(length(min = 1, max = 128))]
    pub main: String,
    /// Parameters bound to the action.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "free_form")]
    pub parameters: FreeForm,
    /// Parameters whose values are in Secrets. They win over `parameters` of the same name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters_from: Vec<SecretParameter>,
    /// Annotations of the action in OpenWhisk, their values any JSON: `web-export: true` makes it a web action. `exec` is
    /// the server's own.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::openwhisk_annotations")]
    pub annotations: FreeForm,
    /// Limits of one activation.
    #[serde(default)]
    pub limits: ActionLimits,
    /// Whether the action is taken out of OpenWhisk when this resource is deleted.
    #[serde(default = "DeletionPolicy::of_what_holds_no_data")]
    pub deletion_policy: DeletionPolicy,
    /// Stop reconciling this action.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

fn default_kind() -> String {
    "rust:default".into()
}

fn default_main() -> String {
    "main".into()
}

/// Where the code of an action comes from.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.builtin) || has(self.configMap) || has(self.url) || has(self.oci) || has(self.image)")
        .message("spec.code: empty: action without code; set one of spec.code.builtin, spec.code.configMap, spec.code.url, spec.code.oci and spec.code.image"),
    validation = Rule::new("[has(self.builtin), has(self.configMap), has(self.url), has(self.oci), has(self.image)].filter(x, x).size() <= 1")
        .message("spec.code: given in several places: the code comes from one place; leave one of builtin, configMap, url, oci and image"),
)]
pub struct ActionCode {
    /// An action that comes with the operator, for example `assess-vehicle` or `notify-driver`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub builtin: Option<String>,
    /// A zip in the `binaryData` of a ConfigMap in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<KeyRef>,
    /// A zip at an address, which the operator reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<CodeUrl>,
    /// An artifact of an OCI registry, which the operator reads: its only layer is the zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<CodeOci>,
    /// An image with all in it, with its digest: `registry.example/team/action@sha256:…`. It answers `/init` and `/run` on port
    /// 8080, as images of OpenWhisk do; the kind is `blackbox`, whatever `kind` says. The OpenWhisk has to run images
    /// (`spec.imageActions` of one in mode `embedded`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[^@ ]+@sha256:[0-9a-f]{64}$')").message("spec.code.image: is no image with a digest; write it like registry.example/team/action@sha256: and 64 lower-case hexadecimal digits"))]
    pub image: Option<String>,
}

/// Code at an address. What comes is what the digest says, or it is not taken, and what is installed stays.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CodeUrl {
    /// The address, https. At most 36 MiB are read.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https://[^/@?#]+/[^ ]*$')").message("spec.code.url.url: is no https address without a login; write it like https://example.org/action.zip"))]
    pub url: String,
    /// SHA-256 of the zip, in hexadecimal: as `sha256sum` and `millrace action build` print it.
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-f]{64}$')").message("spec.code.url.sha256: is no SHA-256; write its 64 lower-case hexadecimal digits"))]
    pub sha256: String,
    /// A ConfigMap with the certificate of the authority that the server's certificate is of, in PEM; those that the operator's
    /// system trusts when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<KeyRef>,
}

/// An artifact of an OCI registry. What comes is what the digest says, or it is not taken, and what is installed stays.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CodeOci {
    /// The artifact, with its digest: `registry.example/team/action@sha256:…`.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[^/@ ]+/[^@ ]+@sha256:[0-9a-f]{64}$')").message("spec.code.oci.reference: is no artifact with a digest; write it like registry.example/team/action@sha256: and 64 lower-case hexadecimal digits"))]
    pub reference: String,
    /// A Secret of type `kubernetes.io/dockerconfigjson` in the same namespace, where the registry asks who reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub pull_secret: Option<String>,
    /// A ConfigMap with the certificate of the authority that the registry's certificate is of, in PEM; those that the
    /// operator's system trusts when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<KeyRef>,
}

/// A parameter whose value is in a Secret.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretParameter {
    /// Name of the parameter.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// The key of a Secret in the same namespace that holds the value, as text.
    pub secret_ref: KeyRef,
    /// Leave the parameter out where the Secret has no such key. The Secret itself has to be there.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub optional: bool,
}

/// Limits of one activation.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionLimits {
    /// How long one activation may take, in milliseconds (100 to 300000).
    #[serde(default = "default_timeout")]
    #[x_kube(validation = Rule::new("self >= 100 && self <= 300000").message("out of bounds; give 100 to 300000"))]
    pub timeout_milliseconds: i32,
    /// Memory of one activation, in megabytes (128 to 512).
    #[serde(default = "default_memory")]
    #[x_kube(validation = Rule::new("self >= 128 && self <= 512").message("out of bounds; give 128 to 512"))]
    pub memory_megabytes: i32,
    /// Log lines kept of one activation, in megabytes (0 to 10).
    #[serde(default = "default_logs")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 10").message("out of bounds; give 0 to 10"))]
    pub logs_megabytes: i32,
}

impl Default for ActionLimits {
    fn default() -> Self {
        Self {
            timeout_milliseconds: default_timeout(),
            memory_megabytes: default_memory(),
            logs_megabytes: default_logs(),
        }
    }
}

fn default_timeout() -> i32 {
    60_000
}

fn default_memory() -> i32 {
    128
}

fn default_logs() -> i32 {
    1
}

/// What was seen of an action.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded and Paused.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Name of the action in OpenWhisk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub action_name: Option<String>,
    /// The version that OpenWhisk gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// SHA-256 of the code that is installed, in hexadecimal; of the component list for a sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    pub digest: Option<String>,
    /// The artifact that the code is from, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub code_from: Option<String>,
    /// SHA-256 over parameters, limits and annotations as last written, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    pub settings_digest: Option<String>,
    /// How its last activations went. Nothing while there has been none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activations: Option<Activations>,
}

impl Action {
    /// The name of the action in OpenWhisk.
    #[must_use]
    pub fn action_name(&self) -> &str {
        match &self.spec.action_name {
            Some(name) => name,
            None => self.metadata.name.as_deref().unwrap_or_default(),
        }
    }
}

conditioned!(Action, ActionStatus);
