//! Puts the events of a vehicle into the order of their numbers before any rule sees them: late, disordered and
//! repeated events then change nothing in what is found.
//!
//! The event with the next number passes at once. One ahead of a gap is held until the missing ones came, or until
//! they are given up:
//! - when what is held spans more than the lateness in event time: a missing event is older than the first held
//!   one, so by then it would be later than allowed;
//! - when it was held for longer than the lateness by the wall clock ([`Order::release`]): a vehicle that falls
//!   silent behind a gap is judged all the same;
//! - when too much is held.
//!
//! What comes for a number that passed or was given up is ignored. A fresh order does not know the first number: it
//! takes 0 for it at once, and holds any other as if a gap lay before it. A lower number with a later time than
//! anything before means that the vehicle counts anew.

use std::collections::VecDeque;

use jiff::Timestamp;
use millrace_contract::Telemetry;
use serde::{Deserialize, Serialize};

/// Most events held …
const HELD: usize = 256;
/// … and most bytes of them, as JSON.
const HELD_BYTES: usize = 64 << 10;

/// What was seen of a vehicle's numbers and clock, and what is held. Times in microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Order {
    /// The number that passes next; none before the first event passed.
    next: Option<u64>,
    /// The newest event time that passed.
    newest: i64,
    /// The newest event time of the numbering before this one, for as long as events of it may come late.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<i64>,
    /// By rising number, all ahead of a gap.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    held: VecDeque<Held>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Held {
    /// Since when, by the wall clock.
    since: i64,
    /// Length as JSON.
    size: usize,
    event: Box<Telemetry>,
}

/// How an event passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// As it should.
    Next,
    /// The number went on while the clock went back by more than the lateness: what was known before is from
    /// another time.
    ClockSetBack,
}

impl Order {
    /// Takes in an event at the wall clock's `now`; `pass` is called with each event whose turn it is.
    pub fn admit(
        &mut self,
        event: &Telemetry,
        now: Timestamp,
        lateness: i64,
        pass: &mut impl FnMut(&Telemetry, Passage),
    ) {
        let (number, time) = (event.sequence, event.time.as_microsecond());
        if self.is_of_numbering_before(time, lateness) {
            return;
        }
        if self.next.is_some_and(|next| number < next) {
            if time <= self.newest {
                return;
            }
            while self.give_up(lateness, pass) {}
            self.before = Some(self.newest);
            self.next = None;
        }
        if self.next.unwrap_or(0) == number {
            self.pass(event, lateness, pass);
            self.follow(lateness, pass);
            return;
        }
        self.hold(event, now);
        while self.is_full() || self.spans_more_than(lateness) {
            self.give_up(lateness, pass);
        }
    }

    /// Gives up what was waited for long enough by the wall clock.
    pub fn release(
        &mut self,
        now: Timestamp,
        lateness: i64,
        pass: &mut impl FnMut(&Telemetry, Passage),
    ) {
        while self
            .waits_until(lateness)
            .is_some_and(|until| until <= now.as_microsecond())
        {
            self.give_up(lateness, pass);
        }
    }

    /// The wall clock time at which [`Order::release`] has something to do.
    pub fn waits_until(&self, lateness: i64) -> Option<i64> {
        let since = self.held.iter().map(|h| h.since).min()?;
        Some(since.saturating_add(lateness))
    }

    /// A late event, or a repetition, from before the vehicle counted anew.
    fn is_of_numbering_before(&mut self, time: i64, lateness: i64) -> bool {
        let Some(before) = self.before else {
            return false;
        };
        if self.next.is_some() && self.newest > before.saturating_add(lateness) {
            self.before = None;
            return false;
        }
        time <= before && time >= before.saturating_sub(lateness)
    }

    fn pass(
        &mut self,
        event: &Telemetry,
        lateness: i64,
        pass: &mut impl FnMut(&Telemetry, Passage),
    ) {
        let time = event.time.as_microsecond();
        let set_back = self.next.is_some() && time < self.newest.saturating_sub(lateness);
        self.newest = if set_back || self.next.is_none() {
            time
        } else {
            self.newest.max(time)
        };
        self.next = Some(event.sequence.saturating_add(1));
        let passage = if set_back {
            Passage::ClockSetBack
        } else {
            Passage::Next
        };
        pass(event, passage);
    }

    /// Passes what is held and now follows.
    fn follow(&mut self, lateness: i64, pass: &mut impl FnMut(&Telemetry, Passage)) {
        while let Some(held) = self
            .held
            .pop_front_if(|h| Some(h.event.sequence) == self.next)
        {
            self.pass(&held.event, lateness, pass);
        }
    }

    /// Gives up the numbers before the first held event; false when nothing is held.
    fn give_up(&mut self, lateness: i64, pass: &mut impl FnMut(&Telemetry, Passage)) -> bool {
        let Some(first) = self.held.pop_front() else {
            return false;
        };
        self.pass(&first.event, lateness, pass);
        self.follow(lateness, pass);
        true
    }

    fn hold(&mut self, event: &Telemetry, now: Timestamp) {
        let place = self
            .held
            .binary_search_by_key(&event.sequence, |h| h.event.sequence);
        if let Err(place) = place {
            let held = Held {
                since: now.as_microsecond(),
                size: serde_json::to_vec(event).map_or(HELD_BYTES, |json| json.len()),
                event: Box::new(event.clone()),
            };
            self.held.insert(place, held);
        }
    }

    fn is_full(&self) -> bool {
        self.held.len() > HELD || self.held.iter().map(|h| h.size).sum::<usize>() > HELD_BYTES
    }

    fn spans_more_than(&self, lateness: i64) -> bool {
        let time = |h: &Held| h.event.time.as_microsecond();
        let newest = self.held.iter().map(time).max();
        match (self.held.front().map(time), newest) {
            (Some(first), Some(newest)) => newest > first.saturating_add(lateness),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
