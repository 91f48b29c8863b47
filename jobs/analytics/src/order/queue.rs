//! Events that wait for their turn.

use std::collections::VecDeque;
use std::collections::vec_deque::IntoIter;

use jiff::Timestamp;
use millrace_contract::Telemetry;
use serde::{Deserialize, Serialize};

/// An event that waits. Times in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    /// Since when, by the wall clock.
    pub since: i64,
    /// The newest event time that was heard of when it came.
    #[serde(default = "long_ago")]
    pub heard: i64,
    /// Length as JSON.
    pub size: usize,
    pub event: Box<Telemetry>,
}

fn long_ago() -> i64 {
    i64::MIN
}

impl Held {
    fn time(&self) -> i64 {
        self.event.time.as_microsecond()
    }
}

/// Events by rising number, none twice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Queue(VecDeque<Held>);

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn is_fuller_than(&self, events: usize, bytes: usize) -> bool {
        self.0.len() > events || self.0.iter().map(|h| h.size).sum::<usize>() > bytes
    }

    pub fn add(&mut self, event: &Telemetry, now: Timestamp, heard: i64) {
        if self.place(event.sequence).is_err() {
            self.put(Held {
                since: now.as_microsecond(),
                heard,
                // What cannot be written has no length; it counts as much as there may be.
                size: serde_json::to_vec(event).map_or(super::HELD_BYTES, |json| json.len()),
                event: Box::new(event.clone()),
            });
        }
    }

    pub fn put(&mut self, held: Held) {
        if let Err(place) = self.place(held.event.sequence) {
            self.0.insert(place, held);
        }
    }

    fn place(&self, number: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |h| h.event.sequence)
    }

    /// Takes out the first one.
    pub fn pop(&mut self) -> Option<Held> {
        self.0.pop_front()
    }

    /// Takes out the one with that number.
    pub fn take(&mut self, number: u64) -> Option<Held> {
        self.0.remove(self.place(number).ok()?)
    }

    pub fn forget_below(&mut self, number: u64) {
        while self.0.pop_front_if(|h| h.event.sequence < number).is_some() {}
    }

    pub fn retain(&mut self, keep: impl Fn(&Held) -> bool) {
        self.0.retain(keep);
    }

    /// Since when the first to come waits, by the wall clock.
    pub fn since(&self) -> Option<i64> {
        self.0.iter().map(|h| h.since).min()
    }

    /// The newest event time.
    pub fn newest(&self) -> Option<i64> {
        self.0.iter().map(Held::time).max()
    }

    /// From the time of the first one to the newest.
    pub fn span(&self) -> i64 {
        span(self.0.iter())
    }

    /// The same of those that came when nothing newer than `heard` had been heard of.
    pub fn span_since(&self, heard: i64) -> i64 {
        span(self.0.iter().filter(|h| h.heard >= heard))
    }
}

impl IntoIterator for Queue {
    type Item = Held;
    type IntoIter = IntoIter<Held>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn span<'a>(held: impl Iterator<Item = &'a Held> + Clone) -> i64 {
    let newest = held.clone().map(Held::time).max();
    match (held.clone().next(), newest) {
        (Some(first), Some(newest)) => newest.saturating_sub(first.time()),
        _ => 0,
    }
}
