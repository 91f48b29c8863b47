//! The settings of the servers, as a file in HOCON, and the pods that they start for actions. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::validate::ValidatedApache;
use super::{ACTION, files};
use crate::remote::kafka::{Login, Protocol};

/// Where the runtime of actions of the kinds of executables unpacks code: images of a user of their own cannot write there.
const CODE: &str = "/action";

/// The settings of controller and invokers. They hold passwords.
#[must_use]
pub fn settings(whisk: &ValidatedApache) -> String {
    // Without it the defaults of the server itself would be gone.
    let mut text = "include classpath(\"application.conf\")\n".to_owned();
    for (path, value) in all(whisk) {
        // JSON is HOCON too.
        let _ = writeln!(text, "{path} = {value}");
    }
    text
}

fn all(whisk: &ValidatedApache) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut set = |path: &str, value: Value| all.push((path.to_owned(), value));
    for (provider, class) in providers(whisk.is_lean()) {
        let class = format!("org.apache.openwhisk.{class}");
        set(&format!("whisk.spi.{provider}"), class.into());
    }
    set("whisk.mongodb.uri", whisk.mongo.uri.clone().into());
    set(
        "whisk.mongodb.database",
        whisk.mongo.database.clone().into(),
    );
    // Mandatory where actions are pods, whoever installs it.
    set("whisk.helm.release", whisk.owner.name.clone().into());
    set("whisk.controller.protocol", "http".into());
    set("whisk.controller.interface", "0.0.0.0".into());
    set("whisk.invoker.protocol", "http".into());
    set(
        "whisk.container-pool.user-memory",
        format!("{} m", whisk.action_mebibytes).into(),
    );
    set(
        "whisk.kubernetes.action-namespace",
        whisk.owner.namespace.clone().into(),
    );
    set(
        "whisk.kubernetes.user-pod-node-affinity.enabled",
        false.into(),
    );
    // It speaks a version of that API which Kubernetes serves no more.
    set("whisk.kubernetes.pdb-enabled", false.into());
    set("whisk.kubernetes.port-forwarding-enabled", false.into());
    // An image may have to be pulled.
    set("whisk.kubernetes.timeouts.run", "5 minutes".into());
    set(
        "whisk.kubernetes.pod-template",
        action_pod(whisk).to_string().into(),
    );
    // The bounds that an Action of Kubernetes has.
    for (path, value) in [
        ("whisk.time-limit.min", "100 ms"),
        ("whisk.time-limit.max", "5 m"),
        ("whisk.memory.min", "128 m"),
        ("whisk.memory.max", "512 m"),
        ("whisk.log-limit.min", "0 m"),
        ("whisk.log-limit.max", "10 m"),
    ] {
        set(path, value.into());
    }
    if let Some(kafka) = &whisk.kafka {
        set(
            "whisk.kafka.replication-factor",
            kafka.replication_factor.into(),
        );
        for prefix in ["prefix", "user-event.prefix"] {
            let path = format!("whisk.kafka.topics.{prefix}");
            set(&path, format!("{}-", whisk.owner.name).into());
        }
        for (name, value) in common(whisk) {
            set(&format!("whisk.kafka.common.{name}"), value.into());
        }
    }
    for (path, value) in &whisk.config {
        set(path, value.clone().into());
    }
    all
}

/// All that have a choice: upstream's defaults are those of another shape, with etcd and Elasticsearch.
fn providers(lean: bool) -> [(&'static str, &'static str); 11] {
    let (messaging, balancer) = if lean {
        (
            "connector.lean.LeanMessagingProvider",
            "core.loadBalancer.LeanBalancer",
        )
    } else {
        (
            "connector.kafka.KafkaMessagingProvider",
            "core.loadBalancer.ShardingContainerPoolBalancer",
        )
    };
    [
        (
            "ArtifactStoreProvider",
            "core.database.mongodb.MongoDBArtifactStoreProvider",
        ),
        (
            "ActivationStoreProvider",
            "core.database.ArtifactActivationStoreProvider",
        ),
        ("MessagingProvider", messaging),
        ("LoadBalancerProvider", balancer),
        (
            "EntitlementSpiProvider",
            "core.entitlement.LocalEntitlementProvider",
        ),
        (
            "AuthenticationDirectiveProvider",
            "core.controller.BasicAuthenticationDirective",
        ),
        ("InvokerProvider", "core.invoker.InvokerReactive"),
        ("InvokerServerProvider", "core.invoker.DefaultInvokerServer"),
        (
            "DurationCheckerProvider",
            "core.scheduler.queue.NoopDurationCheckerProvider",
        ),
        (
            "ContainerFactoryProvider",
            "core.containerpool.kubernetes.KubernetesContainerFactoryProvider",
        ),
        (
            "LogStoreProvider",
            "core.containerpool.logging.DockerToActivationLogStoreProvider",
        ),
    ]
}

/// What clients of Kafka are told, all of them.
fn common(whisk: &ValidatedApache) -> Vec<(&'static str, String)> {
    let Some(kafka) = &whisk.kafka else {
        return Vec::new();
    };
    let access = &kafka.access;
    let protocol = match access.protocol {
        Protocol::Plaintext => "PLAINTEXT",
        Protocol::Ssl => "SSL",
        Protocol::SaslSsl => "SASL_SSL",
        Protocol::SaslPlaintext => "SASL_PLAINTEXT",
    };
    let mut common = vec![("security-protocol", protocol.to_owned())];
    if matches!(access.protocol, Protocol::Ssl | Protocol::SaslSsl) {
        common.extend([
            ("ssl-truststore-location", files::TRUST.to_owned()),
            ("ssl-truststore-type", "PKCS12".to_owned()),
            ("ssl-truststore-password", files::TRUST_PASSWORD.to_owned()),
        ]);
    }
    if let Some(login) = &access.login {
        common.extend([
            ("sasl-mechanism", login.mechanism.clone()),
            ("sasl-jaas-config", jaas(login)),
        ]);
    }
    common
}

fn jaas(login: &Login) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{}\" password=\"{}\";",
        quoted(&login.username),
        quoted(&login.password)
    )
}

/// What the pods of actions are made from: OpenWhisk adds the image, memory, variables and the port.
fn action_pod(whisk: &ValidatedApache) -> Value {
    let labels = whisk.owner.selector(ACTION);
    // Who ends them may be gone himself: Kubernetes takes them away with the resource.
    let owner = &whisk.owner.reference;
    let owner = json!({
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
    });
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": labels, "ownerReferences": [owner]},
        "spec": {
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                // The name by which OpenWhisk finds it.
                "name": "user-action",
                "image": "set-by-openwhisk",
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "tmp", "mountPath": "/tmp"},
                    {"name": "code", "mountPath": CODE},
                ],
            }],
            "volumes": [
                {"name": "tmp", "emptyDir": {"sizeLimit": "512Mi"}},
                {"name": "code", "emptyDir": {"sizeLimit": "512Mi"}},
            ],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{apache, lean, secure, valid};
    use super::*;

    #[test]
    fn the_settings_of_controller_and_invokers() {
        insta::assert_snapshot!(settings(&valid(apache())));
    }

    #[test]
    fn the_settings_of_a_lean_controller() {
        let settings = settings(&valid(lean()));
        assert!(!settings.contains("kafka."), "{settings}");
        assert!(settings.contains("LeanBalancer") && settings.contains("LeanMessagingProvider"));
    }

    #[test]
    fn a_login_at_kafka_stands_in_the_settings_and_own_ones_come_last() {
        let settings = settings(&valid(secure()));
        for line in [
            "whisk.kafka.common.security-protocol = \"SASL_SSL\"",
            "whisk.kafka.common.ssl-truststore-location = \"/tmp/trust.p12\"",
            r#"whisk.kafka.common.sasl-jaas-config = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"w\" password=\"a\\\"b\";""#,
            "whisk.kafka.replication-factor = 3",
        ] {
            assert!(settings.lines().any(|l| l == line), "{line}\n{settings}");
        }
        assert_eq!(
            settings.lines().last(),
            Some("whisk.time-limit.max = \"10 m\"")
        );
    }

    #[test]
    fn pods_of_actions_fulfil_the_restricted_profile() {
        let pod = action_pod(&valid(apache()));
        let spec = &pod["spec"];
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            spec["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        let container = &spec["containers"][0];
        assert_eq!(container["name"], "user-action");
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        let typed: k8s_openapi::api::core::v1::Pod = serde_json::from_value(pod).unwrap();
        assert!(typed.spec.is_some());
    }

    #[test]
    fn pods_of_actions_go_with_their_openwhisk() {
        let whisk = valid(apache());
        let pod = action_pod(&whisk);
        let typed: k8s_openapi::api::core::v1::Pod = serde_json::from_value(pod).unwrap();
        let owners = typed.metadata.owner_references.unwrap();
        assert_eq!(owners.len(), 1);
        assert_eq!(owners[0].uid, whisk.owner.uid);
        // No pod of an action holds the deletion up.
        assert_eq!(owners[0].block_owner_deletion, None);
    }
}
