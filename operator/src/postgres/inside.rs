//! What is asked for inside the server, and what becomes of it.

use std::collections::BTreeSet;

use millrace_contract::Invalid;

use super::PORT;
use super::backup::BACKUP_ROLE;
use super::crd::PostgresClusterStatus;
use super::validate::{SUPERUSER, ValidatedPostgres};
use crate::remote::pipeline::converge;
use crate::remote::postgres::{
    Change, Login, Observed, PostgresError, Read, RemotePostgres, Wanted, WantedDatabase,
    WantedRole,
};
use crate::types::DeletionPolicy;

/// What was found inside.
#[derive(Debug)]
pub(super) enum Inside {
    /// No server is ready: nobody would answer.
    Asleep,
    /// It was looked at, and made as it is asked for as far as that went.
    Seen(Box<Look>),
    /// It could not be asked.
    Failed(PostgresError),
}

/// A server that was looked at.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// As it is now.
    pub(super) observed: Observed,
    /// What was changed.
    pub(super) made: Vec<Change>,
    /// What cannot be had.
    pub(super) refused: Vec<Invalid>,
    /// What failed.
    pub(super) failed: Vec<PostgresError>,
}

impl Inside {
    /// The same, to be added to.
    pub(super) fn look_mut(&mut self) -> Option<&mut Look> {
        match self {
            Self::Seen(look) => Some(look),
            Self::Asleep | Self::Failed(_) => None,
        }
    }

    /// What was seen, if it was looked at.
    pub(super) fn look(&self) -> Option<&Look> {
        match self {
            Self::Seen(look) => Some(look),
            Self::Asleep | Self::Failed(_) => None,
        }
    }
}

/// How the superuser logs in.
pub(super) fn login(postgres: &ValidatedPostgres) -> Login {
    Login {
        host: postgres.host(),
        address: None,
        port: u16::try_from(PORT).unwrap_or_default(),
        user: SUPERUSER.into(),
        password: postgres.superuser.clone(),
        authorities: postgres.certificates.trusted.clone(),
    }
}

/// What is asked for inside. `before` tells what the operator has made, and what of it is to go when it is taken out.
#[must_use]
pub fn wanted(postgres: &ValidatedPostgres, before: Option<&PostgresClusterStatus>) -> Wanted {
    let databases = postgres.databases.iter().map(|database| WantedDatabase {
        name: database.name.clone(),
        owner: database.owner.clone().unwrap_or_else(|| SUPERUSER.into()),
        extensions: database.extensions.iter().cloned().collect(),
    });
    let roles = postgres.roles.iter().map(|validated| {
        let role = &validated.role;
        let password = validated.password.as_ref();
        WantedRole {
            name: role.name.clone(),
            login: role.login,
            replication: role.name == BACKUP_ROLE,
            connection_limit: role.connection_limit.unwrap_or(-1),
            password: password.map(|password| password.text.clone()),
            member_of: role.member_of.iter().cloned().collect(),
        }
    });
    let reads = postgres.roles.iter().flat_map(|validated| {
        let role = &validated.role;
        role.read_only.iter().flat_map(move |reads| {
            reads.schemas.iter().map(move |schema| Read {
                role: role.name.clone(),
                database: reads.database.clone(),
                schema: schema.clone(),
            })
        })
    });
    let mut wanted = Wanted {
        databases: databases.collect(),
        roles: roles.collect(),
        reads: reads.collect(),
        // Several bring nothing there themselves.
        archives: postgres.backup.is_some() && !postgres.is_ha(),
        ..Wanted::default()
    };
    if let Some(before) = before {
        former(&mut wanted, before);
    }
    wanted
}

fn former(wanted: &mut Wanted, before: &PostgresClusterStatus) {
    let goes = |policy| policy == DeletionPolicy::Delete;
    let databases: BTreeSet<&str> = wanted.databases.iter().map(|d| d.name.as_str()).collect();
    let roles: BTreeSet<&str> = wanted.roles.iter().map(|r| r.name.as_str()).collect();
    let taken_out = before.databases.iter();
    let taken_out = taken_out.filter(|d| goes(d.deletion_policy) && !databases.contains(&*d.name));
    let former_databases = taken_out.map(|database| database.name.clone()).collect();
    let taken_out = before.roles.iter();
    let taken_out = taken_out.filter(|r| goes(r.deletion_policy) && !roles.contains(&*r.name));
    let former_roles = taken_out.map(|role| role.name.clone()).collect();
    let reads = before.roles.iter().flat_map(|role| {
        let reads = role.reads.iter().filter_map(|read| read.split_once('.'));
        reads.map(|(database, schema)| Read {
            role: role.name.clone(),
            database: database.to_owned(),
            schema: schema.to_owned(),
        })
    });
    wanted.former_reads = reads.collect();
    wanted.former_databases = former_databases;
    wanted.former_roles = former_roles;
}

/// Makes the server as it is asked for.
pub(super) async fn bring_about(login: &Login, wanted: &Wanted) -> Inside {
    let remote = RemotePostgres::new(login, wanted);
    let outcome = match converge(&remote).await {
        Ok(outcome) => outcome,
        Err(error) => return Inside::Failed(error),
    };
    let (not_made, failed): (Vec<Change>, Vec<PostgresError>) = remote.failed().into_iter().unzip();
    let made = outcome.made.into_iter();
    Inside::Seen(Box::new(Look {
        observed: outcome.observed,
        made: made.filter(|change| !not_made.contains(change)).collect(),
        refused: outcome.refused,
        failed,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{serving, valid};
    use super::*;
    use serde_json::json;

    #[test]
    fn only_base_backups_may_read_the_whole_server() {
        let mut spec = serving();
        spec["backup"] = json!({"schedule": "@daily"});
        let wanted = wanted(&valid(spec), None);
        let may = wanted.roles.iter().filter(|role| role.replication);
        let may: Vec<_> = may.map(|role| role.name.as_str()).collect();
        assert_eq!(may, ["millrace_backup"]);
        assert!(wanted.archives);
    }

    #[test]
    fn what_was_taken_out_goes_only_where_that_was_asked_for() {
        let before: PostgresClusterStatus = serde_json::from_value(json!({
            "databases": [
                {"name": "scores", "deletionPolicy": "Delete"},
                {"name": "kept", "deletionPolicy": "Retain"},
                {"name": "old", "deletionPolicy": "Delete"}],
            "roles": [
                {"name": "ghost", "deletionPolicy": "Delete", "reads": ["old.public"]},
                {"name": "stays", "deletionPolicy": "Retain"}]}))
        .unwrap();
        let wanted = wanted(&valid(serving()), Some(&before));
        assert_eq!(wanted.former_databases, BTreeSet::from(["old".to_owned()]));
        assert_eq!(wanted.former_roles, BTreeSet::from(["ghost".to_owned()]));
        assert_eq!(wanted.former_reads.len(), 1);
        assert_eq!(wanted.databases[1].owner, "postgres");
        let limits: Vec<_> = wanted.roles.iter().map(|r| r.connection_limit).collect();
        assert_eq!(limits, [20, -1, -1]);
        assert_eq!(wanted.reads.first().unwrap().role, "analysts");
    }
}
