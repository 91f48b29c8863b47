//! The nodes of a cluster: pools, ids, names. Pure.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::CONTROLLER_PORT;
use super::files::DATA;
use crate::reconcile::Owner;
use crate::types::{FreeForm, PodResources, Storage};

/// A pool that can be built: one StatefulSet.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name; `None` for the nodes of `spec.nodes`.
    pub name: Option<String>,
    /// Name of its StatefulSet, which its pods are called after.
    pub set: String,
    /// Whether its nodes take part in the quorum.
    pub controller: bool,
    /// Whether its nodes hold records.
    pub broker: bool,
    /// Nodes that are asked for.
    pub replicas: i32,
    /// Id of the first node.
    pub first_node_id: i32,
    /// The volumes of each node; the first also holds the metadata.
    pub volumes: Vec<NodeVolume>,
    /// Nodes that the live StatefulSet has.
    pub live_replicas: i32,
    /// What is laid over its pods, with the field where it stands, in this order.
    pub pod_overrides: Vec<(String, FreeForm)>,
    /// The claim templates that the live StatefulSet has; they cannot be changed.
    pub live_templates: Vec<PersistentVolumeClaim>,
    /// Memory and CPU of a node.
    pub resources: PodResources,
    /// The Java heap, in mebibytes.
    pub heap_mebibytes: u64,
}

/// One volume of each node of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeVolume {
    /// Name of the claim template.
    pub name: String,
    /// Where it is mounted.
    pub path: String,
    /// What is asked for.
    pub storage: Storage,
}

impl NodeVolume {
    /// The volume with this index.
    #[must_use]
    pub fn new(index: usize, storage: Storage) -> Self {
        // The first is called as the only one always was.
        let suffix = match index {
            0 => String::new(),
            index => format!("-{index}"),
        };
        Self {
            name: format!("data{suffix}"),
            path: format!("{DATA}{suffix}"),
            storage,
        }
    }

    /// Kafka's directory on it.
    #[must_use]
    pub fn log_dir(&self) -> String {
        format!("{}/log", self.path)
    }
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// Name of its pod.
    pub pod: String,
    /// Its DNS name.
    pub host: String,
    /// Whether it takes part in the quorum.
    pub controller: bool,
    /// Whether it holds records.
    pub broker: bool,
}

impl Node {
    /// The address of its controller listener.
    #[must_use]
    pub fn controller_address(&self) -> String {
        format!("{}:{CONTROLLER_PORT}", self.host)
    }
}

impl Pool {
    /// The nodes that are asked for.
    #[must_use]
    pub fn nodes(&self, owner: &Owner) -> Vec<Node> {
        (0..self.replicas)
            .map(|ordinal| self.node(owner, ordinal))
            .collect()
    }

    /// The nodes that are asked for, and those that are still there.
    #[must_use]
    pub fn all_nodes(&self, owner: &Owner) -> Vec<Node> {
        (0..self.replicas.max(self.live_replicas))
            .map(|ordinal| self.node(owner, ordinal))
            .collect()
    }

    /// The node with this ordinal.
    #[must_use]
    pub fn node(&self, owner: &Owner, ordinal: i32) -> Node {
        let pod = format!("{}-{ordinal}", self.set);
        Node {
            id: self.first_node_id + ordinal,
            // Without the cluster domain, which nobody outside the kubelet's configuration knows for certain.
            host: format!("{pod}.{}-nodes.{}.svc", owner.name, owner.namespace),
            pod,
            controller: self.controller,
            broker: self.broker,
        }
    }

    /// Name of the ConfigMap with its files.
    #[must_use]
    pub fn files_name(&self) -> String {
        format!("{}-files", self.set)
    }
}
