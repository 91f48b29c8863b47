//! How large the lake of a platform has to be. Pure.

use super::{FULL_SHARE, GIBIBYTE, Load, MEBIBYTE, Pods, cpu, float, units, up_to};

/// What an archived event takes of its bytes as JSON, in columns and compressed.
pub const ARCHIVED_SHARE: f64 = 0.25;
/// Events of a second of a pod of the archive: about a fortieth of the backlog measured on HDFS.
pub const EVENTS_PER_ARCHIVE: f64 = 20_000.0;
/// More than that on the volume of a DataNode takes long to copy elsewhere.
const BYTES_PER_DATA_NODE: f64 = 8_796_093_022_208.0;
/// Bytes of a block, and what the NameNode needs in memory for a file of one block.
const BLOCK: u64 = 128 * MEBIBYTE;
const BYTES_PER_BLOCK: u64 = 1024;

/// How large it has to be.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lake {
    /// Bytes of files, with all copies.
    pub stored_bytes: u64,
    /// Copies of each block.
    pub replication: u64,
    /// The volume of a DataNode, in bytes.
    pub disk_bytes_per_data_node: u64,
    /// DataNodes.
    pub data_nodes: Pods,
    /// NameNodes, with their fail-over controllers.
    pub name_nodes: Pods,
    /// JournalNodes; none beside one NameNode.
    pub journal_nodes: Pods,
    /// Servers of ZooKeeper; none beside one NameNode.
    pub zookeeper: Pods,
    /// Pods of the archive.
    pub archive: Pods,
}

impl Lake {
    /// Its pods, with their names.
    #[must_use]
    pub fn pods(&self) -> [(&'static str, Pods); 5] {
        [
            ("datanode", self.data_nodes),
            ("namenode", self.name_nodes),
            ("journalnode", self.journal_nodes),
            ("zookeeper", self.zookeeper),
            ("archive", self.archive),
        ]
    }
}

/// The lake for a load; none where nothing is archived. `partitions` is how many pods of the archive can have work.
pub(super) fn lake(load: &Load, peak: f64, partitions: u64) -> Option<Lake> {
    if load.archive_days == 0 {
        return None;
    }
    let redundant = load.replication > 1;
    // As many as the profile's DataNodes bear.
    let (replication, least) = if redundant { (3, 3) } else { (2, 2) };
    let seconds = float(load.archive_days) * 86_400.0;
    let average = float(load.vehicles) * load.hz;
    let bytes = average * seconds * float(load.event_bytes) * ARCHIVED_SHARE;
    let stored = units(bytes * float(replication), 1.0);
    let needed = float(stored) / FULL_SHARE;
    let data_nodes = units(needed, BYTES_PER_DATA_NODE).max(least);
    let disk = up_to(units(needed / float(data_nodes), 1.0), GIBIBYTE).max(5 * GIBIBYTE);
    let blocks = units(bytes, float(BLOCK)) + load.archive_days * 24;
    let pods = |count, memory_bytes, cpu_millis| Pods {
        count,
        memory_bytes: up_to(memory_bytes, 64 * MEBIBYTE),
        cpu_millis,
    };
    let beside = if redundant { 3 } else { 0 };
    // The controller of the fail-over is in the same pod.
    let (name_nodes, fail_over) = if redundant {
        (2, 256 * MEBIBYTE)
    } else {
        (1, 0)
    };
    Some(Lake {
        stored_bytes: stored,
        replication,
        disk_bytes_per_data_node: disk,
        data_nodes: pods(data_nodes, if redundant { 2 } else { 1 } * GIBIBYTE, 250),
        name_nodes: pods(
            name_nodes,
            2 * GIBIBYTE + blocks * BYTES_PER_BLOCK + fail_over,
            270,
        ),
        journal_nodes: pods(beside, 256 * MEBIBYTE, 50),
        zookeeper: pods(beside, 256 * MEBIBYTE, 50),
        archive: pods(
            units(peak, EVENTS_PER_ARCHIVE)
                .max(if redundant { 2 } else { 1 })
                .min(partitions),
            288 * MEBIBYTE,
            cpu(peak, EVENTS_PER_ARCHIVE),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vehicles: u64, archive_days: u64, replication: u64) -> Option<Lake> {
        let load = Load {
            vehicles,
            hz: 1.0,
            retention_hours: 24,
            event_bytes: 600,
            replication,
            peak_factor: 2.0,
            archive_days,
        };
        lake(&load, float(vehicles) * 2.0, 12)
    }

    #[test]
    fn a_lake_follows_what_is_kept() {
        assert_eq!(of(1_000, 0, 1), None);
        let small = of(1_000, 30, 1).unwrap();
        // 1,000 × 86,400 × 30 × 600 × 0.25 × 2 bytes.
        assert_eq!(small.stored_bytes, 777_600_000_000);
        assert_eq!((small.data_nodes.count, small.name_nodes.count), (2, 1));
        assert_eq!(small.disk_bytes_per_data_node.div_ceil(GIBIBYTE), 453);
        assert_eq!((small.journal_nodes.count, small.zookeeper.count), (0, 0));
        let year = of(10_000, 365, 3).unwrap();
        assert_eq!((year.name_nodes.count, year.journal_nodes.count), (2, 3));
        assert!(year.data_nodes.count > 3 && year.replication == 3);
        assert!(year.disk_bytes_per_data_node <= 8 * 1024 * GIBIBYTE);
        assert!(year.name_nodes.memory_bytes > 2 * GIBIBYTE);
    }
}
