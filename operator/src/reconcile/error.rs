//! What can go wrong while objects in Kubernetes are reconciled.

use std::time::Duration;

use millrace_contract::Invalid;

use super::apply::ApplyError;
use super::owner::OwnerError;
use crate::controller::Failure;

/// What can go wrong while objects in Kubernetes are reconciled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The custom resource is not one that was read from Kubernetes.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The spec asks for something that cannot be done. What ran goes on.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// Something that the spec refers to is not there, or not ready. What ran goes on.
    #[error("{invalid}")]
    Missing {
        /// One word in the form of `TopicMissing`.
        reason: &'static str,
        /// Field, value and cure.
        invalid: Invalid,
    },
    /// An object could not be written as JSON or YAML.
    #[error("{what}: {problem}")]
    Build {
        /// The object or file.
        what: &'static str,
        /// What the writer said.
        problem: String,
    },
    /// Something could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Kubernetes was asked in vain.
    #[error("{doing}: {source}")]
    Kubernetes {
        /// What it was asked for.
        doing: &'static str,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// The machine gave no random numbers.
    #[error("no random numbers for a secret: {0}")]
    Random(String),
}

impl Error {
    /// Says what Kubernetes was asked for.
    pub fn doing(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Kubernetes {
            doing,
            source: Box::new(source),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Build {
            what: "an object",
            problem: error.to_string(),
        }
    }
}

impl Failure for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Owner(_) => "NotReadFromKubernetes",
            Self::Invalid(_) => "InvalidSpec",
            Self::Missing { reason, .. } => reason,
            Self::Build { .. } => "BuildFailed",
            Self::Apply(ApplyError::Foreign { .. }) => "NameTaken",
            Self::Apply(ApplyError::Kubernetes { .. }) => "ApplyFailed",
            Self::Kubernetes { .. } => "KubernetesFailed",
            Self::Random(_) => "NoRandomNumbers",
        }
    }

    fn retry_after(&self) -> Duration {
        match self {
            // A corrected spec comes by a watch; this is for what the watch does not see.
            Self::Invalid(_) | Self::Build { .. } | Self::Owner(_) => Duration::from_secs(300),
            Self::Missing { .. } => Duration::from_secs(30),
            // The former resource's objects may just be on their way out.
            Self::Apply(ApplyError::Foreign { .. }) => Duration::from_secs(3),
            Self::Apply(_) | Self::Kubernetes { .. } | Self::Random(_) => Duration::from_secs(5),
        }
    }

    fn unavailable(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}
