//! What is told of a cluster. Pure.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use super::crd::{
    BlockStatus, CapacityStatus, DecommissionStatus, HdfsCluster, HdfsClusterStatus, NameNodeState,
    NameNodeStatus,
};
use super::roles::Role;
use super::validate::{Founding, ValidatedHdfs};
use super::view::View;
use super::{ALLOW_FORMAT, binding_name, decommission, disk, files};
use crate::controller::{Reconciled, status_of};
use crate::disk::look_again;
use crate::reconcile::restarts::Rolling;
use crate::reconcile::storage::Volumes;
use crate::reconcile::{Applied, Resources};
use crate::remote::hdfs::{NameNodeView, State};
use crate::status::{AVAILABLE, Condition, DEGRADED, PROGRESSING, is_true, set_condition};
use crate::types::{BindingStatus, Quantity, tell_stopped};

const GIBIBYTE: i64 = 1 << 30;

/// What was seen after the objects were applied.
pub(super) struct Seen {
    /// What NameNodes say.
    pub(super) view: View,
    /// Volumes of each role, in the order of the roles.
    pub(super) volumes: Vec<Volumes>,
    /// Restarts, and what they wait for.
    pub(super) rolling: Rolling,
    /// What keeps pods from being ready.
    pub(super) trouble: Option<String>,
    /// DataNodes that are to go.
    pub(super) leaving: Vec<DecommissionStatus>,
}

pub(super) fn status(
    cluster: &HdfsCluster,
    hdfs: &ValidatedHdfs,
    applied: &Resources<Applied>,
    seen: Seen,
) -> (
    Reconciled<HdfsClusterStatus>,
    Option<(&'static str, String)>,
) {
    let mut status = status_of(cluster);
    let ready = |role: &Role| count(applied, role, |status| status.ready_replicas);
    status.uri = Some(hdfs.uri());
    status.binding = Some(BindingStatus {
        name: binding_name(&hdfs.owner.name),
    });
    status.pending_restarts = applied.pending().to_vec();
    status.restarts = seen.rolling.restarts.clone();
    status.decommissions = seen.leaving.clone();
    status.data_nodes = hdfs.data_nodes.replicas;
    status.ready_journal_nodes = hdfs.journal_nodes.as_ref().map(ready);
    let last = seen.volumes.last();
    status.storage = last
        .and_then(|volumes| volumes.size.clone())
        .map(|Quantity(size)| size);
    // A NameNode is ready only when there is a file system.
    let works = ready(&hdfs.name_nodes) > 0;
    status.formatted |= works || hdfs.founding != Founding::Allowed;
    if works && let Some(asked) = cluster.annotations().get(ALLOW_FORMAT) {
        status.allowed_format = Some(asked.chars().take(256).collect());
    }
    let active = seen.view.active();
    status.active = active.map(|(pod, _)| pod.to_owned());
    status.name_nodes = name_nodes(hdfs, &seen.view);
    status.live_data_nodes = active.map(|(_, names)| number(names.data_nodes.len()));
    // What could not be seen is as it was.
    if let Some((_, names)) = active {
        status.cluster_id = Some(names.cluster_id.clone());
        status.capacity = capacity(names);
        status.blocks = Some(BlockStatus {
            under_replicated: names.under_replicated,
            missing: names.missing,
        });
    }
    let unready = hdfs.roles().find_map(|role| {
        let (ready, asked) = (ready(role), role.replicas);
        (ready < asked).then(|| format!("{ready} of {asked} {}s ready", role.kind.name()))
    });
    conditions(cluster, hdfs, &mut status, &seen, unready);
    let pods = hdfs
        .roles()
        .map(|role| count(applied, role, |s| Some(s.replicas)));
    let generation = cluster.metadata.generation;
    tell_stopped(&mut status.conditions, hdfs.stopped, pods.sum(), generation);
    let servers: Vec<_> = hdfs
        .roles()
        .zip(&seen.volumes)
        .flat_map(|(role, volumes)| disk::servers(hdfs, role, volumes.size.as_ref(), &seen.view))
        .collect();
    if let Some(disk) = disk::disk(&servers, status.disk.as_ref()) {
        status.disk = Some(disk);
    }
    let event = disk::tell(&mut status, generation);
    let used = status.disk.as_ref().map(|disk| disk.used_percent);
    let next = look_again(used, again(&status, &seen));
    (Reconciled::Status(status, next), event)
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

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn name_nodes(hdfs: &ValidatedHdfs, view: &View) -> Vec<NameNodeStatus> {
    let nodes = hdfs.nodes(&hdfs.name_nodes).into_iter();
    nodes
        .map(|node| {
            let seen = view.name_nodes.get(&node.pod);
            NameNodeStatus {
                state: match seen.map(|seen| seen.state) {
                    Some(State::Active) => NameNodeState::Active,
                    Some(State::Standby) => NameNodeState::Standby,
                    Some(State::Other) | None => NameNodeState::Unknown,
                },
                safe_mode: seen.is_some_and(|seen| seen.safe_mode.is_some()),
                pod: node.pod,
            }
        })
        .collect()
}

/// In steps, or a status would change with every file.
fn capacity(names: &NameNodeView) -> Option<CapacityStatus> {
    if names.capacity <= 0 {
        return None;
    }
    let used = (names.capacity - names.remaining).clamp(0, names.capacity);
    let percent = used / (names.capacity / 100).max(1);
    Some(CapacityStatus {
        total_bytes: names.capacity / GIBIBYTE * GIBIBYTE,
        used_percent: i32::try_from(percent / 5 * 5).unwrap_or(100).min(100),
    })
}

/// Whether clients can write and read, and if not, why. Pods may be ready without that.
fn unavailable(hdfs: &ValidatedHdfs, view: &View) -> Option<(&'static str, String)> {
    let Some((pod, names)) = view.active() else {
        let told = "no NameNode that could be asked is active".to_owned();
        return Some(("NoActiveNameNode", told));
    };
    if let Some(safe) = &names.safe_mode {
        return Some(("SafeMode", format!("{pod} is in safe mode: {safe}")));
    }
    let live = names.data_nodes.len();
    (live == 0).then(|| {
        let asked = hdfs.data_nodes.replicas;
        let told = format!("{pod} hears of no DataNode, of {asked} that there are to be");
        ("NoDataNodes", told)
    })
}

fn conditions(
    cluster: &HdfsCluster,
    hdfs: &ValidatedHdfs,
    status: &mut HdfsClusterStatus,
    seen: &Seen,
    unready: Option<String>,
) {
    let generation = cluster.metadata.generation;
    let conditions = &mut status.conditions;
    let whole = unready.is_none();
    let starting = unready.map(|counted| match &seen.trouble {
        Some(trouble) => format!("{counted}: {trouble}"),
        None => counted,
    });
    let unavailable = unavailable(hdfs, &seen.view);
    let available = unavailable.is_none();
    let (reason, told) = match unavailable {
        None => (
            "Ready",
            starting
                .clone()
                .unwrap_or_else(|| "all servers are ready".into()),
        ),
        Some((reason, told)) => match &starting {
            Some(starting) => (reason, format!("{told}; {starting}")),
            None => (reason, told),
        },
    };
    set_condition(conditions, AVAILABLE, available, reason, &told, generation);
    let step = match (&seen.rolling.told, decommission::told(&seen.leaving)) {
        (Some(step), _) => Some(("Restarting", step.clone())),
        (None, Some(step)) => Some(("Decommissioning", step)),
        (None, None) if whole && available => None,
        (None, None) => Some(("Starting", told)),
    };
    match step {
        Some((reason, told)) => {
            set_condition(conditions, PROGRESSING, true, reason, &told, generation)
        }
        None => set_condition(conditions, PROGRESSING, false, "Settled", "", generation),
    };
    if let Some((reason, told)) = degraded(seen) {
        set_condition(conditions, DEGRADED, true, reason, &told, generation);
    }
}

/// What does not go away by itself, the worst first.
fn degraded(seen: &Seen) -> Option<(&'static str, String)> {
    let trouble = seen.trouble.as_ref();
    if let Some(lost) = trouble.filter(|trouble| trouble.contains(files::REFUSED)) {
        return Some(("VolumeLost", lost.clone()));
    }
    if let Some((_, names)) = seen.view.active()
        && names.safe_mode.is_none()
        && names.missing > 0
    {
        let missing = names.missing;
        let told = format!(
            "{missing} blocks have no copy on any DataNode that is there; bring the DataNodes back that have them"
        );
        return Some(("BlocksMissing", told));
    }
    let refused = seen.volumes.iter().find_map(|v| v.refused.clone());
    refused.map(|refused| ("VolumeCannotGrow", refused))
}

/// When to look again.
fn again(status: &HdfsClusterStatus, seen: &Seen) -> Duration {
    let settled = is_settled(&status.conditions);
    let under = status
        .blocks
        .as_ref()
        .is_some_and(|b| b.under_replicated > 0);
    Duration::from_secs(if !settled || under || !seen.leaving.is_empty() {
        15
    } else {
        // Which NameNode is active changes without a word to Kubernetes.
        60
    })
}

fn is_settled(conditions: &[Condition]) -> bool {
    is_true(conditions, AVAILABLE) && !is_true(conditions, PROGRESSING)
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{ha, valid};
    use super::super::view::tests::{name_node, view};
    use super::*;

    #[test]
    fn room_is_told_in_steps() {
        let mut names = name_node(State::Active);
        let told = capacity(&names).unwrap();
        assert_eq!((told.total_bytes, told.used_percent), (100 * GIBIBYTE, 40));
        names.remaining -= 3 * GIBIBYTE;
        assert_eq!(capacity(&names).unwrap(), told);
        names.capacity = 0;
        assert_eq!(capacity(&names), None);
    }

    #[test]
    fn clients_need_an_active_name_node_out_of_safe_mode_and_a_data_node() {
        let hdfs = valid(ha());
        let reason = |view: &View| unavailable(&hdfs, view).map(|(reason, _)| reason);
        assert_eq!(reason(&view()), None);
        assert_eq!(reason(&View::default()), Some("NoActiveNameNode"));
        let mut other = view();
        let names = other.name_nodes.get_mut("h-namenode-0").unwrap();
        names.data_nodes.clear();
        assert_eq!(reason(&other), Some("NoDataNodes"));
        let names = other.name_nodes.get_mut("h-namenode-0").unwrap();
        names.safe_mode = Some("ON".into());
        assert_eq!(reason(&other), Some("SafeMode"));
    }

    #[test]
    fn name_nodes_that_do_not_answer_are_told_as_unknown() {
        let mut seen = view();
        seen.name_nodes.remove("h-namenode-1");
        let told = name_nodes(&valid(ha()), &seen);
        let states: Vec<_> = told.iter().map(|one| one.state).collect();
        assert_eq!(states, [NameNodeState::Active, NameNodeState::Unknown]);
    }
}
