//! What became of notifications: the records of the compacted topic `notified`.

use jiff::Timestamp;
use millrace_contract::Notification;
use serde::{Deserialize, Serialize};

/// What became of a notification: a record of the topic `notified`, keyed by alert id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// How far it came.
    pub state: Stage,
    /// When it came that far.
    pub at: Timestamp,
    /// The vehicle.
    pub vehicle: String,
    /// After this it is not delivered any more.
    pub expires_at: Timestamp,
    /// Whether it was to be spoken: after its delivery the vehicle is left in quiet for a while.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spoken: bool,
}

/// How far a notification came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It lies in the topic `notifications`.
    Accepted,
    /// The vehicle acknowledged it.
    Delivered,
}

impl Notified {
    /// The record of a notification that came so far now.
    #[must_use]
    pub fn of(notification: &Notification, state: Stage, at: Timestamp) -> Self {
        Self {
            state,
            at,
            vehicle: notification.vehicle.clone(),
            expires_at: notification.expires_at,
            spoken: !notification.ssml.is_empty(),
        }
    }
}
