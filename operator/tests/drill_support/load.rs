//! The load of a drill of Kafka: numbered records that are written and read by pods, and the proof that none is missing.

use serde_json::{Value, json};

use super::pods::Client;
use super::{LIMIT, NAMESPACE, Nodes, condition};

const TOPIC: &str = "sequence";
const USER: &str = "drill";
/// The Secret that its pods log in by.
const BINDING: &str = "drill-kafka";
/// Records a second.
const RATE: &str = "300";

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
            nodes.apply(&object);
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
        let (produce, consume) = (load.name("produce"), load.name("consume"));
        load.pod(nodes, &produce, "produce", &["--rate", RATE], None);
        load.pod(nodes, &consume, "consume", &[], None);
        for pod in [produce, consume] {
            nodes.wait_for_log(&pod, &["writing", "reading"]);
        }
        load
    }

    /// Starts a pod of `check-sequence`.
    fn pod(&self, nodes: &Nodes, name: &str, part: &str, more: &[&str], list: Option<&str>) {
        let (image, run) = (nodes.image("STREAM"), self.run.as_str());
        let command = [
            "millrace-stream",
            "check-sequence",
            part,
            "--topic",
            TOPIC,
            "--run",
            run,
        ];
        let client = Client {
            name,
            image: &image,
            command: &[&command, more].concat(),
            bindings: &[BINDING],
            files: list.map(|list| (list, "/acknowledged")),
            env: &[],
            memory: "192Mi",
        };
        nodes.apply(&client.pod());
    }

    fn name(&self, part: &str) -> String {
        format!("{part}-{}", self.run)
    }

    /// Ends both, and reads all of it from the beginning.
    pub fn finish(self, nodes: &Nodes) -> Outcome {
        let produced = nodes.end(&self.name("produce"));
        let consumed = nodes.end(&self.name("consume"));
        let list = self.name("acknowledged");
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": list, "namespace": NAMESPACE},
            "data": {"produced.json": produced.to_string()},
        });
        nodes.apply(&map);
        let more = ["--to-end", "--acknowledged", "/acknowledged/produced.json"];
        let name = self.name("prove");
        self.pod(nodes, &name, "consume", &more, Some(&list));
        let proof = nodes.ended(&name);
        for part in ["produce", "consume", "prove"] {
            nodes.kubectl(&["delete", "pod", &self.name(part), "--wait=false"]);
        }
        nodes.kubectl(&["delete", "configmap", &list]);
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
}

/// A number of what a pod printed.
pub fn number(from: &Value, field: &str) -> u64 {
    from[field]
        .as_u64()
        .unwrap_or_else(|| panic!("{field}: {from}"))
}
