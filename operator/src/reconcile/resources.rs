//! What is to be in Kubernetes, and what is.

use std::fmt::Write as _;
use std::marker::PhantomData;

use kube::api::{ApiResource, ObjectMeta};
use kube::core::DynamicObject;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::approval::PendingRestart;
use crate::rbac::Rule;

/// Marks resources as built and not yet sent.
#[derive(Debug)]
pub enum Prepared {}
/// Marks resources as they came back from Kubernetes.
#[derive(Debug)]
pub enum Applied {}

/// A set of objects in one namespace.
#[derive(Debug)]
pub struct Resources<State> {
    entries: Vec<Entry>,
    pending: Vec<PendingRestart>,
    state: PhantomData<State>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) resource: ApiResource,
    pub(super) name: String,
    pub(super) body: Value,
}

impl Resources<Prepared> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: Vec::new(),
            pending: Vec::new(),
            state: PhantomData,
        }
    }

    /// Adds an object.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn add<K: Resource<DynamicType = ()> + Serialize>(
        &mut self,
        object: &K,
    ) -> Result<(), serde_json::Error> {
        let resource = ApiResource::erase::<K>(&());
        let mut body = serde_json::to_value(object)?;
        if let Value::Object(map) = &mut body {
            map.insert("apiVersion".into(), resource.api_version.clone().into());
            map.insert("kind".into(), resource.kind.clone().into());
            // A status in an apply would claim fields that belong to the object's own controller.
            map.remove("status");
        }
        self.entries.push(Entry {
            resource,
            name: object.name_any(),
            body,
        });
        Ok(())
    }

    /// Adds an object of an API that this crate has no types of.
    pub fn add_dynamic(&mut self, resource: ApiResource, metadata: &ObjectMeta, spec: Value) {
        let name = metadata.name.clone().unwrap_or_default();
        let body = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": metadata,
            "spec": spec,
        });
        self.entries.push(Entry {
            resource,
            name,
            body,
        });
    }

    /// Changes the specs of objects, whatever their kinds: `change` is given kind, name and spec.
    pub fn change_specs(&mut self, mut change: impl FnMut(&str, &str, &mut Value)) {
        for entry in &mut self.entries {
            if let Some(spec) = entry.body.get_mut("spec") {
                change(&entry.resource.kind, &entry.name, spec);
            }
        }
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// The objects as YAML, for tests and for showing.
    ///
    /// # Errors
    /// An object cannot be written as YAML.
    pub fn to_yaml(&self) -> Result<String, serde_yaml_ng::Error> {
        let mut text = String::new();
        for entry in &self.entries {
            // Writing into a String cannot fail.
            let _ = write!(text, "---\n{}", serde_yaml_ng::to_string(&entry.body)?);
        }
        Ok(text)
    }

    /// One object, if it is there and of this type.
    #[must_use]
    pub fn get<K: Resource<DynamicType = ()> + DeserializeOwned>(&self, name: &str) -> Option<K> {
        find(&self.entries, name)
    }
}

impl Default for Resources<Prepared> {
    fn default() -> Self {
        Self::new()
    }
}

impl Resources<Applied> {
    pub(super) fn from_entries(entries: Vec<Entry>, pending: Vec<PendingRestart>) -> Self {
        Self {
            entries,
            pending,
            state: PhantomData,
        }
    }

    /// Restarts that wait for approval.
    #[must_use]
    pub fn pending(&self) -> &[PendingRestart] {
        &self.pending
    }

    /// All objects as Kubernetes has them, as JSON.
    pub fn bodies(&self) -> impl Iterator<Item = &Value> {
        self.entries.iter().map(|entry| &entry.body)
    }

    /// One object as Kubernetes has it, if it was applied and is of this type.
    #[must_use]
    pub fn get<K: Resource<DynamicType = ()> + DeserializeOwned>(&self, name: &str) -> Option<K> {
        find(&self.entries, name)
    }
}

fn find<K: Resource<DynamicType = ()> + DeserializeOwned>(
    entries: &[Entry],
    name: &str,
) -> Option<K> {
    let kind = K::kind(&());
    let entry = entries
        .iter()
        .find(|entry| entry.resource.kind == kind && entry.name == name)?;
    serde_json::from_value(entry.body.clone()).ok()
}

pub(super) fn body_of(object: &DynamicObject) -> Value {
    // An object that came as JSON goes back into it.
    serde_json::to_value(object).unwrap_or_default()
}

/// A short fingerprint of anything that can be written as JSON: equal content, equal fingerprint.
#[must_use]
pub fn fingerprint(content: &impl Serialize) -> String {
    format!("{:016x}", digest(content))
}

/// The same as a number.
pub(super) fn digest(content: &impl Serialize) -> u64 {
    let bytes = serde_json::to_vec(content).unwrap_or_default();
    let digest = Sha256::digest(&bytes);
    let first = digest.iter().take(8);
    first.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What the operator must be allowed to do to apply a kind.
#[must_use]
pub fn rules(kinds: &[ApiResource], why: &str) -> Vec<Rule> {
    kinds
        .iter()
        .map(|kind| {
            let verbs = ["get", "list", "watch", "create", "patch", "delete"];
            Rule::new(&kind.group, &[&kind.plural], &verbs, why)
        })
        .collect()
}

/// The rules for a custom resource, called `plural`, of which the operator makes objects of these kinds.
#[must_use]
pub fn component_rules(plural: &str, kinds: &[ApiResource]) -> Vec<Rule> {
    let mut all = Rule::own_kind(plural);
    let why = "Make, correct and remove the objects of a component.";
    all.extend(rules(kinds, why));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    #[test]
    fn what_was_added_is_found_by_type_and_name() {
        let mut resources = Resources::new();
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some("a".into()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        resources.add(&map).unwrap();
        assert_eq!(resources.get::<ConfigMap>("a"), Some(map));
        assert_eq!(resources.get::<ConfigMap>("b"), None);
        assert_eq!(
            resources.get::<k8s_openapi::api::core::v1::Secret>("a"),
            None
        );
    }

    #[test]
    fn fingerprints_follow_content() {
        assert_eq!(
            fingerprint(&serde_json::json!({"a": 1})),
            fingerprint(&serde_json::json!({"a": 1}))
        );
        assert_ne!(
            fingerprint(&serde_json::json!({"a": 1})),
            fingerprint(&serde_json::json!({"a": 2}))
        );
        assert_eq!(fingerprint(&"x").len(), 16);
    }
}
