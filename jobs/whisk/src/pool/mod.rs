//! The pool of children: warm ones are used again, new ones started within bounds of memory and number.

mod answer;
mod code;
mod disk;
mod launch;
mod lease;
mod logs;
mod watch;
mod worker;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::action::{Action, Code, Version};
use crate::metrics::{Metrics, ReasonLabel};
use crate::name::FullName;
use crate::settings::{Isolation, PoolSettings};
use crate::store::{ActionStore, StoreError};

pub use code::CodeError;
pub use launch::{Launch, Unconfined, landlock_available, launch, unconfined};
pub use lease::Lease;
pub use logs::{Log, Stream, line};
pub use watch::Verdict;
pub use worker::{Outcome, StartError, Worker};

/// How often children are looked after.
const WATCH_PERIOD: Duration = Duration::from_millis(200);

/// How often idle children are looked for.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

/// No child could be had.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The action's own fault.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The start failed.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No room for so long.
    #[error("no room for another child of this action within {} s; raise --max-memory-mb or the action's limits.instances", .0.as_secs())]
    Full(Duration),
    /// The server is ending.
    #[error("the server is ending")]
    Ending,
}

/// An action as far as its children are concerned: a change makes another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
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
struct Idle {
    worker: Worker,
    memory: u64,
    since: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    idle: HashMap<Key, Vec<Idle>>,
    /// Children of each action, idle or not.
    instances: HashMap<Key, usize>,
    /// Memory promised to all children, MiB.
    memory: u64,
    numbers: u64,
    ending: bool,
}

/// The pool.
#[derive(Debug)]
pub struct Pool {
    settings: PoolSettings,
    directory: PathBuf,
    inner: Mutex<Inner>,
    freed: Notify,
    watch: Arc<watch::Watch>,
    metrics: Arc<Metrics>,
}

impl Pool {
    /// A pool whose children live in a directory of its own inside `run`; removes what an earlier one left there.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(
        run: &Path,
        settings: PoolSettings,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Arc<Self>> {
        // Absolute, because children have another working directory.
        let directory = std::path::absolute(run)?.join("children");
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(directory.join("code"))?;
        if settings.reap {
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        }
        if settings.isolation == Isolation::None {
            tracing::error!(
                "ISOLATION IS OFF: every action can read every file and key that this server can, and its neighbours' memory"
            );
        }
        let watch = Arc::new(watch::Watch::new(settings.processes, settings.reap));
        let pool = Arc::new(Self {
            settings,
            directory,
            inner: Mutex::new(Inner::default()),
            freed: Notify::new(),
            watch: Arc::clone(&watch),
            metrics,
        });
        let weak = Arc::downgrade(&pool);
        // A thread of its own: the watch has to come around even when the runtime is busy.
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                let mut swept = Instant::now();
                while let Some(pool) = weak.upgrade() {
                    watch.look();
                    if swept.elapsed() >= SWEEP_PERIOD {
                        swept = Instant::now();
                        pool.sweep();
                    }
                    drop(pool);
                    std::thread::sleep(WATCH_PERIOD);
                }
            })?;
        Ok(pool)
    }

    /// A child for an activation of this action: a warm one, or a new one as soon as there is room.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn lease(
        self: &Arc<Self>,
        action: &Action,
        code: &Code,
        store: &ActionStore,
        environment: impl FnOnce() -> Vec<(String, String)>,
    ) -> Result<Lease, PoolError> {
        let key = Key::of(action);
        let memory = action.limits.memory;
        let most = action
            .limits
            .instances
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(self.settings.instances);
        let deadline = tokio::time::Instant::now() + self.settings.wait;
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Listens before it looks, so that no freed child is missed in between.
            freed.as_mut().enable();
            match self.take(&key, memory, most)? {
                Taken::Warm(worker) => {
                    return Ok(Lease::new(self, key, memory, Some(*worker)));
                }
                Taken::Room(number) => {
                    // From here on the lease gives the promised memory back, whatever happens.
                    let mut lease = Lease::new(self, key, memory, None);
                    let begun = Instant::now();
                    let worker = self
                        .start(action, code, store, environment(), number)
                        .await?;
                    lease.begin(worker, begun.elapsed());
                    return Ok(lease);
                }
                Taken::Nothing => {
                    if tokio::time::timeout_at(deadline, freed).await.is_err() {
                        return Err(PoolError::Full(self.settings.wait));
                    }
                }
            }
        }
    }

    fn take(&self, key: &Key, memory: u64, most: usize) -> Result<Taken, PoolError> {
        let mut evicted = Vec::new();
        let mut inner = self.lock();
        if inner.ending {
            return Err(PoolError::Ending);
        }
        while let Some(mut idle) = inner.idle.get_mut(key).and_then(Vec::pop) {
            if idle.worker.is_alive() {
                return Ok(Taken::Warm(Box::new(idle.worker)));
            }
            inner.release(key, idle.memory);
            evicted.push(idle);
        }
        if inner.instances.get(key).copied().unwrap_or(0) >= most {
            return Ok(Taken::Nothing);
        }
        while inner.memory + memory > self.settings.memory {
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

    async fn start(
        &self,
        action: &Action,
        code: &Code,
        store: &ActionStore,
        environment: Vec<(String, String)>,
        number: u64,
    ) -> Result<Worker, PoolError> {
        let unpacked = self.directory.join("code").join(&code.digest);
        if !unpacked.exists() {
            let text = store.code(&code.digest)?;
            let (binary, target) = (code.binary, unpacked.clone());
            tokio::task::spawn_blocking(move || code::unpack(&text, binary, &target))
                .await
                .map_err(|error| CodeError::Io(std::io::Error::other(error)))??;
        }
        let start = worker::Start {
            code: &unpacked,
            directory: self.directory.join(format!("child-{number}")),
            environment,
            memory: action.limits.memory * 1024 * 1024,
            timeout: Duration::from_millis(action.limits.timeout),
        };
        self.metrics.starts.inc();
        Ok(Worker::start(start, &self.settings, &self.watch).await?)
    }

    /// Ends idle children of an action that changed or went.
    pub fn forget(&self, name: &FullName) {
        let mut inner = self.lock();
        let keys: Vec<Key> = inner
            .idle
            .keys()
            .filter(|key| key.name == *name)
            .cloned()
            .collect();
        let mut gone = Vec::new();
        for key in keys {
            for idle in inner.idle.remove(&key).unwrap_or_default() {
                inner.release(&key, idle.memory);
                self.count_end("changed");
                gone.push(idle);
            }
        }
        self.gauge(&inner);
        drop(inner);
        drop(gone);
    }

    /// Ends children that were idle for long, or ended themselves.
    fn sweep(&self) {
        let mut inner = self.lock();
        let now = Instant::now();
        let mut gone = Vec::new();
        for (key, list) in &mut inner.idle {
            let (keep, end): (Vec<Idle>, Vec<Idle>) = std::mem::take(list)
                .into_iter()
                .map(|mut idle| {
                    (
                        idle.worker.is_alive()
                            && now.duration_since(idle.since) < self.settings.idle,
                        idle,
                    )
                })
                .fold(
                    (Vec::new(), Vec::new()),
                    |(mut keep, mut end), (stays, idle)| {
                        if stays {
                            keep.push(idle)
                        } else {
                            end.push(idle)
                        }
                        (keep, end)
                    },
                );
            *list = keep;
            gone.extend(end.into_iter().map(|idle| (key.clone(), idle)));
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

    /// Ends all idle children and gives out none from now on.
    pub fn end(&self) {
        let mut inner = self.lock();
        inner.ending = true;
        let idle = std::mem::take(&mut inner.idle);
        drop(inner);
        drop(idle);
        self.freed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gauge(&self, inner: &Inner) {
        let children: usize = inner.instances.values().sum();
        self.metrics
            .children
            .set(i64::try_from(children).unwrap_or(i64::MAX));
        self.metrics
            .memory
            .set(i64::try_from(inner.memory).unwrap_or(i64::MAX));
    }

    /// Counts a child that the server ended.
    pub fn count_end(&self, reason: &'static str) {
        self.metrics
            .ends
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }
}

enum Taken {
    Warm(Box<Worker>),
    /// Promised memory, and the number of the child to start.
    Room(u64),
    Nothing,
}

impl Inner {
    fn release(&mut self, key: &Key, memory: u64) {
        self.memory = self.memory.saturating_sub(memory);
        if let Some(instances) = self.instances.get_mut(key) {
            *instances = instances.saturating_sub(1);
            if *instances == 0 {
                self.instances.remove(key);
            }
        }
    }

    /// Takes out the child that has been idle for longest.
    fn oldest(&mut self) -> Option<(Key, Idle)> {
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
