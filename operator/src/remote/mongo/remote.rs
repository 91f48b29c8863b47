//! One replica set, as the pipeline sees it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use tokio::time::{Instant, sleep};

use super::change::{Change, Wanted, WantedUser, diff};
use super::client::{Login, Session};
use super::config;
use super::error::{ALREADY_INITIALIZED, MongoError};
use super::observe::{Observed, observe};
use crate::remote::pipeline::{Plan, Remote};

/// A new set elects its only member within seconds.
const ELECTED_WITHIN: Duration = Duration::from_secs(20);
/// So long the former primary does not stand for election, in seconds.
const STAYS_DOWN: i32 = 60;
/// So long it waits for a secondary to catch up, in seconds.
const CATCHES_UP: i32 = 10;
/// A write of users is told as failed when a majority has not taken it by then.
const WRITTEN_WITHIN_MS: i32 = 10_000;

/// What is asked for, together with a way into the members.
///
/// A change that fails does not hold up the others, which do not need it. It is told by [`RemoteMongo::outcome`].
#[derive(Debug)]
pub struct RemoteMongo<'a> {
    login: &'a Login,
    wanted: &'a Wanted,
    tried: Mutex<Vec<(Change, Result<(), MongoError>)>>,
}

impl<'a> RemoteMongo<'a> {
    /// `login` is how the operator gets into each member.
    #[must_use]
    pub fn new(login: &'a Login, wanted: &'a Wanted) -> Self {
        Self {
            login,
            wanted,
            tried: Mutex::default(),
        }
    }

    /// The changes that were made, and those that failed, each with the reason.
    #[must_use]
    pub fn outcome(self) -> (Vec<Change>, Vec<(Change, MongoError)>) {
        let tried = self.tried.into_inner();
        let (mut made, mut failed) = (Vec::new(), Vec::new());
        for (change, done) in tried.unwrap_or_else(PoisonError::into_inner) {
            match done {
                Ok(()) => made.push(change),
                Err(error) => failed.push((change, error)),
            }
        }
        (made, failed)
    }

    async fn make(
        &self,
        primary: Option<&Session>,
        observed: &Observed,
        change: &Change,
    ) -> Result<(), MongoError> {
        let doing = change.to_string();
        let config = observed.set.as_ref().map(|set| &set.config);
        let at_primary = |command: Document| async {
            match primary {
                Some(primary) => primary.run("admin", command, &doing).await.map(drop),
                // The comparison asks for nothing of the kind without one.
                None => Ok(()),
            }
        };
        match change {
            Change::LoadCertificate(host) => {
                let member = self.login.session(host)?;
                member
                    .run("admin", doc! {"rotateCertificates": 1}, &doing)
                    .await
                    .map(drop)
            }
            Change::Initiate(host) => self.initiate(host, &doing).await,
            Change::AddMember(host) => match config {
                Some(config) => at_primary(reconfig(config::with(config, host))).await,
                None => Ok(()),
            },
            Change::RemoveMember(host) => match config {
                Some(config) => at_primary(reconfig(config::without(config, host))).await,
                None => Ok(()),
            },
            Change::StepDown(host) => step_down(self.login, host).await,
            Change::CreateUser(name) => {
                let user = self.wanted.user(name);
                let command = |user: &WantedUser| doc! {"createUser": name, "pwd": &user.password, "roles": roles(user), "mechanisms": ["SCRAM-SHA-256"]};
                self.on_user(user, command, at_primary).await
            }
            Change::SetRights(name) => {
                let command = |user: &WantedUser| doc! {"updateUser": name, "roles": roles(user)};
                self.on_user(self.wanted.user(name), command, at_primary)
                    .await
            }
            Change::SetPassword(name) => {
                let command = |user: &WantedUser| doc! {"updateUser": name, "pwd": &user.password, "mechanisms": ["SCRAM-SHA-256"]};
                self.on_user(self.wanted.user(name), command, at_primary)
                    .await
            }
            Change::DropUser(name) => at_primary(written(doc! {"dropUser": name})).await,
        }
    }

    async fn on_user<F: Future<Output = Result<(), MongoError>>>(
        &self,
        user: Option<&WantedUser>,
        command: impl FnOnce(&WantedUser) -> Document,
        at_primary: impl FnOnce(Document) -> F,
    ) -> Result<(), MongoError> {
        match user {
            Some(user) => at_primary(written(command(user))).await,
            None => Ok(()),
        }
    }

    /// Founds the set, and waits until its only member takes writes: users cannot be made before.
    async fn initiate(&self, host: &str, doing: &str) -> Result<(), MongoError> {
        let member = self.login.session(host)?;
        let set = config::of_one(&self.wanted.set, host);
        match member
            .run("admin", doc! {"replSetInitiate": set}, doing)
            .await
        {
            Err(error) if error.code() == Some(ALREADY_INITIALIZED) => {}
            done => drop(done?),
        }
        let end = Instant::now() + ELECTED_WITHIN;
        while !member.is_writable_primary().await? {
            if Instant::now() >= end {
                return Err(MongoError::Command {
                    doing: doing.to_owned(),
                    problem: "it was not elected the primary in time".into(),
                    code: None,
                });
            }
            sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }
}

/// Lets the primary hand over. That it is none any more is what was asked for.
///
/// # Errors
/// Nobody can take over in time, or it does not answer.
pub async fn step_down(login: &Login, host: &str) -> Result<(), MongoError> {
    let primary = login.session(host)?;
    let command = doc! {"replSetStepDown": STAYS_DOWN, "secondaryCatchUpPeriodSecs": CATCHES_UP};
    let doing = format!("member {host}: step down as the primary");
    primary.run("admin", command, &doing).await.map(drop)
}

fn reconfig(config: Document) -> Document {
    doc! {"replSetReconfig": config, "maxTimeMS": 20_000}
}

fn written(mut command: Document) -> Document {
    let concern = doc! {"w": "majority", "wtimeout": WRITTEN_WITHIN_MS};
    command.insert("writeConcern", concern);
    command
}

fn roles(user: &WantedUser) -> Vec<Bson> {
    let rights = user.rights.iter();
    rights
        .map(|(role, database)| Bson::Document(doc! {"role": role, "db": database}))
        .collect()
}

impl Remote for RemoteMongo<'_> {
    type Observed = Observed;
    type Change = Change;
    type Error = MongoError;

    async fn observe(&self) -> Result<Observed, MongoError> {
        observe(self.login, self.wanted).await
    }

    fn diff(&self, observed: &Observed) -> Plan<Change> {
        diff(self.wanted, observed)
    }

    async fn act(&self, observed: &Observed, changes: &[Change]) -> Result<(), MongoError> {
        let primary = observed.set.as_ref().and_then(|set| set.primary.as_ref());
        // The one that founds the set is its primary.
        let founder = changes.iter().find_map(|change| match change {
            Change::Initiate(host) => Some(host),
            _ => None,
        });
        let primary = primary.or(founder);
        let primary = primary.map(|host| self.login.session(host)).transpose()?;
        for change in changes {
            let done = self.make(primary.as_ref(), observed, change).await;
            // Without a set there is nobody who could be told of users.
            let goes_on = done.is_ok() || !matches!(change, Change::Initiate(_));
            let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
            tried.push((change.clone(), done));
            if !goes_on {
                break;
            }
        }
        Ok(())
    }
}
