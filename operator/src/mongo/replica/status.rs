//! What is told of a replica set. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt;

use super::inside::{Inside, Look, counted};
use super::{addresses, backup_runs, pod_of};
use crate::controller::{Reconciled, status_of};
use crate::mongo::crd::{MongoCluster, MongoClusterStatus, UserStatus};
use crate::mongo::validate::{ValidatedMongo, ValidatedUser};
use crate::mongo::{ALLOW_FORMAT, binding_name, user_binding_name};
use crate::reconcile::PendingRestart;
use crate::reconcile::restarts::Rolling;
use crate::reconcile::storage::Volumes;
use crate::remote::mongo::{Answer, Change, ObservedSet};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, is_true, set_condition};
use crate::types::{BindingStatus, tell_stopped};
use crate::user::crd::PasswordRotation;

/// What was seen after the objects were applied.
pub(super) struct Seen {
    /// The StatefulSet as it came back.
    pub(super) set: Option<StatefulSet>,
    /// What was found inside.
    pub(super) inside: Inside,
    /// The volumes of members.
    pub(super) volumes: Volumes,
    /// The volume of dumps.
    pub(super) dumps: Volumes,
    /// The CronJob that makes dumps.
    pub(super) cron_job: Option<CronJob>,
    /// Restarts, and what they wait for.
    pub(super) rolling: Rolling,
    /// Restarts that wait for approval.
    pub(super) pending: Vec<PendingRestart>,
    /// What keeps pods from being ready.
    pub(super) trouble: Option<String>,
}

impl Seen {
    fn view(&self) -> Option<&ObservedSet> {
        self.inside
            .look()
            .and_then(|look| look.observed.set.as_ref())
    }

    fn ready(&self) -> i32 {
        let status = self.set.as_ref().and_then(|set| set.status.as_ref());
        status
            .and_then(|status| status.ready_replicas)
            .unwrap_or_default()
    }
}

pub(super) fn status(
    cluster: &MongoCluster,
    mongo: &ValidatedMongo,
    seen: &Seen,
) -> Reconciled<MongoClusterStatus> {
    let generation = cluster.metadata.generation;
    let mut status = status_of(cluster);
    status.binding = Some(BindingStatus {
        name: binding_name(&mongo.owner.name),
    });
    status.address = Some(addresses(mongo).join(","));
    status.storage = seen.volumes.size.clone().map(|size| size.0);
    status.restarts.clone_from(&seen.rolling.restarts);
    status.pending_restarts.clone_from(&seen.pending);
    let (backup, backup_trouble) = backup_runs(seen.cron_job.as_ref());
    status.backup = backup;
    // What could not be seen is as it was, but for what only a moment's look can tell.
    status.primary = None;
    status.ready_members = Some(0);
    if let Some(look) = seen.inside.look() {
        if let Some(set) = &look.observed.set {
            status.initialized = true;
            if let Some(asked) = cluster.annotations().get(ALLOW_FORMAT) {
                status.allowed_format = Some(asked.chars().take(256).collect());
            }
            status.primary = set.primary.as_deref().map(|host| pod_of(host).to_owned());
            status.ready_members = i32::try_from(serving(set)).ok();
            status.counted_pods = counted(&mongo.owner, set);
        }
        if look.observed.version.is_some() {
            status.version.clone_from(&look.observed.version);
        }
        status.users = users(mongo, &status.users, look);
    }
    conditions(mongo, &mut status, seen, generation);
    let trouble = degraded(mongo, seen).or_else(|| Some(("BackupFailed", backup_trouble?)));
    if let Some((reason, told)) = trouble {
        set_condition(
            &mut status.conditions,
            DEGRADED,
            true,
            reason,
            &told,
            generation,
        );
    }
    let conditions = &status.conditions;
    let settled = mongo.operation.stopped
        || is_true(conditions, AVAILABLE) && !is_true(conditions, PROGRESSING);
    // What changes inside sends no event.
    Reconciled::Status(status, Duration::from_secs(if settled { 60 } else { 10 }))
}

fn serving(set: &ObservedSet) -> usize {
    let members = set.hosts.iter().filter_map(|host| set.members.get(host));
    members.filter(|member| member.serves()).count()
}

/// Those that are asked for, and those that are still there though they are to go.
fn users(mongo: &ValidatedMongo, before: &[UserStatus], look: &Look) -> Vec<UserStatus> {
    let asked = mongo.users.iter().map(|user| {
        let former = before.iter().find(|former| former.name == user.name);
        one_user(mongo, user, former, &look.made)
    });
    let is_asked = |name: &str| mongo.users.iter().any(|user| user.name == name);
    let was_dropped = |name: &str| look.made.contains(&Change::DropUser(name.to_owned()));
    // Without a primary nobody knows whether it is gone.
    let left = before.iter().filter(|former| {
        let known = look
            .observed
            .set
            .as_ref()
            .is_some_and(|set| set.primary.is_some());
        let is_there = !known || look.observed.users.contains_key(&former.name);
        !is_asked(&former.name) && is_there && !was_dropped(&former.name)
    });
    let left = left.map(|former| UserStatus {
        binding: None,
        ..former.clone()
    });
    asked.chain(left).collect()
}

fn one_user(
    mongo: &ValidatedMongo,
    user: &ValidatedUser,
    former: Option<&UserStatus>,
    made: &[Change],
) -> UserStatus {
    let name = || user.name.clone();
    let was_set = [Change::CreateUser(name()), Change::SetPassword(name())]
        .iter()
        .any(|change| made.contains(change));
    let before = former.and_then(|former| former.rotation.clone());
    let changed_at = before.and_then(|before| before.changed_at);
    let now = || Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    UserStatus {
        name: name(),
        binding: user.password.is_kept.then(|| BindingStatus {
            name: user_binding_name(&mongo.owner.name, &user.name),
        }),
        rotation: Some(PasswordRotation {
            rotated_for: user.password.rotated_for.clone(),
            changed_at: if was_set { Some(now()) } else { changed_at },
        }),
    }
}

fn conditions(
    mongo: &ValidatedMongo,
    status: &mut MongoClusterStatus,
    seen: &Seen,
    generation: Option<i64>,
) {
    let conditions = &mut status.conditions;
    let was_available = is_true(conditions, AVAILABLE);
    let waits = seen.inside.look().and_then(|look| look.waits.clone());
    let starting = || {
        seen.trouble
            .clone()
            .unwrap_or_else(|| "servers are starting".into())
    };
    let (available, reason, told) = match (seen.view(), &seen.inside) {
        _ if seen.ready() == 0 => (false, "PodNotReady", starting()),
        (Some(set), _) => match &set.primary {
            Some(primary) => {
                let (serving, all) = (serving(set), mongo.members);
                let told = format!(
                    "{serving} of {all} members serve, and {} takes writes",
                    pod_of(primary)
                );
                (true, "Ready", told)
            }
            None => (false, "NoPrimary", "no member is the primary".into()),
        },
        // Clients that were served go on while the operator does not get in.
        _ if was_available => (true, "Ready", "servers take connections".into()),
        (None, Inside::Failed(error)) => (false, error.reason(), error.to_string()),
        (None, _) => (false, "Starting", waits.clone().unwrap_or_else(starting)),
    };
    set_condition(conditions, AVAILABLE, available, reason, &told, generation);
    let (progressing, reason, step) = match (&seen.rolling.told, &waits) {
        (Some(step), _) => (true, "Restarting", step.as_str()),
        (None, Some(waits)) => (true, "Changing", waits.as_str()),
        (None, None) if available => (false, "Settled", ""),
        (None, None) => (true, "Starting", told.as_str()),
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
    tell_stopped(conditions, mongo.operation.stopped, pods, generation);
}

/// What does not go away by itself, the worst first.
fn degraded(mongo: &ValidatedMongo, seen: &Seen) -> Option<(&'static str, String)> {
    match &seen.inside {
        Inside::Failed(error) => return Some((error.reason(), error.to_string())),
        Inside::Seen(look) => {
            if let Some(refused) = look.refused.first() {
                return Some(("VolumeLost", refused.to_string()));
            }
            if !look.failed.is_empty() {
                let failed: Vec<String> = look.failed.iter().map(ToString::to_string).collect();
                return Some(("MongoFailed", failed.join("; ")));
            }
            let silent = look.observed.answers.values();
            let silent = silent.map(|answer| match answer {
                Answer::Silent(problem) => Some(problem),
                _ => None,
            });
            // Of those that are on their way up the conditions above tell.
            if let Some(Some(all)) = silent.reduce(|a, b| a.and(b)) {
                return Some(("MongoUnreachable", all.clone()));
            }
        }
        Inside::Asleep => {}
    }
    let lacks = seen
        .view()
        .filter(|_| seen.rolling.told.is_none())
        .and_then(|set| {
            let host = set.hosts.iter().find(|host| {
                let member = set.members.get(*host);
                !member.is_some_and(|member| member.serves())
            })?;
            let member = set.members.get(host)?;
            Some(format!("{} is {}", pod_of(host), member.state))
        });
    if let Some(lacks) = lacks.filter(|_| mongo.members > 1) {
        return Some(("MemberDown", lacks));
    }
    let refused = seen
        .volumes
        .refused
        .as_ref()
        .or(seen.dumps.refused.as_ref());
    refused.map(|refused| ("VolumeCannotGrow", refused.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mongo::validate::tests::{cluster, valid};
    use crate::remote::mongo::{Observed, ObservedMember, ObservedUser, State};
    use crate::status::message_of;
    use serde_json::json;

    fn seen(ready: i32, inside: Inside) -> Seen {
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "m"},
            "status": {"replicas": 1, "readyReplicas": ready}});
        Seen {
            set: Some(serde_json::from_value(set).unwrap()),
            inside,
            volumes: Volumes::default(),
            dumps: Volumes::default(),
            cron_job: None,
            rolling: Rolling::default(),
            pending: Vec::new(),
            trouble: None,
        }
    }

    fn look(states: &[State]) -> Look {
        let mut set = ObservedSet::default();
        for (ordinal, state) in states.iter().enumerate() {
            let host = format!("m-{ordinal}.m-nodes.ns.svc:27017");
            set.hosts.push(host.clone());
            if *state == State::Primary {
                set.primary = Some(host.clone());
            }
            let member = ObservedMember {
                state: *state,
                healthy: true,
                applied_ms: 0,
            };
            set.members.insert(host, member);
        }
        Look {
            observed: Observed {
                set: Some(set),
                version: Some("7.0.28".into()),
                ..Observed::default()
            },
            ..Look::default()
        }
    }

    fn told(before: &MongoCluster, seen: &Seen) -> MongoClusterStatus {
        let mongo = valid(json!({"engine": "mongodb", "members": 3})).unwrap();
        match status(before, &mongo, seen) {
            Reconciled::Status(status, _) => status,
            Reconciled::Gone => panic!("it is not gone"),
        }
    }

    #[test]
    fn a_set_is_available_while_it_has_a_primary() {
        let mut cluster = cluster(json!({"engine": "mongodb", "members": 3}));
        let starting = told(&cluster, &seen(1, Inside::Asleep));
        assert!(!starting.initialized && !is_true(&starting.conditions, AVAILABLE));
        let (first, second, down) = (State::Primary, State::Secondary, State::Other(8));
        let mut works = look(&[second, first, down]);
        works.made = vec![Change::CreateUser("jobs".into())];
        works.waits = Some("member m-2 is DOWN".into());
        let works = told(&cluster, &seen(3, Inside::Seen(Box::new(works))));
        assert!(works.initialized && is_true(&works.conditions, AVAILABLE));
        assert_eq!(works.primary.as_deref(), Some("m-1"));
        assert_eq!(works.ready_members, Some(2));
        assert_eq!(works.counted_pods, Some(3));
        assert_eq!(works.version.as_deref(), Some("7.0.28"));
        assert_eq!(
            message_of(&works.conditions, AVAILABLE),
            Some("2 of 3 members serve, and m-1 takes writes")
        );
        assert_eq!(message_of(&works.conditions, DEGRADED), Some("m-2 is DOWN"));
        let rotation = works.users[0].rotation.as_ref().unwrap();
        assert!(rotation.changed_at.is_some());
        cluster.status = Some(works);
        let headless = look(&[second, down, down]);
        let headless = told(&cluster, &seen(3, Inside::Seen(Box::new(headless))));
        assert!(!is_true(&headless.conditions, AVAILABLE));
        // The operator does not get in, and clients do.
        let mut nobody = Look::default();
        let silent = Answer::Silent("m-0: cannot be reached: no".into());
        nobody.observed.answers.insert("m-0".into(), silent);
        let nobody = told(&cluster, &seen(3, Inside::Seen(Box::new(nobody))));
        assert!(is_true(&nobody.conditions, AVAILABLE));
        assert_eq!(
            message_of(&nobody.conditions, DEGRADED),
            Some("m-0: cannot be reached: no")
        );
    }

    #[test]
    fn a_user_that_is_to_go_is_remembered_until_it_is_gone() {
        let mut cluster = cluster(json!({"engine": "mongodb", "members": 3}));
        cluster.status = serde_json::from_value(json!({"users": [{"name": "old"}]})).unwrap();
        let names = |look: Look| {
            let status = told(&cluster, &seen(3, Inside::Seen(Box::new(look))));
            let names = status.users.into_iter().map(|user| user.name);
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(look(&[State::Secondary])), ["jobs", "old"]);
        assert_eq!(names(look(&[State::Primary])), ["jobs"]);
        let mut there = look(&[State::Primary]);
        there
            .observed
            .users
            .insert("old".into(), ObservedUser::default());
        assert_eq!(names(there), ["jobs", "old"]);
    }
}
