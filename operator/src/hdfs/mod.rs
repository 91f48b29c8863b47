//! HdfsCluster: the Hadoop Distributed File System.

pub mod build;
pub mod crd;
pub mod decommission;
mod dereference;
mod disk;
mod files;
pub mod gate;
mod inside;
mod reconcile;
mod roles;
mod rolling;
mod status;
pub mod validate;
pub mod view;

pub use reconcile::Hdfs;
pub use roles::{Node, Role, RoleKind};
pub use validate::ValidatedHdfs;

/// The component's name in labels.
pub const COMPONENT: &str = "hdfs";
/// On the pods: what they do, see [`RoleKind::name`].
pub const ROLE_LABEL: &str = "millrace.dev/hdfs-role";

/// Port of a NameNode for clients and DataNodes.
pub const NAME_NODE_PORT: i32 = 8020;
/// Port of a NameNode by HTTP: pages, WebHDFS, metrics.
pub const NAME_NODE_HTTP_PORT: i32 = 9870;
/// Port by which the fail-over controllers of NameNodes talk to each other.
pub const FAIL_OVER_PORT: i32 = 8019;
/// Port of a JournalNode for NameNodes.
pub const JOURNAL_NODE_PORT: i32 = 8485;
/// Port of a JournalNode by HTTP.
pub const JOURNAL_NODE_HTTP_PORT: i32 = 8480;
/// Port of a DataNode for blocks.
pub const DATA_NODE_PORT: i32 = 9866;
/// Port of a DataNode by HTTP.
pub const DATA_NODE_HTTP_PORT: i32 = 9864;
/// Port of a DataNode for questions of clients.
pub const DATA_NODE_IPC_PORT: i32 = 9867;

/// The user that the servers run as, who may do everything.
pub const SUPER_USER: &str = "hdfs";

/// On a cluster: lets the first NameNode begin a new file system on an empty volume. Each new value lets it once.
pub const ALLOW_FORMAT: &str = "millrace.dev/allow-format";

/// Name of the Secret with the connection details of a cluster.
#[must_use]
pub fn binding_name(cluster: &str) -> String {
    format!("{cluster}-binding")
}

/// Name of the ConfigMap with `core-site.xml` and `hdfs-site.xml` for clients.
#[must_use]
pub fn client_name(cluster: &str) -> String {
    format!("{cluster}-client")
}

/// Where the NameNodes of a cluster answer by HTTP, as `host:port`.
#[must_use]
pub fn name_node_addresses(cluster: &str, namespace: &str, replicas: i32) -> Vec<String> {
    let set = RoleKind::NameNode.set(cluster);
    (0..replicas)
        .map(|ordinal| format!("{set}-{ordinal}.{namespace}.svc:{NAME_NODE_HTTP_PORT}"))
        .collect()
}
