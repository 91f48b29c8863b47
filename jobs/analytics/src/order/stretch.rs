//! What went by before a vehicle counted anew, or before its clock was set back: stragglers of it are known by
//! number and time for as long as it is remembered.

use serde::{Deserialize, Serialize};

/// So many stretches are remembered, the newest ones.
const KEPT: usize = 4;

/// Events whose numbers and times rose together. Times in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "(u64, i64, i64)", from = "(u64, i64, i64)")]
pub(super) struct Stretch {
    /// The highest number that may be of it.
    pub last: u64,
    pub oldest: i64,
    pub newest: i64,
}

impl From<Stretch> for (u64, i64, i64) {
    fn from(s: Stretch) -> Self {
        (s.last, s.oldest, s.newest)
    }
}

impl From<(u64, i64, i64)> for Stretch {
    fn from((last, oldest, newest): (u64, i64, i64)) -> Self {
        Self {
            last,
            oldest,
            newest,
        }
    }
}

/// The last stretches, the newest last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Stretches(Vec<Stretch>);

impl Stretches {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn add(&mut self, stretch: Stretch) {
        if self.0.len() >= KEPT {
            self.0.remove(0);
        }
        self.0.push(stretch);
    }

    /// Whether an event is of one of them that was over before a time.
    pub fn hold(&self, number: u64, time: i64, lateness: i64, before: i64) -> bool {
        self.0.iter().filter(|s| s.newest < before).any(|s| {
            number <= s.last && time <= s.newest && time >= s.oldest.saturating_sub(lateness)
        })
    }
}
