use super::*;
use serde_json::{Value, json};

pub(in crate::hdfs) fn images() -> Images {
    Images::named(|name| format!("{name}:1"))
}

pub(in crate::hdfs) fn cluster(spec: Value) -> HdfsCluster {
    serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "HdfsCluster",
        "metadata": {"name": "h", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        "spec": spec,
    }))
    .unwrap()
}

pub(in crate::hdfs) fn found() -> Found {
    Found {
        zookeeper: Some("z-0.z-nodes.ns.svc:2181".into()),
        ..Found::default()
    }
}

pub(in crate::hdfs) fn one() -> Value {
    json!({"dataNodes": {"replicas": 1, "storage": {"size": "10Gi"}}})
}

pub(in crate::hdfs) fn ha() -> Value {
    json!({"nameNodes": {"replicas": 2}, "zookeeper": {"ensemble": "z"},
        "dataNodes": {"replicas": 3, "volumes": 2, "storage": {"size": "10Gi", "storageClass": "fast"}}})
}

pub(in crate::hdfs) fn valid(spec: Value) -> ValidatedHdfs {
    validate(&cluster(spec), &found(), &images()).unwrap()
}

#[test]
fn a_new_file_system_begins_only_where_there_was_none() {
    let founding = |spec: Value, status: Value, former: bool, asked: Option<&str>| {
        let mut cluster = cluster(spec);
        cluster.status = serde_json::from_value(status).unwrap();
        if let Some(asked) = asked {
            let annotations = [(ALLOW_FORMAT.to_owned(), asked.to_owned())];
            cluster.metadata.annotations = Some(annotations.into());
        }
        let found = Found {
            former_volumes: former,
            ..found()
        };
        validate(&cluster, &found, &images()).unwrap().founding
    };
    let new = || Value::Null;
    let formatted = || json!({"formatted": true, "allowedFormat": "1"});
    assert_eq!(founding(one(), new(), false, None), Founding::Allowed);
    assert_eq!(founding(one(), new(), true, None), Founding::Refused);
    assert_eq!(founding(ha(), new(), true, None), Founding::Done);
    assert_eq!(founding(one(), formatted(), false, None), Founding::Refused);
    assert_eq!(founding(ha(), formatted(), false, None), Founding::Done);
    // Each value of the annotation lets it once.
    let asked = |value| founding(ha(), formatted(), false, Some(value));
    assert_eq!(asked("1"), Founding::Done);
    assert_eq!(asked("2"), Founding::Allowed);
}

#[test]
fn what_cannot_work_is_refused() {
    let mut found = found();
    found.zookeeper = None;
    let told = |spec: Value| {
        let refused = validate(&cluster(spec), &found, &images()).unwrap_err();
        refused.to_string()
    };
    assert!(told(ha()).starts_with("spec.zookeeper: z: its connection details"));
    for (field, value, says) in [
        (
            "nameNodes",
            json!({"replicas": 4}),
            "spec.nameNodes.replicas: 4",
        ),
        ("replication", json!(2), "spec.replication: 2"),
        (
            "nameNodes",
            json!({"resources": {"memory": "128Mi"}}),
            "spec.nameNodes.resources.memory: 128Mi",
        ),
        ("hdfsSite", json!({"a": "\u{1}"}), "spec.hdfsSite[a]"),
    ] {
        let mut spec = one();
        spec[field] = value;
        let told = told(spec);
        assert!(told.starts_with(says), "{told}");
    }
}

#[test]
fn there_are_as_many_copies_as_data_nodes_can_hold() {
    assert_eq!(valid(one()).replication, 1);
    assert_eq!(valid(ha()).replication, 3);
    let mut ten = one();
    ten["dataNodes"]["replicas"] = json!(10);
    assert_eq!(valid(ten.clone()).replication, 3);
    ten["replication"] = json!(2);
    assert_eq!(valid(ten).replication, 2);
}

#[test]
fn the_heap_follows_the_memory() {
    assert_eq!(heap(RoleKind::NameNode, 512), 192);
    assert_eq!(heap(RoleKind::NameNode, 16_384), 12_288);
    assert_eq!(heap(RoleKind::JournalNode, 256), 96);
    assert_eq!(heap(RoleKind::DataNode, 4096), 1536);
}

#[test]
fn clients_know_one_name_node_by_its_host_and_several_by_a_name() {
    assert_eq!(valid(one()).uri(), "hdfs://h-namenode-0.ns.svc:8020");
    assert_eq!(valid(ha()).uri(), "hdfs://h");
}
