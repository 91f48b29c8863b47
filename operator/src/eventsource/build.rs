//! The objects of an event source. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ApiResource;

use super::validate::ValidatedSource;
use crate::job::{GRACE_SECONDS, MEMORY, Program, deployment, disruption_budget};
use crate::reconcile::{Error, Owner, Prepared, Resources};

/// The component's name in labels.
pub const COMPONENT: &str = "dispatch";

/// Every kind that [`build`] makes.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
    ]
}

/// Name of the Deployment.
#[must_use]
pub fn name(owner: &Owner) -> String {
    format!("{}-dispatch", owner.name)
}

/// All objects of an event source.
///
/// # Errors
/// An object cannot be written as JSON or YAML.
pub fn build(source: &ValidatedSource) -> Result<Resources<Prepared>, Error> {
    let program = Program {
        owner: &source.owner,
        name: name(&source.owner),
        component: COMPONENT,
        command: "dispatch",
        image: &source.image,
        replicas: source.replicas,
        bindings: &source.bindings,
        files: &[],
        tls: None,
        config: &source.config,
        reloaded: &[],
        ports: Vec::new(),
        resources: source.resources.as_ref(),
        memory: MEMORY,
        env: Vec::new(),
        client_of: &[],
        grace_seconds: GRACE_SECONDS,
        surge: false,
        operation: &source.operation,
    };
    let mut resources = Resources::new();
    resources.add(&program.config_map()?)?;
    resources.add(&deployment(&program)?)?;
    if let Some(budget) = disruption_budget(&program) {
        resources.add(&budget)?;
    }
    Ok(resources)
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{all_there, images, source};
    use super::super::validate::validate;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_objects_of_an_event_source() {
        let source = source(json!({"topic": "t", "action": "a", "deadLetterTopic": "d"}));
        let valid = validate(&source, &all_there(), &images()).unwrap();
        insta::assert_snapshot!(build(&valid).unwrap().to_yaml().unwrap());
    }
}
