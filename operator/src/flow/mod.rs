//! The flow through a platform: how far each stage has come, what waits for it, and how long a canary takes.
//!
//! A watch of each Platform looks at Kafka and the gateway at its own pace, so that a slow answer holds no reconcile up.
//! The reconciler reads what was seen last ([`watch`]) and makes the status of it ([`told`]), which stays as it is while
//! nothing has changed that matters.

mod canary;
mod gateway;
mod look;
mod matters;
mod served;
mod told;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::platform::crd::StageName;
use crate::remote::kafka::KafkaAdmin;

pub use crate::remote::druid::DruidAt;
pub use gateway::{GatewayAt, GatewayClient, GatewayError, Token};
pub use look::Looker;
#[cfg(test)]
pub(crate) use matters::{BEHIND, LATE, SLOW};
pub use told::{stuck, told};
pub use watch::watch;

/// A stage to look at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Watched {
    /// The stage.
    pub stage: StageName,
    /// Its topic in Kafka.
    pub topic: String,
    /// The consumer group whose progress it is.
    pub group: Option<String>,
    /// Whether what it does leads to what vehicles are told.
    pub leads_to_vehicles: bool,
    /// How long records wait here on purpose. No canary waits for the one before to pass such a stage.
    pub usual: Duration,
}

/// What is to be watched of a platform.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The client of its Kafka.
    pub kafka: Arc<KafkaAdmin>,
    /// Its stages, in the order of the flow.
    pub stages: Vec<Watched>,
    /// Its gateway.
    pub gateway: Option<GatewayAt>,
    /// Its Druid, of stage `served`.
    pub druid: Option<DruidAt>,
    /// Time between two canaries; none are sent when absent.
    pub canary_every: Option<Duration>,
    /// What a canary may take.
    pub stuck_after: Duration,
}

/// What was seen of a stage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StageSeen {
    /// The stage.
    pub watched: Watched,
    /// Where the topic ended: the sum over its partitions.
    pub end: Option<i64>,
    /// How far the group had come: the sum over the partitions.
    pub committed: Option<i64>,
    /// Records that waited.
    pub lag: Option<i64>,
    /// How long the oldest of them had waited.
    pub lag_time: Option<Duration>,
    /// How long ago the newest event was that answers count, at stage `served`.
    pub newest: Option<Duration>,
    /// What the canary took until it had passed.
    pub canary: Option<Duration>,
    /// Why nothing is known.
    pub problem: Option<String>,
}

/// What was seen of a canary.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CanarySeen {
    /// Its id.
    pub id: String,
    /// When it was sent.
    pub sent: Timestamp,
    /// The stage that it does not pass, if it takes longer than it may.
    pub stuck_at: Option<StageName>,
}

/// What was seen of the flow at one time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// Whether there was a gateway that took events.
    pub has_gateway: bool,
    /// The stages.
    pub stages: Vec<StageSeen>,
    /// The canary whose times the stages have.
    pub canary: Option<CanarySeen>,
}
