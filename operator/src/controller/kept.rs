//! A custom resource as its controller keeps it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::types::without_managed_fields;

/// What `kubectl apply` notes for itself: all of the object once more.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What most resources say of themselves. A text is packed by pointing at what stands here, or before in itself, so that the
/// words of conditions, which are most of it, take hardly any room.
/// At the end stands the kind of which there are most, as the API server writes it.
const WORDS: &[u8] = br#"{"metadata":{},"spec":{"config":{},"deletionPolicy":"Retain","paused":false,"replicas":1,"resources":{"limits":{"cpu":"1","memory":"512Mi"},"requests":{"cpu":"100m","memory":"256Mi"}},"kafka":{"cluster":""},"input":"","output":"","stopped":false,"storage":{"size":"10Gi"}},"status":{"availableReplicas":1,"observedGeneration":1,"readyReplicas":1,"pendingRestarts":[],"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"spec.paused is true: nothing is changed","observedGeneration":1,"reason":"NotPaused","status":"False","type":"Paused"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"1 of 1 pods are ready","observedGeneration":1,"reason":"Ready","status":"True","type":"Available"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"","observedGeneration":1,"reason":"Settled","status":"False","type":"Progressing"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"","observedGeneration":1,"reason":"AsExpected","status":"False","type":"Degraded"}]}}{"metadata":{},"spec":{"job":"detect","replicas":1},"status":{"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"1 of 1 pods ready","observedGeneration":1,"reason":"Ready","status":"True","type":"Available"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"","observedGeneration":1,"reason":"AsExpected","status":"False","type":"Degraded"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"","observedGeneration":1,"reason":"Settled","status":"False","type":"Progressing"}],"observedGeneration":1,"readyReplicas":1,"replicas":1,"selector":"app.kubernetes.io/instance=p,app.kubernetes.io/name=detect"}}"#;

/// A custom resource as its controller keeps it until it is looked at: of all but the metadata the text alone, packed, which
/// has no room for fields that are absent. What only others read is left out.
///
/// One of a form that this version cannot read, for example after a downgrade, is kept too, and does not stop the others.
#[derive(Clone, Debug)]
pub struct Kept<K> {
    metadata: ObjectMeta,
    // As JSON, without the metadata: an LZ4 block with its length before it.
    packed: Box<[u8]>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Resource + DeserializeOwned> Kept<K> {
    /// The custom resource.
    ///
    /// # Errors
    /// It has not the form that this version knows.
    pub fn read(&self) -> Result<K, serde_json::Error> {
        let text = decompress_size_prepended_with_dict(&self.packed, WORDS)
            .map_err(serde_json::Error::custom)?;
        let mut object: K = serde_json::from_slice(&text)?;
        object.meta_mut().clone_from(&self.metadata);
        Ok(object)
    }
}

// Of a custom resource, what its controller reads: spec and status as the text that they came as.
#[derive(Deserialize)]
struct Whole {
    #[serde(default, deserialize_with = "without_managed_fields")]
    metadata: ObjectMeta,
    spec: Option<Box<RawValue>>,
    status: Option<Box<RawValue>>,
}

// An empty map has room for several entries.
fn without_applied(mut annotations: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    annotations.remove(APPLIED);
    (!annotations.is_empty()).then_some(annotations)
}

impl<'de, K> Deserialize<'de> for Kept<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Whole {
            mut metadata,
            spec,
            status,
        } = Whole::deserialize(deserializer)?;
        metadata.annotations = metadata.annotations.and_then(without_applied);
        let parts = [("spec", &spec), ("status", &status)];
        let length = |(_, part): &(&str, &Option<Box<RawValue>>)| {
            part.as_ref().map_or(0, |part| part.get().len() + 12)
        };
        let mut text = String::with_capacity(16 + parts.iter().map(length).sum::<usize>());
        text.push_str("{\"metadata\":{}");
        for (name, part) in parts {
            if let Some(part) = part {
                text.extend([",\"", name, "\":", part.get()]);
            }
        }
        text.push('}');
        let packed = compress_prepend_size_with_dict(text.as_bytes(), WORDS);
        Ok(Self {
            metadata,
            packed: packed.into_boxed_slice(),
            kind: PhantomData,
        })
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Kept<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind(dt: &()) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &()) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &()) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &()) -> Cow<'_, str> {
        K::plural(dt)
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
    use crate::job::crd::StreamJob;
    use serde_json::{Value, json};

    fn written() -> Value {
        json!({
            "apiVersion": "millrace.dev/v1alpha1",
            "kind": "StreamJob",
            "metadata": {
                "name": "detect",
                "namespace": "ns",
                "uid": "u",
                "resourceVersion": "7",
                "generation": 2,
                "annotations": {APPLIED: "{}", "millrace.dev/approve-restart": "x"},
                "managedFields": [{"manager": "kubectl"}],
            },
            "spec": {"job": "detect", "replicas": 2, "config": {"rules": [{"name": "a", "limit": 0.1}]}},
            "status": {"conditions": [], "replicas": 1, "readyReplicas": 1},
        })
    }

    #[test]
    fn what_is_kept_is_what_was_written_without_what_only_others_read() {
        let kept: Kept<StreamJob> = serde_json::from_value(written()).unwrap();
        assert_eq!(kept.meta().name.as_deref(), Some("detect"));
        let mut whole: StreamJob = serde_json::from_value(written()).unwrap();
        whole.metadata.managed_fields = None;
        let annotations = whole.metadata.annotations.as_mut().unwrap();
        annotations.remove(APPLIED);
        assert_eq!(kept.read().unwrap(), whole);
    }

    #[test]
    fn words_that_most_resources_say_take_hardly_any_room() {
        let mut object = written();
        object["status"]["conditions"] = ["Available", "Progressing", "Degraded"]
            .map(|kind| {
                json!({"lastTransitionTime": "2031-05-06T07:08:09Z", "message": "", "observedGeneration": 2,
                    "reason": "AsExpected", "status": "False", "type": kind})
            })
            .into();
        let kept: Kept<StreamJob> = serde_json::from_value(object.clone()).unwrap();
        let status = object["status"].to_string().len();
        assert!(
            kept.packed.len() * 2 < status,
            "{} {status}",
            kept.packed.len()
        );
    }

    #[test]
    fn a_job_that_runs_takes_a_fraction_of_its_text() {
        let mut object = written();
        object["metadata"] = json!({"name": "job-00123"});
        object["spec"] = json!({"job": "archive", "replicas": 2});
        let says = |kind: &str, status: &str, reason: &str, message: &str| {
            json!({"lastTransitionTime": "2031-05-06T07:08:09Z", "message": message, "observedGeneration": 3,
                "reason": reason, "status": status, "type": kind})
        };
        object["status"] = json!({"conditions": [says("Available", "True", "Ready", "2 of 2 pods ready"),
                says("Degraded", "False", "AsExpected", ""), says("Progressing", "False", "Settled", "")],
            "observedGeneration": 3, "readyReplicas": 2, "replicas": 2,
            "selector": "app.kubernetes.io/instance=job-00123,app.kubernetes.io/name=archive"});
        let kept: Kept<StreamJob> = serde_json::from_value(object.clone()).unwrap();
        let text = object["status"].to_string().len();
        assert!(kept.packed.len() * 3 < text, "{} {text}", kept.packed.len());
    }

    #[test]
    fn one_that_cannot_be_read_is_kept_and_says_why() {
        let mut wrong = written();
        wrong["spec"]["job"] = json!("dance");
        let kept: Kept<StreamJob> = serde_json::from_value(wrong).unwrap();
        assert_eq!(kept.meta().name.as_deref(), Some("detect"));
        let told = kept.read().unwrap_err().to_string();
        assert!(told.contains("dance") && told.contains("gateway"), "{told}");
        let mut without = written();
        without.as_object_mut().unwrap().remove("spec");
        let kept: Kept<StreamJob> = serde_json::from_value(without).unwrap();
        assert!(kept.read().unwrap_err().to_string().contains("spec"));
    }
}
