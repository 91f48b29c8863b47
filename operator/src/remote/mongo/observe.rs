//! A replica set as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::future;
use mongodb::bson::{Bson, Document, doc};

use super::activity::{self, Activity};
use super::change::Wanted;
use super::client::{Login, Session};
use super::config::{self, number};
use super::error::{INVALID_REPLICA_SET_CONFIG, MongoError, NOT_YET_INITIALIZED};
use super::verifier;

/// What a server says when it is asked for its part.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It does not answer, or lets nobody in; with the reason.
    Silent(String),
    /// It is part of no set, and never was.
    Empty,
    /// It was part of the set and has been removed.
    Outside,
    /// It is a member.
    Member,
}

/// The state of a member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It takes writes.
    Primary,
    /// It follows.
    Secondary,
    /// Anything else, by the number that MongoDB gives it.
    Other(i32),
}

impl State {
    fn of(number: i64) -> Self {
        match number {
            1 => Self::Primary,
            2 => Self::Secondary,
            other => Self::Other(i32::try_from(other).unwrap_or(-1)),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = match self {
            Self::Primary => "PRIMARY",
            Self::Secondary => "SECONDARY",
            Self::Other(0) => "STARTUP",
            Self::Other(3) => "RECOVERING",
            Self::Other(5) => "STARTUP2",
            Self::Other(7) => "ARBITER",
            Self::Other(8) => "DOWN",
            Self::Other(9) => "ROLLBACK",
            Self::Other(10) => "REMOVED",
            Self::Other(_) => "UNKNOWN",
        };
        f.write_str(told)
    }
}

/// A member as the primary, or whoever was asked, sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObservedMember {
    /// Its state.
    pub state: State,
    /// Whether it answers its fellows.
    pub healthy: bool,
    /// The time of the last change that it has made, in milliseconds since 1970.
    pub applied_ms: i64,
}

impl ObservedMember {
    /// Whether it has the documents and answers.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.healthy && matches!(self.state, State::Primary | State::Secondary)
    }
}

/// The set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedSet {
    /// Its configuration.
    pub config: Document,
    /// The members of the configuration, as `host:port`.
    pub hosts: Vec<String>,
    /// Who takes writes.
    pub primary: Option<String>,
    /// How the members are.
    pub members: BTreeMap<String, ObservedMember>,
}

impl ObservedSet {
    /// How far a member is behind the one that is furthest ahead, in milliseconds.
    #[must_use]
    pub fn lag_ms(&self, host: &str) -> Option<i64> {
        let ahead = self.members.values().map(|m| m.applied_ms).max()?;
        Some(ahead - self.members.get(host)?.applied_ms)
    }

    /// The same, of a member of which the set knows how far it is: one that copies everything first has applied nothing yet.
    fn known_lag_ms(&self, host: &str) -> Option<i64> {
        let applied = self.members.get(host)?.applied_ms;
        self.lag_ms(host).filter(|_| applied > 0)
    }
}

/// What a user may in a database: the role and the database.
pub type Right = (String, String);

/// A user as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedUser {
    /// What it may.
    pub rights: BTreeSet<Right>,
    /// Whether its password is the one that is asked for.
    pub password_fits: bool,
}

/// All that was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// What each server says of itself, by `host:port`.
    pub answers: BTreeMap<String, Answer>,
    /// The set, where one of them knows it.
    pub set: Option<ObservedSet>,
    /// The users, where there is a primary.
    pub users: BTreeMap<String, ObservedUser>,
    /// Members that show another certificate than their Secret has.
    pub stale: BTreeSet<String>,
    /// What members do, by `host:port`.
    pub activities: BTreeMap<String, Activity>,
    /// The version of the primary, for example `7.0.28`.
    pub version: Option<String>,
}

/// A member that was asked.
struct Asked {
    host: String,
    session: Session,
    status: Result<Document, MongoError>,
    server: Option<Document>,
}

/// Looks at all that the comparison needs. A server that does not answer is no error: that is what is told of it.
pub(super) async fn observe(login: &Login, wanted: &Wanted) -> Result<Observed, MongoError> {
    let mut asked = Vec::new();
    for host in wanted.asked() {
        asked.push((host.clone(), login.session(host)?));
    }
    let asked = future::join_all(asked.into_iter().map(ask)).await;
    let mut observed = Observed::default();
    for one in &asked {
        let answer = match &one.status {
            Ok(_) => Answer::Member,
            Err(error) => match error.code() {
                Some(NOT_YET_INITIALIZED) => Answer::Empty,
                Some(INVALID_REPLICA_SET_CONFIG) => Answer::Outside,
                _ => Answer::Silent(error.to_string()),
            },
        };
        observed.answers.insert(one.host.clone(), answer);
        if let Some(activity) = one.server.as_ref().and_then(activity::of) {
            observed.activities.insert(one.host.clone(), activity);
        }
        let shown = one.server.as_ref().and_then(certificate_ends);
        if shown.is_some()
            && wanted.certificate_ends_ms.is_some()
            && shown != wanted.certificate_ends_ms
        {
            observed.stale.insert(one.host.clone());
        }
    }
    let Some((teller, status)) = teller(&asked) else {
        return Ok(observed);
    };
    let mut set = set_of(status);
    for (host, activity) in &mut observed.activities {
        activity.lag = set.known_lag_ms(host).map(|lag| lag / 1000);
    }
    let config = teller
        .session
        .run(
            "admin",
            doc! {"replSetGetConfig": 1},
            "read the configuration of the set",
        )
        .await?;
    set.config = config.get_document("config").cloned().unwrap_or_default();
    set.hosts = config::hosts(&set.config);
    if set.primary.as_ref() == Some(&teller.host) {
        let server = teller.server.as_ref();
        observed.version = server.and_then(|s| s.get_str("version").ok().map(str::to_owned));
        observed.users = users(&teller.session, wanted).await?;
    }
    observed.set = Some(set);
    Ok(observed)
}

async fn ask((host, session): (String, Session)) -> Asked {
    let command = doc! {"replSetGetStatus": 1};
    let status = session
        .run("admin", command, "ask for the state of the set")
        .await;
    let silent = matches!(
        status,
        Err(MongoError::Unreachable { .. } | MongoError::Login { .. })
    );
    let server = if silent {
        None
    } else {
        // Only what is told here is needed; a server that does not tell it is asked again in a minute.
        let command = doc! {"serverStatus": 1, "metrics": 0, "wiredTiger": 0, "repl": 0};
        session
            .run("admin", command, "ask for its version")
            .await
            .ok()
    };
    Asked {
        host,
        session,
        status,
        server,
    }
}

/// Whose view counts: that of the primary, of two the one that was elected later; else of any member.
fn teller(asked: &[Asked]) -> Option<(&Asked, &Document)> {
    let members = asked
        .iter()
        .filter_map(|a| Some((a, a.status.as_ref().ok()?)));
    members.max_by_key(|(_, status)| {
        let of = |key: &str| status.get(key).and_then(number).unwrap_or_default();
        (of("myState") == 1, of("term"))
    })
}

fn set_of(status: &Document) -> ObservedSet {
    let mut set = ObservedSet::default();
    let members = status.get_array("members").map_or(&[][..], Vec::as_slice);
    for member in members.iter().filter_map(Bson::as_document) {
        let Ok(host) = member.get_str("name") else {
            continue;
        };
        let of = |key: &str| member.get(key).and_then(number).unwrap_or_default();
        let applied = member.get_datetime("optimeDate");
        let seen = ObservedMember {
            state: State::of(of("state")),
            healthy: of("health") == 1,
            applied_ms: applied.map(|at| at.timestamp_millis()).unwrap_or_default(),
        };
        if seen.healthy && seen.state == State::Primary {
            set.primary = Some(host.to_owned());
        }
        set.members.insert(host.to_owned(), seen);
    }
    set
}

fn certificate_ends(server: &Document) -> Option<i64> {
    let security = server.get_document("security").ok()?;
    let ends = security
        .get_datetime("SSLServerCertificateExpirationDate")
        .ok()?;
    Some(ends.timestamp_millis())
}

async fn users(
    session: &Session,
    wanted: &Wanted,
) -> Result<BTreeMap<String, ObservedUser>, MongoError> {
    let command = doc! {"usersInfo": 1, "showCredentials": true};
    let told = session.run("admin", command, "list users").await?;
    let users = told.get_array("users").map_or(&[][..], Vec::as_slice);
    let of = |user: &Document| {
        let name = user.get_str("user").ok()?.to_owned();
        let asked = wanted.users.iter().find(|asked| asked.name == name);
        let credentials = user.get_document("credentials").ok();
        let password_fits = asked
            .zip(credentials)
            .is_some_and(|(asked, kept)| verifier::fits(kept, &asked.password));
        let roles = user.get_array("roles").map_or(&[][..], Vec::as_slice);
        let right = |role: &Document| {
            Some((
                role.get_str("role").ok()?.to_owned(),
                role.get_str("db").ok()?.to_owned(),
            ))
        };
        let rights = roles
            .iter()
            .filter_map(|role| right(role.as_document()?))
            .collect();
        Some((
            name,
            ObservedUser {
                rights,
                password_fits,
            },
        ))
    };
    Ok(users
        .iter()
        .filter_map(|user| of(user.as_document()?))
        .collect())
}
