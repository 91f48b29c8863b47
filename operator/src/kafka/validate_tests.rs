use super::*;
use serde_json::{Value, json};

pub(in crate::kafka) fn images() -> Images {
    Images::named(|name| format!("{name}:1"))
}

pub(in crate::kafka) fn cluster(spec: Value) -> KafkaCluster {
    serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaCluster",
        "metadata": {"name": "k", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        "spec": spec,
    }))
    .unwrap()
}

pub(in crate::kafka) fn valid(spec: Value) -> ValidatedKafka {
    validate(&cluster(spec), &Found::default(), &images()).unwrap()
}

fn pool(name: &str, roles: Value, replicas: i32, first: i32, last: i32) -> Value {
    json!({"name": name, "roles": roles, "replicas": replicas, "firstNodeId": first, "lastNodeId": last,
        "volumes": [{"size": "1Gi"}]})
}

#[test]
fn a_small_cluster_gets_defaults() {
    let valid = valid(json!({"nodes": 1, "storage": {"size": "1Gi"}}));
    assert_eq!(valid.image, "kafka:1");
    assert_eq!(valid.pools[0].heap_mebibytes, 192);
    assert_eq!(valid.pools[0].set, "k");
    assert_eq!(valid.cluster_id, "a6e4EJ2tEdGAtADAT9QwyA");
    assert_eq!(valid.cluster_id.len(), 22);
}

#[test]
fn nodes_of_pools_have_the_ids_of_their_range() {
    let valid = valid(json!({"pools": [
        pool("control", json!(["controller"]), 3, 0, 9),
        pool("store", json!(["broker"]), 2, 100, 199)]}));
    let nodes: Vec<(i32, String, bool)> = valid
        .nodes()
        .map(|n| (n.id, n.host, n.controller))
        .collect();
    assert_eq!(nodes.len(), 5);
    assert_eq!(
        nodes[4],
        (101, "k-store-1.k-nodes.ns.svc".to_owned(), false)
    );
    assert_eq!(valid.broker_count(), 2);
    assert!(!valid.is_combined());
}

#[test]
fn what_cannot_be_built_names_field_value_and_cure() {
    let storage = json!({"size": "1Gi"});
    let both = json!(["controller", "broker"]);
    for (spec, field, value) in [
        (json!({"nodes": 0, "storage": storage}), "spec.nodes", "0"),
        (json!({"nodes": 10, "storage": storage}), "spec.nodes", "10"),
        (json!({"nodes": 1}), "spec", "nodes"),
        (
            json!({"nodes": 1, "storage": storage, "pools": [pool("a", both.clone(), 1, 0, 9)]}),
            "spec",
            "nodes",
        ),
        (
            json!({"pools": [pool("a", both.clone(), 4, 0, 2)]}),
            "spec.pools[a].replicas",
            "4",
        ),
        (
            json!({"pools": [pool("a", both.clone(), 1, 0, 9), pool("b", both.clone(), 1, 9, 19)]}),
            "spec.pools[b].firstNodeId",
            "9",
        ),
        (
            json!({"pools": [pool("a", json!(["broker"]), 1, 0, 9)]}),
            "spec.pools",
            "Controller",
        ),
        (
            json!({"pools": [pool("a", json!(["controller"]), 1, 0, 9), pool("b", json!(["broker"]), 0, 10, 19)]}),
            "spec.pools",
            "Broker",
        ),
        (
            json!({"nodes": 1, "storage": {"size": "much"}}),
            "spec.storage.size",
            "much",
        ),
        (
            json!({"nodes": 1, "storage": storage, "resources": {"memory": "64Mi"}}),
            "spec.resources.memory",
            "64Mi",
        ),
        (
            json!({"nodes": 1, "storage": storage, "config": {"node.id": "7"}}),
            "spec.config[node.id]",
            "7",
        ),
        (
            json!({"nodes": 1, "storage": storage, "config": {"listener.name.secure.x": "7"}}),
            "spec.config[listener.name.secure.x]",
            "7",
        ),
        (
            json!({"nodes": 1, "storage": storage, "config": {"a b": "7"}}),
            "spec.config[a b]",
            "7",
        ),
        (
            json!({"nodes": 1, "storage": storage, "config": {"a": "1\nlog.dir=/"}}),
            "spec.config[a]",
            "1",
        ),
    ] {
        match validate(&cluster(spec), &Found::default(), &images()) {
            Err(Error::Invalid(invalid)) => {
                assert_eq!(invalid.field, field);
                assert!(invalid.value.starts_with(value), "{}", invalid.value);
                assert!(!invalid.cure.is_empty());
            }
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn a_cluster_is_founded_once() {
    let three = json!({"nodes": 3, "storage": {"size": "1Gi"}});
    let one = json!({"nodes": 1, "storage": {"size": "1Gi"}});
    let founding = |spec: &Value, status: Value, allow: Option<&str>, former: bool| {
        let mut cluster = cluster(spec.clone());
        cluster.status = serde_json::from_value(status).unwrap();
        if let Some(allow) = allow {
            cluster
                .annotations_mut()
                .insert(ALLOW_FORMAT.into(), allow.into());
        }
        let found = Found {
            former_volumes: former,
            ..Found::default()
        };
        validate(&cluster, &found, &images()).unwrap().founding
    };
    let never = json!({});
    let before = json!({"bootstrapped": true});
    assert_eq!(
        founding(&three, never.clone(), None, false),
        Founding::By(0)
    );
    assert_eq!(
        founding(&three, before.clone(), None, false),
        Founding::Done
    );
    assert_eq!(
        founding(&one, before.clone(), None, false),
        Founding::Refused
    );
    // A former cluster's volumes are a cluster, and so is a node that was ready.
    assert_eq!(founding(&three, never.clone(), None, true), Founding::Done);
    assert_eq!(
        founding(&one, json!({"readyNodes": 1}), None, false),
        Founding::Refused
    );
    // Each value of the annotation is followed once.
    assert_eq!(founding(&one, before, Some("a"), false), Founding::By(0));
    let followed = json!({"bootstrapped": true, "allowedFormat": "a"});
    assert_eq!(
        founding(&one, followed.clone(), Some("a"), false),
        Founding::Refused
    );
    assert_eq!(founding(&one, followed, Some("b"), false), Founding::By(0));
}
