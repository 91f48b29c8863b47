//! The frame of a StatefulSet of servers that keep data: what is the same for every system. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use millrace_contract::Invalid;

use crate::reconcile::restarts::CONFIG;
use crate::types::{DeletionPolicy, FreeForm, override_pods};

/// Servers that keep data.
#[derive(Debug)]
pub struct Servers<'a> {
    /// Metadata of the StatefulSet.
    pub metadata: ObjectMeta,
    /// How many are to run.
    pub replicas: i32,
    /// The Service by which they have names.
    pub service_name: String,
    /// The labels that find the pods: they never change.
    pub selector: BTreeMap<String, String>,
    /// All labels of the pods.
    pub labels: BTreeMap<String, String>,
    /// Fingerprint of what they read once, when they start: another one restarts them.
    pub config: String,
    /// What else they have to be restarted for.
    pub annotations: BTreeMap<String, String>,
    /// The pod.
    pub pod: PodSpec,
    /// What is laid over the pods, with the field where it stands, in this order.
    pub overrides: Vec<(&'a str, &'a FreeForm)>,
    /// The claim templates of the live StatefulSet, which nobody can change; none where there is no such set.
    pub live_claims: &'a [PersistentVolumeClaim],
    /// The claim templates of a new one.
    pub claims: Vec<PersistentVolumeClaim>,
    /// What becomes of the volumes when the resource is deleted.
    pub deletion_policy: DeletionPolicy,
}

/// The StatefulSet of servers that keep data: they start all at once, and only `roll` restarts one.
///
/// # Errors
/// What is laid over the pods is not in the form of a pod template.
pub fn stateful_set(servers: Servers<'_>) -> Result<StatefulSet, Invalid> {
    let mut annotations = servers.annotations;
    annotations.insert(CONFIG.into(), servers.config);
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(servers.labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(servers.pod),
    };
    for (field, overrides) in servers.overrides {
        override_pods(&mut template, overrides, field)?;
    }
    Ok(StatefulSet {
        metadata: servers.metadata,
        spec: Some(StatefulSetSpec {
            replicas: Some(servers.replicas),
            persistent_volume_claim_retention_policy: Some(servers.deletion_policy.of_claims()),
            service_name: Some(servers.service_name),
            // In their start scripts servers wait for what they need, so that none waits for one that has no place to run.
            pod_management_policy: Some("Parallel".into()),
            selector: LabelSelector {
                match_labels: Some(servers.selector),
                ..LabelSelector::default()
            },
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".into()),
                ..StatefulSetUpdateStrategy::default()
            }),
            template,
            volume_claim_templates: Some(if servers.live_claims.is_empty() {
                servers.claims
            } else {
                servers.live_claims.to_vec()
            }),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    })
}
