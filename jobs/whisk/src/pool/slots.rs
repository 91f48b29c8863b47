//! Launchers that are started before anybody needs them: a cold action takes one, and so waits for no process to start. One is of
//! no action and of no kind until then, and serves one action once.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;

use super::start::Launcher;
use super::watch::Watch;
use crate::settings::PoolSettings;

/// Missing launchers are started so much later: the action that took the last one may have its first moments for itself.
const LATER: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Inner {
    /// The oldest first: it is the likeliest to be through with its own start.
    ready: VecDeque<Launcher>,
    /// Those that are just being started.
    starting: usize,
    numbers: u64,
    ending: bool,
}

/// All prewarmed launchers.
#[derive(Debug)]
pub(super) struct Slots {
    /// Where each gets its directory.
    directory: PathBuf,
    settings: PoolSettings,
    watch: Arc<Watch>,
    inner: Mutex<Inner>,
    /// How many there are.
    count: Gauge,
}

impl Slots {
    /// None yet: [`Slots::fill`] starts them.
    pub fn new(
        directory: PathBuf,
        settings: PoolSettings,
        watch: Arc<Watch>,
        count: Gauge,
    ) -> Arc<Self> {
        Arc::new(Self {
            directory,
            settings,
            watch,
            inner: Mutex::new(Inner {
                ready: VecDeque::new(),
                starting: 0,
                numbers: 0,
                ending: false,
            }),
            count,
        })
    }

    /// One that lives, if there is one.
    pub fn take(&self) -> Option<Launcher> {
        loop {
            let mut inner = self.lock();
            let mut launcher = inner.ready.pop_front()?;
            self.tell(&inner);
            drop(inner);
            if launcher.is_alive() {
                return Some(launcher);
            }
            tracing::warn!("a prewarmed launcher ended before it was used");
        }
    }

    /// Whether none stands ready.
    pub fn is_empty(&self) -> bool {
        self.lock().ready.is_empty()
    }

    /// Starts as many as are missing, in the background. To be called within a runtime, whose threads stay as long as the server:
    /// a launcher ends with the thread that started it.
    pub fn fill(self: &Arc<Self>) {
        let slots = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(LATER).await;
            while slots.start_one() {}
        });
    }

    /// Starts one if it is missing; whether it did.
    fn start_one(&self) -> bool {
        let mut inner = self.lock();
        if inner.ending || inner.ready.len() + inner.starting >= self.settings.prewarmed {
            return false;
        }
        inner.starting += 1;
        inner.numbers += 1;
        let directory = self.directory.join(format!("prewarmed-{}", inner.numbers));
        drop(inner);
        let started = Launcher::start(directory, &self.settings, &self.watch);
        let mut inner = self.lock();
        inner.starting -= 1;
        match started {
            Ok(launcher) if !inner.ending => {
                inner.ready.push_back(launcher);
                self.tell(&inner);
                true
            }
            // It ends here.
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(%error, "no prewarmed launcher; the next cold start tries again");
                false
            }
        }
    }

    /// Ends them all and starts none from now on.
    pub fn end(&self) {
        let mut inner = self.lock();
        inner.ending = true;
        let ready = std::mem::take(&mut inner.ready);
        self.tell(&inner);
        // Ended outside of the lock: that takes a look at all processes.
        drop(inner);
        drop(ready);
    }

    fn tell(&self, inner: &Inner) {
        self.count
            .set(i64::try_from(inner.ready.len()).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
