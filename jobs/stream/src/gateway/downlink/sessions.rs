//! Sessions of vehicles: one each, whichever replica holds it.

use std::sync::Arc;

use jiff::Timestamp;
use millrace_contract::topics;
use tokio::sync::mpsc;

use super::{AGAIN, Command, Cut, Downlink, State};
use crate::connect::{ConnectError, Delivery};
use crate::gateway::credential::Hash;
use crate::gateway::credentials::{Credentials, Standing};
use crate::gateway::outbox::SessionId;
use crate::gateway::vehicle_session::{Held, Meaning, SessionEvent, VehicleSession};

/// A session that is held here.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    // Stands for the token with which the vehicle came in.
    token: Hash,
    // Whether its own record was read in the topic of sessions.
    read_back: bool,
    commands: mpsc::UnboundedSender<Command>,
}

impl Session {
    /// Tells its connection; one that is gone hears nothing.
    pub(super) fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

impl Downlink {
    /// Opens a session; an older one of the same vehicle is closed, here and, as soon as they read of this
    /// one, on all other replicas.
    pub fn open(
        self: &Arc<Self>,
        vehicle: &str,
        token: Hash,
    ) -> (SessionId, mpsc::UnboundedReceiver<Command>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let mut state = self.lock();
        let id = state.next_session;
        state.next_session += 1;
        let session = Session {
            id,
            token,
            read_back: false,
            commands,
        };
        match state.sessions.insert(vehicle.to_owned(), session) {
            Some(old) => {
                self.metrics.sessions_taken_over.inc();
                old.tell(Command::Close(Cut::TakenOver));
                state.outbox.detach(vehicle, old.id);
            }
            None => {
                self.metrics.sessions.inc();
            }
        }
        let record = self.record_of(&state, vehicle, id, SessionEvent::Opened, Timestamp::now());
        let first = self.write_session(vehicle, Some(&record.encode()));
        let announced = Arc::clone(self).announce(vehicle.to_owned(), record, first);
        self.runtime.spawn(announced);
        (id, receiver)
    }

    // As long as the session is held: unannounced, it would outlive newer ones elsewhere.
    async fn announce(
        self: Arc<Self>,
        vehicle: String,
        record: VehicleSession,
        first: Result<Delivery, ConnectError>,
    ) {
        let mut sent = first;
        loop {
            let error = match sent {
                Ok(delivery) => match delivery.acknowledged().await {
                    Ok(_) => return,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            tracing::debug!(vehicle, %error, "the other replicas do not know of a session yet");
            tokio::time::sleep(AGAIN).await;
            let held = |state: &State| {
                let session = state.sessions.get(&vehicle);
                session.is_some_and(|s| s.id == record.session)
            };
            if !held(&self.lock()) {
                return;
            }
            sent = self.write_session(&vehicle, Some(&record.encode()));
        }
    }

    /// The session's connection is gone.
    pub fn closed(&self, vehicle: &str, session: SessionId) {
        let mut state = self.lock();
        state.outbox.detach(vehicle, session);
        if state.sessions.get(vehicle).is_some_and(|s| s.id == session) {
            state.sessions.remove(vehicle);
            self.metrics.sessions.dec();
        }
    }

    /// Closes the vehicle's session when its token does not work any more.
    pub fn look_at(&self, vehicle: &str, credentials: &Credentials, now: Timestamp) {
        let mut state = self.lock();
        let Some(session) = state.sessions.get(vehicle) else {
            return;
        };
        match credentials.standing(vehicle, &session.token, now) {
            Standing::Good => {}
            Standing::Replaced => self.cut(&mut state, vehicle, Cut::Rotated),
            Standing::Revoked => self.cut(&mut state, vehicle, Cut::Revoked),
        }
    }

    /// Takes a record of the topic `vehicle-sessions`; `None` is a tombstone.
    pub fn apply_session(&self, vehicle: &str, record: Option<&[u8]>, now: Timestamp) {
        let Some(bytes) = record else {
            return;
        };
        let record: VehicleSession = match serde_json::from_slice(bytes) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(vehicle, %error, "unreadable record in topic vehicle-sessions; it is ignored");
                return;
            }
        };
        let mut state = self.lock();
        if let Some(told) = &record.told
            && record.replica != self.replica
        {
            state.outbox.heard(vehicle, &told.id, told.at, now);
        }
        let Some(session) = state.sessions.get_mut(vehicle) else {
            return;
        };
        let held = Held {
            session: session.id,
            read_back: session.read_back,
        };
        match record.meaning(&self.replica, held) {
            Meaning::Own => session.read_back = true,
            Meaning::Newer => {
                self.metrics.sessions_taken_over.inc();
                self.cut(&mut state, vehicle, Cut::TakenOver);
            }
            Meaning::Nothing => {}
        }
    }

    /// Removes what the topic `vehicle-sessions` holds of a vehicle that is enrolled no more.
    pub fn forget_session(&self, vehicle: &str) {
        self.write_once(vehicle, None);
    }

    // So that another replica, or this one after a restart, keeps the quiet that began with it.
    pub(super) fn tell_what_was_told(
        &self,
        state: &State,
        vehicle: &str,
        session: SessionId,
        now: Timestamp,
    ) {
        if state
            .outbox
            .told(vehicle)
            .is_some_and(|told| told.at == now)
        {
            let record = self.record_of(state, vehicle, session, SessionEvent::Told, now);
            self.write_once(vehicle, Some(&record.encode()));
        }
    }

    fn record_of(
        &self,
        state: &State,
        vehicle: &str,
        session: SessionId,
        event: SessionEvent,
        now: Timestamp,
    ) -> VehicleSession {
        VehicleSession {
            replica: self.replica.clone(),
            session,
            event,
            at: now,
            told: state.outbox.told(vehicle).cloned(),
        }
    }

    // Called while the state is locked, so that records lie in the order of what they tell.
    fn write_session(&self, vehicle: &str, value: Option<&[u8]>) -> Result<Delivery, ConnectError> {
        let topic = topics::VEHICLE_SESSIONS;
        self.producer.enqueue(topic, vehicle, &[], value, None)
    }

    fn write_once(&self, vehicle: &str, value: Option<&[u8]>) {
        match self.write_session(vehicle, value) {
            Ok(delivery) => {
                self.runtime.spawn(async move {
                    if let Err(error) = delivery.acknowledged().await {
                        tracing::debug!(%error, "a record of a session is not written");
                    }
                });
            }
            Err(error) => tracing::debug!(%error, "a record of a session is not written"),
        }
    }

    fn cut(&self, state: &mut State, vehicle: &str, cut: Cut) {
        if let Some(session) = state.sessions.remove(vehicle) {
            self.metrics.sessions.dec();
            state.outbox.detach(vehicle, session.id);
            session.tell(Command::Close(cut));
        }
    }
}
