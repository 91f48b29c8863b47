//! Somebody else writes to our objects by server-side apply: their fields are theirs, ours are ours.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use millrace_operator::kafka::Kafka;
use serde_json::{Value, json};

use crate::support::Scene;

fn set(metadata: &Value, spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec})
}

/// The manager that a field of the spec belongs to.
fn owners(set: &StatefulSet, field: &str) -> Vec<String> {
    let fields = set.metadata.managed_fields.iter().flatten();
    fields
        .filter(|entry| {
            let owned = entry.fields_v1.as_ref().map(|owned| &owned.0["f:spec"]);
            owned.is_some_and(|spec| spec.get(format!("f:{field}")).is_some())
        })
        .filter_map(|entry| entry.manager.clone())
        .collect()
}

pub async fn a_second_applier_keeps_its_fields_and_gets_none_of_ours(scene: &Scene) {
    let spec = json!({"nodes": 1, "storage": {"size": "1Gi"}});
    assert!(scene.make::<Kafka>("k", spec).await);
    let sets = scene.api::<StatefulSet>();
    let other = PatchParams::apply("gitops");

    // Without force it is told whose the field is.
    let more = set(&json!({"name": "k"}), &json!({"replicas": 7}));
    let refused = sets.patch("k", &other, &Patch::Apply(&more)).await;
    match refused {
        Err(kube::Error::Api(status)) => {
            assert_eq!(status.code, 409);
            assert!(
                status.message.contains("millrace-operator"),
                "{}",
                status.message
            );
        }
        other => panic!("{other:?}"),
    }

    // What it adds beside ours stays, look after look.
    let beside =
        json!({"name": "k", "labels": {"team": "fleet"}, "annotations": {"gitops/hash": "1"}});
    let only_metadata = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": beside});
    sets.patch("k", &other, &Patch::Apply(&only_metadata))
        .await
        .unwrap();
    assert!(scene.look::<Kafka>("k").await);
    let writes = scene.writes();
    assert!(scene.look::<Kafka>("k").await);
    assert_eq!(scene.writes(), writes, "what is theirs is no drift");
    let live = sets.get("k").await.unwrap();
    assert_eq!(live.labels()["team"], "fleet");
    assert_eq!(live.annotations()["gitops/hash"], "1");

    // By force it takes a field of ours; it is taken back, and is ours again.
    let taken = set(&beside, &json!({"replicas": 7}));
    sets.patch("k", &other.clone().force(), &Patch::Apply(&taken))
        .await
        .unwrap();
    assert_eq!(
        owners(&sets.get("k").await.unwrap(), "replicas"),
        ["gitops"]
    );
    assert!(scene.look::<Kafka>("k").await);
    let live = sets.get("k").await.unwrap();
    assert_eq!(live.spec.as_ref().unwrap().replicas, Some(1));
    assert!(owners(&live, "replicas").contains(&"millrace-operator".to_owned()));
    assert_eq!(live.labels()["team"], "fleet");

    // A key beside ours in a ConfigMap of ours stays as well.
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "k-files"}, "data": {"theirs": "x"}});
    let maps = scene.api::<ConfigMap>();
    maps.patch("k-files", &other, &Patch::Apply(&map))
        .await
        .unwrap();
    assert!(scene.look::<Kafka>("k").await);
    let data = maps.get("k-files").await.unwrap().data.unwrap();
    assert_eq!(data["theirs"], "x");
    assert!(data.contains_key("server.properties"));
}
