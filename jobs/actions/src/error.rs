//! What an action answers when it cannot do its work.

use millrace_contract::Invalid;
use thiserror::Error;

/// An action's failure; its text becomes the `error` of the activation.
#[derive(Debug, Error)]
pub enum ActionError {
    /// The input is wrong; asking again with the same input fails again.
    #[error("{0}")]
    Input(Invalid),
    /// The input is no JSON of the action's shape.
    #[error("input: {0}; send the object that the action's documentation describes")]
    Shape(String),
    /// The gateway refused the notification for good.
    #[error("gateway {url}: answered {status}: {text}; {cure}")]
    Refused {
        /// Address that was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What the gateway said.
        text: String,
        /// What to do about it.
        cure: &'static str,
    },
    /// The gateway could not be reached, or stayed unwell, until the deadline.
    #[error(
        "gateway {url}: {problem} after {attempts} attempts; the notification was not delivered and may be sent again with the same id"
    )]
    Unreachable {
        /// Address that was asked.
        url: String,
        /// The last problem seen.
        problem: String,
        /// Attempts made.
        attempts: u32,
    },
    /// The action panicked, which is a fault of ours.
    #[error(
        "the action panicked: {0}; this is a fault in the action, please report it with its input"
    )]
    Panicked(String),
    /// The answer could not be written as JSON.
    #[error("the answer could not be encoded: {0}")]
    Encode(String),
}

impl ActionError {
    /// Wrong input: which field, its value, what is wrong with it, and the cure.
    pub fn input(
        field: &str,
        value: impl ToString,
        problem: &str,
        cure: impl Into<String>,
    ) -> Self {
        Self::Input(Invalid {
            field: field.to_owned(),
            value: value.to_string(),
            problem: problem.to_owned(),
            cure: cure.into(),
        })
    }
}
