//! Records copied out of the client's buffer, many at a time.

use std::ops::Range;
use std::sync::Arc;

use millrace_lake::rows::{Raw, Shape};

use super::budget::{Ahead, Share};
use crate::connect::Incoming;

/// A chunk goes on its way when it has so many bytes.
pub const FULL: usize = 128 * 1024;

/// Bytes are counted in parts of this size: each time all who count wait for one another.
const PART: usize = 16 * 1024;

/// What a record takes besides its own bytes.
const OVERHEAD: usize = std::mem::size_of::<Entry>();

struct Entry {
    offset: i64,
    kafka_time: Option<i64>,
    key: Option<Range<u32>>,
    value: Option<Range<u32>>,
    source: Option<Range<u32>>,
    kind: Option<Range<u32>>,
    time: Option<Range<u32>>,
    headers: Option<Range<u32>>,
}

/// Records of one partition, in their order.
pub struct Chunk {
    /// Counts the starts of its partition: what was read before the last start does not count.
    pub generation: u64,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    share: Share,
    uncounted: usize,
}

impl Chunk {
    /// An empty one, whose bytes are counted by `ahead`.
    pub fn new(generation: u64, ahead: &Arc<Ahead>) -> Self {
        Self {
            generation,
            bytes: Vec::with_capacity(FULL),
            entries: Vec::new(),
            share: Share::new(ahead),
            uncounted: 0,
        }
    }

    /// Appends a record.
    pub fn push(&mut self, record: &Incoming<'_>, shape: Shape) {
        let before = self.bytes.len();
        let key = record.key().and_then(|key| self.put(key));
        let value = record.payload().and_then(|value| self.put(value));
        let (mut kind, mut time, mut headers) = (None, None, None);
        let source = record
            .header("ce_source")
            .and_then(|text| self.put(text.as_bytes()));
        if shape.keeps_headers() {
            kind = record
                .header("ce_type")
                .and_then(|text| self.put(text.as_bytes()));
            time = record
                .header("ce_time")
                .and_then(|text| self.put(text.as_bytes()));
            headers = record
                .headers_json()
                .and_then(|text| self.put(text.as_bytes()));
        }
        self.entries.push(Entry {
            offset: record.offset(),
            kafka_time: record.timestamp_ms(),
            key,
            value,
            source,
            kind,
            time,
            headers,
        });
        self.uncounted += self.bytes.len() - before + OVERHEAD;
        if self.uncounted >= PART {
            self.count();
        }
    }

    fn count(&mut self) {
        self.share.grow(std::mem::take(&mut self.uncounted));
    }

    fn put(&mut self, bytes: &[u8]) -> Option<Range<u32>> {
        let from = u32::try_from(self.bytes.len()).ok()?;
        self.bytes.extend_from_slice(bytes);
        Some(from..u32::try_from(self.bytes.len()).ok()?)
    }

    /// Whether it is to go on its way.
    pub fn is_full(&self) -> bool {
        self.bytes.len() + self.entries.len() * OVERHEAD >= FULL
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The records.
    pub fn records(&self) -> impl Iterator<Item = Raw<'_>> {
        let bytes = |range: &Option<Range<u32>>| {
            let range = range.as_ref()?;
            self.bytes.get(range.start as usize..range.end as usize)
        };
        let text = move |range: &Option<Range<u32>>| std::str::from_utf8(bytes(range)?).ok();
        self.entries.iter().map(move |entry| Raw {
            offset: entry.offset,
            kafka_time: entry.kafka_time,
            key: bytes(&entry.key),
            value: bytes(&entry.value),
            source: text(&entry.source),
            kind: text(&entry.kind),
            time: text(&entry.time),
            headers: text(&entry.headers),
        })
    }
}
