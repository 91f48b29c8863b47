//! The only place of Kafka administration. It speaks the protocol itself: [`frame`] and [`message`] turn values
//! into bytes and back without I/O, [`Connection`] carries them, [`KafkaAdmin`] finds the right broker and retries.

mod access;
mod acls;
mod address;
mod admin;
mod connection;
mod credentials;
mod error;
mod features;
pub mod frame;
pub mod message;
pub mod offsets;
pub mod outside;
mod pool;
mod positions;
mod quorum;
mod quotas;
mod replicas;
pub mod scram;
mod settings;
mod waiting;

pub use access::{Access, Login, Protocol, password};
pub use acls::{Acl, AclOperation, AclPattern, AclPermission, AclResource, CLUSTER_NAME};
pub use address::parse_bootstrap;
pub use admin::KafkaAdmin;
pub use connection::{Connection, Credentials, Timeouts};
pub use credentials::Credential;
pub use error::KafkaError;
pub use features::{FeatureLevel, METADATA_VERSION};
pub use kafka_protocol::ResponseError;
pub use message::{Broker, ClusterView, GroupOffset, NewTopic, PartitionView, TopicView};
pub use offsets::{Isolation, lag};
pub use pool::{ClusterKey, KafkaClients, shared_clients};
pub use quorum::{Endpoint, QuorumReplica, QuorumView, RegisteredBroker};
pub use quotas::Quotas;
pub use replicas::{Factor, LogDirectory, LogReplica, Moves, Reassignment, TopicPartition};
pub use settings::{ConfigChange, ConfigEntry, ConfigSource, TopicSettings};
pub use waiting::Waiting;
