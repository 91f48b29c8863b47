//! What is founded: a small Platform with everything that rules are about, a Kafka of three nodes, and what single rows need.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::drill_support::{LIMIT, NAMESPACE, Nodes, condition};

/// Between two canaries while nothing else is asked for, in seconds.
pub const CANARY: u32 = 30;
/// Zones that can be read.
pub const ZONES: &str = r#"{"type": "FeatureCollection", "features": [{"type": "Feature", "id": "old-town",
    "properties": {"name": "Old town", "kind": "curfew", "lead_seconds": 90,
        "curfew": {"from": "22:00", "to": "06:00", "time_zone": "Europe/Berlin"}},
    "geometry": {"type": "Polygon", "coordinates": [[[8.67, 50.10], [8.70, 50.10], [8.70, 50.12], [8.67, 50.12], [8.67, 50.10]]]}}]}"#;

/// A certificate, and its key.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }
}

/// The Secret with the gateway's certificate.
pub fn certificate(certificate: &str, key: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "drill-tls", "namespace": NAMESPACE},
        "data": {"tls.crt": STANDARD.encode(certificate), "tls.key": STANDARD.encode(key)},
    })
}

/// The ConfigMap with the zones of detect.
pub fn zones(text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "drill-zones", "namespace": NAMESPACE}, "data": {"city.geojson": text},
    })
}

pub fn resource(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
    })
}

fn platform() -> Value {
    let spec = json!({
        "profile": "dev",
        "kafka": {"storage": {"size": "1Gi"}, "resources": {"memory": "512Mi", "cpu": "50m"}},
        // A producer that waits for a dead Kafka is refused soon.
        "gateway": {"tls": {"secretName": "drill-tls"}, "config": {"kafkaTimeoutMs": 2000}},
        "detect": {"zones": [{"configMap": "drill-zones"}]},
        "hdfs": {"dataNodes": {"storage": {"size": "2Gi"}}},
        "archive": {"config": {"rollInterval": "20s"}},
        "postgres": {},
        "druid": {"segments": {"size": "2Gi"}},
        "openwhisk": {"storage": {"size": "256Mi"}},
        "warnings": {"language": "en"},
        "flow": {"canarySeconds": CANARY, "stuckSeconds": 40},
    });
    resource("Platform", "d", &spec)
}

/// Three nodes that are brokers and controllers, with two volumes each, and one thread for requests.
fn kafka() -> Value {
    let pool = json!({
        "name": "n", "roles": ["controller", "broker"], "replicas": 3, "firstNodeId": 0, "lastNodeId": 8,
        "volumes": [{"size": "512Mi"}, {"size": "256Mi"}], "resources": {"memory": "448Mi", "cpu": "20m"},
    });
    let config = json!({
        "num.io.threads": "1",
        // What clients write as fast as they can is removed sooner than it fills a small volume.
        "log.retention.check.interval.ms": "10000", "log.segment.delete.delay.ms": "5000",
    });
    let spec = json!({"pools": [pool], "config": config});
    resource("KafkaCluster", "k", &spec)
}

/// Topics: name, Kafka, partitions, copies, settings.
fn topics() -> Vec<Value> {
    let topic = |name: &str, kafka: &str, partitions: u32, copies: u32, config: Value| {
        let spec = json!({
            "kafka": kafka, "partitions": partitions, "replicationFactor": copies, "schema": "telemetry", "config": config,
        });
        resource("KafkaTopic", name, &spec)
    };
    vec![
        topic("all", "k", 3, 3, json!({"min.insync.replicas": "3"})),
        topic("one", "k", 6, 1, json!({})),
        topic(
            "filled",
            "k",
            12,
            3,
            json!({"min.insync.replicas": "1", "retention.bytes": "8388608", "segment.bytes": "4194304"}),
        ),
        // Many partitions: each is flushed for itself, and one request has records of several.
        topic(
            "flushed",
            "k",
            60,
            1,
            json!({"flush.messages": "1", "retention.bytes": "2097152", "segment.bytes": "1048576"}),
        ),
        topic("junk", "d-kafka", 1, 1, json!({})),
    ]
}

/// An OpenWhisk that tells its runs to something that is no gateway, one that is left alone, and what brings records of the topic
/// `junk` to an action, without a topic of dead letters.
fn actions() -> Vec<Value> {
    let storage = json!({"size": "64Mi"});
    let audited = json!({
        "storage": storage, "deletionPolicy": "Delete",
        "audit": {"gatewayUrl": "http://kubernetes.default.svc:443",
                  "tokenSecretRef": {"name": "d-gateway", "key": "activations-token"}},
    });
    let assess = json!({"openwhisk": "audited", "actionName": "assess-vehicle", "code": {"builtin": "assess-vehicle"}});
    let junk = json!({"topic": "junk", "action": "audited-assess", "attempts": 1});
    vec![
        resource("OpenWhisk", "audited", &audited),
        resource(
            "OpenWhisk",
            "spare",
            &json!({"storage": storage, "deletionPolicy": "Delete"}),
        ),
        resource("Action", "audited-assess", &assess),
        resource("EventSource", "junk", &junk),
    ]
}

/// What has to be settled and what has to be available before the first row.
const SETTLED: [(&str, &str); 10] = [
    ("kafkacluster", "k"),
    ("kafkacluster", "d-kafka"),
    ("streamjob", "d-gateway"),
    ("streamjob", "d-detect"),
    ("streamjob", "d-archive"),
    ("hdfscluster", "d-hdfs"),
    ("postgrescluster", "d-postgres"),
    ("druidcluster", "d-druid"),
    ("openwhisk", "audited"),
    ("openwhisk", "spare"),
];
const AVAILABLE: [(&str, &str); 10] = [
    ("platform", "d"),
    ("kafkatopic", "all"),
    ("kafkatopic", "one"),
    ("kafkatopic", "filled"),
    ("kafkatopic", "flushed"),
    ("kafkatopic", "junk"),
    ("action", "audited-assess"),
    ("eventsource", "junk"),
    ("druidingestion", "d-telemetry"),
    ("openwhisk", "d-whisk"),
];

/// Makes all of it, unless a run before left it, and gives how long that took.
pub fn found(nodes: &Nodes) -> Duration {
    let started = Instant::now();
    nodes.found();
    let pair = Pair::new();
    nodes.apply(&certificate(&pair.certificate, &pair.key));
    nodes.apply(&zones(ZONES));
    nodes.apply(&platform());
    nodes.apply(&kafka());
    for object in actions().iter().chain(&topics()) {
        nodes.apply(object);
    }
    nodes.wait_settled("the platform and the Kafka beside it", &SETTLED);
    for (kind, name) in AVAILABLE {
        nodes.wait(&format!("{kind} {name}"), LIMIT, || {
            let seen = nodes.get(kind, name)?;
            (condition(&seen, "Available") == Some("True")).then_some(())
        });
    }
    started.elapsed()
}
