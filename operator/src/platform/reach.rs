//! The way to a platform's Kafka.

use std::sync::Arc;

use serde_json::Value;

use super::validate::ValidatedPlatform;
use crate::remote::kafka::{Access, ClusterKey, KafkaAdmin, outside, shared_clients};

/// A client of the platform's Kafka, if that can be asked.
pub fn kafka(platform: &ValidatedPlatform, bodies: &[&Value]) -> Option<Arc<KafkaAdmin>> {
    let namespace = &platform.owner.namespace;
    if let Some(external) = platform.kafka.as_ref()?.external.as_ref() {
        let name = &external.binding_secret;
        let secret = platform.outside.kafka.as_ref();
        return outside::admin(namespace, name, secret, "spec.kafka.external").ok();
    }
    let cluster = bodies.iter().find(|body| body["kind"] == "KafkaCluster")?;
    let bootstrap = cluster["status"]["bootstrapServers"].as_str()?;
    if let Some(data) = platform
        .kafka_admin
        .as_ref()
        .and_then(|secret| secret.data.as_ref())
    {
        let key = ClusterKey {
            namespace: namespace.clone(),
            // A client of its own: what waits for the flow keeps nobody else waiting.
            name: format!("flow/{}", platform.owner.name),
        };
        let access = Access::from_secret(data).ok()?;
        return shared_clients().connect(&key, &access).ok();
    }
    let key = ClusterKey {
        namespace: namespace.clone(),
        name: cluster["metadata"]["name"].as_str()?.to_owned(),
    };
    shared_clients().client(&key, bootstrap).ok()
}
