//! From what was asked for to what can be built. Pure.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::ResourceExt;
use millrace_contract::Invalid;

mod pools;
mod settings;

use self::pools::{check_removed, pools, size};
use self::settings::check_setting;
use super::ALLOW_FORMAT;
use super::certificates::{self, Certificates, Secrets, Wanted};
use super::crd::{KafkaCluster, KafkaClusterSpec};
use super::external::{self, Address, External};
use super::nodes::{Node, Pool};
use crate::context::Images;
use crate::reconcile::{Error, Owner};
use crate::types::{DeletionPolicy, Windows};

/// Bytes per second of moves when none are asked for.
const MOVE_RATE: u64 = 50 * 1024 * 1024;

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
    let owner = Owner {
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
