//! A bare client that writes what the user and the operator write, and no more.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource as _;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{Condition, await_condition};
use millrace_operator::job::crd::StreamJob;
use serde_json::{Value, json};

use crate::world::{NAMESPACE, World, name};

/// Requests under way at once.
const AT_ONCE: usize = 32;

/// What there is for one job.
pub struct Sample {
    job: Value,
    status: Value,
    parts: Vec<(ApiResource, Value)>,
}

impl Sample {
    /// Reads what the operator made for the first job.
    pub async fn read(world: &World) -> anyhow::Result<Self> {
        let jobs: Api<StreamJob> = Api::namespaced(world.client.clone(), NAMESPACE);
        let job = serde_json::to_value(jobs.get(&name(0)).await?)?;
        let uid = job["metadata"]["uid"]
            .as_str()
            .context("a job without uid")?;
        let selector = ListParams::default().labels(&format!("millrace.dev/owner={uid}"));
        let mut parts = Vec::new();
        for resource in [
            ApiResource::erase::<ConfigMap>(&()),
            ApiResource::erase::<Service>(&()),
            ApiResource::erase::<NetworkPolicy>(&()),
            ApiResource::erase::<PodDisruptionBudget>(&()),
            ApiResource::erase::<Deployment>(&()),
        ] {
            let api: Api<DynamicObject> =
                Api::namespaced_with(world.client.clone(), NAMESPACE, &resource);
            for object in api.list(&selector).await? {
                let mut body = serde_json::to_value(object)?;
                body["apiVersion"] = json!(resource.api_version);
                body["kind"] = json!(resource.kind);
                parts.push((resource.clone(), bare(body)));
            }
        }
        anyhow::ensure!(!parts.is_empty(), "the operator made nothing");
        let status = json!({"status": job["status"]});
        Ok(Self {
            job: bare(job),
            status,
            parts,
        })
    }
}

/// Without what only the server writes.
fn bare(mut body: Value) -> Value {
    if let Some(object) = body.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = body["metadata"].as_object_mut() {
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "managedFields",
            "generation",
        ] {
            metadata.remove(field);
        }
    }
    body
}

fn renamed(body: &Value, to: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(
        &body.to_string().replace(&name(0), to),
    )?)
}

/// Does for jobs 1 to `count` what was done for the first; the time until all are available.
pub async fn write(
    world: &World,
    sample: &Sample,
    count: usize,
    limit: Duration,
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let writing = stream::iter(1..=count)
        .map(|number| one(world, sample, name(number)))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>();
    tokio::time::timeout(limit, writing).await??;
    world
        .wait_available::<StreamJob>(count + 1, started, limit)
        .await
}

async fn one(world: &World, sample: &Sample, name: String) -> anyhow::Result<()> {
    let jobs: Api<StreamJob> = Api::namespaced(world.client.clone(), NAMESPACE);
    let job: StreamJob = serde_json::from_value(renamed(&sample.job, &name)?)?;
    let made = jobs.create(&PostParams::default(), &job).await?;
    for (resource, body) in &sample.parts {
        let mut body = renamed(body, &name)?;
        body["metadata"]["ownerReferences"][0]["uid"] = json!(made.metadata.uid);
        let api: Api<DynamicObject> =
            Api::namespaced_with(world.client.clone(), NAMESPACE, resource);
        let at = body["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        api.patch(&at, &PatchParams::apply("bench"), &Patch::Apply(&body))
            .await?;
    }
    // The operator tells twice as well: that it waits, and that it is available.
    let waiting = json!({"status": {"conditions": []}});
    jobs.patch_status(&name, &PatchParams::default(), &Patch::Merge(&waiting))
        .await?;
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), NAMESPACE);
    await_condition(deployments, &name, is_ready()).await?;
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": format!("{name}.available"), "namespace": NAMESPACE},
        "eventTime": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        "reportingController": "bench", "reportingInstance": "bench",
        "type": "Normal", "action": "Reconcile", "reason": "Ready", "note": "1 of 1 pods ready",
        "regarding": made.object_ref(&()),
    });
    let events: Api<Event> = Api::namespaced(world.client.clone(), NAMESPACE);
    events
        .create(&PostParams::default(), &serde_json::from_value(event)?)
        .await?;
    jobs.patch_status(
        &name,
        &PatchParams::default(),
        &Patch::Merge(&sample.status),
    )
    .await?;
    Ok(())
}

fn is_ready() -> impl Condition<Deployment> {
    |deployment: Option<&Deployment>| {
        deployment
            .and_then(|d| d.status.as_ref())
            .is_some_and(|status| status.ready_replicas > Some(0))
    }
}
