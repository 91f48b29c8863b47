//! From what was asked for to what can be built. Pure but for random numbers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use millrace_contract::Invalid;

use super::backup::{self, ValidatedRestore};
use super::build::VOLUME;
use super::crd::{Backup, Database, PostgresCluster, PostgresClusterSpec, Role, Synchronous};
use super::dereference::Found;
use super::patroni;
use super::{ALLOW_FORMAT, primary_name, role_binding_name};
use crate::context::Images;
use crate::reconcile::certificates::{self, Certificates};
use crate::reconcile::passwords::{self, Password, ROTATE};
use crate::reconcile::secrets::{self, Found as FoundSecret};
use crate::reconcile::{ApplyError, Error, Owner};
use crate::types::{DeletionPolicy, Operation, PodResources, Storage, StorageGrowth};

/// Memory of a server when none is asked for.
pub const MEMORY: &str = "512Mi";
/// The superuser.
pub const SUPERUSER: &str = "postgres";
const MEBIBYTE: u64 = 1024 * 1024;

/// Whether a server with an empty volume may begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Founding {
    /// It may: there have never been any databases, or it was let.
    Allowed,
    /// It may not: there were.
    Refused,
}

/// A role with what follows from it.
#[derive(Clone, Debug)]
pub struct ValidatedRole {
    /// As it is asked for.
    pub role: Role,
    /// The database that its Secret names.
    pub database: String,
    /// Its password, if it logs in.
    pub password: Option<Password>,
}

/// By what the members of several know each other, and the operator changes something in Patroni. Empty for one server.
#[derive(Clone, Debug, Default)]
pub struct MemberSecrets {
    /// The password of the role by which they follow each other.
    pub replication: String,
    /// The password of Patroni's API.
    pub api: String,
}

/// A cluster that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedPostgres {
    /// Whose objects they are.
    pub owner: Owner,
    /// The container image.
    pub image: String,
    /// How many servers are asked for.
    pub members: i32,
    /// How many there are to be now: some begin later, and some leave before they go.
    pub servers: i32,
    /// How many the live StatefulSet is to have, or had before it was stopped.
    pub live: i32,
    /// How many of them are ready.
    pub ready: i32,
    /// Whether the live StatefulSet has one server that Patroni does not run.
    pub alone: bool,
    /// Whether Patroni has ever made one of several the primary.
    pub begun: bool,
    /// How many servers a former resource of the name had, by volumes that are older than the resource: 0 where there are
    /// none but perhaps that of the first.
    pub former_members: i32,
    /// Whether pods of a former resource of the name are still on their way out: none may begin beside them.
    pub former_pods: bool,
    /// For what transactions wait, where there are several.
    pub synchronous: Synchronous,
    /// By what members know each other.
    pub patroni: MemberSecrets,
    /// The volume.
    pub storage: Storage,
    /// The same in mebibytes.
    pub storage_mebibytes: u64,
    /// How far the volume grows by itself.
    pub storage_growth: Option<StorageGrowth>,
    /// The claim template that the live StatefulSet has; it cannot be changed.
    pub live_template: Option<PersistentVolumeClaim>,
    /// Memory and CPU of the server.
    pub resources: PodResources,
    /// The memory in mebibytes.
    pub mebibytes: u64,
    /// Settings in the place of computed ones.
    pub parameters: BTreeMap<String, String>,
    /// Databases that are asked for.
    pub databases: Vec<Database>,
    /// Roles that are asked for.
    pub roles: Vec<ValidatedRole>,
    /// Base backups and the archive of the log.
    pub backup: Option<Backup>,
    /// Whether there is an archive, and no base backup yet from which it could be read.
    pub lacks_base: bool,
    /// What is to be restored before the server starts.
    pub restore: Option<ValidatedRestore>,
    /// Whether a server with an empty volume may begin.
    pub founding: Founding,
    /// The password of the superuser.
    pub superuser: String,
    /// The authority and the server's certificate.
    pub certificates: Certificates,
    /// What becomes of the volume in the end.
    pub deletion_policy: DeletionPolicy,
    /// How it is run over time.
    pub operation: Operation,
}

impl ValidatedPostgres {
    /// Whether there are several servers, kept by Patroni.
    #[must_use]
    pub fn is_ha(&self) -> bool {
        self.members > 1
    }

    /// The name by which clients find the server that takes writes.
    #[must_use]
    pub fn host(&self) -> String {
        // Without the cluster domain, which nobody outside the kubelet's configuration knows for certain.
        let owner = &self.owner;
        format!("{}.{}.svc", primary_name(&owner.name), owner.namespace)
    }
}

/// Checks a cluster and computes what follows from its spec.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(
    cluster: &PostgresCluster,
    found: &Found,
    images: &Images,
    now: Timestamp,
) -> Result<ValidatedPostgres, Error> {
    let spec = &cluster.spec;
    let owner = Owner {
        windows: spec.operation.windows()?,
        ..Owner::of(cluster)?
    };
    for (name, value) in &spec.parameters {
        // Not a rule of the definition: Kubernetes takes names in a map for so long that it would be too dear.
        if !is_setting(name) {
            return Err(Invalid::new(
                "spec.parameters",
                name,
                "is none of a setting",
                "write it in lower case, as in PostgreSQL's documentation",
            )
            .into());
        }
        if value.contains(['\n', '\r', '\0']) {
            return Err(Invalid::new(
                format!("spec.parameters[{name}]"),
                value,
                "holds a line end",
                "write it on one line",
            )
            .into());
        }
    }
    let asked = spec.resources.as_ref();
    let memory = asked
        .and_then(|r| r.memory.clone())
        .unwrap_or_else(|| MEMORY.into());
    let mebibytes = memory.bytes().unwrap_or_default() / MEBIBYTE;
    if mebibytes < 128 {
        return Err(Invalid::new(
            "spec.resources.memory",
            &memory.0,
            "a server with a few clients does not fit into so little",
            "give at least 128Mi",
        )
        .into());
    }
    if spec.members == 1 && found.former_members > 0 {
        return Err(Invalid::new(
            "spec.members",
            "1",
            format!(
                "volume claims up to {VOLUME}-{}-{} are older than the cluster: there were several servers, and the first alone may lack what was acknowledged",
                owner.name,
                found.former_members - 1
            ),
            "give as many members as there were, or delete the claims of all but the first",
        )
        .into());
    }
    let certificates = certificates::complete(
        (&found.authority, &found.certificate),
        &[primary_name(&owner.name).as_str()],
        (&owner.name, &owner.namespace),
        now,
    )?;
    let status = cluster.status.as_ref();
    let begun = spec.members > 1 && status.is_some_and(|status| status.timeline.is_some());
    // One that was stopped has none now, and the one that led may be any of those that there were.
    let live = match status {
        Some(status) if begun && found.live == 0 => patroni::last_seen(&status.members),
        _ => found.live,
    };
    let servers = if found.former_pods {
        0
    } else if spec.members > 1 {
        patroni::gate::servers(spec.members, live, begun, found.former_members, None)
    } else {
        1
    };
    Ok(ValidatedPostgres {
        members: spec.members,
        servers,
        live,
        ready: found.ready,
        alone: found.alone,
        begun,
        former_members: found.former_members,
        former_pods: found.former_pods,
        synchronous: spec.synchronous.unwrap_or_default(),
        patroni: member_secrets(cluster, found, &owner)?,
        image: spec
            .image
            .clone()
            .unwrap_or_else(|| images.postgres.clone()),
        storage_mebibytes: spec.storage.size.bytes().unwrap_or_default() / MEBIBYTE,
        storage: spec.storage.clone(),
        storage_growth: spec.storage_growth.clone(),
        live_template: found.template.clone(),
        resources: PodResources {
            memory: Some(memory),
            cpu: asked.and_then(|r| r.cpu.clone()),
        },
        mebibytes,
        parameters: spec.parameters.clone(),
        databases: spec.databases.clone(),
        roles: roles(cluster, found, &owner)?,
        backup: spec.backup.clone(),
        lacks_base: backup::lacks_base(cluster),
        restore: backup::pending(cluster, found.former_ordinal())?,
        founding: founding(cluster, found),
        superuser: superuser(found, &owner)?,
        certificates,
        deletion_policy: spec.deletion_policy,
        operation: spec.operation.clone(),
        owner,
    })
}

/// Whether it has the form of a setting, perhaps of an extension: `work_mem`, `pg_stat_statements.max`.
fn is_setting(name: &str) -> bool {
    let is_word = |word: &str| {
        let rest = word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        rest && word
            .bytes()
            .next()
            .is_some_and(|first| !first.is_ascii_digit())
    };
    name.split('.').count() <= 2 && name.split('.').all(is_word)
}

fn superuser(found: &Found, owner: &Owner) -> Result<String, Error> {
    let data = secrets::complete(&found.superuser, &[("password", secrets::token)])?;
    let password = data.and_then(|data| String::from_utf8(data.get("password")?.0.clone()).ok());
    password.ok_or_else(|| taken(super::superuser_name(&owner.name)))
}

fn member_secrets(
    cluster: &PostgresCluster,
    found: &Found,
    owner: &Owner,
) -> Result<MemberSecrets, Error> {
    if cluster.spec.members == 1 {
        return Ok(MemberSecrets::default());
    }
    let make: [(&str, secrets::Make); 2] =
        [("replication", secrets::token), ("api", secrets::token)];
    let data = secrets::complete(&found.patroni, &make)?;
    let text = |key: &str| String::from_utf8(data.as_ref()?.get(key)?.0.clone()).ok();
    let both = text("replication").zip(text("api"));
    let (replication, api) = both.ok_or_else(|| taken(patroni::secret_name(&owner.name)))?;
    Ok(MemberSecrets { replication, api })
}

fn taken(name: String) -> Error {
    let kind = "Secret".into();
    ApplyError::Foreign { kind, name }.into()
}

/// The roles of the spec, and the one that makes base backups where those are asked for.
pub(super) fn asked_roles(spec: &PostgresClusterSpec) -> Vec<Role> {
    let own = spec.backup.as_ref().map(|_| backup::role());
    spec.roles.iter().cloned().chain(own).collect()
}

fn roles(
    cluster: &PostgresCluster,
    found: &Found,
    owner: &Owner,
) -> Result<Vec<ValidatedRole>, Error> {
    let annotation = cluster.annotations().get(ROTATE);
    // As much of it as a status takes.
    let annotation = annotation.map(|asked| asked.chars().take(256).collect::<String>());
    members(&cluster.spec.roles)?;
    let validated = asked_roles(&cluster.spec).into_iter().map(|role| {
        let password = if role.login {
            // Asked before PostgreSQL is told anything: a Secret of somebody else would never take the password up.
            let known = match found.roles.get(&role.name) {
                Some(FoundSecret::Given) => {
                    return Err(taken(role_binding_name(&owner.name, &role.name)));
                }
                Some(FoundSecret::Ours(data)) => Password::read(data),
                Some(FoundSecret::Absent) | None => None,
            };
            let asked = passwords::asked(annotation.as_deref(), &role.name);
            Some(passwords::decide(known, asked)?)
        } else {
            None
        };
        Ok(ValidatedRole {
            database: database_of(cluster, &role),
            role,
            password,
        })
    });
    validated.collect()
}

/// Refuses a membership in a role that nobody makes. Not a rule of the definition: each role against all others costs the API
/// server more than it allows.
fn members(roles: &[Role]) -> Result<(), Invalid> {
    for (index, role) in roles.iter().enumerate() {
        let made = |of: &String| roles.iter().any(|other| other.name == *of) && *of != role.name;
        let unknown = role
            .member_of
            .iter()
            .find(|of| !of.starts_with("pg_") && !made(of));
        if let Some(unknown) = unknown {
            return Err(Invalid::new(
                format!("spec.roles[{index}].memberOf"),
                unknown,
                "neither another one of spec.roles nor one of PostgreSQL's own (pg_…)",
                "add the role, or correct the name",
            ));
        }
    }
    Ok(())
}

fn database_of(cluster: &PostgresCluster, role: &Role) -> String {
    let databases = &cluster.spec.databases;
    let owned = databases
        .iter()
        .find(|database| database.owner.as_ref() == Some(&role.name));
    let given = role.database.clone();
    given
        .or_else(|| owned.map(|database| database.name.clone()))
        .or_else(|| role.read_only.first().map(|reads| reads.database.clone()))
        .unwrap_or_else(|| "postgres".into())
}

fn founding(cluster: &PostgresCluster, found: &Found) -> Founding {
    let status = cluster.status.as_ref();
    let restored = backup::is_done(cluster);
    if !found.former_volume
        && found.former_members == 0
        && !restored
        && !status.is_some_and(|status| status.initialized)
    {
        return Founding::Allowed;
    }
    let asked = cluster.annotations().get(ALLOW_FORMAT);
    let followed = status.and_then(|status| status.allowed_format.as_ref());
    if asked.is_some() && asked != followed {
        Founding::Allowed
    } else {
        Founding::Refused
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
pub(super) mod tests;
