//! KafkaCluster: rules of the definition, pools, certificates, external addresses.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use millrace_operator::kafka::Kafka;
use millrace_operator::kafka::crd::{CertificatePhase, KafkaCluster, KafkaClusterStatus};
use serde_json::{Value, json};

use crate::support::Scene;

fn pool(name: &str, roles: Value, replicas: i32, first: i32, last: i32) -> Value {
    json!({"name": name, "roles": roles, "replicas": replicas, "firstNodeId": first, "lastNodeId": last,
        "volumes": [{"size": "1Gi"}]})
}

fn pools() -> Value {
    json!({"pools": [
        pool("control", json!(["controller"]), 3, 0, 9),
        pool("store", json!(["broker"]), 3, 100, 199)]})
}

fn changed(mut base: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = base.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(field);
    } else {
        parent.insert(field.to_owned(), value);
    }
    base
}

fn node_port() -> Value {
    json!({"secure": {}, "external": {"type": "NodePort", "host": "kafka.example.org"}})
}

async fn status(scene: &Scene) -> KafkaClusterStatus {
    let cluster = scene.api::<KafkaCluster>().get("k").await.unwrap();
    cluster.status.unwrap()
}

pub async fn pools_become_sets_of_their_own(scene: &Scene) {
    assert!(scene.make::<Kafka>("k", pools()).await);
    for set in ["k-control", "k-store"] {
        assert!(scene.exists::<StatefulSet>(set).await, "{set}");
        assert!(scene.exists::<ConfigMap>(&format!("{set}-files")).await);
    }
    for budget in ["k-controllers", "k-brokers"] {
        assert!(
            scene.exists::<PodDisruptionBudget>(budget).await,
            "{budget}"
        );
    }
    let told = |map: ConfigMap| map.data.unwrap()["live.founder"].clone();
    let files = scene.api::<ConfigMap>();
    assert_eq!(told(files.get("k-control-files").await.unwrap()), "0");
    let writes = scene.writes();
    for _ in 0..2 {
        assert!(scene.look::<Kafka>("k").await);
    }
    assert_eq!(scene.writes(), writes);
    // Once a node was ready, nobody founds it again, and no template changes for it.
    let template = |set: StatefulSet| set.spec.unwrap().template;
    let sets = scene.api::<StatefulSet>();
    let before = template(sets.get("k-control").await.unwrap());
    scene
        .set_status::<StatefulSet>(
            "k-control",
            json!({"replicas": 3, "readyReplicas": 3, "observedGeneration": 1}),
        )
        .await;
    for _ in 0..2 {
        assert!(scene.look::<Kafka>("k").await);
    }
    assert!(status(scene).await.bootstrapped);
    assert_eq!(told(files.get("k-control-files").await.unwrap()), "none");
    assert_eq!(template(sets.get("k-control").await.unwrap()), before);
    assert_eq!(status(scene).await.ready_nodes, 3);
    assert_eq!(status(scene).await.nodes, 6);
}

pub async fn volumes_of_a_former_cluster_are_not_founded_over(scene: &Scene) {
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-k-2"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}}))
    .unwrap();
    let claims = scene.api::<PersistentVolumeClaim>();
    claims.create(&PostParams::default(), &claim).await.unwrap();
    // Kubernetes counts in seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let three = json!({"nodes": 3, "storage": {"size": "2Gi"}});
    assert!(scene.make::<Kafka>("k", three).await);
    let files = scene.api::<ConfigMap>().get("k-files").await.unwrap();
    assert_eq!(files.data.unwrap()["live.founder"], "none");
}

/// Makes the pods of all sets anew from their templates, ready.
async fn stand_in(scene: &Scene) {
    let pods = scene.api::<Pod>();
    for pod in pods.list(&Default::default()).await.unwrap() {
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        pods.delete(&pod.metadata.name.unwrap(), &now)
            .await
            .unwrap();
    }
    for set in scene
        .api::<StatefulSet>()
        .list(&Default::default())
        .await
        .unwrap()
    {
        let spec = set.spec.unwrap();
        for ordinal in 0..spec.replicas.unwrap() {
            let name = format!("{}-{ordinal}", set.metadata.name.as_deref().unwrap());
            let mut body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": spec.template.metadata.clone().unwrap(),
                "spec": spec.template.spec.clone().unwrap()});
            body["metadata"]["name"] = json!(name);
            // Its volume is nobody's business here.
            body["spec"]["volumes"]
                .as_array_mut()
                .unwrap()
                .push(json!({"name": "data", "emptyDir": {}}));
            let pod: Pod = serde_json::from_value(body).unwrap();
            pods.create(&PostParams::default(), &pod).await.unwrap();
            scene
                .set_status::<Pod>(
                    &name,
                    json!({"conditions": [{"type": "Ready", "status": "True"}]}),
                )
                .await;
        }
    }
}

pub async fn certificates_are_issued_once_and_rotated_in_three_phases(scene: &Scene) {
    let secure = changed(pools(), "/listeners", json!({"secure": {}}));
    assert!(scene.make::<Kafka>("k", secure).await);
    let secrets = scene.api::<Secret>();
    let content = |name: &'static str| {
        let secrets = secrets.clone();
        async move { secrets.get(name).await.unwrap().data.unwrap() }
    };
    let first = content("k-certificates").await;
    for key in ["trusted.pem", "node-0.pem", "node-102.pem"] {
        assert!(first.contains_key(key), "{key}");
    }
    // It outlives the cluster.
    let authority = secrets.get("k-ca").await.unwrap();
    assert_eq!(authority.metadata.owner_references, None);
    let writes = scene.writes();
    for _ in 0..2 {
        assert!(scene.look::<Kafka>("k").await);
    }
    assert_eq!(scene.writes(), writes);
    assert_eq!(content("k-certificates").await, first);

    stand_in(scene).await;
    let ask = json!({"metadata": {"annotations": {"millrace.dev/rotate-ca": "1"}}});
    scene
        .api::<KafkaCluster>()
        .patch("k", &PatchParams::default(), &Patch::Merge(&ask))
        .await
        .unwrap();
    let mut phases = Vec::new();
    for _ in 0..4 {
        assert!(scene.look::<Kafka>("k").await);
        let told = status(scene).await.certificates.unwrap();
        phases.push(told.phase);
        // Nothing moves before the pods have.
        if told.phase != CertificatePhase::Settled {
            assert!(scene.look::<Kafka>("k").await);
            assert_eq!(status(scene).await.certificates.unwrap(), told);
        }
        // A roll is not waited for approval, though another build of the operator might be at work.
        assert!(status(scene).await.pending_restarts.is_empty());
        stand_in(scene).await;
    }
    assert_eq!(
        phases,
        [
            CertificatePhase::TrustBoth,
            CertificatePhase::Reissue,
            CertificatePhase::DropFormer,
            CertificatePhase::Settled
        ]
    );
    assert_eq!(status(scene).await.certificates.unwrap().generation, 2);
    assert_ne!(
        content("k-certificates").await["trusted.pem"],
        first["trusted.pem"]
    );
}

pub async fn external_addresses_are_told_to_brokers(scene: &Scene) {
    let external = changed(pools(), "/listeners", node_port());
    assert!(scene.make::<Kafka>("k", external).await);
    let services = scene.api::<Service>();
    let port = |service: Service| service.spec.unwrap().ports.unwrap()[0].node_port.unwrap();
    let of_101 = port(services.get("k-external-101").await.unwrap());
    // Known at the first look already.
    let files = scene.api::<ConfigMap>().get("k-store-files").await.unwrap();
    assert_eq!(
        files.data.unwrap()["live.advertised-101"],
        format!("kafka.example.org:{of_101}")
    );
    let first = port(services.get("k-external").await.unwrap());
    assert_eq!(
        status(scene).await.external_bootstrap_servers,
        Some(format!("kafka.example.org:{first}"))
    );
    let held = scene
        .api::<Secret>()
        .get("k-certificates")
        .await
        .unwrap()
        .data
        .unwrap();
    let names = String::from_utf8(held["node-101.names"].0.clone()).unwrap();
    assert!(
        names.lines().any(|name| name == "kafka.example.org"),
        "{names}"
    );
    let writes = scene.writes();
    assert!(scene.look::<Kafka>("k").await);
    assert_eq!(scene.writes(), writes);
    // Taken back, the Services go.
    let inside = changed(pools(), "/listeners", json!({"secure": {}}));
    assert!(scene.make::<Kafka>("k", inside).await);
    assert!(!scene.exists::<Service>("k-external-101").await);
    assert!(!scene.exists::<Service>("k-external").await);
}

pub async fn a_stopped_cluster_goes_to_zero_and_comes_back(scene: &Scene) {
    let three = json!({"nodes": 3, "storage": {"size": "2Gi"}});
    assert!(scene.make::<Kafka>("k", three.clone()).await);
    assert!(
        scene
            .make::<Kafka>("k", changed(three.clone(), "/stopped", json!(true)))
            .await
    );
    let replicas = || async {
        let set = scene.api::<StatefulSet>().get("k").await.unwrap();
        set.spec.unwrap().replicas
    };
    assert_eq!(replicas().await, Some(0));
    let (stopped, ..) = scene.condition::<KafkaCluster>("k", "Stopped").await;
    assert_eq!(stopped, "True");
    assert!(scene.exists::<Secret>("k-binding").await);
    assert!(scene.make::<Kafka>("k", three).await);
    assert_eq!(replicas().await, Some(3));
    let (stopped, ..) = scene.condition::<KafkaCluster>("k", "Stopped").await;
    assert_eq!(stopped, "False");
}

pub async fn nodes_are_held_while_a_cluster_is_stopped_or_cannot_be_asked(scene: &Scene) {
    let nodes = |count: i32| json!({"nodes": count, "storage": {"size": "2Gi"}});
    assert!(scene.make::<Kafka>("k", nodes(5)).await);
    let ready =
        |count: i32| json!({"replicas": 5, "readyReplicas": count, "observedGeneration": 1});
    scene.set_status::<StatefulSet>("k", ready(5)).await;
    assert!(scene.look::<Kafka>("k").await);
    assert!(status(scene).await.bootstrapped);
    scene.set_status::<StatefulSet>("k", ready(0)).await;
    assert!(scene.look::<Kafka>("k").await);
    let replicas = || async {
        let set = scene.api::<StatefulSet>().get("k").await.unwrap();
        set.spec.unwrap().replicas
    };
    for (spec, pods) in [
        // No node is ready, so nobody can say what they hold.
        (nodes(3), 5),
        (changed(nodes(3), "/stopped", json!(true)), 0),
        (nodes(3), 5),
    ] {
        assert!(scene.make::<Kafka>("k", spec.clone()).await);
        assert_eq!(replicas().await, Some(pods), "{spec}");
        assert_eq!(status(scene).await.pools[0].nodes, 5, "{spec}");
        let (held, reason, message) = scene.condition::<KafkaCluster>("k", "Degraded").await;
        assert_eq!((held.as_str(), reason.as_str()), ("True", "NodesCannotGo"));
        assert!(message.contains("node 4"), "{message}");
    }
    assert!(scene.make::<Kafka>("k", nodes(5)).await);
    let (held, ..) = scene.condition::<KafkaCluster>("k", "Degraded").await;
    assert_eq!(held, "False");
}
