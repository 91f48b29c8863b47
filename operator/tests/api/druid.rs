//! DruidCluster without nodes: what it waits for, objects, the volume that is shared, stopping, a part of a Platform.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ObjectMeta, PostParams};
use millrace_operator::druid::Druids;
use millrace_operator::druid::crd::{DruidCluster, DruidClusterStatus};
use millrace_operator::ingestion::crd::DruidIngestion;
use millrace_operator::platform::Platforms;
use millrace_operator::platform::crd::Platform;
use millrace_operator::pods::secret_data;
use millrace_operator::zookeeper::ZooKeepers;
use millrace_operator::zookeeper::crd::ZooKeeperEnsemble;
use serde_json::{Value, json};

use crate::support::Scene;

const SETS: [&str; 4] = ["d-coordinator", "d-broker", "d-historical", "d-worker"];

fn small() -> Value {
    json!({"zookeeper": {"ensemble": "z"}, "deepStorage": {"volume": {"size": "1Gi"}},
        "historicals": {"storage": {"size": "1Gi"}}, "workers": {}})
}

async fn status(scene: &Scene) -> DruidClusterStatus {
    let cluster = scene.api::<DruidCluster>().get("d").await.unwrap();
    cluster.status.unwrap()
}

async fn replicas(scene: &Scene, set: &str) -> Option<i32> {
    let set = scene.api::<StatefulSet>().get(set).await.unwrap();
    set.spec.unwrap().replicas
}

pub async fn a_druid_waits_for_its_zookeeper_and_shares_a_volume(scene: &Scene) {
    assert!(!scene.make::<Druids>("d", small()).await);
    let (_, reason, message) = scene.condition::<DruidCluster>("d", "Degraded").await;
    assert_eq!(reason, "ZooKeeperMissing");
    assert!(message.starts_with("spec.zookeeper: z: "), "{message}");
    assert!(!scene.exists::<StatefulSet>("d-broker").await);

    assert!(scene.make::<ZooKeepers>("z", json!({})).await);
    assert!(scene.look::<Druids>("d").await);
    for set in SETS {
        assert!(scene.exists::<StatefulSet>(set).await, "{set}");
        assert!(scene.exists::<PodDisruptionBudget>(set).await, "{set}");
        assert!(
            scene.exists::<ConfigMap>(&format!("{set}-files")).await,
            "{set}"
        );
    }
    for service in ["d-coordinator", "d-broker", "d-nodes"] {
        assert!(scene.exists::<Service>(service).await, "{service}");
    }
    assert!(!scene.exists::<StatefulSet>("d-router").await);
    assert!(scene.exists::<PersistentVolumeClaim>("d-segments").await);
    let binding = scene.api::<Secret>().get("d-binding").await.unwrap();
    let namespace = binding.metadata.namespace.unwrap();
    let uri = String::from_utf8(binding.data.unwrap()["uri"].0.clone()).unwrap();
    assert_eq!(uri, format!("http://d-coordinator.{namespace}.svc:8081"));
    let (available, reason, _) = scene.condition::<DruidCluster>("d", "Available").await;
    assert_eq!(
        (available.as_str(), reason.as_str()),
        ("False", "ServersMissing")
    );
    let writes = scene.writes();
    for _ in 0..2 {
        assert!(scene.look::<Druids>("d").await);
    }
    assert_eq!(scene.writes(), writes, "a further look writes nothing");

    for set in SETS {
        let ready = json!({"replicas": 1, "readyReplicas": 1, "observedGeneration": 1});
        scene.set_status::<StatefulSet>(set, ready).await;
    }
    assert!(scene.look::<Druids>("d").await);
    assert_eq!(
        scene.condition::<DruidCluster>("d", "Available").await.0,
        "True"
    );
    let seen = status(scene).await;
    assert_eq!(
        (
            seen.ready.coordinators,
            seen.ready.workers,
            seen.ready.routers
        ),
        (1, 1, 0)
    );
    assert_eq!(seen.binding.unwrap().name, "d-binding");

    // A spec that cannot be built leaves running what ran.
    let mut wrong = small();
    wrong["brokers"] = json!({"resources": {"memory": "100Mi"}});
    scene.apply("DruidCluster", "d", wrong).await.unwrap();
    assert!(!scene.look::<Druids>("d").await);
    let (_, reason, message) = scene.condition::<DruidCluster>("d", "Degraded").await;
    assert_eq!(reason, "InvalidSpec");
    assert!(
        message.starts_with("spec.brokers.resources.memory: 100Mi: "),
        "{message}"
    );
    assert_eq!(
        scene.condition::<DruidCluster>("d", "Available").await.0,
        "True"
    );

    let mut stopped = small();
    stopped["stopped"] = json!(true);
    scene.apply("DruidCluster", "d", stopped).await.unwrap();
    assert!(scene.look::<Druids>("d").await);
    for set in SETS {
        assert_eq!(replicas(scene, set).await, Some(0), "{set}");
        scene
            .set_status::<StatefulSet>(
                set,
                json!({"replicas": 0, "readyReplicas": 0, "observedGeneration": 2}),
            )
            .await;
    }
    assert!(scene.look::<Druids>("d").await);
    assert_eq!(
        scene.condition::<DruidCluster>("d", "Stopped").await.0,
        "True"
    );
}

pub async fn a_druid_that_asks_has_passwords_that_outlive_it(scene: &Scene) {
    assert!(scene.make::<ZooKeepers>("z", json!({})).await);
    let mut spec = small();
    spec["image"] = json!("apache/druid:33.0.0");
    spec["security"] = json!({"authentication": "basic", "tls": true});
    assert!(scene.make::<Druids>("d", spec.clone()).await);
    let secrets = scene.api::<Secret>();
    let users = secrets.get("d-users").await.unwrap();
    assert_eq!(users.metadata.owner_references, None);
    let users = users.data.unwrap();
    let binding = secrets.get("d-binding").await.unwrap().data.unwrap();
    assert_eq!(binding["password"], users["admin-password"]);
    assert!(binding["uri"].0.starts_with(b"https://"));
    for name in ["d-ca", "d-certificate"] {
        assert!(scene.exists::<Secret>(name).await, "{name}");
    }
    let writes = scene.writes();
    assert!(scene.look::<Druids>("d").await);
    assert_eq!(scene.writes(), writes, "what is there is kept");

    // While it is stopped it may be opened again: the passwords, which Druid keeps, stay.
    spec["stopped"] = json!(true);
    assert!(scene.make::<Druids>("d", spec.clone()).await);
    spec.as_object_mut().unwrap().remove("security");
    assert!(scene.make::<Druids>("d", spec).await);
    for (name, stays) in [("d-ca", false), ("d-certificate", false), ("d-users", true)] {
        assert_eq!(scene.exists::<Secret>(name).await, stays, "{name}");
    }
    let kept = secrets.get("d-users").await.unwrap().data.unwrap();
    assert_eq!(kept, users);
    let binding = secrets.get("d-binding").await.unwrap().data.unwrap();
    assert!(!binding.contains_key("password"));
}

pub async fn a_platform_has_a_druid_here_or_elsewhere(scene: &Scene) {
    let spec = json!({"kafka": {}, "druid": {"segments": {"size": "1Gi"}}});
    assert!(scene.make::<Platforms>("p", spec).await);
    assert!(scene.exists::<DruidCluster>("p-druid").await);
    assert!(scene.exists::<ZooKeeperEnsemble>("p-druid-zookeeper").await);
    let read = |name: &'static str| async move {
        let found = scene.api::<DruidIngestion>().get(name).await.unwrap().spec;
        (found.binding, found.topic, found.data_source.unwrap())
    };
    let expected = |topic: &str| {
        (
            "p-druid-binding".to_owned(),
            format!("p-{topic}"),
            topic.to_owned(),
        )
    };
    assert_eq!(read("p-telemetry").await, expected("telemetry"));
    assert_eq!(read("p-alerts").await, expected("alerts"));

    // It can be taken out: its volumes stay.
    scene
        .apply("Platform", "p", json!({"kafka": {}}))
        .await
        .unwrap();
    assert!(scene.look::<Platforms>("p").await);
    assert!(!scene.exists::<DruidCluster>("p-druid").await);

    let theirs = json!({"kafka": {}, "druid": {"external": {"bindingSecret": "theirs"}}});
    assert!(scene.make::<Platforms>("t", theirs).await);
    let waiting = |platform: Platform| {
        let waiting = platform.status.unwrap().waiting_on.into_iter();
        waiting.map(|one| one.component).collect::<Vec<_>>()
    };
    let platform = scene.api::<Platform>().get("t").await.unwrap();
    assert!(waiting(platform).contains(&"Secret theirs".to_owned()));
    assert!(!scene.exists::<DruidCluster>("t-druid").await);
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some("theirs".into()),
            ..ObjectMeta::default()
        },
        data: Some(secret_data([(
            "uri",
            "http://druid.example:8888".to_owned(),
        )])),
        ..Secret::default()
    };
    scene
        .api::<Secret>()
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    assert!(scene.look::<Platforms>("t").await);
    let platform = scene.api::<Platform>().get("t").await.unwrap();
    assert!(!waiting(platform).contains(&"Secret theirs".to_owned()));
    let telemetry = scene
        .api::<DruidIngestion>()
        .get("t-telemetry")
        .await
        .unwrap();
    assert_eq!(telemetry.spec.binding, "theirs");
}
