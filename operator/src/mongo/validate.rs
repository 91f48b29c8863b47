//! From what was asked for to what can be built. Pure but for random numbers.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use millrace_contract::Invalid;
use millrace_contract::materialize::{check_database, identity_database};

use super::crd::{Backup, Engine, MongoCluster, MongoClusterSpec, Right, Role, User};
use super::replica::{Found, keyfile_name};
use super::{ALLOW_FORMAT, COMPONENT, JOBS, user_binding_name};
use crate::context::Images;
use crate::pki;
use crate::reconcile::certificates::{self, Certificates};
use crate::reconcile::passwords::{self, Password, ROTATE};
use crate::reconcile::secrets::{self, Found as FoundSecret};
use crate::reconcile::{ApplyError, Error, Owner};
use crate::types::{DeletionPolicy, Operation, PodResources, Quantity, Storage};

/// Memory of a member of a replica set when none is asked for.
pub const MEMORY: &str = "1Gi";
/// Memory of the engine `wire` when none is asked for.
pub const WIRE_MEMORY: &str = "192Mi";
/// The user that makes dumps.
pub const BACKUP: &str = "backup";
const MEBIBYTE: u64 = 1024 * 1024;
/// What a Java process needs beside its heap.
const BESIDE_HEAP: u64 = 112;
/// What mongod needs beside its cache, before half of the rest is its cache.
const BESIDE_CACHE: u64 = 256;

/// A user with what follows from it.
#[derive(Clone, Debug)]
pub struct ValidatedUser {
    /// Its name.
    pub name: String,
    /// What it may, as role and database.
    pub rights: Vec<(String, String)>,
    /// The database that its Secret names.
    pub database: String,
    /// Its password.
    pub password: Password,
}

/// A cluster that can be built.
#[derive(Clone, Debug)]
pub struct ValidatedMongo {
    /// Whose objects they are.
    pub owner: Owner,
    /// Which server it is.
    pub engine: Engine,
    /// The container image.
    pub image: String,
    /// How many members there are to be.
    pub members: i32,
    /// So many pods are kept at least, because the set still counts on them.
    pub held: i32,
    /// The volume of each member.
    pub storage: Storage,
    /// The claim template that the live StatefulSet has; it cannot be changed.
    pub live_template: Option<PersistentVolumeClaim>,
    /// Memory and CPU of a server.
    pub resources: PodResources,
    /// The memory in mebibytes.
    pub mebibytes: u64,
    /// The database of the binding.
    pub database: String,
    /// Users, that of jobs first; none with the engine `wire`.
    pub users: Vec<ValidatedUser>,
    /// Dumps, if they are wanted.
    pub backup: Option<Backup>,
    /// By what members log in at each other.
    pub keyfile: String,
    /// The authority and the certificate of the members.
    pub certificates: Certificates,
    /// Whether a set may be founded.
    pub may_found: bool,
    /// What becomes of the volumes in the end.
    pub deletion_policy: DeletionPolicy,
    /// How it is run over time.
    pub operation: Operation,
}

impl ValidatedMongo {
    /// The Service for clients.
    #[must_use]
    pub fn service(&self) -> String {
        service_name(&self.owner.name)
    }

    /// The name by which clients find it.
    #[must_use]
    pub fn host(&self) -> String {
        // Without the cluster domain, which nobody outside the kubelet's configuration knows for certain.
        format!("{}.{}.svc", self.service(), self.owner.namespace)
    }

    /// The Java heap of the engine `wire`, in mebibytes.
    #[must_use]
    pub fn heap_mebibytes(&self) -> u64 {
        self.mebibytes.saturating_sub(BESIDE_HEAP)
    }

    /// What mongod keeps in memory of its files, in mebibytes. It takes no less than 256.
    #[must_use]
    pub fn cache_mebibytes(&self) -> u64 {
        (self.mebibytes.saturating_sub(BESIDE_CACHE) / 2).max(256)
    }

    /// How many pods are to run.
    #[must_use]
    pub fn servers(&self) -> i32 {
        self.members.max(self.held)
    }

    /// When the certificate of the members ends, in milliseconds since 1970.
    #[must_use]
    pub fn certificate_ends_ms(&self) -> Option<i64> {
        let ends = pki::not_after(&self.certificates.server.certificate)?;
        Some(ends.as_millisecond())
    }
}

fn service_name(cluster: &str) -> String {
    format!("{cluster}-{COMPONENT}")
}

/// Checks a cluster and computes what follows from its spec.
///
/// # Errors
/// Names the field, its value and the cure.
pub fn validate(
    cluster: &MongoCluster,
    found: &Found,
    images: &Images,
    now: Timestamp,
) -> Result<ValidatedMongo, Error> {
    let spec = &cluster.spec;
    let owner = Owner {
        windows: spec.operation.windows()?,
        ..Owner::of(cluster)?
    };
    check_database("spec.database", &spec.database)?;
    let (image, memory, least) = match spec.engine {
        Engine::Wire => (&images.mongo_wire, WIRE_MEMORY, 160),
        Engine::Mongodb => (&images.mongodb, MEMORY, 512),
    };
    let (memory, mebibytes) = memory_of(spec, memory, least)?;
    // The engine `wire` has no use for certificates, users and a keyfile, and nothing is made of them.
    let certificates = certificates::complete(
        (&found.authority, &found.certificate),
        &[service_name(&owner.name).as_str()],
        (&owner.name, &owner.namespace),
        now,
    )?;
    Ok(ValidatedMongo {
        engine: spec.engine,
        image: spec.image.clone().unwrap_or_else(|| image.clone()),
        members: match spec.engine {
            Engine::Wire => 1,
            Engine::Mongodb => spec.members,
        },
        held: 0,
        storage: spec.storage.clone(),
        live_template: found.template.clone(),
        resources: PodResources {
            memory: Some(memory),
            cpu: spec.resources.as_ref().and_then(|r| r.cpu.clone()),
        },
        mebibytes,
        database: spec.database.clone(),
        users: users(cluster, found, &owner)?,
        backup: spec.backup.clone(),
        keyfile: keyfile(cluster, found, &owner)?,
        certificates,
        may_found: may_found(cluster),
        deletion_policy: spec.deletion_policy,
        operation: spec.operation.clone(),
        owner,
    })
}

fn memory_of(
    spec: &MongoClusterSpec,
    default: &str,
    least: u64,
) -> Result<(Quantity, u64), Invalid> {
    let asked = spec.resources.as_ref().and_then(|r| r.memory.clone());
    let memory = asked.unwrap_or_else(|| default.into());
    let mebibytes = memory.bytes().unwrap_or_default() / MEBIBYTE;
    if mebibytes < least {
        return Err(Invalid::new(
            "spec.resources.memory",
            &memory.0,
            "no server starts with so little",
            format!("give at least {least}Mi"),
        ));
    }
    Ok((memory, mebibytes))
}

/// Users that are there without being asked for, and those that are: what each may, as MongoDB calls it.
pub(super) struct AskedUser {
    pub(super) name: String,
    rights: Vec<(String, String)>,
    database: String,
}

pub(super) fn users_of(spec: &MongoClusterSpec) -> Vec<AskedUser> {
    if spec.engine == Engine::Wire {
        return Vec::new();
    }
    let of = |user: &User| AskedUser {
        name: user.name.clone(),
        rights: user
            .roles
            .iter()
            .map(|right| (right.role.as_str().to_owned(), right.database.clone()))
            .collect(),
        database: match user.roles.first() {
            Some(right) if !user.roles.iter().any(|r| r.database == spec.database) => {
                right.database.clone()
            }
            _ => spec.database.clone(),
        },
    };
    let jobs = User {
        name: JOBS.into(),
        roles: vec![
            Right {
                database: spec.database.clone(),
                role: Role::ReadWrite,
            },
            // What leads to persons, see docs/documents.md.
            Right {
                database: identity_database(None, &spec.database),
                role: Role::ReadWrite,
            },
        ],
    };
    let asked = spec.users.iter().find(|user| user.name == JOBS);
    let others = spec.users.iter().filter(|user| user.name != JOBS);
    let mut all = vec![of(asked.unwrap_or(&jobs))];
    all.extend(others.map(of));
    if spec.backup.is_some() {
        all.push(AskedUser {
            name: BACKUP.into(),
            rights: vec![("backup".into(), "admin".into())],
            // All databases.
            database: String::new(),
        });
    }
    all
}

fn users(
    cluster: &MongoCluster,
    found: &Found,
    owner: &Owner,
) -> Result<Vec<ValidatedUser>, Error> {
    let annotation = cluster.annotations().get(ROTATE);
    // As much of it as a status takes.
    let annotation = annotation.map(|asked| asked.chars().take(256).collect::<String>());
    let validated = users_of(&cluster.spec).into_iter().map(|user| {
        // Asked before MongoDB is told anything: a Secret of somebody else would never take the password up.
        let known = match found.users.get(&user.name) {
            Some(FoundSecret::Given) => {
                return Err(taken(user_binding_name(&owner.name, &user.name)));
            }
            Some(FoundSecret::Ours(data)) => Password::read(data),
            Some(FoundSecret::Absent) | None => None,
        };
        let asked = passwords::asked(annotation.as_deref(), &user.name);
        Ok(ValidatedUser {
            password: passwords::decide(known, asked)?,
            name: user.name,
            rights: user.rights,
            database: user.database,
        })
    });
    validated.collect()
}

fn taken(name: String) -> Error {
    let kind = "Secret".into();
    ApplyError::Foreign { kind, name }.into()
}

/// The keyfile. While members run that have one, no other is made: neither they nor the operator could log in at a member
/// that is restarted with another one.
fn keyfile(cluster: &MongoCluster, found: &Found, owner: &Owner) -> Result<String, Error> {
    let name = keyfile_name(&owner.name);
    let is_there = match &found.keyfile {
        FoundSecret::Ours(data) => data.contains_key("keyfile"),
        FoundSecret::Absent | FoundSecret::Given => false,
    };
    if !is_there && found.replicas > 0 && !cluster.spec.operation.stopped {
        return Err(Error::Missing {
            reason: "KeyfileMissing",
            invalid: Invalid::new(
                "Secret",
                name,
                "is gone while members run that log in by it",
                "put it back, or set spec.stopped to true and, when all pods are gone, to false: all then start with a new one",
            ),
        });
    }
    let data = secrets::complete(&found.keyfile, &[("keyfile", secrets::key)])?;
    let text = data.and_then(|data| String::from_utf8(data.get("keyfile")?.0.clone()).ok());
    text.ok_or_else(|| taken(name))
}

/// A set that has worked is founded anew only when that was asked for; each value of the annotation lets once.
fn may_found(cluster: &MongoCluster) -> bool {
    let status = cluster.status.as_ref();
    let asked = cluster.annotations().get(ALLOW_FORMAT);
    let followed = status.and_then(|status| status.allowed_format.as_ref());
    !status.is_some_and(|status| status.initialized) || asked.is_some() && asked != followed
}

#[cfg(test)]
#[path = "validate_tests.rs"]
pub(super) mod tests;
