//! HdfsCluster and ZooKeeperEnsemble without nodes: objects, founding, DataNodes that are to go, stopping.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::PostParams;
use millrace_operator::hdfs::Hdfs;
use millrace_operator::hdfs::crd::{HdfsCluster, HdfsClusterStatus, NameNodeState};
use millrace_operator::zookeeper::ZooKeepers;
use millrace_operator::zookeeper::crd::ZooKeeperEnsemble;
use serde_json::{Value, json};

use crate::support::Scene;

fn one() -> Value {
    json!({"dataNodes": {"replicas": 1, "storage": {"size": "1Gi"}}})
}

fn ha(data_nodes: i32) -> Value {
    json!({"nameNodes": {"replicas": 2}, "zookeeper": {"ensemble": "z"}, "replication": 2,
        "dataNodes": {"replicas": data_nodes, "storage": {"size": "1Gi"}}})
}

async fn status(scene: &Scene) -> HdfsClusterStatus {
    let cluster = scene.api::<HdfsCluster>().get("h").await.unwrap();
    cluster.status.unwrap()
}

async fn told(scene: &Scene, file: &str) -> String {
    let files = scene.api::<ConfigMap>().get("h-namenode-files").await;
    files.unwrap().data.unwrap()[file].clone()
}

async fn replicas(scene: &Scene, set: &str) -> Option<i32> {
    let set = scene.api::<StatefulSet>().get(set).await.unwrap();
    set.spec.unwrap().replicas
}

async fn ready(scene: &Scene, set: &str, count: i32) {
    let status = json!({"replicas": count, "readyReplicas": count, "observedGeneration": 1});
    scene.set_status::<StatefulSet>(set, status).await;
}

pub async fn a_file_system_is_founded_once(scene: &Scene) {
    assert!(scene.make::<Hdfs>("h", one()).await);
    for set in ["h-namenode", "h-datanode"] {
        assert!(scene.exists::<StatefulSet>(set).await, "{set}");
        assert!(scene.exists::<PodDisruptionBudget>(set).await, "{set}");
    }
    assert!(!scene.exists::<StatefulSet>("h-journalnode").await);
    assert!(scene.exists::<Service>("h-namenode-0").await);
    for name in ["h-client", "h-datanode-files"] {
        assert!(scene.exists::<ConfigMap>(name).await, "{name}");
    }
    let binding = scene.api::<Secret>().get("h-binding").await.unwrap();
    let data = binding.data.unwrap();
    assert!(data.contains_key("core-site.xml") && data.contains_key("hdfs-site.xml"));
    assert_eq!(told(scene, "live.founder").await, "0");
    let writes = scene.writes();
    for _ in 0..2 {
        assert!(scene.look::<Hdfs>("h").await);
    }
    assert_eq!(scene.writes(), writes);
    // Once a NameNode was ready, nobody formats it again, and no template changes for it.
    let template = |set: StatefulSet| set.spec.unwrap().template;
    let sets = scene.api::<StatefulSet>();
    let before = template(sets.get("h-namenode").await.unwrap());
    ready(scene, "h-namenode", 1).await;
    for _ in 0..2 {
        assert!(scene.look::<Hdfs>("h").await);
    }
    let seen = status(scene).await;
    assert!(seen.formatted);
    // Nobody is there who could be asked.
    assert_eq!(seen.name_nodes[0].state, NameNodeState::Unknown);
    assert_eq!(told(scene, "live.founder").await, "refused");
    assert_eq!(template(sets.get("h-namenode").await.unwrap()), before);
    let (available, reason, _) = scene.condition::<HdfsCluster>("h", "Available").await;
    assert_eq!(
        (available.as_str(), reason.as_str()),
        ("False", "NoActiveNameNode")
    );
}

pub async fn volumes_of_a_former_file_system_are_not_formatted(scene: &Scene) {
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-h-namenode-0"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}}))
    .unwrap();
    let claims = scene.api::<PersistentVolumeClaim>();
    claims.create(&PostParams::default(), &claim).await.unwrap();
    // Kubernetes counts in seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert!(scene.make::<Hdfs>("h", one()).await);
    assert_eq!(told(scene, "live.founder").await, "refused");
}

pub async fn several_name_nodes_wait_for_their_zookeeper(scene: &Scene) {
    assert!(!scene.make::<Hdfs>("h", ha(3)).await);
    let (_, reason, message) = scene.condition::<HdfsCluster>("h", "Degraded").await;
    assert_eq!(reason, "ZooKeeperMissing");
    assert!(message.starts_with("spec.zookeeper: z"), "{message}");
    assert!(!scene.exists::<StatefulSet>("h-namenode").await);
    assert!(scene.make::<ZooKeepers>("z", json!({"servers": 3})).await);
    assert!(scene.look::<Hdfs>("h").await);
    for set in ["h-journalnode", "h-namenode", "h-datanode"] {
        assert!(scene.exists::<StatefulSet>(set).await, "{set}");
    }
    for service in ["h-namenode-1", "h-journalnode-2", "h-nodes"] {
        assert!(scene.exists::<Service>(service).await, "{service}");
    }
    assert!(told(scene, "core-site.xml").await.contains("z-2.z-nodes."));
    let writes = scene.writes();
    for _ in 0..2 {
        assert!(scene.look::<Hdfs>("h").await);
        assert!(scene.look::<ZooKeepers>("z").await);
    }
    assert_eq!(scene.writes(), writes);
    ready(scene, "h-namenode", 1).await;
    for _ in 0..2 {
        assert!(scene.look::<Hdfs>("h").await);
    }
    // There is another to copy from.
    assert_eq!(told(scene, "live.founder").await, "none");
}

pub async fn a_data_node_stays_until_it_is_known_to_be_empty(scene: &Scene) {
    assert!(scene.make::<ZooKeepers>("z", json!({})).await);
    assert!(scene.make::<Hdfs>("h", ha(3)).await);
    for (set, count) in [("h-namenode", 2), ("h-journalnode", 3), ("h-datanode", 3)] {
        ready(scene, set, count).await;
    }
    assert!(scene.look::<Hdfs>("h").await);
    assert!(scene.make::<Hdfs>("h", ha(2)).await);
    assert_eq!(replicas(scene, "h-datanode").await, Some(3));
    let namespace = &scene.namespace;
    assert_eq!(
        told(scene, "live.excludes").await,
        format!("h-datanode-2.h-nodes.{namespace}.svc\n")
    );
    let seen = status(scene).await;
    assert_eq!(seen.data_nodes, 3);
    assert_eq!(seen.decommissions[0].pod, "h-datanode-2");
    assert!(!seen.decommissions[0].done);
    let (_, reason, message) = scene.condition::<HdfsCluster>("h", "Progressing").await;
    assert!(
        reason == "Decommissioning" && message.contains("h-datanode-2"),
        "{reason}: {message}"
    );
    // Asked for again, it stays for good.
    assert!(scene.make::<Hdfs>("h", ha(3)).await);
    assert_eq!(told(scene, "live.excludes").await, "");
    assert!(status(scene).await.decommissions.is_empty());
}

pub async fn a_stopped_file_system_goes_to_zero_and_comes_back(scene: &Scene) {
    assert!(scene.make::<ZooKeepers>("z", json!({"servers": 3})).await);
    assert!(scene.make::<Hdfs>("h", ha(3)).await);
    let mut stopped = ha(3);
    stopped["stopped"] = json!(true);
    assert!(scene.make::<Hdfs>("h", stopped).await);
    let ensemble = json!({"servers": 3, "stopped": true});
    assert!(scene.make::<ZooKeepers>("z", ensemble).await);
    for set in ["h-journalnode", "h-namenode", "h-datanode", "z"] {
        assert_eq!(replicas(scene, set).await, Some(0), "{set}");
    }
    let (is_stopped, ..) = scene.condition::<HdfsCluster>("h", "Stopped").await;
    assert_eq!(is_stopped, "True");
    let (is_stopped, ..) = scene.condition::<ZooKeeperEnsemble>("z", "Stopped").await;
    assert_eq!(is_stopped, "True");
    assert!(scene.exists::<Secret>("h-binding").await);
    assert!(scene.make::<Hdfs>("h", ha(3)).await);
    assert_eq!(replicas(scene, "h-datanode").await, Some(3));
}
