//! KafkaTopic: a topic of a Kafka.

pub mod crd;
