//! Kafka and OpenWhisk of a platform, and the topics. Pure.

use super::{meta, part};
use crate::kafka::crd::{KafkaCluster, KafkaClusterSpec};
use crate::openwhisk::crd::{Mode, OpenWhisk, OpenWhiskSpec};
use crate::platform::crd::{PlatformKafka, PlatformOpenWhisk};
use crate::platform::profile::or_profile;
use crate::platform::topics::topics;
use crate::platform::validate::ValidatedPlatform;
use crate::topic::crd::{DeletionPolicy, KafkaTopic, KafkaTopicSpec};
use crate::types::{Operation, Storage};

/// The OpenWhisk namespace of the platform's actions.
const WHISK_NAMESPACE: &str = "millrace";

/// Name of the Secret with the address of the platform's Kafka.
pub(super) fn kafka_binding(platform: &ValidatedPlatform) -> String {
    crate::kafka::binding_name(&part(platform, "kafka"))
}

pub(super) fn cluster(platform: &ValidatedPlatform, kafka: &PlatformKafka) -> KafkaCluster {
    KafkaCluster {
        metadata: meta(platform, "kafka"),
        spec: KafkaClusterSpec {
            nodes: Some(platform.sizes.kafka_nodes),
            image: kafka.image.clone(),
            storage: Some(
                kafka
                    .storage
                    .clone()
                    .unwrap_or_else(|| platform.sizes.kafka_storage.clone()),
            ),
            resources: Some(or_profile(kafka.resources.as_ref(), &platform.sizes.kafka)),
            config: kafka.config.clone(),
            ..KafkaClusterSpec::default()
        },
        status: None,
    }
}

pub(super) fn platform_topics(
    platform: &ValidatedPlatform,
    kafka: &PlatformKafka,
    volume: &Storage,
) -> Vec<KafkaTopic> {
    topics(
        kafka.partitions.unwrap_or(platform.sizes.partitions),
        &volume.size,
    )
    .into_iter()
    .map(|topic| KafkaTopic {
        metadata: meta(platform, topic.name),
        spec: KafkaTopicSpec {
            kafka: part(platform, "kafka"),
            topic_name: Some(topic.name.to_owned()),
            partitions: topic.partitions,
            replication_factor: platform.sizes.kafka_nodes.min(3),
            config: topic.config,
            schema: topic.schema,
            deletion_policy: DeletionPolicy::Retain,
            paused: false,
        },
        status: None,
    })
    .collect()
}

pub(super) fn whisk(platform: &ValidatedPlatform, openwhisk: &PlatformOpenWhisk) -> OpenWhisk {
    OpenWhisk {
        metadata: meta(platform, "whisk"),
        spec: OpenWhiskSpec {
            deletion_policy: DeletionPolicy::Retain,
            operation: Operation::default(),
            mode: Mode::Embedded,
            image: openwhisk.image.clone(),
            namespace: WHISK_NAMESPACE.into(),
            storage: openwhisk
                .storage
                .clone()
                .unwrap_or_else(|| platform.sizes.openwhisk_storage.clone()),
            resources: Some(or_profile(
                openwhisk.resources.as_ref(),
                &platform.sizes.openwhisk,
            )),
            paused: false,
        },
        status: None,
    }
}
