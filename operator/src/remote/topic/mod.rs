//! KafkaTopic: topics inside a Kafka cluster.

mod change;
mod factor;
mod home;
mod reconcile;
mod remote;
mod schema;
mod status;

pub use change::{ObservedTopic, TopicChange, WantedTopic, diff};
pub use factor::Mover;
pub use reconcile::{FINALIZER, SCHEMA_LABEL, Topics};
pub use remote::{RemoteTopic, explain};
pub use schema::BoundSchema;
