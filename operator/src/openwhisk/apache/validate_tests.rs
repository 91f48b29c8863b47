//! Tests of [`super`], and what other tests build.

use serde_json::{Value, json};

use super::*;
use crate::pods::secret_data;

pub(in crate::openwhisk) fn whisk(spec: Value) -> OpenWhisk {
    serde_json::from_value(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "OpenWhisk",
        "metadata": {"name": "w", "namespace": "ns", "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        "spec": spec,
    }))
    .unwrap()
}

/// The smallest on a Kafka and a MongoDB of the namespace.
pub(in crate::openwhisk) fn apache() -> Value {
    json!({"mode": "apache", "apache": {"kafka": {"cluster": "k"}, "mongo": {"cluster": "m"}}})
}

/// One server.
pub(in crate::openwhisk) fn lean() -> Value {
    json!({"mode": "lean", "apache": {"mongo": {"cluster": "m"}}})
}

/// Users, several invokers, own images and settings.
pub(in crate::openwhisk) fn secure() -> Value {
    json!({"mode": "apache", "podOverrides": {"spec": {"priorityClassName": "high"}}, "apache": {
        "kafka": {"cluster": "k", "user": "u", "replicationFactor": 3},
        "mongo": {"cluster": "m", "user": "whisk", "database": "whisks"},
        "controller": {"image": "r.io/controller:2", "resources": {"memory": "2Gi", "cpu": "1"}},
        "invokers": {"replicas": 3, "image": "r.io/invoker:2", "actionMemory": "8Gi",
            "podOverrides": {"spec": {"nodeSelector": {"disk": "ssd"}}}},
        "runtimes": [{"kind": "python:3", "image": "r.io/team/python:3"}],
        "config": {"whisk.time-limit.max": "10 m"}}})
}

const EMBEDDED: &str = "r.io/millrace/millrace-whisk:1";

fn auth() -> (String, bool) {
    ("uuid:key".into(), true)
}

fn secret<const N: usize>(entries: [(&str, &str); N]) -> Option<Secret> {
    Some(Secret {
        data: Some(secret_data(
            entries.map(|(key, value)| (key, value.to_owned())),
        )),
        ..Secret::default()
    })
}

fn found(secure: bool) -> Found {
    if !secure {
        return Found {
            kafka: secret([("bootstrap-servers", "k-bootstrap.ns.svc:9092")]),
            mongo: secret([
                ("type", "mongodb"),
                (
                    "uri",
                    "mongodb://m-mongo.ns.svc:27017/millrace?directConnection=true",
                ),
                ("database", "millrace"),
            ]),
        };
    }
    Found {
        kafka: secret([
            ("bootstrap-servers", "k-bootstrap.ns.svc:9094"),
            ("security-protocol", "SASL_SSL"),
            ("sasl-mechanism", "SCRAM-SHA-512"),
            ("username", "w"),
            ("password", "a\"b"),
            ("certificates", AUTHORITY),
        ]),
        mongo: secret([
            ("type", "mongodb"),
            (
                "uri",
                "mongodb://whisk:hidden@m-0.m-nodes.ns.svc:27017/whisks?replicaSet=m&authSource=admin&tls=true",
            ),
            ("username", "whisk"),
            ("password", "hidden"),
            ("database", "whisks"),
            ("ca.crt", AUTHORITY),
        ]),
    }
}

/// A certificate of nobody's, for it is parsed.
const AUTHORITY: &str = include_str!("test_authority.pem");

pub(in crate::openwhisk) fn valid(spec: Value) -> ValidatedApache {
    let secure = spec["apache"]["kafka"]["user"].is_string();
    validate(&whisk(spec), &found(secure), auth(), EMBEDDED).unwrap()
}

fn told(spec: Value, found: &Found) -> String {
    let error = validate(&whisk(spec), found, auth(), EMBEDDED).unwrap_err();
    error.to_string()
}

#[test]
fn what_is_missing_is_told_with_field_value_and_cure() {
    let none = Found::default();
    assert_eq!(
        told(json!({"mode": "apache"}), &none),
        "spec.apache: absent: the servers of Apache OpenWhisk keep everything in a MongoDB; add spec.apache.mongo, and for mode apache spec.apache.kafka"
    );
    let mut spec = apache();
    spec["apache"].as_object_mut().unwrap().remove("kafka");
    assert_eq!(
        told(spec, &found(false)),
        "spec.apache.kafka: absent: in mode apache controller and invokers talk to each other by Kafka; add spec.apache.kafka with the cluster or its bindingSecret, or take mode lean"
    );
    assert!(told(apache(), &none).starts_with(
        "spec.apache.mongo.cluster: m: Secret m-binding: there is no Secret of that name"
    ));
    let mongo_only = Found {
        kafka: None,
        ..found(false)
    };
    assert!(told(apache(), &mongo_only).starts_with(
        "spec.apache.kafka.cluster: k: Secret k-binding: there is no Secret of that name"
    ));
    assert!(
        told(secure(), &none).starts_with(
            "spec.apache.mongo.user: whisk: Secret m-whisk-binding: there is no Secret"
        )
    );
    let little = json!({"mode": "lean", "apache": {"mongo": {"cluster": "m"}, "controller": {"resources": {"memory": "64Mi"}}}});
    assert!(
        told(little, &found(false)).starts_with("spec.apache.controller.resources.memory: 64Mi: ")
    );
    let mut audited = lean();
    audited["audit"] =
        json!({"gatewayUrl": "http://g", "tokenSecretRef": {"name": "s", "key": "k"}});
    assert_eq!(
        told(audited, &found(false)),
        "spec.audit: http://g: only mode embedded tells which actions ran; remove spec.audit, or take mode embedded"
    );
}

#[test]
fn the_heap_follows_from_the_memory() {
    let small = valid(apache());
    assert_eq!(small.controller.heap, 512);
    assert_eq!(small.invokers.unwrap().heap, 384);
    let large = valid(secure());
    assert_eq!(large.controller.heap, 2048 - 256);
    assert_eq!(large.action_mebibytes, 8192);
    assert_eq!(server("f", None, "384Mi").unwrap().heap, 192);
}

#[test]
fn a_lean_one_needs_no_kafka_and_has_no_invokers() {
    let lean = valid(lean());
    assert!(lean.is_lean() && lean.kafka.is_none());
    assert_eq!(lean.uri(), "http://w.ns.svc:3233");
    assert_eq!(lean.mongo.database, "millrace");
}
