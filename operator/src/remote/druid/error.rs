//! What can go wrong between this process and a Druid.

use serde::Deserialize;

/// A failed call. Druid's own words are kept.
#[derive(Debug, thiserror::Error)]
pub enum DruidError {
    /// The address is not one that can be called.
    #[error(
        "{value:?} is not the address of a Druid: {problem}; give http://host:port or https://host:port"
    )]
    Address {
        /// What was given.
        value: String,
        /// What is wrong.
        problem: String,
    },
    /// No connection, or it broke, or no answer in time.
    #[error("cannot reach Druid at {address} to {asked}: {problem}")]
    Unreachable {
        /// The base address.
        address: String,
        /// What was asked.
        asked: String,
        /// Why.
        problem: String,
    },
    /// Druid answered with an error.
    #[error("Druid refused to {asked}: {status}: {message}")]
    Refused {
        /// What was asked.
        asked: String,
        /// The HTTP status.
        status: u16,
        /// Druid's message.
        message: String,
    },
    /// The answer is not what the API promises.
    #[error("Druid's answer to {asked} cannot be read: {problem}")]
    Answer {
        /// What was asked.
        asked: String,
        /// What is wrong.
        problem: String,
    },
}

/// Longest message that is told; some list all types that Druid knows.
const MESSAGE_CHARS: usize = 400;

impl DruidError {
    /// The error that a status other than 2xx stands for.
    #[must_use]
    pub fn refused(asked: &str, status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            error: Option<String>,
            error_message: Option<String>,
        }
        let text = match serde_json::from_slice::<Body>(body) {
            // Newer answers say in `error` only what kind it is.
            Ok(Body {
                error_message: Some(message),
                ..
            }) => message,
            Ok(Body {
                error: Some(error), ..
            }) => error,
            _ => String::from_utf8_lossy(body).into_owned(),
        };
        let text = text.trim().replace('\n', " ");
        let mut message: String = text.chars().take(MESSAGE_CHARS).collect();
        if message.len() < text.len() {
            message.push('…');
        }
        if message.is_empty() {
            message.push_str("no message");
        }
        Self::Refused {
            asked: asked.to_owned(),
            status,
            message,
        }
    }

    /// There is no such thing there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// What was sent is wrong, and is refused again unchanged.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 400 | 422,
                ..
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn druid_s_words_are_kept_and_not_too_many_of_them() {
        let old = DruidError::refused("sample", 400, br#"{"error":"no\nsuch type"}"#);
        assert_eq!(
            old.to_string(),
            "Druid refused to sample: 400: no such type"
        );
        assert!(old.is_invalid() && !old.is_not_found());
        let new = DruidError::refused(
            "ask",
            400,
            br#"{"error":"druidException","errorMessage":"Object 'x' not found"}"#,
        );
        assert!(new.to_string().ends_with("Object 'x' not found"), "{new}");
        let long = DruidError::refused("ask", 500, "é".repeat(1000).as_bytes());
        assert_eq!(long.to_string().chars().filter(|c| *c == 'é').count(), 400);
        assert!(
            DruidError::refused("ask", 503, b"")
                .to_string()
                .ends_with("no message")
        );
    }
}
