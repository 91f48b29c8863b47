//! What others take off our objects is put back.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use millrace_operator::kafka::Kafka;
use serde_json::json;

use crate::support::Scene;

pub async fn metadata_taken_off_is_put_back(scene: &Scene) {
    let spec = json!({"nodes": 1, "storage": {"size": "1Gi"}});
    assert!(scene.make::<Kafka>("k", spec).await);
    let sets = scene.api::<StatefulSet>();
    let made = sets.get("k").await.unwrap();
    for patch in [
        json!({"labels": {"app.kubernetes.io/part-of": null}}),
        json!({"labels": {"app.kubernetes.io/part-of": "theirs"}}),
        json!({"annotations": {"millrace.dev/restart-mark": null}}),
        json!({"annotations": null, "ownerReferences": null}),
    ] {
        let body = json!({"metadata": patch});
        sets.patch("k", &PatchParams::default(), &Patch::Merge(&body))
            .await
            .unwrap();
        assert!(scene.look::<Kafka>("k").await, "{patch}");
        let now = sets.get("k").await.unwrap();
        assert_eq!(now.labels(), made.labels(), "{patch}");
        assert_eq!(now.annotations(), made.annotations(), "{patch}");
        assert_eq!(now.owner_references(), made.owner_references(), "{patch}");
        assert_eq!(now.metadata.generation, made.metadata.generation, "{patch}");
        let writes = scene.writes();
        assert!(scene.look::<Kafka>("k").await);
        assert_eq!(scene.writes(), writes, "a further look writes nothing");
    }
}
