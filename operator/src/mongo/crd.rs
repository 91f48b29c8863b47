//! The custom resource MongoCluster.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::reconcile::PendingRestart;
use crate::reconcile::restarts::NodeRestart;
use crate::status::Condition;
use crate::types::{BindingStatus, DeletionPolicy, Operation, PodResources, Storage};

/// A store of documents: alerts, what vehicles measured last, profiles of drivers.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "MongoCluster",
    plural = "mongoclusters",
    shortname = "mgc",
    category = "millrace",
    namespaced,
    status = "MongoClusterStatus",
    derive = "PartialEq",
    doc = "A store of documents: alerts, what vehicles measured last, profiles of drivers.",
    printcolumn(name = "Engine", type_ = "string", json_path = ".spec.engine", description = "Which server it is"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether clients can connect"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].message", description = "Why it is, or is not, available", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 40 characters, because services are named after it; choose another name"),
)]
#[serde(rename_all = "camelCase")]
pub struct MongoClusterSpec {
    /// Which server it is.
    pub engine: Engine,
    /// The container image. The operator's own default for the engine when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The volume.
    #[serde(default = "default_storage")]
    pub storage: Storage,
    /// Memory and CPU. Caches are computed from the memory; 192Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('160Mi')) >= 0").message(Message::Expression("'spec.resources.memory: ' + self.memory + ': no server starts with so little; give at least 160Mi'".into())))]
    pub resources: Option<PodResources>,
    /// The database that the binding names.
    #[serde(default = "default_database")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    #[x_kube(validation = Rule::new("!(self in ['admin', 'local', 'config'])").message(Message::Expression("'spec.database: ' + self + ': is one of MongoDB itself; choose another name'".into())))]
    pub database: String,
    /// What becomes of the volume, with all documents on it, when the cluster is deleted.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_retain")]
    pub deletion_policy: DeletionPolicy,
    /// How it is run over time.
    #[serde(flatten)]
    pub operation: Operation,
    /// Stop reconciling this cluster; what runs goes on.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

/// Which server a MongoCluster is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Engine {
    /// One process that speaks MongoDB's wire protocol and keeps its documents in one file, without users and without
    /// replicas: for development. NetworkPolicies are what keeps others out.
    Wire,
}

fn default_storage() -> Storage {
    Storage {
        size: "2Gi".into(),
        storage_class: None,
    }
}

fn default_database() -> String {
    "millrace".into()
}

/// What was seen of a cluster.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MongoClusterStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded, Paused and Stopped.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The Secret with the connection details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingStatus>,
    /// Where clients find it, as `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub address: Option<String>,
    /// The size of the live volume, which may be larger than asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub storage: Option<String>,
    /// Servers that have to be restarted, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub restarts: Vec<NodeRestart>,
    /// Restarts that wait for approval: `millrace approve`, or the annotation millrace.dev/approve-restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pending_restarts: Vec<PendingRestart>,
}

conditioned!(MongoCluster, MongoClusterStatus);
