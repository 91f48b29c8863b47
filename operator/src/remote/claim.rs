//! Who owns a thing inside a system when several resources name it: the oldest resource.
//!
//! Each resource carries a label made from the thing it names, so rivals are found by one small list
//! instead of reading all resources of the namespace.

use jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::context::Context;

/// The label by which rivals are found.
pub const CLAIM_LABEL: &str = "millrace.dev/claims";

/// The value of [`CLAIM_LABEL`] for a thing. Names may be longer than a label, so it is a hash.
#[must_use]
pub fn claim(component: &str, thing: &str) -> String {
    let digest = Sha256::digest(format!("{component}/{thing}"));
    digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What orders two resources: who was there first; equal seconds are decided by name.
fn age<K: Resource>(object: &K) -> (Option<Timestamp>, String) {
    let created = object.meta().creation_timestamp.as_ref();
    (created.map(|t| t.0), object.name_any())
}

/// The oldest other resource that claims the same thing and is older than this one.
/// A resource on its way out claims nothing any more.
#[must_use]
pub fn older_rival<'a, K: Resource>(own: &K, all: &'a [K]) -> Option<&'a K> {
    all.iter()
        .filter(|other| other.meta().uid != own.meta().uid)
        .filter(|other| other.meta().deletion_timestamp.is_none())
        .filter(|other| age(*other) < age(own))
        .min_by_key(|other| age(*other))
}

/// The resources of a namespace that carry a claim.
///
/// # Errors
/// The answer of Kubernetes.
pub async fn claimants<K>(
    context: &Context,
    namespace: &str,
    claim: &str,
) -> Result<Vec<K>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let selector = ListParams::default().labels(&format!("{CLAIM_LABEL}={claim}"));
    Ok(context
        .namespaced::<K>(namespace)
        .list(&selector)
        .await?
        .items)
}

/// The change of an object's metadata that sets labels and the finalizer as wanted; `None` when all is so.
#[must_use]
pub fn metadata_patch<K: Resource>(
    object: &K,
    labels: &[(&str, &str)],
    finalizer: &str,
    wanted: bool,
) -> Option<Value> {
    let mut metadata = Map::new();
    let missing: Map<String, Value> = labels
        .iter()
        .filter(|(key, value)| object.labels().get(*key).map(String::as_str) != Some(*value))
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    if !missing.is_empty() {
        metadata.insert("labels".to_owned(), Value::Object(missing));
    }
    let has = object.finalizers().iter().any(|f| f == finalizer);
    if has != wanted {
        let mut finalizers: Vec<String> = object.finalizers().to_vec();
        if wanted {
            finalizers.push(finalizer.to_owned());
        } else {
            finalizers.retain(|f| f != finalizer);
        }
        metadata.insert("finalizers".to_owned(), json!(finalizers));
        // The list is written whole: somebody else's finalizer added meanwhile must not be lost.
        metadata.insert(
            "resourceVersion".to_owned(),
            json!(object.resource_version()),
        );
    }
    if metadata.is_empty() {
        return None;
    }
    metadata.insert("uid".to_owned(), json!(object.uid()));
    Some(json!({ "metadata": metadata }))
}

/// Labels an object with its claim, when it is not so. For what needs no finalizer.
///
/// # Errors
/// The answer of Kubernetes; that the object is gone by now is not an error.
pub async fn stake<K>(context: &Context, object: &K, claim: &str) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    // A finalizer of no name is never there and never wanted.
    set_metadata(context, object, &[(CLAIM_LABEL, claim)], "", false).await
}

/// Sets labels and the finalizer, when they are not as wanted.
///
/// # Errors
/// The answer of Kubernetes; that the object is gone by now is not an error.
pub async fn set_metadata<K>(
    context: &Context,
    object: &K,
    labels: &[(&str, &str)],
    finalizer: &str,
    wanted: bool,
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let Some(patch) = metadata_patch(object, labels, finalizer, wanted) else {
        return Ok(());
    };
    let namespace = object.namespace().unwrap_or_default();
    let api = context.namespaced::<K>(&namespace);
    match api
        .patch(
            &object.name_any(),
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await
    {
        Ok(_) => {
            context.metrics.count_write(&K::kind(&()));
            Ok(())
        }
        Err(error) if crate::context::is_status(&error, 404) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn object(name: &str, second: i64) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object.metadata.uid = Some(name.to_owned());
        object.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
        object
    }

    #[test]
    fn the_oldest_owns_and_the_name_decides_within_a_second() {
        let all = [object("b", 5), object("a", 5), object("old", 1)];
        assert!(older_rival(&all[2], &all).is_none());
        assert_eq!(older_rival(&all[0], &all).unwrap().name_any(), "old");
        assert_eq!(older_rival(&all[0], &all[..2]).unwrap().name_any(), "a");
        assert!(older_rival(&all[1], &all[..2]).is_none());
        let mut leaving = all.clone();
        leaving[2].metadata.deletion_timestamp = leaving[2].metadata.creation_timestamp.clone();
        assert_eq!(older_rival(&leaving[0], &leaving).unwrap().name_any(), "a");
    }

    #[test]
    fn claims_fit_into_a_label_and_differ() {
        let long = claim("kafka", &"x".repeat(249));
        assert_eq!(long.len(), 32);
        assert_ne!(claim("kafka", "a"), claim("kafka", "b"));
    }

    #[test]
    fn metadata_is_written_only_when_something_differs() {
        let mut own = object("a", 1);
        own.metadata.finalizers = Some(vec!["other/one".to_owned()]);
        own.metadata.resource_version = Some("7".to_owned());
        let patch = metadata_patch(&own, &[("l", "v")], "millrace.dev/x", true).unwrap();
        assert_eq!(
            patch,
            json!({"metadata": {"labels": {"l": "v"}, "finalizers": ["other/one", "millrace.dev/x"], "resourceVersion": "7", "uid": "a"}})
        );
        own.metadata.labels = Some([("l".to_owned(), "v".to_owned())].into());
        assert_eq!(
            metadata_patch(&own, &[("l", "v")], "millrace.dev/x", false),
            None
        );
        own.metadata.finalizers = Some(vec!["millrace.dev/x".to_owned()]);
        let patch = metadata_patch(&own, &[], "millrace.dev/x", false).unwrap();
        assert_eq!(patch["metadata"]["finalizers"], json!([]));
    }
}
