//! Every rule of the definitions accepts and refuses.

use serde_json::{Value, json};

use crate::support::Scene;

fn kafka() -> Value {
    json!({"nodes": 1, "storage": {"size": "2Gi"}})
}

fn topic() -> Value {
    json!({"kafka": "k", "partitions": 3, "schema": "alert"})
}

fn action() -> Value {
    json!({"openwhisk": "w", "code": {"builtin": "assess-vehicle"}})
}

/// `base` with one field changed; null removes it.
fn with(mut base: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = base.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(field);
    } else {
        parent.insert(field.to_owned(), value);
    }
    base
}

pub async fn good_resources_are_accepted(scene: &Scene) {
    let everything = json!({"kafka": {}, "gateway": {"service": {"type": "NodePort", "nodePorts": {"http": 30080}}},
        "detect": {"rules": {"any": {"thing": [1, 2]}}}, "openwhisk": {}, "warnings": {"language": "pt-BR"}});
    let told = json!({"kafka": {}, "gateway": {}, "detect": {"zones": [{"configMap": "a.b"}, {"configMap": "c", "key": "k.geojson"}]},
        "openwhisk": {}, "warnings": {"channels": ["vehicle", "webhook", "smtp"],
            "webhook": {"url": "https://example.org/h", "secretRef": {"name": "s", "key": "k"}},
            "smtp": {"secretRef": {"name": "s", "key": "k"}, "from": "a@example.org", "to": ["b@example.org"]}}});
    let exposed = |gateway: Value| json!({"kafka": {}, "gateway": gateway});
    for (kind, name, spec) in [
        ("KafkaCluster", "good", kafka()),
        (
            "KafkaCluster",
            "tuned",
            with(kafka(), "/config", json!({"log.retention.hours": "5"})),
        ),
        ("KafkaTopic", "good.with-dots", topic()),
        (
            "KafkaTopic",
            "named",
            with(topic(), "/topicName", json!("Other_name")),
        ),
        ("OpenWhisk", "good", json!({})),
        (
            "OpenWhisk",
            "sized",
            json!({"mode": "embedded", "storage": {"size": "3Gi"}, "resources": {"memory": "256Mi"}}),
        ),
        ("Action", "good", action()),
        (
            "Action",
            "chain",
            json!({"openwhisk": "w", "sequence": ["a", "b"]}),
        ),
        (
            "Action",
            "own",
            json!({"openwhisk": "w", "code": {"configMap": {"name": "c", "key": "k.zip"}},
            "parameters": {"deep": {"er": true}}, "parametersFrom": [{"name": "p", "secretRef": {"name": "s", "key": "k"}}],
            "limits": {"timeoutMilliseconds": 100, "memoryMegabytes": 512}}),
        ),
        (
            "StreamJob",
            "gateway",
            json!({"job": "gateway", "service": {"type": "LoadBalancer"}, "config": {"x": {"y": 1}}}),
        ),
        (
            "StreamJob",
            "detect",
            json!({"job": "detect", "bindings": ["a", "b.c"], "replicas": 0}),
        ),
        (
            "EventSource",
            "good",
            json!({"topic": "t", "action": "a", "deadLetterTopic": "d"}),
        ),
        (
            "EventSource",
            "batches",
            json!({"topic": "t", "trigger": "g", "filter": "zone IS NULL", "batch": {"maximumRecords": 10, "windowMilliseconds": 100},
                "bisect": true, "maximumAgeSeconds": 60}),
        ),
        (
            "EventSource",
            "part-by-part",
            json!({"topic": "t", "action": "a", "batch": {}, "partialFailure": true}),
        ),
        (
            "EventSource",
            "switches-off",
            json!({"topic": "t", "action": "a", "partialFailure": false, "bisect": false}),
        ),
        (
            "StreamJob",
            "files",
            json!({"job": "detect", "files": [{"configMap": "a", "directory": "/etc/millrace/zones/a"}]}),
        ),
        (
            "StreamJob",
            "secure",
            json!({"job": "gateway", "tls": {"secretName": "s", "only": true},
                "service": {"type": "LoadBalancer", "annotations": {"a/b": "c"}, "nodePorts": {"https": 30443, "mqtts": 30883},
                    "loadBalancerSourceRanges": ["192.0.2.0/24", "2001:db8::/32"]}}),
        ),
        ("Platform", "told", told),
        (
            "Platform",
            "own-certificate",
            exposed(
                json!({"tls": {"secretName": "s"}, "service": {"type": "NodePort", "nodePorts": {"http": 30081, "https": 30444}}}),
            ),
        ),
        (
            "Platform",
            "passed-through",
            exposed(
                json!({"tls": {"certManager": {"issuerRef": {"name": "i"}, "dnsNames": ["a.example.org"]}, "only": true},
                "ingress": {"host": "a.example.org", "backend": "https"},
                "gatewayApi": {"parentRefs": [{"name": "a".repeat(70), "namespace": "infra"}], "hostnames": ["*.example.org", "cars"],
                    "mqttParentRefs": [{"name": "g", "sectionName": "m.1"}]}}),
            ),
        ),
        (
            "Platform",
            "standard",
            json!({"profile": "standard", "kafka": {}}),
        ),
        ("Platform", "empty", json!({})),
        ("Platform", "all", everything),
    ] {
        scene
            .apply(kind, name, spec)
            .await
            .unwrap_or_else(|message| panic!("{kind} {name}: {message}"));
    }
}

pub async fn bad_resources_are_refused_with_field_and_cure(scene: &Scene) {
    let long = "a".repeat(41);
    let warned = |warnings: Value| json!({"kafka": {}, "gateway": {}, "detect": {}, "openwhisk": {}, "warnings": warnings});
    for (kind, name, spec, says) in [
        (
            "KafkaCluster",
            "x",
            with(kafka(), "/storage/size", json!("1Mi")),
            &["storage.size: 1Mi", "at least 64Mi"][..],
        ),
        (
            "KafkaCluster",
            "x",
            with(kafka(), "/storage/size", json!("lots")),
            &["spec.storage.size", "lots"],
        ),
        (
            "KafkaCluster",
            "x",
            with(kafka(), "/resources", json!({"memory": "100Mi"})),
            &["spec.resources", "100Mi", "256Mi"],
        ),
        (
            "KafkaCluster",
            "x",
            with(kafka(), "/config", json!({"node.id": "1"})),
            &["spec.config", "remove it"],
        ),
        (
            "KafkaCluster",
            "x.y",
            kafka(),
            &["metadata.name", "choose another name"],
        ),
        (
            "KafkaCluster",
            &long,
            kafka(),
            &["metadata.name", "40 characters"],
        ),
        (
            "KafkaTopic",
            "x",
            with(topic(), "/schema", json!("gossip")),
            &["spec.schema", "gossip", "telemetry"],
        ),
        (
            "KafkaTopic",
            "x",
            with(topic(), "/schema", Value::Null),
            &["spec.schema", "Required"],
        ),
        (
            "KafkaTopic",
            "x",
            with(topic(), "/partitions", json!(0)),
            &["spec.partitions", "greater than or equal to 1"],
        ),
        (
            "KafkaTopic",
            "x",
            with(topic(), "/replicationFactor", json!(9)),
            &["spec.replicationFactor", "9"],
        ),
        (
            "KafkaTopic",
            "x",
            with(topic(), "/topicName", json!("a b")),
            &["spec.topicName", "a b"],
        ),
        (
            "OpenWhisk",
            "x",
            json!({"mode": "apache"}),
            &["spec.mode", "apache", "embedded"],
        ),
        (
            "OpenWhisk",
            "x",
            json!({"resources": {"memory": "64Mi"}}),
            &["spec.resources", "256Mi"],
        ),
        ("OpenWhisk", "0x", json!({}), &["metadata.name"]),
        (
            "Action",
            "x",
            with(action(), "/code", Value::Null),
            &["spec.code", "action without code", "spec.code.builtin"],
        ),
        (
            "Action",
            "x",
            with(action(), "/code", json!({})),
            &["spec.code", "action without code"],
        ),
        (
            "Action",
            "x",
            with(action(), "/sequence", json!(["a"])),
            &["spec.sequence", "remove one of the two"],
        ),
        (
            "Action",
            "x",
            with(
                action(),
                "/code/configMap",
                json!({"name": "c", "key": "k"}),
            ),
            &["spec.code.configMap", "one place"],
        ),
        (
            "Action",
            "x",
            json!({"openwhisk": "w", "sequence": ["a"], "parametersFrom": [{"name": "p", "secretRef": {"name": "s", "key": "k"}}]}),
            &["spec.parametersFrom", "component"],
        ),
        (
            "Action",
            "x",
            with(action(), "/limits", json!({"timeoutMilliseconds": 99})),
            &["timeoutMilliseconds", "99", "100 to 300000"],
        ),
        (
            "Action",
            "x",
            with(action(), "/limits", json!({"timeoutMilliseconds": 600_001})),
            &["timeoutMilliseconds", "600001"],
        ),
        (
            "Action",
            "x",
            with(action(), "/limits", json!({"memoryMegabytes": 127})),
            &["memoryMegabytes", "127", "128 to 512"],
        ),
        (
            "Action",
            "x",
            with(action(), "/limits", json!({"memoryMegabytes": 513})),
            &["memoryMegabytes", "513"],
        ),
        (
            "Action",
            "x",
            with(action(), "/limits", json!({"logsMegabytes": 11})),
            &["logsMegabytes", "11"],
        ),
        (
            "StreamJob",
            "x",
            json!({"job": "sing"}),
            &["spec.job", "sing", "gateway"],
        ),
        (
            "StreamJob",
            "x",
            json!({"job": "detect", "service": {}}),
            &["spec.service", "detect", "remove spec.service"],
        ),
        (
            "StreamJob",
            "x",
            json!({"job": "gateway", "service": {"nodePorts": {"http": 30000}}}),
            &["service.nodePorts", "ClusterIP", "NodePort"],
        ),
        (
            "StreamJob",
            "x",
            json!({"job": "gateway", "replicas": -1}),
            &["spec.replicas", "-1"],
        ),
        (
            "StreamJob",
            "x.y",
            json!({"job": "gateway"}),
            &["metadata.name"],
        ),
        (
            "EventSource",
            "x",
            json!({"action": "a"}),
            &["spec.topic", "Required"],
        ),
        (
            "EventSource",
            "x",
            json!({"topic": "t"}),
            &["spec.action", "spec.trigger"],
        ),
        (
            "EventSource",
            "x",
            json!({"topic": "t", "action": "a", "trigger": "g"}),
            &["spec.trigger", "remove one"],
        ),
        (
            "EventSource",
            "x",
            json!({"topic": "t", "action": "a", "partialFailure": true}),
            &["spec.partialFailure", "add spec.batch"],
        ),
        (
            "EventSource",
            "x",
            json!({"topic": "t", "action": "a", "bisect": true}),
            &["spec.bisect", "add spec.batch"],
        ),
        (
            "EventSource",
            "x",
            json!({"topic": "t", "trigger": "g", "batch": {}, "partialFailure": true}),
            &["spec.partialFailure", "set spec.action"],
        ),
        (
            "EventSource",
            "x",
            json!({"topic": "t", "action": "a", "batch": {"maximumRecords": 0}}),
            &["spec.batch.maximumRecords", "0"],
        ),
        (
            "EventSource",
            "x",
            json!({"topic": "t", "action": "a", "maximumAgeSeconds": 0}),
            &["spec.maximumAgeSeconds", "0"],
        ),
        (
            "EventSource",
            "x",
            json!({"topic": "t", "action": "a", "filter": "a".repeat(2049)}),
            &["spec.filter", "2048"],
        ),
        (
            "StreamJob",
            "x",
            json!({"job": "detect", "tls": {"secretName": "s"}}),
            &["spec.tls", "detect", "remove spec.tls"],
        ),
        (
            "StreamJob",
            "x",
            json!({"job": "gateway", "bindings": ["tls"], "tls": {"secretName": "s"}}),
            &["spec.bindings", "rename"],
        ),
        (
            "StreamJob",
            "x",
            json!({"job": "gateway", "service": {"type": "NodePort", "nodePorts": {"https": 30443}}}),
            &["spec.service.nodePorts", "set spec.tls"],
        ),
        (
            "StreamJob",
            "x",
            json!({"job": "gateway", "tls": {"secretName": "s", "only": true}, "service": {"type": "NodePort", "nodePorts": {"mqtt": 30883}}}),
            &["spec.service.nodePorts", "tls.only"],
        ),
        (
            "StreamJob",
            "x",
            json!({"job": "gateway", "service": {"loadBalancerSourceRanges": ["192.0.2.0/24"]}}),
            &[
                "service.loadBalancerSourceRanges",
                "ClusterIP",
                "LoadBalancer",
            ],
        ),
        (
            "StreamJob",
            "x",
            json!({"job": "gateway", "service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.1"]}}),
            &["loadBalancerSourceRanges", "192.0.2.0/24"],
        ),
        (
            "StreamJob",
            "x",
            json!({"job": "detect", "files": [{"configMap": "a", "directory": "/etc/passwd"}]}),
            &["spec.files", "directory", "/etc/passwd"],
        ),
        (
            "StreamJob",
            "x",
            json!({"job": "detect", "files": [{"configMap": "a", "directory": "/etc/millrace/../a"}]}),
            &["spec.files", "directory"],
        ),
        (
            "EventSource",
            "x",
            json!({"topic": "t", "action": "a", "deadLetterTopic": "t"}),
            &["spec.deadLetterTopic", "another KafkaTopic"],
        ),
        (
            "EventSource",
            "x",
            json!({"topic": "t", "action": "a", "backoff": {"initialMilliseconds": 5000, "maximumMilliseconds": 10}}),
            &["spec.backoff.initialMilliseconds", "raise the second"],
        ),
        (
            "EventSource",
            "x.y",
            json!({"topic": "t", "action": "a"}),
            &["metadata.name"],
        ),
        (
            "Platform",
            "x",
            json!({"profile": "huge"}),
            &["spec.profile", "huge", "dev", "standard"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"tls": {}}}),
            &["spec.gateway.tls", "set tls.secretName or tls.certManager"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"tls": {"secretName": "s", "certManager": {"issuerRef": {"name": "i"}, "dnsNames": ["a"]}}}}),
            &["spec.gateway.tls.certManager", "remove one"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"service": {"type": "NodePort", "nodePorts": {"mqtts": 30883}}}}),
            &["spec.gateway.service.nodePorts", "set spec.gateway.tls"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"tls": {"secretName": "s", "only": true}, "service": {"type": "NodePort", "nodePorts": {"http": 30080}}}}),
            &["spec.gateway.service.nodePorts", "tls.only"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"ingress": {"host": "a.example.org", "backend": "https"}}}),
            &["spec.gateway.ingress.backend", "set spec.gateway.tls"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"ingress": {"host": "A B"}}}),
            &["spec.gateway.ingress.host", "A B", "*.example.org"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"ingress": {"host": "192.0.2.1"}}}),
            &["spec.gateway.ingress.host", "192.0.2.1", "DNS name"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"gatewayApi": {"parentRefs": [{"name": "g"}], "hostnames": ["a.org", "Cars.example.org"]}}}),
            &[
                "spec.gateway.gatewayApi.hostnames",
                "Cars.example.org: is no DNS name in lower case",
                "*.example.org",
            ],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"gatewayApi": {"parentRefs": [{"name": "g"}], "hostnames": ["cars.*.org"]}}}),
            &["spec.gateway.gatewayApi.hostnames", "cars.*.org: is no"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"gatewayApi": {"parentRefs": [{"name": "g", "namespace": "in.fra"}]}}}),
            &[
                "spec.gateway.gatewayApi.parentRefs[0].namespace",
                "in.fra: is no name of a namespace",
            ],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"gatewayApi": {"parentRefs": [{"name": "g", "sectionName": "Web"}]}}}),
            &[
                "spec.gateway.gatewayApi.parentRefs[0].sectionName",
                "Web: is no name",
            ],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"tls": {"certManager": {"issuerRef": {"name": "my ca"}, "dnsNames": ["a"]}}}}),
            &[
                "spec.gateway.tls.certManager.issuerRef.name",
                "my ca: is no name",
            ],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"tls": {"certManager": {"issuerRef": {"name": "i", "kind": "cluster issuer"}, "dnsNames": ["a"]}}}}),
            &[
                "spec.gateway.tls.certManager.issuerRef.kind",
                "cluster issuer: is no kind",
            ],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"tls": {"certManager": {"issuerRef": {"name": "i"}, "dnsNames": ["https://a.org"]}}}}),
            &[
                "spec.gateway.tls.certManager.dnsNames",
                "https://a.org: is no DNS name",
            ],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {"gatewayApi": {"parentRefs": []}}}),
            &["spec.gateway.gatewayApi.parentRefs"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {}, "detect": {"zones": [{"configMap": "../a"}]}}),
            &["spec.detect.zones", "../a"],
        ),
        (
            "Platform",
            "x",
            warned(json!({"channels": ["webhook"]})),
            &["spec.warnings.webhook", "take the channel out"],
        ),
        (
            "Platform",
            "x",
            warned(
                json!({"webhook": {"url": "https://a.org", "secretRef": {"name": "s", "key": "k"}}}),
            ),
            &["spec.warnings.channels", "add the channel"],
        ),
        (
            "Platform",
            "x",
            warned(json!({"channels": ["smtp"]})),
            &["spec.warnings.smtp", "take the channel out"],
        ),
        (
            "Platform",
            "x",
            warned(
                json!({"smtp": {"secretRef": {"name": "s", "key": "k"}, "from": "a@b", "to": ["c@d"]}}),
            ),
            &["spec.warnings.channels", "add the channel"],
        ),
        (
            "Platform",
            "x",
            warned(
                json!({"channels": ["webhook"], "webhook": {"url": "ftp://a.org", "secretRef": {"name": "s", "key": "k"}}}),
            ),
            &["spec.warnings.webhook.url", "ftp://a.org"],
        ),
        (
            "Platform",
            "x",
            json!({"gateway": {}}),
            &["spec.gateway", "add spec.kafka"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "detect": {}}),
            &["spec.detect", "spec.gateway"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {}, "detect": {}, "warnings": {}}),
            &["spec.warnings", "spec.openwhisk"],
        ),
        (
            "Platform",
            &"p".repeat(31),
            json!({}),
            &["metadata.name", "30 characters"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {}, "detect": {}, "openwhisk": {}, "warnings": {"channels": ["pigeon"]}}),
            &["spec.warnings.channels", "pigeon", "vehicle"],
        ),
        (
            "Platform",
            "x",
            json!({"kafka": {}, "gateway": {}, "detect": {}, "openwhisk": {}, "warnings": {"language": "English!"}}),
            &["spec.warnings.language", "English!"],
        ),
    ] {
        match scene.apply(kind, name, spec.clone()).await {
            Ok(_) => panic!("{kind} {spec} was accepted"),
            Err(message) => {
                for part in says {
                    assert!(
                        message.contains(part),
                        "{kind} {spec}: {part:?} is missing in: {message}"
                    );
                }
            }
        }
    }
}

pub async fn bad_changes_are_refused(scene: &Scene) {
    let classed = |size: &str, class: &str| {
        with(
            with(kafka(), "/storage/size", json!(size)),
            "/storage/storageClass",
            json!(class),
        )
    };
    let renamed = |name: &str| with(topic(), "/topicName", json!(name));
    let cases = [
        (
            "KafkaCluster",
            kafka(),
            with(kafka(), "/storage/size", json!("2048Mi")),
            None,
        ),
        (
            "KafkaCluster",
            kafka(),
            with(kafka(), "/storage/size", json!("3Gi")),
            None,
        ),
        (
            "KafkaCluster",
            kafka(),
            with(kafka(), "/storage/size", json!("1Gi")),
            Some("storage.size: 1Gi: a volume may grow but not shrink; give 2Gi or more"),
        ),
        (
            "KafkaCluster",
            kafka(),
            with(kafka(), "/storage/size", json!("1500M")),
            Some("may grow but not shrink"),
        ),
        (
            "KafkaCluster",
            classed("2Gi", "a"),
            classed("3Gi", "a"),
            None,
        ),
        (
            "KafkaCluster",
            classed("2Gi", "a"),
            classed("2Gi", "b"),
            Some("storage.storageClass: cannot be changed"),
        ),
        (
            "KafkaCluster",
            classed("2Gi", "a"),
            kafka(),
            Some("storage.storageClass: cannot be changed"),
        ),
        (
            "KafkaCluster",
            kafka(),
            classed("2Gi", "a"),
            Some("storage.storageClass: cannot be changed"),
        ),
        (
            "KafkaTopic",
            topic(),
            with(topic(), "/partitions", json!(6)),
            None,
        ),
        (
            "KafkaTopic",
            topic(),
            with(topic(), "/partitions", json!(2)),
            Some("partitions may grow but not shrink"),
        ),
        (
            "KafkaTopic",
            topic(),
            with(topic(), "/replicationFactor", json!(2)),
            None,
        ),
        (
            "KafkaTopic",
            topic(),
            with(topic(), "/kafka", json!("other")),
            Some("spec.kafka: other: a topic cannot move to another cluster"),
        ),
        (
            "KafkaTopic",
            topic(),
            with(topic(), "/schema", json!("audit")),
            None,
        ),
        ("KafkaTopic", renamed("a"), renamed("a"), None),
        (
            "KafkaTopic",
            renamed("a"),
            renamed("b"),
            Some("spec.topicName: cannot be changed"),
        ),
        (
            "KafkaTopic",
            renamed("a"),
            topic(),
            Some("spec.topicName: cannot be changed"),
        ),
        (
            "KafkaTopic",
            topic(),
            renamed("a"),
            Some("spec.topicName: cannot be changed"),
        ),
        (
            "OpenWhisk",
            json!({"namespace": "a"}),
            json!({"namespace": "b"}),
            Some("spec.namespace: cannot be changed"),
        ),
        (
            "OpenWhisk",
            json!({}),
            json!({"storage": {"size": "100Mi"}}),
            Some("may grow but not shrink"),
        ),
        (
            "Action",
            action(),
            json!({"openwhisk": "w", "sequence": ["a"]}),
            None,
        ),
        (
            "Action",
            with(action(), "/actionName", json!("a")),
            with(action(), "/actionName", json!("b")),
            Some("spec.actionName: cannot be changed"),
        ),
        (
            "Action",
            action(),
            with(action(), "/openwhisk", json!("other")),
            Some("spec.openwhisk: cannot be changed, the action would live on in the former one"),
        ),
        (
            "Trigger",
            json!({"openwhisk": "w"}),
            json!({"openwhisk": "w", "parameters": {"a": 1}}),
            None,
        ),
        (
            "Trigger",
            json!({"openwhisk": "w"}),
            json!({"openwhisk": "other"}),
            Some("spec.openwhisk: cannot be changed, the trigger would live on in the former one"),
        ),
        (
            "Rule",
            json!({"openwhisk": "w", "trigger": "t", "action": "a"}),
            json!({"openwhisk": "w", "trigger": "t", "action": "b"}),
            None,
        ),
        (
            "Rule",
            json!({"openwhisk": "w", "trigger": "t", "action": "a"}),
            json!({"openwhisk": "other", "trigger": "t", "action": "a"}),
            Some("spec.openwhisk: cannot be changed, the rule would live on in the former one"),
        ),
        (
            "EventSource",
            json!({"topic": "t", "action": "a"}),
            json!({"topic": "t", "action": "b"}),
            None,
        ),
        (
            "EventSource",
            json!({"topic": "t", "action": "a", "group": "g"}),
            json!({"topic": "t", "action": "a", "group": "h"}),
            Some("spec.group: cannot be changed"),
        ),
        (
            "EventSource",
            json!({"topic": "t", "action": "a"}),
            json!({"topic": "t", "trigger": "g"}),
            None,
        ),
        (
            "Platform",
            json!({"kafka": {}}),
            json!({"profile": "standard", "kafka": {}}),
            Some("spec.profile: standard: the number of partitions"),
        ),
        (
            "Platform",
            json!({"kafka": {"partitions": 3}}),
            json!({"profile": "standard", "kafka": {"partitions": 3}}),
            None,
        ),
        (
            "Platform",
            json!({"kafka": {}}),
            json!({}),
            Some("spec.kafka: absent"),
        ),
        (
            "Platform",
            json!({"kafka": {"partitions": 3}}),
            json!({"kafka": {"partitions": 4}}),
            Some("would change partition"),
        ),
        (
            "Platform",
            json!({"kafka": {}}),
            json!({"kafka": {"partitions": 6}}),
            Some("spec.kafka.partitions: cannot be added or removed"),
        ),
        (
            "Platform",
            json!({"kafka": {"image": "k:1", "partitions": 3}}),
            json!({"kafka": {"image": "k:1"}}),
            Some("spec.kafka.partitions: cannot be added or removed"),
        ),
        (
            "Platform",
            json!({"kafka": {"partitions": 3}}),
            json!({"kafka": {"partitions": 3, "storage": {"size": "4Gi"}}}),
            None,
        ),
        (
            "Platform",
            json!({"kafka": {"image": "k:1", "storage": {"size": "4Gi"}}}),
            json!({"kafka": {"image": "k:1"}}),
            Some("spec.kafka.storage: absent"),
        ),
        (
            "Platform",
            json!({"kafka": {"storage": {"size": "4Gi"}}}),
            json!({"kafka": {"storage": {"size": "5Gi"}}, "openwhisk": {}}),
            None,
        ),
        (
            "Platform",
            json!({"openwhisk": {"image": "w:1", "storage": {"size": "4Gi"}}}),
            json!({"openwhisk": {"image": "w:1"}}),
            Some("spec.openwhisk.storage: absent"),
        ),
        (
            "Platform",
            json!({"openwhisk": {}}),
            json!({"openwhisk": {"storage": {"size": "4Gi"}}}),
            None,
        ),
    ];
    for (index, (kind, before, after, says)) in cases.into_iter().enumerate() {
        let name = format!("c{index}");
        scene
            .apply(kind, &name, before.clone())
            .await
            .unwrap_or_else(|message| panic!("{kind} {before}: {message}"));
        match (scene.apply(kind, &name, after.clone()).await, says) {
            (Ok(_), None) => {}
            (Ok(_), Some(_)) => panic!("{kind} {before} -> {after} was accepted"),
            (Err(message), None) => panic!("{kind} {before} -> {after}: {message}"),
            (Err(message), Some(part)) => assert!(
                message.contains(part),
                "{kind} {after}: {part:?} is missing in: {message}"
            ),
        }
    }
}
