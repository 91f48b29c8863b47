//! A child in use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Idle, Key, Pool, Worker};

/// A child in use. It goes back to the pool by [`Lease::keep`]; dropped, it is ended.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    /// What was promised to the child, MiB, until the child is back in the pool.
    promise: Option<(Key, u64)>,
    worker: Option<Worker>,
    /// How long its start took, when it was started for this activation.
    pub started: Option<Duration>,
}

impl Lease {
    /// A lease of the pool, which promised the memory; its child may still be to come.
    pub(super) fn new(pool: &Arc<Pool>, key: Key, memory: u64, worker: Option<Worker>) -> Self {
        Self {
            pool: Arc::clone(pool),
            promise: Some((key, memory)),
            worker,
            started: None,
        }
    }

    /// The child was started, and that took so long.
    pub(super) fn begin(&mut self, worker: Worker, took: Duration) {
        self.worker = Some(worker);
        self.started = Some(took);
    }

    /// The child.
    pub fn worker(&mut self) -> Option<&mut Worker> {
        self.worker.as_mut()
    }

    /// Gives the child back for the next activation.
    pub fn keep(mut self) {
        let mut inner = self.pool.lock();
        if inner.ending {
            return;
        }
        if let (Some(worker), Some((key, memory))) = (self.worker.take(), self.promise.take()) {
            inner.idle.entry(key).or_default().push(Idle {
                worker,
                memory,
                since: Instant::now(),
            });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The child first, so that the memory is free when it is promised again.
        drop(self.worker.take());
        if let Some((key, memory)) = self.promise.take() {
            let mut inner = self.pool.lock();
            inner.release(&key, memory);
            self.pool.gauge(&inner);
        }
        self.pool.freed.notify_waiters();
    }
}
