//! What talking to PostgreSQL may give.

use std::error::Error as _;

use tokio_postgres::error::SqlState;

/// What talking to PostgreSQL may give.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Nobody answers, or not in time, or not by TLS with a certificate of the cluster's authority.
    #[error("{address}: cannot be reached: {problem}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// Why.
        problem: String,
    },
    /// It does not let this user in.
    #[error("{address}: does not let {user} in: {problem}")]
    Login {
        /// Host and port.
        address: String,
        /// The user.
        user: String,
        /// What it says.
        problem: String,
    },
    /// A statement failed.
    #[error("{doing}: {problem}")]
    Statement {
        /// What was tried, in plain words.
        doing: String,
        /// What the server says.
        problem: String,
        /// Its code, where it is the server that says it.
        code: Option<SqlState>,
    },
    /// The machine gave no random numbers.
    #[error("no random numbers for a password: {0}")]
    Random(String),
}

impl PostgresError {
    /// One word in the form of `PostgresUnreachable`, for conditions.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "PostgresUnreachable",
            Self::Login { .. } => "SuperuserRefused",
            Self::Statement { .. } | Self::Random(_) => "PostgresFailed",
        }
    }

    /// A failure to connect.
    pub(super) fn connecting(address: String, user: &str, error: &tokio_postgres::Error) -> Self {
        let problem = problem(error);
        let login = [
            SqlState::INVALID_PASSWORD,
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        ];
        if error.code().is_some_and(|code| login.contains(code)) {
            return Self::Login {
                address,
                user: user.to_owned(),
                problem,
            };
        }
        Self::Unreachable { address, problem }
    }

    /// A failure of a statement.
    pub(super) fn doing(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Statement {
            doing,
            problem: problem(&error),
            code: error.code().cloned(),
        }
    }
}

/// What the server says, else what the client does.
fn problem(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => match said.detail() {
            Some(detail) => format!("{}: {detail}", said.message()),
            None => said.message().to_owned(),
        },
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
