//! The quorum of controllers, and registered brokers. The upper half is pure.

use std::collections::BTreeMap;

use kafka_protocol::messages::add_raft_voter_request::Listener;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::ReplicaState;
use kafka_protocol::messages::{
    AddRaftVoterRequest, BrokerId, DescribeClusterRequest, DescribeClusterResponse,
    DescribeQuorumRequest, DescribeQuorumResponse, RemoveRaftVoterRequest, UnregisterBrokerRequest,
};
use uuid::Uuid;

use super::address::join_address;
use super::admin::{KafkaAdmin, Target};
use super::error::KafkaError;
use super::message::{lacks, text, topic_name};

/// The topic of the metadata log, which has one partition.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// Who had all of the log so many milliseconds ago has caught up.
const CAUGHT_UP_MS: i64 = 10_000;
/// So many records behind counts as caught up, where no times are told.
const CAUGHT_UP_RECORDS: i64 = 1000;

/// A voter or an observer of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Its node id.
    pub id: i32,
    /// The id of its metadata directory; nil from Kafka before 3.9. A new volume has a new one.
    pub directory: Uuid,
    /// The end of its log; -1 when unknown.
    pub log_end_offset: i64,
    /// When it last asked, in milliseconds since 1970; -1 when unknown.
    pub last_fetch_ms: i64,
    /// When it last had all of the log, in milliseconds since 1970; -1 when unknown.
    pub last_caught_up_ms: i64,
}

/// Where a controller is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the listener.
    pub listener: String,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// The quorum as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumView {
    /// Node id of the active controller.
    pub leader: i32,
    /// Its epoch.
    pub epoch: i32,
    /// Up to where a majority has the log.
    pub high_watermark: i64,
    /// Those whose votes count.
    pub voters: Vec<QuorumReplica>,
    /// Those who only read: brokers, and controllers that are not voters.
    pub observers: Vec<QuorumReplica>,
    /// Where voters are reached, by node id.
    pub endpoints: BTreeMap<i32, Vec<Endpoint>>,
}

impl QuorumView {
    /// The observer with this id that lives. A node that got a new volume stands there with its former directory too, for
    /// minutes after that one lost its vote: who asked last is the one that lives.
    #[must_use]
    pub fn observer(&self, id: i32) -> Option<&QuorumReplica> {
        let of_node = self.observers.iter().filter(|observer| observer.id == id);
        of_node.max_by_key(|observer| observer.last_fetch_ms)
    }

    /// Whether a voter's directory is gone: its node asks with another one since.
    #[must_use]
    pub fn has_lost_its_volume(&self, voter: &QuorumReplica) -> bool {
        voter.id != self.leader
            && self.observer(voter.id).is_some_and(|observer| {
                observer.directory != voter.directory
                    && observer.last_fetch_ms > voter.last_fetch_ms
            })
    }

    /// Whether a controller or broker has all of the log but what came in the last moments.
    #[must_use]
    pub fn has_caught_up(&self, replica: &QuorumReplica) -> bool {
        let leader = self.voters.iter().find(|voter| voter.id == self.leader);
        match leader.map(|leader| leader.last_caught_up_ms) {
            // A quiet log grows slowly, so that offsets alone would not tell that somebody is away.
            Some(now) if now >= 0 && replica.last_caught_up_ms >= 0 => {
                replica.last_caught_up_ms + CAUGHT_UP_MS >= now
            }
            _ => replica.log_end_offset + CAUGHT_UP_RECORDS >= self.high_watermark,
        }
    }
}

/// A broker as the controllers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredBroker {
    /// Node id.
    pub id: i32,
    /// `host:port` of the listener that was asked.
    pub address: String,
    /// Rack, if set.
    pub rack: Option<String>,
    /// Whether it is kept from serving: it is down, or not yet up.
    pub fenced: bool,
}

fn quorum_request() -> DescribeQuorumRequest {
    let partition = PartitionData::default().with_partition_index(0);
    DescribeQuorumRequest::default().with_topics(vec![
        TopicData::default()
            .with_topic_name(topic_name(METADATA_TOPIC))
            .with_partitions(vec![partition]),
    ])
}

fn replica(state: &ReplicaState) -> QuorumReplica {
    QuorumReplica {
        id: state.replica_id.0,
        directory: state.replica_directory_id,
        log_end_offset: state.log_end_offset,
        last_fetch_ms: state.last_fetch_timestamp,
        last_caught_up_ms: state.last_caught_up_timestamp,
    }
}

fn read_quorum(response: &DescribeQuorumResponse, asked: &str) -> Result<QuorumView, KafkaError> {
    KafkaError::check(
        response.error_code,
        response.error_message.as_deref(),
        asked,
    )?;
    let partition = response
        .topics
        .first()
        .and_then(|topic| topic.partitions.first())
        .ok_or_else(|| lacks(asked, "the metadata partition"))?;
    KafkaError::check(
        partition.error_code,
        partition.error_message.as_deref(),
        asked,
    )?;
    let endpoints = response.nodes.iter().map(|node| {
        let listeners = node.listeners.iter().map(|listener| Endpoint {
            listener: listener.name.to_string(),
            host: listener.host.to_string(),
            port: listener.port,
        });
        (node.node_id.0, listeners.collect())
    });
    Ok(QuorumView {
        leader: partition.leader_id.0,
        epoch: partition.leader_epoch,
        high_watermark: partition.high_watermark,
        voters: partition.current_voters.iter().map(replica).collect(),
        observers: partition.observers.iter().map(replica).collect(),
        endpoints: endpoints.collect(),
    })
}

fn read_brokers(
    response: &DescribeClusterResponse,
    asked: &str,
) -> Result<Vec<RegisteredBroker>, KafkaError> {
    KafkaError::check(
        response.error_code,
        response.error_message.as_deref(),
        asked,
    )?;
    let mut brokers: Vec<RegisteredBroker> = response
        .brokers
        .iter()
        .map(|broker| RegisteredBroker {
            id: broker.broker_id.0,
            address: join_address(&broker.host, broker.port),
            rack: broker.rack.as_ref().map(ToString::to_string),
            fenced: broker.is_fenced,
        })
        .collect();
    brokers.sort_by_key(|broker| broker.id);
    Ok(brokers)
}

impl KafkaAdmin {
    /// The quorum of controllers.
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn quorum(&self) -> Result<QuorumView, KafkaError> {
        let asked = "describe the quorum of controllers";
        self.call(
            Target::Controller,
            asked,
            |_| quorum_request(),
            |answer| read_quorum(answer, asked),
        )
        .await
    }

    /// Makes a controller that follows the log a voter (KIP-853).
    ///
    /// # Errors
    /// [`KafkaError`]; the controllers refuse while another change is under way or the node is behind.
    pub async fn add_voter(
        &self,
        id: i32,
        directory: Uuid,
        endpoints: &[Endpoint],
    ) -> Result<(), KafkaError> {
        let asked = format!("add controller {id} to the quorum");
        let listeners: Vec<Listener> = endpoints
            .iter()
            .map(|endpoint| {
                Listener::default()
                    .with_name(text(&endpoint.listener))
                    .with_host(text(&endpoint.host))
                    .with_port(endpoint.port)
            })
            .collect();
        self.call(
            Target::Controller,
            &asked,
            |_| {
                AddRaftVoterRequest::default()
                    .with_cluster_id(None)
                    .with_timeout_ms(self.request_ms())
                    .with_voter_id(id)
                    .with_voter_directory_id(directory)
                    .with_listeners(listeners.clone())
            },
            |answer| KafkaError::check(answer.error_code, answer.error_message.as_deref(), &asked),
        )
        .await
    }

    /// Takes a controller's vote away (KIP-853).
    ///
    /// # Errors
    /// [`KafkaError`]; the controllers refuse while another change is under way.
    pub async fn remove_voter(&self, id: i32, directory: Uuid) -> Result<(), KafkaError> {
        let asked = format!("remove controller {id} from the quorum");
        self.call(
            Target::Controller,
            &asked,
            |_| {
                RemoveRaftVoterRequest::default()
                    .with_cluster_id(None)
                    .with_voter_id(id)
                    .with_voter_directory_id(directory)
            },
            |answer| KafkaError::check(answer.error_code, answer.error_message.as_deref(), &asked),
        )
        .await
    }

    /// All registered brokers, those that are down too where the brokers tell of them (Kafka 4.0).
    ///
    /// # Errors
    /// [`KafkaError`] once the time of a call is up.
    pub async fn registered_brokers(&self) -> Result<Vec<RegisteredBroker>, KafkaError> {
        let asked = "list its registered brokers";
        self.call(
            Target::Any,
            asked,
            |version| {
                DescribeClusterRequest::default()
                    .with_endpoint_type(1)
                    .with_include_fenced_brokers(version >= 2)
            },
            |answer| read_brokers(answer, asked),
        )
        .await
    }

    /// Forgets a broker that is gone for good.
    ///
    /// # Errors
    /// [`KafkaError`]; the controllers refuse while it is alive.
    pub async fn unregister_broker(&self, id: i32) -> Result<(), KafkaError> {
        let asked = format!("unregister broker {id}");
        self.call(
            Target::Controller,
            &asked,
            |_| UnregisterBrokerRequest::default().with_broker_id(BrokerId(id)),
            |answer| KafkaError::check(answer.error_code, answer.error_message.as_deref(), &asked),
        )
        .await
    }
}
