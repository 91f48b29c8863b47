//! The settings of a node.

use std::fmt::Write as _;

use super::super::certificates::{NODE, OPERATOR, PATH, TRUSTED};
use super::super::nodes::Pool;
use super::super::validate::ValidatedKafka;
use super::super::{CLIENT_PORT, CONTROLLER_PORT, EXTERNAL_PORT, INTERNAL_PORT, SECURE_PORT};
use super::SMALL_HEAP_MEBIBYTES;

type Settings = Vec<(&'static str, String)>;

/// The settings of the nodes of a pool. `@ID@` becomes the id of the node, `@HOST@` its DNS name, `@QUORUM@` the addresses
/// of the controllers.
pub(super) fn server_properties(kafka: &ValidatedKafka, pool: &Pool) -> String {
    let mut settings: Settings = identity(pool);
    settings.extend(listeners(kafka, pool));
    if kafka.is_secure() {
        settings.extend(security());
    }
    let dirs: Vec<String> = pool.volumes.iter().map(|v| v.log_dir()).collect();
    settings.push(("log.dirs", dirs.join(",")));
    settings.extend(copies(kafka.broker_count()));
    settings.extend([
        // A consumer group that nobody was in for weeks goes on where it was, or as near to it as its topic still reaches.
        ("offsets.retention.minutes", "43200".into()),
        // A topic comes from a KafkaTopic and never from a typing error.
        ("auto.create.topics.enable", "false".into()),
        // Consumers of one group here do not start by the dozen: nothing is gained by waiting for more of them.
        ("group.initial.rebalance.delay.ms", "0".into()),
    ]);
    if pool.heap_mebibytes < SMALL_HEAP_MEBIBYTES {
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

fn identity(pool: &Pool) -> Settings {
    let roles: Vec<&str> = [("broker", pool.broker), ("controller", pool.controller)]
        .into_iter()
        .filter_map(|(role, has)| has.then_some(role))
        .collect();
    vec![
        ("process.roles", roles.join(",")),
        ("node.id", "@ID@".into()),
        ("controller.quorum.bootstrap.servers", "@QUORUM@".into()),
        ("controller.listener.names", "CONTROLLER".into()),
    ]
}

fn listeners(kafka: &ValidatedKafka, pool: &Pool) -> Settings {
    // Name, port, protocol, and where a client that was told of it finds it.
    let mut all: Vec<(&str, i32, &str, &str)> = Vec::new();
    let host = "@HOST@";
    match (pool.broker, kafka.is_secure()) {
        (true, false) => all.push(("PLAINTEXT", CLIENT_PORT, "PLAINTEXT", host)),
        (true, true) => {
            all.push(("INTERNAL", INTERNAL_PORT, "SSL", host));
            all.push(("SECURE", SECURE_PORT, "SASL_SSL", host));
            if kafka.external.is_some() {
                all.push(("EXTERNAL", EXTERNAL_PORT, "SASL_SSL", ""));
            }
        }
        (false, _) => {}
    }
    let controller = if kafka.is_secure() {
        "SSL"
    } else {
        "PLAINTEXT"
    };
    let mut protocols: Vec<String> = all
        .iter()
        .map(|(name, _, protocol, _)| format!("{name}:{protocol}"))
        .collect();
    protocols.push(format!("CONTROLLER:{controller}"));
    if pool.controller {
        all.push(("CONTROLLER", CONTROLLER_PORT, controller, host));
    }
    let mut settings = vec![
        (
            "listeners",
            join(&all, |(name, port, ..)| format!("{name}://:{port}")),
        ),
        (
            "advertised.listeners",
            join(&all, |(name, port, _, host)| match host {
                "" => format!("{name}://@EXTERNAL@"),
                host => format!("{name}://{host}:{port}"),
            }),
        ),
        ("listener.security.protocol.map", protocols.join(",")),
    ];
    if kafka.is_secure() && pool.broker {
        settings.push(("inter.broker.listener.name", "INTERNAL".into()));
    }
    settings
}

fn join<T: Copy>(all: &[T], form: impl Fn(T) -> String) -> String {
    let texts: Vec<String> = all.iter().map(|one| form(*one)).collect();
    texts.join(",")
}

/// Nodes and the operator are known by their certificates, everybody else by a password.
fn security() -> Settings {
    vec![
        ("ssl.keystore.type", "PEM".into()),
        ("ssl.keystore.location", format!("{PATH}/node-@ID@.pem")),
        ("ssl.truststore.type", "PEM".into()),
        ("ssl.truststore.location", format!("{PATH}/{TRUSTED}")),
        ("listener.name.internal.ssl.client.auth", "required".into()),
        (
            "listener.name.controller.ssl.client.auth",
            "required".into(),
        ),
        ("sasl.enabled.mechanisms", SCRAM.into()),
        (
            "listener.name.secure.scram-sha-512.sasl.jaas.config",
            LOGIN.into(),
        ),
        (
            "listener.name.external.scram-sha-512.sasl.jaas.config",
            LOGIN.into(),
        ),
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer".into(),
        ),
        ("super.users", format!("User:CN={NODE};User:CN={OPERATOR}")),
    ]
}

const SCRAM: &str = "SCRAM-SHA-512";
const LOGIN: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required;";

fn copies(brokers: i32) -> Settings {
    let copies = brokers.clamp(1, 3);
    let in_sync = if copies > 2 { 2 } else { 1 };
    vec![
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
    ]
}

/// Logging: to the console, warnings and the few lines that tell a start and a stop.
pub(super) fn log4j2_properties() -> &'static str {
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

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::valid;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_settings_of_small_nodes() {
        let kafka = valid(
            json!({"nodes": 3, "storage": {"size": "1Gi"}, "config": {"num.io.threads": "4"}}),
        );
        insta::assert_snapshot!(server_properties(&kafka, &kafka.pools[0]));
    }

    #[test]
    fn a_large_node_is_not_made_small() {
        let kafka =
            valid(json!({"nodes": 1, "storage": {"size": "1Gi"}, "resources": {"memory": "8Gi"}}));
        assert!(!server_properties(&kafka, &kafka.pools[0]).contains("log.cleaner"));
    }

    #[test]
    fn a_controller_alone_has_no_listener_for_clients() {
        let kafka = valid(json!({"pools": [
            {"name": "c", "roles": ["controller"], "replicas": 3, "firstNodeId": 0, "lastNodeId": 9, "volumes": [{"size": "1Gi"}]},
            {"name": "b", "roles": ["broker"], "replicas": 2, "firstNodeId": 10, "lastNodeId": 19, "volumes": [{"size": "1Gi"}, {"size": "2Gi"}]}]}));
        let controller = server_properties(&kafka, &kafka.pools[0]);
        assert!(controller.contains("\nlisteners=CONTROLLER://:9093\n"));
        assert!(controller.contains("\nadvertised.listeners=CONTROLLER://@HOST@:9093\n"));
        let broker = server_properties(&kafka, &kafka.pools[1]);
        assert!(broker.contains("\nlisteners=PLAINTEXT://:9092\n"));
        assert!(broker.contains("\nlog.dirs=/var/lib/kafka/data/log,/var/lib/kafka/data-1/log\n"));
        assert!(broker.contains("\ndefault.replication.factor=2\n"));
    }
}
