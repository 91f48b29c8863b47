//! A stand-in for the controllers and the kubelet: a Deployment is ready as soon as it is seen.

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::task::JoinHandle;

/// It stops with this value.
pub struct Kubelet(JoinHandle<()>);

impl Kubelet {
    /// Watches all Deployments.
    pub fn start(client: Client) -> Self {
        Self(tokio::spawn(async move {
            let all: Api<Deployment> = Api::all(client.clone());
            watcher(all, watcher::Config::default())
                .default_backoff()
                .applied_objects()
                .for_each_concurrent(16, |seen| async {
                    if let Ok(deployment) = seen {
                        mark(&client, &deployment).await;
                    }
                })
                .await;
        }))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn mark(client: &Client, deployment: &Deployment) {
    let generation = deployment.metadata.generation;
    let observed = deployment
        .status
        .as_ref()
        .and_then(|status| status.observed_generation);
    if observed == generation {
        return;
    }
    let replicas = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let status = json!({"status": {
        "observedGeneration": generation, "replicas": replicas, "readyReplicas": replicas,
        "updatedReplicas": replicas, "availableReplicas": replicas,
    }});
    let namespace = deployment.namespace().unwrap_or_default();
    let api: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    if let Err(error) = api
        .patch_status(
            &deployment.name_any(),
            &PatchParams::default(),
            &Patch::Merge(&status),
        )
        .await
    {
        eprintln!("{}: {error}", deployment.name_any());
    }
}
