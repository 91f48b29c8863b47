//! The custom resource ZooKeeperEnsemble.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::reconcile::PendingRestart;
use crate::reconcile::restarts::NodeRestart;
use crate::status::Condition;
use crate::types::{
    BindingStatus, DeletionPolicy, Operation, PodResources, Storage, StorageGrowth, VolumeStatus,
};

/// An Apache ZooKeeper ensemble, for systems that need one.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "ZooKeeperEnsemble",
    plural = "zookeeperensembles",
    shortname = "zke",
    category = "millrace",
    namespaced,
    status = "ZooKeeperEnsembleStatus",
    derive = "PartialEq",
    doc = "An Apache ZooKeeper ensemble.",
    printcolumn(name = "Servers", type_ = "integer", json_path = ".spec.servers", description = "Servers asked for"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyServers", description = "Servers that serve"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether a majority serves"),
    printcolumn(name = "Leader", type_ = "string", json_path = ".status.leader", description = "The pod that leads"),
    printcolumn(name = "Disk", type_ = "integer", json_path = ".status.disk.usedPercent", description = "How full the fullest volume is, in percent", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].message", description = "Why it is, or is not, available", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 40 characters, because services are named after it; choose another name"),
)]
#[serde(rename_all = "camelCase")]
pub struct ZooKeeperEnsembleSpec {
    /// How many servers run: 1, or 3 to bear the loss of one. It cannot be changed: new servers could outvote those that
    /// have the data.
    #[serde(default = "one")]
    #[x_kube(
        validation = Rule::new("self in [1, 3]").message("spec.servers: an ensemble has one server, or three; set 1 or 3"),
        validation = Rule::new("self == oldSelf").message("spec.servers: cannot be changed, because new servers could outvote those that have the data; put the former number back, or make a new ensemble"),
    )]
    pub servers: i32,
    /// The container image, in the layout of the upstream image. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The volume of each server, for its snapshots and its log.
    #[serde(default = "small")]
    pub storage: Storage,
    /// Volumes that run full grow by themselves, where the storage class can. They do not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_growth: Option<StorageGrowth>,
    /// Memory and CPU of a server. The Java heap is computed from the memory; 256Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('192Mi')) >= 0").message(Message::Expression("'spec.resources.memory: ' + self.memory + ': a server does not start with so little; give at least 192Mi'".into())))]
    pub resources: Option<PodResources>,
    /// Settings of all servers that are put after the computed ones, for example `maxClientCnxns`.
    /// Settings that the operator must own are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "config_schema")]
    #[x_kube(validation = Rule::new("!self.exists(k, k in ['dataDir', 'dataLogDir', 'clientPort', 'clientPortAddress', '4lw.commands.whitelist', 'reconfigEnabled', 'standaloneEnabled', 'quorumListenOnAllIPs', 'dynamicConfigFile'] || k.startsWith('server.') || k.startsWith('group.') || k.startsWith('weight.'))")
        .message("names a setting that the operator owns (servers, ports, directories, four-letter words, reconfiguration); remove it from spec.config"))]
    pub config: BTreeMap<String, String>,
    /// What becomes of the volumes when the ensemble is deleted.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_retain")]
    pub deletion_policy: DeletionPolicy,
    /// How it is run over time.
    #[serde(flatten)]
    pub operation: Operation,
    /// Stop reconciling this ensemble; what runs goes on.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

fn one() -> i32 {
    1
}

fn small() -> Storage {
    Storage {
        size: "1Gi".into(),
        storage_class: None,
    }
}

fn config_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    crate::types::string_map(64, 1024)
}

/// What was seen of an ensemble.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ZooKeeperEnsembleStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded, Paused, Stopped and DiskPressure.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The Secret with the connection details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingStatus>,
    /// Servers that serve clients.
    #[serde(default)]
    pub ready_servers: i32,
    /// The pod that leads, as the servers say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub leader: Option<String>,
    /// How full the fullest volume is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<VolumeStatus>,
    /// The size of the smallest live volume, which may be larger than asked for.
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

conditioned!(ZooKeeperEnsemble, ZooKeeperEnsembleStatus);
