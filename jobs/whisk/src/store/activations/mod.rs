//! Activations: appended to segments, found by an index in memory, dropped by count, age and size.

mod index;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub use index::Filter;
use index::{Inner, Line, LineRef, encode};

use crate::activation::{Activation, Response, Status, note};
use crate::settings::Retention;
use crate::store::segment::Segment;
use crate::store::{StoreError, create_directory};

/// A segment is closed at this size; whole segments are dropped, so this is the grain of retention.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// What is written down when an activation is accepted, so that a crash leaves no accepted one without a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The activation's id.
    pub id: String,
    /// Namespace.
    pub namespace: String,
    /// The action's name.
    pub name: String,
    /// The action's full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The action's version.
    pub version: String,
    /// Who asked.
    pub subject: String,
    /// The activation that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// When, ms since 1970.
    pub start: i64,
}

/// All activations.
#[derive(Debug)]
pub struct ActivationStore {
    directory: PathBuf,
    retention: Retention,
    cut_off: Vec<Activation>,
    inner: Mutex<Inner>,
}

impl ActivationStore {
    /// Reads what is there. Activations that a stop cut off get a record that says so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(data: &Path, retention: Retention, now: i64) -> Result<Self, StoreError> {
        let directory = data.join("activations");
        create_directory(&directory)?;
        let mut store = Self {
            directory,
            retention,
            cut_off: Vec::new(),
            inner: Mutex::new(Inner::default()),
        };
        let mut inner = store.lock();
        let listed = std::fs::read_dir(&store.directory)
            .map_err(|error| StoreError::new(&store.directory, "cannot be listed", error))?;
        let mut numbers: Vec<u64> = listed
            .flatten()
            .filter_map(|entry| Segment::number_of(&entry.path()))
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            let mut segment = Segment::open(&store.directory, number)?;
            segment.scan(|place, line| match serde_json::from_slice(line) {
                Ok(Line::Begin(begin)) => {
                    inner.open.insert(begin.id.clone(), begin);
                }
                Ok(Line::Record(record)) => {
                    inner.open.remove(&record.activation_id);
                    inner.index(&record, number, place);
                }
                Err(error) => tracing::warn!(segment = number, offset = place.offset, %error, "no record; left out"),
            })?;
            inner.segments.push_back(segment);
        }
        let open: Vec<Begin> = inner.open.values().cloned().collect();
        let mut cut_off = Vec::new();
        for begin in open {
            tracing::warn!(
                activation = begin.id,
                action = begin.name,
                "was cut off by the server's end"
            );
            let record = interrupted(begin, now);
            store.append(&mut inner, &record)?;
            cut_off.push(record);
        }
        drop(inner);
        store.cut_off = cut_off;
        Ok(store)
    }

    /// The records of what the stop before this start cut off.
    pub fn cut_off(&self) -> &[Activation] {
        &self.cut_off
    }

    /// Writes down that an activation was accepted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin(&self, begin: Begin) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let line = encode(&LineRef::Begin(&begin), &self.directory)?;
        inner.current(&self.directory)?.append(&line)?;
        inner.open.insert(begin.id.clone(), begin);
        inner.unsynced = true;
        Ok(())
    }

    /// Writes down how an activation ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn finish(&self, record: &Activation) -> Result<(), StoreError> {
        let mut inner = self.lock();
        self.append(&mut inner, record)?;
        self.retain(&mut inner, record.ended())
    }

    /// A record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn get(&self, namespace: &str, id: &str) -> Result<Option<Activation>, StoreError> {
        let inner = self.lock();
        let Some((found, order)) = inner.ids.get(id).filter(|(found, _)| found == namespace) else {
            return Ok(None);
        };
        let Some(entry) = inner
            .namespaces
            .get(found)
            .and_then(|entries| entries.get(order))
        else {
            return Ok(None);
        };
        inner.read(entry, &self.directory).map(Some)
    }

    /// Records that pass the filter, the latest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list(
        &self,
        namespace: &str,
        filter: &Filter,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Activation>, StoreError> {
        let inner = self.lock();
        inner
            .matching(namespace, filter)
            .skip(skip)
            .take(limit)
            .map(|entry| inner.read(entry, &self.directory))
            .collect()
    }

    /// How many records pass the filter.
    pub fn count(&self, namespace: &str, filter: &Filter) -> usize {
        self.lock().matching(namespace, filter).count()
    }

    /// Writes what was appended through to the disk. Blocks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sync(&self) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if !std::mem::take(&mut inner.unsynced) {
            return Ok(());
        }
        let file = inner.current(&self.directory)?.sync_handle()?;
        drop(inner);
        file.sync_data()
            .map_err(|error| StoreError::new(&self.directory, "cannot be written through", error))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, inner: &mut Inner, record: &Activation) -> Result<(), StoreError> {
        let line = encode(&LineRef::Record(record), &self.directory)?;
        let segment = inner.current(&self.directory)?;
        let place = segment.append(&line)?;
        let number = segment.number;
        inner.open.remove(&record.activation_id);
        inner.index(record, number, place);
        inner.unsynced = true;
        Ok(())
    }

    /// Drops the oldest segments while there is more than is to be kept, and starts a new one when the last is full.
    fn retain(&self, inner: &mut Inner, now: i64) -> Result<(), StoreError> {
        let fair_share = (self.retention.count / 8).max(1);
        if let Some(last) = inner.segments.back() {
            let members = inner
                .members
                .get(&last.number)
                .map_or(0, |(ids, _)| ids.len());
            if last.bytes >= SEGMENT_BYTES.min(self.retention.bytes / 8) || members >= fair_share {
                let next = Segment::open(&self.directory, last.number + 1)?;
                inner.segments.push_back(next);
            }
        }
        let oldest_kept =
            now.saturating_sub(i64::try_from(self.retention.age.as_millis()).unwrap_or(i64::MAX));
        while inner.segments.len() > 1 {
            let Some(first) = inner.segments.front() else {
                break;
            };
            let (members, newest) = inner
                .members
                .get(&first.number)
                .map_or((0, i64::MIN), |(ids, end)| (ids.len(), *end));
            let bytes: u64 = inner.segments.iter().map(|segment| segment.bytes).sum();
            let too_many = inner.ids.len().saturating_sub(members) >= self.retention.count;
            if !too_many && newest >= oldest_kept && bytes <= self.retention.bytes {
                break;
            }
            if let Some(segment) = inner.segments.pop_front() {
                inner.forget(segment.number);
                segment.remove()?;
            }
        }
        Ok(())
    }
}

/// The record of an activation that the server's end cut off.
fn interrupted(begin: Begin, now: i64) -> Activation {
    Activation {
        annotations: vec![note(
            "path",
            begin
                .path
                .unwrap_or_else(|| format!("{}/{}", begin.namespace, begin.name)),
        )],
        cause: begin.cause,
        duration: Some(0),
        end: Some(now),
        logs: Vec::new(),
        publish: false,
        response: Response::error(
            Status::Internal,
            "The server stopped before this activation ended.",
        ),
        start: begin.start,
        activation_id: begin.id,
        name: begin.name,
        namespace: begin.namespace,
        subject: begin.subject,
        version: begin.version,
    }
}

#[cfg(test)]
mod tests;
