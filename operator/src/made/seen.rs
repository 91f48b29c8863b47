//! Of an object that the operator has made, what anybody asks for.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::{ApiResource, DynamicObject};
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::types::without_managed_fields;

/// What most Deployments and Services say of themselves: texts are packed by pointing at what stands here.
const WORDS: &[u8] = br#"{"metadata":{"generation":2},"spec":{"type":"ClusterIP"},"status":{"loadBalancer":{}}}{"metadata":{"generation":1},"spec":{"replicas":1},"status":{"observedGeneration":1,"replicas":1,"unavailableReplicas":1,"updatedReplicas":1}}{"metadata":{"generation":1},"spec":{"replicas":1},"status":{"availableReplicas":1,"observedGeneration":1,"readyReplicas":1,"replicas":1,"updatedReplicas":1}}"#;

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
                let text = text.to_string();
                let packed = compress_prepend_size_with_dict(text.as_bytes(), WORDS);
                Some(Summary::Packed(packed.into_boxed_slice()))
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
    /// JSON, as an LZ4 block with its length before it.
    Packed(Box<[u8]>),
}

impl Summary {
    pub(super) fn body(&self, name: &str) -> Value {
        let mut body = match self {
            Self::Name => json!({"metadata": {}}),
            Self::Packed(packed) => decompress_size_prepended_with_dict(packed, WORDS)
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok())
                .unwrap_or_default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_running_deployment_says_takes_hardly_any_room() {
        let status = json!({"availableReplicas": 2, "observedGeneration": 3, "readyReplicas": 2, "replicas": 2,
            "updatedReplicas": 2, "conditions": [{"type": "Available"}]});
        let object = json!({"metadata": {"name": "d", "generation": 3}, "spec": {"replicas": 2, "selector": {}}, "status": status});
        let seen: Seen = serde_json::from_value(object).unwrap();
        let summary = seen.summary("Deployment").unwrap();
        let body = summary.body("d");
        assert_eq!(
            body,
            json!({"metadata": {"generation": 3, "name": "d"}, "spec": {"replicas": 2},
                "status": {"availableReplicas": 2, "observedGeneration": 3, "readyReplicas": 2, "replicas": 2, "updatedReplicas": 2}})
        );
        let Summary::Packed(packed) = summary else {
            panic!("not packed");
        };
        let text = body.to_string().len();
        assert!(packed.len() * 2 < text, "{} {text}", packed.len());
    }
}
