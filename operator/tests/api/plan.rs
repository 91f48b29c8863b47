//! `millrace plan` says what an apply would lead to, and writes nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use millrace_operator::kafka::Kafka;
use millrace_operator::openwhisk::Whisks;
use millrace_operator::openwhisk::crd::OpenWhisk;
use millrace_operator::plan::{Apply, Planned, Summary, plan, summary};
use millrace_operator::platform::Platforms;
use millrace_operator::registry::registry;
use serde_json::{Value, json};

use super::support::Scene;

fn document(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "millrace.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn cluster(image: Option<&str>) -> Value {
    let mut spec = json!({"nodes": 1, "storage": {"size": "1Gi"}});
    if let Some(image) = image {
        spec["image"] = json!(image);
    }
    spec
}

fn everything() -> Value {
    json!({"kafka": {}, "gateway": {}, "detect": {}, "openwhisk": {}, "warnings": {}})
}

async fn planned(scene: &Scene, document: Value) -> Planned {
    let apply = Apply {
        namespace: scene.namespace.clone(),
        manager: "user".into(),
        force: false,
    };
    plan(&scene.context, &apply, vec![document]).await.remove(0)
}

fn sum(planned: &Planned) -> Summary {
    summary(std::slice::from_ref(planned))
}

// Every part by its name, with what would become of it.
fn parts(planned: &Planned) -> BTreeMap<String, Planned> {
    let mut all = BTreeMap::from([(planned.resource.clone(), planned.clone())]);
    for part in &planned.parts {
        all.extend(parts(part));
    }
    all
}

// The version of everything in the namespace.
async fn versions(scene: &Scene) -> BTreeMap<String, String> {
    let mut kinds = vec![
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<PersistentVolumeClaim>(&()),
        ApiResource::erase::<Pod>(&()),
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
    ];
    kinds.extend(registry().iter().map(|component| {
        let names = (component.crd)().spec.names;
        let kind = GroupVersionKind::gvk("millrace.dev", "v1alpha1", &names.kind);
        ApiResource::from_gvk_with_plural(&kind, &names.plural)
    }));
    let mut versions = BTreeMap::new();
    for kind in kinds {
        let api: Api<DynamicObject> =
            Api::namespaced_with(scene.context.client.clone(), &scene.namespace, &kind);
        for object in api.list(&ListParams::default()).await.unwrap() {
            let name = object.metadata.name.unwrap();
            let version = object.metadata.resource_version.unwrap();
            versions.insert(format!("{}/{name}", kind.kind), version);
        }
    }
    versions
}

pub async fn a_new_platform_is_planned_down_to_its_objects(scene: &Scene) {
    let before = versions(scene).await;
    let planned = planned(scene, document("Platform", "p", everything())).await;
    assert_eq!(versions(scene).await, before, "a plan writes nothing");
    assert_eq!(sum(&planned).code(), 2, "{planned:#?}");
    let parts = parts(&planned);
    for name in [
        "Platform/p",
        "KafkaCluster/p-kafka",
        "StatefulSet/p-kafka",
        "StatefulSet/p-whisk",
        "KafkaTopic/p-telemetry",
        "EventSource/p-warnings",
    ] {
        assert_eq!(parts[name].verb, "create", "{name}");
    }
    // The jobs come when their topics are there.
    assert!(
        planned
            .waiting
            .iter()
            .any(|w| w.starts_with("StreamJob p-gateway: waits for")),
        "{:?}",
        planned.waiting
    );
    assert_eq!(planned.steps, ["make Secret p-gateway with new keys"]);
}

pub async fn nothing_is_left_to_do_after_a_reconcile(scene: &Scene) {
    assert!(scene.make::<Platforms>("p", everything()).await);
    assert!(scene.look::<Kafka>("p-kafka").await);
    assert!(scene.look::<Whisks>("p-whisk").await);
    let before = versions(scene).await;
    let same = planned(scene, document("Platform", "p", everything())).await;
    assert_eq!(sum(&same), Summary::default(), "{same:#?}");
    assert_eq!(sum(&same).code(), 0);

    // What is taken out is listed with what is made for it.
    let less = json!({"kafka": {}, "gateway": {}, "detect": {}, "openwhisk": {}});
    let less = planned(scene, document("Platform", "p", less)).await;
    let parts = parts(&less);
    for name in ["EventSource/p-warnings", "Action/p-notify-driver"] {
        assert_eq!(parts[name].verb, "remove", "{name}");
    }
    assert!(!parts.contains_key("Action/p-kafka"));
    assert_eq!(sum(&less).code(), 2);
    assert_eq!(versions(scene).await, before, "a plan writes nothing");
}

async fn pod(scene: &Scene, name: &str, labels: Value) {
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i"}]}}))
    .unwrap();
    scene
        .api::<Pod>()
        .create(&PostParams::default(), &pod)
        .await
        .unwrap();
}

// The first pod of a StatefulSet.
async fn first_pod(scene: &Scene, set: &str) {
    // Nobody else makes it here, and a pod needs one.
    let account: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
    let _ = scene
        .api::<ServiceAccount>()
        .create(&PostParams::default(), &account)
        .await;
    let live = scene.api::<StatefulSet>().get(set).await.unwrap();
    let labels = live.spec.unwrap().selector.match_labels.unwrap();
    pod(scene, &format!("{set}-0"), json!(labels)).await;
}

pub async fn another_image_lists_the_pods_that_restart(scene: &Scene) {
    assert!(scene.make::<Kafka>("k", cluster(None)).await);
    first_pod(scene, "k").await;
    pod(scene, "other-0", json!({"app.kubernetes.io/name": "other"})).await;
    let before = versions(scene).await;

    let planned_now = planned(
        scene,
        document("KafkaCluster", "k", cluster(Some("kafka:9"))),
    )
    .await;
    let parts = parts(&planned_now);
    let restarts = &parts["StatefulSet/k"].restarts;
    let pods: Vec<&str> = restarts.iter().map(|r| r.pod.as_str()).collect();
    assert_eq!(pods, ["k-0"]);
    assert!(
        restarts[0].because.contains("kafka:1 → kafka:9"),
        "{restarts:?}"
    );
    let changed: Vec<&String> = parts
        .iter()
        .filter(|(_, part)| part.verb != "keep")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(changed, ["KafkaCluster/k", "StatefulSet/k"]);

    // Another operator alone restarts nothing: it waits.
    let upgraded = scene.upgraded("5");
    let waits = planned(&upgraded, document("KafkaCluster", "k", cluster(None))).await;
    let sums = sum(&waits);
    assert_eq!((sums.code(), sums.pending, sums.restarts), (0, 1, 0));
    assert_eq!(waits.pending[0].workload, "StatefulSet/k");
    assert_eq!(versions(scene).await, before, "a plan writes nothing");
}

pub async fn a_pause_and_its_end_are_planned_with_the_parts(scene: &Scene) {
    let platform = |image: &str, paused: bool| {
        let spec = json!({"kafka": {"image": image}, "openwhisk": {}, "paused": paused});
        document("Platform", "p", spec)
    };
    let spec = |paused: bool| platform("kafka:1", paused)["spec"].clone();
    assert!(scene.make::<Platforms>("p", spec(false)).await);
    assert!(scene.look::<Kafka>("p-kafka").await);
    assert!(scene.look::<Whisks>("p-whisk").await);
    first_pod(scene, "p-kafka").await;
    // One part its user has paused.
    let by_user = PatchParams {
        field_manager: Some("user".to_owned()),
        ..PatchParams::default()
    };
    let own = Patch::Merge(json!({"spec": {"paused": true}}));
    let whisks = scene.api::<OpenWhisk>();
    whisks.patch("p-whisk", &by_user, &own).await.unwrap();

    let pausing = planned(scene, platform("kafka:1", true)).await;
    assert_eq!(pausing.steps, ["set spec.paused of all its parts"]);
    assert!(pausing.parts.is_empty(), "{pausing:#?}");
    assert!(scene.make::<Platforms>("p", spec(true)).await);
    let before = versions(scene).await;
    let resting = planned(scene, platform("kafka:9", true)).await;
    let sums = sum(&resting);
    assert_eq!((sums.steps, sums.restarts), (0, 0), "{resting:#?}");

    let waking = planned(scene, platform("kafka:9", false)).await;
    assert_eq!(versions(scene).await, before, "a plan writes nothing");
    let parts = parts(&waking);
    let cluster = &parts["KafkaCluster/p-kafka"];
    let mut changed = cluster.fields.iter();
    assert!(
        changed.any(|field| field.path == "spec.paused"),
        "{cluster:#?}"
    );
    let restarts = &parts["StatefulSet/p-kafka"].restarts;
    let pods: Vec<&str> = restarts.iter().map(|r| r.pod.as_str()).collect();
    assert_eq!(pods, ["p-kafka-0"]);
    assert_eq!(sum(&waking).restarts, 1);
    let whisk = &parts["OpenWhisk/p-whisk"];
    assert!(whisk.waiting[0].contains("spec.paused"), "{whisk:#?}");
    assert!(whisk.parts.is_empty(), "{whisk:#?}");
}

pub async fn the_command_ends_with_the_code_that_a_script_needs(scene: &Scene) {
    assert!(scene.make::<Kafka>("k", cluster(None)).await);
    let before = versions(scene).await;
    let directory = tempfile::tempdir().unwrap();
    let millrace = |spec: Value| {
        let file = directory.path().join("document.yaml");
        let text = serde_json::to_string(&document("KafkaCluster", "k", spec)).unwrap();
        std::fs::write(&file, text).unwrap();
        let arguments = [
            "plan",
            "--output",
            "json",
            "--field-manager",
            "user",
            "--operator-namespace",
            "millrace-system",
            "--image-kafka",
            "kafka:1",
            "--image-zookeeper",
            "zookeeper:1",
            "--image-hadoop",
            "hadoop:1",
            "--image-druid",
            "druid:1",
            "--image-postgres",
            "postgres:1",
            "--image-mongodb",
            "mongodb:1",
            "--image-mongo-wire",
            "mongo-wire:1",
            "--image-stream",
            "stream:1",
            "--image-whisk",
            "whisk:1",
            "--image-ballista",
            "ballista:1",
            "-f",
            file.to_str().unwrap(),
        ];
        let (code, out, error) = scene.millrace(&arguments);
        let told: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {error}"));
        (code, told)
    };
    let (code, told) = millrace(cluster(None));
    assert_eq!(code, 0, "{told:#}");
    let (code, told) = millrace(cluster(Some("kafka:9")));
    assert_eq!(code, 2, "{told:#}");
    let mut wrong = cluster(None);
    wrong["nodes"] = json!(0);
    let (code, told) = millrace(wrong);
    assert_eq!(code, 1, "{told:#}");
    let refused = told["documents"][0]["refused"][0].as_str().unwrap();
    assert!(refused.contains("spec.nodes"), "{refused}");
    assert_eq!(versions(scene).await, before, "a plan writes nothing");
}
