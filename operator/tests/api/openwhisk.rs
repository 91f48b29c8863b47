//! OpenWhisk over its modes: from the embedded server to that of Apache and back.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use millrace_operator::openwhisk::Whisks;
use millrace_operator::openwhisk::crd::OpenWhisk;
use millrace_operator::pods::secret_data;
use millrace_whisk::action::{Action, Limits};
use millrace_whisk::pods::Family;
use serde_json::{Value, json};

use crate::support::Scene;

async fn give<const N: usize>(scene: &Scene, name: &str, entries: [(&str, &str); N]) {
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.into()),
            ..ObjectMeta::default()
        },
        data: Some(secret_data(
            entries.map(|(key, value)| (key, value.to_owned())),
        )),
        ..Secret::default()
    };
    let secrets = scene.api::<Secret>();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
}

fn spec(mode: &str) -> Value {
    json!({"mode": mode, "apache": {"kafka": {"bindingSecret": "kafka"}, "mongo": {"bindingSecret": "mongo"}}})
}

async fn replicas(scene: &Scene, set: &str) -> Option<i32> {
    let set = scene.api::<StatefulSet>().get_opt(set).await.unwrap()?;
    set.spec?.replicas
}

async fn binding(scene: &Scene) -> Secret {
    scene.api::<Secret>().get("w-binding").await.unwrap()
}

/// The pods that the embedded server makes pass where the restricted profile is enforced.
async fn restricted_pods_are_taken(scene: &Scene) {
    let name = "images-restricted";
    let namespace: Namespace = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }))
    .unwrap();
    let client = &scene.context.client;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let action: Action = serde_json::from_value(json!({
        "namespace": "guest", "name": "tools/Resize it", "version": "0.0.1", "publish": false, "parameters": [],
        "annotations": [], "limits": Limits::default(), "updated": 0,
        "exec": {"type": "image", "image": "i:1", "code": null, "main": null},
    }))
    .unwrap();
    let family = Family {
        instance: "w".into(),
        namespace: name.into(),
        server: Some(("w-0".into(), "6ba7b810-9dad-11d1-80b4-00c04fd430c8".into())),
        pull_secret: Some("registry".into()),
        api_host: "http://w:3233".into(),
        run: "r".into(),
    };
    let pod = family.pod(&family.pod_name(&action), &action, "i:1");
    let pods: Api<Pod> = Api::namespaced(client.clone(), name);
    let mut loose = pod.clone();
    loose["spec"]["containers"][0]["securityContext"] = json!({});
    let loose: Pod = serde_json::from_value(loose).unwrap();
    let refused = pods.create(&PostParams::default(), &loose).await;
    assert!(refused.unwrap_err().to_string().contains("PodSecurity"));
    // What Kubernetes does not know would be dropped without a word.
    let typed: Pod = serde_json::from_value(pod.clone()).unwrap();
    let kept = pods.create(&PostParams::default(), &typed).await.unwrap();
    let kept = serde_json::to_value(kept).unwrap();
    let resources = |pod: &Value| pod["spec"]["containers"][0]["resources"]["limits"].clone();
    assert_eq!(resources(&kept), resources(&pod));
    assert_eq!(kept["metadata"]["labels"], pod["metadata"]["labels"]);
    let of_action =
        ListParams::default().labels("millrace.dev/whisk-run!=other,app.kubernetes.io/instance=w");
    assert_eq!(pods.list(&of_action).await.unwrap().items.len(), 1);
}

pub async fn an_openwhisk_goes_over_to_apache_and_back(scene: &Scene) {
    assert!(scene.make::<Whisks>("w", spec("embedded")).await);
    let before = binding(scene).await;
    assert_eq!(replicas(scene, "w").await, Some(1));
    assert!(!scene.exists::<StatefulSet>("w-controller").await);
    // Actions of an image: who makes their pods, and who gets to them.
    assert!(!scene.exists::<Role>("w-image-actions").await);
    let images = json!({"mode": "embedded", "imageActions": {}});
    assert!(scene.make::<Whisks>("w", images).await);
    let role = scene.api::<Role>().get("w-image-actions").await.unwrap();
    assert_eq!(role.rules.unwrap().len(), 2);
    assert!(
        scene
            .exists::<NetworkPolicy>("w-openwhisk-image-action")
            .await
    );
    restricted_pods_are_taken(scene).await;

    // What is missing is named, and what runs goes on.
    assert!(!scene.make::<Whisks>("w", spec("apache")).await);
    let told = scene.condition::<OpenWhisk>("w", "Degraded").await;
    assert_eq!(told.1, "MongoMissing", "{told:?}");
    assert!(
        told.2
            .starts_with("spec.apache.mongo.bindingSecret: mongo: "),
        "{told:?}"
    );
    assert_eq!(replicas(scene, "w").await, Some(1));
    // Nobody answers there: what has to be in MongoDB is told, and the rest is made.
    let address = "mongodb://127.0.0.1:1/openwhisk?directConnection=true";
    give(scene, "mongo", [("type", "mongodb"), ("uri", address)]).await;
    assert!(!scene.look::<Whisks>("w").await);
    let told = scene.condition::<OpenWhisk>("w", "Degraded").await;
    assert_eq!(told.1, "KafkaMissing", "{told:?}");
    give(scene, "kafka", [("bootstrap-servers", "k:9092")]).await;
    assert!(scene.look::<Whisks>("w").await);
    let told = scene.condition::<OpenWhisk>("w", "Available").await;
    assert_eq!(told.1, "KeyMissing", "{told:?}");

    // The embedded server has no pod, and keeps its volume.
    assert_eq!(replicas(scene, "w").await, Some(0));
    let former = scene.api::<StatefulSet>().get("w").await.unwrap();
    assert!(former.spec.unwrap().volume_claim_templates.is_some());
    for set in ["w-controller", "w-invoker"] {
        assert_eq!(replicas(scene, set).await, Some(1), "{set}");
    }
    assert!(scene.exists::<ServiceAccount>("w-invoker").await);
    assert!(!scene.exists::<ServiceAccount>("w-image-actions").await);
    assert!(scene.exists::<Role>("w-invoker").await);
    assert!(scene.exists::<RoleBinding>("w-invoker").await);
    for policy in ["w-openwhisk", "w-openwhisk-invoker", "w-openwhisk-action"] {
        assert!(scene.exists::<NetworkPolicy>(policy).await, "{policy}");
    }
    // Clients go on with the address and the key that they have.
    let now = binding(scene).await;
    assert_eq!(now.data, before.data);
    assert_eq!(now.uid(), before.uid());
    let service = scene.api::<Service>().get("w").await.unwrap();
    let selector = service.spec.unwrap().selector.unwrap();
    assert_eq!(selector["millrace.dev/openwhisk-role"], "controller");
    // What MongoDB's driver says of a server that is not there is not the same each time, and stands in the status.
    let written = || {
        let mut written = scene.written();
        written.retain(|line| !line.contains("OpenWhisk/status"));
        written.sort();
        written
    };
    let before_look = written();
    assert!(scene.look::<Whisks>("w").await);
    assert_eq!(written(), before_look);

    // One server alone.
    assert!(scene.make::<Whisks>("w", spec("lean")).await);
    assert!(!scene.exists::<StatefulSet>("w-invoker").await);
    assert_eq!(replicas(scene, "w-controller").await, Some(1));

    assert!(scene.make::<Whisks>("w", spec("embedded")).await);
    assert_eq!(replicas(scene, "w").await, Some(1));
    assert!(!scene.exists::<StatefulSet>("w-controller").await);
    assert!(!scene.exists::<Role>("w-invoker").await);
    assert!(!scene.exists::<ConfigMap>("w-files").await);
    assert!(!scene.exists::<Secret>("w-settings").await);
    let service = scene.api::<Service>().get("w").await.unwrap();
    let selector = service.spec.unwrap().selector.unwrap();
    assert!(!selector.contains_key("millrace.dev/openwhisk-role"));
    assert_eq!(binding(scene).await.data, before.data);
}
