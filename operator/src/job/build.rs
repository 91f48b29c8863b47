//! The objects of a job. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ApiResource;

use super::crd::Job;
use super::deployment::{Program, deployment, disruption_budget};
use super::lake::Place;
use super::maintenance::cron_jobs;
use super::service::{inner, services};
use super::validate::ValidatedJob;
use super::{HTTP_PORT, HTTPS_PORT, MQTT_PORT, MQTTS_PORT};
use crate::hdfs;
use crate::reconcile::{Error, Prepared, Resources};

/// Every kind that [`build`] makes.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<CronJob>(&()),
    ]
}

/// All objects of a job.
///
/// # Errors
/// An object cannot be written as JSON or YAML.
pub fn build(job: &ValidatedJob) -> Result<Resources<Prepared>, Error> {
    let place = job.lake.as_ref().and_then(|lake| lake.place.as_ref());
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
            Job::Detect => &["rules", "zones"],
            Job::Gateway | Job::Archive | Job::Materialize => &[],
        },
        files: &job.files,
        tls: job.tls.as_ref().map(|tls| tls.secret_name.as_str()),
        ports: ports(job),
        resources: job.resources.as_ref(),
        memory: &job.memory,
        env: place.map(Place::environment).unwrap_or_default(),
        client_of: if job.lake.is_some() {
            &[hdfs::COMPONENT]
        } else {
            &[]
        },
        grace_seconds: job.grace_seconds,
        surge: job.service.is_some(),
        operation: &job.operation,
    };
    let mut resources = Resources::new();
    resources.add(&program.config_map()?)?;
    for service in services(job) {
        resources.add(&service)?;
    }
    resources.add(&deployment(&program)?)?;
    if let Some(budget) = disruption_budget(&program) {
        resources.add(&budget)?;
    }
    for cron_job in cron_jobs(job)? {
        resources.add(&cron_job)?;
    }
    Ok(resources)
}

/// What others speak to even while the job itself has to wait.
///
/// # Errors
/// An object cannot be written as JSON.
pub fn lasting(job: &ValidatedJob) -> Result<Resources<Prepared>, Error> {
    let mut resources = Resources::new();
    if let Some(service) = inner(job) {
        resources.add(&service)?;
    }
    Ok(resources)
}

fn ports(job: &ValidatedJob) -> Vec<(&'static str, i32)> {
    let mut ports = Vec::new();
    if job.service.is_some() {
        ports.extend([("http", HTTP_PORT), ("mqtt", MQTT_PORT)]);
    }
    if job.tls.is_some() {
        ports.extend([("https", HTTPS_PORT), ("mqtts", MQTTS_PORT)]);
    }
    ports
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
    fn the_objects_of_an_archive() {
        let spec = json!({"job": "archive", "bindings": ["k-binding"], "config": {"drainTimeout": "45s"},
            "lake": {"hdfs": "h", "compaction": {"schedule": "17 * * * *", "small": "16Mi"}}});
        let mut valid = validate(&job(spec), &images()).unwrap();
        let data = [("type", "hdfs"), ("uri", "hdfs://h-namenode-0.ns.svc:8020")];
        let secret = k8s_openapi::api::core::v1::Secret {
            data: Some(crate::pods::secret_data(
                data.map(|(k, v)| (k, v.to_owned())),
            )),
            ..Default::default()
        };
        let lake = valid.lake.as_mut().unwrap();
        lake.locate("j", Some(&secret)).unwrap();
        insta::assert_snapshot!(build(&valid).unwrap().to_yaml().unwrap());
    }

    #[test]
    fn files_and_certificates_are_mounted_without_a_hash() {
        let job = |spec| {
            let made = build(&validate(&job(spec), &images()).unwrap()).unwrap();
            let template = made.get::<Deployment>("j").unwrap().spec.unwrap().template;
            serde_json::to_value(template).unwrap()
        };
        let template = job(json!({"job": "gateway", "tls": {"secretName": "cert"},
            "files": [{"configMap": "a.b", "directory": "/etc/millrace/zones/a.b"}]}));
        let volumes = &template["spec"]["volumes"];
        assert_eq!(
            volumes[1],
            json!({"name": "files-0", "configMap": {"name": "a.b", "optional": true}})
        );
        assert_eq!(volumes[2]["secret"]["secretName"], "cert");
        let mounts = &template["spec"]["containers"][0]["volumeMounts"];
        assert_eq!(
            mounts[1],
            json!({"name": "files-0", "mountPath": "/etc/millrace/zones/a.b", "readOnly": true})
        );
        assert_eq!(mounts[2]["mountPath"], "/bindings/tls");
        let ports = template["spec"]["containers"][0]["ports"].to_string();
        assert!(ports.contains("8443") && ports.contains("8883"), "{ports}");
        let plain = job(json!({"job": "gateway"}));
        let hash = |template: &serde_json::Value| {
            template["metadata"]["annotations"]["millrace.dev/config"].clone()
        };
        assert_eq!(hash(&template), hash(&plain));
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
