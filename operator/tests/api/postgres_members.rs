//! PostgresCluster with several members, without nodes: by an operator that has no other rights than its own.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{DeleteParams, PostParams};
use millrace_operator::context::Context;
use millrace_operator::postgres::Postgres;
use millrace_operator::postgres::crd::PostgresCluster;
use millrace_operator::postgres::patroni::{ROLE_LABEL, memory};
use serde_json::json;

use crate::leader;
use crate::support::{Scene, settings};

/// The same scene, seen by the account of the operator.
async fn operator(scene: &Scene) -> Scene {
    leader::roles(scene).await;
    let mut config = scene.config.clone();
    let account = format!("system:serviceaccount:{}:operator", scene.namespace);
    config.auth_info.impersonate = Some(account);
    let client = Client::try_from(config).unwrap();
    let context = Context::new(client, settings(&scene.namespace));
    Scene {
        context: Arc::new(context),
        ..scene.clone()
    }
}

async fn replicas(scene: &Scene) -> i32 {
    let set = scene.api::<StatefulSet>().get("p").await.unwrap();
    set.spec.unwrap().replicas.unwrap()
}

async fn role_of(scene: &Scene, service: &str) -> Option<String> {
    let service = scene.api::<Service>().get(service).await.unwrap();
    let selector = service.spec.unwrap().selector.unwrap();
    selector.get(ROLE_LABEL).cloned()
}

async fn remember(scene: &Scene) {
    for name in memory("p") {
        let map = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let maps = scene.api::<ConfigMap>();
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
}

async fn remembered(scene: &Scene) -> usize {
    let mut there = 0;
    for name in memory("p") {
        there += usize::from(scene.exists::<ConfigMap>(&name).await);
    }
    there
}

/// As if Patroni had told that one leads.
async fn has_begun(scene: &Scene, ready: i32) {
    let status = json!({"timeline": 1, "initialized": true});
    scene.set_status::<PostgresCluster>("p", status).await;
    let status = json!({"replicas": ready, "readyReplicas": ready, "observedGeneration": 1});
    scene.set_status::<StatefulSet>("p", status).await;
}

pub async fn one_begins_and_the_others_follow(scene: &Scene) {
    let operator = operator(scene).await;
    // What a former cluster of the name has left would keep this one from beginning.
    remember(scene).await;
    let spec = json!({"members": 3, "backup": {"schedule": "@daily"}});
    scene.apply("PostgresCluster", "p", spec).await.unwrap();
    // Pods of a former cluster end first, which would take this one for their own.
    let pod = serde_json::from_value(json!({"metadata": {"name": "p-1", "labels":
            {"app.kubernetes.io/name": "postgres", "app.kubernetes.io/instance": "p"}},
        "spec": {"containers": [{"name": "postgres", "image": "p:1"}]}}));
    let pods = scene.api::<Pod>();
    pods.create(&PostParams::default(), &pod.unwrap())
        .await
        .unwrap();
    assert!(operator.look::<Postgres>("p").await);
    assert_eq!(replicas(scene).await, 0);
    assert_eq!(remembered(scene).await, 4);
    let at_once = DeleteParams::default().grace_period(0);
    pods.delete("p-1", &at_once).await.unwrap();
    assert!(operator.look::<Postgres>("p").await);
    assert_eq!(remembered(scene).await, 0);
    assert_eq!(replicas(scene).await, 1, "one begins");
    assert!(scene.exists::<ServiceAccount>("p-postgres").await);
    assert!(scene.exists::<Role>("p-postgres").await);
    assert!(scene.exists::<RoleBinding>("p-postgres").await);
    assert!(scene.exists::<NetworkPolicy>("p-postgres-api").await);
    assert!(scene.exists::<NetworkPolicy>("p-postgres-archive").await);
    assert!(scene.exists::<Deployment>("p-backup").await);
    assert!(scene.exists::<Service>("p-backup").await);
    assert!(scene.exists::<CronJob>("p-backup").await);
    assert_eq!(role_of(scene, "p-primary").await, None, "there is only one");
    let replica = role_of(scene, "p-replicas").await;
    assert_eq!(replica.as_deref(), Some("replica"));
    let writes = operator.writes();
    for _ in 0..2 {
        assert!(operator.look::<Postgres>("p").await);
    }
    assert_eq!(operator.writes(), writes, "{:?}", operator.written());

    remember(scene).await;
    has_begun(scene, 1).await;
    assert!(operator.look::<Postgres>("p").await);
    assert_eq!(replicas(scene).await, 3);
    assert_eq!(role_of(scene, "p-primary").await.as_deref(), Some("master"));
    assert_eq!(remembered(scene).await, 4, "it is needed");
    let told = scene.condition::<PostgresCluster>("p", "Degraded").await;
    assert_eq!(told.0, "True", "no member answers here: {told:?}");
}

pub async fn a_server_that_was_alone_has_no_former_members(scene: &Scene) {
    assert!(scene.make::<Postgres>("p", json!({})).await);
    let status = json!({"initialized": true});
    scene.set_status::<PostgresCluster>("p", status).await;
    remember(scene).await;
    assert!(scene.look::<Postgres>("p").await);
    assert_eq!(remembered(scene).await, 4, "nobody asks for it");
    assert!(scene.make::<Postgres>("p", json!({"members": 3})).await);
    assert_eq!(remembered(scene).await, 0, "it is of others");
    assert_eq!(replicas(scene).await, 1, "it leads first");
    // From now on it is what Patroni writes beside this server.
    remember(scene).await;
    assert!(scene.look::<Postgres>("p").await);
    assert_eq!(remembered(scene).await, 4);
}

pub async fn nobody_goes_while_no_leader_is_known(scene: &Scene) {
    let spec = |members: i32| json!({"members": members});
    assert!(scene.make::<Postgres>("p", spec(3)).await);
    has_begun(scene, 1).await;
    assert!(scene.look::<Postgres>("p").await);
    assert_eq!(replicas(scene).await, 3);
    // Who leads cannot be asked.
    assert!(scene.make::<Postgres>("p", spec(2)).await);
    assert_eq!(replicas(scene).await, 3);
    let mut stopped = spec(3);
    stopped["stopped"] = true.into();
    assert!(scene.make::<Postgres>("p", stopped.clone()).await);
    assert_eq!(replicas(scene).await, 0);
    assert!(scene.make::<Postgres>("p", spec(3)).await);
    assert_eq!(replicas(scene).await, 3, "they come back together");
    // Fewer are asked for while none runs that could say who led.
    let member = |n: i32| json!({"pod": format!("p-{n}"), "role": "replica", "state": "running"});
    let status = json!({"members": [member(0), member(1), member(2)]});
    scene.set_status::<PostgresCluster>("p", status).await;
    assert!(scene.make::<Postgres>("p", stopped).await);
    assert_eq!(replicas(scene).await, 0);
    assert!(scene.make::<Postgres>("p", spec(2)).await);
    assert_eq!(replicas(scene).await, 3, "the third one may have led");
}
