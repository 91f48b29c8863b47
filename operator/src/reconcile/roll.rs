//! Restarts of the pods of a StatefulSet whose update strategy is OnDelete: nothing but [`roll`] restarts a data pod.
//!
//! One pod at a time: the first pod that [`need`]s it is deleted when the [`gate`] lets it, and the next reconcile goes
//! on. Each decision is a small function of what was read, so that systems of several nodes can put their own health
//! before it.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Preconditions};

use super::Owner;
use crate::context::{Context, is_status};

/// Why a pod has to be restarted.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// The pod.
    pub pod: String,
    /// In words, for status and events.
    pub reason: String,
}

/// Whether the pod differs from what its StatefulSet would make now.
#[must_use]
pub fn need(set: &StatefulSet, pod: &Pod) -> Option<Need> {
    let status = set.status.as_ref()?;
    // A status of an older generation does not know the new revision yet.
    if status.observed_generation != set.metadata.generation {
        return None;
    }
    let wanted = status.update_revision.as_deref()?;
    let has = pod.labels().get("controller-revision-hash")?;
    (has != wanted).then(|| Need {
        pod: pod.name_any(),
        reason: format!("its template changed from revision {has} to {wanted}"),
    })
}

/// Why a restart must wait, or `None` when it may happen. A pod that does not work may always be restarted; a working
/// one only while all others are ready.
#[must_use]
pub fn gate(pods: &[Pod], candidate: &str) -> Option<String> {
    if pods
        .iter()
        .any(|pod| pod.name_any() == candidate && !is_ready(pod))
    {
        return None;
    }
    pods.iter()
        .find(|pod| pod.name_any() != candidate && !is_ready(pod))
        .map(|pod| format!("{} is not ready", pod.name_any()))
}

/// Whether a pod says that it is ready and is not on its way out.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod.status.as_ref().is_some_and(|status| {
            status
                .conditions
                .iter()
                .flatten()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        })
}

/// Restarts at most one pod; says which, and why, or what it waits for.
///
/// # Errors
/// Kubernetes could not be asked.
pub async fn roll(
    context: &Context,
    owner: &Owner,
    set: &StatefulSet,
) -> Result<Option<String>, kube::Error> {
    let api = context.namespaced::<Pod>(&owner.namespace);
    let labels = set
        .spec
        .as_ref()
        .and_then(|s| s.selector.match_labels.as_ref());
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let mut pods = api
        .list(&ListParams::default().labels(&selector.join(",")))
        .await?
        .items;
    pods.sort_by_key(ResourceExt::name_any);
    let Some(need) = pods.iter().find_map(|pod| need(set, pod)) else {
        return Ok(None);
    };
    if let Some(pod) = pods
        .iter()
        .find(|pod| pod.metadata.deletion_timestamp.is_some())
    {
        return Ok(Some(format!("{} is on its way out", pod.name_any())));
    }
    if let Some(waits) = gate(&pods, &need.pod) {
        return Ok(Some(format!(
            "{} must be restarted, {}; waiting: {waits}",
            need.pod, need.reason
        )));
    }
    let uid = pods
        .iter()
        .find(|pod| pod.name_any() == need.pod)
        .and_then(|pod| pod.metadata.uid.clone());
    let exactly_this = DeleteParams::default().preconditions(Preconditions {
        uid,
        resource_version: None,
    });
    match api.delete(&need.pod, &exactly_this).await {
        Ok(_) => context.metrics.count_write("Pod"),
        Err(error) if is_status(&error, 404) || is_status(&error, 409) => {}
        Err(error) => return Err(error),
    }
    tracing::info!(pod = need.pod, reason = need.reason, "restarting");
    Ok(Some(format!("restarting {}: {}", need.pod, need.reason)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(observed: i64) -> StatefulSet {
        serde_json::from_value(json!({"metadata": {"name": "k", "generation": 2},
            "status": {"replicas": 1, "observedGeneration": observed, "updateRevision": "k-2"}}))
        .unwrap()
    }

    fn pod(name: &str, revision: &str, ready: bool) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name, "labels": {"controller-revision-hash": revision}},
            "status": {"conditions": [{"type": "Ready", "status": if ready {"True"} else {"False"}}]}}))
        .unwrap()
    }

    #[test]
    fn a_pod_of_the_former_template_needs_a_restart() {
        assert!(need(&set(2), &pod("k-0", "k-1", true)).is_some());
        assert!(need(&set(2), &pod("k-0", "k-2", true)).is_none());
        assert!(
            need(&set(1), &pod("k-0", "k-1", true)).is_none(),
            "the status is older than the spec"
        );
    }

    #[test]
    fn a_working_pod_waits_for_the_others_and_a_broken_one_does_not() {
        let pods = [pod("k-0", "k-1", true), pod("k-1", "k-1", false)];
        assert_eq!(gate(&pods, "k-0"), Some("k-1 is not ready".into()));
        assert_eq!(gate(&pods, "k-1"), None);
        assert_eq!(gate(&pods[..1], "k-0"), None);
    }
}
