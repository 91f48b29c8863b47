//! Backups: base backups by a CronJob, the archive of the log by the server itself, and a Job that a cluster begins with
//! when it is restored from them. The log of several members is taken in by a pod that follows whoever is the primary: one
//! volume is not on all their nodes.
//!
//! On the volume there is one directory for each lineage of databases: those since a founding or a restore. So neither meets
//! the other's files, although both count their log from the same numbers.

pub(super) mod build;
pub mod files;
pub(super) mod receiver;
pub(super) mod status;

use jiff::Timestamp;
use millrace_contract::Invalid;

use super::crd::{PostgresCluster, Role};
use crate::types::DeletionPolicy;

/// The component's name in labels of pods that make base backups: the Services must not find them.
pub const BACKUP_COMPONENT: &str = "postgres-backup";
/// The same of pods that restore.
pub const RESTORE_COMPONENT: &str = "postgres-restore";
/// The same of the pod that takes in the log of several members.
pub const ARCHIVE_COMPONENT: &str = "postgres-archive";
/// Port at which that pod tells how the archive stands.
pub const ARCHIVE_PORT: i32 = 8009;
/// What is asked for there.
pub const STATE_PATH: &str = "/state.json";
/// The role that makes base backups.
pub const BACKUP_ROLE: &str = "millrace_backup";

/// Name of the CronJob and of the volume claim, and of what takes in the log of several members.
#[must_use]
pub fn backup_name(cluster: &str) -> String {
    format!("{cluster}-backup")
}

/// The role that makes base backups, as if it stood in the spec; it goes with `spec.backup`.
#[must_use]
pub fn role() -> Role {
    Role {
        name: BACKUP_ROLE.into(),
        login: true,
        database: None,
        member_of: Vec::new(),
        read_only: Vec::new(),
        connection_limit: None,
        deletion_policy: DeletionPolicy::Delete,
    }
}

/// A restore that is to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedRestore {
    /// The claim of the volume that is read.
    pub claim: String,
    /// The cluster whose it is, if it was given by that.
    pub cluster: Option<String>,
    /// Until when; all that is there when absent.
    pub target: Option<Timestamp>,
}

/// The restore that a cluster asks for and that is not done yet. `former`: one of its volumes that is older than the resource.
///
/// # Errors
/// Names the field, the value and the cure.
pub fn pending(
    cluster: &PostgresCluster,
    former: Option<i32>,
) -> Result<Option<ValidatedRestore>, Invalid> {
    let Some(bootstrap) = &cluster.spec.bootstrap else {
        return Ok(None);
    };
    let status = cluster.status.as_ref();
    if status.is_some_and(|status| status.initialized || is_done(cluster)) {
        return Ok(None);
    }
    let restore = &bootstrap.restore;
    let (field, name) = ("spec.bootstrap.restore", &cluster.metadata.name);
    let name = name.as_deref().unwrap_or_default();
    if let Some(ordinal) = former {
        return Err(Invalid::new(
            field,
            format!("data-{name}-{ordinal}"),
            "this volume claim is older than the cluster and may hold databases; a restore never begins over them",
            "delete the claim, or take spec.bootstrap out to take its databases up",
        ));
    }
    let (from, time) = (&restore.from, restore.target_time.as_deref());
    let target = time.map(|time| {
        time.parse::<Timestamp>().map_err(|error| {
            Invalid::new(
                format!("{field}.targetTime"),
                time,
                error.to_string(),
                "write it like 2026-03-01T09:30:00Z",
            )
        })
    });
    let claim = from.claim.clone();
    let of = from.cluster.as_deref().map(backup_name);
    let claim = claim.or(of).ok_or_else(|| {
        Invalid::new(
            format!("{field}.from"),
            "",
            "wants either cluster or claim",
            "give one of them",
        )
    })?;
    Ok(Some(ValidatedRestore {
        claim,
        cluster: from.cluster.clone(),
        target: target.transpose()?,
    }))
}

/// Whether the log of a cluster is in the archive, and no base backup is there with which it could be used.
#[must_use]
pub fn lacks_base(cluster: &PostgresCluster) -> bool {
    let status = cluster.status.as_ref();
    let backup = status.and_then(|status| status.backup.as_ref());
    backup.is_some_and(|backup| backup.kept == Some(0)) && !cluster.spec.operation.stopped
}

/// Whether a cluster has been restored.
#[must_use]
pub fn is_done(cluster: &PostgresCluster) -> bool {
    let status = cluster.status.as_ref();
    let restore = status.and_then(|status| status.restore.as_ref());
    restore.is_some_and(|restore| restore.completed.is_some())
}
