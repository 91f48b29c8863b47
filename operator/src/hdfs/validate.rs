//! From what was asked for to what can be built. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use millrace_contract::Invalid;

use super::crd::{HdfsCluster, HdfsClusterSpec, JournalNodes};
use super::roles::{Node, Role, RoleKind};
use super::{ALLOW_FORMAT, NAME_NODE_PORT};
use crate::context::Images;
use crate::reconcile::{Error, Owner};
use crate::types::{
    DeletionPolicy, FreeForm, PodResources, Quantity, Storage, StorageGrowth, Windows,
};

const MEBIBYTE: u64 = 1024 * 1024;

/// What was read of Kubernetes before anything is decided.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The claim templates of the live StatefulSets, by name.
    pub templates: BTreeMap<String, Vec<PersistentVolumeClaim>>,
    /// How many servers the live StatefulSets have, by name.
    pub replicas: BTreeMap<String, i32>,
    /// The rack of each node of Kubernetes, where racks are asked for; empty for a node that has none.
    pub racks: BTreeMap<String, String>,
    /// The servers of the ZooKeeper, as `host:port` separated by commas.
    pub zookeeper: Option<String>,
    /// The file by which NameNodes are told now which DataNodes go.
    pub excludes: String,
    /// Whether a NameNode has a volume that is older than the resource: a former cluster of this name left it.
    pub former_volumes: bool,
}

/// Whether the first NameNode may begin a new file system on an empty volume.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Founding {
    /// It may: there has never been one.
    Allowed,
    /// It may not: there is a file system, and a NameNode with an empty volume copies the names of another.
    Done,
    /// It may not, and there is no other NameNode whose names it could copy.
    Refused,
}

/// A cluster that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedHdfs {
    /// Whose objects they are.
    pub owner: Owner,
    /// The container image.
    pub image: String,
    /// The NameNodes.
    pub name_nodes: Role,
    /// The JournalNodes; `None` with one NameNode.
    pub journal_nodes: Option<Role>,
    /// The DataNodes.
    pub data_nodes: Role,
    /// The hosts of those that the active NameNode does not hear of any more.
    pub dead: BTreeSet<String>,
    /// Where those are that NameNodes count and nobody asks for. The pods of some may have gone.
    pub addresses: BTreeSet<SocketAddr>,
    /// The servers of the ZooKeeper; `None` with one NameNode.
    pub zookeeper: Option<String>,
    /// Whether a new file system may begin.
    pub founding: Founding,
    /// Copies of a block where nobody says otherwise.
    pub replication: i32,
    /// Minutes that deleted files stay.
    pub trash_minutes: i32,
    /// The rack of each node of Kubernetes, where racks are asked for.
    pub racks: Option<BTreeMap<String, String>>,
    /// Settings in the place of computed ones.
    pub core_site: BTreeMap<String, String>,
    /// The same for `hdfs-site.xml`.
    pub hdfs_site: BTreeMap<String, String>,
    /// What becomes of data when the cluster is deleted.
    pub deletion_policy: DeletionPolicy,
    /// Whether no server is to run.
    pub stopped: bool,
}

impl ValidatedHdfs {
    /// All roles, in the order in which they are restarted.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.journal_nodes
            .iter()
            .chain([&self.name_nodes, &self.data_nodes])
    }

    /// The servers of a role.
    #[must_use]
    pub fn nodes(&self, role: &Role) -> Vec<Node> {
        role.nodes(&self.owner)
    }

    /// Whether there are several NameNodes.
    #[must_use]
    pub fn is_ha(&self) -> bool {
        self.journal_nodes.is_some()
    }

    /// The address of the file system.
    #[must_use]
    pub fn uri(&self) -> String {
        if self.is_ha() {
            return format!("hdfs://{}", self.owner.name);
        }
        let first = self.name_nodes.node(&self.owner, 0);
        format!("hdfs://{}:{NAME_NODE_PORT}", first.host)
    }

    /// DataNodes that there are to be still and that are not asked for, those that may go now among them.
    #[must_use]
    pub fn leaving(&self) -> Vec<Node> {
        let role = &self.data_nodes;
        (role.asked..role.replicas.max(role.live_replicas))
            .map(|ordinal| role.node(&self.owner, ordinal))
            .collect()
    }
}

/// Checks a cluster and computes what follows from its spec.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(
    cluster: &HdfsCluster,
    found: &Found,
    images: &Images,
) -> Result<ValidatedHdfs, Error> {
    let spec = &cluster.spec;
    let owner = Owner {
        windows: Windows::check(&spec.maintenance_windows, "spec.maintenanceWindows")?,
        ..Owner::of(cluster)?
    };
    check_numbers(spec)?;
    check_settings("spec.coreSite", &spec.core_site)?;
    check_settings("spec.hdfsSite", &spec.hdfs_site)?;
    let ha = spec.name_nodes.replicas > 1;
    let zookeeper = match (ha, &found.zookeeper) {
        (true, Some(servers)) => Some(servers.clone()),
        (true, None) => {
            return Err(Error::Missing {
                reason: "ZooKeeperMissing",
                invalid: zookeeper_missing(spec),
            });
        }
        (false, _) => None,
    };
    let names = Asked {
        replicas: spec.name_nodes.replicas,
        volumes: 1,
        storage: &spec.name_nodes.storage,
        storage_growth: spec.name_nodes.storage_growth.as_ref(),
        resources: spec.name_nodes.resources.as_ref(),
        overrides: &spec.name_nodes.pod_overrides,
    };
    let journals = spec.journal_nodes.clone().unwrap_or_default();
    let blocks = Asked {
        replicas: spec.data_nodes.replicas,
        volumes: spec.data_nodes.volumes,
        storage: &spec.data_nodes.storage,
        storage_growth: spec.data_nodes.storage_growth.as_ref(),
        resources: spec.data_nodes.resources.as_ref(),
        overrides: &spec.data_nodes.pod_overrides,
    };
    let role = |kind, asked: &Asked<'_>| role(spec, &owner, kind, asked, found);
    let mut data_nodes = role(RoleKind::DataNode, &blocks)?;
    let status = cluster.status.as_ref();
    if let Some(status) = status.filter(|status| status.formatted) {
        // A stopped cluster has no pods, and its DataNodes are there nevertheless.
        data_nodes.live_replicas = data_nodes.live_replicas.max(status.data_nodes);
    }
    Ok(ValidatedHdfs {
        image: spec.image.clone().unwrap_or_else(|| images.hadoop.clone()),
        name_nodes: role(RoleKind::NameNode, &names)?,
        journal_nodes: if ha {
            Some(role(
                RoleKind::JournalNode,
                &journal_nodes(&journals, &names),
            )?)
        } else {
            None
        },
        data_nodes,
        // What NameNodes say comes later, see `decommission::follow`.
        dead: BTreeSet::new(),
        addresses: BTreeSet::new(),
        zookeeper,
        founding: founding(cluster, found, ha),
        replication: spec
            .replication
            .unwrap_or_else(|| spec.data_nodes.replicas.clamp(1, 3)),
        trash_minutes: spec.trash_minutes,
        racks: spec.rack.as_ref().map(|_| found.racks.clone()),
        core_site: spec.core_site.clone(),
        hdfs_site: spec.hdfs_site.clone(),
        deletion_policy: spec.deletion_policy,
        stopped: spec.stopped,
        owner,
    })
}

// The definition refuses the same; this holds where it is older than the operator.
fn check_numbers(spec: &HdfsClusterSpec) -> Result<(), Invalid> {
    let names = spec.name_nodes.replicas;
    if !(1..=3).contains(&names) {
        return Err(Invalid::new(
            "spec.nameNodes.replicas",
            names.to_string(),
            "is no number of NameNodes",
            "set 1, 2 or 3",
        ));
    }
    if let Some(replication) = spec.replication
        && replication > spec.data_nodes.replicas
    {
        return Err(Invalid::new(
            "spec.replication",
            replication.to_string(),
            format!("there are only {} DataNodes", spec.data_nodes.replicas),
            "give as many or less, or more DataNodes",
        ));
    }
    Ok(())
}

fn check_settings(field: &str, settings: &BTreeMap<String, String>) -> Result<(), Invalid> {
    let bad = |text: &str| {
        text.chars()
            .any(|c| c.is_control() && c != '\n' && c != '\t')
    };
    match settings
        .iter()
        .find(|(name, value)| bad(name) || bad(value))
    {
        Some((name, value)) => Err(Invalid::new(
            format!("{field}[{name}]"),
            value,
            "holds a character that XML cannot",
            "remove it",
        )),
        None => Ok(()),
    }
}

fn zookeeper_missing(spec: &HdfsClusterSpec) -> Invalid {
    match &spec.zookeeper {
        None => Invalid::new(
            "spec.zookeeper",
            "missing",
            "several NameNodes decide by it which of them is active",
            "name a ZooKeeperEnsemble, or set spec.nameNodes.replicas to 1",
        ),
        Some(zookeeper) => Invalid::new(
            "spec.zookeeper",
            zookeeper
                .ensemble
                .clone()
                .or_else(|| zookeeper.binding_secret.clone())
                .unwrap_or_default(),
            "its connection details are not there",
            "create it, or name one that exists",
        ),
    }
}

/// What the spec asks of a role.
struct Asked<'a> {
    replicas: i32,
    volumes: i32,
    storage: &'a Storage,
    storage_growth: Option<&'a StorageGrowth>,
    resources: Option<&'a PodResources>,
    overrides: &'a FreeForm,
}

fn journal_nodes<'a>(asked: &'a JournalNodes, names: &Asked<'a>) -> Asked<'a> {
    Asked {
        replicas: asked.replicas,
        volumes: 1,
        storage: &asked.storage,
        storage_growth: names.storage_growth,
        resources: asked.resources.as_ref(),
        overrides: &asked.pod_overrides,
    }
}

fn role(
    spec: &HdfsClusterSpec,
    owner: &Owner,
    kind: RoleKind,
    asked: &Asked<'_>,
    found: &Found,
) -> Result<Role, Error> {
    let (field, memory, least) = match kind {
        RoleKind::NameNode => ("spec.nameNodes", "512Mi", 384),
        RoleKind::JournalNode => ("spec.journalNodes", "256Mi", 256),
        RoleKind::DataNode => ("spec.dataNodes", "512Mi", 256),
    };
    let memory = asked
        .resources
        .and_then(|r| r.memory.clone())
        .unwrap_or_else(|| memory.into());
    let bytes = size(&format!("{field}.resources.memory"), &memory)?;
    if bytes < least * MEBIBYTE {
        return Err(Invalid::new(
            format!("{field}.resources.memory"),
            &memory.0,
            "a server of this role does not start with so little",
            format!("give at least {least}Mi"),
        )
        .into());
    }
    size(&format!("{field}.storage.size"), &asked.storage.size)?;
    let own = (format!("{field}.podOverrides"), asked.overrides.clone());
    let of_all = ("spec.podOverrides".to_owned(), spec.pod_overrides.clone());
    let set = kind.set(&owner.name);
    Ok(Role {
        kind,
        asked: asked.replicas,
        replicas: asked.replicas,
        live_replicas: found.replicas.get(&set).copied().unwrap_or_default(),
        volumes: asked.volumes,
        storage: asked.storage.clone(),
        storage_growth: asked.storage_growth.cloned(),
        live_templates: found.templates.get(&set).cloned().unwrap_or_default(),
        resources: PodResources {
            memory: Some(memory),
            cpu: asked.resources.and_then(|r| r.cpu.clone()),
        },
        heap_mebibytes: heap(kind, bytes / MEBIBYTE),
        pod_overrides: [of_all, own]
            .into_iter()
            .filter(|(_, overrides)| !overrides.is_empty())
            .collect(),
        set,
    })
}

fn size(field: &str, quantity: &Quantity) -> Result<u64, Invalid> {
    quantity.bytes().ok_or_else(|| {
        Invalid::new(
            field,
            &quantity.0,
            "is not a size",
            "write it like 512Mi or 4Gi",
        )
    })
}

/// The Java heap for a memory limit. What is left is for the JVM itself (about 100 MiB), for tools that run beside a
/// NameNode, and for the direct buffers of a DataNode.
fn heap(kind: RoleKind, memory: u64) -> u64 {
    match kind {
        // It holds all names: as much as can be.
        RoleKind::NameNode if memory >= 2048 => memory * 3 / 4,
        _ => (memory * 3 / 8).clamp(96, 8192),
    }
}

fn founding(cluster: &HdfsCluster, found: &Found, ha: bool) -> Founding {
    let status = cluster.status.as_ref();
    if !found.former_volumes && !status.is_some_and(|status| status.formatted) {
        return Founding::Allowed;
    }
    let asked = cluster.annotations().get(ALLOW_FORMAT);
    let followed = status.and_then(|status| status.allowed_format.as_ref());
    if asked.is_some() && asked != followed {
        Founding::Allowed
    } else if ha {
        Founding::Done
    } else {
        Founding::Refused
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
pub(super) mod tests;
