//! Why driving trips through a platform fails.

use crate::settings::SettingsError;

/// Why driving failed.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The admin token.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An option.
    #[error("{0}")]
    Option(String),
    /// The gateway refuses; trying again would not help.
    #[error("gateway: {what}: refused with {status}: {answer}")]
    Refused {
        /// The request.
        what: &'static str,
        /// Status code.
        status: u16,
        /// What it said.
        answer: String,
    },
    /// An answer makes no sense.
    #[error(
        "gateway: {what}: {answer}: not an answer of this version; use the same version on both sides"
    )]
    Answer {
        /// The request.
        what: &'static str,
        /// What is wrong.
        answer: String,
    },
    /// The gateway stays away.
    #[error(
        "gateway: {what}: no success in {seconds} s, the last problem: {problem}; see that the gateway is ready"
    )]
    Away {
        /// The request.
        what: &'static str,
        /// The last problem.
        problem: String,
        /// How long it was tried.
        seconds: u64,
    },
    /// MQTT is refused.
    #[error("MQTT: {0}; see that nobody else enrols or uses these vehicles")]
    Mqtt(String),
    /// The platform does not get through.
    #[error("not all is through, and nothing moved for {seconds} s: {pending}")]
    Stuck {
        /// How long nothing moved.
        seconds: u64,
        /// What waits, and where.
        pending: String,
    },
    /// Asked to stop.
    #[error("interrupted before all was through")]
    Interrupted,
}
