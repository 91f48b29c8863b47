//! Days of the lake that are loaded into a data source: what is checked, the Job that does it, and what it comes to. Pure.

mod build;
mod told;

use jiff::Timestamp;
use jiff::civil::Date;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ApiResource;
use millrace_contract::Invalid;
use millrace_contract::reindex::{ReindexConfig, check_days};
use serde_json::Value;

use super::crd::Reindex;
use crate::reconcile::fingerprint;

pub use build::{Load, build};
pub use told::{phase, stands, trouble};

/// The component's name in labels.
pub const COMPONENT: &str = "reindex";
/// Port on which the pod gives rows to Druid, as `millrace-batch` has it.
pub const ROWS_PORT: i32 = 8085;

/// Names of Jobs have at most 63 characters.
const MOST_NAME: usize = 45;

/// Every kind that [`build`] and the reconciler make.
#[must_use]
pub fn kinds() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<Job>(&()),
    ]
}

/// Name of the Job: another one for each load that is asked for, and the same whatever else changes, so that no load is
/// repeated because of a new image or another specification of the supervisor.
#[must_use]
pub fn job_name(ingestion: &str, asked: &Reindex) -> String {
    let load = (
        &asked.from,
        &asked.to,
        asked.revision,
        &asked.lake,
        &asked.dataset,
    );
    let mut hash = fingerprint(&load);
    hash.truncate(8);
    format!("{ingestion}-{COMPONENT}-{hash}")
}

/// What the job is told: the days, and the columns of the supervisor, of which this is the specification.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn config(
    ingestion: &str,
    asked: &Reindex,
    supervisor: &Value,
    now: Timestamp,
) -> Result<ReindexConfig, Invalid> {
    if ingestion.len() > MOST_NAME {
        return Err(Invalid::new(
            "metadata.name",
            ingestion,
            format!(
                "longer than {MOST_NAME} characters, and the Job of spec.reindex is named after it"
            ),
            "make a DruidIngestion of a shorter name, with spec.dataSource as it is now",
        ));
    }
    let date = |field: &str, text: &str| {
        text.parse::<Date>().map_err(|error| {
            Invalid::new(
                field,
                text,
                error.to_string(),
                "write for example 2026-11-01",
            )
        })
    };
    let (from, to) = (date("from", &asked.from), date("to", &asked.to));
    let days = from.and_then(|from| {
        let to = to?;
        check_days(from, to, now)?;
        Ok((from, to))
    });
    let (from, to) = days.map_err(|invalid| invalid.within("spec.reindex"))?;
    let part = |pointer: &str| supervisor.pointer(pointer).cloned().unwrap_or_default();
    let topic = part("/spec/ioConfig/topic");
    let dataset = asked.dataset.as_deref().or(topic.as_str());
    let config = ReindexConfig {
        dataset: dataset.unwrap_or_default().to_owned(),
        from,
        to,
        data_schema: part("/spec/dataSchema"),
        input_format: part("/spec/ioConfig/inputFormat"),
    };
    config
        .validate(now)
        .map_err(|invalid| invalid.within("spec.reindex"))?;
    Ok(config)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ingestion::spec::tests::wanted;
    use serde_json::json;

    pub(in crate::ingestion::reindex) fn asked(more: &Value) -> Reindex {
        let mut asked = json!({"from": "2026-01-05", "to": "2026-01-08", "lake": {"hdfs": "h"}});
        for (key, value) in more.as_object().unwrap() {
            asked[key] = value.clone();
        }
        serde_json::from_value(asked).unwrap()
    }

    pub(in crate::ingestion::reindex) fn told(more: &Value) -> Result<ReindexConfig, String> {
        let now = "2026-01-09T12:00:00Z".parse().unwrap();
        let supervisor = wanted().supervisor().unwrap();
        config("cars", &asked(more), &supervisor, now).map_err(|invalid| invalid.to_string())
    }

    /// `jobs/batch` loads days into a real Druid by what is written here.
    #[test]
    fn the_configuration_of_a_run() {
        insta::assert_json_snapshot!(told(&json!({})).unwrap());
    }

    #[test]
    fn columns_are_those_of_the_supervisor() {
        let supervisor = wanted().supervisor().unwrap();
        let config = told(&json!({"dataset": "cars-of-old"})).unwrap();
        assert_eq!(config.data_schema, supervisor["spec"]["dataSchema"]);
        assert_eq!(
            config.input_format,
            supervisor["spec"]["ioConfig"]["inputFormat"]
        );
        assert_eq!(config.dataset, "cars-of-old");
    }

    #[test]
    fn what_cannot_work_is_named() {
        for (more, starts) in [
            (
                json!({"to": "2026-01-10"}),
                "spec.reindex.to: 2026-01-10: the day 2026-01-09 (UTC) is not over",
            ),
            (
                json!({"from": "2025-02-30"}),
                "spec.reindex.from: 2025-02-30: ",
            ),
            (
                json!({"from": "2024-01-01"}),
                "spec.reindex.from: 2024-01-01: more than 366 days",
            ),
            (json!({"dataset": "../x"}), "spec.reindex.dataset: ../x: "),
        ] {
            let told = told(&more).unwrap_err();
            assert!(told.starts_with(starts), "{told}");
        }
        let now = "2026-01-09T12:00:00Z".parse().unwrap();
        let supervisor = wanted().supervisor().unwrap();
        let long = config(&"c".repeat(46), &asked(&json!({})), &supervisor, now);
        assert_eq!(long.unwrap_err().field, "metadata.name");
    }

    #[test]
    fn each_load_has_a_job_of_its_own_and_nothing_else_makes_another() {
        let name = |more: Value| job_name("cars", &asked(&more));
        let first = name(json!({}));
        assert_eq!(first.len(), "cars-reindex-".len() + 8);
        assert_eq!(first, name(json!({"resources": {"memory": "1Gi"}})));
        for more in [
            json!({"revision": 1}),
            json!({"to": "2026-01-07"}),
            json!({"dataset": "x"}),
            json!({"lake": {"hdfs": "other"}}),
        ] {
            assert_ne!(first, name(more));
        }
    }
}
