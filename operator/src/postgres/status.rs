//! What is told of a cluster. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use super::crd::{DatabaseStatus, PostgresCluster, PostgresClusterStatus, RoleStatus};
use super::inside::{Inside, Look};
use super::validate::{ValidatedPostgres, ValidatedRole};
use super::{ALLOW_FORMAT, PORT, files, role_binding_name, superuser_name};
use crate::controller::{Reconciled, status_of};
use crate::disk;
use crate::reconcile::PendingRestart;
use crate::reconcile::restarts::Rolling;
use crate::reconcile::storage::Volumes;
use crate::remote::postgres::{Change, Observed};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, is_true, set_condition};
use crate::types::{BindingStatus, DeletionPolicy, tell_stopped};
use crate::user::crd::PasswordRotation;

/// What was seen after the objects were applied.
pub(super) struct Seen {
    /// The StatefulSet as it came back.
    pub(super) set: Option<StatefulSet>,
    /// What was found inside.
    pub(super) inside: Inside,
    /// The volume.
    pub(super) volumes: Volumes,
    /// Restarts, and what they wait for.
    pub(super) rolling: Rolling,
    /// Restarts that wait for approval.
    pub(super) pending: Vec<PendingRestart>,
    /// What keeps pods from being ready.
    pub(super) trouble: Option<String>,
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
    let works = ready(seen.set.as_ref());
    status.binding = Some(BindingStatus {
        name: superuser_name(&postgres.owner.name),
    });
    status.address = Some(format!("{}:{PORT}", postgres.host()));
    status.storage = seen.volumes.size.clone().map(|size| size.0);
    status.restarts.clone_from(&seen.rolling.restarts);
    status.pending_restarts.clone_from(&seen.pending);
    status.initialized |= works;
    if works && let Some(asked) = cluster.annotations().get(ALLOW_FORMAT) {
        status.allowed_format = Some(asked.chars().take(256).collect());
    }
    // What could not be seen is as it was.
    if let Inside::Seen(look) = &seen.inside {
        let observed = &look.observed;
        status.version = Some(observed.version.clone());
        status.databases = databases(postgres, &status.databases, observed);
        status.roles = roles(postgres, &status.roles, look);
        let pod = format!("{}-0", postgres.owner.name);
        let room = disk::of_claim(observed.used_bytes, seen.volumes.size.as_ref());
        let rooms = room.map(|room| (pod.as_str(), room));
        if let Some(volume) = disk::fullest(rooms, status.disk.as_ref()) {
            status.disk = Some(volume);
        }
    }
    conditions(postgres, &mut status, seen, works, generation);
    let event = disk::tell_volume(
        &mut status.conditions,
        status.disk.as_ref(),
        "the server ends when its log cannot be written",
        "make it larger (spec.storage.size), or delete what is not needed",
        generation,
    );
    let settled =
        is_true(&status.conditions, AVAILABLE) && !is_true(&status.conditions, PROGRESSING);
    // Drift inside the server sends no event.
    let again = Duration::from_secs(if settled { 60 } else { 15 });
    (Reconciled::Status(status, again), event)
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
            "PodNotReady",
            seen.trouble
                .clone()
                .unwrap_or_else(|| "the server is starting".into()),
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
    let (progressing, reason, step) = match &seen.rolling.told {
        Some(step) => (true, "Restarting", step.as_str()),
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
    let pods = seen.set.as_ref().and_then(|set| set.status.as_ref());
    let pods = pods.map_or(0, |status| status.replicas);
    tell_stopped(conditions, postgres.operation.stopped, pods, generation);
    if let Some((reason, told)) = degraded(seen) {
        set_condition(conditions, DEGRADED, true, reason, &told, generation);
    }
}

/// What does not go away by itself, the worst first.
fn degraded(seen: &Seen) -> Option<Event> {
    let trouble = seen.trouble.as_ref();
    if let Some(lost) = trouble.filter(|trouble| trouble.contains(files::REFUSED)) {
        return Some(("VolumeLost", lost.clone()));
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
mod tests {
    use super::super::validate::tests::{cluster, serving, valid};
    use super::*;
    use crate::remote::postgres::{ObservedRole, PostgresError};
    use crate::status::message_of;
    use serde_json::json;

    fn seen(ready: i32, inside: Inside) -> Seen {
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "p"},
            "status": {"replicas": 1, "readyReplicas": ready}});
        Seen {
            set: Some(serde_json::from_value(set).unwrap()),
            inside,
            volumes: Volumes {
                size: Some("5Gi".into()),
                refused: None,
            },
            rolling: Rolling::default(),
            pending: Vec::new(),
            trouble: None,
        }
    }

    fn outcome(observed: Observed, made: Vec<Change>) -> Inside {
        Inside::Seen(Box::new(Look {
            observed,
            made,
            ..Look::default()
        }))
    }

    fn told(before: &PostgresCluster, seen: &Seen) -> PostgresClusterStatus {
        match status(before, &valid(serving()), seen).0 {
            Reconciled::Status(status, _) => status,
            Reconciled::Gone => panic!("it is not gone"),
        }
    }

    #[test]
    fn a_server_is_available_when_its_databases_are_made_and_stays_so() {
        let mut cluster = cluster(serving());
        let starting = told(&cluster, &seen(0, Inside::Asleep));
        assert!(!starting.initialized && !is_true(&starting.conditions, AVAILABLE));
        let failed = || {
            Inside::Failed(PostgresError::Unreachable {
                address: "p:5432".into(),
                problem: "no".into(),
            })
        };
        let unreached = told(&cluster, &seen(1, failed()));
        assert!(unreached.initialized && !is_true(&unreached.conditions, AVAILABLE));
        assert_eq!(
            message_of(&unreached.conditions, DEGRADED),
            Some("p:5432: cannot be reached: no")
        );
        let observed = Observed {
            version: "15.14".into(),
            ..Observed::default()
        };
        let made = vec![Change::SetPassword("score".into())];
        let works = told(&cluster, &seen(1, outcome(observed, made)));
        assert!(is_true(&works.conditions, AVAILABLE));
        assert_eq!(works.version.as_deref(), Some("15.14"));
        let score = &works.roles[0];
        assert_eq!(score.binding.as_ref().unwrap().name, "p-score-binding");
        assert!(score.rotation.as_ref().unwrap().changed_at.is_some());
        assert_eq!(works.roles[1].binding, None);
        assert_eq!(works.roles[1].reads, ["scores.public"]);
        cluster.status = Some(works.clone());
        let later = told(&cluster, &seen(1, failed()));
        assert!(is_true(&later.conditions, AVAILABLE) && is_true(&later.conditions, DEGRADED));
        assert_eq!(later.roles[0].rotation, works.roles[0].rotation);
    }

    #[test]
    fn what_is_to_go_is_remembered_until_it_is_gone() {
        let mut cluster = cluster(serving());
        cluster.status = serde_json::from_value(json!({
            "roles": [{"name": "old", "deletionPolicy": "Delete"}, {"name": "kept", "deletionPolicy": "Retain"}],
            "databases": [{"name": "gone", "deletionPolicy": "Delete"}]}))
        .unwrap();
        let mut observed = Observed::default();
        for name in ["old", "kept"] {
            let role = ObservedRole::default();
            observed.roles.insert(name.into(), role);
        }
        let status = told(&cluster, &seen(1, outcome(observed, Vec::new())));
        let names: Vec<_> = status.roles.iter().map(|role| role.name.as_str()).collect();
        assert_eq!(names, ["score", "analysts", "ann_b", "old"]);
        let rights = |failed| {
            let before: Vec<RoleStatus> =
                serde_json::from_value(json!([{"name": "score", "reads": ["other.public"]}]))
                    .unwrap();
            let look = Look {
                failed,
                ..Look::default()
            };
            roles(&valid(serving()), &before, &look)[0].reads.clone()
        };
        assert_eq!(rights(Vec::new()), [""; 0]);
        assert_eq!(
            rights(vec![PostgresError::Random("x".into())]),
            ["other.public"]
        );
        assert_eq!(status.databases.len(), 2);
    }

    #[test]
    fn an_empty_volume_is_told_as_lost() {
        let seen = Seen {
            trouble: Some(format!("p-0 waits: CrashLoopBackOff: {}", files::REFUSED)),
            ..seen(0, Inside::Asleep)
        };
        assert_eq!(degraded(&seen).unwrap().0, "VolumeLost");
    }
}
