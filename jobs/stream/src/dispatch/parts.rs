//! Parts of a batch: which may go next without overtaking a record of its own keys. Pure.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::body::Item;
use super::lanes::Ticket;

/// A record that is not finished.
pub(super) struct Held {
    pub(super) ticket: Ticket,
    pub(super) item: Item,
    pub(super) tries: u32,
}

/// Records that go in one invocation.
pub(super) struct Part {
    pub(super) held: Vec<Held>,
    pub(super) failed: u32,
    /// When it may be tried again.
    pub(super) due: Option<Instant>,
}

/// What an invocation came to.
pub(super) enum Brought {
    /// All of it is finished.
    Done,
    /// It falls into parts, to be brought in this order.
    Split(Vec<Part>),
    /// It failed and is to be tried again when it is due.
    Again(Part),
}

impl Part {
    pub(super) fn new(held: Vec<Held>) -> Self {
        Self {
            held,
            failed: 0,
            due: None,
        }
    }

    pub(super) fn lanes(&self) -> impl Iterator<Item = (i32, &[u8])> {
        self.held.iter().map(|held| held.ticket.lane())
    }
}

/// The first part that is due and overtakes no record of its keys; else how long until one may be.
pub(super) fn next(parts: &VecDeque<Part>, now: Instant) -> Result<usize, Duration> {
    let mut before = HashSet::new();
    let mut wait: Option<Duration> = None;
    for (index, part) in parts.iter().enumerate() {
        if !part.lanes().any(|lane| before.contains(&lane)) {
            match part.due.map(|due| due.saturating_duration_since(now)) {
                Some(left) if !left.is_zero() => {
                    wait = Some(wait.map_or(left, |wait| wait.min(left)));
                }
                _ => return Ok(index),
            }
        }
        before.extend(part.lanes());
    }
    Err(wait.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::lanes::{Lanes, Window};
    use super::*;
    use crate::connect::Record;

    /// A part for each list of keys, in this order.
    fn parts(keys: &[&[&str]]) -> VecDeque<Part> {
        let now = Instant::now();
        let mut offset = 0;
        let mut part = |keys: &&[&str]| {
            let held = keys.iter().map(|key| {
                offset += 1;
                let mut lanes = Lanes::new(1);
                assert!(
                    lanes
                        .offer(0, offset, Some(key.as_bytes()), (), now)
                        .is_none()
                );
                let window = Window {
                    records: 1,
                    wait: Duration::ZERO,
                };
                let (ticket, ()) = lanes.take(window, now).remove(0);
                Held {
                    ticket,
                    item: Item {
                        record: Record {
                            topic: "t".to_owned(),
                            partition: 0,
                            offset,
                            timestamp_ms: None,
                            key: None,
                            headers: Vec::new(),
                            payload: None,
                        },
                        value: serde_json::Value::Null,
                    },
                    tries: 0,
                }
            });
            Part::new(held.collect())
        };
        keys.iter().map(&mut part).collect()
    }

    #[test]
    fn what_waits_is_overtaken_by_other_keys_only() {
        let now = Instant::now();
        let mut parts = parts(&[&["bad"], &["bad", "good"], &["good"], &["other"]]);
        assert_eq!(next(&parts, now), Ok(0));
        let wait = Duration::from_secs(9);
        parts[0].due = Some(now + wait);
        // The second holds a record of the key that waits, the third one of a key in the second.
        assert_eq!(next(&parts, now), Ok(3));
        parts.remove(3);
        assert_eq!(next(&parts, now), Err(wait));
        assert_eq!(next(&parts, now + wait), Ok(0));
    }
}
