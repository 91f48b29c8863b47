//! The servers of a cluster: roles, pods, volumes. Pure.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::{
    DATA_NODE_HTTP_PORT, DATA_NODE_IPC_PORT, DATA_NODE_PORT, JOURNAL_NODE_HTTP_PORT,
    JOURNAL_NODE_PORT, NAME_NODE_HTTP_PORT, NAME_NODE_PORT,
};
use crate::reconcile::Owner;
use crate::types::{FreeForm, PodResources, Storage, StorageGrowth};

/// What a server does.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RoleKind {
    /// Keeps the log of several NameNodes.
    JournalNode,
    /// Knows names and blocks.
    NameNode,
    /// Holds blocks.
    DataNode,
}

impl RoleKind {
    /// Its name, in labels and in names of objects.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JournalNode => "journalnode",
            Self::NameNode => "namenode",
            Self::DataNode => "datanode",
        }
    }

    /// Its ports, by name; the first is open when it works.
    #[must_use]
    pub fn ports(self) -> &'static [(&'static str, i32)] {
        match self {
            Self::JournalNode => &[
                ("journal", JOURNAL_NODE_PORT),
                ("journal-http", JOURNAL_NODE_HTTP_PORT),
            ],
            Self::NameNode => &[("name", NAME_NODE_PORT), ("name-http", NAME_NODE_HTTP_PORT)],
            Self::DataNode => &[
                ("data-ipc", DATA_NODE_IPC_PORT),
                ("data", DATA_NODE_PORT),
                ("data-http", DATA_NODE_HTTP_PORT),
            ],
        }
    }

    /// Whether each server has a Service of its own, with an address that stays. Others look for NameNodes and JournalNodes
    /// by names that have to lead somewhere even while a pod has no place to run, and some of them look only once.
    #[must_use]
    pub fn has_own_services(self) -> bool {
        self != Self::DataNode
    }

    /// Name of the StatefulSet of a cluster.
    #[must_use]
    pub fn set(self, cluster: &str) -> String {
        format!("{cluster}-{}", self.name())
    }
}

/// The servers that do the same: one StatefulSet.
#[derive(Clone, Debug)]
pub struct Role {
    /// What they do.
    pub kind: RoleKind,
    /// Name of the StatefulSet, which the pods are called after.
    pub set: String,
    /// Servers that the spec asks for.
    pub asked: i32,
    /// Servers that there are to be now: more than asked for while some cannot go yet.
    pub replicas: i32,
    /// Servers that there were when they were looked at last.
    pub live_replicas: i32,
    /// How many volumes each has.
    pub volumes: i32,
    /// Each of these volumes.
    pub storage: Storage,
    /// How far they grow by themselves.
    pub storage_growth: Option<StorageGrowth>,
    /// The claim templates that the live StatefulSet has; they cannot be changed.
    pub live_templates: Vec<PersistentVolumeClaim>,
    /// Memory and CPU of each.
    pub resources: PodResources,
    /// The Java heap, in mebibytes.
    pub heap_mebibytes: u64,
    /// What is laid over the pods, with the field where it stands, in this order.
    pub pod_overrides: Vec<(String, FreeForm)>,
}

/// A server.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its pod.
    pub pod: String,
    /// Its DNS name.
    pub host: String,
}

impl Role {
    /// The servers that are to be there.
    #[must_use]
    pub fn nodes(&self, owner: &Owner) -> Vec<Node> {
        (0..self.replicas)
            .map(|ordinal| self.node(owner, ordinal))
            .collect()
    }

    /// The server with this ordinal.
    #[must_use]
    pub fn node(&self, owner: &Owner, ordinal: i32) -> Node {
        let pod = format!("{}-{ordinal}", self.set);
        let (name, namespace) = (&owner.name, &owner.namespace);
        // Without the cluster domain, which nobody outside the kubelet's configuration knows for certain.
        let host = if self.kind.has_own_services() {
            format!("{pod}.{namespace}.svc")
        } else {
            format!("{pod}.{name}-nodes.{namespace}.svc")
        };
        Node { pod, host }
    }

    /// Which of its servers has this DNS name.
    #[must_use]
    pub fn ordinal(&self, owner: &Owner, host: &str) -> Option<i32> {
        let rest = host.strip_prefix(&self.set)?.strip_prefix('-')?;
        let ordinal = rest.split('.').next()?.parse::<i32>().ok()?;
        (self.node(owner, ordinal).host == host).then_some(ordinal)
    }

    /// The volumes of each server: name of the claim template and where it is mounted.
    pub fn mounts(&self) -> impl Iterator<Item = (String, String)> {
        (0..self.volumes).map(|index| match index {
            0 => ("data".to_owned(), "/data".to_owned()),
            index => (format!("data-{index}"), format!("/data-{index}")),
        })
    }

    /// Name of the ConfigMap with the files of the servers.
    #[must_use]
    pub fn files_name(&self) -> String {
        files_name(&self.set)
    }
}

/// Name of the ConfigMap with the files of the servers of a StatefulSet.
pub(super) fn files_name(set: &str) -> String {
    format!("{set}-files")
}
