//! The load of a drill: numbered records that are written and read by pods, and the proof that none is missing.

use std::time::Duration;

use serde_json::{Value, json};

use super::{NAMESPACE, Nodes, condition};

const TOPIC: &str = "sequence";
const USER: &str = "drill";
/// Records a second.
const RATE: &str = "300";
const LIMIT: Duration = Duration::from_secs(300);

/// A producer and a consumer at work.
pub struct Load {
    run: String,
}

/// What became of the records of one row.
pub struct Outcome {
    pub acknowledged: u64,
    /// The producer was told that they were not acknowledged (30 s after they were sent); they may be there all the same.
    pub failed: u64,
    /// Acknowledged, and not there when all has been read from the beginning.
    pub lost: u64,
    pub doubled: u64,
    pub out_of_order: u64,
    /// The longest time without an acknowledgement, in seconds.
    pub written_gap: f64,
    /// The longest time without a record at the consumer beside it, in seconds.
    pub read_gap: f64,
}

impl Load {
    /// Makes the topic and its user, once.
    pub fn prepare(nodes: &Nodes, cluster: &str) {
        let topic = json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaTopic",
            "metadata": {"name": TOPIC, "namespace": NAMESPACE},
            "spec": {"kafka": cluster, "partitions": 6, "replicationFactor": 3, "schema": "telemetry",
                     "config": {"min.insync.replicas": "2"}},
        });
        let user = json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "KafkaUser",
            "metadata": {"name": USER, "namespace": NAMESPACE},
            "spec": {"kafka": cluster, "acls": [
                {"resource": "topic", "name": TOPIC, "operations": ["Read", "Write"]},
                {"resource": "group", "name": "millrace-", "patternType": "prefix", "operations": ["Read"]},
            ]},
        });
        for object in [topic, user] {
            nodes.apply(&object.to_string());
        }
        for (kind, name) in [("kafkatopic", TOPIC), ("kafkauser", USER)] {
            nodes.wait(name, LIMIT, || {
                let seen = nodes.get(kind, name)?;
                (condition(&seen, "Available") == Some("True")).then_some(())
            });
        }
    }

    /// Starts both, and waits until records are on their way.
    pub fn start(nodes: &Nodes, run: String) -> Self {
        let load = Self { run };
        for part in ["produce", "consume"] {
            let mut arguments = vec![part, "--topic", TOPIC, "--run", &load.run];
            if part == "produce" {
                arguments.extend(["--rate", RATE]);
            }
            let pod = pod(&load.name(part), &nodes.stream, &arguments, None);
            nodes.apply(&pod.to_string());
        }
        for part in ["produce", "consume"] {
            let name = load.name(part);
            nodes.wait(&name, LIMIT, || {
                let log = nodes.try_kubectl(&["logs", &name]).ok()?;
                ["writing", "reading"]
                    .iter()
                    .any(|word| log.contains(word))
                    .then_some(())
            });
        }
        load
    }

    fn name(&self, part: &str) -> String {
        format!("{part}-{}", self.run)
    }

    /// Ends both, and reads all of it from the beginning.
    pub fn finish(self, nodes: &Nodes) -> Outcome {
        let produced = self.end(nodes, "produce");
        let consumed = self.end(nodes, "consume");
        let list = self.name("acknowledged");
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": list, "namespace": NAMESPACE},
            "data": {"produced.json": produced.to_string()},
        });
        nodes.apply(&map.to_string());
        let prove = [
            "consume",
            "--topic",
            TOPIC,
            "--run",
            &self.run,
            "--to-end",
            "--acknowledged",
            "/acknowledged/produced.json",
        ];
        let name = self.name("prove");
        nodes.apply(&pod(&name, &nodes.stream, &prove, Some(&list)).to_string());
        let proof = ended(nodes, &name);
        for part in ["produce", "consume", "prove"] {
            nodes.kubectl(&["delete", "pod", &self.name(part), "--wait=false"]);
        }
        nodes.kubectl(&["delete", "configmap", &list]);
        let number = |from: &Value, field: &str| {
            from[field]
                .as_u64()
                .unwrap_or_else(|| panic!("{field}: {from}"))
        };
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of a drill")]
        let seconds = |from: &Value| number(from, "longestGapMs") as f64 / 1000.0;
        Outcome {
            acknowledged: number(&produced, "acknowledged"),
            failed: number(&produced, "failed"),
            lost: number(&proof, "lost"),
            doubled: number(&proof, "doubled"),
            // Both readers see what lies in the topic in another order.
            out_of_order: number(&proof, "outOfOrder").max(number(&consumed, "outOfOrder")),
            written_gap: seconds(&produced),
            read_gap: seconds(&consumed),
        }
    }

    fn end(&self, nodes: &Nodes, part: &str) -> Value {
        let name = self.name(part);
        // Not by deleting the pod: its log would go with it.
        nodes.wait(&name, LIMIT, || {
            let stop = ["exec", &name, "--", "sh", "-c", "kill -TERM 1"];
            (nodes.try_kubectl(&stop).is_ok() || phase(nodes, &name)? != "Running").then_some(())
        });
        ended(nodes, &name)
    }
}

fn phase(nodes: &Nodes, pod: &str) -> Option<String> {
    Some(
        nodes.get("pod", pod)?["status"]["phase"]
            .as_str()?
            .to_owned(),
    )
}

/// The line that a pod printed at its end.
fn ended(nodes: &Nodes, name: &str) -> Value {
    let phase = nodes.wait(name, LIMIT, || {
        phase(nodes, name).filter(|phase| ["Succeeded", "Failed"].contains(&phase.as_str()))
    });
    let log = nodes.kubectl(&["logs", name]);
    let line = log.lines().rev().find_map(|line| {
        let value: Value = serde_json::from_str(line).ok()?;
        value["longestGapMs"].is_u64().then_some(value)
    });
    line.unwrap_or_else(|| panic!("{name} {phase} without a result:\n{log}"))
}

/// A pod of `check-sequence` on the first node, which no drill takes away.
fn pod(name: &str, image: &str, arguments: &[&str], acknowledged: Option<&str>) -> Value {
    let mut command = vec!["millrace-stream", "check-sequence"];
    command.extend(arguments);
    let mut volumes =
        vec![json!({"name": "kafka", "secret": {"secretName": format!("{USER}-kafka")}})];
    let mut mounts =
        vec![json!({"name": "kafka", "mountPath": "/bindings/kafka", "readOnly": true})];
    if let Some(map) = acknowledged {
        volumes.push(json!({"name": "acknowledged", "configMap": {"name": map}}));
        mounts.push(json!({"name": "acknowledged", "mountPath": "/acknowledged"}));
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"millrace.dev/uses-kafka": "true"}},
        "spec": {
            "restartPolicy": "Never",
            "nodeSelector": {"kubernetes.io/hostname": "n1"},
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "fsGroup": 1000,
                                "seccompProfile": {"type": "RuntimeDefault"}},
            "automountServiceAccountToken": false,
            "volumes": volumes,
            "containers": [{
                "name": "load", "image": image, "command": command, "volumeMounts": mounts,
                "env": [{"name": "SERVICE_BINDING_ROOT", "value": "/bindings"}],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "192Mi"}},
            }],
        },
    })
}
