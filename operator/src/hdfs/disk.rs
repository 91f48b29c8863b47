//! Volumes of HDFS that run full, by what the active NameNode says of its DataNodes and of its own directory, and by what
//! JournalNodes say. Pure.

use super::crd::{HdfsClusterStatus, HdfsDiskStatus};
use super::roles::{Role, RoleKind};
use super::validate::ValidatedHdfs;
use super::view::View;
use crate::disk::{self, Fullest, Room};
use crate::types::Quantity;

/// A server's volumes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Server {
    /// Its pod.
    pub(super) pod: String,
    /// What it does.
    pub(super) kind: RoleKind,
    /// The room on each of its volumes, on average: blocks are spread over them.
    pub(super) room: Room,
}

/// The servers of a role of which something is known; `live` is the size of a volume of theirs.
///
/// A JournalNode that does not say how full it is keeps the part of the log that the NameNodes keep too, so it has at most as
/// much as these.
pub(super) fn servers(
    hdfs: &ValidatedHdfs,
    role: &Role,
    live: Option<&Quantity>,
    view: &View,
) -> Vec<Server> {
    let Some((_, active)) = view.active() else {
        return Vec::new();
    };
    let server = |pod, room| Server {
        pod,
        kind: role.kind,
        room,
    };
    let nodes = hdfs.nodes(role).into_iter();
    if role.kind == RoleKind::DataNode {
        let volumes = u64::try_from(role.volumes.max(1)).unwrap_or(1);
        return nodes
            .filter_map(|node| {
                let seen = active.data_nodes.get(&node.host)?;
                let room = Room {
                    total: seen.capacity / volumes,
                    usable: seen.remaining / volumes,
                };
                (seen.capacity > 0).then(|| server(node.pod, room))
            })
            .collect();
    }
    let Some(total) = live.and_then(Quantity::bytes) else {
        return Vec::new();
    };
    nodes
        .filter_map(|node| {
            if let Some(room) = view.journals.get(&node.pod) {
                return Some(server(node.pod, *room));
            }
            let itself = view.name_nodes.get(&node.pod).unwrap_or(active);
            let room = Room {
                total,
                usable: total.saturating_sub(itself.names_bytes?),
            };
            Some(server(node.pod, room))
        })
        .collect()
}

/// What is told of the fullest, after what was told before; `None` when nothing is known.
pub(super) fn disk(servers: &[Server], before: Option<&HdfsDiskStatus>) -> Option<HdfsDiskStatus> {
    let fullest = servers.iter().max_by_key(|server| server.room.percent())?;
    let (used_percent, full) = fullest.room.told(before.is_some_and(|before| before.full));
    Some(HdfsDiskStatus {
        used_percent,
        pod: fullest.pod.clone(),
        role: fullest.kind.name().to_owned(),
        full,
    })
}

/// Says in the conditions how full volumes are. Gives what is to be told as an event: the reason and the sentence.
pub(super) fn tell(
    status: &mut HdfsClusterStatus,
    generation: Option<i64>,
) -> Option<(&'static str, String)> {
    let disk = status.disk.as_ref()?;
    let (when_full, cure) = if disk.role == RoleKind::DataNode.name() {
        (
            "soon nothing more can be written",
            "make volumes larger (dataNodes.storage), add DataNodes, or keep less",
        )
    } else {
        (
            "the NameNode ends or takes no more changes when it is full",
            "make the volumes of NameNodes and JournalNodes larger (storage)",
        )
    };
    let fullest = Fullest {
        used_percent: disk.used_percent,
        full: disk.full,
        which: &format!("the volume of {}", disk.pod),
        when_full,
        cure,
    };
    disk::tell(&mut status.conditions, &fullest, generation)
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{ha, valid};
    use super::super::view::tests::view;
    use super::*;

    const GIBIBYTE: u64 = 1 << 30;

    fn seen(data: u64, names: u64) -> View {
        let mut view = view();
        for names_node in view.name_nodes.values_mut() {
            names_node.names_bytes = Some(names);
            for (host, node) in &mut names_node.data_nodes {
                let used = if host.contains("-1.") { data } else { 10 };
                node.capacity = 100 * GIBIBYTE;
                node.remaining = (100 - used) * GIBIBYTE;
            }
        }
        view
    }

    fn all(view: &View) -> Vec<Server> {
        let hdfs = valid(ha());
        let live = Quantity::from("10Gi");
        hdfs.roles()
            .flat_map(|role| servers(&hdfs, role, Some(&live), view))
            .collect()
    }

    #[test]
    fn the_fullest_volume_counts_whatever_its_role() {
        let told = |view: &View| disk(&all(view), None).unwrap();
        let data = told(&seen(85, GIBIBYTE));
        assert_eq!((data.pod.as_str(), data.used_percent), ("h-datanode-1", 85));
        let names = told(&seen(50, 9 * GIBIBYTE));
        assert_eq!((names.used_percent, names.role == "datanode"), (90, false));
        assert_eq!(disk(&all(&View::default()), None), None, "nobody answers");
        let mut view = seen(50, GIBIBYTE);
        let room = Room {
            total: 10 * GIBIBYTE,
            usable: 2 * GIBIBYTE,
        };
        view.journals.insert("h-journalnode-1".to_owned(), room);
        let journal = told(&view);
        assert_eq!(
            (journal.pod.as_str(), journal.role.as_str()),
            ("h-journalnode-1", "journalnode"),
            "what it says itself counts"
        );
        assert_eq!(journal.used_percent, 80);
    }

    #[test]
    fn it_is_told_with_the_cure() {
        let mut status = HdfsClusterStatus {
            disk: disk(&all(&seen(96, GIBIBYTE)), None),
            ..HdfsClusterStatus::default()
        };
        let (reason, told) = tell(&mut status, Some(1)).unwrap();
        assert_eq!(reason, "DiskFull");
        assert!(
            told.starts_with("the volume of h-datanode-1 is 95 % full"),
            "{told}"
        );
        assert!(told.contains("dataNodes.storage"), "{told}");
        status.disk = disk(&all(&seen(10, GIBIBYTE)), status.disk.as_ref());
        assert_eq!(tell(&mut status, Some(1)), None);
        assert_eq!(status.conditions[0].reason, "EnoughRoom");
    }
}
