//! What can go wrong with an action, a trigger or a rule, and how it is told.

use std::time::Duration;

use millrace_contract::Invalid;

use super::error::{Class, WhiskError};
use crate::controller::Failure;
use crate::remote::code::{CodeError, SourceError};
use crate::remote::release;
use crate::remote::resident::KubernetesError;

/// What can go wrong with an entity.
#[derive(Debug, thiserror::Error)]
pub enum EntityError {
    /// Kubernetes answered with an error.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// Something that the specification refers to is missing or wrong; the entity on the server stays as it is.
    #[error("{0}")]
    Invalid(Invalid),
    /// An action that comes with the operator cannot be read.
    #[error("the built-in action {name} cannot be read")]
    Builtin {
        /// Its name.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Code from elsewhere cannot be had; what is installed stays.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// OpenWhisk cannot be asked, or failed.
    #[error(transparent)]
    Whisk(#[from] WhiskError),
    /// The entity cannot be removed yet.
    #[error("the {what} cannot be removed: {source}; the resource is let go after {} s", release::TIME_LIMIT.as_secs())]
    Removal {
        /// What kind of entity.
        what: &'static str,
        /// Why not.
        source: WhiskError,
    },
}

impl From<SourceError> for EntityError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Invalid(invalid) => Self::Invalid(invalid),
            SourceError::Kubernetes(error) => Self::Kubernetes(error),
        }
    }
}

impl Failure for EntityError {
    fn reason(&self) -> &'static str {
        match self {
            EntityError::Kubernetes(_) => "KubernetesFailed",
            EntityError::Invalid(_) => "Invalid",
            EntityError::Builtin { .. } => "BuiltinUnreadable",
            EntityError::Code(error) => error.reason(),
            EntityError::Whisk(error) => match error.class() {
                Some(Class::Unauthorized) => "KeyRefused",
                Some(_) => "OpenWhiskFailed",
                None => "OpenWhiskUnreachable",
            },
            EntityError::Removal { .. } => "RemovalFailed",
        }
    }

    fn retry_after(&self) -> Duration {
        match self {
            // Often what is missing comes a moment later: a Secret made by somebody else.
            EntityError::Invalid(_) => Duration::from_secs(5),
            EntityError::Kubernetes(_) | EntityError::Removal { .. } => Duration::from_secs(3),
            EntityError::Code(error) => error.retry_after(),
            EntityError::Whisk(_) => Duration::from_secs(10),
            EntityError::Builtin { .. } => Duration::from_secs(60),
        }
    }
}
