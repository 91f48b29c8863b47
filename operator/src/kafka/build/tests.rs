use super::super::validate::tests::{cluster, images, valid};
use super::super::validate::{Found, validate};
use super::*;
use crate::reconcile::storage;
use serde_json::json;

#[test]
fn the_objects_of_a_cluster_of_one() {
    let kafka = valid(json!({"nodes": 1, "storage": {"size": "2Gi", "storageClass": "fast"}}));
    insta::assert_snapshot!(build(&kafka).unwrap().to_yaml().unwrap());
}

#[test]
fn the_objects_of_three_combined_nodes() {
    let kafka = valid(json!({"nodes": 3, "storage": {"size": "2Gi"}}));
    insta::assert_snapshot!(build(&kafka).unwrap().to_yaml().unwrap());
}

#[test]
fn changed_settings_change_the_template_and_what_is_told_does_not() {
    let hash = |kafka: ValidatedKafka| {
        let set: StatefulSet = build(&kafka).unwrap().get("k").unwrap();
        set.spec
            .unwrap()
            .template
            .metadata
            .unwrap()
            .annotations
            .unwrap()["millrace.dev/config"]
            .clone()
    };
    let of = |spec| hash(valid(spec));
    let before = of(json!({"nodes": 3, "storage": {"size": "2Gi"}}));
    assert_eq!(before, of(json!({"nodes": 3, "storage": {"size": "3Gi"}})));
    // More controllers restart nobody.
    assert_eq!(before, of(json!({"nodes": 5, "storage": {"size": "2Gi"}})));
    let mut founded = cluster(json!({"nodes": 3, "storage": {"size": "2Gi"}}));
    founded.status =
        serde_json::from_value(json!({"bootstrapped": true, "clusterId": "other"})).unwrap();
    assert_eq!(
        before,
        hash(validate(&founded, &Found::default(), &images()).unwrap())
    );
    assert_ne!(
        before,
        of(json!({"nodes": 3, "storage": {"size": "2Gi"}, "config": {"log.retention.hours": "1"}}))
    );
}

#[test]
fn live_claim_templates_are_left_as_they_are() {
    let kafka = cluster(json!({"nodes": 1, "storage": {"size": "9Gi"}}));
    let owner = crate::reconcile::Owner::of(&kafka).unwrap();
    let small = crate::types::Storage {
        size: "2Gi".into(),
        storage_class: None,
    };
    let live = vec![storage::template(&owner, COMPONENT, "data", &small)];
    let found = Found {
        templates: [("k".to_owned(), live.clone())].into(),
        ..Found::default()
    };
    let set: StatefulSet = build(&validate(&kafka, &found, &images()).unwrap())
        .unwrap()
        .get("k")
        .unwrap();
    assert_eq!(set.spec.unwrap().volume_claim_templates.unwrap(), live);
}

#[test]
fn no_pod_has_two_budgets() {
    let pool = |name: &str, roles: serde_json::Value, first: i32| {
        json!({"name": name, "roles": roles, "replicas": 1, "firstNodeId": first, "lastNodeId": first + 9,
            "volumes": [{"size": "1Gi"}]})
    };
    let budgets = |pools: serde_json::Value| {
        let kafka = valid(json!({"pools": pools}));
        disruption::budgets(&kafka).len()
    };
    let (controller, broker) = (json!(["controller"]), json!(["broker"]));
    assert_eq!(
        budgets(json!([
            pool("a", controller.clone(), 0),
            pool("b", broker.clone(), 10)
        ])),
        2
    );
    assert_eq!(
        budgets(json!([
            pool("a", json!(["controller", "broker"]), 0),
            pool("b", broker, 10)
        ])),
        1
    );
}

fn secure() -> serde_json::Value {
    json!({
        "pools": [
            {"name": "control", "roles": ["controller"], "replicas": 3, "firstNodeId": 0, "lastNodeId": 9,
             "volumes": [{"size": "1Gi"}]},
            {"name": "store", "roles": ["broker"], "replicas": 3, "firstNodeId": 100, "lastNodeId": 199,
             "volumes": [{"size": "10Gi"}, {"size": "20Gi", "storageClass": "fast"}],
             "podOverrides": {"spec": {"priorityClassName": "data"}}}],
        "rack": {},
        "listeners": {"secure": {}, "external": {"type": "NodePort", "host": "kafka.example.org", "bootstrapNodePort": 30095}}})
}

fn service(name: &str, port: i32) -> (String, Service) {
    let service =
        json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 9095, "nodePort": port}]}});
    (name.to_owned(), serde_json::from_value(service).unwrap())
}

#[test]
fn the_objects_of_secure_pools_with_an_external_listener() {
    let found = Found {
        services: [
            service("k-external", 30095),
            service("k-external-100", 30100),
            service("k-external-101", 30101),
            service("k-external-102", 30102),
        ]
        .into(),
        racks: [
            ("n1".to_owned(), "zone-a".to_owned()),
            ("n2".to_owned(), String::new()),
        ]
        .into(),
        ..Found::default()
    };
    let kafka = validate(&cluster(secure()), &found, &images()).unwrap();
    assert!(!kafka.lacks_addresses());
    let built = build(&kafka).unwrap();
    // Without what is random.
    let mut text = String::new();
    for name in ["k-control-files", "k-store-files"] {
        let map: ConfigMap = built.get(name).unwrap();
        text += &format!("# {name}\n");
        for (file, content) in map.data.unwrap() {
            if !file.starts_with("log4j2") {
                text += &format!("## {file}\n{content}\n");
            }
        }
    }
    for service in services::services(&kafka)
        .into_iter()
        .chain(external_services(&kafka))
    {
        text += &serde_yaml_ng::to_string(&service.spec).unwrap();
    }
    for name in ["k-control", "k-store"] {
        let set: StatefulSet = built.get(name).unwrap();
        text += &serde_yaml_ng::to_string(&set.spec).unwrap();
    }
    insta::assert_snapshot!(text);
    let binding: Secret = built.get("k-binding").unwrap();
    let binding = binding.data.unwrap();
    assert_eq!(
        binding["external-bootstrap-servers"].0,
        b"kafka.example.org:30095"
    );
    assert_eq!(binding["security-protocol"].0, b"SASL_SSL");
    assert!(!binding.contains_key("private-key"));
    let admin: Secret = built.get("k-admin").unwrap();
    assert!(admin.data.unwrap().contains_key("private-key"));
}

#[test]
fn a_broker_without_an_address_waits_for_it() {
    let kafka = valid(secure());
    assert!(kafka.lacks_addresses());
    let map: ConfigMap = build(&kafka).unwrap().get("k-store-files").unwrap();
    let told: Vec<String> = map.data.unwrap().into_keys().collect();
    assert!(
        !told.iter().any(|name| name.contains("advertised")),
        "{told:?}"
    );
}

#[test]
fn a_stopped_cluster_has_no_pods_and_keeps_all_else() {
    let mut spec = json!({"nodes": 3, "storage": {"size": "2Gi"}});
    let runs = build(&valid(spec.clone())).unwrap().to_yaml().unwrap();
    spec["stopped"] = json!(true);
    let stopped = build(&valid(spec)).unwrap().to_yaml().unwrap();
    assert_eq!(stopped, runs.replace("replicas: 3\n", "replicas: 0\n"));
}

#[test]
fn wrong_overrides_are_told_with_their_field() {
    let mut spec = secure();
    spec["pools"][1]["podOverrides"] = json!({"spec": {"nodeselector": {"a": "b"}}});
    let told = build(&valid(spec)).unwrap_err().to_string();
    assert!(
        told.contains("spec.pools[store].podOverrides.spec.nodeselector"),
        "{told}"
    );
}
