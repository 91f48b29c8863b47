//! The objects of a job. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceSpec};
use kube::api::ApiResource;

use super::crd::Job;
use super::deployment::{Program, deployment};
use super::validate::{ValidatedJob, ports};
use super::{HTTP_PORT, MQTT_PORT};
use crate::reconcile::{Error, Prepared, Resources};

/// Every kind that [`build`] makes.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<Deployment>(&()),
    ]
}

/// All objects of a job.
///
/// # Errors
/// An object cannot be written as JSON or YAML.
pub fn build(job: &ValidatedJob) -> Result<Resources<Prepared>, Error> {
    let program = Program {
        owner: &job.owner,
        name: job.owner.name.clone(),
        component: job.job.command(),
        command: job.job.command(),
        image: &job.image,
        replicas: job.replicas,
        bindings: &job.bindings,
        config: &job.config,
        reloaded: match job.job {
            Job::Detect => &["rules"],
            Job::Gateway => &[],
        },
        ports: if job.service.is_some() {
            vec![("http", HTTP_PORT), ("mqtt", MQTT_PORT)]
        } else {
            Vec::new()
        },
        resources: job.resources.as_ref(),
        surge: job.service.is_some(),
    };
    let mut resources = Resources::new();
    resources.add(&program.config_map()?)?;
    if let Some(service) = &job.service {
        resources.add(&Service {
            metadata: job.owner.meta(job.owner.name.clone(), job.job.command()),
            spec: Some(ServiceSpec {
                type_: Some(service.type_.name().into()),
                selector: Some(job.owner.selector(job.job.command())),
                ports: Some(ports(service)),
                ..ServiceSpec::default()
            }),
            ..Service::default()
        })?;
    }
    resources.add(&deployment(&program))?;
    Ok(resources)
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{images, job};
    use super::super::validate::validate;
    use super::*;
    use serde_json::json;

    fn yaml(spec: serde_json::Value) -> String {
        build(&validate(&job(spec), &images()).unwrap())
            .unwrap()
            .to_yaml()
            .unwrap()
    }

    #[test]
    fn the_objects_of_a_gateway() {
        insta::assert_snapshot!(yaml(
            json!({"job": "gateway", "bindings": ["k-binding", "p-gateway"],
            "service": {"type": "NodePort"}, "config": {"dispatchGroups": ["dispatch-warnings"]}})
        ));
    }

    #[test]
    fn new_rules_restart_nothing_and_other_settings_do() {
        let hash = |config: serde_json::Value| {
            let job =
                validate(&job(json!({"job": "detect", "config": config})), &images()).unwrap();
            let deployment: Deployment = build(&job).unwrap().get("j").unwrap();
            deployment
                .spec
                .unwrap()
                .template
                .metadata
                .unwrap()
                .annotations
                .unwrap()["millrace.dev/config"]
                .clone()
        };
        let before = hash(json!({"rules": {"overheating": {"warning": 105}}, "group": "detect"}));
        assert_eq!(
            before,
            hash(json!({"rules": {"overheating": {"warning": 110}}, "group": "detect"}))
        );
        assert_ne!(
            before,
            hash(json!({"rules": {"overheating": {"warning": 105}}, "group": "other"}))
        );
    }
}
