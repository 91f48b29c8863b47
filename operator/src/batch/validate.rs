//! From what was asked for to what can be built. Pure.

use k8s_openapi::api::core::v1::Secret;
use millrace_contract::Invalid;
use millrace_contract::analyse::AnalyseConfig;
use millrace_contract::score::ScoreConfig;
use serde_json::Value;

use super::crd::{Batch, BatchBallista, BatchJob, BatchLake, BatchReport, Engine};
use crate::context::Images;
use crate::hdfs;
use crate::job::lake::{self, Place};
use crate::reconcile::{Error, Owner};
use crate::types::{FreeForm, Operation, PodResources};

/// A job that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedBatch {
    /// Whose objects they are.
    pub owner: Owner,
    /// Which job.
    pub job: Batch,
    /// Whom it tells.
    pub report: Option<BatchReport>,
    /// When it runs.
    pub schedule: String,
    /// The time zone of that.
    pub time_zone: String,
    /// The Secret that leads to the lake.
    pub lake_secret: String,
    /// The Secret that leads to PostgreSQL.
    pub postgres_secret: String,
    /// So many days are looked at.
    pub catch_up_days: i32,
    /// The job's configuration.
    pub config: FreeForm,
    /// How often a run is tried again.
    pub retries: i32,
    /// A run that takes longer is ended, in seconds.
    pub longest_seconds: i64,
    /// So many runs are kept.
    pub history: i32,
    /// The executors, where they compute.
    pub ballista: Option<BatchBallista>,
    /// The container image.
    pub image: String,
    /// Memory and CPU of a pod.
    pub resources: Option<PodResources>,
    /// How it is run over time.
    pub operation: Operation,
    lake: BatchLake,
}

impl ValidatedBatch {
    /// The Secrets that are mounted.
    #[must_use]
    pub fn bindings(&self) -> [String; 2] {
        [self.lake_secret.clone(), self.postgres_secret.clone()]
    }

    /// Where the lake is, by its Secret.
    ///
    /// # Errors
    /// The Secret is not there, or leads to no HDFS.
    pub fn place(&self, secret: Option<&Secret>) -> Result<Place, Invalid> {
        self.lake.place(secret, "spec.lake", &self.owner.name)
    }
}

impl BatchLake {
    /// The Secret that leads there: of the `HdfsCluster` where one is named.
    #[must_use]
    pub fn secret(&self) -> Option<String> {
        let of_cluster = self.hdfs.as_deref().map(hdfs::binding_name);
        of_cluster.or_else(|| self.binding_secret.clone())
    }

    /// Where it is, by its Secret, for a job of this name. `field` is where it is asked for.
    ///
    /// # Errors
    /// The Secret is not there, or leads to no HDFS.
    pub fn place(
        &self,
        secret: Option<&Secret>,
        field: &str,
        owner: &str,
    ) -> Result<Place, Invalid> {
        let (name, key) = match &self.hdfs {
            Some(hdfs) => (Some(hdfs), "hdfs"),
            None => (self.binding_secret.as_ref(), "bindingSecret"),
        };
        let name = name.map(String::as_str).unwrap_or_default();
        let found = lake::check(name, secret, &format!("{field}.{key}"))?;
        Ok(found.place(self.path.clone(), None, owner))
    }
}

/// Checks a job.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(job: &BatchJob, images: &Images) -> Result<ValidatedBatch, Error> {
    let spec = &job.spec;
    match spec.job {
        Batch::Score => check_score(&spec.config, "spec.config")?,
        Batch::Analyse => check_analyse(&spec.config, "spec.config")?,
    }
    let lake_secret = spec.lake.secret().ok_or_else(|| {
        Invalid::new(
            "spec.lake",
            "",
            "leads nowhere",
            "set lake.hdfs or lake.bindingSecret",
        )
    })?;
    let ballista = match (spec.engine, spec.job) {
        (Engine::Local, _) => None,
        (Engine::Ballista, Batch::Score) => Some(spec.ballista.clone().unwrap_or_default()),
        (Engine::Ballista, Batch::Analyse) => {
            return Err(Invalid::new(
                "spec.engine",
                "ballista",
                "computes the job score only",
                "take job score, or leave engine out",
            )
            .into());
        }
    };
    let default_image = match ballista {
        Some(_) => &images.ballista,
        None => &images.stream,
    };
    Ok(ValidatedBatch {
        owner: Owner::of(job)?,
        job: spec.job,
        report: spec.report.clone(),
        schedule: spec.schedule.clone(),
        time_zone: spec.time_zone.clone(),
        lake_secret,
        postgres_secret: spec.postgres_secret.clone(),
        catch_up_days: spec.catch_up_days,
        config: spec.config.clone(),
        retries: spec.retries,
        longest_seconds: i64::from(spec.longest_minutes) * 60,
        history: spec.history,
        image: spec.image.as_ref().unwrap_or(default_image).clone(),
        ballista,
        resources: spec.resources.clone(),
        operation: spec.operation.clone(),
        lake: spec.lake.clone(),
    })
}

/// Reads the configuration of score, which stands in this field, as the job will.
///
/// # Errors
/// Names the field, its value and the cure.
pub(crate) fn check_score(config: &FreeForm, field: &str) -> Result<(), Invalid> {
    let read: ScoreConfig = read(config, field, "score", "docs/scores.md")?;
    read.validate().map_err(|invalid| within(field, invalid))
}

/// The same of analyse.
///
/// # Errors
/// Names the field, its value and the cure.
pub(crate) fn check_analyse(config: &FreeForm, field: &str) -> Result<(), Invalid> {
    let read: AnalyseConfig = read(config, field, "analyse", "docs/analysts.md")?;
    read.validate().map_err(|invalid| within(field, invalid))
}

fn read<T: serde::de::DeserializeOwned>(
    config: &FreeForm,
    field: &str,
    job: &str,
    page: &str,
) -> Result<T, Invalid> {
    serde_json::from_value(Value::Object(config.clone())).map_err(|error| {
        Invalid::new(
            field,
            job,
            error.to_string(),
            format!("see {page} for the keys and their values"),
        )
    })
}

fn within(field: &str, invalid: Invalid) -> Invalid {
    Invalid {
        field: format!("{field}.{}", invalid.field),
        ..invalid
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in crate::batch) fn job(spec: Value) -> BatchJob {
        serde_json::from_value(json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "BatchJob",
            "metadata": {"name": "b", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
            "spec": spec,
        }))
        .unwrap()
    }

    fn images() -> Images {
        Images::named(|name| format!("{name}:1"))
    }

    pub(in crate::batch) fn valid(spec: Value) -> Result<ValidatedBatch, String> {
        validate(&job(spec), &images()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_configuration_is_read_as_the_job_reads_it() {
        let spec = |config: Value| json!({"job": "score", "schedule": "@daily", "lake": {"hdfs": "h"}, "postgresSecret": "p", "config": config});
        let good = valid(spec(json!({"zone": "Europe/Berlin", "tripGap": "10m"}))).unwrap();
        assert_eq!(good.bindings(), ["h-binding", "p"]);
        let told = valid(spec(json!({"brakeing": 3}))).unwrap_err();
        assert!(
            told.starts_with("spec.config: ") && told.contains("brakeing"),
            "{told}"
        );
        let analyse = |config: Value| {
            let mut spec = spec(config);
            spec["job"] = json!("analyse");
            valid(spec)
        };
        analyse(json!({"goneAfter": "90d", "roadFiles": ["roads/a.csv"]})).unwrap();
        let told = analyse(json!({"roadFiles": ["../a.csv"]})).unwrap_err();
        assert!(
            told.starts_with("spec.config.roadFiles: ../a.csv: "),
            "{told}"
        );
        let told = valid(spec(json!({"zone": "Mars/Olympus"}))).unwrap_err();
        assert!(
            told.starts_with("spec.config.zone: Mars/Olympus: "),
            "{told}"
        );
    }
}
