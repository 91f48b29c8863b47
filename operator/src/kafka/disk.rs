//! Volumes that run full: told early, grown where that is allowed, and nothing more written before Kafka would stop. Pure.

use super::crd::{DiskStatus, KafkaClusterStatus, StorageGrowth};
use super::nodes::Pool;
use crate::status::{Condition, DISK_PRESSURE, is_true, set_condition};
use crate::types::Quantity;

/// From here on it is told, in percent, and volumes grow.
const FILLING: u8 = 80;
/// Below this it is no longer told.
const EASED: u8 = 75;
/// From here on nothing more is to be written: a node whose volume is full stops.
const FULL: u8 = 95;
/// Below this records are taken again.
const ROOM: u8 = 90;
/// Steps in which it is told: each byte would be a write.
const STEP: u8 = 5;

/// A volume as its node sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Id of the node.
    pub node: i32,
    /// Kafka's directory on it.
    pub directory: String,
    /// Bytes of the whole file system.
    pub total: u64,
    /// Bytes that can still be written.
    pub usable: u64,
}

impl Volume {
    /// How full it is, in percent, rounded down.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let used = u128::from(self.total.saturating_sub(self.usable));
        let percent = (used * 100).checked_div(u128::from(self.total));
        percent
            .and_then(|percent| u8::try_from(percent).ok())
            .unwrap_or(0)
    }
}

/// What is told of the volumes, after what was told before; `None` when no node could be asked.
#[must_use]
pub fn disk(volumes: &[Volume], before: Option<&DiskStatus>) -> Option<DiskStatus> {
    let fullest = volumes.iter().max_by_key(|volume| volume.percent())?;
    let percent = fullest.percent();
    let was_full = before.is_some_and(|before| before.full);
    Some(DiskStatus {
        used_percent: i32::from(percent - percent % STEP),
        node: fullest.node,
        directory: fullest.directory.clone(),
        full: percent >= FULL || (was_full && percent >= ROOM),
    })
}

/// Says in the conditions how full volumes are. Gives what is to be told as an event: the reason and the sentence.
pub fn tell(
    status: &mut KafkaClusterStatus,
    generation: Option<i64>,
) -> Option<(&'static str, String)> {
    let disk = status.disk.as_ref()?;
    let was = is_true(&status.conditions, DISK_PRESSURE);
    let was_full = said_full(&status.conditions);
    let limit = i32::from(if was { EASED } else { FILLING });
    let fills = disk.used_percent >= limit;
    let where_ = format!("{} of node {}", disk.directory, disk.node);
    let (reason, told) = if disk.full {
        (
            "DiskFull",
            format!(
                "{where_} is {} % full and more: no more telemetry is to be taken in until it is under {ROOM} %; make volumes larger, keep records for less long, or add brokers",
                disk.used_percent
            ),
        )
    } else if fills {
        (
            "DiskFilling",
            format!(
                "{where_} is {} % full and more; make volumes larger, keep records for less long, or add brokers",
                disk.used_percent
            ),
        )
    } else {
        ("EnoughRoom", String::new())
    };
    let (full, fills) = (disk.full, fills || disk.full);
    set_condition(
        &mut status.conditions,
        DISK_PRESSURE,
        fills,
        reason,
        &told,
        generation,
    );
    (fills && (!was || full && !was_full)).then_some((reason, told))
}

fn said_full(conditions: &[Condition]) -> bool {
    conditions
        .iter()
        .any(|condition| condition.type_ == DISK_PRESSURE && condition.reason == "DiskFull")
}

/// How large the volumes of a pool are to be now that one of them fills, if larger: by a step, up to the maximum.
/// `live` is the size of the smallest live claim.
#[must_use]
pub fn grown(
    growth: &StorageGrowth,
    pool: &Pool,
    volumes: &[Volume],
    live: &Quantity,
) -> Option<Quantity> {
    let live = live.bytes()?;
    let ids = pool.first_node_id..pool.first_node_id + pool.replicas;
    let fills = volumes.iter().any(|volume| {
        // The file system is that of the claim, and has grown with it: else each look would ask for more.
        let is_of_claim = volume.total >= live / 5 * 4 && volume.total <= live / 4 * 5;
        ids.contains(&volume.node) && is_of_claim && volume.percent() >= FILLING
    });
    let step = u64::try_from(growth.step_percent).unwrap_or_default();
    let wanted = live.saturating_add(live.saturating_mul(step) / 100);
    let wanted = wanted.min(growth.maximum.bytes()?);
    const MEBIBYTE: u64 = 1024 * 1024;
    let mebibytes = wanted / MEBIBYTE;
    (fills && mebibytes * MEBIBYTE > live).then(|| Quantity(format!("{mebibytes}Mi")))
}

#[cfg(test)]
mod tests {
    use super::super::validate::tests::{cluster, images};
    use super::super::validate::{Found, validate};
    use super::*;
    use serde_json::json;

    const GIBIBYTE: u64 = 1024 * 1024 * 1024;

    fn volume(node: i32, total: u64, percent: u64) -> Volume {
        Volume {
            node,
            directory: "/var/lib/kafka/log".into(),
            total,
            usable: total - total / 100 * percent,
        }
    }

    fn status(percent: u64, before: &KafkaClusterStatus) -> KafkaClusterStatus {
        let mut status = before.clone();
        status.disk = disk(&[volume(0, 10 * GIBIBYTE, percent)], before.disk.as_ref());
        status
    }

    #[test]
    fn volumes_are_told_in_time_and_not_at_each_byte() {
        let mut before = KafkaClusterStatus::default();
        for (percent, reason, event) in [
            (79, "EnoughRoom", false),
            (82, "DiskFilling", true),
            (84, "DiskFilling", false),
            (78, "DiskFilling", false),
            (74, "EnoughRoom", false),
            (96, "DiskFull", true),
            (92, "DiskFull", false),
            (88, "DiskFilling", false),
            (97, "DiskFull", true),
        ] {
            let mut now = status(percent, &before);
            let told = tell(&mut now, Some(1));
            let condition = &now.conditions[0];
            assert_eq!(condition.reason, reason, "{percent}");
            assert_eq!(condition.status == "True", reason != "EnoughRoom");
            assert_eq!(told.is_some(), event, "{percent}");
            before = now;
        }
        let (one, other) = (status(81, &before), status(84, &before));
        assert_eq!(one.disk, other.disk, "nothing is written for it");
    }

    #[test]
    fn the_fullest_volume_counts() {
        let all = [volume(0, 100, 10), volume(7, 1000, 85), volume(2, 100, 50)];
        let disk = disk(&all, None).unwrap();
        assert_eq!((disk.node, disk.used_percent, disk.full), (7, 85, false));
        assert_eq!(super::disk(&[], None), None);
    }

    #[test]
    fn volumes_grow_by_a_step_up_to_the_maximum() {
        let spec = json!({"nodes": 3, "storage": {"size": "10Gi"}});
        let kafka = validate(&cluster(spec), &Found::default(), &images()).unwrap();
        let pool = &kafka.pools[0];
        let growth = |maximum: &str| StorageGrowth {
            maximum: maximum.into(),
            step_percent: 25,
        };
        let live = Quantity::from("10Gi");
        let of = |maximum: &str, volume: Volume| {
            grown(&growth(maximum), pool, &[volume], &live).map(|size| size.0)
        };
        let filling = volume(2, 10 * GIBIBYTE, 81);
        assert_eq!(of("100Gi", filling.clone()).as_deref(), Some("12800Mi"));
        assert_eq!(of("11Gi", filling.clone()).as_deref(), Some("11264Mi"));
        assert_eq!(of("10Gi", filling), None, "as large as allowed");
        assert_eq!(of("100Gi", volume(2, 10 * GIBIBYTE, 79)), None);
        let former = volume(2, 7 * GIBIBYTE, 90);
        assert_eq!(of("100Gi", former), None, "it has not grown yet");
        let shared = volume(2, 500 * GIBIBYTE, 90);
        assert_eq!(of("100Gi", shared), None, "it is the disk of the machine");
        let other = volume(9, 10 * GIBIBYTE, 90);
        assert_eq!(of("100Gi", other), None, "of another pool");
    }
}
