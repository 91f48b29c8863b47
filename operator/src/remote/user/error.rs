//! What can go wrong with a user, and how it is told.

use std::time::Duration;

use millrace_contract::Invalid;

use crate::controller::Failure;
use crate::kafka::reach::ReachError;
use crate::reconcile;
use crate::remote::kafka::KafkaError;
use crate::remote::release;

/// What can go wrong with a user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Kubernetes answered with an error.
    #[error("cannot {doing}")]
    Kubernetes {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: kube::Error,
    },
    /// The Secret could not be made.
    #[error(transparent)]
    Binding(#[from] reconcile::Error),
    /// Kafka cannot be asked, or failed.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// What is asked for cannot be had.
    #[error("{invalid}")]
    Refused {
        /// Field, value, cure.
        invalid: Invalid,
        /// There is no user because of it.
        absent: bool,
    },
    /// The user cannot be removed yet.
    #[error("the user cannot be removed: {source}; the resource is let go after {} s", release::TIME_LIMIT.as_secs())]
    Removal {
        /// Why not.
        source: KafkaError,
    },
}

impl From<ReachError> for UserError {
    fn from(error: ReachError) -> Self {
        match error {
            ReachError::Kubernetes(source) => Self::Kubernetes {
                doing: "read the way into Kafka",
                source,
            },
            ReachError::Kafka(error) => Self::Kafka(error),
        }
    }
}

impl UserError {
    pub(super) fn kubernetes(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Kubernetes { doing, source }
    }
}

impl Failure for UserError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Kubernetes { .. } => "KubernetesFailed",
            Self::Binding(error) => error.reason(),
            Self::Kafka(KafkaError::Broker { .. }) => "KafkaFailed",
            Self::Kafka(_) => "KafkaUnreachable",
            Self::Refused { .. } => "Refused",
            Self::Removal { .. } => "RemovalFailed",
        }
    }

    fn retry_after(&self) -> Duration {
        match self {
            // A Secret of the user's is not watched, so that it is looked at again.
            Self::Refused { .. } => Duration::from_secs(30),
            Self::Binding(error) => error.retry_after(),
            Self::Kubernetes { .. } | Self::Removal { .. } => Duration::from_secs(3),
            Self::Kafka(_) => Duration::from_secs(10),
        }
    }

    fn unavailable(&self) -> bool {
        match self {
            Self::Refused { absent, .. } => *absent,
            Self::Binding(error) => error.unavailable(),
            _ => false,
        }
    }
}
