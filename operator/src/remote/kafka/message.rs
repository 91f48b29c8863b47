//! What is asked of Kafka and what its answers mean, as plain values. No I/O.

use std::collections::BTreeMap;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::address::join_address;
use super::error::KafkaError;

pub(super) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

pub(super) fn topic_name(value: &str) -> TopicName {
    TopicName(text(value))
}

/// A broker as the cluster announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Node id.
    pub id: i32,
    /// `host:port` of the listener that was asked.
    pub address: String,
    /// Rack, if set.
    pub rack: Option<String>,
}

/// The cluster as one broker sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterView {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The broker that takes requests for the controller. With KRaft any broker forwards them, so this is one of them.
    pub controller: Option<i32>,
    /// Registered brokers, by id.
    pub brokers: BTreeMap<i32, Broker>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionView {
    /// Its number, from 0.
    pub index: i32,
    /// The leader's node id; `None` while there is none.
    pub leader: Option<i32>,
    /// Node ids of the replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Node ids of the replicas in sync.
    pub in_sync: Vec<i32>,
}

/// A topic as the cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicView {
    /// Its name.
    pub name: String,
    /// Its id: another one under the same name means that it was deleted and created again.
    pub id: Uuid,
    /// Kafka's own, such as `__consumer_offsets`.
    pub internal: bool,
    /// By number.
    pub partitions: Vec<PartitionView>,
}

impl TopicView {
    /// The number of replicas of each partition; the smallest, while a reassignment is on its way.
    #[must_use]
    pub fn replication_factor(&self) -> i32 {
        let smallest = self.partitions.iter().map(|p| p.replicas.len()).min();
        i32::try_from(smallest.unwrap_or(0)).unwrap_or(i32::MAX)
    }
}

/// A topic to be created. A count of -1 leaves it to the broker's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas of each.
    pub replication_factor: i16,
    /// Configuration to set from the start.
    pub config: BTreeMap<String, String>,
}

/// The committed position of a consumer group in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupOffset {
    /// The next offset the group will read.
    pub committed: i64,
}

/// Asks for brokers and the named topics (`None`: all). Never creates a topic by asking.
#[must_use]
pub fn metadata_request(topics: Option<&[&str]>) -> MetadataRequest {
    MetadataRequest::default()
        .with_allow_auto_topic_creation(false)
        .with_topics(topics.map(|names| {
            names
                .iter()
                .map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))))
                .collect()
        }))
}

/// The cluster in a metadata answer.
#[must_use]
pub fn read_cluster(response: &MetadataResponse) -> ClusterView {
    let brokers: BTreeMap<i32, Broker> = response
        .brokers
        .iter()
        .map(|b| {
            let broker = Broker {
                id: b.node_id.0,
                address: join_address(b.host.as_str(), b.port),
                rack: b.rack.as_ref().map(|r| r.to_string()),
            };
            (broker.id, broker)
        })
        .collect();
    let controller = response.controller_id.0;
    ClusterView {
        cluster_id: response.cluster_id.as_ref().map(|id| id.to_string()),
        controller: brokers.contains_key(&controller).then_some(controller),
        brokers,
    }
}

/// The topics in a metadata answer; a topic that does not exist is left out.
///
/// # Errors
/// The first topic's error other than "unknown topic".
pub fn read_topics(response: &MetadataResponse, asked: &str) -> Result<Vec<TopicView>, KafkaError> {
    KafkaError::check(response.error_code, None, asked)?;
    let mut topics = Vec::new();
    for topic in &response.topics {
        match KafkaError::check(topic.error_code, None, asked) {
            Err(error) if error.is_unknown_topic() => continue,
            result => result?,
        }
        let mut partitions: Vec<PartitionView> = topic
            .partitions
            .iter()
            .map(|p| PartitionView {
                index: p.partition_index,
                leader: (p.leader_id.0 >= 0).then_some(p.leader_id.0),
                replicas: p.replica_nodes.iter().map(|n| n.0).collect(),
                in_sync: p.isr_nodes.iter().map(|n| n.0).collect(),
            })
            .collect();
        partitions.sort_by_key(|p| p.index);
        topics.push(TopicView {
            name: topic
                .name
                .as_ref()
                .map(|n| n.to_string())
                .unwrap_or_default(),
            id: topic.topic_id,
            internal: topic.is_internal,
            partitions,
        });
    }
    Ok(topics)
}

/// Asks for one topic to be created; `validate_only` asks whether it could be.
#[must_use]
pub fn create_topic_request(
    topic: &NewTopic,
    timeout_ms: i32,
    validate_only: bool,
) -> CreateTopicsRequest {
    let config = topic
        .config
        .iter()
        .map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name(text(key))
                .with_value(Some(text(value)))
        })
        .collect();
    let wanted = CreatableTopic::default()
        .with_name(topic_name(&topic.name))
        .with_num_partitions(topic.partitions)
        .with_replication_factor(topic.replication_factor)
        .with_configs(config);
    CreateTopicsRequest::default()
        .with_topics(vec![wanted])
        .with_timeout_ms(timeout_ms)
        .with_validate_only(validate_only)
}

/// The id of the created topic (nil from brokers that do not tell it).
///
/// # Errors
/// The broker's error for this topic.
pub fn read_create_topic(response: &CreateTopicsResponse, asked: &str) -> Result<Uuid, KafkaError> {
    let result = response
        .topics
        .first()
        .ok_or_else(|| lacks(asked, "the topic"))?;
    KafkaError::check(result.error_code, result.error_message.as_deref(), asked)?;
    Ok(result.topic_id)
}

/// Asks for a topic to have `count` partitions in all.
#[must_use]
pub fn create_partitions_request(
    topic: &str,
    count: i32,
    timeout_ms: i32,
) -> CreatePartitionsRequest {
    CreatePartitionsRequest::default()
        .with_topics(vec![
            CreatePartitionsTopic::default()
                .with_name(topic_name(topic))
                .with_count(count)
                .with_assignments(None),
        ])
        .with_timeout_ms(timeout_ms)
}

/// Whether partitions were added.
///
/// # Errors
/// The broker's error for this topic.
pub fn read_create_partitions(
    response: &CreatePartitionsResponse,
    asked: &str,
) -> Result<(), KafkaError> {
    let result = response
        .results
        .first()
        .ok_or_else(|| lacks(asked, "the topic"))?;
    KafkaError::check(result.error_code, result.error_message.as_deref(), asked)
}

/// Asks for a topic to be deleted by name, in the form of versions 1 to 5 or of 6 and later.
#[must_use]
pub fn delete_topic_request(topic: &str, timeout_ms: i32, by_state: bool) -> DeleteTopicsRequest {
    let request = DeleteTopicsRequest::default().with_timeout_ms(timeout_ms);
    if by_state {
        request.with_topics(vec![
            DeleteTopicState::default().with_name(Some(topic_name(topic))),
        ])
    } else {
        request.with_topic_names(vec![topic_name(topic)])
    }
}

/// Whether the topic was deleted.
///
/// # Errors
/// The broker's error for this topic.
pub fn read_delete_topic(response: &DeleteTopicsResponse, asked: &str) -> Result<(), KafkaError> {
    let result = response
        .responses
        .first()
        .ok_or_else(|| lacks(asked, "the topic"))?;
    KafkaError::check(result.error_code, result.error_message.as_deref(), asked)
}

pub(super) fn lacks(asked: &str, missing: &str) -> KafkaError {
    KafkaError::Incomplete {
        asked: asked.to_owned(),
        missing: missing.to_owned(),
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
