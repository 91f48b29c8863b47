//! Certificates: authorities, what they issue, and how an authority is replaced without an outage. Pure but for random
//! numbers: it knows no Kubernetes, and the time is given.

mod authority;
pub mod keystore;
mod rotation;

pub use authority::{Authority, Issued, Request, is_good, not_after};
pub use rotation::{Cause, Phase, Rotation};

/// What can go wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A key or a certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// What was given is not a key or a certificate in PEM.
    #[error("{what}: {problem}")]
    Read {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}
