//! One server, as the pipeline sees it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::change::{Change, Wanted, diff};
use super::client::{Login, Session};
use super::error::PostgresError;
use super::observe::{Observed, observe};
use super::statement::statements;
use super::verifier;
use crate::remote::pipeline::{Plan, Remote};

/// What is asked for, together with a way into the server.
///
/// A change that fails does not hold up the others: an extension that the server does not take must not keep a role from its
/// password. It is told by [`RemotePostgres::failed`].
#[derive(Debug)]
pub struct RemotePostgres<'a> {
    login: &'a Login,
    wanted: &'a Wanted,
    failed: Mutex<Vec<(Change, PostgresError)>>,
}

impl<'a> RemotePostgres<'a> {
    /// `login` is how the superuser gets in.
    #[must_use]
    pub fn new(login: &'a Login, wanted: &'a Wanted) -> Self {
        Self {
            login,
            wanted,
            failed: Mutex::default(),
        }
    }

    /// The changes that failed, each with the reason.
    #[must_use]
    pub fn failed(self) -> Vec<(Change, PostgresError)> {
        self.failed
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn make(&self, session: &Session, change: &Change) -> Result<(), PostgresError> {
        let verifier = match change {
            Change::SetPassword(role) => self.verifier(role)?,
            _ => None,
        };
        let (_, all) = statements(change, self.wanted, verifier.as_deref());
        // One by one: several in one message are one transaction, in which no database is made or dropped.
        for statement in all {
            let done = session.batch_execute(&statement).await;
            done.map_err(PostgresError::doing(change.to_string()))?;
        }
        Ok(())
    }

    fn verifier(&self, role: &str) -> Result<Option<String>, PostgresError> {
        let role = self.wanted.roles.iter().find(|one| one.name == role);
        let password = role.and_then(|role| role.password.as_deref());
        let made = password.map(verifier::make).transpose();
        made.map_err(|error| PostgresError::Random(error.to_string()))
    }
}

impl Remote for RemotePostgres<'_> {
    type Observed = Observed;
    type Change = Change;
    type Error = PostgresError;

    async fn observe(&self) -> Result<Observed, PostgresError> {
        observe(self.login, self.wanted).await
    }

    fn diff(&self, observed: &Observed) -> Plan<Change> {
        diff(self.wanted, observed)
    }

    async fn act(&self, _: &Observed, changes: &[Change]) -> Result<(), PostgresError> {
        let mut sessions: BTreeMap<&str, Session> = BTreeMap::new();
        for change in changes {
            let (database, _) = statements(change, self.wanted, None);
            let done = match sessions.get(database) {
                Some(session) => self.make(session, change).await,
                None => match self.login.connect(database).await {
                    Ok(session) => {
                        let done = self.make(&session, change).await;
                        sessions.insert(database, session);
                        done
                    }
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = done {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push((change.clone(), error));
            }
        }
        Ok(())
    }
}
