//! What talking to MongoDB may give.

use mongodb::error::{Error, ErrorKind};

/// There is no replica set yet.
pub(super) const NOT_YET_INITIALIZED: i32 = 94;
/// The member's configuration does not name it: it was removed.
pub(super) const INVALID_REPLICA_SET_CONFIG: i32 = 93;
/// The set was made already.
pub(super) const ALREADY_INITIALIZED: i32 = 23;

/// What talking to MongoDB may give.
#[derive(Debug, thiserror::Error)]
pub enum MongoError {
    /// Nobody answers, or not in time, or not by TLS with a certificate of the cluster's authority.
    #[error("{address}: cannot be reached: {problem}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// Why.
        problem: String,
    },
    /// It does not let the operator in.
    #[error("{address}: does not let {user} in: {problem}")]
    Login {
        /// Host and port.
        address: String,
        /// The user.
        user: String,
        /// What it says.
        problem: String,
    },
    /// A command failed.
    #[error("{doing}: {problem}")]
    Command {
        /// What was tried, in plain words.
        doing: String,
        /// What the server says.
        problem: String,
        /// Its code, where it is the server that says it.
        code: Option<i32>,
    },
    /// The authorities could not be laid down where the client reads them.
    #[error("the file of the cluster's authority: {0}")]
    Authority(std::io::Error),
}

impl MongoError {
    /// One word in the form of `MongoUnreachable`, for conditions.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "MongoUnreachable",
            Self::Login { .. } => "OperatorRefused",
            Self::Command { .. } | Self::Authority(_) => "MongoFailed",
        }
    }

    /// The server's code.
    pub(super) fn code(&self) -> Option<i32> {
        match self {
            Self::Command { code, .. } => *code,
            _ => None,
        }
    }

    /// A failure of a command at a server.
    pub(super) fn of(address: &str, user: &str, doing: &str, error: &Error) -> Self {
        let address = address.to_owned();
        match &*error.kind {
            ErrorKind::Command(said) => Self::Command {
                doing: doing.to_owned(),
                problem: said.message.clone(),
                code: Some(said.code),
            },
            ErrorKind::Authentication { message, .. } => Self::Login {
                address,
                user: user.to_owned(),
                problem: message.clone(),
            },
            ErrorKind::ServerSelection { message, .. } => Self::Unreachable {
                address,
                problem: last_error(message).to_owned(),
            },
            ErrorKind::Io(error) => Self::Unreachable {
                address,
                problem: error.to_string(),
            },
            _ => Self::Unreachable {
                address,
                problem: error.to_string(),
            },
        }
    }
}

/// The driver lists all that it knows of a deployment; of one server the last error is enough. Its labels come in another
/// order each time, and the same failure must be told in the same words: they stand in a status.
fn last_error(message: &str) -> &str {
    let error = message.split_once("Error: ").map(|(_, error)| error);
    error
        .and_then(|error| error.split(", labels:").next())
        .map(|error| error.trim_end_matches([' ', ',', '}', ']']))
        .filter(|error| !error.is_empty())
        .unwrap_or("it does not answer in time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_the_driver_lists_the_error_is_told() {
        let long = "Server selection timeout: No available servers. Topology: { Type: Single, Servers: [ { Address: m:27017, Type: Unknown, Error: Kind: I/O error: refused }, ] }";
        assert_eq!(last_error(long), "Kind: I/O error: refused");
        let labels = long.replace("refused }", "refused, labels: {\"B\", \"A\"} }");
        assert_eq!(last_error(&labels), "Kind: I/O error: refused");
        assert_eq!(last_error("x"), "it does not answer in time");
    }
}
