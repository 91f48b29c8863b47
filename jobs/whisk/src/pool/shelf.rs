//! Instances of actions, children or pods: warm ones are used again, new ones started within bounds of memory and number,
//! idle ones ended.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

use super::{Lease, Log, Outcome, PoolError};
use crate::action::{Action, Version};
use crate::metrics::{Metrics, ReasonLabel};
use crate::name::FullName;

/// What runs one action, one activation at a time. Dropping it ends it.
pub trait Instance: Send + 'static {
    /// Whether it still lives, as far as is known without waiting.
    fn is_alive(&mut self) -> bool;

    /// Whether one that was used before can be used again, asked before an activation begins. One that cannot is to be dropped.
    fn ready(&mut self) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }

    /// Gives it one activation and waits for its answer. After anything but an answer it is to be dropped.
    ///
    /// # Errors
    /// When the system fails, not the action.
    fn run(
        &mut self,
        line: &[u8],
        timeout: Duration,
        longest: usize,
        log: &mut Log,
    ) -> impl Future<Output = io::Result<Outcome>> + Send;

    /// What takes time after an activation and is no part of it: the rest of its log, and a closer look at how it ended.
    fn finish(&mut self, outcome: Outcome, _log: &mut Log) -> impl Future<Output = Outcome> + Send {
        std::future::ready(outcome)
    }
}

/// Bounds of all instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    /// Memory of all of them, MiB, as the sum of their actions' limits.
    pub memory: u64,
    /// Instances of one action at once, unless its limits say so.
    pub instances: usize,
    /// One unused for so long is ended.
    pub idle: Duration,
    /// An activation waits so long for a free one.
    pub wait: Duration,
}

/// An action as far as its instances are concerned: a change makes another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    name: FullName,
    version: Version,
    updated: i64,
}

impl Key {
    fn of(action: &Action) -> Self {
        Self {
            name: action.full_name(),
            version: action.version,
            updated: action.updated,
        }
    }
}

#[derive(Debug)]
struct Idle<W> {
    worker: W,
    memory: u64,
    since: Instant,
}

#[derive(Debug)]
struct Inner<W> {
    idle: HashMap<Key, Vec<Idle<W>>>,
    /// Instances of each action, idle or not.
    instances: HashMap<Key, usize>,
    /// Those of actions that changed or went while they were in use: they do not come back.
    stale: HashSet<Key>,
    /// Memory promised to all instances, MiB.
    memory: u64,
    numbers: u64,
    ending: bool,
}

/// All instances of one sort.
#[derive(Debug)]
pub struct Shelf<W> {
    within: Within,
    inner: Mutex<Inner<W>>,
    freed: Notify,
    metrics: Arc<Metrics>,
    /// How many there are.
    count: Gauge,
    /// Memory promised to them, MiB.
    promised: Gauge,
}

impl<W: Instance> Shelf<W> {
    /// An empty one, which tells how many there are and what was promised to them.
    pub fn new(within: Within, metrics: Arc<Metrics>, count: Gauge, promised: Gauge) -> Arc<Self> {
        Arc::new(Self {
            within,
            inner: Mutex::new(Inner {
                idle: HashMap::new(),
                instances: HashMap::new(),
                stale: HashSet::new(),
                memory: 0,
                numbers: 0,
                ending: false,
            }),
            freed: Notify::new(),
            metrics,
            count,
            promised,
        })
    }

    /// An instance for an activation of this action: a warm one, or as soon as there is room the one that `start` makes, which
    /// gets a number that no other has.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn lease<F>(
        self: &Arc<Self>,
        action: &Action,
        start: impl FnOnce(u64) -> F,
    ) -> Result<Lease<W>, PoolError>
    where
        F: Future<Output = Result<W, PoolError>>,
    {
        let key = Key::of(action);
        let memory = action.limits.memory;
        let most = action
            .limits
            .instances
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(self.within.instances);
        let deadline = tokio::time::Instant::now() + self.within.wait;
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Listens before it looks, so that nothing freed is missed in between.
            freed.as_mut().enable();
            match self.take(&key, memory, most)? {
                Taken::Warm(worker) => {
                    return Ok(Lease::new(self, key, memory, Some(worker)));
                }
                Taken::Room(number) => {
                    // From here on the lease gives the promised memory back, whatever happens.
                    let mut lease = Lease::new(self, key, memory, None);
                    let begun = Instant::now();
                    let worker = start(number).await?;
                    lease.begin(worker, begun.elapsed());
                    return Ok(lease);
                }
                Taken::Nothing => {
                    if tokio::time::timeout_at(deadline, freed).await.is_err() {
                        return Err(PoolError::Full(self.within.wait));
                    }
                }
            }
        }
    }

    fn take(&self, key: &Key, memory: u64, most: usize) -> Result<Taken<W>, PoolError> {
        let mut evicted = Vec::new();
        let mut inner = self.lock();
        if inner.ending {
            return Err(PoolError::Ending);
        }
        while let Some(mut idle) = inner.idle.get_mut(key).and_then(Vec::pop) {
            if idle.worker.is_alive() {
                return Ok(Taken::Warm(idle.worker));
            }
            inner.release(key, idle.memory);
            evicted.push(idle);
        }
        if inner.instances.get(key).copied().unwrap_or(0) >= most {
            return Ok(Taken::Nothing);
        }
        while inner.memory + memory > self.within.memory {
            let Some((other, idle)) = inner.oldest() else {
                return Ok(Taken::Nothing);
            };
            inner.release(&other, idle.memory);
            self.count_end("evicted");
            evicted.push(idle);
        }
        inner.memory += memory;
        *inner.instances.entry(key.clone()).or_default() += 1;
        inner.numbers += 1;
        let number = inner.numbers;
        self.gauge(&inner);
        // Ended outside of the lock: that takes a look at all processes.
        drop(inner);
        drop(evicted);
        Ok(Taken::Room(number))
    }

    /// Ends the instances of an action that changed or went: idle ones now, others after their activation. Those of the action as
    /// it is `now` stay: they may have begun since it changed.
    pub fn forget(&self, name: &FullName, now: Option<&Action>) {
        let now = now.map(Key::of);
        let is_former = |key: &&Key| key.name == *name && Some(*key) != now.as_ref();
        let mut inner = self.lock();
        let keys: Vec<Key> = inner.idle.keys().filter(is_former).cloned().collect();
        let mut gone = Vec::new();
        for key in keys {
            for idle in inner.idle.remove(&key).unwrap_or_default() {
                inner.release(&key, idle.memory);
                self.count_end("changed");
                gone.push(idle);
            }
        }
        let busy: Vec<Key> = inner.instances.keys().filter(is_former).cloned().collect();
        inner.stale.extend(busy);
        self.gauge(&inner);
        drop(inner);
        drop(gone);
    }

    /// Ends instances that were idle for long, or ended themselves.
    pub fn sweep(&self) {
        let mut inner = self.lock();
        let now = Instant::now();
        let mut gone = Vec::new();
        for (key, list) in &mut inner.idle {
            for mut idle in std::mem::take(list) {
                let is_new = now.duration_since(idle.since) < self.within.idle;
                if idle.worker.is_alive() && is_new {
                    list.push(idle);
                } else {
                    gone.push((key.clone(), idle));
                }
            }
        }
        inner.idle.retain(|_, list| !list.is_empty());
        for (key, idle) in &gone {
            inner.release(key, idle.memory);
            self.count_end("idle");
        }
        self.gauge(&inner);
        drop(inner);
        if !gone.is_empty() {
            self.freed.notify_waiters();
        }
    }

    /// Ends the instance that has been idle for longest; whether there was one.
    pub fn end_oldest(&self) -> bool {
        let mut inner = self.lock();
        let Some((key, idle)) = inner.oldest() else {
            return false;
        };
        inner.release(&key, idle.memory);
        self.count_end("evicted");
        self.gauge(&inner);
        // Ended outside of the lock: that takes a look at all processes.
        drop(inner);
        drop(idle);
        self.freed.notify_waiters();
        true
    }

    /// Ends all idle instances and gives out none from now on.
    pub fn end(&self) {
        let mut inner = self.lock();
        inner.ending = true;
        let idle = std::mem::take(&mut inner.idle);
        drop(inner);
        drop(idle);
        self.freed.notify_waiters();
    }

    /// Takes an instance back for the next activation; hands it back when there will be none.
    pub(super) fn put_back(&self, key: &Key, worker: W, memory: u64) -> Option<W> {
        let mut inner = self.lock();
        if inner.ending || inner.stale.contains(key) {
            return Some(worker);
        }
        let since = Instant::now();
        inner.idle.entry(key.clone()).or_default().push(Idle {
            worker,
            memory,
            since,
        });
        None
    }

    /// Takes back what was promised to an instance that is gone.
    pub(super) fn take_back(&self, key: &Key, memory: u64) {
        let mut inner = self.lock();
        inner.release(key, memory);
        self.gauge(&inner);
    }

    /// Tells those who wait for a free instance.
    pub(super) fn tell(&self) {
        self.freed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<W>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gauge(&self, inner: &Inner<W>) {
        let count: usize = inner.instances.values().sum();
        self.count.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.promised
            .set(i64::try_from(inner.memory).unwrap_or(i64::MAX));
    }

    /// Counts an instance that the server ended.
    pub fn count_end(&self, reason: &'static str) {
        let label = ReasonLabel { reason };
        self.metrics.ends.get_or_create(&label).inc();
    }
}

enum Taken<W> {
    Warm(W),
    /// Promised memory, and the number of the instance to start.
    Room(u64),
    Nothing,
}

impl<W> Inner<W> {
    fn release(&mut self, key: &Key, memory: u64) {
        self.memory = self.memory.saturating_sub(memory);
        if let Some(instances) = self.instances.get_mut(key) {
            *instances = instances.saturating_sub(1);
            if *instances == 0 {
                self.instances.remove(key);
                self.stale.remove(key);
            }
        }
    }

    /// Takes out the instance that has been idle for longest.
    fn oldest(&mut self) -> Option<(Key, Idle<W>)> {
        let key = self
            .idle
            .iter()
            .filter_map(|(key, list)| Some((list.first()?.since, key)))
            .min_by_key(|(since, _)| *since)
            .map(|(_, key)| key.clone())?;
        let idle = self
            .idle
            .get_mut(&key)
            .filter(|list| !list.is_empty())?
            .remove(0);
        Some((key, idle))
    }
}
