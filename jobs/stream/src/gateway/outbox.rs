//! Which notifications a vehicle has still to receive. Pure: no clock, no network.
//!
//! Every notification is sent once per session until the vehicle acknowledges it or it expires; a new
//! session gets again what the old one did not acknowledge. Ids are remembered for a while after that, so
//! that a repetition of an id is known as one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use millrace_contract::Notification;

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
    /// It waits for the vehicle to subscribe.
    Queued,
    /// It is to be sent now in this session.
    Send(SessionId),
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
    next_place: u64,
    remember: SignedDuration,
}

impl Outbox {
    /// An empty outbox that remembers ids for `remember` after their expiry.
    #[must_use]
    pub fn new(remember: SignedDuration) -> Self {
        Self {
            entries: HashMap::new(),
            vehicles: HashMap::new(),
            next_place: 0,
            remember,
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
        let sent_in = vehicle.session;
        self.entries.insert(
            id,
            Entry {
                state: State::Waiting {
                    notification,
                    place,
                    sent_in,
                },
                expires_at,
            },
        );
        sent_in.map_or(Offer::Queued, Offer::Send)
    }

    /// The vehicle subscribed in this session: what is to be sent to it now, in order of arrival.
    pub fn attach(
        &mut self,
        vehicle: &str,
        session: SessionId,
        now: Timestamp,
    ) -> Vec<Arc<Notification>> {
        let entry = self.vehicles.entry(vehicle.to_owned()).or_default();
        entry.session = Some(session);
        let mut to_send = Vec::new();
        for id in entry.waiting.values() {
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
            if *sent_in != Some(session) && *expires_at > now {
                *sent_in = Some(session);
                to_send.push(Arc::clone(notification));
            }
        }
        to_send
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn notification(id: &str, vehicle: &str, expires: i64) -> Arc<Notification> {
        Arc::new(Notification {
            id: id.to_owned(),
            vehicle: vehicle.to_owned(),
            rule: "overheating".to_owned(),
            severity: millrace_contract::Severity::Warning,
            episode: "e".to_owned(),
            event_time: at(0),
            detected_at: at(0),
            language: "en".to_owned(),
            text: "text".to_owned(),
            ssml: "<speak>text</speak>".to_owned(),
            expires_at: at(expires),
        })
    }

    fn outbox() -> Outbox {
        Outbox::new(SignedDuration::from_secs(50))
    }

    fn ids(sent: &[Arc<Notification>]) -> Vec<&str> {
        sent.iter().map(|n| n.id.as_str()).collect()
    }

    #[test]
    fn once_per_session_until_acknowledged() {
        let mut outbox = outbox();
        assert_eq!(
            outbox.offer(notification("a", "car", 100), at(0)),
            Offer::Queued
        );
        assert_eq!(
            outbox.offer(notification("a", "car", 100), at(0)),
            Offer::Known
        );
        assert_eq!(ids(&outbox.attach("car", 1, at(1))), ["a"]);
        assert!(
            outbox.attach("car", 1, at(1)).is_empty(),
            "subscribed twice in one session"
        );
        assert_eq!(
            outbox.offer(notification("b", "car", 100), at(2)),
            Offer::Send(1)
        );
        assert_eq!(
            ids(&outbox.attach("car", 2, at(3))),
            ["a", "b"],
            "in order, to the new session"
        );
        outbox.detach("car", 1);
        assert_eq!(
            outbox.offer(notification("c", "car", 100), at(4)),
            Offer::Send(2),
            "the old one's end is late"
        );
        assert!(outbox.acknowledge("a").is_some());
        assert!(outbox.acknowledge("a").is_none());
        assert_eq!(ids(&outbox.attach("car", 3, at(5))), ["b", "c"]);
        assert_eq!(outbox.undelivered(&[], at(5)), 2);
        assert_eq!(outbox.undelivered(&["other".to_owned()], at(5)), 0);
        assert_eq!(
            outbox.undelivered(&["car".to_owned()], at(100)),
            0,
            "expired ones are not waited for"
        );
    }

    #[test]
    fn a_delivery_read_before_its_notification_counts() {
        let mut outbox = outbox();
        outbox.delivered_elsewhere("a", at(100));
        assert_eq!(
            outbox.offer(notification("a", "car", 100), at(1)),
            Offer::Known
        );
        assert!(outbox.attach("car", 1, at(2)).is_empty());
    }

    #[test]
    fn expiry_and_memory() {
        let mut outbox = outbox();
        outbox.offer(notification("a", "car", 10), at(0));
        assert_eq!(
            outbox.offer(notification("late", "car", 10), at(10)),
            Offer::Expired
        );
        let found = outbox.expire(at(10));
        assert_eq!(found.undelivered, ["a"]);
        assert!(found.forgotten.is_empty());
        assert!(outbox.attach("car", 1, at(11)).is_empty());
        assert_eq!(
            outbox.offer(notification("a", "car", 90), at(59)),
            Offer::Known
        );
        let mut forgotten = outbox.expire(at(60)).forgotten;
        forgotten.sort();
        assert_eq!(forgotten, ["a", "late"]);
        assert!(!outbox.knows("a"));
        outbox.detach("car", 1);
        assert!(
            outbox.vehicles.is_empty(),
            "nothing is kept for a vehicle without session and mail"
        );
    }

    #[derive(Debug, Clone)]
    enum Step {
        Offer { id: u8, ttl: i64 },
        NewSession,
        Detach,
        Acknowledge { which: usize },
        Elsewhere { id: u8 },
        Pass { seconds: i64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..12_u8, 1..40_i64).prop_map(|(id, ttl)| Step::Offer { id, ttl }),
            2 => Just(Step::NewSession),
            1 => Just(Step::Detach),
            4 => (0..8_usize).prop_map(|which| Step::Acknowledge { which }),
            1 => (0..12_u8).prop_map(|id| Step::Elsewhere { id }),
            2 => (1..15_i64).prop_map(|seconds| Step::Pass { seconds }),
        ]
    }

    proptest! {
        // Against a model: a set of what is done, and what is on the way in the present session.
        #[test]
        fn every_id_until_acknowledged_and_never_after(steps in proptest::collection::vec(step(), 1..120)) {
            let mut outbox = Outbox::new(SignedDuration::from_secs(1_000_000));
            let (mut now, mut session, mut attached) = (0_i64, 0_u64, false);
            let mut expires: HashMap<String, i64> = HashMap::new();
            let mut done: HashSet<String> = HashSet::new();
            let mut on_the_way: Vec<String> = Vec::new();
            for step in steps {
                match step {
                    Step::Offer { id, ttl } => {
                        let id = format!("n{id}");
                        let known = expires.contains_key(&id) || done.contains(&id);
                        match outbox.offer(notification(&id, "car", now + ttl), at(now)) {
                            Offer::Known => prop_assert!(known),
                            Offer::Expired => prop_assert!(false, "ttl is positive"),
                            Offer::Queued => { prop_assert!(!known && !attached); }
                            Offer::Send(s) => {
                                prop_assert!(!known && attached);
                                prop_assert_eq!(s, session);
                                on_the_way.push(id.clone());
                            }
                        }
                        if !known { expires.insert(id, now + ttl); }
                    }
                    Step::NewSession => {
                        session += 1;
                        attached = true;
                        on_the_way = outbox.attach("car", session, at(now)).iter().map(|n| n.id.clone()).collect();
                        let got: HashSet<&String> = on_the_way.iter().collect();
                        prop_assert_eq!(got.len(), on_the_way.len());
                        let due: HashSet<&String> = expires.iter()
                            .filter(|(id, end)| **end > now && !done.contains(*id)).map(|(id, _)| id).collect();
                        prop_assert_eq!(got, due, "all that is due and nothing else");
                    }
                    Step::Detach => { outbox.detach("car", session); attached = false; }
                    Step::Acknowledge { which } => {
                        if let Some(id) = on_the_way.get(which).cloned() {
                            let first = outbox.acknowledge(&id).is_some();
                            let expired = expires[&id] <= now;
                            prop_assert!(expired || first != done.contains(&id));
                            done.insert(id);
                        }
                    }
                    Step::Elsewhere { id } => {
                        let id = format!("n{id}");
                        outbox.delivered_elsewhere(&id, at(now + 40));
                        done.insert(id);
                    }
                    Step::Pass { seconds } => { now += seconds; outbox.expire(at(now)); }
                }
                let due = expires.iter().filter(|(id, end)| **end > now && !done.contains(*id)).count();
                prop_assert_eq!(outbox.undelivered(&[], at(now)), due);
            }
        }
    }
}
