//! What can go wrong with a topic, and how it is told.

use std::time::Duration;

use millrace_contract::Invalid;

use crate::controller::Failure;
use crate::kafka::reach::ReachError;
use crate::remote::kafka::KafkaError;
use crate::remote::release;

/// What can go wrong with a topic.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// Kubernetes answered with an error.
    #[error("cannot {doing}")]
    Kubernetes {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: kube::Error,
    },
    /// Kafka cannot be asked, or failed.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// Kafka refuses what is asked for.
    #[error("{invalid}")]
    Refused {
        /// Field, value, cure.
        invalid: Invalid,
        /// There is no topic because of it.
        absent: bool,
    },
    /// The topic cannot be removed yet.
    #[error("the topic cannot be removed: {source}; the resource is let go after {} s", release::TIME_LIMIT.as_secs())]
    Removal {
        /// Why not.
        source: KafkaError,
    },
}

impl From<ReachError> for TopicError {
    fn from(error: ReachError) -> Self {
        match error {
            ReachError::Kubernetes(source) => TopicError::Kubernetes {
                doing: "read the way into Kafka",
                source,
            },
            ReachError::Kafka(error) => TopicError::Kafka(error),
        }
    }
}

impl TopicError {
    pub(super) fn kubernetes(doing: &'static str) -> impl FnOnce(kube::Error) -> TopicError {
        move |source| TopicError::Kubernetes { doing, source }
    }
}

impl Failure for TopicError {
    fn reason(&self) -> &'static str {
        match self {
            TopicError::Kubernetes { .. } => "KubernetesFailed",
            TopicError::Kafka(KafkaError::Broker { .. }) => "KafkaFailed",
            TopicError::Kafka(_) => "KafkaUnreachable",
            TopicError::Refused { .. } => "Refused",
            TopicError::Removal { .. } => "RemovalFailed",
        }
    }

    fn retry_after(&self) -> Duration {
        match self {
            // Unchanged, it is refused again; but brokers may have been added meanwhile.
            TopicError::Refused { .. } => Duration::from_secs(60),
            TopicError::Kubernetes { .. } | TopicError::Removal { .. } => Duration::from_secs(3),
            TopicError::Kafka(_) => Duration::from_secs(10),
        }
    }

    fn unavailable(&self) -> bool {
        matches!(self, TopicError::Refused { absent: true, .. })
    }
}
