//! DataNodes that are to go: they stay until all of their blocks are elsewhere. Pure.

use super::crd::DecommissionStatus;
use super::validate::ValidatedHdfs;
use super::view::View;
use crate::remote::hdfs::NameNodeView;

/// DataNodes that were emptied are told at once, as the definition has it.
const MOST: usize = 64;

/// Keeps the DataNodes that cannot go yet, and says how far each is. They go from the highest ordinal down: one that is
/// empty waits for those above it. What is not known holds a DataNode, and a cluster that is stopped cannot be asked.
pub fn hold(hdfs: &mut ValidatedHdfs, view: &View) -> Vec<DecommissionStatus> {
    let role = &hdfs.data_nodes;
    let active = view.active().map(|(_, names)| names);
    let mut told: Vec<(i32, DecommissionStatus)> = (role.asked..role.live_replicas)
        .map(|ordinal| {
            let node = role.node(&hdfs.owner, ordinal);
            let seen = active.and_then(|names| names.data_nodes.get(&node.host));
            let status = DecommissionStatus {
                pod: node.pod.clone(),
                blocks_left: seen.and_then(|seen| seen.blocks_left),
                done: !hdfs.stopped && active.is_some_and(|names| is_empty(names, &node.host)),
            };
            (ordinal, status)
        })
        .collect();
    let held = told.iter().filter(|(_, status)| !status.done);
    let replicas = held.map(|(ordinal, _)| ordinal + 1).max();
    hdfs.data_nodes.replicas = replicas.unwrap_or(role.asked);
    let stays = hdfs.data_nodes.replicas;
    told.retain(|(ordinal, _)| *ordinal < stays);
    told.truncate(MOST);
    told.into_iter().map(|(_, status)| status).collect()
}

/// Whether a DataNode holds nothing that is not elsewhere too. One that the NameNode does not know holds nothing that is
/// needed, where no block lacks a copy.
fn is_empty(names: &NameNodeView, host: &str) -> bool {
    match (names.data_nodes.get(host), names.dead.get(host)) {
        (Some(node), _) => node.decommissioned,
        (None, Some(decommissioned)) => *decommissioned,
        (None, None) => {
            names.safe_mode.is_none() && names.missing == 0 && names.under_replicated == 0
        }
    }
}

/// Whether there are to be fewer DataNodes than there are.
#[must_use]
pub fn shrinks(hdfs: &ValidatedHdfs) -> bool {
    hdfs.data_nodes.asked < hdfs.data_nodes.live_replicas
}

/// What is told of DataNodes that are to go, in a sentence.
#[must_use]
pub fn told(leaving: &[DecommissionStatus]) -> Option<String> {
    if leaving.is_empty() {
        return None;
    }
    let each = leaving
        .iter()
        .map(|node| match (node.done, node.blocks_left) {
            (true, _) => format!("{} is empty", node.pod),
            (false, Some(left)) => format!("{left} blocks of {} are still to be copied", node.pod),
            (false, None) => format!("{} is to be emptied", node.pod),
        });
    Some(each.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{ha, valid};
    use super::super::view::tests::view;
    use super::*;
    use crate::remote::hdfs::DataNodeView;
    use serde_json::json;

    fn shrinking(to: i32) -> ValidatedHdfs {
        let mut spec = ha();
        spec["dataNodes"]["replicas"] = json!(to);
        let mut hdfs = valid(spec);
        hdfs.data_nodes.live_replicas = 3;
        hdfs
    }

    fn seen(ordinal: i32, node: DataNodeView) -> View {
        let mut view = view();
        let names = view.name_nodes.get_mut("h-namenode-0").unwrap();
        let host = format!("h-datanode-{ordinal}.h-nodes.ns.svc");
        names.data_nodes.insert(host, node);
        view
    }

    #[test]
    fn a_data_node_goes_only_when_it_is_empty() {
        let mut hdfs = shrinking(2);
        let told_now = hold(&mut hdfs, &view());
        assert_eq!(hdfs.data_nodes.replicas, 3);
        assert_eq!(told_now[0].pod, "h-datanode-2");
        assert_eq!(told_now[0].blocks_left, None);
        assert_eq!(hdfs.leaving()[0].pod, "h-datanode-2");
        let left = DataNodeView {
            blocks_left: Some(7),
            ..DataNodeView::default()
        };
        let told_now = hold(&mut hdfs, &seen(2, left));
        assert_eq!(
            told(&told_now).unwrap(),
            "7 blocks of h-datanode-2 are still to be copied"
        );
        let empty = DataNodeView {
            decommissioned: true,
            ..DataNodeView::default()
        };
        let told_now = hold(&mut hdfs, &seen(2, empty.clone()));
        assert_eq!(hdfs.data_nodes.replicas, 2);
        assert!(told_now.is_empty());
        // It is gone only when it is gone.
        assert_eq!(hdfs.leaving().len(), 1);
        // Nobody can be asked.
        hold(&mut hdfs, &View::default());
        assert_eq!(hdfs.data_nodes.replicas, 3);
        hdfs.stopped = true;
        hold(&mut hdfs, &seen(2, empty));
        assert_eq!(hdfs.data_nodes.replicas, 3);
    }

    #[test]
    fn one_that_is_empty_waits_for_those_above_it() {
        let mut hdfs = shrinking(1);
        let empty = DataNodeView {
            decommissioned: true,
            ..DataNodeView::default()
        };
        let told_now = hold(&mut hdfs, &seen(1, empty));
        assert_eq!(hdfs.data_nodes.replicas, 3);
        assert_eq!(
            told_now.iter().map(|n| n.done).collect::<Vec<_>>(),
            [true, false]
        );
    }

    fn is_empty_now(names: &mut NameNodeView) {
        names
            .dead
            .insert("h-datanode-2.h-nodes.ns.svc".into(), true);
    }

    fn is_not_empty(names: &mut NameNodeView) {
        names
            .dead
            .insert("h-datanode-2.h-nodes.ns.svc".into(), false);
    }

    #[test]
    fn one_that_is_dead_goes_when_nothing_lacks_a_copy() {
        let dead = |change: fn(&mut NameNodeView)| {
            let mut hdfs = shrinking(2);
            let mut view = view();
            let names = view.name_nodes.get_mut("h-namenode-0").unwrap();
            names.data_nodes.remove("h-datanode-2.h-nodes.ns.svc");
            change(names);
            hold(&mut hdfs, &view);
            hdfs.data_nodes.replicas
        };
        assert_eq!(dead(|_| {}), 2);
        assert_eq!(dead(|names| names.missing = 1), 3);
        assert_eq!(dead(|names| names.safe_mode = Some("ON".into())), 3);
        assert_eq!(dead(is_empty_now), 2);
        assert_eq!(dead(is_not_empty), 3);
    }

    #[test]
    fn more_data_nodes_hold_nothing() {
        let mut hdfs = shrinking(5);
        assert!(!shrinks(&hdfs));
        assert!(hold(&mut hdfs, &View::default()).is_empty());
        assert_eq!(hdfs.data_nodes.replicas, 5);
        assert!(hdfs.leaving().is_empty());
    }
}
