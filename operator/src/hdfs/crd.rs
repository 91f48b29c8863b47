//! The custom resource HdfsCluster.

mod roles;
mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::conditioned;
use crate::types::{DeletionPolicy, FreeForm, MaintenanceWindow, Rack};

pub use roles::{DataNodes, JournalNodes, NameNodes, ZooKeeper};
pub use status::{
    BlockStatus, CapacityStatus, DecommissionStatus, HdfsClusterStatus, HdfsDiskStatus,
    NameNodeState, NameNodeStatus,
};

/// An HDFS: one NameNode, or several of which one is active and another takes over.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "HdfsCluster",
    plural = "hdfsclusters",
    shortname = "hc",
    category = "millrace",
    namespaced,
    status = "HdfsClusterStatus",
    derive = "PartialEq",
    doc = "A Hadoop Distributed File System.",
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].status", description = "Whether clients can use it"),
    printcolumn(name = "Active", type_ = "string", json_path = ".status.active", description = "The NameNode that is active"),
    printcolumn(name = "DataNodes", type_ = "integer", json_path = ".status.liveDataNodes", description = "DataNodes that the NameNode hears of"),
    printcolumn(name = "Used", type_ = "integer", json_path = ".status.capacity.usedPercent", description = "How full it is, in percent"),
    printcolumn(name = "Missing", type_ = "integer", json_path = ".status.blocks.missing", description = "Blocks without any copy"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Available')].message", description = "Why it is, or is not, available", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name: must start with a letter, hold only lower-case letters, digits and '-', and have at most 40 characters, because services are named after it; choose another name"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.nameNodes.replicas > 1) == has(self.zookeeper)")
        .message("spec.zookeeper: is what several NameNodes decide by which of them is active; set it where nameNodes.replicas is 2 or 3, and only there"),
    validation = Rule::new("self.nameNodes.replicas > 1 || !has(self.journalNodes)")
        .message("spec.journalNodes: keep the log of several NameNodes; remove it, or set nameNodes.replicas to 2 or 3"),
    validation = Rule::new("(self.nameNodes.replicas > 1) == (oldSelf.nameNodes.replicas > 1)")
        .message("spec.nameNodes.replicas: one NameNode cannot become several, nor several one, because clients know the file system by another address then; put the former number back, or make a new cluster"),
    validation = Rule::new("!has(self.replication) || self.replication <= self.dataNodes.replicas")
        .message("spec.replication: is more than there are DataNodes; give as many or less, or more DataNodes"),
    validation = Rule::new("has(self.journalNodes) == has(oldSelf.journalNodes) || (has(self.journalNodes) ? self.journalNodes.replicas == 3 : oldSelf.journalNodes.replicas == 3)")
        .message("spec.journalNodes.replicas: cannot be changed, because new JournalNodes could outvote those that have the log; put the former number back"),
)]
pub struct HdfsClusterSpec {
    /// The NameNodes, which know all names and where the blocks of files are.
    #[serde(default)]
    pub name_nodes: NameNodes,
    /// The JournalNodes, which keep the log of several NameNodes. Three when absent; there are none with one NameNode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_nodes: Option<JournalNodes>,
    /// The DataNodes, which hold the blocks.
    pub data_nodes: DataNodes,
    /// The ZooKeeper by which several NameNodes decide which of them is active. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.zookeeper: cannot be changed, because NameNodes of both would be active on the way; put the former one back"))]
    pub zookeeper: Option<ZooKeeper>,
    /// How many copies of each block are kept, where whoever writes a file does not say; as many as there are DataNodes,
    /// and at most 3, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub replication: Option<i32>,
    /// Minutes that deleted files stay in the trash of their user; 0 for no trash.
    #[serde(default = "a_day")]
    #[schemars(range(min = 0, max = 525_600))]
    pub trash_minutes: i32,
    /// Copies of a block are spread over racks. Nodes of Kubernetes say which rack they are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<Rack>,
    /// The container image, in the layout of apache/hadoop. The operator's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Settings in `core-site.xml` of all servers and of clients that are put in the place of the computed ones.
    /// Settings that the operator must own are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "config_schema")]
    #[x_kube(validation = Rule::new("!self.exists(k, k in ['fs.defaultFS', 'fs.default.name', 'fs.trash.interval', 'ha.zookeeper.quorum', 'ha.zookeeper.parent-znode', 'hadoop.prometheus.endpoint.enabled', 'hadoop.security.authentication'] || k.startsWith('net.topology.'))")
        .message("names a setting that the operator owns (address, trash, ZooKeeper, racks, metrics, authentication); remove it from spec.coreSite"))]
    pub core_site: BTreeMap<String, String>,
    /// The same for `hdfs-site.xml`, for example `dfs.blocksize`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "config_schema")]
    #[x_kube(validation = Rule::new("!self.exists(k, k in ['dfs.nameservices', 'dfs.replication', 'dfs.namenode.name.dir', 'dfs.namenode.edits.dir', 'dfs.datanode.data.dir', 'dfs.datanode.hostname', 'dfs.journalnode.edits.dir', 'dfs.hosts', 'dfs.hosts.exclude', 'dfs.ha.nn.not-become-active-in-safemode', 'dfs.http.policy'] || k.startsWith('dfs.ha.namenode') || k.startsWith('dfs.ha.fencing.') || k.startsWith('dfs.ha.automatic-failover.') || k.startsWith('dfs.namenode.rpc-') || k.startsWith('dfs.namenode.http-') || k.startsWith('dfs.namenode.shared.edits.') || k.matches('^dfs[.](datanode|journalnode)[.]([a-z]+[.-])?address$'))")
        .message("names a setting that the operator owns (addresses, directories, replication, high availability, hosts); remove it from spec.hdfsSite"))]
    pub hdfs_site: BTreeMap<String, String>,
    /// What is laid over the pods of all roles, in the form of a pod template (`metadata` and `spec`), merged as Kubernetes
    /// does by strategic merge. The containers are called `namenode`, `zkfc`, `journalnode` and `datanode`.
    #[serde(default, skip_serializing_if = "FreeForm::is_empty")]
    #[schemars(schema_with = "crate::types::free_form")]
    pub pod_overrides: FreeForm,
    /// When restarts that wait for approval may happen without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// What becomes of the volumes when the cluster is deleted.
    #[serde(default, skip_serializing_if = "DeletionPolicy::is_retain")]
    pub deletion_policy: DeletionPolicy,
    /// Whether no server is to run. Volumes and addresses stay, and the file system goes on where it was.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub stopped: bool,
    /// Stop reconciling this cluster; what runs goes on.
    #[serde(default, skip_serializing_if = "crate::types::is_false")]
    pub paused: bool,
}

fn a_day() -> i32 {
    1440
}

fn config_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    crate::types::string_map(64, 1024)
}

conditioned!(HdfsCluster, HdfsClusterStatus);
