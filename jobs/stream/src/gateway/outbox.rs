//! Which notifications a vehicle has still to receive. Pure: no clock, no network.
//!
//! Every notification is sent once per session until the vehicle acknowledges it or it expires; a new
//! session gets again what the old one did not acknowledge. Those that are to be spoken keep a quiet time
//! between them, see [`super::quiet`]. Ids are remembered for a while after that, so that a repetition of an
//! id is known as one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use millrace_contract::{Notification, Severity};

use super::quiet::{Candidate, LastSpoken, Turn, turn};

/// Names one session of one vehicle; a later session has a higher number.
pub type SessionId = u64;

#[derive(Debug)]
enum State {
    /// To be delivered. Its place in the vehicle's queue, and the session that has it on the way.
    Waiting {
        notification: Arc<Notification>,
        place: u64,
        sent_in: Option<SessionId>,
    },
    /// Acknowledged by the vehicle, or expired.
    Done,
}

#[derive(Debug)]
struct Entry {
    state: State,
    expires_at: Timestamp,
}

#[derive(Debug, Default)]
struct Vehicle {
    // In order of arrival.
    waiting: BTreeMap<u64, String>,
    // The session that subscribed; nothing is sent before.
    session: Option<SessionId>,
}

/// What [`Outbox::offer`] did.
#[derive(Debug, PartialEq, Eq)]
pub enum Offer {
    /// The id was there before; nothing changed.
    Known,
    /// It came after its expiry and is only remembered.
    Expired,
    /// It waits for its vehicle: see [`Outbox::to_send`].
    Taken,
}

/// What [`Outbox::expire`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Ids that expired undelivered.
    pub undelivered: Vec<String>,
    /// Ids that are no longer remembered.
    pub forgotten: Vec<String>,
}

/// All notifications that are known here, by id.
#[derive(Debug)]
pub struct Outbox {
    entries: HashMap<String, Entry>,
    vehicles: HashMap<String, Vehicle>,
    // What each vehicle was told last, for as long as that keeps it in quiet.
    spoken: HashMap<String, LastSpoken>,
    // When vehicles in quiet are to be looked at again.
    wakes: BTreeSet<(Timestamp, String)>,
    next_place: u64,
    remember: SignedDuration,
    quiet: SignedDuration,
}

impl Outbox {
    /// An empty outbox that remembers ids for `remember` after their expiry and leaves `quiet` between two
    /// spoken notifications.
    #[must_use]
    pub fn new(remember: SignedDuration, quiet: SignedDuration) -> Self {
        Self {
            entries: HashMap::new(),
            vehicles: HashMap::new(),
            spoken: HashMap::new(),
            wakes: BTreeSet::new(),
            next_place: 0,
            remember,
            quiet,
        }
    }

    /// Whether the id was offered or acknowledged before and is still remembered.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.entries.contains_key(id)
    }

    /// Takes a notification; one with a known id changes nothing.
    pub fn offer(&mut self, notification: Arc<Notification>, now: Timestamp) -> Offer {
        if self.knows(&notification.id) {
            return Offer::Known;
        }
        let (id, expires_at) = (notification.id.clone(), notification.expires_at);
        if expires_at <= now {
            self.entries.insert(
                id,
                Entry {
                    state: State::Done,
                    expires_at,
                },
            );
            return Offer::Expired;
        }
        let place = self.next_place;
        self.next_place += 1;
        let vehicle = self
            .vehicles
            .entry(notification.vehicle.clone())
            .or_default();
        vehicle.waiting.insert(place, id.clone());
        self.entries.insert(
            id,
            Entry {
                state: State::Waiting {
                    notification,
                    place,
                    sent_in: None,
                },
                expires_at,
            },
        );
        Offer::Taken
    }

    /// The vehicle subscribed in this session.
    pub fn attach(&mut self, vehicle: &str, session: SessionId) {
        let entry = self.vehicles.entry(vehicle.to_owned()).or_default();
        entry.session = Some(session);
    }

    /// What is to be sent to the vehicle now, and in which session; from here on it counts as sent. Whoever
    /// must wait for quiet is found by [`Outbox::due`] when the time has come.
    pub fn to_send(
        &mut self,
        vehicle: &str,
        now: Timestamp,
    ) -> Option<(SessionId, Vec<Arc<Notification>>)> {
        let entry = self.vehicles.get(vehicle)?;
        let session = entry.session?;
        let (mut out, mut held) = (Vec::new(), Vec::new());
        for (place, id) in &entry.waiting {
            let Some(Entry {
                state:
                    State::Waiting {
                        notification,
                        sent_in,
                        ..
                    },
                expires_at,
            }) = self.entries.get_mut(id)
            else {
                continue;
            };
            if *sent_in == Some(session) || *expires_at <= now {
                continue;
            }
            if self.quiet.is_zero() || notification.ssml.is_empty() {
                *sent_in = Some(session);
                out.push(Arc::clone(notification));
            } else {
                held.push(Candidate {
                    id,
                    critical: notification.severity == Severity::Critical,
                    place: *place,
                });
            }
        }
        let last = self.spoken.get_mut(vehicle);
        if let Some(last) = last {
            // A clock that was set back must not prolong the quiet.
            last.at = last.at.min(now);
        }
        let waiting = held.len();
        let wake = match turn(held, self.spoken.get(vehicle), self.quiet, now) {
            Turn::Nobody => None,
            Turn::At(moment) => Some(moment),
            Turn::Now(id) => {
                let id = id.to_owned();
                if let Some(State::Waiting {
                    notification,
                    sent_in,
                    ..
                }) = self.entries.get_mut(&id).map(|e| &mut e.state)
                {
                    *sent_in = Some(session);
                    out.push(Arc::clone(notification));
                }
                self.spoken
                    .insert(vehicle.to_owned(), LastSpoken { id, at: now });
                (waiting > 1)
                    .then(|| now.checked_add(self.quiet).ok())
                    .flatten()
            }
        };
        if let Some(moment) = wake {
            self.wakes.insert((moment, vehicle.to_owned()));
        }
        Some((session, out))
    }

    /// What the vehicle was told last, as far as that may still keep it in quiet.
    #[must_use]
    pub fn told(&self, vehicle: &str) -> Option<&LastSpoken> {
        self.spoken.get(vehicle)
    }

    /// When the next vehicle's quiet is over.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.wakes.first().map(|(moment, _)| *moment)
    }

    /// The vehicles whose quiet is over: for [`Outbox::to_send`].
    pub fn due(&mut self, now: Timestamp) -> BTreeSet<String> {
        let mut due = BTreeSet::new();
        while let Some((moment, vehicle)) = self.wakes.pop_first() {
            if moment > now {
                self.wakes.insert((moment, vehicle));
                break;
            }
            due.insert(vehicle);
        }
        due
    }

    /// The vehicle got a spoken notification then, or acknowledged it, here or from another replica.
    pub fn heard(&mut self, vehicle: &str, id: &str, at: Timestamp, now: Timestamp) {
        let at = at.min(now);
        let in_quiet = now.duration_since(at) < self.quiet;
        let newest = self.spoken.get(vehicle).is_none_or(|last| last.at < at);
        if in_quiet && newest {
            let id = id.to_owned();
            self.spoken
                .insert(vehicle.to_owned(), LastSpoken { id, at });
        }
    }

    /// The session ended or unsubscribed. A later session of the vehicle is not touched.
    pub fn detach(&mut self, vehicle: &str, session: SessionId) {
        if let Some(entry) = self.vehicles.get_mut(vehicle)
            && entry.session == Some(session)
        {
            entry.session = None;
            if entry.waiting.is_empty() {
                self.vehicles.remove(vehicle);
            }
        }
    }

    /// The vehicle has it: it is never sent again. Gives the notification at the first acknowledgement only.
    pub fn acknowledge(&mut self, id: &str) -> Option<Arc<Notification>> {
        let entry = self.entries.get_mut(id)?;
        match std::mem::replace(&mut entry.state, State::Done) {
            State::Waiting {
                notification,
                place,
                ..
            } => {
                self.take_out(&notification.vehicle, place);
                Some(notification)
            }
            State::Done => None,
        }
    }

    /// Some replica recorded the delivery of `id`, perhaps before the notification itself was read here.
    pub fn delivered_elsewhere(&mut self, id: &str, expires_at: Timestamp) {
        if self.acknowledge(id).is_none() {
            self.entries.entry(id.to_owned()).or_insert(Entry {
                state: State::Done,
                expires_at,
            });
        }
    }

    /// Gives up what expired, and forgets ids that expired long ago.
    pub fn expire(&mut self, now: Timestamp) -> Expired {
        let mut found = Expired::default();
        let mut out = Vec::new();
        for (id, entry) in &mut self.entries {
            if entry.expires_at > now {
                continue;
            }
            if let State::Waiting {
                notification,
                place,
                ..
            } = &entry.state
            {
                out.push((notification.vehicle.clone(), *place));
                found.undelivered.push(id.clone());
                entry.state = State::Done;
            }
            if now.duration_since(entry.expires_at) >= self.remember {
                found.forgotten.push(id.clone());
            }
        }
        for (vehicle, place) in out {
            self.take_out(&vehicle, place);
        }
        for id in &found.forgotten {
            self.entries.remove(id);
        }
        let quiet = self.quiet;
        self.spoken
            .retain(|_, last| now.duration_since(last.at) < quiet);
        found
    }

    /// How many unexpired notifications wait to be acknowledged: of these vehicles, or of all when none is
    /// named.
    #[must_use]
    pub fn undelivered(&self, vehicles: &[String], now: Timestamp) -> usize {
        let count = |vehicle: &Vehicle| {
            vehicle
                .waiting
                .values()
                .filter(|id| self.entries.get(*id).is_some_and(|e| e.expires_at > now))
                .count()
        };
        if vehicles.is_empty() {
            self.vehicles.values().map(count).sum()
        } else {
            vehicles
                .iter()
                .filter_map(|v| self.vehicles.get(v))
                .map(count)
                .sum()
        }
    }

    fn take_out(&mut self, vehicle: &str, place: u64) {
        if let Some(entry) = self.vehicles.get_mut(vehicle) {
            entry.waiting.remove(&place);
            if entry.waiting.is_empty() && entry.session.is_none() {
                self.vehicles.remove(vehicle);
            }
        }
    }
}

#[cfg(test)]
mod tests;
