//! What has to change to make a user as it is asked for. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::password::{News, Password};
use crate::remote::kafka::scram::Mechanism;
use crate::remote::kafka::{Acl, Credential, Quotas};
use crate::remote::pipeline::Plan;

/// A user as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedUser {
    /// Its name in Kafka.
    pub name: String,
    /// Its password.
    pub password: Password,
    /// All its rules.
    pub acls: BTreeSet<Acl>,
    /// All its limits.
    pub quotas: Quotas,
}

/// A user as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedUser {
    /// Its passwords, as far as Kafka tells.
    pub credentials: Vec<Credential>,
    /// Its rules.
    pub acls: BTreeSet<Acl>,
    /// Its limits.
    pub quotas: Quotas,
}

/// Why a password is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// It is another than before.
    News(News),
    /// Kafka has none.
    Missing,
    /// Kafka has one that was not set from the Secret.
    Foreign,
}

/// One change of a user.
#[derive(Clone, Debug, PartialEq)]
pub enum UserChange {
    /// A rule is missing.
    AddAcl {
        /// The user.
        user: String,
        /// The rule.
        acl: Acl,
    },
    /// A rule is there that nobody asks for.
    RemoveAcl {
        /// The user.
        user: String,
        /// The rule.
        acl: Acl,
    },
    /// A limit has another value, or none.
    SetQuota {
        /// The user.
        user: String,
        /// The limit.
        key: String,
        /// Its value now.
        from: Option<f64>,
        /// The value it shall have.
        to: f64,
    },
    /// A limit is there that nobody asks for.
    UnsetQuota {
        /// The user.
        user: String,
        /// The limit.
        key: String,
        /// Its value now.
        from: f64,
    },
    /// The password is to be set.
    SetPassword {
        /// The user.
        user: String,
        /// Why.
        why: Why,
    },
    /// A password for a mechanism that nobody asks for: a second way in.
    RemovePassword {
        /// The user.
        user: String,
        /// The mechanism.
        mechanism: Mechanism,
    },
}

impl fmt::Display for UserChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddAcl { user, acl } => write!(f, "user {user}: add rule: {acl}"),
            Self::RemoveAcl { user, acl } => write!(f, "user {user}: remove rule: {acl}"),
            Self::SetQuota {
                user,
                key,
                from: Some(from),
                to,
            } => write!(f, "user {user}: {key}: {from} → {to}"),
            Self::SetQuota {
                user,
                key,
                from: None,
                to,
            } => write!(f, "user {user}: {key}: (no limit) → {to}"),
            Self::UnsetQuota { user, key, from } => {
                write!(f, "user {user}: {key}: {from} → (no limit)")
            }
            Self::SetPassword { user, why } => {
                let why = match why {
                    Why::News(News::First) => "the first one",
                    Why::News(News::Rotation) => "a new one was asked for",
                    Why::News(News::Given) => "the Secret that gives it holds another one",
                    Why::News(News::Unnoted) => "the Secret was changed by hand",
                    Why::Missing => "Kafka has none",
                    Why::Foreign => "Kafka has one that is not of the Secret",
                };
                write!(f, "user {user}: set the password: {why}")
            }
            Self::RemovePassword { user, mechanism } => {
                write!(f, "user {user}: remove the password for {mechanism}")
            }
        }
    }
}

/// Compares. All rules and limits of the user are ours, and its only password.
///
/// What lets comes before what is taken away, so that nobody who may go on is interrupted; the password comes last, so
/// that whoever gets in may do what is asked for.
#[must_use]
pub fn diff(wanted: &WantedUser, observed: &ObservedUser) -> Plan<UserChange> {
    let user = || wanted.name.clone();
    let mut plan = Plan::default();
    let changes = &mut plan.changes;
    for acl in wanted.acls.difference(&observed.acls) {
        changes.push(UserChange::AddAcl {
            user: user(),
            acl: acl.clone(),
        });
    }
    for acl in observed.acls.difference(&wanted.acls) {
        changes.push(UserChange::RemoveAcl {
            user: user(),
            acl: acl.clone(),
        });
    }
    for (key, to) in &wanted.quotas {
        let from = observed.quotas.get(key).copied();
        if from != Some(*to) {
            changes.push(UserChange::SetQuota {
                user: user(),
                key: key.clone(),
                from,
                to: *to,
            });
        }
    }
    for (key, from) in &observed.quotas {
        if !wanted.quotas.contains_key(key) {
            changes.push(UserChange::UnsetQuota {
                user: user(),
                key: key.clone(),
                from: *from,
            });
        }
    }
    let of = |mechanism| {
        let mut all = observed.credentials.iter();
        all.find(|credential| credential.mechanism == mechanism)
    };
    let why = match (wanted.password.news, of(Mechanism::Sha512)) {
        (Some(news), _) => Some(Why::News(news)),
        (None, None) => Some(Why::Missing),
        (None, Some(found)) => {
            (found.iterations != wanted.password.iterations).then_some(Why::Foreign)
        }
    };
    changes.extend(why.map(|why| UserChange::SetPassword { user: user(), why }));
    if of(Mechanism::Sha256).is_some() {
        changes.push(UserChange::RemovePassword {
            user: user(),
            mechanism: Mechanism::Sha256,
        });
    }
    plan
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
