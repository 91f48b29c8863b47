//! KafkaTopic: topics inside a Kafka cluster.

mod change;
mod error;
mod factor;
mod home;
mod reconcile;
mod remote;

pub use change::{ObservedTopic, TopicChange, WantedTopic, diff};
pub use error::TopicError;
pub use reconcile::{FINALIZER, SCHEMA_LABEL, Topics};
pub use remote::{RemoteTopic, explain};
