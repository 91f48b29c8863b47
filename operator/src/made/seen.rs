//! Of an object that the operator has made, what anybody asks for.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::{ApiResource, DynamicObject};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::types::without_managed_fields;

/// An object as a watch reads it: most of its content is left out while it is read.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Seen {
    #[serde(default, deserialize_with = "without_managed_fields")]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<Spec>,
    #[serde(default)]
    status: Option<Value>,
}

// The fields of a spec that its status is read against.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Spec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replicas: Option<i32>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    type_: Option<String>,
}

impl Seen {
    pub(super) fn of(object: &DynamicObject) -> Self {
        let part = |name: &str| object.data.get(name).cloned();
        Self {
            metadata: object.metadata.clone(),
            spec: part("spec").and_then(|spec| serde_json::from_value(spec).ok()),
            status: part("status"),
        }
    }

    /// The object in so far as reconcilers read it once it is applied; `None` of kinds of which they may read anything.
    pub(super) fn summary(&self, kind: &str) -> Option<Summary> {
        match kind {
            "ConfigMap" | "NetworkPolicy" | "PodDisruptionBudget" => Some(Summary::Name),
            "Deployment" | "Service" => {
                let mut status = self.status.clone().unwrap_or_default();
                if let Some(status) = status.as_object_mut() {
                    status.remove("conditions");
                }
                let text = json!({
                    "metadata": {"generation": self.metadata.generation},
                    "spec": self.spec,
                    "status": status,
                });
                Some(Summary::Text(text.to_string().into_boxed_str()))
            }
            _ => None,
        }
    }
}

/// An object in so far as reconcilers read it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Summary {
    /// Its name only.
    Name,
    /// JSON.
    Text(Box<str>),
}

impl Summary {
    pub(super) fn body(&self, name: &str) -> Value {
        let mut body = match self {
            Self::Name => json!({"metadata": {}}),
            Self::Text(text) => serde_json::from_str(text).unwrap_or_default(),
        };
        body["metadata"]["name"] = name.into();
        body
    }
}

/// What of an object's metadata, or content, must be as it was for an apply to change nothing.
#[must_use]
pub fn version(meta: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    meta.uid.hash(&mut hasher);
    meta.generation.hash(&mut hasher);
    if meta.generation.is_none() {
        meta.resource_version.hash(&mut hasher);
    }
    meta.deletion_timestamp.is_some().hash(&mut hasher);
    meta.labels.hash(&mut hasher);
    meta.annotations.hash(&mut hasher);
    for owner in meta.owner_references.iter().flatten() {
        (&owner.uid, &owner.kind, &owner.name, owner.controller).hash(&mut hasher);
    }
    hasher.finish()
}

impl Resource for Seen {
    type DynamicType = ApiResource;
    type Scope = kube::core::DynamicResourceScope;

    fn kind(of: &ApiResource) -> Cow<'_, str> {
        of.kind.as_str().into()
    }

    fn group(of: &ApiResource) -> Cow<'_, str> {
        of.group.as_str().into()
    }

    fn version(of: &ApiResource) -> Cow<'_, str> {
        of.version.as_str().into()
    }

    fn api_version(of: &ApiResource) -> Cow<'_, str> {
        of.api_version.as_str().into()
    }

    fn plural(of: &ApiResource) -> Cow<'_, str> {
        of.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
