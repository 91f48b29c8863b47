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
