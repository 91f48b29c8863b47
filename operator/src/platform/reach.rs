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
    let key = ClusterKey {
        namespace: namespace.clone(),
        // A client of its own: what waits for the flow keeps nobody else waiting.
        name: format!("flow/{}", cluster["metadata"]["name"].as_str()?),
    };
    let secret = platform.kafka_admin.as_ref()?;
    let access = Access::from_secret(secret.data.as_ref()?).ok()?;
    shared_clients().connect(&key, &access).ok()
}
