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

pub async fn good_clusters_are_accepted(scene: &Scene) {
    let two_volumes = json!([{"size": "1Gi"}, {"size": "2Gi", "storageClass": "fast"}]);
    for (name, spec) in [
        ("three", json!({"nodes": 3, "storage": {"size": "2Gi"}})),
        ("even", json!({"nodes": 4, "storage": {"size": "2Gi"}})),
        ("pools", pools()),
        ("volumes", changed(pools(), "/pools/1/volumes", two_volumes)),
        ("secure", changed(pools(), "/listeners", node_port())),
        (
            "balanced",
            changed(
                pools(),
                "/listeners",
                json!({"secure": {"certificateAuthority": {"secretName": "ours"}},
                    "external": {"type": "LoadBalancer", "annotations": {"a/b": "c"}, "loadBalancerSourceRanges": ["192.0.2.0/24"]}}),
            ),
        ),
        (
            "all",
            json!({"nodes": 3, "storage": {"size": "2Gi"}, "rack": {}, "metadataVersion": "4.0-IV3", "stopped": true,
                "deletionPolicy": "Delete", "podOverrides": {"spec": {"priorityClassName": "p"}},
                "maintenanceWindows": [{"days": ["Sunday"], "start": "02:30", "durationMinutes": 60}]}),
        ),
    ] {
        scene
            .apply("KafkaCluster", name, spec)
            .await
            .unwrap_or_else(|message| panic!("{name}: {message}"));
    }
}

pub async fn bad_clusters_are_refused_with_field_and_cure(scene: &Scene) {
    let three = json!({"nodes": 3, "storage": {"size": "2Gi"}});
    let external = |external: Value| {
        changed(
            pools(),
            "/listeners",
            json!({"secure": {}, "external": external}),
        )
    };
    for (name, spec, says) in [
        (
            "x",
            changed(three.clone(), "/nodes", json!(0)),
            &["spec.nodes", "1 or more"][..],
        ),
        (
            "x",
            changed(three.clone(), "/nodes", json!(10)),
            &["spec.nodes", "9 or less"],
        ),
        (
            "x",
            changed(three.clone(), "/pools", pools()["pools"].clone()),
            &["spec.nodes", "exactly one"],
        ),
        ("x", json!({}), &["spec.pools", "exactly one"]),
        (
            "x",
            changed(three.clone(), "/storage", Value::Null),
            &["spec.storage"],
        ),
        (
            "x",
            changed(pools(), "/storage", json!({"size": "1Gi"})),
            &["spec.storage", "volumes of their own"],
        ),
        ("x", changed(pools(), "/pools", json!([])), &["spec.pools"]),
        (
            "x",
            changed(pools(), "/pools/1/firstNodeId", json!(9)),
            &["spec.pools", "overlap"],
        ),
        (
            "x",
            changed(pools(), "/pools/0/replicas", json!(11)),
            &["spec.pools[control].replicas", "do not fit"],
        ),
        (
            "x",
            changed(pools(), "/pools/0/lastNodeId", json!(-1)),
            &["lastNodeId"],
        ),
        (
            "x",
            changed(pools(), "/pools/0/replicas", json!(0)),
            &["controller", "best 3"],
        ),
        (
            "x",
            changed(pools(), "/pools/1/replicas", json!(0)),
            &["broker", "replicas"],
        ),
        (
            "x",
            changed(pools(), "/pools/1/roles", json!(["queen"])),
            &["roles", "queen"],
        ),
        (
            "x",
            changed(pools(), "/pools/1/roles", json!([])),
            &["roles"],
        ),
        (
            "x",
            changed(pools(), "/pools/1/name", json!("A")),
            &["spec.pools[A].name"],
        ),
        (
            "x",
            changed(pools(), "/pools/1/volumes", json!([])),
            &["volumes"],
        ),
        (
            "x",
            changed(pools(), "/pools/1/volumes", json!([{"size": "1Mi"}])),
            &["1Mi", "64Mi"],
        ),
        (
            "x",
            changed(pools(), "/pools/1/resources", json!({"memory": "1Mi"})),
            &["1Mi", "256Mi"],
        ),
        (
            "a-name-that-is-too-long-for-both-1234567",
            changed(pools(), "/pools/1/name", json!("a-longer-pool")),
            &["spec.pools", "51 characters"],
        ),
        (
            "x",
            changed(
                pools(),
                "/listeners",
                json!({"external": {"type": "LoadBalancer"}}),
            ),
            &["spec.listeners.external", "secure"],
        ),
        (
            "x",
            external(json!({"type": "NodePort"})),
            &["spec.listeners.external.host", "missing"],
        ),
        (
            "x",
            external(json!({"type": "NodePort", "host": "A b"})),
            &["spec.listeners.external.host", "A b"],
        ),
        (
            "x",
            external(json!({"type": "LoadBalancer", "host": "a"})),
            &["host", "NodePort"],
        ),
        (
            "x",
            external(json!({"type": "LoadBalancer", "bootstrapNodePort": 30000})),
            &["bootstrapNodePort"],
        ),
        (
            "x",
            external(
                json!({"type": "NodePort", "host": "a", "loadBalancerSourceRanges": ["192.0.2.0/24"]}),
            ),
            &["loadBalancerSourceRanges"],
        ),
        (
            "x",
            external(json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["x"]})),
            &["loadBalancerSourceRanges", "192.0.2.0/24"],
        ),
        (
            "x",
            changed(pools(), "/metadataVersion", json!("four")),
            &["spec.metadataVersion", "four", "4.0"],
        ),
        (
            "x",
            changed(
                three.clone(),
                "/config",
                json!({"listener.name.secure.x": "1"}),
            ),
            &["spec.config", "remove it"],
        ),
        (
            "x",
            changed(three, "/config", json!({"super.users": "1"})),
            &["spec.config", "remove it"],
        ),
    ] {
        let Err(message) = scene.apply("KafkaCluster", name, spec.clone()).await else {
            panic!("was accepted: {spec}");
        };
        for part in says {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}

pub async fn bad_changes_of_clusters_are_refused(scene: &Scene) {
    let secure = changed(pools(), "/listeners", json!({"secure": {}}));
    let classed = changed(
        pools(),
        "/pools/1/volumes",
        json!([{"size": "1Gi", "storageClass": "a"}]),
    );
    let mut reordered = pools();
    reordered["pools"].as_array_mut().unwrap().reverse();
    for (number, (before, after, says)) in [
        (
            json!({"nodes": 1, "storage": {"size": "2Gi"}}),
            json!({"nodes": 3, "storage": {"size": "2Gi"}}),
            None,
        ),
        (
            json!({"nodes": 3, "storage": {"size": "2Gi"}}),
            pools(),
            Some("cannot change from one to the other"),
        ),
        (
            pools(),
            changed(pools(), "/pools/1/replicas", json!(5)),
            None,
        ),
        (pools(), reordered, None),
        (
            pools(),
            changed(pools(), "/pools/1/volumes", json!([{"size": "2Gi"}])),
            None,
        ),
        (
            pools(),
            changed(pools(), "/pools/1/volumes", json!([{"size": "512Mi"}])),
            Some("may grow but not shrink"),
        ),
        (
            pools(),
            changed(
                pools(),
                "/pools/1/volumes",
                json!([{"size": "1Gi"}, {"size": "1Gi"}]),
            ),
            Some("number cannot be changed"),
        ),
        (
            classed.clone(),
            pools(),
            Some("storage class cannot be changed"),
        ),
        (pools(), classed, Some("storage class cannot be changed")),
        (
            pools(),
            changed(pools(), "/pools/1/lastNodeId", json!(299)),
            Some("spec.pools[store].firstNodeId, lastNodeId: cannot be changed"),
        ),
        (
            pools(),
            changed(pools(), "/pools/0/roles", json!(["controller", "broker"])),
            Some("spec.pools[control].roles: cannot be changed"),
        ),
        (
            pools(),
            secure.clone(),
            Some("spec.listeners.secure: cannot be added or removed"),
        ),
        (
            secure.clone(),
            pools(),
            Some("spec.listeners.secure: cannot be added or removed"),
        ),
        (secure, changed(pools(), "/listeners", node_port()), None),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("c{number}");
        scene.apply("KafkaCluster", &name, before).await.unwrap();
        let answer = scene.apply("KafkaCluster", &name, after.clone()).await;
        match (answer, says) {
            (Ok(_), None) => {}
            (Err(message), Some(says)) => assert!(message.contains(says), "{says}: {message}"),
            (Ok(_), Some(says)) => panic!("was accepted: {after}; not {says}"),
            (Err(message), None) => panic!("{message}"),
        }
    }
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
