//! An instance in use.

use std::sync::Arc;
use std::time::Duration;

use super::shelf::Key;
use super::{Instance, Shelf};

/// An instance in use. It goes back to the shelf by [`Lease::keep`]; dropped, it is ended.
#[derive(Debug)]
pub struct Lease<W: Instance> {
    shelf: Arc<Shelf<W>>,
    /// What was promised to the instance, MiB, until it is back on the shelf.
    promise: Option<(Key, u64)>,
    worker: Option<W>,
    /// How long its start took, when it was started for this activation.
    pub started: Option<Duration>,
}

impl<W: Instance> Lease<W> {
    /// A lease of the shelf, which promised the memory; its instance may still be to come.
    pub(super) fn new(shelf: &Arc<Shelf<W>>, key: Key, memory: u64, worker: Option<W>) -> Self {
        Self {
            shelf: Arc::clone(shelf),
            promise: Some((key, memory)),
            worker,
            started: None,
        }
    }

    /// The instance was started, and that took so long.
    pub(super) fn begin(&mut self, worker: W, took: Duration) {
        self.worker = Some(worker);
        self.started = Some(took);
    }

    /// The instance.
    pub fn worker(&mut self) -> Option<&mut W> {
        self.worker.as_mut()
    }

    /// Gives the instance back for the next activation.
    pub fn keep(mut self) {
        if let (Some(worker), Some((key, memory))) = (self.worker.take(), &self.promise) {
            self.worker = self.shelf.put_back(key, worker, *memory);
            if self.worker.is_none() {
                self.promise = None;
            }
        }
    }

    /// Ends the instance, which broke.
    pub fn fail(self) {
        self.shelf.count_end("fault");
    }
}

impl<W: Instance> Drop for Lease<W> {
    fn drop(&mut self) {
        // The instance first, so that the memory is free when it is promised again.
        drop(self.worker.take());
        if let Some((key, memory)) = self.promise.take() {
            self.shelf.take_back(&key, memory);
        }
        self.shelf.tell();
    }
}
