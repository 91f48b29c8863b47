//! The pool of children: warm ones are used again, new ones started within bounds of memory and number.

mod answer;
mod code;
mod disk;
mod launch;
mod lease;
mod logs;
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

use crate::action::{Action, Code};
use crate::metrics::Metrics;
use crate::name::FullName;
use crate::pods::PodError;
use crate::settings::{Isolation, PoolSettings};
use crate::store::{ActionStore, StoreError};
use slots::Slots;
use unpacked::Codes;

pub use code::{CodeError, unpack};
pub use launch::{Launch, Unconfined, landlock_available, launch, unconfined};
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

/// Unpacked code stays so long after its last child: the next one may come soon. Above the bound of the disk it goes at once.
const UNUSED: Duration = Duration::from_secs(60);

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

    async fn start(
        &self,
        action: &Action,
        code: &Code,
        store: &ActionStore,
        environment: Vec<(String, String)>,
        number: u64,
    ) -> Result<Worker, PoolError> {
        let held = self.codes.hold(code, || store.code(&code.digest)).await?;
        let start = Start {
            code: &held.path,
            environment,
            memory: action.limits.memory * 1024 * 1024,
            timeout: Duration::from_millis(action.limits.timeout),
        };
        self.metrics.starts.inc();
        let worker = self.begin(&start, number).await;
        // Also after a failure: a launcher was taken.
        self.slots.fill();
        let worker = worker?;
        worker.watched.uses(held);
        Ok(worker)
    }

    /// A prewarmed launcher becomes the child; a new one does when there is none, or when it has ended.
    async fn begin(&self, start: &Start<'_>, number: u64) -> Result<Worker, PoolError> {
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
        let directory = self.directory.join(format!("child-{number}"));
        Ok(Worker::start(directory, start, &self.settings, &self.watch).await?)
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
