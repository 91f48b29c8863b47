//! KafkaUser: who may do what in a Kafka.

pub mod crd;
