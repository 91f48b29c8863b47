//! The thread that polls, and the tasks that deliver.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::config::BatchConfig;
use super::deliver::{Deliverer, Entry, Turn};
use super::lanes::{Lanes, Ticket, Window};
use crate::connect::{Access, ConnectError, GroupConsumer, GroupEvents, GroupSettings, Member};

const PARTITIONS: &str = "partitions";
const IDLE: Duration = Duration::from_millis(50);
const COMMIT: Duration = Duration::from_millis(500);

/// The longest wait for room without polling: far below what the group allows, and short enough for a rebalance.
const PATIENCE: Duration = Duration::from_millis(500);

/// So many records are taken in per invocation that may be under way: enough to keep all busy although
/// records of one vehicle wait for each other.
const AHEAD: usize = 8;

/// At least so many are taken in, so that a few that fail for long keep nobody waiting.
const LEAST_HELD: usize = 1_024;

/// One key may hold this share of them behind a record that fails while others get through.
const SHARE_BEHIND: usize = 16;

/// Never more than this, unless one batch needs it.
const MOST_HELD: usize = 5_000;

/// Everything a worker needs.
pub struct Worker {
    /// Brings records to the action.
    pub deliverer: Arc<Deliverer>,
    /// Where Kafka is and how to log in.
    pub kafka: Access,
    /// The name that the broker's log shows.
    pub client_id: String,
    /// Runs the deliveries.
    pub runtime: Handle,
    /// Ends the worker.
    pub stop: CancellationToken,
}

struct Shared {
    deliverer: Arc<Deliverer>,
    runtime: Handle,
    lanes: Mutex<Lanes<Entry>>,
    // Told of each record that is finished.
    room: Condvar,
    window: Window,
    // Cancelled when the partitions of the present assignment are given away. Made anew and read with `lanes` locked, so
    // that what is taken out of them never has the token of another assignment.
    gone: Mutex<CancellationToken>,
    // For invocations under way.
    places: Arc<Semaphore>,
    // Batches that are not through, those that wait to be tried again among them.
    open: Mutex<usize>,
}

// The place of one batch.
struct Place {
    shared: Arc<Shared>,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Turn for Place {
    fn finished(&self, ticket: &Ticket) {
        self.shared.finished(ticket);
    }

    fn failed(&self, ticket: &Ticket) {
        lock(&self.shared.lanes).failed(ticket, Instant::now());
    }

    fn leave(&self) {
        lock(&self.permit).take();
        self.shared.pump();
    }

    async fn enter(&self) {
        // It is never closed.
        let permit = Arc::clone(&self.shared.places).acquire_owned().await.ok();
        *lock(&self.permit) = permit;
    }
}

// A record that is put among the dead letters without an invocation needs no place.
struct Aside(Arc<Shared>);

impl Turn for Aside {
    fn finished(&self, ticket: &Ticket) {
        let lanes = &mut lock(&self.0.lanes);
        lanes.crowded_out(ticket);
        self.0.measure(lanes);
    }

    fn failed(&self, _: &Ticket) {}

    fn leave(&self) {}

    async fn enter(&self) {}
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    // Starts whatever is due, as long as there is room.
    fn pump(self: &Arc<Self>) {
        loop {
            let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() else {
                return;
            };
            let (batch, gone) = {
                let mut open = lock(&self.open);
                let mut lanes = lock(&self.lanes);
                let gone = lock(&self.gone).clone();
                if gone.is_cancelled() {
                    return;
                }
                let batch = lanes.take(self.window, Instant::now());
                if batch.is_empty() {
                    return;
                }
                *open += 1;
                (batch, gone)
            };
            let shared = Arc::clone(self);
            self.runtime.spawn(async move {
                let place = Place {
                    shared: Arc::clone(&shared),
                    permit: Mutex::new(Some(permit)),
                };
                let outcome = shared.deliverer.deliver(batch, &gone, &place).await;
                tracing::trace!(?outcome, "a batch ended");
                drop(place);
                *lock(&shared.open) -= 1;
                shared.pump();
            });
        }
    }

    // Takes a record in, or puts it among the dead letters when its key has too many that wait behind a failing one.
    fn offer(self: &Arc<Self>, partition: i32, offset: i64, key: Option<&[u8]>, entry: Entry) {
        let mut lanes = lock(&self.lanes);
        let Some((ticket, entry)) = lanes.offer(partition, offset, key, entry, Instant::now())
        else {
            return;
        };
        let gone = lock(&self.gone).clone();
        drop(lanes);
        let shared = Arc::clone(self);
        self.runtime.spawn(async move {
            let aside = Aside(Arc::clone(&shared));
            // Else the next owner does it.
            let _ = shared
                .deliverer
                .put_aside(&ticket, entry, &gone, &aside)
                .await;
        });
    }

    fn finished(self: &Arc<Self>, ticket: &Ticket) {
        {
            let mut lanes = lock(&self.lanes);
            lanes.finish(ticket, Instant::now());
            self.measure(&lanes);
        }
        self.room.notify_one();
        self.pump();
    }

    // How many records are held: when there are `most`, after a while in which half of them may be finished.
    fn held_after_waiting(&self, most: usize) -> usize {
        let lanes = lock(&self.lanes);
        if lanes.held() < most {
            return lanes.held();
        }
        let waited = self
            .room
            .wait_timeout_while(lanes, PATIENCE, |lanes| lanes.held() > most / 2);
        let (lanes, _) = waited.unwrap_or_else(PoisonError::into_inner);
        lanes.held()
    }

    // How long may be polled before something could be due.
    fn idle(&self) -> Duration {
        if self.places.available_permits() == 0 {
            return IDLE;
        }
        let due = lock(&self.lanes).due_in(self.window, Instant::now());
        due.unwrap_or(IDLE).min(IDLE)
    }

    fn measure(&self, lanes: &Lanes<Entry>) {
        self.deliverer
            .metrics
            .held
            .set(i64::try_from(lanes.held()).unwrap_or(i64::MAX));
    }
}

struct Events {
    shared: Arc<Shared>,
    paused: AtomicBool,
}

impl GroupEvents for Events {
    fn assigned(&self, _: &[i32]) {
        {
            let _lanes = lock(&self.shared.lanes);
            *lock(&self.shared.gone) = CancellationToken::new();
        }
        // The library resumes what it starts anew.
        self.paused.store(false, Ordering::SeqCst);
        self.shared.deliverer.health.ready(PARTITIONS);
    }

    // Invocations under way are waited for, so that the next owner does not repeat them.
    fn revoked(&self, member: &Member<'_>, _: &[i32], lost: bool) {
        let shared = &self.shared;
        shared
            .deliverer
            .health
            .waiting(PARTITIONS, "waiting for the group to assign partitions");
        lock(&shared.gone).cancel();
        let until = Instant::now() + shared.deliverer.config.limits.drain_timeout.0;
        while !lost && *lock(&shared.open) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let next: Vec<(i32, i64)> = lock(&shared.lanes).take_due().into_iter().collect();
        if !lost && let Err(error) = member.commit(&next) {
            tracing::warn!(%error, "the last offsets were not committed; some records are delivered again");
        }
        let mut lanes = lock(&shared.lanes);
        lanes.clear();
        shared.measure(&lanes);
        shared.deliverer.metrics.forget_lag();
    }

    fn commit_failed(&self) {
        lock(&self.shared.lanes).commit_again();
    }

    fn lag(&self, partition: i32, records: i64) {
        self.shared.deliverer.metrics.lag(partition, records);
    }
}

impl Worker {
    /// Runs until it is stopped.
    ///
    /// # Errors
    /// The settings cannot be used, or the consumer is of no use any more.
    pub fn run(self) -> Result<(), ConnectError> {
        while !self.stop.is_cancelled() {
            self.session()?;
        }
        Ok(())
    }

    // One membership, until the worker is stopped or the login has changed.
    fn session(&self) -> Result<(), ConnectError> {
        let generation = self.kafka.generation();
        let config = &self.deliverer.config;
        let BatchConfig {
            maximum_records: records,
            window_milliseconds: window,
        } = config.batch.unwrap_or_default();
        let ahead = AHEAD.max(records.saturating_mul(2));
        let most = (config.max_in_flight.0.saturating_mul(ahead))
            .clamp(LEAST_HELD, MOST_HELD)
            .max(records.saturating_mul(2));
        let shared = Arc::new(Shared {
            deliverer: Arc::clone(&self.deliverer),
            runtime: self.runtime.clone(),
            lanes: Mutex::new(Lanes::new(most / SHARE_BEHIND)),
            room: Condvar::new(),
            window: Window {
                records,
                wait: Duration::from_millis(window),
            },
            gone: Mutex::new(CancellationToken::new()),
            places: Arc::new(Semaphore::new(config.max_in_flight.0)),
            open: Mutex::new(0),
        });
        let settings = GroupSettings {
            access: self.kafka.clone(),
            client_id: self.client_id.clone(),
            group: config.group.clone(),
            topic: config.topic.clone(),
            session_timeout: config.limits.session_timeout.0,
            hold: false,
            since: config.since,
            tell_end: false,
        };
        self.deliverer
            .health
            .waiting(PARTITIONS, "waiting for the group to assign partitions");
        let events = Events {
            shared: Arc::clone(&shared),
            paused: AtomicBool::new(false),
        };
        let consumer = GroupConsumer::join(&settings, events)?;
        let mut committed = Instant::now();
        while !self.stop.is_cancelled() && self.kafka.generation() == generation {
            self.hold_back(&consumer, &shared, most);
            match consumer.poll(shared.idle()) {
                Ok(Some(record)) => {
                    let record = record.to_record();
                    let (partition, offset) = (record.partition, record.offset);
                    let key = record.key.clone();
                    match self.deliverer.take_in(record) {
                        Some(entry) => shared.offer(partition, offset, key.as_deref(), entry),
                        None => lock(&shared.lanes).pass_over(partition, offset),
                    }
                }
                Ok(None) => {}
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => tracing::warn!(%error, "reading"),
            }
            shared.pump();
            if committed.elapsed() >= COMMIT {
                committed = Instant::now();
                let next: Vec<(i32, i64)> = lock(&shared.lanes).take_due().into_iter().collect();
                if let Err(error) = consumer.commit(&next) {
                    tracing::warn!(%error, "offsets were not committed; they will be tried again");
                    lock(&shared.lanes).commit_again();
                }
            }
        }
        // Leaving the group waits for what is under way and commits it.
        drop(consumer);
        Ok(())
    }

    // Polling must go on, or the group takes the member for dead; so what cannot be taken in is paused. But only
    // when nothing moves: the library throws away what it has fetched, and fetches again up to a second later.
    fn hold_back(&self, consumer: &GroupConsumer<Events>, shared: &Shared, most: usize) {
        let paused = &consumer.events().paused;
        let pause = if paused.load(Ordering::SeqCst) {
            if lock(&shared.lanes).held() > most / 2 {
                return;
            }
            false
        } else {
            if shared.held_after_waiting(most) < most {
                return;
            }
            true
        };
        match consumer.pause(pause) {
            Ok(()) => paused.store(pause, Ordering::SeqCst),
            Err(error) => tracing::warn!(%error, pause, "reading cannot be paused or resumed"),
        }
    }
}
