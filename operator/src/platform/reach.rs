//! The way to a platform's Kafka.

use std::sync::Arc;

use serde_json::Value;

use super::validate::ValidatedPlatform;
use crate::remote::kafka::{ClusterKey, KafkaAdmin, shared_clients};

/// A client of the platform's Kafka, if that is available.
pub fn kafka(platform: &ValidatedPlatform, bodies: &[&Value]) -> Option<Arc<KafkaAdmin>> {
    let cluster = bodies.iter().find(|body| body["kind"] == "KafkaCluster")?;
    let bootstrap = cluster["status"]["bootstrapServers"].as_str()?;
    let key = ClusterKey {
        namespace: platform.owner.namespace.clone(),
        name: cluster["metadata"]["name"].as_str()?.to_owned(),
    };
    shared_clients().client(&key, bootstrap).ok()
}
