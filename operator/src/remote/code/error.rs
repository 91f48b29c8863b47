//! Why code from elsewhere could not be had.

use std::time::Duration;

use millrace_contract::Invalid;

/// Why code from elsewhere could not be had. What is installed stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// Nobody answers, or not in time, or not with a certificate that is trusted.
    #[error("{0}")]
    Unreachable(Invalid),
    /// It is not given out.
    #[error("{0}")]
    Refused(Invalid),
    /// What comes has another digest than the one asked for.
    #[error("{0}")]
    Differs(Invalid),
    /// It is too large, or in no form that is an action.
    #[error("{0}")]
    Unusable(Invalid),
}

impl CodeError {
    /// One word in the form of `DigestDiffers`, for conditions.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "CodeUnreachable",
            Self::Refused(_) => "CodeRefused",
            Self::Differs(_) => "DigestDiffers",
            Self::Unusable(_) => "CodeUnusable",
        }
    }

    /// When it is tried again by itself.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Unreachable(_) => 30,
            // Somebody has to do something about it, there or here.
            Self::Refused(_) | Self::Differs(_) | Self::Unusable(_) => 300,
        })
    }

    pub(super) fn given_up(cause: &tokio::task::JoinError) -> Self {
        Self::Unreachable(Invalid::new(
            "spec.code",
            "(the place of the code)",
            format!("the call was given up: {cause}"),
            "it is tried again by itself",
        ))
    }

    pub(super) fn differs(field: &str, place: &str, wanted: &str, found: &str) -> Self {
        Self::Differs(Invalid::new(
            field,
            wanted,
            format!("what {place} gives has SHA-256 {found}; the code that is installed stays"),
            "set this digest if the new content is meant, or bring the former one back",
        ))
    }
}
