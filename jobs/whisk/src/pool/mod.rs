//! The pool of children: warm ones are used again, new ones started within bounds of memory and number.

mod answer;
mod calls;
mod code;
mod confine;
mod disk;
mod launch;
mod lease;
mod logs;
mod process;
mod shelf;
mod slots;
mod start;
mod tar;
mod unpacked;
mod watch;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::action::{Action, Code};
use crate::metrics::Metrics;
use crate::name::FullName;
use crate::pods::PodError;
use crate::settings::{Isolation, PoolSettings};
use crate::store::{ActionStore, StoreError};
use slots::Slots;
use start::Launcher;
use unpacked::Codes;

pub use code::{CodeError, unpack};
pub use confine::{Unconfined, landlock_available, unconfined};
pub use launch::child;
pub use lease::Lease;
pub use logs::{Log, Stream, line, parts};
pub use shelf::{Instance, Shelf, Within};
pub use start::{Start, StartError};
pub use watch::{Verdict, Watch};
pub use worker::{Outcome, Worker};

/// How often children are looked after.
const WATCH_PERIOD: Duration = Duration::from_millis(200);

/// How often idle children are looked for.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

/// Unpacked code stays so long after its last child: the next one may come soon, and starts sooner. Above the bound of the disk it
/// goes at once.
const UNUSED: Duration = Duration::from_secs(600);

/// Code of no more bytes of text than this is unpacked before anybody asks for it.
const LARGEST_AHEAD: usize = 8 * 1024 * 1024;

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
    /// No pod.
    #[error(transparent)]
    Pod(#[from] PodError),
    /// No room for so long.
    #[error("no room for another child or pod of this action within {} s; raise --max-memory-mb or --pods-memory-mb, or the action's limits.instances", .0.as_secs())]
    Full(Duration),
    /// The server is ending.
    #[error("the server is ending")]
    Ending,
}

/// The most launchers that may stand ready.
pub const MOST_PREWARMED: usize = 64;

/// The pool.
#[derive(Debug)]
pub struct Pool {
    settings: PoolSettings,
    directory: PathBuf,
    codes: Codes,
    shelf: Arc<Shelf<Worker>>,
    slots: Arc<Slots>,
    /// Code is unpacked ahead one after the other.
    ahead: Semaphore,
    watch: Arc<Watch>,
    metrics: Arc<Metrics>,
}

impl Pool {
    /// A pool whose children live in a directory of its own inside `run`; removes what an earlier one left there. To be called
    /// within a runtime.
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
        let codes = Codes::new(directory.join("code"))?;
        if settings.reap {
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        }
        if settings.isolation == Isolation::None {
            tracing::error!(
                "ISOLATION IS OFF: every action can read every file and key that this server can, and its neighbours' memory"
            );
        }
        let watch = Arc::new(Watch::new(settings.processes, settings.reap));
        let within = Within {
            memory: settings.memory,
            instances: settings.instances,
            idle: settings.idle,
            wait: settings.wait,
        };
        let (count, promised) = (metrics.children.clone(), metrics.memory.clone());
        let slots = Slots::new(
            directory.clone(),
            settings.clone(),
            Arc::clone(&watch),
            metrics.prewarmed.clone(),
        );
        slots.fill();
        let pool = Arc::new(Self {
            settings,
            directory,
            codes,
            shelf: Shelf::new(within, Arc::clone(&metrics), count, promised),
            slots,
            ahead: Semaphore::new(1),
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
                        pool.shelf.sweep();
                        pool.codes.sweep(UNUSED);
                        pool.bound_disk();
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
        &self,
        action: &Action,
        code: &Code,
        store: &ActionStore,
        environment: impl FnOnce() -> Vec<(String, String)>,
    ) -> Result<Lease<Worker>, PoolError> {
        let start = |number| self.start(action, code, store, environment(), number);
        self.shelf.lease(action, start).await
    }

    /// Unpacks the code of a new or changed action, so that its first start does not wait for that: unless another's is just being
    /// unpacked so, it is large, or half of what all children may have of the disk is taken. Then, and when it cannot be unpacked,
    /// the start sees to it.
    pub async fn unpack_ahead(&self, code: &Code, store: &ActionStore) {
        let Ok(_alone) = self.ahead.try_acquire() else {
            return;
        };
        let half = self.settings.disk.saturating_mul(1024 * 1024) / 2;
        let taken = self.watch.disk().saturating_add(self.codes.known());
        if code.length > LARGEST_AHEAD || taken >= half {
            return;
        }
        if let Err(error) = self.codes.hold(code, || store.code(&code.digest)).await {
            tracing::debug!(%error, "code is not unpacked ahead");
        }
    }

    async fn start(
        &self,
        action: &Action,
        code: &Code,
        store: &ActionStore,
        environment: Vec<(String, String)>,
        number: u64,
    ) -> Result<Worker, PoolError> {
        // Where none stands ready a launcher starts while the code is unpacked.
        let fresh = if self.slots.is_empty() {
            Some(self.launcher(number)?)
        } else {
            None
        };
        let held = self.codes.hold(code, || store.code(&code.digest)).await?;
        let start = Start {
            code: &held.path,
            environment,
            memory: action.limits.memory * 1024 * 1024,
            timeout: Duration::from_millis(action.limits.timeout),
        };
        self.metrics.starts.inc();
        let worker = self.begin(&start, fresh, number).await;
        // Also after a failure: a launcher was taken.
        self.slots.fill();
        let worker = worker?;
        worker.watched.uses(held);
        Ok(worker)
    }

    /// The launcher that was started for it becomes the child, else a prewarmed one, or a new one when there is none or when it has
    /// ended.
    async fn begin(
        &self,
        start: &Start<'_>,
        fresh: Option<Launcher>,
        number: u64,
    ) -> Result<Worker, PoolError> {
        if let Some(fresh) = fresh {
            return Ok(fresh.begin(start, &self.watch).await?);
        }
        if let Some(launcher) = self.slots.take() {
            match launcher.begin(start, &self.watch).await {
                Ok(worker) => {
                    self.metrics.prewarmed_starts.inc();
                    return Ok(worker);
                }
                Err(error @ StartError::Timeout(_)) => return Err(error.into()),
                Err(error) => tracing::warn!(%error, "a prewarmed launcher failed"),
            }
        }
        let fresh = self.launcher(number)?;
        Ok(fresh.begin(start, &self.watch).await?)
    }

    /// Starts a launcher for the child of this number.
    fn launcher(&self, number: u64) -> Result<Launcher, StartError> {
        let directory = self.directory.join(format!("child-{number}"));
        Ok(Launcher::start(directory, &self.settings, &self.watch)?)
    }

    /// Keeps what all children take of the disk within its bound: what nobody needs just now goes first, then the child that
    /// takes most. A volume that is over its size has its pod evicted, and a full one stops everybody.
    fn bound_disk(&self) {
        let most = self.settings.disk.saturating_mul(1024 * 1024);
        let is_over = || self.watch.disk().saturating_add(self.codes.bytes()) > most;
        if !is_over() {
            return;
        }
        self.codes.sweep(Duration::ZERO);
        while is_over() && self.shelf.end_oldest() {
            self.codes.sweep(Duration::ZERO);
        }
        if is_over() {
            self.watch.end_largest();
        }
    }

    /// Ends idle children of an action that changed or went.
    pub fn forget(&self, name: &FullName, now: Option<&Action>) {
        self.shelf.forget(name, now);
    }

    /// Ends all idle children and gives out none from now on.
    pub fn end(&self) {
        self.slots.end();
        self.shelf.end();
    }
}
