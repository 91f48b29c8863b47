//! The custom resource KafkaCluster.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::reconcile::PendingRestart;
use crate::status::Condition;
use crate::types::{BindingStatus, PodResources, Storage};

/// An Apache Kafka cluster in KRaft mode. This version runs one node that is broker and controller in one.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
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
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".spec.nodes", description = "Nodes asked for"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether clients can use it"),
    printcolumn(name = "Storage", type_ = "string", json_path = ".status.storage", description = "Size of a node's volume"),
    printcolumn(name = "Binding", type_ = "string", json_path = ".status.binding.name", description = "Secret with the connection details"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].message", description = "Why it is, or is not, available", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 40 characters, because services are named after it; choose another name"),
)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterSpec {
    /// How many nodes run. This version runs exactly one.
    #[x_kube(
        validation = Rule::new("self >= 1").message("a Kafka cluster needs at least one node; set spec.nodes to 1"),
        validation = Rule::new("self <= 1").message("this version runs one combined broker and controller; set spec.nodes to 1"),
    )]
    pub nodes: i32,
    /// The container image, in the layout of apache/kafka. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The volume of a node, for the log of records.
    pub storage: Storage,
    /// Memory and CPU of a node. The Java heap is computed from the memory; 512Mi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('256Mi')) >= 0").message(Message::Expression("'spec.resources.memory: ' + self.memory + ': a Kafka node does not start with so little; give at least 256Mi'".into())))]
    pub resources: Option<PodResources>,
    /// Broker settings that are put after the computed ones, for example `log.retention.hours`.
    /// Settings that the operator must own are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "config_schema")]
    #[x_kube(validation = Rule::new("!self.exists(k, k in ['node.id', 'process.roles', 'listeners', 'advertised.listeners', 'listener.security.protocol.map', 'controller.listener.names', 'controller.quorum.voters', 'controller.quorum.bootstrap.servers', 'log.dirs', 'log.dir', 'metadata.log.dir', 'broker.id', 'inter.broker.listener.name'])")
        .message("names a setting that the operator owns (node.id, process.roles, listeners, quorum, log directories); remove it from spec.config"))]
    pub config: BTreeMap<String, String>,
    /// Stop reconciling this cluster; what runs goes on.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

fn config_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    crate::types::string_map(64, 1024)
}

/// What was seen of a Kafka cluster.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Available, Progressing, Degraded and Paused.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Addresses for clients inside Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub bootstrap_servers: Option<String>,
    /// The Secret with the connection details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingStatus>,
    /// Nodes that are ready.
    #[serde(default)]
    pub ready_nodes: i32,
    /// The size of a node's live volume, which may be larger than asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub storage: Option<String>,
    /// Restarts that wait for approval: `millrace approve`, or the annotation millrace.dev/approve-restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pending_restarts: Vec<PendingRestart>,
}

conditioned!(KafkaCluster, KafkaClusterStatus);
