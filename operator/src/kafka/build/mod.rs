//! The objects of a cluster. Pure.

mod binding;
mod disruption;
mod services;
mod stateful_set;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ApiResource;

use super::files;
use super::nodes::Pool;
use super::validate::ValidatedKafka;
use super::{BROKER_LABEL, COMPONENT, CONTROLLER_LABEL};
use crate::reconcile::{Error, Prepared, Resources};

pub use binding::bootstrap;
pub use services::external as external_services;

/// Every kind that [`build`] makes.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<StatefulSet>(&()),
    ]
}

/// All objects of a cluster.
///
/// # Errors
/// An object cannot be written as JSON.
pub fn build(kafka: &ValidatedKafka) -> Result<Resources<Prepared>, Error> {
    let mut resources = Resources::new();
    for pool in &kafka.pools {
        resources.add(&config_map(kafka, pool))?;
    }
    for service in services::services(kafka) {
        resources.add(&service)?;
    }
    for service in external_services(kafka) {
        resources.add(&service)?;
    }
    resources.add(&binding::binding(kafka))?;
    resources.add(&binding::admin(kafka))?;
    if let Some(secret) = binding::nodes(kafka) {
        resources.add(&secret)?;
    }
    for budget in disruption::budgets(kafka) {
        resources.add(&budget)?;
    }
    for pool in &kafka.pools {
        resources.add(&stateful_set::stateful_set(kafka, pool)?)?;
    }
    Ok(resources)
}

fn config_map(kafka: &ValidatedKafka, pool: &Pool) -> ConfigMap {
    let mut data = files::fixed(kafka, pool);
    data.extend(files::live(kafka, pool));
    ConfigMap {
        metadata: kafka.owner.meta(pool.files_name(), COMPONENT),
        data: Some(data),
        ..ConfigMap::default()
    }
}

/// The labels that find the pods of one role. Without pools all nodes have both roles, and no label tells them.
fn role_selector(kafka: &ValidatedKafka, role: &str) -> std::collections::BTreeMap<String, String> {
    let mut labels = kafka.owner.selector(COMPONENT);
    if kafka.pools.iter().any(|pool| pool.name.is_some()) {
        labels.insert(role.into(), "true".into());
    }
    labels
}

fn broker_selector(kafka: &ValidatedKafka) -> std::collections::BTreeMap<String, String> {
    role_selector(kafka, BROKER_LABEL)
}

fn controller_selector(kafka: &ValidatedKafka) -> std::collections::BTreeMap<String, String> {
    role_selector(kafka, CONTROLLER_LABEL)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
