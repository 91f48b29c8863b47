//! From what was asked for to what can be built. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use millrace_contract::Invalid;

use super::CLIENT_PORT;
use super::crd::ZooKeeperEnsemble;
use crate::context::Images;
use crate::reconcile::{Error, Owner};
use crate::types::{DeletionPolicy, Operation, PodResources, Storage, StorageGrowth};

/// Memory of a server when none is asked for.
pub const MEMORY: &str = "256Mi";
const MEBIBYTE: u64 = 1024 * 1024;

/// An ensemble that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedZooKeeper {
    /// Whose objects they are.
    pub owner: Owner,
    /// The container image.
    pub image: String,
    /// How many servers there are to be.
    pub servers: i32,
    /// The volume of each.
    pub storage: Storage,
    /// How far volumes grow by themselves.
    pub storage_growth: Option<StorageGrowth>,
    /// The claim template that the live StatefulSet has; it cannot be changed.
    pub live_template: Option<PersistentVolumeClaim>,
    /// Memory and CPU of a server.
    pub resources: PodResources,
    /// The Java heap, in mebibytes.
    pub heap_mebibytes: u64,
    /// Settings on top of the computed ones.
    pub config: BTreeMap<String, String>,
    /// What becomes of the volumes in the end.
    pub deletion_policy: DeletionPolicy,
    /// How it is run over time.
    pub operation: Operation,
}

impl ValidatedZooKeeper {
    /// The pods of the servers.
    pub fn pods(&self) -> impl Iterator<Item = String> {
        (0..self.servers).map(|ordinal| format!("{}-{ordinal}", self.owner.name))
    }

    /// The DNS name of a pod.
    #[must_use]
    pub fn host(&self, pod: &str) -> String {
        // Without the cluster domain, which nobody outside the kubelet's configuration knows for certain.
        format!(
            "{pod}.{}-nodes.{}.svc",
            self.owner.name, self.owner.namespace
        )
    }

    /// All servers, as clients name them.
    #[must_use]
    pub fn connection(&self) -> String {
        let servers = self
            .pods()
            .map(|pod| format!("{}:{CLIENT_PORT}", self.host(&pod)));
        servers.collect::<Vec<_>>().join(",")
    }
}

/// Checks an ensemble and computes what follows from its spec.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(
    ensemble: &ZooKeeperEnsemble,
    live_template: Option<PersistentVolumeClaim>,
    images: &Images,
) -> Result<ValidatedZooKeeper, Error> {
    let spec = &ensemble.spec;
    let owner = Owner {
        windows: spec.operation.windows()?,
        ..Owner::of(ensemble)?
    };
    if ![1, 3].contains(&spec.servers) {
        return Err(Invalid::new(
            "spec.servers",
            spec.servers.to_string(),
            "an ensemble has one server, or three",
            "set 1 or 3",
        )
        .into());
    }
    for (name, value) in &spec.config {
        if value.contains(['\n', '\r']) {
            return Err(Invalid::new(
                format!("spec.config[{name}]"),
                value,
                "holds a line end",
                "write it on one line",
            )
            .into());
        }
    }
    let asked = spec.resources.as_ref();
    let memory = asked
        .and_then(|r| r.memory.clone())
        .unwrap_or_else(|| MEMORY.into());
    let bytes = memory.bytes().unwrap_or_default();
    if bytes < 192 * MEBIBYTE {
        return Err(Invalid::new(
            "spec.resources.memory",
            &memory.0,
            "a server does not start with so little",
            "give at least 192Mi",
        )
        .into());
    }
    Ok(ValidatedZooKeeper {
        image: spec
            .image
            .clone()
            .unwrap_or_else(|| images.zookeeper.clone()),
        servers: spec.servers,
        storage: spec.storage.clone(),
        storage_growth: spec.storage_growth.clone(),
        live_template,
        resources: PodResources {
            memory: Some(memory),
            cpu: asked.and_then(|r| r.cpu.clone()),
        },
        // All data is on the heap; the rest is the JVM itself, about 70 MiB.
        heap_mebibytes: (bytes / MEBIBYTE / 2).clamp(64, 8192),
        config: spec.config.clone(),
        deletion_policy: spec.deletion_policy,
        operation: spec.operation.clone(),
        owner,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in crate::zookeeper) fn valid(
        spec: serde_json::Value,
    ) -> Result<ValidatedZooKeeper, Error> {
        let ensemble: ZooKeeperEnsemble = serde_json::from_value(json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "ZooKeeperEnsemble",
            "metadata": {"name": "z", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
            "spec": spec,
        }))
        .unwrap();
        let images = Images::named(|name| format!("{name}:1"));
        validate(&ensemble, None, &images)
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (spec, field) in [
            (json!({"servers": 2}), "spec.servers: 2"),
            (
                json!({"resources": {"memory": "64Mi"}}),
                "spec.resources.memory: 64Mi",
            ),
            (json!({"config": {"a": "b\nserver.9=x"}}), "spec.config[a]"),
        ] {
            let told = valid(spec).unwrap_err().to_string();
            assert!(told.starts_with(field), "{told}");
        }
    }

    #[test]
    fn clients_are_told_all_servers() {
        let three = valid(json!({"servers": 3})).unwrap();
        assert_eq!(
            three.connection(),
            "z-0.z-nodes.ns.svc:2181,z-1.z-nodes.ns.svc:2181,z-2.z-nodes.ns.svc:2181"
        );
    }
}
