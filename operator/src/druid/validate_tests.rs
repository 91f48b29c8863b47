//! Tests of [`super`], and what other tests build.

use serde_json::{Value, json};

use super::super::memory::MEBIBYTE;
use super::*;
use crate::pods::secret_data;

pub(in crate::druid) fn cluster(spec: Value) -> DruidCluster {
    serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "DruidCluster",
        "metadata": {"name": "d", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        "spec": spec,
    }))
    .unwrap()
}

/// The smallest.
pub(in crate::druid) fn small() -> Value {
    json!({"zookeeper": {"ensemble": "z"}, "deepStorage": {"volume": {"size": "2Gi"}},
        "historicals": {"storage": {"size": "2Gi"}}, "workers": {}})
}

/// One of everything that there is, on HDFS and PostgreSQL.
pub(in crate::druid) fn large() -> Value {
    json!({"zookeeper": {"ensemble": "z"}, "deepStorage": {"hdfs": "h"}, "metadata": {"bindingSecret": "pg"},
        "coordinators": {"replicas": 2, "resources": {"memory": "1Gi"}},
        "brokers": {"replicas": 2, "resources": {"memory": "2Gi", "cpu": "500m"}},
        "historicals": {"replicas": 3, "storage": {"size": "100Gi", "storageClass": "fast"}, "resources": {"memory": "4Gi"}},
        "workers": {"kind": "middleManager", "replicas": 2, "capacity": 3, "resources": {"memory": "4Gi"}},
        "routers": {"replicas": 2}, "extensions": ["druid-parquet-extensions"]})
}

fn secret(data: BTreeMap<String, k8s_openapi::ByteString>) -> Secret {
    Secret {
        data: Some(data),
        ..Secret::default()
    }
}

pub(crate) fn found() -> Found {
    Found {
        templates: BTreeMap::new(),
        zookeeper: Some("z-0.z-nodes.ns.svc:2181".into()),
        hdfs: Some(secret(secret_data([
            ("type", "hdfs".to_owned()),
            ("uri", "hdfs://h".to_owned()),
            ("name-nodes", "h-0:8020,h-1:8020".to_owned()),
        ]))),
        postgres: Some(secret(secret_data([
            ("host", "pg.ns.svc".to_owned()),
            ("username", "druid".to_owned()),
            ("password", "hidden".to_owned()),
            ("database", "druid".to_owned()),
            ("ca.crt", "PEM".to_owned()),
        ]))),
        ..Found::default()
    }
}

pub(crate) fn images() -> Images {
    Images::named(|name| format!("{name}:1"))
}

pub(in crate::druid) fn valid(spec: Value) -> ValidatedDruid {
    validate(&cluster(spec), &found(), &images()).unwrap()
}

fn refused(change: impl Fn(&mut Value)) -> String {
    let mut spec = small();
    change(&mut spec);
    let told = validate(&cluster(spec), &found(), &images()).unwrap_err();
    told.to_string()
}

#[test]
fn what_cannot_work_is_refused_with_field_value_and_cure() {
    let told = refused(|spec| spec["brokers"]["resources"] = json!({"memory": "200Mi"}));
    assert!(
        told.starts_with(
            "spec.brokers.resources.memory: 200Mi: a broker does not start with so little"
        ),
        "{told}"
    );
    assert!(told.contains("give at least 352Mi"), "{told}");
    let told = refused(|spec| {
        spec["config"] = json!({"druid.processing.buffer.sizeBytes": "500MiB"});
        spec["routers"] = json!({});
    });
    assert!(
        told.starts_with("spec.historicals.resources.memory: 384Mi: a historical with druid.processing.buffer.sizeBytes"),
        "{told}"
    );
    let told = refused(|spec| spec["config"] = json!({"druid.processing.numThreads": "few"}));
    assert!(
        told.starts_with("spec.config[druid.processing.numThreads]: few"),
        "{told}"
    );
    let told = refused(|spec| spec["config"] = json!({"a": "b\ndruid.host=x"}));
    assert!(told.starts_with("spec.config[a]"), "{told}");
    let told = refused(|spec| spec["coordinators"] = json!({"replicas": 2}));
    assert!(told.starts_with("spec.coordinators.replicas: 2"), "{told}");
    let told = refused(|spec| spec["deepStorage"] = json!({}));
    assert!(
        told.starts_with("spec.deepStorage: none or several"),
        "{told}"
    );
    let told = refused(|spec| {
        spec["workers"] = json!({"kind": "middleManager", "resources": {"memory": "1Gi"}});
    });
    assert!(
        told.starts_with("spec.workers.resources.memory: 1Gi"),
        "{told}"
    );
}

#[test]
fn the_least_that_is_told_is_enough() {
    for (role, given) in [
        ("brokers", json!({})),
        ("historicals", json!({"storage": {"size": "1Gi"}})),
        ("workers", json!({"capacity": 5})),
        ("workers", json!({"kind": "middleManager", "capacity": 5})),
        ("coordinators", json!({})),
        ("routers", json!({})),
    ] {
        let with = |memory: &str| {
            let mut spec = small();
            spec[role] = given.clone();
            spec[role]["resources"] = json!({"memory": memory});
            validate(&cluster(spec), &found(), &images())
        };
        let told = with("64Mi").unwrap_err().to_string();
        let least = told.split("give at least ").nth(1).unwrap();
        assert!(with(least).is_ok(), "{role}: {told}");
    }
}

#[test]
fn what_is_referred_to_is_waited_for() {
    for (missing, reason) in [
        (
            Found {
                zookeeper: None,
                ..found()
            },
            "ZooKeeperMissing",
        ),
        (
            Found {
                hdfs: None,
                ..found()
            },
            "DeepStorageMissing",
        ),
        (
            Found {
                postgres: None,
                ..found()
            },
            "MetadataMissing",
        ),
    ] {
        match validate(&cluster(large()), &missing, &images()) {
            Err(Error::Missing { reason: told, .. }) => assert_eq!(told, reason),
            other => panic!("{reason}: {other:?}"),
        }
    }
}

#[test]
fn a_middle_manager_divides_its_memory_among_its_tasks() {
    let druid = valid(large());
    let worker = druid.role(RoleKind::Worker).unwrap();
    let each = worker.tasks.unwrap().each.unwrap();
    let taken = 3 * (each.heap + each.direct) + worker.memory.heap + worker.memory.direct;
    assert!(taken < 4096, "{taken}");
    assert!(each.direct * MEBIBYTE >= each.processing.unwrap().needed());
}

#[test]
fn hdfs_and_postgres_are_found_by_their_bindings() {
    let druid = valid(large());
    let DeepStorage::Hdfs(hdfs) = &druid.deep_storage else {
        panic!("{:?}", druid.deep_storage)
    };
    assert_eq!(hdfs.uri, "hdfs://h/millrace/druid/d");
    assert_eq!(hdfs.name_nodes, ["h-0:8020", "h-1:8020"]);
    assert_eq!(hdfs.user, "druid");
    let Metadata::Postgres(postgres) = &druid.metadata else {
        panic!("{:?}", druid.metadata)
    };
    assert_eq!(
        postgres.uri,
        "jdbc:postgresql://pg.ns.svc:5432/druid?sslmode=verify-full&sslrootcert=/etc/postgres/ca.crt"
    );
    assert!(!postgres.login.contains("hidden"));
}
