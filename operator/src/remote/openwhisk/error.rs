//! What can go wrong between this process and an OpenWhisk.

use serde::Deserialize;

/// A failed call. The server's own words are kept.
#[derive(Debug, thiserror::Error)]
pub enum WhiskError {
    /// The address is not one that can be called.
    #[error(
        "{value:?} is not the address of an OpenWhisk: {problem}; give http://host:port or https://host:port"
    )]
    Address {
        /// What was given.
        value: String,
        /// What is wrong.
        problem: String,
    },
    /// No connection, or it broke, or no answer in time.
    #[error("cannot reach OpenWhisk at {address} to {asked}: {problem}")]
    Unreachable {
        /// The base address.
        address: String,
        /// What was asked.
        asked: String,
        /// Why.
        problem: String,
    },
    /// The server answered with an error.
    #[error("OpenWhisk refused to {asked}: {status}: {message}")]
    Refused {
        /// What was asked.
        asked: String,
        /// What kind of refusal it is.
        class: Class,
        /// The HTTP status.
        status: u16,
        /// The server's message.
        message: String,
        /// The server's transaction id, by which its logs can be searched.
        code: Option<String>,
    },
    /// The answer is not what the API promises.
    #[error("OpenWhisk's answer to {asked} cannot be read: {problem}")]
    Answer {
        /// What was asked.
        asked: String,
        /// What is wrong.
        problem: String,
    },
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The key is wrong, or may not do this.
    Unauthorized,
    /// There is no such thing.
    NotFound,
    /// It exists, or was changed by somebody else meanwhile.
    Conflict,
    /// The request is wrong and will be refused again unchanged.
    Invalid,
    /// Too large: code, parameters or result.
    TooLarge,
    /// Too many requests; later it may pass.
    Throttled,
    /// The server has a problem; later it may pass.
    Server,
}

impl Class {
    /// The class of an HTTP status.
    #[must_use]
    pub fn of(status: u16) -> Class {
        match status {
            401 | 403 => Class::Unauthorized,
            404 => Class::NotFound,
            409 => Class::Conflict,
            413 => Class::TooLarge,
            429 => Class::Throttled,
            400..=499 => Class::Invalid,
            _ => Class::Server,
        }
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
    #[serde(default)]
    code: Option<serde_json::Value>,
}

impl WhiskError {
    /// The error that a status other than 2xx stands for.
    #[must_use]
    pub fn refused(asked: &str, status: u16, body: &[u8]) -> WhiskError {
        let (message, code) = match serde_json::from_slice::<ErrorBody>(body) {
            Ok(body) => {
                let code = body.code.map(|code| match code {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                });
                // Some messages go on with a drawing of where in the body the fault is; that body is ours.
                let message = body.error.trim().replace('\n', " ");
                (message, code)
            }
            // A proxy between us and the server answers in HTML or not at all.
            Err(_) => {
                let text = String::from_utf8_lossy(body);
                let start: String = text.trim().chars().take(200).collect();
                (
                    if start.is_empty() {
                        "no message".to_owned()
                    } else {
                        start
                    },
                    None,
                )
            }
        };
        WhiskError::Refused {
            asked: asked.to_owned(),
            class: Class::of(status),
            status,
            message,
            code,
        }
    }

    /// The class, when the server answered.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        match self {
            WhiskError::Refused { class, .. } => Some(*class),
            _ => None,
        }
    }

    /// There is no such thing on the server.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.class() == Some(Class::NotFound)
    }

    /// Later it may pass unchanged.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            WhiskError::Unreachable { .. } => true,
            WhiskError::Refused { class, .. } => {
                matches!(class, Class::Throttled | Class::Server | Class::Conflict)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_s_words_are_kept() {
        let error = WhiskError::refused(
            "write action a",
            400,
            br#"{"code":"lb20","error":"The request content was malformed:\nThe specified runtime 'cobol:1' is not supported by this platform."}"#,
        );
        assert_eq!(
            error.to_string(),
            "OpenWhisk refused to write action a: 400: The request content was malformed: The specified runtime 'cobol:1' is not supported by this platform."
        );
        assert_eq!(error.class(), Some(Class::Invalid));
        assert!(!error.is_retriable());
        assert!(matches!(error, WhiskError::Refused { code: Some(code), .. } if code == "lb20"));
    }

    #[test]
    fn answers_of_others_are_told_apart_by_status() {
        for (status, class, retriable) in [
            (401, Class::Unauthorized, false),
            (404, Class::NotFound, false),
            (409, Class::Conflict, true),
            (413, Class::TooLarge, false),
            (429, Class::Throttled, true),
            (502, Class::Server, true),
            (503, Class::Server, true),
        ] {
            let error = WhiskError::refused("x", status, b"<html>");
            assert_eq!(
                (error.class(), error.is_retriable()),
                (Some(class), retriable)
            );
        }
        let empty = WhiskError::refused("list actions", 503, b"");
        assert_eq!(
            empty.to_string(),
            "OpenWhisk refused to list actions: 503: no message"
        );
    }
}
