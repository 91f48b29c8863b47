//! The custom resource KafkaCluster.

mod listeners;
mod pool;
mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::types::{
    DeletionPolicy, FreeForm, MaintenanceWindow, PodResources, Quantity, Storage, StorageGrowth,
};

pub use crate::types::Rack;
pub use listeners::{CaSecret, External, ExternalType, Listeners, Secure};
pub use pool::{Pool, Role, Volume};
pub use status::{
    CertificatePhase, CertificateStatus, DiskStatus, DrainStatus, KafkaClusterStatus, MovesStatus,
    PoolStatus, QuorumStatus, RebalanceStatus, VolumeReplacementPhase, VolumeReplacementStatus,
};

/// An Apache Kafka cluster in KRaft mode: either `nodes` that are brokers and controllers in one, or `pools` of nodes.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "KafkaCluster",
    plural = "kafkaclusters",
    shortname = "kc",
    category = "millrace",
    namespaced,
    status = "KafkaClusterStatus",
    derive = "PartialEq",
    doc = "An Apache Kafka cluster in KRaft mode.",
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes", description = "Nodes asked for"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyNodes", description = "Nodes that are ready"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether clients can use it"),
    printcolumn(name = "Storage", type_ = "string", json_path = ".status.storage", description = "Size of the smallest volume of a node"),
    printcolumn(name = "Binding", type_ = "string", json_path = ".status.binding.name", description = "Secret with the connection details"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].message", description = "Why it is, or is not, available", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 40 characters, because services are named after it; choose another name"),
    validation = Rule::new("!has(self.spec.pools) || self.spec.pools.all(p, size(self.metadata.name) + size(p.name) <= 51)")
        .message("spec.pools: the name of a pool is too long together with that of the cluster, because pods are called after both; take 51 characters at most for the two"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.nodes) != has(self.pools)")
        .message("spec.nodes, spec.pools: a cluster has either nodes of one kind or pools; set exactly one of the two"),
    validation = Rule::new("has(self.nodes) == has(self.storage)")
        .message("spec.storage: belongs to spec.nodes; set both, or write spec.pools with volumes of their own"),
    validation = Rule::new("has(self.nodes) == has(oldSelf.nodes)")
        .message("spec.nodes, spec.pools: a cluster cannot change from one to the other, because its volumes would stay behind; put the former field back, or make a new cluster"),
    validation = Rule::new("(has(self.listeners) && has(self.listeners.secure)) == (has(oldSelf.listeners) && has(oldSelf.listeners.secure))")
        .message("spec.listeners.secure: cannot be added or removed while the cluster runs, because its nodes would not understand each other on the way; put it back, or make a new cluster"),
)]
pub struct KafkaClusterSpec {
    /// How many nodes run that are broker and controller in one, with the ids from 0. An even number of them bears no
    /// more failures than the odd one below. For other layouts write `pools` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new("self >= 1").message("a Kafka cluster needs at least one node; set spec.nodes to 1 or more"),
        validation = Rule::new("self <= 9").message("more than nine controllers slow each other down; set spec.nodes to 9 or less, or write spec.pools with brokers apart from controllers"),
    )]
    pub nodes: Option<i32>,
    /// Pools of nodes that are alike, for controllers apart from brokers, and for brokers of several kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[x_kube(
        validation = Rule::new("self.all(a, self.all(b, a.name == b.name || a.lastNodeId < b.firstNodeId || b.lastNodeId < a.firstNodeId))")
            .message("spec.pools: the ranges firstNodeId to lastNodeId of two pools overlap; give each pool ids of its own"),
        validation = Rule::new("self.exists(p, p.roles.exists(r, r == 'controller') && p.replicas > 0)")
            .message("spec.pools: no pool with the role controller has a node; give one of them replicas, best 3"),
        validation = Rule::new("self.exists(p, p.roles.exists(r, r == 'broker') && p.replicas > 0)")
            .message("spec.pools: no pool with the role broker has a node; give one of them replicas"),
    )]
    pub pools: Vec<Pool>,
    /// The container image, in the layout of apache/kafka. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The volume of each of the `nodes`, for the log of records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Volumes that run full grow by themselves, where the storage class can. They do not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_growth: Option<StorageGrowth>,
    /// Memory and CPU of a node, where its pool does not say. The Java heap is computed from the memory; 512Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('256Mi')) >= 0").message(Message::Expression("'spec.resources.memory: ' + self.memory + ': a Kafka node does not start with so little; give at least 256Mi'".into())))]
    pub resources: Option<PodResources>,
    /// Settings of all nodes that are put after the computed ones, for example `log.retention.hours`.
    /// Settings that the operator must own are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "config_schema")]
    #[x_kube(validation = Rule::new("!self.exists(k, k in ['node.id', 'process.roles', 'listeners', 'advertised.listeners', 'listener.security.protocol.map', 'controller.listener.names', 'controller.quorum.voters', 'controller.quorum.bootstrap.servers', 'log.dirs', 'log.dir', 'metadata.log.dir', 'broker.id', 'broker.rack', 'inter.broker.listener.name', 'super.users', 'authorizer.class.name', 'ssl.principal.mapping.rules'] || k.startsWith('listener.name.') || k.startsWith('ssl.keystore.') || k.startsWith('ssl.truststore.'))")
        .message("names a setting that the operator owns (node.id, process.roles, listeners, quorum, log directories, rack, certificates, super users); remove it from spec.config"))]
    pub config: BTreeMap<String, String>,
    /// How clients and nodes reach nodes. Plain text inside Kubernetes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listeners: Option<Listeners>,
    /// Copies of a partition are spread over racks. Nodes of Kubernetes say which rack they are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<Rack>,
    /// The version of Kafka's own metadata that the cluster stays at, for example `4.0`, so that its image can go back
    /// after an upgrade. When absent it follows the image once all nodes run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]+[.][0-9]+(-IV[0-9]+)?$')").message(Message::Expression("'spec.metadataVersion: ' + self + ': is no version of metadata; write it like 4.0 or 4.0-IV3'".into())))]
    pub metadata_version: Option<String>,
    /// Bytes per second that each broker sends, and takes, at most while the operator moves replicas (drain, rebalance);
    /// 50Mi when absent. It holds at once, also for what moves already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity('64Ki')) >= 0").message(Message::Expression("'spec.replicaMoveRate: ' + self + ': with so little a move never ends; give at least 64Ki'".into())))]
    pub replica_move_rate: Option<Quantity>,
    /// What is laid over the pods of all nodes, in the form of a pod template (`metadata` and `spec`), merged as
    /// Kubernetes does by strategic merge. The container is called `kafka`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
    /// When restarts that wait for approval may happen without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// What becomes of the volumes and of the certificate authority when the cluster is deleted.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_retain")]
    pub deletion_policy: DeletionPolicy,
    /// Whether no node is to run. Volumes, addresses and certificates stay, and the cluster goes on where it was.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub stopped: bool,
    /// Stop reconciling this cluster; what runs goes on.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

fn config_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    crate::types::string_map(64, 1024)
}

conditioned!(KafkaCluster, KafkaClusterStatus);
