//! The custom resource that objects are made for.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use super::approval;
use crate::context::MANAGER;
use crate::types::Windows;

/// The label that finds everything made for one custom resource; its value is the resource's uid.
pub const OWNER_LABEL: &str = "millrace.dev/owner";

/// What the operator remembers an owner by.
#[must_use]
pub fn key(kind: &str, namespace: &str, name: &str) -> String {
    format!("{kind}/{namespace}/{name}")
}

/// Kind, namespace and name of a [`key`].
#[must_use]
pub fn parts(key: &str) -> Option<(&str, &str, &str)> {
    let (kind, rest) = key.split_once('/')?;
    let (namespace, name) = rest.split_once('/')?;
    Some((kind, namespace, name))
}

/// The resource was not read from Kubernetes.
#[derive(Debug, thiserror::Error)]
#[error("{kind} without {field}: it was not read from Kubernetes")]
pub struct OwnerError {
    kind: String,
    field: &'static str,
}

/// The custom resource that objects are made for: the source of names, labels and owner references.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// The namespace that it and everything made for it lives in.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// The reference that lets Kubernetes delete what was made when it is deleted.
    pub reference: OwnerReference,
    /// Changes whenever its user asks for something else, and never because the operator does.
    pub intent: String,
    /// The operator build that made it, where another resource has.
    pub built_by: Option<String>,
    /// The pending restarts that were approved.
    pub approved: Option<String>,
    /// When they may happen without: none, until its component says otherwise.
    pub windows: Windows,
}

impl Owner {
    /// Takes the owner's facts from a custom resource.
    ///
    /// # Errors
    /// The object has no name, namespace or uid, so it did not come from Kubernetes.
    pub fn of<K: Resource<DynamicType = ()>>(object: &K) -> Result<Self, OwnerError> {
        let missing = |field| OwnerError {
            kind: K::kind(&()).into_owned(),
            field,
        };
        let meta = object.meta();
        let annotation = |name: &str| meta.annotations.as_ref()?.get(name).cloned();
        Ok(Self {
            name: meta.name.clone().ok_or_else(|| missing("name"))?,
            namespace: meta.namespace.clone().ok_or_else(|| missing("namespace"))?,
            uid: meta.uid.clone().ok_or_else(|| missing("uid"))?,
            reference: object
                .controller_owner_ref(&())
                .ok_or_else(|| missing("uid"))?,
            intent: annotation(approval::INTENT)
                .unwrap_or_else(|| meta.generation.unwrap_or_default().to_string()),
            built_by: annotation(approval::BUILT_BY),
            approved: annotation(approval::APPROVE),
            windows: Windows::default(),
        })
    }

    /// What the operator remembers it by.
    #[must_use]
    pub fn key(&self) -> String {
        key(&self.reference.kind, &self.namespace, &self.name)
    }

    /// Labels of an object, and of the pods of it.
    #[must_use]
    pub fn labels(&self, component: &str) -> BTreeMap<String, String> {
        let mut labels = self.selector(component);
        labels.insert("app.kubernetes.io/managed-by".into(), MANAGER.into());
        labels.insert("app.kubernetes.io/part-of".into(), "millrace".into());
        labels
    }

    /// The labels that find the pods: these never change in the life of the resource.
    #[must_use]
    pub fn selector(&self, component: &str) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("app.kubernetes.io/name".into(), component.into()),
            ("app.kubernetes.io/instance".into(), self.name.clone()),
        ])
    }

    /// The labels that find the pods of one of several pools, or of the only one, which has no name.
    #[must_use]
    pub fn pool_selector(
        &self,
        component: &str,
        label: &str,
        pool: Option<&str>,
    ) -> BTreeMap<String, String> {
        let mut labels = self.selector(component);
        if let Some(pool) = pool {
            labels.insert(label.into(), pool.into());
        }
        labels
    }

    /// Metadata of an object that is made for this resource.
    #[must_use]
    pub fn meta(&self, name: impl Into<String>, component: &str) -> ObjectMeta {
        let mut labels = self.labels(component);
        labels.insert(OWNER_LABEL.into(), self.uid.clone());
        ObjectMeta {
            name: Some(name.into()),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels),
            owner_references: Some(vec![self.reference.clone()]),
            ..ObjectMeta::default()
        }
    }

    /// Whether an object was made for this resource and somebody took the reference to it off: our label is there, and
    /// no other owner.
    #[must_use]
    pub fn lost(&self, meta: &ObjectMeta) -> bool {
        let label = meta.labels.iter().find_map(|l| l.get(OWNER_LABEL));
        let owned = meta.owner_references.iter().flatten().next().is_some();
        label.is_some_and(|uid| *uid == self.uid) && !owned
    }

    /// Whether an object was made for this resource.
    #[must_use]
    pub fn owns(&self, meta: &ObjectMeta) -> bool {
        meta.owner_references
            .iter()
            .flatten()
            .any(|reference| reference.uid == self.uid)
    }
}
