//! Volumes that run full: told early, grown where that is allowed, and called full before a system would stop. The same for
//! every system whose servers say how much room they have. Pure.

use std::time::Duration;

use crate::status::{Condition, DISK_PRESSURE, is_true, set_condition};
use crate::types::{Quantity, StorageGrowth, VolumeStatus};

/// From here on it is told, in percent, and volumes grow.
const FILLING: u8 = 80;
/// Below this it is no longer told.
const EASED: u8 = 75;
/// From here on nothing more is to be written.
const FULL: u8 = 95;
/// Below this it is no longer full.
pub const ROOM: u8 = 90;
/// From here on it is looked at more often.
const NEAR: u8 = 75;
/// So often then. A small volume is full within a minute of load, and those who write are to be stopped before it is; a look
/// costs a request to each server.
const LOOK: Duration = Duration::from_secs(15);
/// Steps in which it is told: each byte would be a write.
const STEP: u8 = 5;
const MEBIBYTE: u64 = 1024 * 1024;

/// The room on a file system.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Room {
    /// Bytes of the whole.
    pub total: u64,
    /// Bytes that can still be written.
    pub usable: u64,
}

impl Room {
    /// How full it is, in percent, rounded down.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let used = u128::from(self.total.saturating_sub(self.usable));
        let percent = (used * 100).checked_div(u128::from(self.total));
        percent
            .and_then(|percent| u8::try_from(percent).ok())
            .unwrap_or(0)
    }

    /// How full it is as it is told, and whether nothing more is to be written, after what was said before.
    #[must_use]
    pub fn told(&self, was_full: bool) -> (i32, bool) {
        let percent = self.percent();
        let full = percent >= FULL || (was_full && percent >= ROOM);
        (i32::from(percent - percent % STEP), full)
    }
}

/// The room on a volume whose server says only how much it has stored, and nothing of its file system: that, against the
/// size of the claim, if there is one.
#[must_use]
pub fn of_claim(used_bytes: u64, live: Option<&Quantity>) -> Option<Room> {
    let total = live.and_then(Quantity::bytes)?;
    Some(Room {
        total,
        usable: total.saturating_sub(used_bytes),
    })
}

/// What is told of the fullest of these pods' volumes, after what was told before; `None` when nothing is known.
#[must_use]
pub fn fullest<'a>(
    rooms: impl IntoIterator<Item = (&'a str, Room)>,
    before: Option<&VolumeStatus>,
) -> Option<VolumeStatus> {
    let (pod, room) = rooms.into_iter().max_by_key(|(_, room)| room.percent())?;
    let (used_percent, full) = room.told(before.is_some_and(|before| before.full));
    Some(VolumeStatus {
        used_percent,
        pod: pod.to_owned(),
        full,
    })
}

/// [`tell`] for the volume of a pod, if something is known of it.
pub fn tell_volume(
    conditions: &mut Vec<Condition>,
    volume: Option<&VolumeStatus>,
    when_full: &str,
    cure: &str,
    generation: Option<i64>,
) -> Option<(&'static str, String)> {
    let volume = volume?;
    let fullest = Fullest {
        used_percent: volume.used_percent,
        full: volume.full,
        which: &format!("the volume of {}", volume.pod),
        when_full,
        cure,
    };
    tell(conditions, &fullest, generation)
}

/// What is said of the fullest volume.
#[derive(Clone, Debug)]
pub struct Fullest<'a> {
    /// How full it is, as [`Room::told`] has it.
    pub used_percent: i32,
    /// Whether nothing more is to be written.
    pub full: bool,
    /// Which one it is.
    pub which: &'a str,
    /// What it means that it is full.
    pub when_full: &'a str,
    /// What to do.
    pub cure: &'a str,
}

/// Says in the conditions how full the fullest volume is. Gives what is to be told as an event: the reason and the sentence.
pub fn tell(
    conditions: &mut Vec<Condition>,
    fullest: &Fullest<'_>,
    generation: Option<i64>,
) -> Option<(&'static str, String)> {
    let was = is_true(conditions, DISK_PRESSURE);
    let was_full = conditions
        .iter()
        .any(|condition| condition.type_ == DISK_PRESSURE && condition.reason == "DiskFull");
    let limit = i32::from(if was { EASED } else { FILLING });
    let Fullest {
        used_percent,
        full,
        which,
        when_full,
        cure,
    } = fullest;
    let (reason, told) = if *full {
        (
            "DiskFull",
            format!("{which} is {used_percent} % full and more: {when_full}; {cure}"),
        )
    } else if *used_percent >= limit {
        (
            "DiskFilling",
            format!("{which} is {used_percent} % full and more; {cure}"),
        )
    } else {
        ("EnoughRoom", String::new())
    };
    let fills = reason != "EnoughRoom";
    set_condition(conditions, DISK_PRESSURE, fills, reason, &told, generation);
    (fills && (!was || *full && !was_full)).then_some((reason, told))
}

/// When to look again, where the fullest volume was told to be so full, and it would be after `usual` for any other reason:
/// that a volume fills sends no event.
#[must_use]
pub fn look_again(used_percent: Option<i32>, usual: Duration) -> Duration {
    if used_percent.is_some_and(|percent| percent >= i32::from(NEAR)) {
        usual.min(LOOK)
    } else {
        usual
    }
}

/// How large volumes that are alike are to be now that one of them fills, if larger: by a step, up to the maximum. `live`
/// is the size of the smallest live claim.
#[must_use]
pub fn grown(
    growth: &StorageGrowth,
    rooms: impl IntoIterator<Item = Room>,
    live: &Quantity,
) -> Option<Quantity> {
    let live = live.bytes()?;
    let fills = rooms.into_iter().any(|room| {
        // The file system is that of the claim, and has grown with it: else each look would ask for more.
        let is_of_claim = room.total >= live / 5 * 4 && room.total <= live / 4 * 5;
        is_of_claim && room.percent() >= FILLING
    });
    let step = u64::try_from(growth.step_percent).unwrap_or_default();
    let wanted = live.saturating_add(live.saturating_mul(step) / 100);
    let wanted = wanted.min(growth.maximum.bytes()?);
    let mebibytes = wanted / MEBIBYTE;
    (fills && mebibytes * MEBIBYTE > live).then(|| Quantity(format!("{mebibytes}Mi")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIBIBYTE: u64 = 1024 * MEBIBYTE;

    fn room(total: u64, percent: u64) -> Room {
        Room {
            total,
            usable: total - total / 100 * percent,
        }
    }

    #[test]
    fn a_volume_that_is_nearly_full_is_looked_at_more_often() {
        let after = |used_percent, seconds| {
            look_again(used_percent, Duration::from_secs(seconds)).as_secs()
        };
        assert_eq!(after(None, 300), 300);
        assert_eq!(after(Some(70), 60), 60);
        assert_eq!(after(Some(75), 60), 15);
        assert_eq!(after(Some(95), 300), 15);
        // What goes on is looked at as often as before.
        assert_eq!(after(Some(95), 1), 1);
    }

    #[test]
    fn volumes_are_told_in_time_and_not_at_each_byte() {
        let (mut conditions, mut was_full) = (Vec::new(), false);
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
            let (used_percent, full) = room(10 * GIBIBYTE, percent).told(was_full);
            was_full = full;
            let fullest = Fullest {
                used_percent,
                full,
                which: "v",
                when_full: "w",
                cure: "c",
            };
            let told = tell(&mut conditions, &fullest, Some(1));
            assert_eq!(conditions[0].reason, reason, "{percent}");
            assert_eq!(conditions[0].status == "True", reason != "EnoughRoom");
            assert_eq!(told.is_some(), event, "{percent}");
        }
        assert_eq!(conditions[0].message, "v is 95 % full and more: w; c");
        let (one, other) = (room(GIBIBYTE, 81), room(GIBIBYTE, 84));
        assert_eq!(
            one.told(false),
            other.told(false),
            "nothing is written for it"
        );
    }

    #[test]
    fn the_fullest_pod_is_told_with_the_cure() {
        let live = Quantity::from("10Gi");
        assert_eq!(of_claim(1, None), None);
        let claimed = of_claim(97 * GIBIBYTE / 10, Some(&live)).unwrap();
        assert_eq!(fullest([], None), None);
        let volume = fullest([("p-0", room(GIBIBYTE, 10)), ("p-1", claimed)], None);
        let mut conditions = Vec::new();
        let told = tell_volume(&mut conditions, volume.as_ref(), "it ends", "more", Some(1));
        assert_eq!(
            told,
            Some((
                "DiskFull",
                "the volume of p-1 is 95 % full and more: it ends; more".to_owned()
            ))
        );
        assert_eq!(tell_volume(&mut conditions, None, "", "", Some(1)), None);
        assert_eq!(
            conditions[0].reason, "DiskFull",
            "what is not known is as it was"
        );
    }

    #[test]
    fn volumes_grow_by_a_step_up_to_the_maximum() {
        let of = |maximum: &str, room: Room| {
            let growth = StorageGrowth {
                maximum: maximum.into(),
                step_percent: 25,
            };
            grown(&growth, [room], &Quantity::from("10Gi")).map(|size| size.0)
        };
        let filling = room(10 * GIBIBYTE, 81);
        assert_eq!(of("100Gi", filling).as_deref(), Some("12800Mi"));
        assert_eq!(of("11Gi", filling).as_deref(), Some("11264Mi"));
        assert_eq!(of("10Gi", filling), None, "as large as allowed");
        assert_eq!(of("100Gi", room(10 * GIBIBYTE, 79)), None);
        assert_eq!(
            of("100Gi", room(7 * GIBIBYTE, 90)),
            None,
            "it has not grown yet"
        );
        let shared = room(500 * GIBIBYTE, 90);
        assert_eq!(of("100Gi", shared), None, "it is the disk of the machine");
    }
}
