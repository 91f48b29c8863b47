//! What watches show is not asked for, and nothing is missed for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::client::ClientBuilder;
use millrace_operator::context::Context;
use millrace_operator::job::Jobs;
use millrace_operator::made;
use millrace_operator::registry::owned;
use serde_json::{Value, json};
use tower::util::MapRequestLayer;

use crate::support::{Scene, eventually, settings};

async fn deployment(scene: &Scene) -> Deployment {
    scene.api::<Deployment>().get("j").await.unwrap()
}

async fn patch(scene: &Scene, patch: Value) {
    scene
        .api::<Deployment>()
        .patch("j", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

/// The watch shows it some time after it was done.
async fn corrected(scene: &Scene, what: &str, is: impl Fn(&Deployment) -> bool) {
    eventually(what, || async {
        scene.look::<Jobs>("j").await;
        is(&deployment(scene).await).then_some(())
    })
    .await;
}

pub async fn a_settled_job_is_not_even_read_and_drift_is_still_seen(scene: &Scene) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let layer = MapRequestLayer::new(move |request: http::Request<_>| {
        counted.fetch_add(1, Ordering::Relaxed);
        request
    });
    let builder = ClientBuilder::try_from(scene.config.clone()).unwrap();
    let client = builder.with_layer(&layer).build();
    let watched = Scene {
        context: Arc::new(Context::new(client, settings(&scene.namespace))),
        ..scene.clone()
    };
    let watching = tokio::spawn(made::watch(watched.context.clone(), owned()));
    assert!(watched.make::<Jobs>("j", json!({"job": "detect"})).await);
    let ready =
        json!({"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "observedGeneration": 1});
    watched.set_status::<Deployment>("j", ready).await;
    // One request reads the job; the reconcile makes none, once the watches have shown everything.
    eventually("a look without a request", || async {
        let before = requests.load(Ordering::Relaxed);
        watched.look::<Jobs>("j").await;
        (requests.load(Ordering::Relaxed) - before == 1).then_some(())
    })
    .await;
    let (status, ..) = watched
        .condition::<millrace_operator::job::crd::StreamJob>("j", "Available")
        .await;
    assert_eq!(status, "True", "the status came from the watch");

    let replicas = |d: &Deployment| d.spec.as_ref().unwrap().replicas;
    patch(scene, json!({"spec": {"replicas": 3}})).await;
    corrected(&watched, "one replica again", |d| replicas(d) == Some(1)).await;
    let labels = |d: &Deployment| d.metadata.labels.clone().unwrap_or_default();
    patch(
        scene,
        json!({"metadata": {"labels": {"millrace.dev/owner": null}}}),
    )
    .await;
    corrected(&watched, "the label again", |d| {
        labels(d).contains_key("millrace.dev/owner")
    })
    .await;
    scene
        .api::<ConfigMap>()
        .delete("j-config", &DeleteParams::default())
        .await
        .unwrap();
    eventually("the ConfigMap again", || async {
        watched.look::<Jobs>("j").await;
        scene.exists::<ConfigMap>("j-config").await.then_some(())
    })
    .await;
    watching.abort();
}
