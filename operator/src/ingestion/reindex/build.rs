//! The Job that loads, and its configuration. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Container, PodTemplateSpec};
use kube::api::ObjectMeta;
use millrace_contract::reindex::ReindexConfig;

use super::{COMPONENT, ROWS_PORT, job_name};
use crate::ingestion::crd::Reindex;
use crate::job::lake::Place;
use crate::job::{CONFIG_DIR, GRACE_SECONDS, environment, pod_labels};
use crate::reconcile::{Error, Owner, Prepared, Resources};
use crate::{druid, hdfs, pods};

/// The volume with name and password in Druid.
const LOGIN: &str = "druid";
const LOGIN_DIR: &str = "/etc/millrace-druid";
/// Memory of a pod where nobody says: a file of the lake, and some batches of it.
const MEMORY: &str = "512Mi";
/// A run that takes longer is ended, in seconds. Days that are loaded by then stay loaded.
const LONGEST_SECONDS: i64 = 24 * 3600;
/// How often a run that failed is tried again: Druid or the lake may be on their way.
const RETRIES: i32 = 2;
/// A Job that has ended is kept so long, for its log, in seconds.
const KEPT_SECONDS: i32 = 24 * 3600;

/// A load that can be begun.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Whose objects they are.
    pub owner: &'a Owner,
    /// What is asked for.
    pub asked: &'a Reindex,
    /// What the job is told.
    pub config: &'a ReindexConfig,
    /// Where the lake is.
    pub place: &'a Place,
    /// The Secret that leads to it.
    pub lake: &'a str,
    /// `http://host:port` of the overlord.
    pub druid: &'a str,
    /// The Secret with `username` and `password`, where Druid asks who one is.
    pub login: Option<&'a str>,
    /// The container image.
    pub image: &'a str,
}

/// The objects of a load, but for its NetworkPolicy.
///
/// # Errors
/// An object cannot be written as JSON or YAML.
pub fn build(load: &Load<'_>) -> Result<Resources<Prepared>, Error> {
    let mut resources = Resources::new();
    let text = serde_yaml_ng::to_string(load.config).map_err(|error| Error::Build {
        what: "the configuration of reindex",
        problem: error.to_string(),
    })?;
    resources.add(&ConfigMap {
        metadata: load.owner.meta(config_name(load), COMPONENT),
        data: Some(BTreeMap::from([("config.yaml".into(), text)])),
        ..ConfigMap::default()
    })?;
    resources.add(&job(load))?;
    Ok(resources)
}

fn config_name(load: &Load<'_>) -> String {
    format!("{}-{COMPONENT}", load.owner.name)
}

fn job(load: &Load<'_>) -> Job {
    let (mut volumes, mut mounts) = pods::bindings(&[load.lake.to_owned()]);
    volumes.push(pods::config_volume("config", &config_name(load)));
    mounts.push(pods::read_only_mount("config", CONFIG_DIR));
    let mut variables = load.place.environment();
    variables.extend([
        pods::env("MILLRACE_DRUID", load.druid),
        pods::env_of_pod("MILLRACE_POD_IP", "status.podIP"),
    ]);
    if let Some(secret) = load.login {
        let keys = [("username", "username"), ("password", "password")];
        volumes.push(pods::secret_keys(LOGIN, secret, &keys, false));
        mounts.push(pods::read_only_mount(LOGIN, LOGIN_DIR));
        variables.push(pods::env("MILLRACE_DRUID_LOGIN", LOGIN_DIR));
    }
    let container = Container {
        name: COMPONENT.into(),
        image: Some(load.image.to_owned()),
        // The image is that of the stream jobs, whose entry point is another program.
        command: Some(vec!["/usr/local/bin/millrace-batch".into()]),
        args: Some(vec![
            COMPONENT.into(),
            // Kubernetes keeps it with the pod.
            "--report=/dev/termination-log".into(),
        ]),
        env: Some(environment(&variables)),
        ports: Some(vec![pods::port("rows", ROWS_PORT)]),
        resources: Some(pods::resources(
            load.asked.resources.as_ref(),
            MEMORY,
            "100m",
        )),
        volume_mounts: Some(mounts),
        // The last line of the log says why a run failed.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    };
    let mut pod = pods::pod(container, volumes, GRACE_SECONDS);
    pod.restart_policy = Some("Never".into());
    let labels = pod_labels(load.owner, COMPONENT, &[hdfs::COMPONENT, druid::COMPONENT]);
    Job {
        metadata: load
            .owner
            .meta(job_name(&load.owner.name, load.asked), COMPONENT),
        spec: Some(JobSpec {
            backoff_limit: Some(RETRIES),
            active_deadline_seconds: Some(LONGEST_SECONDS),
            ttl_seconds_after_finished: Some(KEPT_SECONDS),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{asked, told};
    use super::*;
    use crate::ingestion::crd::DruidIngestion;
    use serde_json::json;

    #[test]
    fn the_job_of_a_load() {
        let ingestion: DruidIngestion = serde_json::from_value(json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "DruidIngestion",
            "metadata": {"name": "cars", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
            "spec": {"binding": "d", "topic": "t"}}))
        .unwrap();
        let owner = Owner::of(&ingestion).unwrap();
        let (asked, config) = (asked(&json!({})), told(&json!({})).unwrap());
        let place = Place {
            address: "hdfs://h:8020".into(),
            root: "/millrace/lake".into(),
            user: "cars".into(),
        };
        let load = Load {
            owner: &owner,
            asked: &asked,
            config: &config,
            place: &place,
            lake: "h-binding",
            druid: "http://d-coordinator:8081",
            login: None,
            image: "stream:1",
        };
        let built = build(&load).unwrap();
        let file = built
            .get::<ConfigMap>("cars-reindex")
            .unwrap()
            .data
            .unwrap();
        let read: ReindexConfig = serde_yaml_ng::from_str(&file["config.yaml"]).unwrap();
        assert_eq!(read, config);
        let job = built.get::<Job>(&job_name("cars", &asked)).unwrap();
        let spec = serde_json::to_value(job.spec.unwrap()).unwrap();
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never");
        let container = &pod["containers"][0];
        assert_eq!(
            container["args"],
            json!(["reindex", "--report=/dev/termination-log"])
        );
        let variable = |name: &str| {
            let mut all = container["env"].as_array().unwrap().iter();
            all.find(|one| one["name"] == name).unwrap()
        };
        assert_eq!(
            variable("MILLRACE_LAKE")["value"],
            "hdfs://h:8020/millrace/lake"
        );
        assert_eq!(
            variable("MILLRACE_DRUID")["value"],
            "http://d-coordinator:8081"
        );
        assert_eq!(
            variable("MILLRACE_POD_IP")["valueFrom"]["fieldRef"]["fieldPath"],
            "status.podIP"
        );
        let labels = &spec["template"]["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/name"], "reindex");
        let login = Load {
            login: Some("d"),
            ..load
        };
        let text = build(&login).unwrap().to_yaml().unwrap();
        assert!(text.contains("MILLRACE_DRUID_LOGIN"), "{text}");
        assert!(!text.contains("broker-uri"), "{text}");
    }
}
