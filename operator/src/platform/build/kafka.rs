//! Kafka of a platform, and the topics. Pure.

use super::meta;
use super::users::User;
use crate::kafka::crd::{KafkaCluster, KafkaClusterSpec, Pool, Rack, Role, Volume};
use crate::platform::crd::{ExternalKafka, PlatformKafka};
use crate::platform::profile::or_profile;
use crate::platform::topics::topics;
use crate::platform::validate::ValidatedPlatform;
use crate::remote::user::binding_name;
use crate::topic::crd::{DeletionPolicy, KafkaTopic, KafkaTopicSpec};
use crate::types::{FreeForm, PodResources, Storage};

/// The label of the nodes of Kubernetes that says in which zone they are.
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";

/// Name of the Secret by which a job gets into the platform's Kafka: as a user of its own where there are users.
pub(super) fn kafka_binding(platform: &ValidatedPlatform, user: User) -> String {
    if let Some(external) = external(platform) {
        return external.binding_secret.clone();
    }
    if platform.has_users() {
        return binding_name(&user.name(platform));
    }
    crate::kafka::binding_name(&kafka_name(platform))
}

/// Name of the platform's KafkaCluster.
pub(super) fn kafka_name(platform: &ValidatedPlatform) -> String {
    kafka_cluster(&platform.owner.name)
}

pub(super) fn external(platform: &ValidatedPlatform) -> Option<&ExternalKafka> {
    platform.kafka.as_ref()?.external.as_ref()
}

/// Controllers and brokers apart, each with room for more ids.
fn pools(platform: &ValidatedPlatform, storage: &Storage, kafka: PodResources) -> Vec<Pool> {
    let pool = |name: &str, role, (first, last), storage: &Storage, resources| Pool {
        name: name.into(),
        roles: vec![role],
        replicas: platform.sizes.kafka_nodes,
        first_node_id: first,
        last_node_id: last,
        volumes: vec![Volume {
            size: storage.size.clone(),
            storage_class: storage.storage_class.clone(),
        }],
        resources: Some(resources),
        pod_overrides: FreeForm::new(),
    };
    let controllers = Storage {
        storage_class: storage.storage_class.clone(),
        ..platform.sizes.controller_storage.clone()
    };
    let resources = platform.sizes.controller.clone();
    vec![
        pool("brokers", Role::Broker, (0, 99), storage, kafka),
        pool(
            "controllers",
            Role::Controller,
            (100, 109),
            &controllers,
            resources,
        ),
    ]
}

/// Name of the KafkaCluster of a platform.
#[must_use]
pub fn kafka_cluster(platform: &str) -> String {
    format!("{platform}-kafka")
}

/// Name of the Secret with the operator's own way into the Kafka of a platform.
#[must_use]
pub fn kafka_admin(platform: &str) -> String {
    crate::kafka::admin_name(&kafka_cluster(platform))
}

pub(super) fn cluster(platform: &ValidatedPlatform, kafka: &PlatformKafka) -> KafkaCluster {
    let storage = kafka
        .storage
        .clone()
        .unwrap_or_else(|| platform.sizes.kafka_storage.clone());
    let resources = or_profile(kafka.resources.as_ref(), &platform.sizes.kafka);
    let shape = if platform.sizes.kafka_pools {
        KafkaClusterSpec {
            pools: pools(platform, &storage, resources),
            rack: (platform.sizes.racks() && platform.racks.kafka).then(|| Rack {
                topology_key: ZONE.into(),
            }),
            ..KafkaClusterSpec::default()
        }
    } else {
        KafkaClusterSpec {
            nodes: Some(platform.sizes.kafka_nodes),
            storage: Some(storage),
            resources: Some(resources),
            ..KafkaClusterSpec::default()
        }
    };
    KafkaCluster {
        metadata: meta(platform, "kafka"),
        spec: KafkaClusterSpec {
            image: kafka.image.clone(),
            storage_growth: kafka.storage_growth.clone(),
            config: kafka.config.clone(),
            listeners: kafka.listeners.clone(),
            ..shape
        },
        status: None,
    }
}

/// Copies of each topic.
pub(super) fn copies(platform: &ValidatedPlatform) -> i32 {
    let external = external(platform);
    external.map_or(platform.sizes.kafka_nodes.min(3), |e| e.replication_factor)
}

pub(super) fn platform_topics(
    platform: &ValidatedPlatform,
    kafka: &PlatformKafka,
    volume: &Storage,
) -> Vec<KafkaTopic> {
    let external = external(platform);
    let copies = copies(platform);
    topics(
        kafka.partitions.unwrap_or(platform.sizes.partitions),
        &volume.size,
    )
    .into_iter()
    .map(|mut topic| {
        if copies >= 3 {
            // One of three copies may be away, and what is acknowledged is in two.
            topic
                .config
                .insert("min.insync.replicas".into(), "2".into());
        }
        topic
    })
    .map(|topic| KafkaTopic {
        metadata: meta(platform, topic.name),
        spec: KafkaTopicSpec {
            kafka: external.is_none().then(|| kafka_name(platform)),
            binding: external.map(|external| external.binding_secret.clone()),
            topic_name: Some(topic.name.to_owned()),
            partitions: topic.partitions,
            replication_factor: copies,
            config: topic.config,
            schema: topic.schema,
            deletion_policy: DeletionPolicy::Retain,
            paused: false,
        },
        status: None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::validate::tests::{live, platform};
    use super::super::super::validate::validate;
    use super::super::build;
    use super::*;
    use serde_json::json;

    #[test]
    fn volumes_grow_where_a_platform_asks_for_it() {
        for profile in ["dev", "ha"] {
            let growth = |kafka| {
                let spec = json!({"profile": profile, "kafka": kafka});
                let valid = validate(&platform(spec), live(None)).unwrap();
                let made = build(&valid).unwrap().0;
                let cluster = made.get::<KafkaCluster>("p-kafka").unwrap();
                cluster.spec.storage_growth
            };
            let asked = growth(json!({"storageGrowth": {"maximum": "500Gi"}})).unwrap();
            assert_eq!((asked.maximum, asked.step_percent), ("500Gi".into(), 25));
            assert_eq!(growth(json!({})), None);
        }
    }
}
