//! What is told of a cluster. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use super::backup::backup_name;
use super::backup::status::{self as backups, Backups, Restoring};
use super::crd::{DatabaseStatus, PostgresCluster, PostgresClusterStatus, RoleStatus};
use super::inside::{Inside, Look};
use super::patroni::{self, Members};
use super::validate::{ValidatedPostgres, ValidatedRole};
use super::{ALLOW_FORMAT, PORT, files, role_binding_name, superuser_name};
use crate::controller::{Reconciled, status_of};
use crate::disk;
use crate::reconcile::PendingRestart;
use crate::reconcile::restarts::Rolling;
use crate::reconcile::storage::Volumes;
use crate::remote::postgres::{Change, Observed};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, is_true, set_condition};
use crate::types::{BindingStatus, DeletionPolicy, VolumeStatus, tell_stopped};
use crate::user::crd::PasswordRotation;

/// What was seen after the objects were applied.
pub(super) struct Seen {
    /// The StatefulSet as it came back.
    pub(super) set: Option<StatefulSet>,
    /// What was found inside.
    pub(super) inside: Inside,
    /// What several members say of each other.
    pub(super) members: Members,
    /// The volume.
    pub(super) volumes: Volumes,
    /// Restarts, and what they wait for.
    pub(super) rolling: Rolling,
    /// Restarts that wait for approval.
    pub(super) pending: Vec<PendingRestart>,
    /// What keeps pods from being ready.
    pub(super) trouble: Option<String>,
    /// Backups, where they are asked for.
    pub(super) backups: Option<Backups>,
    /// The restore that the cluster begins with, while it is not known to be done.
    pub(super) restoring: Option<Restoring>,
}

/// What is told as an event: the reason and the sentence.
pub(super) type Event = (&'static str, String);

pub(super) fn ready(set: Option<&StatefulSet>) -> bool {
    let ready = set.and_then(|set| set.status.as_ref()?.ready_replicas);
    ready.unwrap_or_default() > 0
}

pub(super) fn status(
    cluster: &PostgresCluster,
    postgres: &ValidatedPostgres,
    seen: &Seen,
) -> (Reconciled<PostgresClusterStatus>, Option<Event>) {
    let generation = cluster.metadata.generation;
    let mut status = status_of(cluster);
    // Who cannot be asked may well lead.
    let works = ready(seen.set.as_ref()) && !patroni::is_headless(postgres, &seen.members);
    status.binding = Some(BindingStatus {
        name: superuser_name(&postgres.owner.name),
    });
    status.address = Some(format!("{}:{PORT}", postgres.host()));
    status.storage = seen.volumes.size.clone().map(|size| size.0);
    status.restarts.clone_from(&seen.rolling.restarts);
    status.pending_restarts.clone_from(&seen.pending);
    status.initialized |= works;
    patroni::tell(postgres, &mut status, &seen.members);
    let ready = seen.set.as_ref().and_then(|set| set.status.as_ref());
    status.ready_members = ready.map(|set| set.ready_replicas.unwrap_or_default());
    if works && let Some(asked) = cluster.annotations().get(ALLOW_FORMAT) {
        status.allowed_format = Some(asked.chars().take(256).collect());
    }
    // What could not be seen is as it was.
    if let Inside::Seen(look) = &seen.inside {
        let observed = &look.observed;
        status.version = Some(observed.version.clone());
        status.databases = databases(postgres, &status.databases, observed);
        status.roles = roles(postgres, &status.roles, look);
        let first = format!("{}-0", postgres.owner.name);
        let pod = status.primary.clone().unwrap_or(first);
        let room = disk::of_claim(observed.used_bytes, seen.volumes.size.as_ref());
        let rooms = room.map(|room| (pod.as_str(), room));
        if let Some(volume) = disk::fullest(rooms, status.disk.as_ref()) {
            status.disk = Some(volume);
        }
    }
    let look = seen.inside.look();
    let claim = backup_name(&postgres.owner.name);
    let backup = seen.backups.as_ref();
    let before = status.backup.take();
    status.backup = backup.map(|seen| backups::backup(before.as_ref(), seen, look, &claim));
    let restoring = seen.restoring.as_ref();
    status.restore = backups::restored(status.restore.as_ref(), restoring, look);
    conditions(postgres, &mut status, seen, works, generation);
    let event = disk(&mut status, generation);
    let settled =
        is_true(&status.conditions, AVAILABLE) && !is_true(&status.conditions, PROGRESSING);
    // Drift inside the server sends no event.
    let restored = restoring.is_some_and(|restoring| restoring.is_done);
    let again = Duration::from_secs(match (settled, restored) {
        (true, _) => 60,
        (false, false) => 15,
        // The server can start.
        (false, true) => 1,
    });
    let of_backups = status
        .backup
        .as_ref()
        .and_then(|backup| backup.disk.as_ref());
    let used = status.disk.iter().chain(of_backups);
    let used = used.map(|volume| volume.used_percent).max();
    (
        Reconciled::Status(status, disk::look_again(used, again)),
        event,
    )
}

/// Tells of the fuller one of the two volumes.
fn disk(status: &mut PostgresClusterStatus, generation: Option<i64>) -> Option<Event> {
    let of_backups = status.backup.as_ref();
    let of_backups = of_backups.and_then(|backup| backup.disk.as_ref());
    let rank = |volume: &VolumeStatus| (volume.full, volume.used_percent);
    let own = status.disk.as_ref().map(rank);
    let (volume, when_full, cure) = match of_backups.filter(|volume| Some(rank(volume)) > own) {
        Some(volume) => (
            Some(volume),
            "base backups and the log find no room, and the log stays on the volume of the server",
            "make it larger (spec.backup.storage.size), or keep fewer base backups",
        ),
        None => (
            status.disk.as_ref(),
            "the server ends when its log cannot be written",
            "make it larger (spec.storage.size), or delete what is not needed",
        ),
    };
    let conditions = &mut status.conditions;
    disk::tell_volume(conditions, volume, when_full, cure, generation)
}

/// Those that are asked for, and those that are still there though they are to go.
fn databases(
    postgres: &ValidatedPostgres,
    before: &[DatabaseStatus],
    observed: &Observed,
) -> Vec<DatabaseStatus> {
    let asked = postgres.databases.iter().map(|database| DatabaseStatus {
        name: database.name.clone(),
        deletion_policy: database.deletion_policy,
    });
    let left = before.iter().filter(|former| {
        former.deletion_policy == DeletionPolicy::Delete
            && observed.databases.contains_key(&former.name)
            && !postgres.databases.iter().any(|d| d.name == former.name)
    });
    asked.chain(left.cloned()).collect()
}

fn roles(postgres: &ValidatedPostgres, before: &[RoleStatus], look: &Look) -> Vec<RoleStatus> {
    // Where something failed it may have been the taking of a right: it is remembered, to be taken again.
    let failed = !look.failed.is_empty();
    let asked = postgres.roles.iter().map(|validated| {
        let former = before.iter().find(|one| one.name == validated.role.name);
        let mut role = role(postgres, validated, former, &look.made);
        let reads = former.filter(|_| failed).map(|former| &former.reads);
        for read in reads.into_iter().flatten() {
            if !role.reads.contains(read) {
                role.reads.push(read.clone());
            }
        }
        role
    });
    let left = before.iter().filter(|former| {
        let goes = former.deletion_policy == DeletionPolicy::Delete;
        (goes || failed && !former.reads.is_empty())
            && look.observed.roles.contains_key(&former.name)
            && !postgres.roles.iter().any(|r| r.role.name == former.name)
    });
    let left = left.map(|former| RoleStatus {
        binding: None,
        ..former.clone()
    });
    asked.chain(left).collect()
}

fn role(
    postgres: &ValidatedPostgres,
    validated: &ValidatedRole,
    former: Option<&RoleStatus>,
    made: &[Change],
) -> RoleStatus {
    let role = &validated.role;
    let reads = role.read_only.iter().flat_map(|reads| {
        let schemas = reads.schemas.iter();
        schemas.map(|schema| format!("{}.{schema}", reads.database))
    });
    let was_set = made.contains(&Change::SetPassword(role.name.clone()));
    let rotation = validated.password.as_ref().map(|password| {
        let before = former.and_then(|former| former.rotation.clone());
        let changed_at = before.and_then(|before| before.changed_at);
        let now = || Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        PasswordRotation {
            rotated_for: password.rotated_for.clone(),
            changed_at: if was_set { Some(now()) } else { changed_at },
        }
    });
    let binding = validated.password.as_ref().map(|_| BindingStatus {
        name: role_binding_name(&postgres.owner.name, &role.name),
    });
    RoleStatus {
        name: role.name.clone(),
        binding,
        deletion_policy: role.deletion_policy,
        reads: reads.collect(),
        rotation,
    }
}

fn conditions(
    postgres: &ValidatedPostgres,
    status: &mut PostgresClusterStatus,
    seen: &Seen,
    works: bool,
    generation: Option<i64>,
) {
    let conditions = &mut status.conditions;
    // Clients that were served go on while the operator does not get in.
    let is_made = matches!(seen.inside, Inside::Seen(_)) || is_true(conditions, AVAILABLE);
    let (available, reason, told) = match (works, is_made, &seen.inside) {
        (false, ..) => (
            false,
            if seen.restoring.is_some() {
                "Restoring"
            } else if patroni::is_headless(postgres, &seen.members) {
                "NoPrimary"
            } else {
                "PodNotReady"
            },
            seen.trouble
                .clone()
                .unwrap_or_else(|| starting(postgres, seen)),
        ),
        (true, false, Inside::Failed(error)) => (false, error.reason(), error.to_string()),
        (true, false, _) => (
            false,
            "Starting",
            "databases and roles are not made yet".into(),
        ),
        (true, true, _) => (true, "Ready", "the server takes connections".into()),
    };
    set_condition(conditions, AVAILABLE, available, reason, &told, generation);
    let pods = seen.set.as_ref().and_then(|set| set.status.as_ref());
    let ready = pods
        .and_then(|pods| pods.ready_replicas)
        .unwrap_or_default();
    let still = (available && postgres.is_ha() && ready != postgres.members)
        .then(|| format!("{ready} of {} servers are ready", postgres.members));
    let (progressing, reason, step) = match &seen.rolling.told {
        Some(step) => (true, "Restarting", step.as_str()),
        None if still.is_some() => (true, "Starting", still.as_deref().unwrap_or_default()),
        None if available => (false, "Settled", ""),
        None => (true, "Starting", told.as_str()),
    };
    set_condition(
        conditions,
        PROGRESSING,
        progressing,
        reason,
        step,
        generation,
    );
    let pods = pods.map_or(0, |status| status.replicas);
    tell_stopped(conditions, postgres.operation.stopped, pods, generation);
    let of_backups = || {
        let archive = seen.inside.look();
        let archive = archive.and_then(|look| look.observed.archive.as_ref());
        backups::trouble(status.backup.as_ref()?, seen.backups.as_ref()?, archive)
    };
    let of_members = || patroni::behind(postgres, &seen.members, seen.trouble.as_deref());
    if let Some((reason, told)) = degraded(seen).or_else(of_members).or_else(of_backups) {
        set_condition(conditions, DEGRADED, true, reason, &told, generation);
    }
}

/// What is done while there is no server that is ready.
fn starting(postgres: &ValidatedPostgres, seen: &Seen) -> String {
    match &seen.restoring {
        Some(restoring) => format!("databases are restored from {}", restoring.claim),
        None if patroni::is_headless(postgres, &seen.members) => {
            "no member is the primary: one that has all that was acknowledged takes over when the lease of the former one has ended"
                .into()
        }
        None if postgres.former_pods => {
            "pods of a former cluster of the name are still there: none begins beside them".into()
        }
        None if postgres.begun && !postgres.operation.stopped => {
            "no member runs yet; where all volumes are empty they wait for ever: see several instances in docs/postgres.md"
                .into()
        }
        None => "the server is starting".into(),
    }
}

/// What does not go away by itself, the worst first.
fn degraded(seen: &Seen) -> Option<Event> {
    let trouble = seen.trouble.as_ref();
    if let Some(lost) = trouble.filter(|trouble| trouble.contains(files::REFUSED)) {
        return Some(("VolumeLost", lost.clone()));
    }
    let restoring = seen.restoring.as_ref();
    if let Some(failed) = restoring.and_then(|restoring| restoring.failed.clone()) {
        return Some(("RestoreFailed", failed));
    }
    match &seen.inside {
        Inside::Failed(error) => return Some((error.reason(), error.to_string())),
        Inside::Seen(look) if !look.failed.is_empty() => {
            let failed: Vec<String> = look.failed.iter().map(ToString::to_string).collect();
            return Some(("PostgresFailed", failed.join("; ")));
        }
        Inside::Seen(look) if !look.refused.is_empty() => {
            let refused: Vec<String> = look.refused.iter().map(ToString::to_string).collect();
            return Some(("Refused", refused.join("; ")));
        }
        Inside::Seen(_) | Inside::Asleep => {}
    }
    let refused = seen.volumes.refused.clone();
    refused.map(|refused| ("VolumeCannotGrow", refused))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
