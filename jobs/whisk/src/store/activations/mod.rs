//! Activations: appended to segments, found by an index in memory, dropped by count, age and size.

mod debt;
mod held;
mod index;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub use index::{Filter, Part};
use index::{Inner, Line, LineRef, decode, encode};

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
                    inner.open.insert(begin.id.clone(), (number, begin));
                }
                Ok(Line::Record(record)) => {
                    inner.open.remove(&record.activation_id);
                    inner.index(&record, number, place);
                }
                Err(error) => tracing::warn!(segment = number, offset = place.offset, %error, "no record; left out"),
            })?;
            // What the process before this one may not have lived to write through.
            inner.debt.files.push(segment.sync_handle()?);
            inner.debt.created = true;
            inner.unsynced = true;
            inner.segments.push_back(segment);
        }
        let open: Vec<Begin> = inner
            .open
            .values()
            .map(|(_, begin)| begin.clone())
            .collect();
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
        self.append_begin(&mut self.lock(), begin)
    }

    /// Writes down how an activation ended.
    ///
    /// # Errors
    /// [`StoreError`]; then there is no such record.
    pub fn finish(&self, record: &Activation) -> Result<(), StoreError> {
        let mut inner = self.lock();
        self.append(&mut inner, record)?;
        self.retain(&mut inner, record.ended());
        Ok(())
    }

    /// Writes down how an activation ended that has had its effect, so that an error would help nobody: a record that
    /// cannot be written is held in memory, where [`Self::get`] finds it and lists do not, and is tried again at each
    /// [`Self::sync`]. When too many are held already it is lost, and the log says so.
    pub fn keep(&self, record: &Activation) {
        let Err(error) = self.finish(record) else {
            return;
        };
        let id = &record.activation_id;
        let held = encode(&LineRef::Record(record), &self.directory)
            .is_ok_and(|line| self.lock().held.hold(&record.namespace, id, line));
        if held {
            tracing::error!(activation = id, %error, "a record cannot be written; it is in memory until it can");
        } else {
            tracing::error!(activation = id, %error, "A RECORD IS LOST: it cannot be written, and too many are in memory already");
        }
    }

    /// A record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn get(&self, namespace: &str, id: &str) -> Result<Option<Activation>, StoreError> {
        let inner = self.lock();
        let found = inner
            .ids
            .get(id)
            .filter(|(found, _)| found == namespace)
            .and_then(|(found, order)| inner.namespaces.get(found)?.get(order));
        let line = match found {
            Some(entry) => inner.line(entry.segment, entry.place)?,
            None => inner.held.line(namespace, id).map(<[u8]>::to_vec),
        };
        drop(inner);
        line.map(|line| decode(&line, &self.directory)).transpose()
    }

    /// Records that pass the filter as `show` makes of them, the latest first. Only one of them is in memory at a time,
    /// and others wait only while its line is read: what is dropped between two is left out. Reads the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list<T>(
        &self,
        namespace: &str,
        filter: &Filter,
        part: Part,
        mut show: impl FnMut(&Activation) -> T,
    ) -> Result<Vec<T>, StoreError> {
        let inner = self.lock();
        let places: Vec<_> = inner
            .matching(namespace, filter)
            .skip(part.skip)
            .take(part.limit)
            .map(|entry| (entry.segment, entry.place))
            .collect();
        drop(inner);
        let mut shown = Vec::with_capacity(places.len());
        let mut bytes = 0_usize;
        for (segment, place) in places {
            bytes = bytes.saturating_add(place.length);
            if bytes > part.bytes && !shown.is_empty() {
                break;
            }
            let line = self.lock().line(segment, place)?;
            if let Some(line) = line {
                shown.push(show(&decode(&line, &self.directory)?));
            }
        }
        Ok(shown)
    }

    /// How many records pass the filter.
    pub fn count(&self, namespace: &str, filter: &Filter) -> usize {
        self.lock().matching(namespace, filter).count()
    }

    /// Writes what is held in memory, then all that was appended through to the disk. Blocks.
    ///
    /// # Errors
    /// [`StoreError`]; the next call tries again.
    pub fn sync(&self) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let written = self.write_held(&mut inner);
        if !inner.unsynced {
            return written;
        }
        let current = inner.current(&self.directory)?.sync_handle()?;
        let mut debt = std::mem::take(&mut inner.debt);
        inner.unsynced = false;
        drop(inner);
        if let Err(error) = debt.pay(&current, &self.directory) {
            let mut inner = self.lock();
            inner.debt.take_back(debt);
            inner.unsynced = true;
            return Err(error);
        }
        written
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append_begin(&self, inner: &mut Inner, begin: Begin) -> Result<(), StoreError> {
        let line = encode(&LineRef::Begin(&begin), &self.directory)?;
        let segment = inner.current(&self.directory)?;
        segment.append(&line)?;
        let number = segment.number;
        inner.open.insert(begin.id.clone(), (number, begin));
        inner.unsynced = true;
        Ok(())
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

    fn write_held(&self, inner: &mut Inner) -> Result<(), StoreError> {
        while let Some(line) = inner.held.first() {
            match decode(line, &self.directory) {
                Ok(record) => {
                    self.append(inner, &record)?;
                    self.retain(inner, record.ended());
                    tracing::info!(
                        activation = record.activation_id,
                        "a record that was in memory is written"
                    );
                }
                Err(error) => tracing::error!(%error, "A RECORD IS LOST"),
            }
            inner.held.let_go();
        }
        Ok(())
    }

    /// Keeps to what is told; a failure costs no record, only room, and the next record tries again.
    fn retain(&self, inner: &mut Inner, now: i64) {
        let kept = self.roll(inner).and_then(|()| self.trim(inner, now));
        if let Err(error) = kept {
            tracing::error!(%error, "more records are kept than was told");
        }
    }

    /// Starts a new segment when the last is full.
    fn roll(&self, inner: &mut Inner) -> Result<(), StoreError> {
        let fair_share = (self.retention.count / 8).max(1);
        let Some(last) = inner.segments.back() else {
            return Ok(());
        };
        let members = inner
            .members
            .get(&last.number)
            .map_or(0, |(ids, _)| ids.len());
        if last.bytes >= SEGMENT_BYTES.min(self.retention.bytes / 8) || members >= fair_share {
            let full = last.sync_handle()?;
            let next = Segment::open(&self.directory, last.number + 1)?;
            inner.debt.files.push(full);
            inner.debt.created = true;
            inner.segments.push_back(next);
        }
        Ok(())
    }

    /// Drops the oldest segments while there is more than is to be kept. What has begun in one and not ended is
    /// written down again before, so that a crash still leaves it a record.
    fn trim(&self, inner: &mut Inner, now: i64) -> Result<(), StoreError> {
        let oldest_kept =
            now.saturating_sub(i64::try_from(self.retention.age.as_millis()).unwrap_or(i64::MAX));
        while inner.segments.len() > 1 {
            let Some(first) = inner.segments.front() else {
                break;
            };
            let number = first.number;
            let (members, newest) = inner
                .members
                .get(&number)
                .map_or((0, i64::MIN), |(ids, end)| (ids.len(), *end));
            let bytes: u64 = inner.segments.iter().map(|segment| segment.bytes).sum();
            let too_many = inner.ids.len().saturating_sub(members) >= self.retention.count;
            if !too_many && newest >= oldest_kept && bytes <= self.retention.bytes {
                break;
            }
            let begun = inner
                .open
                .values()
                .filter(|(segment, _)| *segment == number);
            let begun: Vec<Begin> = begun.map(|(_, begin)| begin.clone()).collect();
            for begin in begun {
                self.append_begin(inner, begin)?;
            }
            if let Some(segment) = inner.segments.pop_front() {
                inner.forget(number);
                inner.debt.dropped.push_back(segment);
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
