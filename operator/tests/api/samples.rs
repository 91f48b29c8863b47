//! What is in manifests/ is accepted as it is.

use std::path::Path;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use millrace_operator::generate::crd_json;
use millrace_operator::platform::Platforms;
use millrace_operator::platform::crd::Platform;
use millrace_operator::registry::registry;
use serde::Deserialize;
use serde_json::Value;

use crate::support::Scene;

pub async fn samples_are_accepted(scene: &Scene) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/samples");
    let mut kinds = Vec::new();
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let objects: Vec<Value> = serde_yaml_ng::Deserializer::from_str(&text)
            .map(|document| Value::deserialize(document).unwrap())
            .collect();
        for object in objects {
            let kind = object["kind"].as_str().unwrap().to_owned();
            if object["apiVersion"] == "v1" {
                assert_eq!(kind, "ConfigMap", "{}", path.display());
                let map: ConfigMap = serde_json::from_value(object).unwrap();
                let api = scene.api::<ConfigMap>();
                let made = api.create(&PostParams::default(), &map).await;
                made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                continue;
            }
            let name = object["metadata"]["name"].as_str().unwrap();
            let made = scene.apply(&kind, name, object["spec"].clone()).await;
            let made = made.unwrap_or_else(|message| panic!("{}: {message}", path.display()));
            // What Kubernetes does not know it drops without a word.
            let kept = &made.data["spec"];
            for (field, value) in object["spec"].as_object().unwrap() {
                assert!(
                    contains(&kept[field], value),
                    "{}: spec.{field} was not kept",
                    path.display()
                );
            }
            kinds.push(kind);
        }
    }
    // Not only well-formed: the operator takes them as they are.
    for name in [
        "sample-platform",
        "sample-lake-platform",
        "sample-zones",
        "sample-exposed",
        "sample-questions",
    ] {
        let good = scene.look::<Platforms>(name).await;
        let degraded = scene.condition::<Platform>(name, "Degraded").await;
        assert!(good, "{name}: {degraded:?}");
        // What the Gateway API is needed for is told where there is none.
        let expected = if name == "sample-exposed" {
            "ApiMissing"
        } else {
            "AsExpected"
        };
        assert_eq!(degraded.1, expected, "{name}: {degraded:?}");
    }
}

fn contains(kept: &Value, given: &Value) -> bool {
    match (kept, given) {
        (Value::Object(kept), Value::Object(given)) => given
            .iter()
            .all(|(key, value)| kept.get(key).is_some_and(|kept| contains(kept, value))),
        // Entries of a list get their defaults too.
        (Value::Array(kept), Value::Array(given)) => {
            kept.len() == given.len() && kept.iter().zip(given).all(|(k, g)| contains(k, g))
        }
        _ => kept == given,
    }
}

pub async fn definitions_applied_twice_do_not_change(scene: &Scene) {
    let api: Api<CustomResourceDefinition> = Api::all(scene.context.client.clone());
    for component in registry() {
        let definition = (component.crd)();
        let name = definition.name_any();
        let before = api.get(&name).await.unwrap().metadata.resource_version;
        let json = crd_json(&definition).unwrap();
        api.patch(&name, &PatchParams::apply("tests"), &Patch::Apply(&json))
            .await
            .unwrap();
        assert_eq!(
            api.get(&name).await.unwrap().metadata.resource_version,
            before,
            "{name}"
        );
    }
}
