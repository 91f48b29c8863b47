//! The pools of a cluster, from what was asked for and what is there. Pure.

use millrace_contract::Invalid;

use super::Found;
use crate::kafka::crd::{self, KafkaClusterSpec, KafkaClusterStatus, Role};
use crate::kafka::nodes::{NodeVolume, Pool};
use crate::reconcile::{Error, Owner};
use crate::types::{FreeForm, PodResources, Quantity, Storage};

/// Memory of a node when none is asked for.
const MEMORY: &str = "512Mi";
const MEBIBYTE: u64 = 1024 * 1024;
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
pub(super) fn check_removed(
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

pub(super) fn pools(
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

pub(super) fn size(field: &str, quantity: &Quantity) -> Result<u64, Invalid> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_follows_the_memory() {
        assert_eq!(heap(256 * MEBIBYTE), 96);
        assert_eq!(heap(1024 * MEBIBYTE), 384);
        assert_eq!(heap(64 * 1024 * MEBIBYTE), 6144);
    }
}
