//! An API server with our definitions, and what is asked of it.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Config, Resource, ResourceExt as _};
use millrace_operator::generate::crd_json;
use millrace_operator::job::crd::StreamJob;
use millrace_operator::registry::registry;
use millrace_testkit::ApiServer;
use serde_json::json;

/// Where the jobs are.
pub const NAMESPACE: &str = "bench";
/// Requests of the user that are under way at once.
const USERS: usize = 16;

/// A fresh API server.
pub struct World {
    /// The server; it ends with this value.
    pub server: ApiServer,
    /// An administrator's client.
    pub client: Client,
}

impl World {
    /// `None` where the API server's binary is not to be had.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let Some(server) = ApiServer::start()? else {
            return Ok(None);
        };
        let kubeconfig = Kubeconfig::read_from(server.kubeconfig())?;
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let world = Self { server, client };
        world.definitions().await?;
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(NAMESPACE.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        Api::<Namespace>::all(world.client.clone())
            .create(&PostParams::default(), &namespace)
            .await?;
        Ok(Some(world))
    }

    async fn definitions(&self) -> anyhow::Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let mut names = Vec::new();
        for component in registry() {
            let crd = crd_json(&(component.crd)())?;
            let name = crd["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            api.patch(&name, &PatchParams::apply("bench"), &Patch::Apply(&crd))
                .await?;
            names.push(name);
        }
        for name in names {
            let established = || async {
                let conditions = api.get(&name).await.ok()?.status?.conditions?;
                conditions
                    .into_iter()
                    .find(|c| c.type_ == "Established" && c.status == "True")
            };
            let end = Instant::now() + Duration::from_secs(60);
            while established().await.is_none() {
                anyhow::ensure!(Instant::now() < end, "{name} is not established");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// Creates `count` jobs and waits until all say that they are available.
    pub async fn all_available(&self, count: usize, limit: Duration) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let api: Api<StreamJob> = Api::namespaced(self.client.clone(), NAMESPACE);
        let creating = stream::iter(0..count)
            .map(|number| {
                let api = &api;
                async move {
                    api.create(&PostParams::default(), &job(&name(number))?)
                        .await
                        .map_err(anyhow::Error::from)
                }
            })
            .buffer_unordered(USERS)
            .try_collect::<Vec<_>>();
        let available = self.wait_available::<StreamJob>(count, started, limit);
        let (_, took) = futures::try_join!(creating, available)?;
        Ok(took)
    }

    /// Waits until `count` resources of a kind say that they are available, by one watch.
    pub async fn wait_available<K: Resource<DynamicType = ()>>(
        &self,
        count: usize,
        started: Instant,
        limit: Duration,
    ) -> anyhow::Result<Duration> {
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), NAMESPACE, &resource);
        let mut objects = pin!(
            watcher(api, watcher::Config::default())
                .default_backoff()
                .applied_objects()
        );
        let mut available = HashSet::new();
        let watching = async {
            while available.len() < count {
                let object = objects.try_next().await?.context("the watch ended")?;
                if is_available(&object) {
                    available.insert(object.name_any());
                } else {
                    available.remove(&object.name_any());
                }
            }
            Ok(started.elapsed())
        };
        match tokio::time::timeout(limit, watching).await {
            Ok(took) => took,
            Err(_) => anyhow::bail!(
                "{} of {count} are available after {limit:?}",
                available.len()
            ),
        }
    }

    /// Writing requests that the API server has answered, those for leases left out.
    pub async fn writes(&self) -> anyhow::Result<f64> {
        let writing = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];
        let requests = self.requests().await?;
        let writes = requests.iter().filter(|(what, _)| {
            let (verb, resource) = what.split_once(' ').unwrap_or_default();
            writing.contains(&verb) && !["leases", "subjectaccessreviews"].contains(&resource)
        });
        Ok(writes.map(|(_, count)| count).sum())
    }

    /// Requests that the API server has answered, by verb and resource.
    pub async fn requests(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let text = self.client.request_text(request).await?;
        let mut requests = BTreeMap::new();
        for line in text
            .lines()
            .filter(|line| line.starts_with("apiserver_request_total{"))
        {
            let label = |name: &str| {
                let rest = line.split_once(&format!("{name}=\""))?.1;
                rest.split_once('"').map(|(value, _)| value)
            };
            let (Some(verb), Some(resource)) = (label("verb"), label("resource")) else {
                continue;
            };
            let count = line.rsplit(' ').next().and_then(|count| count.parse().ok());
            let status = label("subresource").filter(|s| !s.is_empty());
            let what = match status {
                Some(sub) => format!("{verb} {resource}/{sub}"),
                None => format!("{verb} {resource}"),
            };
            *requests.entry(what).or_default() += count.unwrap_or(0.0);
        }
        Ok(requests)
    }
}

fn is_available(job: &DynamicObject) -> bool {
    job.data["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "Available" && c["status"] == "True")
}

/// The name of a job.
pub fn name(number: usize) -> String {
    format!("job-{number:05}")
}

fn job(name: &str) -> anyhow::Result<StreamJob> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "StreamJob",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"job": "detect"},
    }))?)
}

/// Resident memory of a process.
pub fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    told_mib(pid, "VmRSS:")
}

/// The part of [`resident_mib`] that is the program itself, as far as it was read: the kernel can drop it at any time.
pub fn program_mib(pid: u32) -> anyhow::Result<f64> {
    told_mib(pid, "RssFile:")
}

fn told_mib(pid: u32, what: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(what))
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("{what} is not told"))?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

/// Processor time that a process has used, in ms.
pub fn processor_ms(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name, which is in brackets: the 12th and 13th are user and system time in hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(f64::from(u32::try_from(ticks)?) * 10.0)
}
