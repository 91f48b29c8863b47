//! The custom resource OpenWhisk.

pub mod apache;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::reconcile::PendingRestart;
use crate::reconcile::restarts::NodeRestart;
use crate::status::Condition;
use crate::types::{
    BindingStatus, DeletionPolicy, KeyRef, Operation, PodResources, Quantity, Storage,
    StorageGrowth, VolumeStatus,
};

/// An OpenWhisk: the place where actions run.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "OpenWhisk",
    plural = "openwhisks",
    shortname = "ow",
    category = "millrace",
    namespaced,
    status = "OpenWhiskStatus",
    derive = "PartialEq",
    doc = "An OpenWhisk: the place where actions run.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", description = "How it is run"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether actions can be invoked"),
    printcolumn(name = "Invokers", type_ = "integer", json_path = ".status.invokers", description = "Invokers that take activations", priority = 1),
    printcolumn(name = "Binding", type_ = "string", json_path = ".status.binding.name", description = "Secret with the connection details"),
    printcolumn(name = "Disk", type_ = "integer", json_path = ".status.disk.usedPercent", description = "How full the volume is, in percent", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].message", description = "Why it is, or is not, available", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 40 characters, because services are named after it; choose another name"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.mode == 'external') == has(self.bindingSecret)")
        .message("spec.bindingSecret: belongs to mode external; set both, or neither"),
    validation = Rule::new("(self.mode == 'external') == (oldSelf.mode == 'external')")
        .message(Message::Expression("'spec.mode: ' + self.mode + ': the actions would stay behind in the former OpenWhisk; put ' + oldSelf.mode + ' back, or make a new OpenWhisk'".into())),
    validation = Rule::new("!(self.mode in ['apache', 'lean']) || has(self.apache)")
        .message(Message::Expression("'spec.apache: absent in mode ' + self.mode + ': its servers keep everything in a MongoDB; add spec.apache.mongo, and for mode apache spec.apache.kafka'".into())),
    validation = Rule::new("self.mode != 'apache' || !has(self.apache) || has(self.apache.kafka)")
        .message("spec.apache.kafka: absent in mode apache: controller and invokers talk to each other by Kafka; add spec.apache.kafka with the cluster or its bindingSecret, or take mode lean"),
)]
pub struct OpenWhiskSpec {
    /// How it is run: `embedded`, one process with the same REST API, for native actions; `apache`, Apache OpenWhisk with a
    /// controller and invokers; `lean`, Apache OpenWhisk as one controller without Kafka; or `external`. Actions, Triggers and
    /// Rules, the address and the keys stay the same when it changes among the first three; activations of before do not.
    #[serde(default)]
    pub mode: Mode,
    /// A Secret with the connection details of an OpenWhisk that somebody else runs, for mode `external`: `uri`, `username`
    /// and `password`, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub binding_secret: Option<String>,
    /// The servers of Apache OpenWhisk. Nothing is made of it in the modes `embedded` and `external`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apache: Option<apache::Apache>,
    /// The container image of mode `embedded`. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The OpenWhisk namespace that actions live in.
    #[serde(default = "default_namespace")]
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9_@.-]*$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.namespace: cannot be changed, actions would be left behind; put the former value back, or make a new OpenWhisk"))]
    pub namespace: String,
    /// The volume for actions and activations, of mode `embedded`.
    #[serde(default = "default_storage")]
    pub storage: Storage,
    /// A volume that runs full grows by itself, where the storage class can. It does not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_growth: Option<StorageGrowth>,
    /// Memory and CPU of the pod, of mode `embedded`. The actions run inside it, so its memory bounds them all; 512Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('256Mi')) >= 0").message(Message::Expression("'spec.resources.memory: ' + self.memory + ': no action fits into so little; give at least 256Mi'".into())))]
    pub resources: Option<PodResources>,
    /// Who is told which actions ran and for whom, so that each run is a record of the topic `audit`. Mode `embedded` only; nobody
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<WhiskAudit>,
    /// Lets the server of mode `embedded` run actions of an image (kind `blackbox`): each as a pod beside it, kept for a while and
    /// deleted when nobody asks. Such actions are refused when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_actions: Option<ImageActions>,
    /// Whether the volume, with all actions and activations on it, is deleted together with this resource.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_retain")]
    pub deletion_policy: DeletionPolicy,
    /// How it is run over time.
    #[serde(flatten)]
    pub operation: Operation,
    /// Stop reconciling; what runs goes on.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

/// Who is told which actions ran.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhiskAudit {
    /// Address of a gateway inside the cluster, without TLS: what it is told has no person in it.
    #[schemars(length(min = 8, max = 512), regex(pattern = "^http://[^\\s/]+$"))]
    pub gateway_url: String,
    /// The key of a Secret with the gateway's `activations-token`.
    pub token_secret_ref: KeyRef,
}

fn default_namespace() -> String {
    "millrace".into()
}

fn default_storage() -> Storage {
    Storage {
        size: "1Gi".into(),
        storage_class: None,
    }
}

/// Actions of an image, each in a pod of its own.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageActions {
    /// Memory of all these pods together, as the sum of their actions' limits; more activations wait. 1Gi when absent.
    #[serde(default = "one_gibibyte")]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('128Mi')) >= 0").message(Message::Expression("'spec.imageActions.memory: ' + self + ': no action fits into so little; give at least 128Mi'".into())))]
    pub memory: Quantity,
    /// The Secret, in the same namespace, with the login of the registry that the images are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = crate::names::object())]
    pub pull_secret: Option<String>,
    /// So many seconds (1 to 86400) after its last activation a pod is deleted, and so long a process of another action is
    /// kept. 600 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 86400").message("out of bounds; give 1 to 86400"))]
    pub idle_seconds: Option<i32>,
}

fn one_gibibyte() -> Quantity {
    "1Gi".into()
}

/// How an OpenWhisk is run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Mode {
    /// One process with the REST API of OpenWhisk.
    #[default]
    Embedded,
    /// Apache OpenWhisk: a controller, and invokers that it reaches by Kafka.
    Apache,
    /// Apache OpenWhisk as one controller that is the invoker too.
    Lean,
    /// Somebody else runs it: only its connection details are kept here.
    External,
}

/// What was seen of an OpenWhisk.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenWhiskStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded, Paused, Stopped and DiskPressure.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Address of the REST API inside Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub uri: Option<String>,
    /// The Secret with the connection details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingStatus>,
    /// Invokers that take activations, in mode `apache`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invokers: Option<i32>,
    /// Servers that have to be restarted, in the modes `apache` and `lean`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub restarts: Vec<NodeRestart>,
    /// How full the volume is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<VolumeStatus>,
    /// The size of the live volume, which may be larger than asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub storage: Option<String>,
    /// Restarts that wait for approval: `millrace approve`, or the annotation millrace.dev/approve-restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pending_restarts: Vec<PendingRestart>,
}

conditioned!(OpenWhisk, OpenWhiskStatus);
