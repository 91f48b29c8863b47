//! The way back to the vehicle: the outbox and the record of deliveries.
//!
//! Each replica reads the whole topic `notifications` and delivers to the sessions that it holds itself.
//! What a vehicle acknowledged is recorded in the compacted topic `notified`, which every replica reads
//! too; so a restart or another replica delivers what is left and nothing else. A crash between the
//! vehicle's acknowledgement and its record delivers once more: the vehicle tells repetitions by the id.

mod sessions;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use millrace_contract::{Notification, topics};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::sessions::Session;
use super::metrics::Metrics;
use super::notified::{Notified, Stage};
use super::outbox::{Offer, Outbox, SessionId};
use crate::connect::Producer;

const AGAIN: Duration = Duration::from_secs(1);

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
    /// The vehicle has another token, and the old one does not work any more.
    Rotated,
    /// The vehicle was revoked.
    Revoked,
}

#[derive(Debug)]
struct State {
    outbox: Outbox,
    sessions: HashMap<String, Session>,
    next_session: SessionId,
    // Ids with a record in `notified`, to be removed there when they are forgotten: when they expire, and
    // the partitions in which their records lie.
    recorded: HashMap<String, (Timestamp, BTreeSet<i32>)>,
}

/// The downlink of this replica.
pub struct Downlink {
    state: Mutex<State>,
    // Tells this process from all others that hold sessions.
    replica: String,
    remember: SignedDuration,
    producer: Producer,
    metrics: Arc<Metrics>,
    // Some vehicle's quiet ends at another moment than before.
    woken: Notify,
    // Records of deliveries are written here: acknowledgements arrive on the MQTT server's own thread.
    runtime: Handle,
}

impl Downlink {
    /// A downlink without sessions.
    #[must_use]
    pub fn new(
        remember_seconds: u32,
        quiet_seconds: u32,
        producer: Producer,
        metrics: Arc<Metrics>,
        runtime: Handle,
    ) -> Self {
        let remember = SignedDuration::from_secs(i64::from(remember_seconds));
        let quiet = SignedDuration::from_secs(i64::from(quiet_seconds));
        let state = State {
            outbox: Outbox::new(remember, quiet),
            sessions: HashMap::new(),
            next_session: 1,
            recorded: HashMap::new(),
        };
        Self {
            state: Mutex::new(state),
            replica: Uuid::new_v4().to_string(),
            remember,
            producer,
            metrics,
            woken: Notify::new(),
            runtime,
        }
    }

    /// The session subscribed to its notifications: all that is undelivered is sent, in its turn.
    pub fn subscribed(&self, vehicle: &str, session: SessionId, now: Timestamp) {
        let mut state = self.lock();
        if state.sessions.get(vehicle).is_some_and(|s| s.id == session) {
            state.outbox.attach(vehicle, session);
            self.send(&mut state, vehicle, now);
        }
    }

    fn send(&self, state: &mut State, vehicle: &str, now: Timestamp) {
        let Some((session, notifications)) = state.outbox.to_send(vehicle, now) else {
            return;
        };
        if let Some(open) = state.sessions.get(vehicle).filter(|s| s.id == session) {
            for notification in notifications {
                self.metrics.sends.inc();
                open.tell(Command::Deliver(notification));
            }
            self.tell_what_was_told(state, vehicle, session, now);
        }
        if state.outbox.next_wake().is_some() {
            self.woken.notify_one();
        }
    }

    /// Sends what waits for quiet as soon as it is over, until `stop` is cancelled.
    pub async fn keep_time(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let pause = self.lock().outbox.next_wake().map(|moment| {
                let left = moment.duration_since(Timestamp::now());
                // No longer than this, as the clock may be set.
                Duration::try_from(left).unwrap_or_default().min(AGAIN)
            });
            let over = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.woken.notified() => {}
                () = over => {}
            }
            let now = Timestamp::now();
            let mut state = self.lock();
            for vehicle in state.outbox.due(now) {
                self.send(&mut state, &vehicle, now);
            }
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
        let vehicle = notification.vehicle.clone();
        let mut state = self.lock();
        match state.outbox.offer(Arc::new(notification), now) {
            Offer::Taken => self.send(&mut state, &vehicle, now),
            Offer::Known | Offer::Expired => {}
        }
    }

    /// Takes a record of the topic `notified`; `None` is a tombstone.
    pub fn apply_notified(&self, id: &str, record: Option<&[u8]>, partition: i32, now: Timestamp) {
        let mut state = self.lock();
        let Some(bytes) = record else {
            if let Some((_, partitions)) = state.recorded.get_mut(id) {
                partitions.remove(&partition);
                if partitions.is_empty() {
                    state.recorded.remove(id);
                }
            }
            return;
        };
        match serde_json::from_slice::<Notified>(bytes) {
            Ok(notified) => {
                let entry = state.recorded.entry(id.to_owned());
                let (expires_at, partitions) = entry.or_default();
                *expires_at = notified.expires_at;
                partitions.insert(partition);
                if notified.state == Stage::Delivered {
                    let outbox = &mut state.outbox;
                    outbox.delivered_elsewhere(id, notified.expires_at);
                    if notified.spoken {
                        outbox.heard(&notified.vehicle, id, notified.at, now);
                    }
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
        let record = Notified::of(&notification, Stage::Delivered, now);
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
            state
                .recorded
                .extract_if(|_, (expires_at, _)| now.duration_since(*expires_at) >= remember)
                .collect::<Vec<_>>()
        };
        for (id, (_, partitions)) in &forgotten {
            for partition in partitions {
                // A tombstone that fails is written by the next restart, which reads the record again.
                let topic = topics::NOTIFIED;
                match self
                    .producer
                    .enqueue(topic, id, &[], None, Some(*partition))
                {
                    Ok(delivery) => {
                        self.runtime.spawn(delivery.acknowledged());
                    }
                    Err(error) => tracing::debug!(%error, "a record of an old notification stays"),
                }
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
