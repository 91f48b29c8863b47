//! The index in memory over the segments, and the lines that stand in them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Begin;
use super::debt::Debt;
use super::held::Held;
use crate::activation::Activation;
use crate::store::StoreError;
use crate::store::segment::{Place, Segment};

#[derive(Serialize)]
pub(super) enum LineRef<'a> {
    #[serde(rename = "begin")]
    Begin(&'a Begin),
    #[serde(rename = "record")]
    Record(&'a Activation),
}

#[derive(Deserialize)]
pub(super) enum Line {
    #[serde(rename = "begin")]
    Begin(Begin),
    #[serde(rename = "record")]
    Record(Box<Activation>),
}

/// Which activations a list asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this action, with its package if it is in one.
    pub name: Option<String>,
    /// Only begun at or after this, ms since 1970.
    pub since: Option<i64>,
    /// Only begun at or before this.
    pub upto: Option<i64>,
}

/// The part of a list that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Left out at the beginning.
    pub skip: usize,
    /// At most so many.
    pub limit: usize,
    /// At most so many bytes of records as they are written down, but one record in any case.
    pub bytes: usize,
}

/// Start, then order of arrival: the order of lists.
pub(super) type Order = (i64, u64);

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) segment: u64,
    pub(super) place: Place,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) segments: VecDeque<Segment>,
    pub(super) namespaces: HashMap<String, BTreeMap<Order, Entry>>,
    pub(super) ids: HashMap<String, (String, Order)>,
    /// Ids by segment, for dropping it, with the newest end in it.
    pub(super) members: HashMap<u64, (Vec<String>, i64)>,
    /// What has begun and not ended, with the segment in which that stands last.
    pub(super) open: HashMap<String, (u64, Begin)>,
    pub(super) arrivals: u64,
    /// Whether anything was appended since the last writing through.
    pub(super) unsynced: bool,
    pub(super) debt: Debt,
    pub(super) held: Held,
}

impl Inner {
    pub(super) fn current(&mut self, directory: &Path) -> Result<&mut Segment, StoreError> {
        if self.segments.is_empty() {
            self.segments.push_back(Segment::open(directory, 0)?);
            self.debt.created = true;
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

    pub(super) fn index(&mut self, record: &Activation, segment: u64, place: Place) {
        self.arrivals += 1;
        let order = (record.start, self.arrivals);
        let entry = Entry {
            name: record.listed_name(),
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
        *newest = (*newest).max(record.ended());
    }

    pub(super) fn forget(&mut self, segment: u64) {
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

    pub(super) fn matching<'a>(
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

    /// The line at a place; none when its segment was dropped.
    pub(super) fn line(&self, segment: u64, place: Place) -> Result<Option<Vec<u8>>, StoreError> {
        self.segments
            .iter()
            .find(|found| found.number == segment)
            .map(|found| found.read(place))
            .transpose()
    }
}

pub(super) fn encode(line: &LineRef<'_>, directory: &Path) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(line)
        .map_err(|error| StoreError::new(directory, "a record cannot be encoded", error.into()))
}

/// The record in a line.
pub(super) fn decode(line: &[u8], directory: &Path) -> Result<Activation, StoreError> {
    let invalid = |problem: String| {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, problem);
        StoreError::new(directory, "a record cannot be read", error)
    };
    match serde_json::from_slice(line) {
        Ok(Line::Record(record)) => Ok(*record),
        Ok(Line::Begin(_)) => Err(invalid("found the beginning instead".to_owned())),
        Err(error) => Err(invalid(error.to_string())),
    }
}
