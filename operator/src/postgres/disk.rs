//! A volume that runs full, by what the server says of its databases and its log. Pure.

use super::crd::{PostgresClusterStatus, PostgresDiskStatus};
use crate::disk::{self, Fullest, Room};
use crate::types::Quantity;

/// The room on the volume: what databases and the log take, against the size of the claim. The server says nothing of its
/// file system.
pub(super) fn room(used_bytes: u64, live: Option<&Quantity>) -> Option<Room> {
    let total = live.and_then(Quantity::bytes)?;
    Some(Room {
        total,
        usable: total.saturating_sub(used_bytes),
    })
}

/// What is told of it, after what was told before.
pub(super) fn disk(
    room: Room,
    pod: String,
    before: Option<&PostgresDiskStatus>,
) -> PostgresDiskStatus {
    let (used_percent, full) = room.told(before.is_some_and(|before| before.full));
    PostgresDiskStatus {
        used_percent,
        pod,
        full,
    }
}

/// Says in the conditions how full the volume is. Gives what is to be told as an event: the reason and the sentence.
pub(super) fn tell(
    status: &mut PostgresClusterStatus,
    generation: Option<i64>,
) -> Option<(&'static str, String)> {
    let disk = status.disk.as_ref()?;
    let fullest = Fullest {
        used_percent: disk.used_percent,
        full: disk.full,
        which: &format!("the volume of {}", disk.pod),
        when_full: "the server ends when its log cannot be written",
        cure: "make it larger (spec.storage.size), or delete what is not needed",
    };
    disk::tell(&mut status.conditions, &fullest, generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_with_the_cure() {
        let gibibyte = 1 << 30;
        let live = Quantity::from("10Gi");
        assert_eq!(room(1, None), None);
        let full = room(97 * gibibyte / 10, Some(&live)).unwrap();
        let mut status = PostgresClusterStatus {
            disk: Some(disk(full, "p-0".into(), None)),
            ..PostgresClusterStatus::default()
        };
        let (reason, told) = tell(&mut status, Some(1)).unwrap();
        assert_eq!(reason, "DiskFull");
        assert!(told.starts_with("the volume of p-0 is 95 % full"), "{told}");
        assert!(told.contains("spec.storage.size"), "{told}");
    }
}
