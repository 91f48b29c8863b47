//! Everything that lives inside a system rather than in Kubernetes: topics and users in Kafka, actions, triggers and
//! rules in OpenWhisk; databases and roles in PostgreSQL; replica sets and users in MongoDB; supervisors in Druid; who leads in Patroni; and what NameNodes and ZooKeeper servers say.
//! It all goes one way: [`pipeline`] observes, compares, acts, and tells what is there. What the resources themselves have
//! in common is in [`resident`].

pub mod action;
pub mod claim;
pub mod code;
pub mod druid;
pub mod hdfs;
pub mod http;
pub mod ingestion;
pub mod kafka;
pub mod kafka_resident;
pub mod mongo;
pub mod openwhisk;
pub mod patroni;
pub mod pipeline;
pub mod postgres;
pub mod release;
pub mod resident;
pub mod rule;
pub mod topic;
mod transport;
pub mod trigger;
pub mod user;
pub mod zookeeper;
