//! The thread that polls: joins the group, starts partitions where their commits end, hands records over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use millrace_lake::Storage;
use millrace_lake::layout::Source;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::budget::Ahead;
use super::chunk::{Chunk, Chunks};
use super::partition::{MARKS, Order, Partition, Shared};
use crate::connect::{
    Access, Batches, ConnectError, GroupConsumer, GroupEvents, GroupSettings, Incoming, Member,
};

const PARTITIONS: &str = "partitions";
const IDLE: Duration = Duration::from_millis(50);
/// So long a chunk may wait to become full.
const LINGER: Duration = Duration::from_millis(200);
const SHOW: Duration = Duration::from_secs(2);
/// The longest wait for room without polling: far below what the group allows, and short enough for a rebalance.
const PATIENCE: Duration = Duration::from_millis(500);

/// Everything a worker needs.
pub struct Worker<S: Storage + 'static> {
    /// What the partitions share.
    pub shared: Arc<Shared<S>>,
    /// How much is read ahead.
    pub ahead: Arc<Ahead>,
    /// Where Kafka is and how to log in.
    pub kafka: Access,
    /// The name that the broker's log shows.
    pub client_id: String,
    /// Runs the partitions.
    pub runtime: Handle,
    /// Ends the worker.
    pub stop: CancellationToken,
}

struct Task {
    orders: UnboundedSender<Order>,
    done: JoinHandle<()>,
}

// What is read of a partition now.
struct Reading {
    generation: u64,
    next: i64,
    chunk: Chunk,
    since: Instant,
}

#[derive(Default)]
struct State {
    tasks: BTreeMap<i32, Task>,
    reading: BTreeMap<i32, Reading>,
    behind: BTreeMap<i32, i64>,
}

struct Events<S: Storage + 'static> {
    shared: Arc<Shared<S>>,
    chunks: Arc<Chunks>,
    runtime: Handle,
    state: Mutex<State>,
    paused: AtomicBool,
}

impl<S: Storage + 'static> Events<S> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Hands over what was read of a partition.
    fn send(&self, task: Option<&Task>, reading: &mut Reading) {
        let Some(task) = task.filter(|_| !reading.chunk.is_empty()) else {
            return;
        };
        let empty = self.chunks.begin(reading.generation);
        let chunk = std::mem::replace(&mut reading.chunk, empty);
        // A task that has ended wants nothing more; what it had not committed is read again.
        let _ = task.orders.send(Order::Chunk(chunk));
    }

    fn take<'r>(&self, records: impl Iterator<Item = Incoming<'r>>) {
        let mut state = self.lock();
        let State { tasks, reading, .. } = &mut *state;
        for record in records {
            let (partition, offset) = (record.partition(), record.offset());
            let Some(reading) = reading.get_mut(&partition) else {
                continue;
            };
            // The partition looks at the offset that a chunk begins with, not at those inside of it.
            if !(0..=MARKS).contains(&(offset - reading.next)) {
                self.send(tasks.get(&partition), reading);
            }
            if reading.chunk.is_empty() {
                reading.since = Instant::now();
            }
            reading.chunk.push(&record, self.shared.plan.shape);
            reading.next = offset + 1;
            if reading.chunk.is_full() {
                self.send(tasks.get(&partition), reading);
            }
        }
    }

    fn send_waiting(&self) {
        let mut state = self.lock();
        let State { tasks, reading, .. } = &mut *state;
        for (partition, reading) in reading {
            if reading.since.elapsed() >= LINGER {
                self.send(tasks.get(partition), reading);
            }
        }
    }

    // The partitions' last commits, as far as there is time for them; what is not committed the next owner reads again.
    fn finish(&self, lost: bool) {
        let tasks = {
            let mut state = self.lock();
            let State { tasks, reading, .. } = &mut *state;
            for (partition, reading) in reading.iter_mut() {
                self.send(tasks.get(partition), reading);
            }
            reading.clear();
            state.behind.clear();
            std::mem::take(&mut state.tasks)
        };
        let until = Instant::now() + self.shared.config.drain_timeout.0;
        for task in tasks.values() {
            let _ = task.orders.send(Order::Finish);
        }
        while !lost && Instant::now() < until && tasks.values().any(|task| !task.done.is_finished())
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        for (partition, task) in tasks {
            if !task.done.is_finished() {
                tracing::warn!(
                    partition,
                    lost,
                    "given away before its last commit; the next owner reads that again"
                );
                task.done.abort();
            }
        }
    }
}

impl<S: Storage + 'static> GroupEvents for Events<S> {
    fn assigned(&self, partitions: &[i32]) {
        // The library resumes what it starts anew.
        self.paused.store(false, Ordering::SeqCst);
        let mut state = self.lock();
        for partition in partitions {
            let (orders, receiver) = unbounded_channel();
            let task = Partition {
                shared: Arc::clone(&self.shared),
                source: Source::new(&self.shared.config.topic, *partition),
                orders: receiver,
            };
            let done = self.runtime.spawn(task.run());
            state.tasks.insert(*partition, Task { orders, done });
        }
        let health = &self.shared.health;
        if partitions.is_empty() {
            health.waiting(
                PARTITIONS,
                "the group has more members than the topic has partitions",
            );
        } else {
            health.ready(PARTITIONS);
        }
    }

    fn revoked(&self, member: &Member<'_>, _: &[i32], lost: bool) {
        self.shared
            .health
            .waiting(PARTITIONS, "waiting for the group to assign partitions");
        self.finish(lost);
        if !lost && let Err(error) = member.commit(&self.shared.positions.ends()) {
            tracing::debug!(%error, "the group's offsets are not up to date");
        }
        self.shared.positions.clear();
        self.shared.metrics.forget();
    }

    fn lag(&self, partition: i32, records: i64) {
        let mut state = self.lock();
        state.behind.insert(partition, records);
    }
}

impl<S: Storage + 'static> Worker<S> {
    /// Runs until it is stopped.
    ///
    /// # Errors
    /// A consumer that is of no use any more.
    pub fn run(self) -> Result<(), ConnectError> {
        while !self.stop.is_cancelled() {
            self.session()?;
        }
        Ok(())
    }

    fn join(&self) -> Result<GroupConsumer<Events<S>>, ConnectError> {
        let config = &self.shared.config;
        self.shared
            .health
            .waiting(PARTITIONS, "waiting for the group to assign partitions");
        let settings = GroupSettings {
            access: self.kafka.clone(),
            client_id: self.client_id.clone(),
            group: config.group.clone(),
            topic: config.topic.clone(),
            session_timeout: config.session_timeout.0,
            hold: true,
            since: None,
            tell_end: false,
        };
        let events = Events {
            shared: Arc::clone(&self.shared),
            chunks: Chunks::new(Arc::clone(&self.ahead)),
            runtime: self.runtime.clone(),
            state: Mutex::default(),
            paused: AtomicBool::new(false),
        };
        GroupConsumer::join(&settings, events)
    }

    // Until it is stopped or the login has changed.
    fn session(&self) -> Result<(), ConnectError> {
        let generation = self.kafka.generation();
        let consumer = self.join()?;
        let mut batches = consumer.batches()?;
        let mut shown = Instant::now();
        while !self.stop.is_cancelled() && self.kafka.generation() == generation {
            if let Some(wanted) = self.shared.positions.changes() {
                self.start(&consumer, &mut batches, &wanted)?;
            }
            self.hold_back(&consumer);
            match batches.poll(IDLE) {
                Ok(mut batch) => {
                    consumer.events().take(batch.records());
                    if let Some(error) = batch.error() {
                        self.failed(error)?;
                    }
                }
                Err(error) => self.failed(error)?,
            }
            consumer.events().send_waiting();
            if shown.elapsed() >= SHOW {
                shown = Instant::now();
                self.show(&consumer);
            }
        }
        // Leaving the group commits what there is, by `revoked`.
        drop(batches);
        drop(consumer);
        Ok(())
    }

    fn failed(&self, error: ConnectError) -> Result<(), ConnectError> {
        if error.is_fatal() {
            return Err(error);
        }
        tracing::warn!(%error, topic = self.shared.config.topic, "reading");
        Ok(())
    }

    // Reads what is wanted, from where it is wanted; what was read all the time goes on where it is.
    fn start(
        &self,
        consumer: &GroupConsumer<Events<S>>,
        batches: &mut Batches<'_, Events<S>>,
        wanted: &BTreeMap<i32, super::positions::Wanted>,
    ) -> Result<(), ConnectError> {
        let mut positions = Vec::new();
        {
            let mut state = consumer.events().lock();
            let owned: BTreeSet<i32> = state.tasks.keys().copied().collect();
            state.reading.retain(|partition, reading| {
                wanted
                    .get(partition)
                    .is_some_and(|w| w.start.is_some() && w.generation == reading.generation)
            });
            for (partition, wanted) in wanted {
                let Some(start) = wanted.start.filter(|_| owned.contains(partition)) else {
                    continue;
                };
                let reading = state.reading.entry(*partition).or_insert_with(|| Reading {
                    generation: wanted.generation,
                    next: start,
                    chunk: consumer.events().chunks.begin(wanted.generation),
                    since: Instant::now(),
                });
                positions.push((*partition, Some(reading.next)));
            }
        }
        tracing::debug!(?positions, "reading from here on");
        consumer.events().paused.store(false, Ordering::SeqCst);
        batches.start(&positions)
    }

    // Polling must go on, or the group takes the member for dead; so what cannot be taken in is paused. But only when
    // nothing moves: the library throws away what it has fetched.
    fn hold_back(&self, consumer: &GroupConsumer<Events<S>>) {
        let paused = &consumer.events().paused;
        let pause = if paused.load(Ordering::SeqCst) {
            if !self.ahead.is_half_empty() {
                return;
            }
            false
        } else {
            if self.ahead.has_room(PATIENCE) {
                return;
            }
            true
        };
        match consumer.pause(pause) {
            Ok(()) => {
                tracing::debug!(pause, "reading");
                paused.store(pause, Ordering::SeqCst);
            }
            Err(error) => tracing::warn!(%error, pause, "reading cannot be paused or resumed"),
        }
    }

    // The group's offsets are for those who look at the group; nothing starts from them.
    fn show(&self, consumer: &GroupConsumer<Events<S>>) {
        let ends: BTreeMap<i32, i64> = self.shared.positions.ends().into_iter().collect();
        let next: Vec<(i32, i64)> = ends
            .iter()
            .map(|(partition, end)| (*partition, *end))
            .collect();
        if let Err(error) = consumer.commit(&next) {
            tracing::debug!(%error, "the group's offsets are not up to date");
        }
        let state = consumer.events().lock();
        for (partition, reading) in &state.reading {
            let ahead = ends.get(partition).map_or(0, |end| reading.next - end);
            let behind = state.behind.get(partition).copied().unwrap_or(0);
            self.shared.metrics.lag(*partition, ahead + behind);
        }
    }
}
