//! From what was asked for to what can be built. Pure.

use k8s_openapi::api::core::v1::ServicePort;
use millrace_contract::Invalid;

use super::crd::{Job, JobService, StreamJob};
use crate::context::Images;
use crate::reconcile::{Error, Owner};
use crate::types::{FreeForm, PodResources};

/// A job that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedJob {
    /// Whose objects they are.
    pub owner: Owner,
    /// Which job.
    pub job: Job,
    /// The container image.
    pub image: String,
    /// How many pods.
    pub replicas: i32,
    /// Secrets that are mounted.
    pub bindings: Vec<String>,
    /// The job's configuration.
    pub config: FreeForm,
    /// How it is reached, when it serves.
    pub service: Option<JobService>,
    /// Memory and CPU of a pod.
    pub resources: Option<PodResources>,
}

/// Checks a job.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(job: &StreamJob, images: &Images) -> Result<ValidatedJob, Error> {
    let spec = &job.spec;
    if spec.service.is_some() && spec.job != Job::Gateway {
        return Err(Invalid::new(
            "spec.service",
            spec.job.command(),
            "only the job gateway serves anybody",
            "remove spec.service",
        )
        .into());
    }
    let serves = spec.job == Job::Gateway;
    Ok(ValidatedJob {
        owner: Owner::of(job)?,
        job: spec.job,
        image: spec.image.clone().unwrap_or_else(|| images.stream.clone()),
        replicas: spec.replicas,
        bindings: spec.bindings.clone(),
        config: spec.config.clone(),
        service: serves.then(|| spec.service.clone().unwrap_or_default()),
        resources: spec.resources.clone(),
    })
}

/// The binding that is missing: what to say of it.
#[must_use]
pub fn missing_binding(name: &str) -> Error {
    Error::Missing {
        reason: "BindingMissing",
        invalid: Invalid::new(
            "spec.bindings",
            name,
            "there is no Secret of that name in this namespace",
            "make the Secret, or the KafkaCluster or OpenWhisk that makes it, or correct the name",
        ),
    }
}

/// The ports of a job that serves.
#[must_use]
pub fn ports(service: &JobService) -> Vec<ServicePort> {
    let fixed = service.node_ports.clone().unwrap_or_default();
    [
        ("http", super::HTTP_PORT, fixed.http),
        ("mqtt", super::MQTT_PORT, fixed.mqtt),
    ]
    .into_iter()
    .map(|(name, port, node_port)| ServicePort {
        name: Some(name.into()),
        port,
        target_port: Some(
            k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::String(name.into()),
        ),
        protocol: Some("TCP".into()),
        node_port,
        ..ServicePort::default()
    })
    .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in crate::job) fn images() -> Images {
        Images {
            kafka: "kafka:4".into(),
            stream: "stream:1".into(),
            whisk: "whisk:1".into(),
        }
    }

    pub(in crate::job) fn job(spec: serde_json::Value) -> StreamJob {
        serde_json::from_value(json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "StreamJob",
            "metadata": {"name": "j", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
            "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn a_gateway_serves_and_detect_does_not() {
        assert!(
            validate(&job(json!({"job": "gateway"})), &images())
                .unwrap()
                .service
                .is_some()
        );
        assert!(
            validate(&job(json!({"job": "detect"})), &images())
                .unwrap()
                .service
                .is_none()
        );
        match validate(
            &job(json!({"job": "detect", "service": {"type": "NodePort"}})),
            &images(),
        ) {
            Err(Error::Invalid(invalid)) => assert_eq!(invalid.field, "spec.service"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fixed_node_ports_are_taken_over() {
        let job = validate(
            &job(json!({"job": "gateway", "service": {"type": "NodePort", "nodePorts": {"http": 30080}}})),
            &images(),
        )
        .unwrap();
        let ports = ports(&job.service.unwrap());
        assert_eq!(ports[0].node_port, Some(30080));
        assert_eq!(ports[1].node_port, None);
    }
}
