//! From what was asked for to what can be built. Pure.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::ResourceExt;
use millrace_contract::Invalid;

use super::ALLOW_FORMAT;
use super::certificates::{self, Certificates, Secrets, Wanted};
use super::crd::{self, KafkaCluster, KafkaClusterSpec, KafkaClusterStatus, Role};
use super::external::{self, Address, External};
use super::nodes::{Node, NodeVolume, Pool};
use crate::context::Images;
use crate::reconcile::{Error, Owner};
use crate::types::{DeletionPolicy, FreeForm, PodResources, Quantity, Storage, Windows};

/// Memory of a node when none is asked for.
const MEMORY: &str = "512Mi";
const MEBIBYTE: u64 = 1024 * 1024;
/// Bytes per second of moves when none are asked for.
const MOVE_RATE: u64 = 50 * MEBIBYTE;

/// Settings that the operator sets and nobody else.
const RESERVED: &[&str] = &[
    "node.id",
    "broker.id",
    "broker.rack",
    "process.roles",
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "inter.broker.listener.name",
    "controller.listener.names",
    "controller.quorum.voters",
    "controller.quorum.bootstrap.servers",
    "log.dirs",
    "log.dir",
    "metadata.log.dir",
    "super.users",
    "authorizer.class.name",
    "ssl.principal.mapping.rules",
];
/// The same, by what they start with.
const RESERVED_PREFIXES: &[&str] = &["listener.name.", "ssl.keystore.", "ssl.truststore."];

/// What was read of Kubernetes before anything is decided.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The claim templates of the live StatefulSets, by name.
    pub templates: BTreeMap<String, Vec<PersistentVolumeClaim>>,
    /// How many nodes the live StatefulSets have, by name.
    pub replicas: BTreeMap<String, i32>,
    /// The pods that are there.
    pub pods: Vec<Pod>,
    /// The Secrets with certificates.
    pub secrets: Secrets,
    /// The Services for clients outside Kubernetes, by name.
    pub services: BTreeMap<String, Service>,
    /// The rack of each node of Kubernetes, where racks are asked for; empty for a node that has none.
    pub racks: BTreeMap<String, String>,
    /// The time.
    pub now: Timestamp,
    /// Whether a controller has a volume that is older than the resource: a former cluster of this name left it.
    pub former_volumes: bool,
}

/// Which node may found the cluster on an empty volume.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Founding {
    /// The node with this id.
    By(i32),
    /// None: the cluster is there, and a node with an empty volume joins it.
    Done,
    /// None: the cluster has one controller only, so that there is nobody to join.
    Refused,
}

/// A cluster that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedKafka {
    /// Whose objects they are.
    pub owner: Owner,
    /// The container image.
    pub image: String,
    /// The pools, at least one, in the order of the spec.
    pub pools: Vec<Pool>,
    /// The id that empty volumes are formatted with. A volume of a former cluster keeps the id that it has.
    pub cluster_id: String,
    /// Which node may found the cluster.
    pub founding: Founding,
    /// The version that the metadata stays at; that of the image when `None`.
    pub metadata_version: Option<String>,
    /// Settings on top of the computed ones.
    pub config: BTreeMap<String, String>,
    /// The certificates, where listeners are secure.
    pub certificates: Option<Certificates>,
    /// The listener for clients outside Kubernetes.
    pub external: Option<External>,
    /// The rack of each node of Kubernetes, where racks are asked for.
    pub racks: Option<BTreeMap<String, String>>,
    /// What becomes of data when the cluster is deleted.
    pub deletion_policy: DeletionPolicy,
    /// Whether no node is to run.
    pub stopped: bool,
    /// Bytes per second that each broker sends, and takes, at most while replicas are moved.
    pub move_rate: u64,
}

impl ValidatedKafka {
    /// All nodes that are asked for, pool by pool.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        self.pools.iter().flat_map(|pool| pool.nodes(&self.owner))
    }

    /// All nodes that are asked for, and those that are still there.
    pub fn all_nodes(&self) -> impl Iterator<Item = Node> {
        self.pools
            .iter()
            .flat_map(|pool| pool.all_nodes(&self.owner))
    }

    /// Whether listeners are secure.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.certificates.is_some()
    }

    /// Whether the address of a broker for clients outside Kubernetes is not known.
    #[must_use]
    pub fn lacks_addresses(&self) -> bool {
        self.external.as_ref().is_some_and(|external| {
            external.bootstrap.is_none()
                || self
                    .all_nodes()
                    .any(|node| node.broker && !external.brokers.contains_key(&node.id))
        })
    }

    /// How many nodes hold records.
    #[must_use]
    pub fn broker_count(&self) -> i32 {
        let brokers = self.pools.iter().filter(|pool| pool.broker);
        brokers.map(|pool| pool.replicas).sum()
    }

    /// How many controllers the spec asks for.
    #[must_use]
    pub fn controller_count(&self) -> usize {
        let controllers = self.pools.iter().filter(|pool| pool.controller);
        let asked: i32 = controllers.map(|pool| pool.asked).sum();
        usize::try_from(asked).unwrap_or_default()
    }

    /// How many nodes are asked for.
    #[must_use]
    pub fn node_count(&self) -> i32 {
        self.pools.iter().map(|pool| pool.replicas).sum()
    }

    /// Whether any pool has both roles.
    #[must_use]
    pub fn is_combined(&self) -> bool {
        self.pools.iter().any(|pool| pool.broker && pool.controller)
    }
}

/// Checks a cluster and computes what follows from its spec.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(
    cluster: &KafkaCluster,
    found: &Found,
    images: &Images,
) -> Result<ValidatedKafka, Error> {
    let spec = &cluster.spec;
    let mut owner = Owner {
        windows: Windows::check(&spec.maintenance_windows, "spec.maintenanceWindows")?,
        ..Owner::of(cluster)?
    };
    let status = cluster.status.as_ref();
    check_removed(spec, status)?;
    let pools = pools(spec, &owner, found, status)?;
    for (name, value) in &spec.config {
        check_setting(name, value)?;
    }
    let cluster_id = match status.and_then(|status| status.cluster_id.clone()) {
        Some(id) => id,
        None => cluster_id(&owner.uid)?,
    };
    let external = external_of(spec, &owner, &pools, found);
    let certificates = certificates_of(cluster, &owner, &pools, external.as_ref(), found)?;
    if let Some(certificates) = &certificates {
        // A node with certificates of another revision is not one that the operator builds differently: nobody has to
        // approve that it is restarted for them.
        let revision = certificates.rotation.revision;
        owner.intent = format!("{}/{revision}", owner.intent);
    }
    Ok(ValidatedKafka {
        certificates,
        external,
        racks: spec.rack.as_ref().map(|_| found.racks.clone()),
        deletion_policy: spec.deletion_policy,
        stopped: spec.stopped,
        move_rate: match &spec.replica_move_rate {
            Some(rate) => size("spec.replicaMoveRate", rate)?,
            None => MOVE_RATE,
        },
        image: spec.image.clone().unwrap_or_else(|| images.kafka.clone()),
        founding: founding(cluster, &owner, &pools, found),
        pools,
        cluster_id,
        metadata_version: spec.metadata_version.clone(),
        config: spec.config.clone(),
        owner,
    })
}

/// The names of the StatefulSets of a cluster.
#[must_use]
pub fn set_names(spec: &KafkaClusterSpec, cluster: &str) -> Vec<String> {
    if spec.nodes.is_some() {
        return vec![cluster.to_owned()];
    }
    spec.pools
        .iter()
        .map(|pool| format!("{cluster}-{}", pool.name))
        .collect()
}

/// The nodes that a pool had when it was looked at last, in a cluster that has worked.
fn known_nodes(status: Option<&KafkaClusterStatus>, pool: Option<&str>) -> i32 {
    let worked = status.filter(|status| status.bootstrapped);
    let pools = worked
        .map(|status| status.pools.as_slice())
        .unwrap_or_default();
    let known = pools.iter().find(|known| known.name.as_deref() == pool);
    known.map(|known| known.nodes).unwrap_or_default()
}

/// A pool that had nodes cannot leave the spec: they would be gone at once, with the only copies of partitions perhaps.
fn check_removed(
    spec: &KafkaClusterSpec,
    status: Option<&KafkaClusterStatus>,
) -> Result<(), Invalid> {
    let worked = status.filter(|status| status.bootstrapped);
    for known in worked.iter().flat_map(|status| &status.pools) {
        let Some(name) = known.name.as_deref().filter(|_| known.nodes > 0) else {
            continue;
        };
        if !spec.pools.iter().any(|pool| pool.name == name) {
            return Err(Invalid::new(
                "spec.pools",
                name,
                format!("was removed, and it has {} nodes", known.nodes),
                "put it back with replicas 0, drain its brokers, and remove it when it has no nodes",
            ));
        }
    }
    Ok(())
}

fn pools(
    spec: &KafkaClusterSpec,
    owner: &Owner,
    found: &Found,
    status: Option<&KafkaClusterStatus>,
) -> Result<Vec<Pool>, Error> {
    let mut pools = match (spec.nodes, &spec.storage) {
        (Some(nodes), Some(storage)) if spec.pools.is_empty() => {
            vec![nodes_alike(spec, owner, nodes, storage)?]
        }
        (None, None) if !spec.pools.is_empty() => {
            let mut pools = Vec::new();
            for pool in &spec.pools {
                pools.push(pool_of(spec, owner, pool)?);
            }
            check_pools(&spec.pools)?;
            pools
        }
        _ => {
            return Err(Invalid::new(
                "spec",
                "nodes, storage, pools",
                "a cluster has either nodes and storage or pools",
                "set spec.nodes and spec.storage, or spec.pools alone",
            )
            .into());
        }
    };
    for pool in &mut pools {
        if !spec.pod_overrides.is_empty() {
            let of_all = ("spec.podOverrides".to_owned(), spec.pod_overrides.clone());
            pool.pod_overrides.insert(0, of_all);
        }
        // A stopped cluster has no pods, and its nodes are there nevertheless.
        let live = found.replicas.get(&pool.set).copied().unwrap_or_default();
        pool.live_replicas = live.max(known_nodes(status, pool.name.as_deref()));
        pool.live_templates = found.templates.get(&pool.set).cloned().unwrap_or_default();
    }
    Ok(pools)
}

fn nodes_alike(
    spec: &KafkaClusterSpec,
    owner: &Owner,
    nodes: i32,
    storage: &Storage,
) -> Result<Pool, Error> {
    if !(1..=9).contains(&nodes) {
        return Err(Invalid::new(
            "spec.nodes",
            nodes.to_string(),
            "is not a number of nodes that are controllers too",
            "set spec.nodes to 1 to 9, best 1, 3 or 5",
        )
        .into());
    }
    size("spec.storage.size", &storage.size)?;
    let (resources, heap_mebibytes) = memory("spec.resources.memory", spec.resources.as_ref())?;
    Ok(Pool {
        name: None,
        set: owner.name.clone(),
        controller: true,
        broker: true,
        asked: nodes,
        replicas: nodes,
        first_node_id: 0,
        volumes: vec![NodeVolume::new(0, storage.clone())],
        live_replicas: 0,
        live_templates: Vec::new(),
        pod_overrides: Vec::new(),
        resources,
        heap_mebibytes,
    })
}

fn pool_of(spec: &KafkaClusterSpec, owner: &Owner, pool: &crd::Pool) -> Result<Pool, Error> {
    let field = |of: &str| format!("spec.pools[{}].{of}", pool.name);
    if pool.first_node_id < 0
        || pool.replicas < 0
        || pool.first_node_id + pool.replicas - 1 > pool.last_node_id
    {
        return Err(Invalid::new(
            field("replicas"),
            pool.replicas.to_string(),
            "nodes do not fit into the ids from firstNodeId to lastNodeId",
            "take fewer, or make a further pool",
        )
        .into());
    }
    let mut volumes = Vec::new();
    for (index, volume) in pool.volumes.iter().enumerate() {
        size(&field("volumes.size"), &volume.size)?;
        volumes.push(NodeVolume::new(
            index,
            Storage {
                size: volume.size.clone(),
                storage_class: volume.storage_class.clone(),
            },
        ));
    }
    let asked = pool.resources.as_ref().or(spec.resources.as_ref());
    let (resources, heap_mebibytes) = memory(&field("resources.memory"), asked)?;
    Ok(Pool {
        set: format!("{}-{}", owner.name, pool.name),
        name: Some(pool.name.clone()),
        controller: pool.roles.contains(&Role::Controller),
        broker: pool.roles.contains(&Role::Broker),
        asked: pool.replicas,
        replicas: pool.replicas,
        first_node_id: pool.first_node_id,
        volumes,
        live_replicas: 0,
        live_templates: Vec::new(),
        pod_overrides: overrides(field("podOverrides"), &pool.pod_overrides),
        resources,
        heap_mebibytes,
    })
}

fn overrides(field: String, overrides: &FreeForm) -> Vec<(String, FreeForm)> {
    if overrides.is_empty() {
        Vec::new()
    } else {
        vec![(field, overrides.clone())]
    }
}

fn external_of(
    spec: &KafkaClusterSpec,
    owner: &Owner,
    pools: &[Pool],
    found: &Found,
) -> Option<External> {
    let asked = spec.listeners.as_ref()?.external.clone()?;
    let at = |name: &str| external::address(&asked, found.services.get(name)?);
    let brokers: BTreeMap<i32, Address> = pools
        .iter()
        .filter(|pool| pool.broker)
        .flat_map(|pool| pool.all_nodes(owner))
        .filter_map(|node| {
            let address = at(&external::broker_name(&owner.name, node.id))?;
            Some((node.id, address))
        })
        .collect();
    Some(External {
        bootstrap: at(&external::bootstrap_name(&owner.name)),
        brokers,
        spec: asked,
    })
}

fn certificates_of(
    cluster: &KafkaCluster,
    owner: &Owner,
    pools: &[Pool],
    external: Option<&External>,
    found: &Found,
) -> Result<Option<Certificates>, Error> {
    let listeners = cluster.spec.listeners.as_ref();
    let Some(secure) = listeners.and_then(|listeners| listeners.secure.as_ref()) else {
        return Ok(None);
    };
    let nodes: Vec<Node> = pools
        .iter()
        .flat_map(|pool| pool.all_nodes(owner))
        .collect();
    let hosts = external.map(|external| {
        let hosts = external.brokers.iter();
        hosts.map(|(id, a)| (*id, a.host.clone())).collect()
    });
    let given = secure.certificate_authority.as_ref();
    let wanted = Wanted {
        cluster: &owner.name,
        namespace: &owner.namespace,
        nodes: &nodes,
        external: &hosts.unwrap_or_default(),
        shared: external.and_then(|e| Some(e.bootstrap.as_ref()?.host.as_str())),
        given: given.map(|given| given.secret_name.as_str()),
        asked: cluster
            .annotations()
            .get(certificates::ROTATE)
            .map(String::as_str),
        pods: &found.pods,
        expected: if cluster.spec.stopped { 0 } else { nodes.len() },
        now: found.now,
    };
    certificates::decide(&found.secrets, &wanted).map(Some)
}

// The definitions refuse the same; this holds where they are older than the operator.
fn check_pools(pools: &[crd::Pool]) -> Result<(), Invalid> {
    for (index, a) in pools.iter().enumerate() {
        for b in &pools[index + 1..] {
            if a.first_node_id <= b.last_node_id && b.first_node_id <= a.last_node_id {
                return Err(Invalid::new(
                    format!("spec.pools[{}].firstNodeId", b.name),
                    b.first_node_id.to_string(),
                    format!("its range of ids overlaps that of the pool {}", a.name),
                    "give each pool ids of its own",
                ));
            }
        }
    }
    for role in [Role::Controller, Role::Broker] {
        if !pools
            .iter()
            .any(|pool| pool.roles.contains(&role) && pool.replicas > 0)
        {
            return Err(Invalid::new(
                "spec.pools",
                format!("{role:?}"),
                "no pool with this role has a node",
                "give one of them replicas",
            ));
        }
    }
    Ok(())
}

fn founding(cluster: &KafkaCluster, owner: &Owner, pools: &[Pool], found: &Found) -> Founding {
    let controllers: BTreeSet<i32> = pools
        .iter()
        .filter(|pool| pool.controller)
        .flat_map(|pool| pool.nodes(owner))
        .map(|node| node.id)
        .collect();
    let Some(lowest) = controllers.first().copied() else {
        return Founding::Done;
    };
    let status = cluster.status.as_ref();
    let bootstrapped = found.former_volumes
        // A node was ready before this was noted, so there is a cluster.
        || status.is_some_and(|status| status.bootstrapped || status.ready_nodes > 0);
    if !bootstrapped {
        return Founding::By(lowest);
    }
    let asked = cluster.annotations().get(ALLOW_FORMAT);
    let followed = status.and_then(|status| status.allowed_format.as_ref());
    if asked.is_some() && asked != followed {
        Founding::By(lowest)
    } else if controllers.len() == 1 {
        Founding::Refused
    } else {
        Founding::Done
    }
}

fn memory(field: &str, asked: Option<&PodResources>) -> Result<(PodResources, u64), Invalid> {
    let memory = asked
        .and_then(|r| r.memory.clone())
        .unwrap_or_else(|| MEMORY.into());
    let bytes = size(field, &memory)?;
    if bytes < 256 * MEBIBYTE {
        return Err(Invalid::new(
            field,
            &memory.0,
            "a Kafka node does not start with so little",
            "give at least 256Mi",
        ));
    }
    let resources = PodResources {
        memory: Some(memory),
        cpu: asked.and_then(|r| r.cpu.clone()),
    };
    Ok((resources, heap(bytes)))
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

/// The Java heap for a memory limit: what is left is for the page cache's bookkeeping, direct buffers and the JVM
/// itself, about 100 MiB however small the heap.
fn heap(memory_bytes: u64) -> u64 {
    (memory_bytes / MEBIBYTE * 3 / 8).clamp(96, 6144)
}

fn check_setting(name: &str, value: &str) -> Result<(), Invalid> {
    let field = format!("spec.config[{name}]");
    if RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|p| name.starts_with(p)) {
        return Err(Invalid::new(
            field,
            value,
            "is set by the operator",
            "remove it",
        ));
    }
    if name.is_empty()
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    {
        return Err(Invalid::new(
            field,
            value,
            "is not the name of a setting",
            "write it like log.retention.hours",
        ));
    }
    // A line break would smuggle in further settings.
    if value.contains(['\n', '\r', '\\']) {
        return Err(Invalid::new(
            field,
            value,
            "holds a line break or a backslash",
            "write the value on one line",
        ));
    }
    Ok(())
}

/// A cluster id in Kafka's form (22 characters of base64url), from the resource's uid, so that it does not change in
/// the resource's life.
fn cluster_id(uid: &str) -> Result<String, Invalid> {
    let uuid = uuid::Uuid::parse_str(uid).map_err(|_| {
        Invalid::new(
            "metadata.uid",
            uid,
            "is not a UUID",
            "make the resource through Kubernetes",
        )
    })?;
    Ok(URL_SAFE_NO_PAD.encode(uuid.as_bytes()))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
pub(super) mod tests;
