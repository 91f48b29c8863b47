//! Volumes of brokers that run full. Pure.

use super::crd::{DiskStatus, KafkaClusterStatus};
use super::nodes::{NodeVolume, Pool};
use crate::disk::{self, Fullest, Room};

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

/// The room on one of the volumes of each node of a pool, as far as it is known.
#[must_use]
pub fn rooms(pool: &Pool, volume: &NodeVolume, seen: &[Volume]) -> Vec<Room> {
    let ids = pool.first_node_id..pool.first_node_id + pool.replicas;
    let directory = volume.log_dir();
    let own = seen
        .iter()
        .filter(|one| ids.contains(&one.node) && one.directory == directory);
    own.map(|one| one.room).collect()
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{cluster, images};
    use super::super::validate::{Found, validate};
    use super::*;
    use crate::types::StorageGrowth;
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
    fn each_volume_of_a_pool_grows_for_its_own_kind() {
        let spec = json!({
            "pools": [{"name": "a", "roles": ["controller", "broker"], "replicas": 2, "firstNodeId": 3,
                "lastNodeId": 9, "volumes": [{"size": "1Gi"}, {"size": "2Gi"}]}],
        });
        let kafka = validate(&cluster(spec), &Found::default(), &images()).unwrap();
        let growth = StorageGrowth {
            maximum: "100Gi".into(),
            step_percent: 25,
        };
        let pool = &kafka.pools[0];
        // To what each of the two volumes grows when the one of this index of this node fills.
        let of = |node, index: usize| {
            let filling = |of: usize| if of == index { 81 } else { 10 };
            let on = |of: usize, total| Volume {
                directory: pool.volumes[of].log_dir(),
                ..volume(node, total, filling(of))
            };
            let seen = [on(0, 1 << 30), on(1, 2 << 30)];
            let grown = |of: usize| {
                let volume = &pool.volumes[of];
                let rooms = rooms(pool, volume, &seen);
                disk::grown(&growth, rooms, &volume.storage.size).map(|size| size.0)
            };
            (grown(0), grown(1))
        };
        assert_eq!(of(3, 0), (Some("1280Mi".into()), None));
        assert_eq!(of(4, 1), (None, Some("2560Mi".into())));
        assert_eq!(of(5, 0), (None, None), "of another pool");
    }
}
