//! What has to change to make databases and roles as they are asked for. Pure.

use std::collections::BTreeSet;
use std::fmt;

use millrace_contract::Invalid;

use super::observe::{Observed, ObservedRole};
use crate::remote::pipeline::Plan;

/// The schema that every database has.
pub(super) const PUBLIC: &str = "public";

/// A database as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedDatabase {
    /// Its name.
    pub name: String,
    /// The role that it belongs to.
    pub owner: String,
    /// Extensions in it.
    pub extensions: BTreeSet<String>,
}

/// A role as it is asked for.
#[derive(Clone, PartialEq)]
pub struct WantedRole {
    /// Its name.
    pub name: String,
    /// Whether it logs in.
    pub login: bool,
    /// Whether it may read the whole server as base backups do.
    pub replication: bool,
    /// How many connections it may have; -1 for any number.
    pub connection_limit: i32,
    /// Its password, if it logs in.
    pub password: Option<String>,
    /// Roles that it is a member of.
    pub member_of: BTreeSet<String>,
}

impl fmt::Debug for WantedRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password is never shown.
        f.debug_struct("WantedRole")
            .field("name", &self.name)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

/// That a role may read the tables of a schema.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Read {
    /// The role.
    pub role: String,
    /// The database.
    pub database: String,
    /// The schema.
    pub schema: String,
}

/// All that is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Databases.
    pub databases: Vec<WantedDatabase>,
    /// Roles.
    pub roles: Vec<WantedRole>,
    /// What roles may read.
    pub reads: BTreeSet<Read>,
    /// What roles were let read and are no longer to.
    pub former_reads: BTreeSet<Read>,
    /// Databases that were taken out and are to go.
    pub former_databases: BTreeSet<String>,
    /// Roles that were taken out and are to go.
    pub former_roles: BTreeSet<String>,
    /// Whether there is an archive of the log, of which more has to be known.
    pub archives: bool,
}

impl Wanted {
    /// The owner of a database.
    pub(super) fn owner(&self, database: &str) -> Option<&str> {
        let found = self.databases.iter().find(|one| one.name == database);
        found.map(|one| one.owner.as_str())
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The server is to load its certificate from its file.
    LoadCertificate,
    /// A role is missing.
    CreateRole(String),
    /// A role may log in, or may not, or has another number of connections, or rights over the whole server.
    AlterRole(String),
    /// A role is to be a member of another.
    Join {
        /// The role.
        role: String,
        /// The other one.
        of: String,
    },
    /// A role is a member of another, and nobody asks for it.
    Leave {
        /// The role.
        role: String,
        /// The other one.
        of: String,
    },
    /// A database is missing.
    CreateDatabase(String),
    /// A database belongs to another role.
    SetOwner {
        /// The database.
        database: String,
        /// To whom it belongs.
        from: String,
        /// To whom it is to belong.
        to: String,
    },
    /// An extension is missing.
    CreateExtension {
        /// The database.
        database: String,
        /// The extension.
        extension: String,
    },
    /// A role is to read a schema, or some of its tables too.
    LetRead(Read),
    /// A role is no longer to read a schema.
    TakeRead(Read),
    /// A role has another password than its Secret says, or none.
    SetPassword(String),
    /// A database is to go.
    DropDatabase(String),
    /// A role is to go.
    DropRole(String),
}

impl Change {
    /// One word in the form of `RoleCreated`, for events.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::LoadCertificate => "CertificateLoaded",
            Self::CreateRole(_) => "RoleCreated",
            Self::AlterRole(_) | Self::Join { .. } | Self::Leave { .. } => "RoleChanged",
            Self::CreateDatabase(_) => "DatabaseCreated",
            Self::SetOwner { .. } | Self::CreateExtension { .. } => "DatabaseChanged",
            Self::LetRead(_) | Self::TakeRead(_) => "RightsChanged",
            Self::SetPassword(_) => "PasswordSet",
            Self::DropDatabase(_) => "DatabaseDropped",
            Self::DropRole(_) => "RoleDropped",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadCertificate => write!(f, "load the server's new certificate"),
            Self::CreateRole(role) => write!(f, "role {role}: create"),
            Self::AlterRole(role) => {
                write!(f, "role {role}: set what it may do and its connections")
            }
            Self::Join { role, of } => write!(f, "role {role}: make a member of {of}"),
            Self::Leave { role, of } => write!(f, "role {role}: no longer a member of {of}"),
            Self::CreateDatabase(database) => write!(f, "database {database}: create"),
            Self::SetOwner { database, from, to } => {
                write!(f, "database {database}: owner {from} → {to}")
            }
            Self::CreateExtension {
                database,
                extension,
            } => write!(f, "database {database}: create extension {extension}"),
            Self::LetRead(read) => write!(
                f,
                "role {}: let it read {}.{}",
                read.role, read.database, read.schema
            ),
            Self::TakeRead(read) => write!(
                f,
                "role {}: no longer let it read {}.{}",
                read.role, read.database, read.schema
            ),
            Self::SetPassword(role) => write!(f, "role {role}: set the password of its Secret"),
            Self::DropDatabase(database) => write!(f, "database {database}: drop"),
            Self::DropRole(role) => write!(f, "role {role}: drop"),
        }
    }
}

/// Compares. What nobody asks for stays, but for memberships of roles that are asked for, and for what was taken out with
/// `deletionPolicy: Delete`.
///
/// Passwords come after rights, so that whoever gets in may do what is asked for; what goes comes last, databases before
/// the roles that they belong to.
#[must_use]
pub fn diff(wanted: &Wanted, observed: &Observed) -> Plan<Change> {
    let mut plan = Plan::default();
    if observed.certificate_is_stale {
        plan.changes.push(Change::LoadCertificate);
    }
    // All roles before any membership.
    for role in &wanted.roles {
        match observed.roles.get(&role.name) {
            None => plan.changes.push(Change::CreateRole(role.name.clone())),
            Some(seen) if differs(role, seen) => {
                plan.changes.push(Change::AlterRole(role.name.clone()));
            }
            Some(_) => {}
        }
    }
    for role in &wanted.roles {
        memberships(role, wanted, observed, &mut plan);
    }
    for database in &wanted.databases {
        one_database(database, observed, &mut plan);
    }
    reads(wanted, observed, &mut plan);
    for role in &wanted.roles {
        let fits = observed
            .roles
            .get(&role.name)
            .map(|seen| seen.password_fits);
        if role.password.is_some() && fits != Some(true) {
            plan.changes.push(Change::SetPassword(role.name.clone()));
        }
    }
    let databases = wanted.former_databases.iter();
    let databases = databases.filter(|name| observed.databases.contains_key(*name));
    plan.changes
        .extend(databases.cloned().map(Change::DropDatabase));
    let roles = wanted.former_roles.iter();
    let roles = roles.filter(|name| observed.roles.contains_key(*name));
    plan.changes.extend(roles.cloned().map(Change::DropRole));
    plan
}

fn differs(wanted: &WantedRole, seen: &ObservedRole) -> bool {
    wanted.login != seen.login
        || wanted.replication != seen.replication
        || wanted.connection_limit != seen.connection_limit
        || seen.is_privileged
}

fn memberships(role: &WantedRole, wanted: &Wanted, observed: &Observed, plan: &mut Plan<Change>) {
    let none = BTreeSet::new();
    let seen = observed.roles.get(&role.name);
    let seen = seen.map_or(&none, |seen| &seen.member_of);
    for of in role.member_of.difference(seen) {
        let is_there = observed.roles.contains_key(of);
        if is_there || wanted.roles.iter().any(|other| other.name == *of) {
            plan.changes.push(Change::Join {
                role: role.name.clone(),
                of: of.clone(),
            });
        } else {
            plan.refused.push(Invalid::new(
                format!("spec.roles[{}].memberOf", role.name),
                of,
                "this PostgreSQL has no such role",
                "correct the name, or take it out",
            ));
        }
    }
    for of in seen.difference(&role.member_of) {
        plan.changes.push(Change::Leave {
            role: role.name.clone(),
            of: of.clone(),
        });
    }
}

fn one_database(database: &WantedDatabase, observed: &Observed, plan: &mut Plan<Change>) {
    let name = &database.name;
    let seen = observed.databases.get(name);
    match seen {
        None => plan.changes.push(Change::CreateDatabase(name.clone())),
        Some(seen) if seen.owner != database.owner => plan.changes.push(Change::SetOwner {
            database: name.clone(),
            from: seen.owner.clone(),
            to: database.owner.clone(),
        }),
        Some(_) => {}
    }
    for extension in &database.extensions {
        if seen.is_some_and(|seen| seen.extensions.contains(extension)) {
            continue;
        }
        if observed.available_extensions.contains(extension) {
            plan.changes.push(Change::CreateExtension {
                database: name.clone(),
                extension: extension.clone(),
            });
        } else {
            plan.refused.push(Invalid::new(
                format!("spec.databases[{name}].extensions"),
                extension,
                "the image has no such extension",
                "take it out, or give an image that has it in spec.image",
            ));
        }
    }
}

fn reads(wanted: &Wanted, observed: &Observed, plan: &mut Plan<Change>) {
    for read in &wanted.reads {
        let is_there = match observed.databases.get(&read.database) {
            Some(seen) => seen.schemas.contains(&read.schema),
            // It is made with this one.
            None => read.schema == PUBLIC,
        };
        if is_there && !observed.reads.contains(read) {
            plan.changes.push(Change::LetRead(read.clone()));
        }
    }
    for read in wanted.former_reads.difference(&wanted.reads) {
        let goes = wanted.former_databases.contains(&read.database);
        let database = observed.databases.get(&read.database).filter(|_| !goes);
        let has_schema = database.is_some_and(|seen| seen.schemas.contains(&read.schema));
        if has_schema && observed.roles.contains_key(&read.role) {
            plan.changes.push(Change::TakeRead(read.clone()));
        }
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
pub(super) mod tests;
