//! What one look into a running cluster has shown. A reconcile looks once, and everything is decided from that.

use std::collections::BTreeMap;

use crate::disk::Room;
use crate::remote::hdfs::{NameNodeView, State};

/// The servers that answered, by pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// What each says.
    pub name_nodes: BTreeMap<String, NameNodeView>,
    /// The room on the volume of each JournalNode.
    pub journals: BTreeMap<String, Room>,
}

impl View {
    /// The pod that is active, and what it says.
    #[must_use]
    pub fn active(&self) -> Option<(&str, &NameNodeView)> {
        let mut active = self
            .name_nodes
            .iter()
            .filter(|(_, view)| view.state == State::Active);
        active.next().map(|(pod, view)| (pod.as_str(), view))
    }

    /// Whether another NameNode than this one could take over. One that is in safe mode would take no writes: it has started
    /// a moment ago, and has not heard of all blocks.
    #[must_use]
    pub fn has_standby_beside(&self, pod: &str) -> bool {
        self.name_nodes.iter().any(|(other, view)| {
            other != pod && view.state == State::Standby && view.safe_mode.is_none()
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::remote::hdfs::DataNodeView;

    /// A healthy NameNode that hears of three DataNodes of the cluster `h`.
    pub(in super::super) fn name_node(state: State) -> NameNodeView {
        let data_nodes = (0..3).map(|ordinal| {
            let host = format!("h-datanode-{ordinal}.h-nodes.ns.svc");
            (host, DataNodeView::default())
        });
        NameNodeView {
            state,
            safe_mode: None,
            cluster_id: "millrace-x".into(),
            capacity: 100 << 30,
            remaining: 60 << 30,
            under_replicated: 0,
            missing: 0,
            data_nodes: data_nodes.collect(),
            dead: BTreeSet::new(),
            journals_behind: false,
            names_bytes: None,
        }
    }

    /// NameNode 0 is active, 1 its standby.
    pub(in super::super) fn view() -> View {
        let pods = [
            ("h-namenode-0", State::Active),
            ("h-namenode-1", State::Standby),
        ];
        View {
            name_nodes: pods
                .map(|(pod, state)| (pod.to_owned(), name_node(state)))
                .into(),
            journals: BTreeMap::new(),
        }
    }

    #[test]
    fn the_active_one_and_its_standby_are_found() {
        let mut view = view();
        assert_eq!(view.active().map(|(pod, _)| pod), Some("h-namenode-0"));
        assert!(view.has_standby_beside("h-namenode-0"));
        assert!(!view.has_standby_beside("h-namenode-1"));
        let standby = view.name_nodes.get_mut("h-namenode-1").unwrap();
        standby.safe_mode = Some("ON".into());
        assert!(!view.has_standby_beside("h-namenode-0"));
    }
}
