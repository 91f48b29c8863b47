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
//!
//! An event that is older than late ones may be is a straggler of a numbering before ([`stretch`]), or the vehicle
//! is in another time: its clock was set back, or it sends an older drive. Only the next number shows the latter at
//! once; others are set aside until they go on for the lateness while nothing of the present time comes.

mod queue;
mod stretch;

use jiff::Timestamp;
use millrace_contract::Telemetry;
use serde::{Deserialize, Serialize};

use queue::Queue;
use stretch::{Stretch, Stretches};

/// Most events held …
const HELD: usize = 256;
/// … and most bytes of them, as JSON.
const HELD_BYTES: usize = 64 << 10;
/// Most events set aside …
const ASIDE: usize = 64;
/// … and most bytes of them.
const ASIDE_BYTES: usize = 16 << 10;

/// An event follows the one before by so many microseconds at most, for telling stretches apart.
const FOLLOWS: i64 = 600_000_000;

/// What was seen of a vehicle's numbers and clock, and what is held. Times in microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Order {
    /// The number that passes next; none before the first event passed.
    next: Option<u64>,
    /// The newest event time that passed.
    newest: i64,
    /// Number and time with which the present stretch began, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    began: Option<(u64, i64)>,
    /// What went by before the vehicle counted anew or its clock was set back.
    #[serde(skip_serializing_if = "Stretches::is_empty")]
    earlier: Stretches,
    /// By rising number, all ahead of a gap.
    #[serde(skip_serializing_if = "Queue::is_empty")]
    held: Queue,
    /// By rising number, all older than late events may be.
    #[serde(skip_serializing_if = "Queue::is_empty")]
    aside: Queue,
}

/// How an event passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// As it should.
    Next,
    /// The clock went back by more than the lateness: what was known before is from another time.
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
        if self.was_there(number, time, lateness) {
            return;
        }
        let is_next = self.next.unwrap_or(0) == number;
        if self.next.is_some_and(|next| number < next) && time > self.newest {
            while self.give_up(lateness, pass) {}
            self.end_stretch(HELD as u64);
            self.next = None;
        } else if !is_next && self.is_behind(time, lateness) {
            self.aside.add(event, now, self.newest);
            if self.is_another_time(lateness) {
                self.turn_back(lateness, pass);
            }
            return;
        }
        if self.next.unwrap_or(0) == number {
            self.pass(event, lateness, pass);
            self.follow(lateness, pass);
        } else {
            let heard = self.held.newest().unwrap_or(i64::MIN);
            let heard = heard.max(self.newest).max(time);
            self.held.add(event, now, heard);
            self.settle(lateness, pass);
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
        Some(self.held.since()?.saturating_add(lateness))
    }

    /// A repetition, or a straggler of a number that passed or was given up.
    fn was_there(&self, number: u64, time: i64, lateness: i64) -> bool {
        // An older drive may go on into a time that was heard of already: what follows it is of it.
        let before = match self.began {
            Some((_, began)) if self.follows(number, time, lateness) => began,
            _ => i64::MAX,
        };
        if self.earlier.hold(number, time, lateness, before) {
            return true;
        }
        if self.next.is_none_or(|next| number >= next) || time > self.newest {
            return false;
        }
        // Lower and older than all of this stretch it may be of the time before it was first heard of.
        !self.is_behind(time, lateness)
            || self.began.is_none_or(|(first, began)| {
                number < first || time >= began.saturating_sub(lateness)
            })
    }

    /// Whether number and time go on where those of the present stretch are.
    fn follows(&self, number: u64, time: i64, lateness: i64) -> bool {
        let ahead = self.next.and_then(|next| number.checked_sub(next));
        ahead.is_some_and(|ahead| ahead <= HELD as u64)
            && !self.is_behind(time, lateness)
            && time <= self.newest.saturating_add(FOLLOWS)
    }

    /// Whether that time is older than that of a late event may be.
    fn is_behind(&self, time: i64, lateness: i64) -> bool {
        self.next.is_some() && time < self.newest.saturating_sub(lateness)
    }

    /// Whether what was set aside went on for the lateness while nothing came of the present time.
    fn is_another_time(&mut self, lateness: i64) -> bool {
        if self.aside.is_fuller_than(ASIDE, ASIDE_BYTES) {
            let newest = self.newest;
            self.aside.retain(|h| h.heard >= newest);
            return self.aside.is_fuller_than(ASIDE / 2, ASIDE_BYTES / 2);
        }
        self.aside.span_since(self.newest) > lateness
    }

    /// The vehicle is in an older time: what was set aside is what it sends.
    fn turn_back(&mut self, lateness: i64, pass: &mut impl FnMut(&Telemetry, Passage)) {
        let mut aside = std::mem::take(&mut self.aside);
        while self.give_up(lateness, pass) {}
        self.aside = Queue::default();
        let Some(first) = aside.pop() else {
            return;
        };
        let goes_on = self.next.is_some_and(|next| first.event.sequence >= next);
        self.end_stretch(if goes_on { 0 } else { HELD as u64 });
        self.held = aside;
        self.begin_stretch(&first.event);
        pass(&first.event, Passage::ClockSetBack);
        self.follow(lateness, pass);
        self.settle(lateness, pass);
    }

    fn pass(
        &mut self,
        event: &Telemetry,
        lateness: i64,
        pass: &mut impl FnMut(&Telemetry, Passage),
    ) {
        let time = event.time.as_microsecond();
        let passage = if self.is_behind(time, lateness) {
            // The numbers go on: none of the new stretch is of the one before.
            self.end_stretch(0);
            self.begin_stretch(event);
            // What was ahead of a gap in the old time is so in this one.
            for held in std::mem::take(&mut self.aside) {
                if held.event.sequence > event.sequence {
                    self.held.put(held);
                }
            }
            Passage::ClockSetBack
        } else {
            if self.next.is_none() {
                self.begin_stretch(event);
            }
            self.newest = self.newest.max(time);
            self.next = Some(event.sequence.saturating_add(1));
            // The vehicle went on without them.
            let newest = self.newest;
            self.aside
                .retain(|h| newest <= h.heard.saturating_add(lateness));
            Passage::Next
        };
        pass(event, passage);
    }

    fn begin_stretch(&mut self, event: &Telemetry) {
        let time = event.time.as_microsecond();
        self.newest = time;
        self.next = Some(event.sequence.saturating_add(1));
        self.began = Some((event.sequence, time));
    }

    /// `ahead` numbers that did not pass may still come of this stretch.
    fn end_stretch(&mut self, ahead: u64) {
        let Some(last) = self.next.and_then(|next| next.checked_sub(1)) else {
            return;
        };
        self.earlier.add(Stretch {
            last: last.saturating_add(ahead),
            oldest: self.began.map_or(self.newest, |(_, time)| time),
            newest: self.newest,
        });
    }

    /// Passes what is held or set aside and now follows.
    fn follow(&mut self, lateness: i64, pass: &mut impl FnMut(&Telemetry, Passage)) {
        while let Some(next) = self.next {
            self.held.forget_below(next);
            let Some(held) = self.held.take(next).or_else(|| self.aside.take(next)) else {
                return;
            };
            // A straggler that happened to have the number: the one of the present time is yet to come.
            let time = held.event.time.as_microsecond();
            if self.is_behind(time, lateness) && self.newest > held.heard.saturating_add(lateness) {
                continue;
            }
            self.pass(&held.event, lateness, pass);
        }
    }

    /// Gives up numbers for as long as too much is held or it spans too long.
    fn settle(&mut self, lateness: i64, pass: &mut impl FnMut(&Telemetry, Passage)) {
        while self.held.is_fuller_than(HELD, HELD_BYTES) || self.held.span() > lateness {
            self.give_up(lateness, pass);
        }
    }

    /// Gives up the numbers before the first held event; false when nothing is held.
    fn give_up(&mut self, lateness: i64, pass: &mut impl FnMut(&Telemetry, Passage)) -> bool {
        let Some(first) = self.held.pop() else {
            return false;
        };
        if self.is_behind(first.event.time.as_microsecond(), lateness) {
            // It became too old while it was held, so it is no better than what comes too old.
            if !self.aside.is_fuller_than(ASIDE, ASIDE_BYTES) {
                self.aside.put(first);
            }
        } else {
            self.pass(&first.event, lateness, pass);
            self.follow(lateness, pass);
        }
        true
    }
}

#[cfg(test)]
mod tests;
