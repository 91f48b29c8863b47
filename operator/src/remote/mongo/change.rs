//! What has to change to make a replica set and its users as they are asked for. Pure.

use std::collections::BTreeSet;
use std::fmt;

use millrace_contract::Invalid;

use super::observe::{Answer, Observed, ObservedSet, Right};
use crate::remote::pipeline::Plan;

/// A member that is more milliseconds behind may not take over: clients would wait until it has caught up. A set in which
/// nothing is written notes that it lives each ten seconds.
pub const MOST_LAG_MS: i64 = 15_000;

/// A user as it is asked for.
#[derive(Clone, PartialEq)]
pub struct WantedUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
    /// All that it may.
    pub rights: BTreeSet<Right>,
}

impl fmt::Debug for WantedUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password is never shown.
        f.debug_struct("WantedUser")
            .field("name", &self.name)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}

/// All that is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The name of the set.
    pub set: String,
    /// The members, as `host:port`; the first one founds the set.
    pub members: Vec<String>,
    /// Servers that still run and are to go.
    pub leaving: Vec<String>,
    /// Users, all of them of the database `admin`.
    pub users: Vec<WantedUser>,
    /// Users that were taken out and are to go.
    pub former_users: BTreeSet<String>,
    /// Whether a set may be founded: there has never been one, or it was let.
    pub may_found: bool,
    /// When the certificate of the members ends, in milliseconds since 1970.
    pub certificate_ends_ms: Option<i64>,
}

impl Wanted {
    /// Whom to ask.
    pub(super) fn asked(&self) -> impl Iterator<Item = &String> {
        self.members.iter().chain(&self.leaving)
    }

    pub(super) fn user(&self, name: &str) -> Option<&WantedUser> {
        self.users.iter().find(|user| user.name == name)
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A member is to load its certificate from its file.
    LoadCertificate(String),
    /// The set is to be founded, of this member alone.
    Initiate(String),
    /// A server is to become a member.
    AddMember(String),
    /// A member is to go.
    RemoveMember(String),
    /// The primary is to hand over, because it is to go.
    StepDown(String),
    /// A user is missing.
    CreateUser(String),
    /// A user may something else than it is to.
    SetRights(String),
    /// A user has another password than its Secret says.
    SetPassword(String),
    /// A user is to go.
    DropUser(String),
}

impl Change {
    /// One word in the form of `MemberAdded`, for events.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::LoadCertificate(_) => "CertificateLoaded",
            Self::Initiate(_) => "SetFounded",
            Self::AddMember(_) => "MemberAdded",
            Self::RemoveMember(_) => "MemberRemoved",
            Self::StepDown(_) => "SteppedDown",
            Self::CreateUser(_) => "UserCreated",
            Self::SetRights(_) => "RightsChanged",
            Self::SetPassword(_) => "PasswordSet",
            Self::DropUser(_) => "UserDropped",
        }
    }

    /// Whether it makes the set another one: then it has to settle before the next such change.
    #[must_use]
    pub fn is_of_the_set(&self) -> bool {
        matches!(
            self,
            Self::Initiate(_) | Self::AddMember(_) | Self::RemoveMember(_) | Self::StepDown(_)
        )
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadCertificate(host) => write!(f, "member {host}: load its new certificate"),
            Self::Initiate(host) => write!(f, "replica set: found it on {host}"),
            Self::AddMember(host) => write!(f, "member {host}: add"),
            Self::RemoveMember(host) => write!(f, "member {host}: remove"),
            Self::StepDown(host) => write!(f, "member {host}: step down as the primary"),
            Self::CreateUser(user) => write!(f, "user {user}: create"),
            Self::SetRights(user) => write!(f, "user {user}: set what it may"),
            Self::SetPassword(user) => write!(f, "user {user}: set the password of its Secret"),
            Self::DropUser(user) => write!(f, "user {user}: drop"),
        }
    }
}

/// Compares. There is at most one change of the set at once, and the last of all: MongoDB takes one vote at a time, and
/// nothing can be written for a moment after a step-down.
///
/// Users that nobody asks for stay, but for those that were taken out.
#[must_use]
pub fn diff(wanted: &Wanted, observed: &Observed) -> Plan<Change> {
    let mut plan = Plan::default();
    let stale = observed.stale.iter().cloned();
    plan.changes.extend(stale.map(Change::LoadCertificate));
    match &observed.set {
        None => found(wanted, observed, &mut plan),
        Some(set) => {
            if let Some(primary) = &set.primary {
                users(wanted, observed, &mut plan);
                let next = membership(wanted, observed, set, primary);
                plan.changes.extend(next);
            }
        }
    }
    plan
}

/// Whether all servers say that they are part of no set. One that does not answer may hold the documents.
fn all_empty(wanted: &Wanted, observed: &Observed) -> bool {
    let is_empty = |host| observed.answers.get(host) == Some(&Answer::Empty);
    observed.set.is_none() && wanted.asked().all(is_empty)
}

fn found(wanted: &Wanted, observed: &Observed, plan: &mut Plan<Change>) {
    let Some(first) = wanted.members.first() else {
        return;
    };
    if !all_empty(wanted, observed) {
        return;
    }
    if !wanted.may_found {
        plan.refused.push(Invalid::new(
            "spec.members",
            wanted.members.len().to_string(),
            "the volumes of all members are empty and the set has worked before: it would begin anew, without the documents",
            "bring a volume back, or let it by the annotation millrace.dev/allow-format",
        ));
        return;
    }
    plan.changes.push(Change::Initiate(first.clone()));
    let users = wanted.users.iter().map(|user| user.name.clone());
    plan.changes.extend(users.map(Change::CreateUser));
}

fn users(wanted: &Wanted, observed: &Observed, plan: &mut Plan<Change>) {
    for user in &wanted.users {
        let name = || user.name.clone();
        match observed.users.get(&user.name) {
            None => plan.changes.push(Change::CreateUser(name())),
            Some(seen) => {
                // Rights first, so that whoever gets in may do what is asked for.
                if seen.rights != user.rights {
                    plan.changes.push(Change::SetRights(name()));
                }
                if !seen.password_fits {
                    plan.changes.push(Change::SetPassword(name()));
                }
            }
        }
    }
    let former = wanted.former_users.iter();
    let former = former.filter(|name| observed.users.contains_key(*name));
    plan.changes.extend(former.cloned().map(Change::DropUser));
}

/// The next change of the set, if it can be made now.
fn membership(
    wanted: &Wanted,
    observed: &Observed,
    set: &ObservedSet,
    primary: &str,
) -> Option<Change> {
    let surplus: Vec<&String> = surplus(wanted, set).collect();
    if let Some(first) = surplus.first() {
        // From the last one down, and who takes writes at the end.
        let Some(host) = surplus.iter().rfind(|host| **host != primary) else {
            let can_take_over = |host: &String| {
                serves(set, host) && set.lag_ms(host).is_some_and(|lag| lag <= MOST_LAG_MS)
            };
            let heir = wanted.members.iter().any(can_take_over);
            return heir.then(|| Change::StepDown((*first).clone()));
        };
        // A member that does not serve is no loss, and the others have to be a majority of those that stay.
        let others = set.hosts.iter().filter(|other| other != host);
        let serving = others.filter(|other| serves(set, other)).count();
        let enough = serving > (set.hosts.len() - 1) / 2;
        return enough.then(|| Change::RemoveMember((*host).clone()));
    }
    let missing = missing(wanted, set).next()?;
    let is_there = matches!(
        observed.answers.get(missing),
        Some(Answer::Empty | Answer::Outside)
    );
    let settled = set.hosts.iter().all(|host| serves(set, host));
    (is_there && settled).then(|| Change::AddMember(missing.clone()))
}

fn serves(set: &ObservedSet, host: &str) -> bool {
    set.members.get(host).is_some_and(|member| member.serves())
}

fn surplus<'a>(wanted: &'a Wanted, set: &'a ObservedSet) -> impl Iterator<Item = &'a String> {
    let hosts = set.hosts.iter();
    hosts.filter(|host| !wanted.members.contains(host))
}

fn missing<'a>(wanted: &'a Wanted, set: &'a ObservedSet) -> impl Iterator<Item = &'a String> {
    let members = wanted.members.iter();
    members.filter(|host| !set.hosts.contains(host))
}

/// What the set is not yet, in words; `None` when it is as it is asked for and all members serve.
#[must_use]
pub fn waits(wanted: &Wanted, observed: &Observed) -> Option<String> {
    let answer = |host: &String| match observed.answers.get(host) {
        Some(Answer::Silent(problem)) => problem.clone(),
        Some(Answer::Outside) => format!("{host} was removed from the set"),
        Some(Answer::Member) => format!("{host} is a member of another set"),
        _ => format!("{host} is part of no set"),
    };
    let Some(set) = &observed.set else {
        let is_empty = |host: &&String| observed.answers.get(*host) == Some(&Answer::Empty);
        return Some(match wanted.asked().find(|host| !is_empty(host)) {
            Some(host) => format!(
                "the set is founded when all servers answer and none has a volume with a set on it: {}",
                answer(host)
            ),
            None => "the set is not founded yet".into(),
        });
    };
    if set.primary.is_none() {
        return Some("no member is the primary".into());
    }
    let unwell = set.hosts.iter().find(|host| !serves(set, host));
    let unwell = unwell.map(|host| match set.members.get(host) {
        Some(member) => format!("member {host} is {}", member.state),
        None => format!("nothing is known of member {host}"),
    });
    if let Some(host) = surplus(wanted, set).last() {
        return Some(format!("member {host} is to go"));
    }
    if let Some(host) = missing(wanted, set).next() {
        let why = unwell.unwrap_or_else(|| answer(host));
        return Some(format!("{host} is to become a member: {why}"));
    }
    unwell
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
