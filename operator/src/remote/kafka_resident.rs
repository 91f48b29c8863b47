//! What topics and users have in common as resources of a Kafka.

use std::time::Duration;

use millrace_contract::Invalid;

use super::kafka::KafkaError;
use super::pipeline::{Plan, Remote, plan};
use super::release;
use super::resident::{KubernetesError, LOOK};
use crate::controller::Failure;
use crate::kafka::reach::ReachError;
use crate::reconcile;

/// What can go wrong with a thing inside a Kafka.
#[derive(Debug, thiserror::Error)]
pub enum KafkaResidentError {
    /// Kubernetes answered with an error.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// An object that goes with the thing could not be made.
    #[error(transparent)]
    Object(#[from] reconcile::Error),
    /// Kafka cannot be asked, or failed.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// What is asked for cannot be had.
    #[error("{invalid}")]
    Refused {
        /// Field, value, cure.
        invalid: Invalid,
        /// There is no such thing because of it.
        absent: bool,
        /// When to try again though nothing has changed.
        again: Duration,
    },
    /// The thing cannot be removed yet.
    #[error("the {what} cannot be removed: {source}; the resource is let go after {} s", release::TIME_LIMIT.as_secs())]
    Removal {
        /// What kind of thing.
        what: &'static str,
        /// Why not.
        source: KafkaError,
    },
}

impl From<ReachError> for KafkaResidentError {
    fn from(error: ReachError) -> Self {
        match error {
            ReachError::Kubernetes(source) => {
                KubernetesError::doing("read the way into Kafka")(source).into()
            }
            ReachError::Kafka(error) => Self::Kafka(error),
        }
    }
}

impl Failure for KafkaResidentError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Kubernetes(_) => "KubernetesFailed",
            Self::Object(error) => error.reason(),
            Self::Kafka(KafkaError::Broker { .. }) => "KafkaFailed",
            Self::Kafka(_) => "KafkaUnreachable",
            Self::Refused { .. } => "Refused",
            Self::Removal { .. } => "RemovalFailed",
        }
    }

    fn retry_after(&self) -> Duration {
        match self {
            Self::Refused { again, .. } => *again,
            Self::Object(error) => error.retry_after(),
            Self::Kubernetes(_) | Self::Removal { .. } => Duration::from_secs(3),
            Self::Kafka(_) => Duration::from_secs(10),
        }
    }

    fn unavailable(&self) -> bool {
        match self {
            Self::Refused { absent, .. } => *absent,
            Self::Object(error) => error.unavailable(),
            _ => false,
        }
    }
}

/// The plan for a thing, for somebody who waits for it; else why Kafka could not be looked into.
///
/// # Errors
/// That it could not, in words.
pub async fn look<R>(remote: &R) -> Result<Plan<R::Change>, String>
where
    R: Remote<Error = KafkaError>,
{
    let unseen = |why: &dyn std::fmt::Display| format!("Kafka cannot be asked from here: {why}");
    match tokio::time::timeout(LOOK, plan(remote)).await {
        Ok(planned) => planned.map_err(|error| unseen(&error)),
        Err(_) => Err(unseen(&format_args!(
            "no answer within {} s",
            LOOK.as_secs()
        ))),
    }
}
