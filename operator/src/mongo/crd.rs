//! The custom resource MongoCluster.

mod backup;
mod status;
mod users;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use backup::Backup;
pub use status::{BackupStatus, MongoClusterStatus, UserStatus};
pub use users::{Right, Role, User};

use crate::conditioned;
use crate::types::{DeletionPolicy, Operation, PodResources, Storage};

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
    printcolumn(name = "Members", type_ = "integer", json_path = ".status.readyMembers", description = "How many members serve"),
    printcolumn(name = "Primary", type_ = "string", json_path = ".status.primary", description = "The pod that takes writes"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether clients can connect"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].message", description = "Why it is, or is not, available", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 40 characters, because services are named after it; choose another name"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.engine == 'mongodb' || (!has(self.members) || self.members == 1) && !has(self.users) && !has(self.backup)")
        .message("spec.engine: wire is one process without users and dumps; remove members, users and backup, or make a cluster whose engine is mongodb"),
    validation = Rule::new("self.engine != 'mongodb' || !has(self.resources) || !has(self.resources.memory) || quantity(self.resources.memory).compareTo(quantity('512Mi')) >= 0")
        .message(Message::Expression("'spec.resources.memory: ' + self.resources.memory + ': mongod does not fit into so little; give at least 512Mi'".into())),
)]
pub struct MongoClusterSpec {
    /// Which server it is. It cannot be changed: no engine reads another one's volume.
    #[x_kube(validation = Rule::new("self == oldSelf").message(Message::Expression("'spec.engine: ' + self + ': cannot be changed, because no engine reads the volume of another one; put ' + oldSelf + ' back (in a Platform spec.mongo.engine), or make a new cluster'".into())))]
    pub engine: Engine,
    /// How many members the replica set has: 1, 3 or 5, of which a majority has to live. One that is taken out leaves the
    /// set before its pod goes; its volume stays.
    #[serde(default = "one_member")]
    #[x_kube(validation = Rule::new("self in [1, 3, 5]").message("spec.members: not 1, 3 or 5: an even number bears no more losses than one less; give 1, 3 or 5"))]
    pub members: i32,
    /// The container image: for `mongodb` one from version 5 on in the layout of the upstream image (`mongo:7.0`). The
    /// operator's own default for the engine when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The volume of each member.
    #[serde(default = "default_storage")]
    pub storage: Storage,
    /// Memory and CPU of each member. Caches are computed from the memory; 1Gi when absent, and 192Mi for `wire`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('160Mi')) >= 0").message(Message::Expression("'spec.resources.memory: ' + self.memory + ': no server starts with so little; give at least 160Mi'".into())))]
    pub resources: Option<PodResources>,
    /// The database that the binding names.
    #[serde(default = "default_database")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    #[x_kube(validation = Rule::new("!(self in ['admin', 'local', 'config'])").message(Message::Expression("'spec.database: ' + self + ': is one of MongoDB itself; choose another name'".into())))]
    pub database: String,
    /// Users beside `jobs`, which may read and write `database` and the same with `-identity`, and whose Secret is
    /// `NAME-binding`. One of that name here may what it says here. Whoever is taken out is dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub users: Vec<User>,
    /// Dumps by schedule, onto a volume of their own. None when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// What becomes of the volumes, with all documents on them, when the cluster is deleted. Dumps stay in any case.
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
    /// MongoDB itself, as a replica set with users and TLS.
    Mongodb,
}

fn one_member() -> i32 {
    1
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

conditioned!(MongoCluster, MongoClusterStatus);
