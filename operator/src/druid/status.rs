//! What is told of a cluster. Pure.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;

use super::binding_name;
use super::crd::{DruidCluster, DruidClusterStatus, ReadyStatus};
use super::roles::{Role, RoleKind};
use super::rolling::Rolled;
use super::validate::ValidatedDruid;
use super::view::View;
use crate::controller::{Reconciled, status_of};
use crate::reconcile::storage::Volumes;
use crate::reconcile::{Applied, Resources};
use crate::status::{AVAILABLE, DEGRADED, PROGRESSING, set_condition};
use crate::types::{BindingStatus, Quantity, tell_stopped};

/// What was seen after the objects were applied.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What coordinators and workers say.
    pub(super) view: View,
    /// Volumes of each role, in the order of the roles.
    pub(super) volumes: Vec<(RoleKind, Volumes)>,
    /// Restarts, and what they wait for.
    pub(super) rolled: Rolled,
    /// What keeps pods from being ready.
    pub(super) trouble: Option<String>,
}

pub(super) fn status(
    cluster: &DruidCluster,
    druid: &ValidatedDruid,
    applied: &Resources<Applied>,
    seen: Seen,
) -> Reconciled<DruidClusterStatus> {
    let ready = |kind: RoleKind| {
        let role = druid.role(kind);
        role.map_or(0, |role| count(applied, role, |set| set.ready_replicas))
    };
    let ready = ReadyStatus {
        coordinators: ready(RoleKind::Coordinator),
        brokers: ready(RoleKind::Broker),
        historicals: ready(RoleKind::Historical),
        workers: ready(RoleKind::Worker),
        routers: ready(RoleKind::Router),
    };
    let pods = druid.roles.iter();
    let pods: i32 = pods
        .map(|role| count(applied, role, |set| Some(set.replicas)))
        .sum();
    let pending = applied.pending().to_vec();
    told(cluster, druid, (ready, pods), pending, seen)
}

fn count(
    applied: &Resources<Applied>,
    role: &Role,
    of: impl Fn(&k8s_openapi::api::apps::v1::StatefulSetStatus) -> Option<i32>,
) -> i32 {
    let set = applied.get::<StatefulSet>(&role.set);
    set.and_then(|set| of(set.status.as_ref()?))
        .unwrap_or_default()
}

fn ready_of(ready: &ReadyStatus, kind: RoleKind) -> i32 {
    match kind {
        RoleKind::Coordinator => ready.coordinators,
        RoleKind::Broker => ready.brokers,
        RoleKind::Historical => ready.historicals,
        RoleKind::Worker => ready.workers,
        RoleKind::Router => ready.routers,
    }
}

fn told(
    cluster: &DruidCluster,
    druid: &ValidatedDruid,
    (ready, pods): (ReadyStatus, i32),
    pending: Vec<crate::reconcile::PendingRestart>,
    seen: Seen,
) -> Reconciled<DruidClusterStatus> {
    let generation = cluster.metadata.generation;
    let mut status = status_of(cluster);
    status.binding = Some(BindingStatus {
        name: binding_name(&druid.owner.name),
    });
    status.sql = Some(druid.sql());
    status.leader = seen.view.leader.clone();
    // What could not be seen is as it was.
    status.unavailable_segments = seen.view.unavailable.or(status.unavailable_segments);
    status.restarts = seen.rolled.rolling.restarts;
    status.pending_restarts = pending;
    status.drain = seen.rolled.drain;
    let of_historicals = seen
        .volumes
        .iter()
        .find(|(kind, _)| *kind == RoleKind::Historical);
    if let Some(Quantity(size)) = of_historicals.and_then(|(_, volumes)| volumes.size.clone()) {
        status.storage = Some(size);
    }
    let lacking = druid
        .roles
        .iter()
        .find(|role| ready_of(&ready, role.kind) == 0);
    let unready = druid
        .roles
        .iter()
        .find(|role| ready_of(&ready, role.kind) < role.replicas)
        .map(|role| {
            let counted = format!(
                "{} of {} {}s ready",
                ready_of(&ready, role.kind),
                role.replicas,
                role.kind.name()
            );
            match &seen.trouble {
                Some(trouble) => format!("{counted}: {trouble}"),
                None => counted,
            }
        });
    let conditions = &mut status.conditions;
    let available = lacking.is_none();
    let message = unready.clone();
    let message = message.unwrap_or_else(|| "questions are answered and events taken in".into());
    let reason = if available { "Ready" } else { "ServersMissing" };
    set_condition(
        conditions, AVAILABLE, available, reason, &message, generation,
    );
    let (progressing, reason, step) = match &seen.rolled.rolling.told {
        Some(step) => (true, "Restarting", step.clone()),
        None if unready.is_none() => (false, "Settled", String::new()),
        None => (true, "Starting", message),
    };
    set_condition(
        conditions,
        PROGRESSING,
        progressing,
        reason,
        &step,
        generation,
    );
    tell_stopped(conditions, druid.stopped, pods, generation);
    let refused = seen
        .volumes
        .iter()
        .find_map(|(_, volumes)| volumes.refused.clone());
    if let Some(refused) = refused {
        let reason = "VolumeCannotGrow";
        set_condition(conditions, DEGRADED, true, reason, &refused, generation);
    }
    status.ready = ready;
    let settled = druid.stopped || (available && !progressing);
    // Who leads and what is loaded changes without a word to Kubernetes.
    Reconciled::Status(status, Duration::from_secs(if settled { 60 } else { 10 }))
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{cluster, small, valid};
    use super::*;
    use crate::status::{is_true, message_of};

    fn status_with(ready: ReadyStatus, trouble: Option<&str>) -> DruidClusterStatus {
        let seen = Seen {
            trouble: trouble.map(str::to_owned),
            ..Seen::default()
        };
        let told = told(
            &cluster(small()),
            &valid(small()),
            (ready, 4),
            Vec::new(),
            seen,
        );
        match told {
            Reconciled::Status(status, _) => status,
            Reconciled::Gone => panic!("gone"),
        }
    }

    #[test]
    fn it_is_available_when_each_role_has_a_server() {
        let all = ReadyStatus {
            coordinators: 1,
            brokers: 1,
            historicals: 1,
            workers: 1,
            routers: 0,
        };
        let good = status_with(all.clone(), None);
        assert!(is_true(&good.conditions, AVAILABLE) && !is_true(&good.conditions, PROGRESSING));
        assert_eq!(
            good.sql.as_deref(),
            Some("http://d-broker.ns.svc:8082/druid/v2/sql")
        );
        let bad = status_with(
            ReadyStatus { brokers: 0, ..all },
            Some("d-broker-0 has no node"),
        );
        assert!(!is_true(&bad.conditions, AVAILABLE));
        assert_eq!(
            message_of(&bad.conditions, AVAILABLE),
            Some("0 of 1 brokers ready: d-broker-0 has no node")
        );
    }
}
