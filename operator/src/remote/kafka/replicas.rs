//! Where replicas are and where they go: reassignments, log directories, elections. The upper half is pure.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, BrokerId,
    DescribeLogDirsRequest, DescribeLogDirsResponse, ElectLeadersRequest, ElectLeadersResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::admin::{KafkaAdmin, Target};
use super::error::KafkaError;
use super::message::topic_name;

/// The preferred leader, as opposed to an unclean election.
const PREFERRED: i8 = 0;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

/// A partition whose replicas move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    /// The partition.
    pub at: TopicPartition,
    /// All its replicas while it moves.
    pub replicas: Vec<i32>,
    /// Those that are being added.
    pub adding: Vec<i32>,
    /// Those that go once the added ones are in sync.
    pub removing: Vec<i32>,
}

/// A replica in a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReplica {
    /// The partition.
    pub at: TopicPartition,
    /// Its size in bytes.
    pub bytes: i64,
    /// Whether it is a copy on the way between two directories of the broker.
    pub future: bool,
}

/// A log directory of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDirectory {
    /// Its path.
    pub path: String,
    /// Why it cannot be used, if so.
    pub error: Option<String>,
    /// Size of its volume in bytes; `None` where the broker does not tell.
    pub total_bytes: Option<u64>,
    /// What is free on it, in bytes.
    pub usable_bytes: Option<u64>,
    /// What is in it.
    pub replicas: Vec<LogReplica>,
}

/// New replicas of partitions; `None` cancels what moves.
pub type Moves = BTreeMap<TopicPartition, Option<Vec<i32>>>;

/// Whether a move may change how many replicas a partition has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    /// It keeps them: the controllers refuse anything else (Kafka 4.1), such as a move that was computed from metadata
    /// that had fallen behind.
    Kept,
    /// It may have more or fewer.
    Changed,
}

fn reassign_request(
    moves: &Moves,
    factor: Factor,
    version: i16,
    timeout_ms: i32,
) -> AlterPartitionReassignmentsRequest {
    let mut topics: BTreeMap<&str, Vec<ReassignablePartition>> = BTreeMap::new();
    for (at, replicas) in moves {
        let replicas = replicas
            .as_ref()
            .map(|ids| ids.iter().map(|id| BrokerId(*id)).collect());
        topics.entry(&at.topic).or_default().push(
            ReassignablePartition::default()
                .with_partition_index(at.partition)
                .with_replicas(replicas),
        );
    }
    AlterPartitionReassignmentsRequest::default()
        .with_timeout_ms(timeout_ms)
        .with_allow_replication_factor_change(factor == Factor::Changed || version < 1)
        .with_topics(
            topics
                .into_iter()
                .map(|(name, partitions)| {
                    ReassignableTopic::default()
                        .with_name(topic_name(name))
                        .with_partitions(partitions)
                })
                .collect(),
        )
}

fn read_reassign(
    response: &AlterPartitionReassignmentsResponse,
    asked: &str,
) -> Result<(), KafkaError> {
    KafkaError::check(
        response.error_code,
        response.error_message.as_deref(),
        asked,
    )?;
    response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
        .filter(|partition| {
            // What moved to its end meanwhile cannot be cancelled, and need not be.
            ResponseError::try_from_code(partition.error_code)
                != Some(ResponseError::NoReassignmentInProgress)
        })
        .try_for_each(|partition| {
            KafkaError::check(
                partition.error_code,
                partition.error_message.as_deref(),
                asked,
            )
        })
}

fn read_reassignments(
    response: &ListPartitionReassignmentsResponse,
    asked: &str,
) -> Result<Vec<Reassignment>, KafkaError> {
    KafkaError::check(
        response.error_code,
        response.error_message.as_deref(),
        asked,
    )?;
    let ids = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
    Ok(response
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(move |partition| Reassignment {
                at: TopicPartition {
                    topic: topic.name.to_string(),
                    partition: partition.partition_index,
                },
                replicas: ids(&partition.replicas),
                adding: ids(&partition.adding_replicas),
                removing: ids(&partition.removing_replicas),
            })
        })
        .collect())
}

fn read_log_directories(
    response: &DescribeLogDirsResponse,
    asked: &str,
) -> Result<Vec<LogDirectory>, KafkaError> {
    KafkaError::check(response.error_code, None, asked)?;
    Ok(response
        .results
        .iter()
        .map(|result| LogDirectory {
            path: result.log_dir.to_string(),
            error: ResponseError::try_from_code(result.error_code).map(|code| code.to_string()),
            total_bytes: u64::try_from(result.total_bytes).ok(),
            usable_bytes: u64::try_from(result.usable_bytes).ok(),
            replicas: result
                .topics
                .iter()
                .flat_map(|topic| {
                    topic.partitions.iter().map(move |partition| LogReplica {
                        at: TopicPartition {
                            topic: topic.name.to_string(),
                            partition: partition.partition_index,
                        },
                        bytes: partition.partition_size,
                        future: partition.is_future_key,
                    })
                })
                .collect(),
        })
        .collect())
}

fn read_election(response: &ElectLeadersResponse, asked: &str) -> Result<(), KafkaError> {
    KafkaError::check(response.error_code, None, asked)?;
    response
        .replica_election_results
        .iter()
        .flat_map(|topic| &topic.partition_result)
        .filter(|partition| {
            !matches!(
                ResponseError::try_from_code(partition.error_code),
                // The leader is the preferred one already, or that one is not in sync: nothing to do now.
                Some(ResponseError::ElectionNotNeeded | ResponseError::PreferredLeaderNotAvailable)
            )
        })
        .try_for_each(|partition| {
            KafkaError::check(
                partition.error_code,
                partition.error_message.as_deref(),
                asked,
            )
        })
}

impl KafkaAdmin {
    /// Gives partitions new replicas, the preferred leader first; Kafka moves them in the background.
    ///
    /// # Errors
    /// [`KafkaError`] of the first partition that cannot have them; others may have been accepted.
    pub async fn reassign(&self, moves: &Moves, factor: Factor) -> Result<(), KafkaError> {
        if moves.is_empty() {
            return Ok(());
        }
        let asked = format!("move the replicas of {} partitions", moves.len());
        self.call(
            Target::Controller,
            &asked,
            |version| reassign_request(moves, factor, version, self.request_ms()),
            |answer| read_reassign(answer, &asked),
        )
        .await
    }

    /// What moves at this moment.
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn reassignments(&self) -> Result<Vec<Reassignment>, KafkaError> {
        let asked = "list the replicas that move";
        self.call(
            Target::Controller,
            asked,
            |_| {
                ListPartitionReassignmentsRequest::default()
                    .with_timeout_ms(self.request_ms())
                    .with_topics(None)
            },
            |answer| read_reassignments(answer, asked),
        )
        .await
    }

    /// The log directories of one broker.
    ///
    /// # Errors
    /// [`KafkaError`]; the broker has to be reachable itself.
    pub async fn log_directories(&self, address: &str) -> Result<Vec<LogDirectory>, KafkaError> {
        let asked = "describe its log directories";
        self.call(
            Target::At(address),
            asked,
            |_| DescribeLogDirsRequest::default().with_topics(None),
            |answer| read_log_directories(answer, asked),
        )
        .await
    }

    /// Gives every partition back to its preferred leader, where that one is in sync.
    ///
    /// # Errors
    /// [`KafkaError`] of the first partition where it failed.
    pub async fn elect_preferred_leaders(&self) -> Result<(), KafkaError> {
        let asked = "elect the preferred leaders";
        self.call(
            Target::Controller,
            asked,
            |_| {
                ElectLeadersRequest::default()
                    .with_election_type(PREFERRED)
                    .with_topic_partitions(None)
                    .with_timeout_ms(self.request_ms())
            },
            |answer| read_election(answer, asked),
        )
        .await
    }
}
