//! KafkaCluster: an Apache Kafka.

mod build;
mod config;
pub mod crd;
mod reconcile;
mod validate;

pub use reconcile::Kafka;

/// Port for clients.
pub const CLIENT_PORT: i32 = 9092;
/// Port for the controllers.
pub const CONTROLLER_PORT: i32 = 9093;

/// Name of the Secret with the connection details of a cluster.
#[must_use]
pub fn binding_name(cluster: &str) -> String {
    format!("{cluster}-binding")
}
