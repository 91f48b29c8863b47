//! How a Platform is exposed and what it takes from ConfigMaps and Secrets that others make.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use millrace_operator::eventsource::EventSources;
use millrace_operator::eventsource::crd::EventSource;
use millrace_operator::job::Jobs;
use millrace_operator::job::crd::StreamJob;
use millrace_operator::platform::Platforms;
use millrace_operator::platform::crd::Platform;
use millrace_operator::topic::crd::KafkaTopic;
use serde_json::{Value, json};

use crate::support::{Scene, eventually};

const ZONE: &str = r#"{"type": "FeatureCollection", "features": [{"type": "Feature", "id": "a",
    "properties": {"name": "A", "kind": "closed"}, "geometry": {"type": "Polygon",
    "coordinates": [[[8.0, 50.0], [8.1, 50.0], [8.1, 50.1], [8.0, 50.0]]]}}]}"#;

async fn put_map(scene: &Scene, name: &str, key: &str, text: &str) {
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text}});
    scene
        .api::<ConfigMap>()
        .patch(
            name,
            &PatchParams::apply("user").force(),
            &Patch::Apply(&body),
        )
        .await
        .unwrap();
}

async fn put_secret(scene: &Scene, name: &str, labels: Value, data: Value) {
    let secret: Secret = serde_json::from_value(json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "labels": labels}, "stringData": data}))
    .unwrap();
    scene
        .api::<Secret>()
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
}

/// Makes the jobs of platform `p` appear.
async fn topics_are_there(scene: &Scene) {
    for topic in scene
        .api::<KafkaTopic>()
        .list(&Default::default())
        .await
        .unwrap()
    {
        let name = topic.metadata.name.unwrap();
        let status = json!({"conditions": [{"type": "Available", "status": "True", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ready", "message": "m"}]});
        scene.set_status::<KafkaTopic>(&name, status).await;
    }
    assert!(scene.look::<Platforms>("p").await);
}

async fn rules_of_detect(scene: &Scene) -> Value {
    let job = scene.api::<StreamJob>().get("p-detect").await.unwrap();
    job.spec.config["rules"].clone()
}

pub async fn bad_rules_leave_the_last_good_ones(scene: &Scene) {
    let spec = |rules: Value| json!({"kafka": {}, "gateway": {}, "detect": {"rules": rules}});
    let good = json!({"overheating": {"warningAt": 107}});
    assert!(scene.make::<Platforms>("p", spec(good.clone())).await);
    topics_are_there(scene).await;
    assert_eq!(rules_of_detect(scene).await, good);
    for (bad, says) in [
        (json!({"overheating": {"warningAt": 999.0}}), "999"),
        (json!({"overheeting": {}}), "overheeting"),
        (
            json!({"custom": [{"name": "own", "when": "oil_temprature > 3", "text": "t"}]}),
            "oil_temperature",
        ),
    ] {
        assert!(!scene.make::<Platforms>("p", spec(bad)).await);
        let (status, reason, message) = scene.condition::<Platform>("p", "Degraded").await;
        assert_eq!((status.as_str(), reason.as_str()), ("True", "InvalidSpec"));
        assert!(
            message.starts_with("spec.detect.rules") && message.contains(says),
            "{message}"
        );
        assert_eq!(rules_of_detect(scene).await, good, "the last good stay");
    }
    let better = json!({"overheating": {"warningAt": 106}});
    assert!(scene.make::<Platforms>("p", spec(better.clone())).await);
    assert_eq!(rules_of_detect(scene).await, better);
    assert_eq!(
        scene.condition::<Platform>("p", "Degraded").await.0,
        "False"
    );
}

pub async fn zones_are_checked_and_never_hold_anything_up(scene: &Scene) {
    let spec = json!({"kafka": {}, "gateway": {}, "detect": {"zones": [{"configMap": "city"}]}});
    assert!(scene.make::<Platforms>("p", spec).await);
    topics_are_there(scene).await;
    let waits = |platform: Platform| {
        let waiting = platform.status.unwrap().waiting_on;
        waiting.iter().any(|w| w.component == "ConfigMap city")
    };
    assert!(waits(scene.api::<Platform>().get("p").await.unwrap()));
    let job = scene.api::<StreamJob>().get("p-detect").await.unwrap().spec;
    assert_eq!(job.files[0].directory, "/etc/millrace/zones/city");

    put_map(scene, "city", "a.geojson", ZONE).await;
    assert!(scene.look::<Platforms>("p").await);
    assert!(!waits(scene.api::<Platform>().get("p").await.unwrap()));
    assert_eq!(
        scene.condition::<Platform>("p", "Degraded").await.0,
        "False"
    );
    let writes = scene.writes();
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(scene.writes(), writes, "a further look writes nothing");

    put_map(
        scene,
        "city",
        "a.geojson",
        &ZONE.replace("\"closed\"", "\"haunted\""),
    )
    .await;
    assert!(scene.look::<Platforms>("p").await);
    let (status, reason, message) = scene.condition::<Platform>("p", "Degraded").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("True", "ZonesRejected")
    );
    for part in ["spec.detect.zones", "city/a.geojson", "haunted"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    assert!(scene.exists::<StreamJob>("p-detect").await);
    put_map(scene, "city", "a.geojson", ZONE).await;
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(
        scene.condition::<Platform>("p", "Degraded").await.0,
        "False"
    );
}

pub async fn a_job_goes_on_without_its_files(scene: &Scene) {
    let spec = json!({"job": "detect", "files": [{"configMap": "city", "directory": "/etc/millrace/zones/city"}]});
    assert!(scene.make::<Jobs>("j", spec).await);
    let (status, reason, message) = scene.condition::<StreamJob>("j", "Degraded").await;
    assert_eq!((status.as_str(), reason.as_str()), ("True", "FilesMissing"));
    assert!(
        message.starts_with("spec.files[0].configMap: city: "),
        "{message}"
    );
    put_map(scene, "city", "a", ZONE).await;
    assert!(scene.look::<Jobs>("j").await);
    assert_eq!(
        scene.condition::<StreamJob>("j", "Degraded").await.0,
        "False"
    );
}

pub async fn older_keys_are_completed_and_given_ones_left_alone(scene: &Scene) {
    let old = json!({"admin-token": "a", "notify-token": "n", "pseudonym-key": "p", "seal-key": "s", "own": "o"});
    let ours = json!({"app.kubernetes.io/managed-by": "millrace-operator"});
    put_secret(scene, "p-gateway", ours, old.clone()).await;
    put_secret(scene, "q-gateway", json!({}), old.clone()).await;
    for name in ["p", "q"] {
        let spec = json!({"kafka": {}, "gateway": {}});
        assert!(scene.make::<Platforms>(name, spec).await);
    }
    let data = |secret: Secret| secret.data.unwrap();
    let completed = data(scene.api::<Secret>().get("p-gateway").await.unwrap());
    assert_eq!(completed.len(), 11);
    for (key, value) in old.as_object().unwrap() {
        assert_eq!(
            completed[key].0,
            value.as_str().unwrap().as_bytes(),
            "{key}"
        );
    }
    assert!(completed["vehicles-token"].0.len() >= 32);
    assert_ne!(completed["vehicles-token"], completed["operations-token"]);
    assert_eq!(
        data(scene.api::<Secret>().get("q-gateway").await.unwrap()).len(),
        5
    );
    assert!(scene.look::<Platforms>("p").await);
    let again = data(scene.api::<Secret>().get("p-gateway").await.unwrap());
    assert_eq!(again, completed, "once");
}

pub async fn an_ingress_is_made_and_taken_back(scene: &Scene) {
    let spec = |gateway: Value| json!({"kafka": {}, "gateway": gateway});
    let ingress = json!({"ingress": {"host": "cars.example.org", "className": "nginx", "tlsSecretName": "web", "annotations": {"a/b": "c"}}});
    assert!(scene.make::<Platforms>("p", spec(ingress)).await);
    let made = scene.api::<Ingress>().get("p-gateway").await.unwrap();
    assert_eq!(made.metadata.annotations.unwrap()["a/b"], "c");
    let made = serde_json::to_value(made.spec.unwrap()).unwrap();
    assert_eq!(made["ingressClassName"], "nginx");
    assert_eq!(made["tls"][0]["secretName"], "web");
    let backend = &made["rules"][0]["http"]["paths"][0]["backend"]["service"];
    assert_eq!(
        *backend,
        json!({"name": "p-gateway-internal", "port": {"number": 8080}})
    );
    assert!(scene.make::<Platforms>("p", spec(json!({}))).await);
    assert!(!scene.exists::<Ingress>("p-gateway").await);
}

/// A definition that takes anything, as a stand-in for somebody's API.
fn definition(group: &str, version: &str, kind: &str, plural: &str) -> Value {
    let name = format!("{plural}.{group}");
    let mut annotations = json!({});
    if group.ends_with(".k8s.io") {
        // The API server lets nobody take a group of its own without this word.
        annotations = json!({"api-approved.kubernetes.io": "unapproved, for tests"});
    }
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{"name": version, "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
}

pub async fn what_needs_an_absent_api_is_told_and_made_once_it_is_there(scene: &Scene) {
    // Of the kinds for MQTT older releases of the Gateway API serve one version and newer ones the other.
    for version in ["v1alpha2", "v1"] {
        made_once_it_is_there(scene, version).await;
    }
}

async fn made_once_it_is_there(scene: &Scene, tls_route: &'static str) {
    let spec = json!({"kafka": {}, "gateway": {
        "tls": {"certManager": {"issuerRef": {"name": "ca", "kind": "ClusterIssuer"}, "dnsNames": ["cars.example.org"]}},
        "gatewayApi": {"parentRefs": [{"name": "edge"}], "mqttParentRefs": [{"name": "edge", "sectionName": "mqtts"}], "hostnames": ["cars.example.org"]}}});
    assert!(scene.make::<Platforms>("p", spec.clone()).await);
    // What the round before removed is served for a moment longer.
    eventually("each absent API to be named", || async {
        assert!(scene.look::<Platforms>("p").await);
        let (status, reason, message) = scene.condition::<Platform>("p", "Degraded").await;
        let named = [
            "spec.gateway.tls.certManager",
            "install cert-manager",
            "HTTPRoute",
            "TLSRoute",
        ];
        let all = named.iter().all(|part| message.contains(part));
        (all && (status.as_str(), reason.as_str()) == ("True", "ApiMissing")).then_some(())
    })
    .await;
    let apis = [
        (
            "cert-manager.io",
            "v1",
            "Certificate",
            "certificates",
            "p-gateway",
        ),
        (
            "gateway.networking.k8s.io",
            "v1",
            "HTTPRoute",
            "httproutes",
            "p-gateway",
        ),
        (
            "gateway.networking.k8s.io",
            tls_route,
            "TLSRoute",
            "tlsroutes",
            "p-gateway-mqtt",
        ),
    ];
    let definitions: Api<CustomResourceDefinition> = Api::all(scene.context.client.clone());
    for (group, version, kind, plural, _) in apis {
        let body = definition(group, version, kind, plural);
        let name = format!("{plural}.{group}");
        definitions
            .patch(&name, &PatchParams::apply("tests"), &Patch::Apply(&body))
            .await
            .unwrap();
    }
    eventually("the objects", || async {
        assert!(scene.look::<Platforms>("p").await);
        (scene.condition::<Platform>("p", "Degraded").await.0 == "False").then_some(())
    })
    .await;
    for (group, version, kind, plural, name) in apis {
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api: Api<DynamicObject> =
            Api::namespaced_with(scene.context.client.clone(), &scene.namespace, &resource);
        let made = api
            .get(name)
            .await
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(made.metadata.owner_references.unwrap()[0].kind, "Platform");
        if kind == "Certificate" {
            assert_eq!(made.data["spec"]["secretName"], "p-gateway-tls");
        }
    }
    let writes = scene.writes();
    assert!(scene.look::<Platforms>("p").await);
    assert_eq!(scene.writes(), writes, "a further look writes nothing");
    for (group, _, _, plural, _) in apis {
        let name = format!("{plural}.{group}");
        definitions
            .delete(&name, &DeleteParams::default())
            .await
            .unwrap();
    }
    for (group, _, _, plural, _) in apis {
        let name = format!("{plural}.{group}");
        eventually("a definition to be gone", || async {
            let left = definitions.get_opt(&name).await;
            left.unwrap().is_none().then_some(())
        })
        .await;
    }
}

pub async fn a_bad_filter_leaves_what_ran(scene: &Scene) {
    let available = json!({"conditions": [{"type": "Available", "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ready", "message": ""}]});
    scene
        .apply(
            "KafkaTopic",
            "t",
            json!({"kafka": "k", "topicName": "alerts", "partitions": 1, "schema": "alert"}),
        )
        .await
        .unwrap();
    scene
        .apply("Trigger", "g", json!({"openwhisk": "w"}))
        .await
        .unwrap();
    scene.set_status::<KafkaTopic>("t", available.clone()).await;
    let spec = |filter: &str| json!({"topic": "t", "trigger": "g", "filter": filter, "batch": {"maximumRecords": 5}});
    assert!(!scene.make::<EventSources>("e", spec("zone IS NULL")).await);
    assert_eq!(
        scene.condition::<EventSource>("e", "Available").await.1,
        "TriggerNotReady"
    );
    scene
        .set_status::<millrace_operator::trigger::crd::Trigger>("g", available)
        .await;
    assert!(scene.look::<EventSources>("e").await);
    let config = || async {
        let map = scene
            .api::<ConfigMap>()
            .get("e-dispatch-config")
            .await
            .unwrap();
        let text = map.data.unwrap().remove("config.yaml").unwrap();
        serde_yaml_ng::from_str::<Value>(&text).unwrap()
    };
    let good = config().await;
    assert_eq!(good["trigger"], "g");
    assert_eq!(good["filter"], "zone IS NULL");
    assert_eq!(
        good["batch"],
        json!({"maximumRecords": 5, "windowMilliseconds": 0})
    );
    assert!(
        !scene
            .make::<EventSources>("e", spec("severty = 'info'"))
            .await
    );
    let (status, reason, message) = scene.condition::<EventSource>("e", "Degraded").await;
    assert_eq!((status.as_str(), reason.as_str()), ("True", "InvalidSpec"));
    assert!(
        message.starts_with("spec.filter: severty = 'info': ") && message.contains("severity"),
        "{message}"
    );
    assert_eq!(config().await, good, "the last good stays");
}
