//! A bare client that writes what the user and the operator write, and no more.

use std::cell::RefCell;
use std::collections::HashSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Resource as _, ResourceExt as _};
use millrace_operator::job::crd::StreamJob;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::world::{NAMESPACE, World, name};

/// Requests under way at once.
const AT_ONCE: usize = 32;

/// What there is for one job.
pub struct Sample {
    job: Value,
    waiting: Value,
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
        let status = job["status"].clone();
        Ok(Self {
            job: bare(job),
            waiting: waiting(status.clone()),
            status,
            parts,
        })
    }
}

/// A status of the size of that which is told before the pods are ready.
fn waiting(mut status: Value) -> Value {
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        if condition["type"] == "Available" {
            condition["status"] = json!("False");
            condition["reason"] = json!("PodsNotReady");
        }
    }
    status
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
    let ready = Ready::default();
    let writing = async {
        let writing = stream::iter(1..=count)
            .map(|number| one(world, sample, &ready, name(number)))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>();
        tokio::select! {
            written = writing => written,
            failed = ready.watch(world) => Err(failed),
        }
    };
    let available = world.wait_available::<StreamJob>(count + 1, started, limit);
    let (_, took) = futures::try_join!(writing, available)?;
    Ok(took)
}

/// The Deployments that have ready pods, by one watch for all jobs.
#[derive(Default)]
struct Ready {
    names: RefCell<HashSet<String>>,
    news: Notify,
}

impl Ready {
    async fn watch(&self, world: &World) -> anyhow::Error {
        let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), NAMESPACE);
        let mut seen = pin!(
            watcher(deployments, watcher::Config::default())
                .default_backoff()
                .applied_objects()
        );
        loop {
            let deployment = match seen.try_next().await {
                Ok(Some(deployment)) => deployment,
                Ok(None) => return anyhow::anyhow!("the watch of Deployments ended"),
                Err(error) => return error.into(),
            };
            let status = deployment.status.as_ref();
            if status.is_some_and(|status| status.ready_replicas > Some(0)) {
                self.names.borrow_mut().insert(deployment.name_any());
                self.news.notify_waiters();
            }
        }
    }

    async fn wait(&self, name: &str) {
        loop {
            let news = self.news.notified();
            if self.names.borrow().contains(name) {
                return;
            }
            news.await;
        }
    }
}

async fn one(world: &World, sample: &Sample, ready: &Ready, name: String) -> anyhow::Result<()> {
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
    tell(&jobs, &name, &sample.waiting).await?;
    ready.wait(&name).await;
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
    tell(&jobs, &name, &sample.status).await
}

async fn tell(jobs: &Api<StreamJob>, name: &str, status: &Value) -> anyhow::Result<()> {
    let body = json!({
        "apiVersion": StreamJob::api_version(&()), "kind": StreamJob::kind(&()),
        "metadata": {"name": name}, "status": renamed(status, name)?,
    });
    let apply = PatchParams::apply("bench").force();
    jobs.patch_status(name, &apply, &Patch::Apply(&body))
        .await?;
    Ok(())
}
