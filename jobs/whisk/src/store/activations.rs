//! Activations: appended to segments, found by an index in memory, dropped by count, age and size.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::activation::{Activation, Response, Status, note};
use crate::settings::Retention;
use crate::store::segment::{Place, Segment};
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

#[derive(Serialize)]
enum LineRef<'a> {
    #[serde(rename = "begin")]
    Begin(&'a Begin),
    #[serde(rename = "record")]
    Record(&'a Activation),
}

#[derive(Deserialize)]
enum Line {
    #[serde(rename = "begin")]
    Begin(Begin),
    #[serde(rename = "record")]
    Record(Box<Activation>),
}

/// Which activations a list asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this action.
    pub name: Option<String>,
    /// Only begun at or after this, ms since 1970.
    pub since: Option<i64>,
    /// Only begun at or before this.
    pub upto: Option<i64>,
}

/// Start, then order of arrival: the order of lists.
type Order = (i64, u64);

#[derive(Debug)]
struct Entry {
    name: String,
    segment: u64,
    place: Place,
}

#[derive(Debug, Default)]
struct Inner {
    segments: VecDeque<Segment>,
    namespaces: HashMap<String, BTreeMap<Order, Entry>>,
    ids: HashMap<String, (String, Order)>,
    /// Ids by segment, for dropping it, with the newest end in it.
    members: HashMap<u64, (Vec<String>, i64)>,
    open: HashMap<String, Begin>,
    arrivals: u64,
    unsynced: bool,
}

/// All activations.
#[derive(Debug)]
pub struct ActivationStore {
    directory: PathBuf,
    retention: Retention,
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
        let store = Self {
            directory,
            retention,
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
        let cut_off: Vec<Begin> = inner.open.values().cloned().collect();
        for begin in cut_off {
            tracing::warn!(
                activation = begin.id,
                action = begin.name,
                "was cut off by the server's end"
            );
            store.append(&mut inner, &interrupted(begin, now))?;
        }
        drop(inner);
        Ok(store)
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
        self.retain(&mut inner, record.end)
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

impl Inner {
    fn current(&mut self, directory: &Path) -> Result<&mut Segment, StoreError> {
        if self.segments.is_empty() {
            self.segments.push_back(Segment::open(directory, 0)?);
        }
        // Never empty here; the error only satisfies the type.
        self.segments.back_mut().ok_or_else(|| {
            StoreError::new(
                directory,
                "holds no segment",
                std::io::ErrorKind::NotFound.into(),
            )
        })
    }

    fn index(&mut self, record: &Activation, segment: u64, place: Place) {
        self.arrivals += 1;
        let order = (record.start, self.arrivals);
        let entry = Entry {
            name: record.name.clone(),
            segment,
            place,
        };
        self.namespaces
            .entry(record.namespace.clone())
            .or_default()
            .insert(order, entry);
        self.ids.insert(
            record.activation_id.clone(),
            (record.namespace.clone(), order),
        );
        let (ids, newest) = self
            .members
            .entry(segment)
            .or_insert_with(|| (Vec::new(), i64::MIN));
        ids.push(record.activation_id.clone());
        *newest = (*newest).max(record.end);
    }

    fn forget(&mut self, segment: u64) {
        for id in self
            .members
            .remove(&segment)
            .map(|(ids, _)| ids)
            .unwrap_or_default()
        {
            if let Some((namespace, order)) = self.ids.remove(&id)
                && let Some(entries) = self.namespaces.get_mut(&namespace)
            {
                entries.remove(&order);
            }
        }
    }

    fn matching<'a>(
        &'a self,
        namespace: &str,
        filter: &'a Filter,
    ) -> impl Iterator<Item = &'a Entry> {
        let since = (filter.since.unwrap_or(i64::MIN), 0);
        let upto = (filter.upto.unwrap_or(i64::MAX), u64::MAX);
        self.namespaces
            .get(namespace)
            .filter(|_| since <= upto)
            .into_iter()
            .flat_map(move |entries| entries.range(since..=upto).rev())
            .map(|(_, entry)| entry)
            .filter(|entry| filter.name.as_ref().is_none_or(|name| entry.name == *name))
    }

    fn read(&self, entry: &Entry, directory: &Path) -> Result<Activation, StoreError> {
        let invalid = |problem: String| {
            let error = std::io::Error::new(std::io::ErrorKind::InvalidData, problem);
            StoreError::new(directory, "a record cannot be read", error)
        };
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.number == entry.segment)
            .ok_or_else(|| invalid("its segment is gone".to_owned()))?;
        match serde_json::from_slice(&segment.read(entry.place)?) {
            Ok(Line::Record(record)) => Ok(*record),
            Ok(Line::Begin(_)) => Err(invalid("found the beginning instead".to_owned())),
            Err(error) => Err(invalid(error.to_string())),
        }
    }
}

fn encode(line: &LineRef<'_>, directory: &Path) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(line)
        .map_err(|error| StoreError::new(directory, "a record cannot be encoded", error.into()))
}

/// The record of an activation that the server's end cut off.
fn interrupted(begin: Begin, now: i64) -> Activation {
    Activation {
        annotations: vec![note("path", format!("{}/{}", begin.namespace, begin.name))],
        cause: begin.cause,
        duration: 0,
        end: now,
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::activation::tests::activation;

    const KEEP: Retention = Retention {
        count: 100,
        age: Duration::from_secs(3600),
        bytes: 1 << 30,
    };

    fn begin(id: &str) -> Begin {
        Begin {
            id: id.to_owned(),
            namespace: "guest".to_owned(),
            name: "echo".to_owned(),
            version: "0.0.1".to_owned(),
            subject: "guest".to_owned(),
            cause: None,
            start: 7,
        }
    }

    fn ids(store: &ActivationStore, filter: &Filter) -> Vec<String> {
        store
            .list("guest", filter, 0, 1000)
            .unwrap()
            .into_iter()
            .map(|record| record.activation_id)
            .collect()
    }

    #[test]
    fn lists_the_latest_first_and_filters() {
        let directory = tempfile::tempdir().unwrap();
        let store = ActivationStore::open(directory.path(), KEEP, 0).unwrap();
        for (id, start) in [("a", 10), ("c", 30), ("b", 20)] {
            store.finish(&activation(id, start)).unwrap();
        }
        assert_eq!(ids(&store, &Filter::default()), ["c", "b", "a"]);
        assert_eq!(
            ids(
                &store,
                &Filter {
                    since: Some(20),
                    ..Filter::default()
                }
            ),
            ["c", "b"]
        );
        assert_eq!(
            ids(
                &store,
                &Filter {
                    upto: Some(20),
                    ..Filter::default()
                }
            ),
            ["b", "a"]
        );
        assert!(
            ids(
                &store,
                &Filter {
                    since: Some(30),
                    upto: Some(10),
                    name: None
                }
            )
            .is_empty()
        );
        assert_eq!(
            store.count(
                "guest",
                &Filter {
                    name: Some("other".to_owned()),
                    ..Filter::default()
                }
            ),
            0
        );
        assert!(store.get("other", "a").unwrap().is_none());
        assert_eq!(store.get("guest", "a").unwrap(), Some(activation("a", 10)));
    }

    #[test]
    fn a_crash_loses_no_record_and_leaves_none_open() {
        let directory = tempfile::tempdir().unwrap();
        let store = ActivationStore::open(directory.path(), KEEP, 0).unwrap();
        store.begin(begin("whole")).unwrap();
        store.begin(begin("cut")).unwrap();
        store.finish(&activation("whole", 7)).unwrap();
        drop(store);
        let file = directory
            .path()
            .join("activations/00000000000000000000.log");
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.extend_from_slice(b"{\"record\":{\"acti");
        std::fs::write(&file, bytes).unwrap();

        let store = ActivationStore::open(directory.path(), KEEP, 99).unwrap();
        assert_eq!(
            store.get("guest", "whole").unwrap(),
            Some(activation("whole", 7))
        );
        let cut = store.get("guest", "cut").unwrap().unwrap();
        assert_eq!((cut.response.status, cut.end), (Status::Internal, 99));
        store.finish(&activation("later", 8)).unwrap();
        let store = ActivationStore::open(directory.path(), KEEP, 0).unwrap();
        assert_eq!(store.count("guest", &Filter::default()), 3);
        assert_eq!(
            store.get("guest", "later").unwrap(),
            Some(activation("later", 8))
        );
    }

    #[test]
    fn keeps_no_more_than_told() {
        let directory = tempfile::tempdir().unwrap();
        let retention = Retention { count: 16, ..KEEP };
        let store = ActivationStore::open(directory.path(), retention, 0).unwrap();
        for n in 0..100 {
            store.finish(&activation(&format!("{n}"), n)).unwrap();
        }
        let kept = ids(&store, &Filter::default());
        assert!((16..=18).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept[0], "99");
        let old = Retention {
            age: Duration::from_millis(10),
            ..KEEP
        };
        let store = ActivationStore::open(directory.path(), old, 0).unwrap();
        store.finish(&activation("new", 10_000)).unwrap();
        store.finish(&activation("newer", 10_001)).unwrap();
        assert!(ids(&store, &Filter::default()).len() < 6);
    }
}
