//! What can go wrong with an action, and how it is told.

use std::time::Duration;

use millrace_contract::Invalid;

use crate::controller::Failure;
use crate::remote::openwhisk::{Class, WhiskError};
use crate::remote::release;

/// What can go wrong with an action.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// Kubernetes answered with an error.
    #[error("cannot {doing}")]
    Kubernetes {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: kube::Error,
    },
    /// Something that the specification refers to is missing or wrong; the action on the server stays as it is.
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
    /// OpenWhisk cannot be asked, or failed.
    #[error(transparent)]
    Whisk(#[from] WhiskError),
    /// The action cannot be removed yet.
    #[error("the action cannot be removed: {source}; the resource is let go after {} s", release::TIME_LIMIT.as_secs())]
    Removal {
        /// Why not.
        source: WhiskError,
    },
}

impl ActionError {
    pub(super) fn kubernetes(doing: &'static str) -> impl FnOnce(kube::Error) -> ActionError {
        move |source| ActionError::Kubernetes { doing, source }
    }
}

impl Failure for ActionError {
    fn reason(&self) -> &'static str {
        match self {
            ActionError::Kubernetes { .. } => "KubernetesFailed",
            ActionError::Invalid(_) => "Invalid",
            ActionError::Builtin { .. } => "BuiltinUnreadable",
            ActionError::Whisk(error) => match error.class() {
                Some(Class::Unauthorized) => "KeyRefused",
                Some(_) => "OpenWhiskFailed",
                None => "OpenWhiskUnreachable",
            },
            ActionError::Removal { .. } => "RemovalFailed",
        }
    }

    fn retry_after(&self) -> Duration {
        match self {
            // Often what is missing comes a moment later: a Secret made by somebody else.
            ActionError::Invalid(_) => Duration::from_secs(5),
            ActionError::Kubernetes { .. } | ActionError::Removal { .. } => Duration::from_secs(3),
            ActionError::Whisk(_) => Duration::from_secs(10),
            ActionError::Builtin { .. } => Duration::from_secs(60),
        }
    }
}
