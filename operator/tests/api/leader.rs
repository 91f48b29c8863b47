//! Of several operators one works, with no more rights than the Roles of a namespaced install give.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use millrace_operator::context::Context;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::leader::{self, Candidate, Timing};
use millrace_operator::rbac::Rule;
use millrace_operator::registry::registry;
use millrace_operator::run::{RunError, connect, work};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::{Scene, eventually, settings};

const TIMING: Timing = Timing {
    lease: Duration::from_secs(3),
    renew_deadline: Duration::from_secs(2),
    retry: Duration::from_millis(200),
};

/// Gives the operator's service account these rights in the namespace, and nothing elsewhere.
async fn grant(scene: &Scene, name: &str, rules: Vec<Rule>) {
    let rules: Vec<_> = rules
        .into_iter()
        .map(|rule| json!({"apiGroups": [rule.group], "resources": rule.resources, "verbs": rule.verbs}))
        .collect();
    let role: Role =
        serde_json::from_value(json!({"metadata": {"name": name}, "rules": rules})).unwrap();
    let binding: RoleBinding = serde_json::from_value(json!({"metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": scene.namespace}]}))
    .unwrap();
    let params = PostParams::default();
    scene.api::<Role>().create(&params, &role).await.unwrap();
    let bindings = scene.api::<RoleBinding>();
    bindings.create(&params, &binding).await.unwrap();
}

/// Gives the account `operator` of the namespace the rights of the operator.
pub async fn roles(scene: &Scene) {
    let events = Rule::new("events.k8s.io", &["events"], &["create", "patch"], "");
    let rules = registry()
        .into_iter()
        .flat_map(|component| (component.rules)())
        .chain([events]);
    grant(scene, "operator", rules.collect()).await;
    grant(scene, "leader", leader::rules()).await;
}

struct Operator {
    context: Arc<Context>,
    stop: watch::Sender<bool>,
    running: JoinHandle<Result<(), RunError>>,
}

fn operator(scene: &Scene, identity: &str) -> Operator {
    let mut config = scene.config.clone();
    let account = format!("system:serviceaccount:{}:operator", scene.namespace);
    config.auth_info.impersonate = Some(account);
    let candidate = Candidate {
        namespace: scene.namespace.clone(),
        lease: "operator".into(),
        identity: identity.into(),
    };
    let settings = settings(&scene.namespace);
    let (context, elector) = connect(config, settings, Some(candidate), TIMING).unwrap();
    let (stop, stopped) = watch::channel(false);
    Operator {
        running: tokio::spawn(work(context.clone(), elector, stopped)),
        context,
        stop,
    }
}

async fn holder(scene: &Scene) -> Option<String> {
    let lease = scene.api::<Lease>().get_opt("operator").await.unwrap();
    lease?.spec?.holder_identity
}

async fn led_by(scene: &Scene, identity: &str) {
    eventually(identity, || async {
        (holder(scene).await.as_deref() == Some(identity)).then_some(())
    })
    .await;
}

async fn remade(scene: &Scene) {
    let services = scene.api::<Service>();
    services
        .delete("k-bootstrap", &DeleteParams::default())
        .await
        .unwrap();
    eventually("the Service anew", || async {
        scene.exists::<Service>("k-bootstrap").await.then_some(())
    })
    .await;
}

pub async fn a_standby_takes_over_from_a_leader_that_is_gone(scene: &Scene) {
    roles(scene).await;
    let first = operator(scene, "first");
    led_by(scene, "first").await;
    let second = operator(scene, "second");
    let spec = json!({"nodes": 1, "storage": {"size": "1Gi"}});
    scene.apply("KafkaCluster", "k", spec).await.unwrap();
    eventually("the StatefulSet", || async {
        scene.exists::<StatefulSet>("k").await.then_some(())
    })
    .await;
    remade(scene).await;
    assert_eq!(holder(scene).await.as_deref(), Some("first"));
    assert!(
        !second.context.metrics.text().contains("writes_total{"),
        "it stands by"
    );

    // As if killed: nothing is released.
    first.running.abort();
    led_by(scene, "second").await;
    remade(scene).await;
    let (_, reason, message) = scene.condition::<KafkaCluster>("k", "Degraded").await;
    assert_eq!(reason, "AsExpected", "{message}");

    // Who ends in order leaves the Lease to whoever comes next.
    second.stop.send(true).unwrap();
    second.running.await.unwrap().unwrap();
    assert_eq!(holder(scene).await, None);
}

pub async fn a_leader_that_cannot_renew_stops_and_writes_nothing(scene: &Scene) {
    roles(scene).await;
    let only = operator(scene, "only");
    led_by(scene, "only").await;
    let map = |name: &str| ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    let maps = only.context.namespaced::<ConfigMap>(&scene.namespace);
    maps.create(&PostParams::default(), &map("while-leading"))
        .await
        .unwrap();

    let bindings = scene.api::<RoleBinding>();
    bindings
        .delete("leader", &DeleteParams::default())
        .await
        .unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), only.running).await;
    match ended.unwrap().unwrap() {
        Err(RunError::Lost(_)) => {}
        other => panic!("{other:?}"),
    }
    let late = maps.create(&PostParams::default(), &map("too-late")).await;
    let told = format!("{:?}", late.unwrap_err());
    assert!(told.contains("Closed"), "{told}");
    assert!(!scene.exists::<ConfigMap>("too-late").await);
}
