//! What an action answers when it cannot do its work.

use millrace_contract::Invalid;
use thiserror::Error;

/// An action's failure; its text becomes the `error` of the activation.
#[derive(Debug, Error)]
pub enum ActionError {
    /// The input is wrong; asking again with the same input fails again.
    #[error("{0}")]
    Input(Invalid),
    /// A warning did not reach every channel. Channels and reasons are told; asking again tells those that took it
    /// nothing new.
    #[error("{failed}{}", told(.delivered))]
    Undelivered {
        /// The channels that did not take it, each with the reason, separated by `; `.
        failed: String,
        /// The channels that took it.
        delivered: Vec<String>,
    },
    /// MongoDB is away, or what it holds cannot be read.
    #[error("mongodb: {0}")]
    Documents(String),
    /// What a channel is sent could not be written as JSON.
    #[error("the answer could not be encoded: {0}")]
    Encode(String),
}

fn told(delivered: &[String]) -> String {
    if delivered.is_empty() {
        String::new()
    } else {
        format!(" (delivered over {})", delivered.join(", "))
    }
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
