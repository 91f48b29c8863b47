//! What is asked for inside the set, and what becomes of it.

use std::collections::BTreeSet;

use millrace_contract::Invalid;

use super::{Found, address, addresses};
use crate::mongo::crd::MongoClusterStatus;
use crate::mongo::validate::ValidatedMongo;
use crate::reconcile::Owner;
use crate::remote::mongo::{
    Answer, Change, Login, MongoError, Observed, ObservedSet, RemoteMongo, Wanted, WantedUser,
    waits,
};
use crate::remote::pipeline::converge;

/// No set has had more members.
const MOST_PODS: i32 = 5;

/// What was found inside.
#[derive(Debug)]
pub(super) enum Inside {
    /// No server is ready: nobody would answer.
    Asleep,
    /// It was looked at, and made as it is asked for as far as that went.
    Seen(Box<Look>),
    /// It could not be asked.
    Failed(MongoError),
}

/// A set that was looked at.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// As it is now.
    pub(super) observed: Observed,
    /// What was changed.
    pub(super) made: Vec<Change>,
    /// What cannot be had.
    pub(super) refused: Vec<Invalid>,
    /// What failed.
    pub(super) failed: Vec<MongoError>,
    /// What the set is not yet.
    pub(super) waits: Option<String>,
}

impl Inside {
    /// What was seen, if anything was.
    pub(super) fn look(&self) -> Option<&Look> {
        match self {
            Self::Seen(look) => Some(look),
            Self::Asleep | Self::Failed(_) => None,
        }
    }
}

/// How the operator logs in at members: as they do at each other.
#[must_use]
pub fn login(mongo: &ValidatedMongo) -> Login {
    Login::of_members(&mongo.keyfile, &mongo.certificates.trusted)
}

/// What is asked for inside. `running` is how many pods there may be, and `before` tells which users the operator has made.
#[must_use]
pub fn wanted(mongo: &ValidatedMongo, running: i32, before: Option<&MongoClusterStatus>) -> Wanted {
    let users = mongo.users.iter().map(|user| WantedUser {
        name: user.name.clone(),
        password: user.password.text.clone(),
        rights: user.rights.iter().cloned().collect(),
    });
    let names: BTreeSet<&str> = mongo.users.iter().map(|user| user.name.as_str()).collect();
    let former = before.into_iter().flat_map(|before| &before.users);
    let former = former.filter(|user| !names.contains(user.name.as_str()));
    Wanted {
        set: mongo.owner.name.clone(),
        members: addresses(mongo),
        leaving: (mongo.members..running)
            .map(|ordinal| address(&mongo.owner, ordinal))
            .collect(),
        users: users.collect(),
        former_users: former.map(|user| user.name.clone()).collect(),
        may_found: mongo.may_found,
        certificate_ends_ms: mongo.certificate_ends_ms(),
    }
}

/// Makes the set as it is asked for, as far as that goes now.
pub(super) async fn bring_about(login: &Login, wanted: &Wanted) -> Inside {
    let remote = RemoteMongo::new(login, wanted);
    let outcome = match converge(&remote).await {
        Ok(outcome) => outcome,
        Err(error) => return Inside::Failed(error),
    };
    let (made, failed) = remote.outcome();
    Inside::Seen(Box::new(Look {
        waits: waits(wanted, &outcome.observed),
        observed: outcome.observed,
        made,
        refused: outcome.refused,
        failed: failed.into_iter().map(|(_, error)| error).collect(),
    }))
}

/// So many pods the set counts on, by the highest number of one; `None` where there is no set to be seen.
pub(super) fn counted(owner: &Owner, set: &ObservedSet) -> Option<i32> {
    let is_of_set = |ordinal: &i32| set.hosts.contains(&address(owner, *ordinal));
    (0..MOST_PODS).rev().find(is_of_set).map(|last| last + 1)
}

/// What follows for the objects: passwords that the set knows now are written down, for a client that took one before would
/// be refused; and pods that the set counts on stay.
pub(super) fn learn(mongo: &mut ValidatedMongo, found: &Found, inside: &Inside) {
    mongo.held = held(mongo, found, inside);
    let Some(look) = inside.look() else {
        return;
    };
    for user in &mut mongo.users {
        let seen = look.observed.users.get(&user.name);
        user.password.is_kept |= seen.is_some_and(|seen| seen.password_fits);
    }
}

/// So many pods are kept at least. What is not known keeps all that run.
fn held(mongo: &ValidatedMongo, found: &Found, inside: &Inside) -> i32 {
    if found.counted <= mongo.members {
        return 0;
    }
    let Some(look) = inside.look() else {
        return found.counted;
    };
    match &look.observed.set {
        Some(set) => counted(&mongo.owner, set),
        // There has never been a set.
        None if look.observed.answers.values().all(|a| *a == Answer::Empty) => None,
        None => Some(found.counted),
    }
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mongo::validate::tests::valid;
    use crate::remote::mongo::ObservedUser;
    use serde_json::json;

    fn mongo() -> ValidatedMongo {
        valid(json!({"engine": "mongodb"})).unwrap()
    }

    fn look(hosts: &[i32]) -> Inside {
        let owner = &mongo().owner;
        let set = ObservedSet {
            hosts: hosts
                .iter()
                .map(|ordinal| address(owner, *ordinal))
                .collect(),
            ..ObservedSet::default()
        };
        Inside::Seen(Box::new(Look {
            observed: Observed {
                set: Some(set),
                ..Observed::default()
            },
            ..Look::default()
        }))
    }

    #[test]
    fn pods_go_when_the_set_counts_on_them_no_longer() {
        let found = |counted| Found {
            counted,
            ..Found::default()
        };
        let held = |inside: &Inside| held(&mongo(), &found(3), inside);
        assert_eq!(held(&look(&[0, 1, 2])), 3);
        assert_eq!(held(&look(&[0, 1])), 2);
        assert_eq!(held(&look(&[0])), 1);
        assert_eq!(held(&Inside::Asleep), 3);
        let nobody = Inside::Seen(Box::default());
        assert_eq!(held(&nobody), 0);
        assert_eq!(super::held(&mongo(), &found(1), &Inside::Asleep), 0);
    }

    #[test]
    fn a_password_is_written_down_when_the_set_knows_it() {
        let mut mongo = mongo();
        let mut inside = look(&[0]);
        learn(&mut mongo, &Found::default(), &inside);
        assert!(!mongo.users[0].password.is_kept);
        if let Inside::Seen(look) = &mut inside {
            let user = ObservedUser {
                password_fits: true,
                ..ObservedUser::default()
            };
            look.observed.users.insert("jobs".into(), user);
        }
        learn(&mut mongo, &Found::default(), &inside);
        assert!(mongo.users[0].password.is_kept);
    }

    #[test]
    fn users_that_were_taken_out_go() {
        let before = json!({"users": [{"name": "jobs"}, {"name": "old"}]});
        let before: MongoClusterStatus = serde_json::from_value(before).unwrap();
        let wanted = wanted(&mongo(), 2, Some(&before));
        assert_eq!(wanted.former_users, BTreeSet::from(["old".to_owned()]));
        assert_eq!(wanted.members, ["m-0.m-nodes.ns.svc:27017"]);
        assert_eq!(wanted.leaving, ["m-1.m-nodes.ns.svc:27017"]);
        assert!(wanted.certificate_ends_ms.is_some());
    }
}
