//! From what was asked for to what can be built. Pure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use millrace_contract::Invalid;

use super::crd::KafkaCluster;
use crate::context::Images;
use crate::reconcile::{Error, Owner};
use crate::types::{PodResources, Quantity, Storage};

/// Memory of a node when none is asked for.
const MEMORY: &str = "512Mi";
const MEBIBYTE: u64 = 1024 * 1024;

/// Settings that the operator sets and nobody else.
const RESERVED: &[&str] = &[
    "node.id",
    "broker.id",
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
];

/// A cluster that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedKafka {
    /// Whose objects they are.
    pub owner: Owner,
    /// The container image.
    pub image: String,
    /// How many nodes.
    pub nodes: i32,
    /// The volume asked for.
    pub storage: Storage,
    /// The claim template that the live StatefulSet has; it cannot be changed.
    pub live_template: Option<PersistentVolumeClaim>,
    /// Memory and CPU of a node.
    pub resources: PodResources,
    /// The Java heap, in mebibytes.
    pub heap_mebibytes: u64,
    /// The id that empty log directories are formatted with. A volume of a former cluster keeps the id that it has.
    pub cluster_id: String,
    /// Broker settings on top of the computed ones.
    pub config: BTreeMap<String, String>,
}

/// Checks a cluster and computes what follows from its spec.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(
    cluster: &KafkaCluster,
    live_template: Option<PersistentVolumeClaim>,
    images: &Images,
) -> Result<ValidatedKafka, Error> {
    let spec = &cluster.spec;
    let owner = Owner::of(cluster)?;
    if spec.nodes != 1 {
        return Err(Invalid::new(
            "spec.nodes",
            spec.nodes.to_string(),
            "this version runs one combined broker and controller",
            "set spec.nodes to 1",
        )
        .into());
    }
    let memory = spec
        .resources
        .as_ref()
        .and_then(|r| r.memory.clone())
        .unwrap_or_else(|| MEMORY.into());
    let bytes = size("spec.resources.memory", &memory)?;
    if bytes < 256 * MEBIBYTE {
        return Err(Invalid::new(
            "spec.resources.memory",
            &memory.0,
            "a Kafka node does not start with so little",
            "give at least 256Mi",
        )
        .into());
    }
    size("spec.storage.size", &spec.storage.size)?;
    for (name, value) in &spec.config {
        check_setting(name, value)?;
    }
    let cpu = spec.resources.as_ref().and_then(|r| r.cpu.clone());
    let cluster_id = cluster_id(&owner.uid)?;
    Ok(ValidatedKafka {
        image: spec.image.clone().unwrap_or_else(|| images.kafka.clone()),
        nodes: spec.nodes,
        storage: spec.storage.clone(),
        live_template,
        resources: PodResources {
            memory: Some(memory),
            cpu,
        },
        heap_mebibytes: heap(bytes),
        cluster_id,
        config: spec.config.clone(),
        owner,
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

/// The Java heap for a memory limit: what is left is for the page cache's bookkeeping, direct buffers and the JVM
/// itself, about 100 MiB however small the heap.
fn heap(memory_bytes: u64) -> u64 {
    (memory_bytes / MEBIBYTE * 3 / 8).clamp(96, 6144)
}

fn check_setting(name: &str, value: &str) -> Result<(), Invalid> {
    let field = format!("spec.config[{name}]");
    if RESERVED.contains(&name) {
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
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in crate::kafka) fn images() -> Images {
        Images {
            kafka: "kafka:4".into(),
            stream: "stream:1".into(),
            whisk: "whisk:1".into(),
        }
    }

    pub(in crate::kafka) fn cluster(spec: serde_json::Value) -> KafkaCluster {
        serde_json::from_value(json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaCluster",
            "metadata": {"name": "k", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
            "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn a_small_cluster_gets_defaults() {
        let valid = validate(
            &cluster(json!({"nodes": 1, "storage": {"size": "1Gi"}})),
            None,
            &images(),
        )
        .unwrap();
        assert_eq!(valid.image, "kafka:4");
        assert_eq!(valid.heap_mebibytes, 192);
        assert_eq!(valid.cluster_id, "a6e4EJ2tEdGAtADAT9QwyA");
        assert_eq!(valid.cluster_id.len(), 22);
    }

    #[test]
    fn what_cannot_be_built_names_field_value_and_cure() {
        let storage = json!({"size": "1Gi"});
        for (spec, field, value) in [
            (json!({"nodes": 0, "storage": storage}), "spec.nodes", "0"),
            (json!({"nodes": 3, "storage": storage}), "spec.nodes", "3"),
            (
                json!({"nodes": 1, "storage": {"size": "much"}}),
                "spec.storage.size",
                "much",
            ),
            (
                json!({"nodes": 1, "storage": storage, "resources": {"memory": "64Mi"}}),
                "spec.resources.memory",
                "64Mi",
            ),
            (
                json!({"nodes": 1, "storage": storage, "config": {"node.id": "7"}}),
                "spec.config[node.id]",
                "7",
            ),
            (
                json!({"nodes": 1, "storage": storage, "config": {"a b": "7"}}),
                "spec.config[a b]",
                "7",
            ),
            (
                json!({"nodes": 1, "storage": storage, "config": {"a": "1\nlog.dir=/"}}),
                "spec.config[a]",
                "1",
            ),
        ] {
            match validate(&cluster(spec), None, &images()) {
                Err(Error::Invalid(invalid)) => {
                    assert_eq!(invalid.field, field);
                    assert!(invalid.value.starts_with(value), "{}", invalid.value);
                    assert!(!invalid.cure.is_empty());
                }
                other => panic!("{field}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_heap_follows_the_memory() {
        assert_eq!(heap(256 * MEBIBYTE), 96);
        assert_eq!(heap(1024 * MEBIBYTE), 384);
        assert_eq!(heap(64 * 1024 * MEBIBYTE), 6144);
    }
}
