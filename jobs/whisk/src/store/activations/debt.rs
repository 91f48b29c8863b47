//! What the next writing through to the disk has to do.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;

use crate::store::segment::Segment;
use crate::store::{StoreError, sync_directory};

#[derive(Debug, Default)]
pub(super) struct Debt {
    /// Full segments, whose last bytes may not be on the disk.
    pub(super) files: Vec<File>,
    /// Whether a segment is new: its name may not be on the disk.
    pub(super) created: bool,
    /// Dropped segments, the oldest first. Their files go last: what was carried over from them has to be on the disk.
    pub(super) dropped: VecDeque<Segment>,
}

impl Debt {
    /// Does all of it, and writes `current` through. Blocks.
    ///
    /// # Errors
    /// [`StoreError`]; then what was not done is still here.
    pub(super) fn pay(&mut self, current: &File, directory: &Path) -> Result<(), StoreError> {
        for file in self.files.iter().chain([current]) {
            file.sync_data()
                .map_err(|error| StoreError::new(directory, "cannot be written through", error))?;
        }
        self.files.clear();
        if self.created {
            sync_directory(directory)
                .map_err(|error| StoreError::new(directory, "cannot be written through", error))?;
            self.created = false;
        }
        while let Some(segment) = self.dropped.pop_front() {
            segment.remove()?;
        }
        Ok(())
    }

    /// Takes back what could not be paid; it is older than what has come since.
    pub(super) fn take_back(&mut self, mut unpaid: Self) {
        unpaid.files.append(&mut self.files);
        unpaid.created |= self.created;
        unpaid.dropped.append(&mut self.dropped);
        *self = unpaid;
    }
}
