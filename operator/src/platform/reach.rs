//! The way to a platform's Kafka.

use std::sync::Arc;

use serde_json::Value;

use super::validate::ValidatedPlatform;
use crate::remote::kafka::{ClusterKey, KafkaAdmin, shared_clients};

/// A client of the platform's Kafka, once the cluster's own reconciler or that of its topics has found the way in. They
/// look again and again, so that it follows when certificates change.
pub fn kafka(platform: &ValidatedPlatform, bodies: &[&Value]) -> Option<Arc<KafkaAdmin>> {
    let cluster = bodies.iter().find(|body| body["kind"] == "KafkaCluster")?;
    let key = ClusterKey {
        namespace: platform.owner.namespace.clone(),
        name: cluster["metadata"]["name"].as_str()?.to_owned(),
    };
    shared_clients().known(&key)
}
