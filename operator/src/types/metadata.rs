//! The metadata of an object as a watch reads it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::{Deserialize, Deserializer};

/// All metadata but `managedFields`, which are larger than the rest and are made into a tree when they are read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Unmanaged {
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    generate_name: Option<String>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    name: Option<String>,
    namespace: Option<String>,
    owner_references: Option<Vec<OwnerReference>>,
    resource_version: Option<String>,
    self_link: Option<String>,
    uid: Option<String>,
}

/// Reads metadata and passes over `managedFields`, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// It is not metadata.
pub fn without_managed_fields<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<ObjectMeta, D::Error> {
    let read = Option::<Unmanaged>::deserialize(deserializer)?.unwrap_or_default();
    Ok(ObjectMeta {
        annotations: read.annotations,
        creation_timestamp: read.creation_timestamp,
        deletion_grace_period_seconds: read.deletion_grace_period_seconds,
        deletion_timestamp: read.deletion_timestamp,
        finalizers: read.finalizers,
        generate_name: read.generate_name,
        generation: read.generation,
        labels: read.labels,
        managed_fields: None,
        name: read.name,
        namespace: read.namespace,
        owner_references: read.owner_references,
        resource_version: read.resource_version,
        self_link: read.self_link,
        uid: read.uid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn all_but_the_managed_fields_is_read() {
        let written = json!({
            "annotations": {"a": "b"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "deletionGracePeriodSeconds": 30,
            "deletionTimestamp": "2026-01-02T00:00:00Z",
            "finalizers": ["f"],
            "generateName": "g-",
            "generation": 3,
            "labels": {"l": "m"},
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
            "name": "n",
            "namespace": "ns",
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "K", "name": "o", "uid": "u", "controller": true},
            ],
            "resourceVersion": "7",
            "selfLink": "/s",
            "uid": "u",
        });
        let mut whole: ObjectMeta = serde_json::from_value(written.clone()).unwrap();
        whole.managed_fields = None;
        assert_eq!(without_managed_fields(written).unwrap(), whole);
        assert_eq!(
            without_managed_fields(Value::Null).unwrap(),
            ObjectMeta::default()
        );
    }
}
