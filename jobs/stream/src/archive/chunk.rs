//! Records copied out of the client's buffer, many at a time.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_lake::rows::{Raw, Shape};

use super::budget::{Ahead, Share};
use crate::connect::Incoming;

/// A chunk goes on its way when it has so many bytes.
pub const FULL: usize = 128 * 1024;

/// Chunks that are done leave their memory to those that come, up to so many: fresh memory has to be cleared by the kernel first.
const SPARE: usize = 8;

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

#[derive(Default)]
struct Buffers {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// Where chunks come from.
pub struct Chunks {
    ahead: Arc<Ahead>,
    spare: Mutex<Vec<Buffers>>,
}

impl Chunks {
    /// Their bytes are counted by `ahead`.
    pub fn new(ahead: Arc<Ahead>) -> Arc<Self> {
        Arc::new(Self {
            ahead,
            spare: Mutex::default(),
        })
    }

    /// An empty one.
    pub fn begin(self: &Arc<Self>, generation: u64) -> Chunk {
        let spare = self.lock().pop();
        let buffers = spare.unwrap_or_else(|| Buffers {
            bytes: Vec::with_capacity(FULL),
            entries: Vec::new(),
        });
        Chunk {
            generation,
            buffers,
            share: Share::new(&self.ahead),
            uncounted: 0,
            of: Arc::clone(self),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Buffers>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, mut buffers: Buffers) {
        // A large record has made it larger than others are.
        if buffers.bytes.capacity() > 2 * FULL {
            return;
        }
        buffers.bytes.clear();
        buffers.entries.clear();
        let mut spare = self.lock();
        if spare.len() < SPARE {
            spare.push(buffers);
        }
    }
}

/// Records of one partition, in their order.
pub struct Chunk {
    /// Counts the starts of its partition: what was read before the last start does not count.
    pub generation: u64,
    buffers: Buffers,
    share: Share,
    uncounted: usize,
    of: Arc<Chunks>,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.of.give_back(std::mem::take(&mut self.buffers));
    }
}

impl Chunk {
    /// Appends a record.
    pub fn push(&mut self, record: &Incoming<'_>, shape: Shape) {
        let before = self.buffers.bytes.len();
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
        self.buffers.entries.push(Entry {
            offset: record.offset(),
            kafka_time: record.timestamp_ms(),
            key,
            value,
            source,
            kind,
            time,
            headers,
        });
        self.uncounted += self.buffers.bytes.len() - before + OVERHEAD;
        if self.uncounted >= PART {
            self.count();
        }
    }

    fn count(&mut self) {
        self.share.grow(std::mem::take(&mut self.uncounted));
    }

    fn put(&mut self, bytes: &[u8]) -> Option<Range<u32>> {
        let from = u32::try_from(self.buffers.bytes.len()).ok()?;
        self.buffers.bytes.extend_from_slice(bytes);
        Some(from..u32::try_from(self.buffers.bytes.len()).ok()?)
    }

    /// Whether it is to go on its way.
    pub fn is_full(&self) -> bool {
        self.buffers.bytes.len() + self.buffers.entries.len() * OVERHEAD >= FULL
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.buffers.entries.is_empty()
    }

    /// The records.
    pub fn records(&self) -> impl Iterator<Item = Raw<'_>> {
        let bytes = |range: &Option<Range<u32>>| {
            let range = range.as_ref()?;
            self.buffers
                .bytes
                .get(range.start as usize..range.end as usize)
        };
        let text = move |range: &Option<Range<u32>>| std::str::from_utf8(bytes(range)?).ok();
        self.buffers.entries.iter().map(move |entry| Raw {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_leaves_its_memory_and_nothing_else() {
        let ahead = Ahead::new(1 << 20);
        let chunks = Chunks::new(Arc::clone(&ahead));
        let mut first = chunks.begin(1);
        first.put(b"of the first");
        first.share.grow(12);
        let place = first.buffers.bytes.as_ptr();
        drop(first);
        assert_eq!(ahead.used(), 0);
        let next = chunks.begin(2);
        assert_eq!(next.buffers.bytes.as_ptr(), place);
        assert!(next.is_empty() && next.buffers.bytes.is_empty());
        let mut large = chunks.begin(2);
        large.put(&vec![0; 3 * FULL]);
        drop(large);
        assert_eq!(chunks.lock().len(), 0);
        let many: Vec<Chunk> = (0..2 * SPARE).map(|_| chunks.begin(3)).collect();
        drop(many);
        assert_eq!(chunks.lock().len(), SPARE);
    }
}
