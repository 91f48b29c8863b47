//! Volumes of brokers that run full. Pure.

use super::crd::{DiskStatus, KafkaClusterStatus};
use super::nodes::Pool;
use crate::disk::{self, Fullest, Room};
use crate::types::{Quantity, StorageGrowth};

/// A volume as its node sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Id of the node.
    pub node: i32,
    /// Kafka's directory on it.
    pub directory: String,
    /// The room on it.
    pub room: Room,
}

/// What is told of the volumes, after what was told before; `None` when no node could be asked.
#[must_use]
pub fn disk(volumes: &[Volume], before: Option<&DiskStatus>) -> Option<DiskStatus> {
    let fullest = volumes.iter().max_by_key(|volume| volume.room.percent())?;
    let (used_percent, full) = fullest.room.told(before.is_some_and(|before| before.full));
    Some(DiskStatus {
        used_percent,
        node: fullest.node,
        directory: fullest.directory.clone(),
        full,
    })
}

/// Says in the conditions how full volumes are. Gives what is to be told as an event: the reason and the sentence.
pub fn tell(
    status: &mut KafkaClusterStatus,
    generation: Option<i64>,
) -> Option<(&'static str, String)> {
    let disk = status.disk.as_ref()?;
    let fullest = Fullest {
        used_percent: disk.used_percent,
        full: disk.full,
        which: &format!("{} of node {}", disk.directory, disk.node),
        when_full: &format!(
            "no more telemetry is to be taken in until it is under {} %",
            disk::ROOM
        ),
        cure: "make volumes larger, keep records for less long, or add brokers",
    };
    disk::tell(&mut status.conditions, &fullest, generation)
}

/// How large the volumes of a pool are to be now that one of them fills, if larger. `live` is the size of the smallest live
/// claim.
#[must_use]
pub fn grown(
    growth: &StorageGrowth,
    pool: &Pool,
    volumes: &[Volume],
    live: &Quantity,
) -> Option<Quantity> {
    let ids = pool.first_node_id..pool.first_node_id + pool.replicas;
    let own = volumes.iter().filter(|volume| ids.contains(&volume.node));
    disk::grown(growth, own.map(|volume| volume.room), live)
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{cluster, images};
    use super::super::validate::{Found, validate};
    use super::*;
    use serde_json::json;

    fn volume(node: i32, total: u64, percent: u64) -> Volume {
        Volume {
            node,
            directory: "/var/lib/kafka/log".into(),
            room: Room {
                total,
                usable: total - total / 100 * percent,
            },
        }
    }

    #[test]
    fn the_fullest_volume_counts() {
        let all = [volume(0, 100, 10), volume(7, 1000, 95), volume(2, 100, 50)];
        let disk = disk(&all, None).unwrap();
        assert_eq!((disk.node, disk.used_percent, disk.full), (7, 95, true));
        assert_eq!(super::disk(&[], None), None);
        let mut status = KafkaClusterStatus {
            disk: Some(disk),
            ..KafkaClusterStatus::default()
        };
        let (reason, told) = tell(&mut status, Some(1)).unwrap();
        assert_eq!(reason, "DiskFull");
        assert_eq!(
            told,
            "/var/lib/kafka/log of node 7 is 95 % full and more: no more telemetry is to be taken in until it is under 90 %; make volumes larger, keep records for less long, or add brokers"
        );
    }

    #[test]
    fn a_pool_grows_for_its_own_volumes() {
        let spec = json!({"nodes": 3, "storage": {"size": "10Gi"}});
        let kafka = validate(&cluster(spec), &Found::default(), &images()).unwrap();
        let growth = StorageGrowth {
            maximum: "100Gi".into(),
            step_percent: 25,
        };
        let of = |node| {
            let filling = volume(node, 10 << 30, 81);
            grown(&growth, &kafka.pools[0], &[filling], &"10Gi".into())
        };
        assert_eq!(of(2), Some("12800Mi".into()));
        assert_eq!(of(9), None, "of another pool");
    }
}
