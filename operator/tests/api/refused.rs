//! What exposes a gateway may be refused: nothing else waits for it.

use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use millrace_operator::action::crd::Action;
use millrace_operator::eventsource::crd::EventSource;
use millrace_operator::kafka::crd::KafkaCluster;
use millrace_operator::platform::Platforms;
use millrace_operator::platform::crd::{ComponentStatus, Platform};
use serde_json::{Value, json};

use crate::support::{Scene, eventually};

const GOOD: &str = "cars.example.org";
const BAD: &str = "bad.example.org";

fn spec(host: &str) -> Value {
    json!({"kafka": {}, "openwhisk": {}, "detect": {}, "warnings": {}, "gateway": {"ingress": {"host": host}}})
}

fn ingress(name: &str) -> Ingress {
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"rules": [{"host": BAD}]}}))
        .unwrap()
}

async fn ingress_part(scene: &Scene) -> ComponentStatus {
    let status = scene.api::<Platform>().get("p").await.unwrap().status;
    let parts = status.unwrap().components;
    let mut ingresses = parts.into_iter().filter(|part| part.kind == "Ingress");
    let part = ingresses.next().unwrap();
    assert_eq!(ingresses.next(), None);
    part
}

async fn all_else_is_made(scene: &Scene) {
    assert!(scene.exists::<KafkaCluster>("p-kafka").await);
    assert!(scene.exists::<Action>("p-notify-driver").await);
    assert!(scene.exists::<EventSource>("p-warnings").await);
    let ingress = ingress_part(scene).await;
    assert!(!ingress.ready && ingress.message.contains("p-gateway"));
}

async fn is_told(scene: &Scene, says: &str) {
    let (status, reason, message) = scene.condition::<Platform>("p", "Degraded").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("True", "ExposureFailed")
    );
    assert!(
        message.starts_with("Ingress p-gateway: ") && message.contains(says),
        "{message}"
    );
}

pub async fn a_taken_name_of_an_ingress_holds_nothing_up(scene: &Scene) {
    let ingresses = scene.api::<Ingress>();
    ingresses
        .create(&PostParams::default(), &ingress("p-gateway"))
        .await
        .unwrap();
    assert!(scene.make::<Platforms>("p", spec(GOOD)).await);
    is_told(scene, "delete or rename it").await;
    all_else_is_made(scene).await;
    let theirs = ingresses.get("p-gateway").await.unwrap();
    assert_eq!(theirs.metadata.owner_references, None, "it is left alone");
    // By now its topics are there and waited for by name.
    assert!(scene.look::<Platforms>("p").await);
    let writes = scene.writes();
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(scene.writes(), writes, "a further look writes nothing");

    ingresses
        .delete("p-gateway", &DeleteParams::default())
        .await
        .unwrap();
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(
        scene.condition::<Platform>("p", "Degraded").await.0,
        "False"
    );
    assert!(scene.exists::<Ingress>("p-gateway").await);
}

/// The objects of an API that this crate has no types of.
fn objects(scene: &Scene, kind: &str, plural: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::all_with(scene.context.client.clone(), &resource)
}

pub async fn a_refused_ingress_holds_nothing_up(scene: &Scene) {
    let policies = objects(
        scene,
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
    );
    let bindings = objects(
        scene,
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
    );
    let policy = json!({"metadata": {"name": "no-ingress"}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"], "resources": ["ingresses"]}]},
        "validations": [{"expression": "object.spec.rules.all(r, r.host != 'bad.example.org')", "message": "no cars here"}]}});
    let binding = json!({"metadata": {"name": "no-ingress"}, "spec": {"policyName": "no-ingress",
        "validationActions": ["Deny"], "matchResources": {"namespaceSelector": {"matchLabels":
            {"kubernetes.io/metadata.name": scene.namespace}}}}});
    for (api, body) in [(&policies, policy), (&bindings, binding)] {
        let object: DynamicObject = serde_json::from_value(body).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    let probe = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    eventually("the policy", || async {
        let tried = scene.api::<Ingress>().create(&probe, &ingress("i")).await;
        tried.is_err().then_some(())
    })
    .await;

    assert!(scene.make::<Platforms>("p", spec(BAD)).await);
    is_told(scene, "no cars here").await;
    all_else_is_made(scene).await;

    assert!(scene.make::<Platforms>("p", spec(GOOD)).await);
    assert_eq!(
        scene.condition::<Platform>("p", "Degraded").await.0,
        "False"
    );
    assert!(ingress_part(scene).await.ready);
    // One that is there is served on when its change is refused.
    assert!(scene.make::<Platforms>("p", spec(BAD)).await);
    is_told(scene, "no cars here").await;
    assert!(ingress_part(scene).await.ready);
    assert!(scene.exists::<Ingress>("p-gateway").await);

    for api in [&bindings, &policies] {
        api.delete("no-ingress", &DeleteParams::default())
            .await
            .unwrap();
    }
}
