//! DataNodes that are to go: they stay until all of their blocks are elsewhere. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;

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

/// Whether a DataNode holds nothing that is not elsewhere too. One that the NameNode does not hear of holds nothing that is
/// needed, where no block lacks a copy; that HDFS calls a dead one decommissioned says nothing.
fn is_empty(names: &NameNodeView, host: &str) -> bool {
    match names.data_nodes.get(host) {
        Some(node) => node.decommissioned,
        None => names.safe_mode.is_none() && names.missing == 0 && names.under_replicated == 0,
    }
}

/// Takes in which DataNodes NameNodes count. `told` is the file by which they were told before who goes.
///
/// One whose pod has gone is counted for ten minutes more. Were it no longer excluded, it would be in service again, with copies
/// of blocks that are too many then: HDFS would remove one of them, which may be the only one that is there. Its name leads
/// nowhere by then, and names that do are all that HDFS takes, so that it is told by its address.
pub fn follow(hdfs: &mut ValidatedHdfs, view: &View, told: &str) {
    // NameNodes that begin anew know nobody.
    if hdfs.stopped {
        return;
    }
    let (mut goes, mut stays) = (BTreeSet::new(), BTreeSet::new());
    for (host, node) in view.name_nodes.values().flat_map(|names| &names.data_nodes) {
        let ordinal = hdfs.data_nodes.ordinal(&hdfs.owner, host);
        if let (Some(address), Some(ordinal)) = (node.address, ordinal) {
            let goes_away = ordinal >= hdfs.data_nodes.asked;
            let of = if goes_away { &mut goes } else { &mut stays };
            of.insert(address);
        }
    }
    // One that does not answer may count a DataNode that the others have never heard of.
    if hdfs
        .nodes(&hdfs.name_nodes)
        .iter()
        .any(|node| !view.name_nodes.contains_key(&node.pod))
    {
        goes.extend(
            told.lines()
                .filter_map(|line| line.parse::<SocketAddr>().ok()),
        );
    }
    // The address of one that has gone may be another's by now.
    hdfs.addresses = goes.difference(&stays).copied().collect();
    if let Some((_, names)) = view.active() {
        let dead = names.dead.iter();
        hdfs.dead = dead
            .filter(|host| !names.data_nodes.contains_key(*host))
            .cloned()
            .collect();
    }
}

/// What NameNodes are told: DataNodes that are given no blocks, and whose copies do not count. By name, so that a pod which
/// comes anew is meant too, and by address, see [`follow`].
#[must_use]
pub fn excludes(hdfs: &ValidatedHdfs) -> String {
    // HDFS calls a dead one decommissioned at once, and still does when it comes back with blocks that nobody else has.
    let hosts = hdfs.leaving().into_iter().map(|node| node.host);
    let hosts = hosts.filter(|host| !hdfs.dead.contains(host));
    let addresses = hdfs.addresses.iter().map(ToString::to_string);
    hosts.chain(addresses).map(|one| one + "\n").collect()
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

    const LAST: &str = "h-datanode-2.h-nodes.ns.svc";

    #[test]
    fn one_that_is_not_heard_of_goes_when_nothing_lacks_a_copy() {
        let replicas = |is_dead: bool, change: fn(&mut NameNodeView)| {
            let mut hdfs = shrinking(2);
            let mut view = view();
            let names = view.name_nodes.get_mut("h-namenode-0").unwrap();
            names.data_nodes.remove(LAST);
            if is_dead {
                names.dead.insert(LAST.into());
            }
            change(names);
            hold(&mut hdfs, &view);
            hdfs.data_nodes.replicas
        };
        for is_dead in [false, true] {
            assert_eq!(replicas(is_dead, |_| {}), 2);
            assert_eq!(replicas(is_dead, |names| names.missing = 1), 3);
            assert_eq!(replicas(is_dead, |names| names.under_replicated = 1), 3);
            let safe = replicas(is_dead, |names| names.safe_mode = Some("ON".into()));
            assert_eq!(safe, 3);
        }
    }

    #[test]
    fn one_that_is_dead_is_not_excluded_until_it_comes_back() {
        let mut hdfs = shrinking(2);
        let mut view = view();
        let names = view.name_nodes.get_mut("h-namenode-0").unwrap();
        let node = names.data_nodes.remove(LAST).unwrap();
        names.dead.insert(LAST.into());
        hold(&mut hdfs, &view);
        follow(&mut hdfs, &view, "");
        assert_eq!(excludes(&hdfs), "");
        let names = view.name_nodes.get_mut("h-namenode-0").unwrap();
        names.data_nodes.insert(LAST.into(), node);
        follow(&mut hdfs, &view, "");
        assert_eq!(excludes(&hdfs), format!("{LAST}\n"));
    }

    /// What both NameNodes say where the DataNode `h-datanode-2` is at this address.
    fn at(address: &str) -> View {
        let mut view = view();
        for names in view.name_nodes.values_mut() {
            let nodes = names.data_nodes.values_mut();
            for (ordinal, node) in nodes.enumerate() {
                node.address = format!("10.0.0.{ordinal}:9866").parse().ok();
            }
            let last = names.data_nodes.get_mut(LAST).unwrap();
            last.address = address.parse().ok();
        }
        view
    }

    #[test]
    fn one_that_has_gone_stays_excluded_while_a_name_node_counts_it() {
        let told = |view: &View, live: i32, before: &str| {
            let mut hdfs = shrinking(2);
            hdfs.data_nodes.live_replicas = live;
            follow(&mut hdfs, view, before);
            excludes(&hdfs)
        };
        let gone = "10.0.0.9:9866\n";
        let mut view = at("10.0.0.9:9866");
        let both = format!("{LAST}\n{gone}");
        assert_eq!(told(&view, 3, ""), both, "its pod is there");
        assert_eq!(told(&view, 2, &both), gone, "its name leads nowhere");
        // One NameNode has started anew, and the other does not answer.
        let names = view.name_nodes.get_mut("h-namenode-0").unwrap();
        names.data_nodes.remove(LAST);
        assert_eq!(told(&view, 2, &both), gone, "the other counts it");
        view.name_nodes.remove("h-namenode-1");
        assert_eq!(told(&view, 2, &both), gone);
        assert_eq!(told(&View::default(), 2, &both), gone);
        // The address is that of one that stays.
        assert_eq!(told(&view, 2, "10.0.0.1:9866\n"), "");
        // All have given it up.
        let mut dead = at("10.0.0.9:9866");
        for names in dead.name_nodes.values_mut() {
            names.data_nodes.remove(LAST);
            names.dead.insert(LAST.into());
        }
        assert_eq!(told(&dead, 2, &both), "");
        // It is asked for again.
        let mut hdfs = shrinking(3);
        follow(&mut hdfs, &at("10.0.0.9:9866"), &both);
        assert_eq!(excludes(&hdfs), "");
        // NameNodes that are stopped forget it.
        let mut hdfs = shrinking(2);
        hdfs.data_nodes.live_replicas = 2;
        hdfs.stopped = true;
        follow(&mut hdfs, &View::default(), &both);
        assert_eq!(excludes(&hdfs), "");
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
