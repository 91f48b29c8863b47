//! The files of a node: broker settings, logging, the start script. Pure.

use std::fmt::Write as _;

use super::validate::ValidatedKafka;
use super::{CLIENT_PORT, CONTROLLER_PORT};

/// Where the volume is mounted, as in the upstream image.
pub const DATA: &str = "/var/lib/kafka/data";
/// Where these files are mounted.
pub const FILES: &str = "/etc/millrace";

/// Below this much heap a node also gets the settings that keep Kafka small.
const SMALL_HEAP_MEBIBYTES: u64 = 1024;

/// The broker's settings. `@ID@` becomes the ordinal of the pod.
#[must_use]
pub fn server_properties(kafka: &ValidatedKafka) -> String {
    let name = &kafka.owner.name;
    let namespace = &kafka.owner.namespace;
    // Without the cluster domain, which nobody outside the kubelet's configuration knows for certain.
    let host = |id: &str| format!("{name}-{id}.{name}-nodes.{namespace}.svc");
    let quorum: Vec<String> = (0..kafka.nodes)
        .map(|id| format!("{}:{CONTROLLER_PORT}", host(&id.to_string())))
        .collect();
    let copies = kafka.nodes.min(3);
    let in_sync = if copies > 2 { 2 } else { 1 };
    let mut settings: Vec<(&str, String)> = vec![
        ("process.roles", "broker,controller".into()),
        ("node.id", "@ID@".into()),
        ("controller.quorum.bootstrap.servers", quorum.join(",")),
        ("controller.listener.names", "CONTROLLER".into()),
        (
            "listeners",
            format!("PLAINTEXT://:{CLIENT_PORT},CONTROLLER://:{CONTROLLER_PORT}"),
        ),
        (
            "advertised.listeners",
            format!(
                "PLAINTEXT://{0}:{CLIENT_PORT},CONTROLLER://{0}:{CONTROLLER_PORT}",
                host("@ID@")
            ),
        ),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".into(),
        ),
        ("log.dirs", format!("{DATA}/log")),
        ("default.replication.factor", copies.to_string()),
        ("min.insync.replicas", in_sync.to_string()),
        ("offsets.topic.replication.factor", copies.to_string()),
        ("offsets.topic.num.partitions", "6".into()),
        (
            "transaction.state.log.replication.factor",
            copies.to_string(),
        ),
        ("transaction.state.log.min.isr", in_sync.to_string()),
        ("transaction.state.log.num.partitions", "3".into()),
        (
            "share.coordinator.state.topic.replication.factor",
            copies.to_string(),
        ),
        ("share.coordinator.state.topic.min.isr", in_sync.to_string()),
        ("share.coordinator.state.topic.num.partitions", "3".into()),
        // A consumer group that nobody was in for weeks goes on where it was, or as near to it as its topic still reaches.
        ("offsets.retention.minutes", "43200".into()),
        // A topic comes from a KafkaTopic and never from a typing error.
        ("auto.create.topics.enable", "false".into()),
        // Consumers of one group here do not start by the dozen: nothing is gained by waiting for more of them.
        ("group.initial.rebalance.delay.ms", "0".into()),
    ];
    if kafka.heap_mebibytes < SMALL_HEAP_MEBIBYTES {
        settings.extend([
            // The default buffer of 128 MiB does not fit into a small heap.
            ("log.cleaner.dedupe.buffer.size", "4194304".into()),
            ("log.cleaner.io.buffer.size", "65536".into()),
            ("num.network.threads", "2".into()),
            ("num.io.threads", "2".into()),
        ]);
    }
    // What was asked for wins.
    settings.retain(|(name, _)| !kafka.config.contains_key(*name));
    let mut text = String::new();
    for (name, value) in &settings {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{name}={value}");
    }
    for (name, value) in &kafka.config {
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

/// Logging: to the console, warnings and the few lines that tell a start and a stop.
#[must_use]
pub fn log4j2_properties() -> &'static str {
    "status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
logger.lifecycle.name=org.apache.kafka.common.utils.AppInfoParser
logger.lifecycle.level=info
"
}

/// The start script: formats an empty volume, once and as a whole, then becomes the broker.
#[must_use]
pub fn start_script(kafka: &ValidatedKafka) -> String {
    let heap = kafka.heap_mebibytes;
    let collector = if heap < SMALL_HEAP_MEBIBYTES {
        // One thread and the first compiler only: a third of the memory and a start that is a second shorter.
        "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
    } else {
        "-XX:+UseG1GC -XX:MaxGCPauseMillis=20"
    };
    let id = &kafka.cluster_id;
    format!(
        r#"# -f: the class path has a star that is for java.
set -euf
id=${{HOSTNAME##*-}}
sed "s/@ID@/$id/g" {FILES}/server.properties >/tmp/server.properties
java() {{
  command java -Dlog4j2.configurationFile={FILES}/log4j2.properties -cp '/opt/kafka/libs/*' "$@"
}}
if [ ! -e {DATA}/log ]; then
  # Formatted aside and moved into place: a format that was cut short leaves nothing half made.
  rm -rf {DATA}/format
  sed 's#^log.dirs=.*#log.dirs={DATA}/format#' /tmp/server.properties >/tmp/format.properties
  java -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format --cluster-id={id} --standalone --config /tmp/format.properties
  mv {DATA}/format {DATA}/log
fi
exec java -Xmx{heap}m {collector} -XX:+ExitOnOutOfMemoryError -Dlog4j2.configurationFile={FILES}/log4j2.properties -cp '/opt/kafka/libs/*' kafka.Kafka /tmp/server.properties
"#
    )
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{cluster, images};
    use super::super::validate::validate;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_files_of_a_small_node() {
        let kafka = validate(
            &cluster(
                json!({"nodes": 1, "storage": {"size": "1Gi"}, "config": {"num.io.threads": "4"}}),
            ),
            None,
            &images(),
        )
        .unwrap();
        insta::assert_snapshot!(server_properties(&kafka));
        insta::assert_snapshot!(start_script(&kafka));
    }

    #[test]
    fn a_large_node_is_not_made_small() {
        let kafka = validate(
            &cluster(
                json!({"nodes": 1, "storage": {"size": "1Gi"}, "resources": {"memory": "8Gi"}}),
            ),
            None,
            &images(),
        )
        .unwrap();
        assert!(!server_properties(&kafka).contains("log.cleaner"));
        assert!(start_script(&kafka).contains("UseG1GC"));
    }
}
