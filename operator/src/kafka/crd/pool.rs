//! Pools of nodes that are alike.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::{FreeForm, PodResources, Quantity};

/// What a node does.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Takes part in the quorum that keeps the metadata.
    Controller,
    /// Stores records and serves clients.
    Broker,
}

/// Nodes that are alike. The node with ordinal n has the id `firstNodeId` + n.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.firstNodeId <= self.lastNodeId")
        .message(Message::Expression("'spec.pools[' + self.name + '].lastNodeId: is below firstNodeId; give a range that goes up'".into())),
    validation = Rule::new("self.firstNodeId + self.replicas - 1 <= self.lastNodeId")
        .message(Message::Expression("'spec.pools[' + self.name + '].replicas: do not fit into the ids from firstNodeId to lastNodeId; take fewer, or make a further pool'".into())),
    validation = Rule::new("self.firstNodeId == oldSelf.firstNodeId && self.lastNodeId == oldSelf.lastNodeId")
        .message(Message::Expression("'spec.pools[' + self.name + '].firstNodeId, lastNodeId: cannot be changed, because nodes are known by their ids; put the former range back, or make a further pool'".into())),
    validation = Rule::new("size(self.roles) == size(oldSelf.roles) && self.roles.all(r, oldSelf.roles.exists(o, o == r))")
        .message(Message::Expression("'spec.pools[' + self.name + '].roles: cannot be changed; put the former roles back, or make a further pool'".into())),
    validation = Rule::new("size(self.volumes) == size(oldSelf.volumes)")
        .message(Message::Expression("'spec.pools[' + self.name + '].volumes: their number cannot be changed; put the former volumes back, or make a further pool'".into())),
    validation = Rule::new("size(self.volumes) != size(oldSelf.volumes) || [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].all(i, i >= size(self.volumes) || quantity(self.volumes[i].size).compareTo(quantity(oldSelf.volumes[i].size)) >= 0)")
        .message(Message::Expression("'spec.pools[' + self.name + '].volumes: a volume may grow but not shrink; give the former size or more'".into())),
    validation = Rule::new("size(self.volumes) != size(oldSelf.volumes) || [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].all(i, i >= size(self.volumes) || (has(self.volumes[i].storageClass) == has(oldSelf.volumes[i].storageClass) && (!has(self.volumes[i].storageClass) || self.volumes[i].storageClass == oldSelf.volumes[i].storageClass)))")
        .message(Message::Expression("'spec.pools[' + self.name + '].volumes: the storage class cannot be changed once a volume exists; put the former value back, or make a further pool'".into())),
)]
pub struct Pool {
    /// Name of the pool; its pods are called after it.
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message(Message::Expression("'spec.pools[' + self + '].name: must start with a letter and hold only lower-case letters, digits and dashes; choose another name'".into())))]
    pub name: String,
    /// What the nodes do: `controller`, `broker` or both. It cannot be changed.
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub roles: Vec<Role>,
    /// How many nodes run. Brokers that still hold copies of partitions are not removed: drain them first.
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// The id of the first node. It cannot be changed.
    #[schemars(range(min = 0, max = 9999))]
    pub first_node_id: i32,
    /// The highest id that a node of this pool may ever have. It cannot be changed.
    #[schemars(range(min = 0, max = 9999))]
    pub last_node_id: i32,
    /// The volumes of each node, over which its partitions are spread; the first also holds the metadata. Their number
    /// cannot be changed.
    #[schemars(length(min = 1, max = 16))]
    pub volumes: Vec<Volume>,
    /// Memory and CPU of a node; `spec.resources` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.memory) || quantity(self.memory).compareTo(quantity('256Mi')) >= 0").message(Message::Expression("'spec.pools.resources.memory: ' + self.memory + ': a Kafka node does not start with so little; give at least 256Mi'".into())))]
    pub resources: Option<PodResources>,
    /// What is laid over the pods of this pool, after `spec.podOverrides`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
}

/// A persistent volume of each node of a pool.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("quantity(self.size).compareTo(quantity('64Mi')) >= 0")
        .message(Message::Expression("'spec.pools.volumes.size: ' + self.size + ': is too small; give at least 64Mi'".into())),
)]
pub struct Volume {
    /// Size of the volume. It may grow later where the storage class can; it never shrinks.
    pub size: Quantity,
    /// Storage class of the volume; the cluster's default class when absent. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class: Option<String>,
}
