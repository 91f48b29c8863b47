//! The way back to the vehicle: sessions, the outbox and the record of deliveries.
//!
//! Each replica reads the whole topic `notifications` and delivers to the sessions that it holds itself.
//! What a vehicle acknowledged is recorded in the compacted topic `notified`, which every replica reads
//! too; so a restart or another replica delivers what is left and nothing else. A crash between the
//! vehicle's acknowledgement and its record delivers once more: the vehicle tells repetitions by the id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use millrace_contract::{Notification, topics};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::metrics::Metrics;
use super::outbox::{Offer, Outbox, SessionId};
use crate::connect::Producer;

const AGAIN: Duration = Duration::from_secs(1);

/// What became of a notification: a record of the topic `notified`, keyed by alert id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// How far it came.
    pub state: Stage,
    /// When it came that far.
    pub at: Timestamp,
    /// The vehicle.
    pub vehicle: String,
    /// After this it is not delivered any more.
    pub expires_at: Timestamp,
}

/// How far a notification came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It lies in the topic `notifications`.
    Accepted,
    /// The vehicle acknowledged it.
    Delivered,
}

/// What a session's connection is told.
#[derive(Debug)]
pub enum Command {
    /// Send this to the vehicle.
    Deliver(Arc<Notification>),
    /// Close the connection.
    Close(Cut),
}

/// Why a session is closed from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// A newer connection of the same vehicle.
    TakenOver,
    /// The vehicle's token was rotated or revoked.
    Revoked,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    commands: mpsc::UnboundedSender<Command>,
}

#[derive(Debug)]
struct State {
    outbox: Outbox,
    sessions: HashMap<String, Session>,
    next_session: SessionId,
    // Ids with a record in `notified`, to be removed there when they are forgotten.
    recorded: HashMap<String, Timestamp>,
}

/// The downlink of this replica.
pub struct Downlink {
    state: Mutex<State>,
    remember: SignedDuration,
    producer: Producer,
    metrics: Arc<Metrics>,
    // Records of deliveries are written here: acknowledgements arrive on the MQTT server's own thread.
    runtime: Handle,
}

impl Downlink {
    /// A downlink without sessions.
    #[must_use]
    pub fn new(
        remember_seconds: u32,
        producer: Producer,
        metrics: Arc<Metrics>,
        runtime: Handle,
    ) -> Self {
        let remember = SignedDuration::from_secs(i64::from(remember_seconds));
        let state = State {
            outbox: Outbox::new(remember),
            sessions: HashMap::new(),
            next_session: 1,
            recorded: HashMap::new(),
        };
        Self {
            state: Mutex::new(state),
            remember,
            producer,
            metrics,
            runtime,
        }
    }

    /// Opens a session; an older one of the same vehicle is closed.
    pub fn open(&self, vehicle: &str) -> (SessionId, mpsc::UnboundedReceiver<Command>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let mut state = self.lock();
        let id = state.next_session;
        state.next_session += 1;
        match state
            .sessions
            .insert(vehicle.to_owned(), Session { id, commands })
        {
            Some(old) => {
                let _ = old.commands.send(Command::Close(Cut::TakenOver));
                state.outbox.detach(vehicle, old.id);
            }
            None => {
                self.metrics.sessions.inc();
            }
        }
        (id, receiver)
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

    /// The vehicle may no longer be connected.
    pub fn cut(&self, vehicle: &str) {
        let mut state = self.lock();
        if let Some(session) = state.sessions.remove(vehicle) {
            self.metrics.sessions.dec();
            state.outbox.detach(vehicle, session.id);
            let _ = session.commands.send(Command::Close(Cut::Revoked));
        }
    }

    /// The session subscribed to its notifications: all that is undelivered is sent.
    pub fn subscribed(&self, vehicle: &str, session: SessionId, now: Timestamp) {
        let mut state = self.lock();
        let Some(commands) = state
            .sessions
            .get(vehicle)
            .filter(|s| s.id == session)
            .map(|s| s.commands.clone())
        else {
            return;
        };
        for notification in state.outbox.attach(vehicle, session, now) {
            self.metrics.sends.inc();
            let _ = commands.send(Command::Deliver(notification));
        }
    }

    /// The session unsubscribed.
    pub fn unsubscribed(&self, vehicle: &str, session: SessionId) {
        self.lock().outbox.detach(vehicle, session);
    }

    /// Whether a notification of this id was accepted before.
    pub fn knows(&self, id: &str) -> bool {
        self.lock().outbox.knows(id)
    }

    /// Takes a notification that lies in Kafka and sends it when its vehicle is connected here.
    pub fn offer(&self, notification: Notification, now: Timestamp) {
        let notification = Arc::new(notification);
        let mut state = self.lock();
        match state.outbox.offer(Arc::clone(&notification), now) {
            Offer::Send(session) => {
                self.metrics.sends.inc();
                if let Some(open) = state
                    .sessions
                    .get(&notification.vehicle)
                    .filter(|s| s.id == session)
                {
                    let _ = open.commands.send(Command::Deliver(notification));
                }
            }
            Offer::Known | Offer::Expired | Offer::Queued => {}
        }
    }

    /// Takes a record of the topic `notified`; `None` is a tombstone.
    pub fn apply_notified(&self, id: &str, record: Option<&[u8]>) {
        let mut state = self.lock();
        let Some(bytes) = record else {
            state.recorded.remove(id);
            return;
        };
        match serde_json::from_slice::<Notified>(bytes) {
            Ok(notified) => {
                state.recorded.insert(id.to_owned(), notified.expires_at);
                if notified.state == Stage::Delivered {
                    state.outbox.delivered_elsewhere(id, notified.expires_at);
                }
            }
            Err(error) => {
                tracing::error!(id, %error, "unreadable record in topic notified; it is ignored")
            }
        }
    }

    /// The vehicle acknowledged the notification: it is recorded, however long Kafka takes.
    pub fn delivered(self: &Arc<Self>, id: &str) {
        let Some(notification) = self.lock().outbox.acknowledge(id) else {
            return;
        };
        let now = Timestamp::now();
        self.metrics.deliveries.inc();
        self.metrics
            .event_to_delivery
            .observe(now.duration_since(notification.event_time).as_secs_f64());
        let record = Notified {
            state: Stage::Delivered,
            at: now,
            vehicle: notification.vehicle.clone(),
            expires_at: notification.expires_at,
        };
        let downlink = Arc::clone(self);
        let id = id.to_owned();
        self.runtime
            .spawn(async move { downlink.record(&id, &record).await });
    }

    // Until it is written or nobody would deliver it any more.
    async fn record(&self, id: &str, record: &Notified) {
        loop {
            match self.write_notified(id, record).await {
                Ok(()) => return,
                Err(error) if Timestamp::now() < record.expires_at => {
                    tracing::warn!(id, %error, "the delivery is not recorded yet");
                }
                Err(error) => {
                    tracing::warn!(id, %error, "the delivery was not recorded before the notification expired");
                    return;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Writes one record of the topic `notified`.
    ///
    /// # Errors
    /// When Kafka does not acknowledge it.
    pub async fn write_notified(&self, id: &str, record: &Notified) -> Result<(), String> {
        let bytes = serde_json::to_vec(record).map_err(|e| e.to_string())?;
        self.producer
            .send(topics::NOTIFIED, id, &[], &bytes, None)
            .await
            .map_err(|e| e.to_string())?;
        Ok(())
    }

    /// Gives up what expired and removes the records of ids that expired long ago.
    pub fn expire(&self, now: Timestamp) {
        let forgotten = {
            let mut state = self.lock();
            let expired = state.outbox.expire(now);
            self.metrics
                .expired
                .inc_by(expired.undelivered.len() as u64);
            for id in &expired.undelivered {
                tracing::info!(id, "expired undelivered");
            }
            let remember = self.remember;
            let (gone, kept) = std::mem::take(&mut state.recorded)
                .into_iter()
                .partition(|(_, expires_at)| now.duration_since(*expires_at) >= remember);
            state.recorded = kept;
            let gone: HashMap<String, Timestamp> = gone;
            gone
        };
        for id in forgotten.keys() {
            // A tombstone that fails is written by the next restart, which reads the record again.
            match self.producer.enqueue(topics::NOTIFIED, id, &[], None, None) {
                Ok(delivery) => {
                    self.runtime.spawn(delivery.acknowledged());
                }
                Err(error) => tracing::debug!(%error, "a record of an old notification stays"),
            }
        }
    }

    /// How many unexpired notifications wait for an acknowledgement: of these vehicles, or of all.
    pub fn undelivered(&self, vehicles: &[String], now: Timestamp) -> usize {
        self.lock().outbox.undelivered(vehicles, now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
