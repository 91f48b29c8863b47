//! From what was asked for to what can be built. Pure.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use millrace_contract::Invalid;
use millrace_contract::materialize::check_database;

use super::COMPONENT;
use super::crd::{Engine, MongoCluster};
use crate::context::Images;
use crate::reconcile::{Error, Owner};
use crate::types::{DeletionPolicy, Operation, PodResources, Storage};

/// Memory of a server when none is asked for.
pub const MEMORY: &str = "192Mi";
const MEBIBYTE: u64 = 1024 * 1024;
/// What a Java process needs beside its heap.
const BESIDE_HEAP: u64 = 112;

/// A cluster that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedMongo {
    /// Whose objects they are.
    pub owner: Owner,
    /// Which server it is.
    pub engine: Engine,
    /// The container image.
    pub image: String,
    /// The volume.
    pub storage: Storage,
    /// The claim template that the live StatefulSet has; it cannot be changed.
    pub live_template: Option<PersistentVolumeClaim>,
    /// Memory and CPU of the server.
    pub resources: PodResources,
    /// The Java heap, in mebibytes.
    pub heap_mebibytes: u64,
    /// The database of the binding.
    pub database: String,
    /// What becomes of the volume in the end.
    pub deletion_policy: DeletionPolicy,
    /// How it is run over time.
    pub operation: Operation,
}

impl ValidatedMongo {
    /// The name by which clients find it.
    #[must_use]
    pub fn host(&self) -> String {
        // Without the cluster domain, which nobody outside the kubelet's configuration knows for certain.
        format!(
            "{}-{COMPONENT}.{}.svc",
            self.owner.name, self.owner.namespace
        )
    }
}

/// Checks a cluster and computes what follows from its spec.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(
    cluster: &MongoCluster,
    live_template: Option<PersistentVolumeClaim>,
    images: &Images,
) -> Result<ValidatedMongo, Error> {
    let spec = &cluster.spec;
    let owner = Owner {
        windows: spec.operation.windows()?,
        ..Owner::of(cluster)?
    };
    check_database("spec.database", &spec.database)?;
    let asked = spec.resources.as_ref();
    let memory = asked
        .and_then(|r| r.memory.clone())
        .unwrap_or_else(|| MEMORY.into());
    let mebibytes = memory.bytes().unwrap_or_default() / MEBIBYTE;
    if mebibytes < 160 {
        return Err(Invalid::new(
            "spec.resources.memory",
            &memory.0,
            "no server starts with so little",
            "give at least 160Mi",
        )
        .into());
    }
    let default = match spec.engine {
        Engine::Wire => &images.mongo_wire,
    };
    Ok(ValidatedMongo {
        engine: spec.engine,
        image: spec.image.clone().unwrap_or_else(|| default.clone()),
        storage: spec.storage.clone(),
        live_template,
        resources: PodResources {
            memory: Some(memory),
            cpu: asked.and_then(|r| r.cpu.clone()),
        },
        heap_mebibytes: mebibytes - BESIDE_HEAP,
        database: spec.database.clone(),
        deletion_policy: spec.deletion_policy,
        operation: spec.operation.clone(),
        owner,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in crate::mongo) fn valid(spec: serde_json::Value) -> Result<ValidatedMongo, Error> {
        let cluster: MongoCluster = serde_json::from_value(json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "MongoCluster",
            "metadata": {"name": "m", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
            "spec": spec,
        }))
        .unwrap();
        validate(&cluster, None, &Images::named(|name| format!("{name}:1")))
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (spec, field) in [
            (
                json!({"engine": "wire", "database": "admin"}),
                "spec.database: admin",
            ),
            (
                json!({"engine": "wire", "resources": {"memory": "64Mi"}}),
                "spec.resources.memory: 64Mi",
            ),
        ] {
            let told = valid(spec).unwrap_err().to_string();
            assert!(told.starts_with(field), "{told}");
        }
        let wire = valid(json!({"engine": "wire"})).unwrap();
        assert_eq!(
            (wire.image.as_str(), wire.heap_mebibytes),
            ("mongo-wire:1", 80)
        );
        assert_eq!(wire.host(), "m-mongo.ns.svc");
    }
}
