//! From what was asked for to what can be built. Pure.

use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;
use millrace_contract::materialize::MaterializeConfig;

use super::crd::{Job, JobFiles, JobService, JobTls, StreamJob};
use super::lake::{self, Lake};
use super::{GRACE_SECONDS, MEMORY, maintenance};
use crate::context::Images;
use crate::reconcile::{Error, Owner};
use crate::types::{FreeForm, Operation, PodResources, configuration};

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
    /// ConfigMaps that are mounted.
    pub files: Vec<JobFiles>,
    /// Its certificate, when it serves by TLS.
    pub tls: Option<JobTls>,
    /// How it is reached, when it serves.
    pub service: Option<JobService>,
    /// Where it writes, when it is archive.
    pub lake: Option<Lake>,
    /// Memory and CPU of a pod.
    pub resources: Option<PodResources>,
    /// Memory of a pod where `resources` does not say.
    pub memory: String,
    /// Seconds that a pod has to end.
    pub grace_seconds: i64,
    /// How it is run over time.
    pub operation: Operation,
}

impl ValidatedJob {
    /// Whether the ports without TLS are closed to the outside.
    #[must_use]
    pub fn only_tls(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.only)
    }

    /// The components that its pods are of, by the label that NetworkPolicies find them by.
    pub fn components(&self) -> impl Iterator<Item = &'static str> {
        let compacts = |lake: &Lake| lake.compaction.is_some() || lake.retention.is_some();
        let maintenance = self.lake.as_ref().is_some_and(compacts);
        [
            Some(self.job.command()),
            maintenance.then_some(maintenance::COMPONENT),
        ]
        .into_iter()
        .flatten()
    }
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
    if spec.tls.is_some() && !serves {
        return Err(Invalid::new(
            "spec.tls",
            spec.job.command(),
            "only the job gateway serves anybody",
            "remove spec.tls",
        )
        .into());
    }
    if spec.lake.is_some() != (spec.job == Job::Archive) {
        return Err(Invalid::new(
            "spec.lake",
            spec.job.command(),
            "the job archive writes into a lake, and no other",
            "give spec.lake to archive, and take it out elsewhere",
        )
        .into());
    }
    let mut bindings = spec.bindings.clone();
    let (mut lake, mut memory, mut grace_seconds) = (None, MEMORY.to_owned(), GRACE_SECONDS);
    if let Some(asked) = &spec.lake {
        let config = lake::config(&spec.config, "spec.config")?;
        let asked = Lake::new(asked, &config);
        if !bindings.contains(&asked.binding) {
            bindings.push(asked.binding.clone());
        }
        memory = lake::memory(&config);
        grace_seconds = lake::grace_seconds(&config);
        lake = Some(asked);
    }
    if spec.job == Job::Materialize {
        documents(&spec.config, "spec.config")?;
    }
    for (index, files) in spec.files.iter().enumerate() {
        let nested = spec.files.iter().enumerate().any(|(other, outer)| {
            other != index
                && format!("{}/", files.directory).starts_with(&format!("{}/", outer.directory))
        });
        if nested {
            return Err(Invalid::new(
                format!("spec.files[{index}].directory"),
                &files.directory,
                "lies inside the directory of another ConfigMap, or is the same",
                "give each ConfigMap a directory of its own",
            )
            .into());
        }
    }
    Ok(ValidatedJob {
        owner: Owner {
            windows: spec.operation.windows()?,
            ..Owner::of(job)?
        },
        job: spec.job,
        image: spec.image.clone().unwrap_or_else(|| images.stream.clone()),
        replicas: spec.operation.replicas(spec.replicas),
        bindings,
        config: spec.config.clone(),
        files: spec.files.clone(),
        tls: spec.tls.clone(),
        service: serves.then(|| spec.service.clone().unwrap_or_default()),
        lake,
        resources: spec.resources.clone(),
        memory,
        grace_seconds,
        operation: spec.operation.clone(),
    })
}

/// Reads the configuration of materialize, which stands in this field, as the job will.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn documents(config: &FreeForm, field: &str) -> Result<MaterializeConfig, Invalid> {
    let read: MaterializeConfig =
        configuration(config, (field, "materialize", "docs/documents.md"))?;
    read.validate().map_err(|invalid| invalid.within(field))?;
    Ok(read)
}

/// The binding that is missing: what to say of it.
#[must_use]
pub fn missing_binding(name: &str) -> Error {
    missing_secret("spec.bindings", name)
}

/// Checks the Secret with the certificate: a gateway that does not find both parts serves without TLS.
///
/// # Errors
/// It is not there, or lacks a part.
pub fn certificate(name: &str, secret: Option<&Secret>) -> Result<(), Error> {
    let refused = |reason, problem: String, cure: &str| {
        Err(Error::Missing {
            reason,
            invalid: Invalid::new("spec.tls.secretName", name, problem, cure),
        })
    };
    let Some(secret) = secret else {
        return refused(
            "BindingMissing",
            "there is no Secret of that name in this namespace".to_owned(),
            "make a Secret of type kubernetes.io/tls, see to the Certificate that makes it, or correct the name",
        );
    };
    let lacking = ["tls.crt", "tls.key"].into_iter().find_map(|key| {
        let entry = secret.data.iter().find_map(|data| data.get(key));
        match entry {
            None => Some(format!("the Secret has no key {key}")),
            Some(entry) if entry.0.trim_ascii().is_empty() => {
                Some(format!("the Secret's key {key} is empty"))
            }
            Some(_) => None,
        }
    });
    match lacking {
        Some(problem) => refused(
            "CertificateIncomplete",
            problem,
            "put the certificate into tls.crt and its private key into tls.key, both as PEM, or name another Secret",
        ),
        None => Ok(()),
    }
}

fn missing_secret(field: &str, name: &str) -> Error {
    Error::Missing {
        reason: "BindingMissing",
        invalid: Invalid::new(
            field,
            name,
            "there is no Secret of that name in this namespace",
            "make the Secret, or the KafkaCluster, HdfsCluster, MongoCluster or OpenWhisk that makes it, or correct the name",
        ),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in crate::job) fn images() -> Images {
        Images::named(|name| format!("{name}:1"))
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
    fn materialize_is_checked_before_it_starts() {
        let told = |config| {
            let spec = json!({"job": "materialize", "bindings": ["k-binding", "m-binding"], "config": config});
            validate(&job(spec), &images()).map_err(|e| e.to_string())
        };
        let valid = told(json!({"topics": {"vehicles": ""}, "keep": "30d"})).unwrap();
        assert_eq!(
            (valid.lake.is_none(), valid.memory.as_str()),
            (true, MEMORY)
        );
        let typo = told(json!({"keeep": "30d"})).unwrap_err();
        assert!(
            typo.starts_with("spec.config:") && typo.contains("docs/documents.md"),
            "{typo}"
        );
        let zero = told(json!({"records": 0})).unwrap_err();
        assert!(zero.starts_with("spec.config.records: 0"), "{zero}");
    }

    #[test]
    fn archive_is_checked_before_it_starts() {
        let told = |spec| {
            let checked = validate(&job(spec), &images());
            checked.map_err(|error| error.to_string())
        };
        let lake = json!({"hdfs": "h"});
        let valid =
            told(json!({"job": "archive", "bindings": ["k-binding"], "lake": lake})).unwrap();
        assert_eq!(valid.bindings, ["k-binding", "h-binding"]);
        assert_eq!((valid.memory.as_str(), valid.grace_seconds), ("416Mi", 30));
        let typo = json!({"job": "archive", "lake": lake, "config": {"rolBytes": 1}});
        assert!(told(typo).unwrap_err().contains("rolBytes"));
        for spec in [
            json!({"job": "archive"}),
            json!({"job": "detect", "lake": lake}),
        ] {
            assert!(told(spec).unwrap_err().starts_with("spec.lake: "));
        }
    }

    #[test]
    fn a_certificate_has_two_parts() {
        let secret = |data: serde_json::Value| -> Secret {
            serde_json::from_value(json!({"metadata": {"name": "cert"}, "data": data})).unwrap()
        };
        let told = |secret: Option<&Secret>| certificate("cert", secret).unwrap_err().to_string();
        let whole = secret(json!({"tls.crt": "Yw==", "tls.key": "aw=="}));
        assert!(certificate("cert", Some(&whole)).is_ok());
        for (secret, says) in [
            (None, "there is no Secret"),
            (Some(secret(json!(null))), "no key tls.crt"),
            (Some(secret(json!({"tls.crt": "Yw=="}))), "no key tls.key"),
            (
                Some(secret(json!({"tls.crt": "Cg==", "tls.key": "aw=="}))),
                "key tls.crt is empty",
            ),
        ] {
            let told = told(secret.as_ref());
            assert!(
                told.starts_with("spec.tls.secretName: cert: ") && told.contains(says),
                "{told}"
            );
        }
    }

    #[test]
    fn a_directory_inside_another_is_refused() {
        let files = |directories: [&str; 2]| {
            let files: Vec<_> = directories
                .iter()
                .map(|directory| json!({"configMap": "c", "directory": directory}))
                .collect();
            validate(&job(json!({"job": "detect", "files": files})), &images())
        };
        assert!(files(["/etc/millrace/zones/a", "/etc/millrace/zones/ab"]).is_ok());
        for directories in [
            ["/etc/millrace/zones/a", "/etc/millrace/zones"],
            ["/etc/millrace/zones", "/etc/millrace/zones"],
        ] {
            let error = files(directories).unwrap_err().to_string();
            assert!(error.starts_with("spec.files[0].directory: "), "{error}");
        }
    }
}
