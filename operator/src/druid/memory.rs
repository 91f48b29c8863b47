//! How a server divides the memory that it is given: Java heap, direct memory for buffers, and what the JVM takes itself. Pure.
//!
//! Druid ends at once when `MaxDirectMemorySize` is less than `(numThreads + numMergeBuffers + 1) × buffer size`, and a pod whose
//! heap, buffers and JVM together are more than its limit is killed: so all follow from the limit.

use std::collections::BTreeMap;

/// Bytes of a mebibyte.
pub const MEBIBYTE: u64 = 1024 * 1024;
/// Of the JVM itself: classes, compiled code, stacks. Measured: 110 to 150 MiB with all extensions, for a server at work.
const JVM: u64 = 160;
/// Direct memory of what is not a buffer of queries: HTTP, Kafka, compression.
const DIRECT: u64 = 16;
/// The smallest buffer of queries.
const LEAST_BUFFER: u64 = 8;
/// Druid's own advice for the largest.
const MOST_BUFFER: u64 = 500;
/// Memory limits are told in steps of this.
const STEP: u64 = 32;

/// Settings that decide about direct memory.
pub const THREADS: &str = "druid.processing.numThreads";
/// How many results are merged at once.
pub const MERGES: &str = "druid.processing.numMergeBuffers";
/// The size of each buffer.
pub const BUFFER: &str = "druid.processing.buffer.sizeBytes";

/// How a process divides its memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Memory {
    /// `-Xmx`, in mebibytes.
    pub heap: u64,
    /// `-XX:MaxDirectMemorySize`, in mebibytes.
    pub direct: u64,
    /// Threads and buffers, where it answers questions.
    pub processing: Option<Processing>,
}

/// Threads and buffers of a process that answers questions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Processing {
    /// Threads.
    pub threads: u64,
    /// Buffers in which results are merged.
    pub merges: u64,
    /// Bytes of each buffer.
    pub buffer_bytes: u64,
}

impl Processing {
    /// What Druid asks for, in bytes.
    #[must_use]
    pub fn needed(&self) -> u64 {
        (self.threads + self.merges + 1) * self.buffer_bytes
    }
}

/// What a process needs.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// The smallest heap that it works with, in mebibytes.
    pub heap: u64,
    /// Whether it answers questions.
    pub queries: bool,
}

/// What somebody set of threads and buffers in place of what would be computed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Given {
    threads: Option<u64>,
    merges: Option<u64>,
    buffer_bytes: Option<u64>,
}

impl Given {
    /// Reads it from settings.
    ///
    /// # Errors
    /// Gives the name of the setting that is no number above zero.
    pub fn read(config: &BTreeMap<String, String>) -> Result<Self, &'static str> {
        let number = |name: &'static str, read: fn(&str) -> Option<u64>| match config.get(name) {
            None => Ok(None),
            Some(text) => match read(text.trim()).filter(|number| (1..1 << 40).contains(number)) {
                Some(number) => Ok(Some(number)),
                None => Err(name),
            },
        };
        Ok(Self {
            threads: number(THREADS, |text| text.parse().ok())?,
            merges: number(MERGES, |text| text.parse().ok())?,
            buffer_bytes: number(BUFFER, bytes)?,
        })
    }
}

/// Bytes as Druid writes them: `1000000`, `64MiB`, `100M`.
fn bytes(text: &str) -> Option<u64> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "kib" => 1024,
        "mib" => MEBIBYTE,
        "gib" => 1024 * MEBIBYTE,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Divides a limit in mebibytes; `None` when it is too small.
#[must_use]
pub fn divide(limit: u64, needs: Needs, given: Given) -> Option<Memory> {
    // What the JVM takes itself grows with what it does.
    let free = limit.checked_sub(JVM + limit / 16 + DIRECT)?;
    let processing = needs.queries.then(|| {
        let threads = given.threads.unwrap_or_else(|| (limit / 1024).clamp(1, 32));
        let merges = given.merges.unwrap_or_else(|| (threads / 4).max(2));
        let buffers = threads.saturating_add(merges).saturating_add(1);
        // A quarter for buffers: Druid's advice for servers with much memory is a third, and small ones need their heap.
        let buffer_bytes = given
            .buffer_bytes
            .unwrap_or_else(|| (free / 4 / buffers).clamp(LEAST_BUFFER, MOST_BUFFER) * MEBIBYTE);
        Processing {
            threads,
            merges,
            buffer_bytes,
        }
    });
    let buffers = match processing {
        Some(Processing {
            threads,
            merges,
            buffer_bytes,
        }) => {
            let count = threads.checked_add(merges)?.checked_add(1)?;
            count.checked_mul(buffer_bytes)?.div_ceil(MEBIBYTE)
        }
        None => 0,
    };
    let heap = free.checked_sub(buffers)?;
    (heap >= needs.heap).then_some(Memory {
        // More makes pauses longer, and pointers larger.
        heap: heap.min(31 * 1024),
        direct: buffers + DIRECT,
        processing,
    })
}

/// The smallest limit that can be divided, in mebibytes.
#[must_use]
pub fn least(needs: Needs, given: Given) -> Option<u64> {
    (1..=(1 << 20) / STEP)
        .map(|steps| steps * STEP)
        .find(|limit| divide(*limit, needs, given).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER: Needs = Needs {
        heap: 96,
        queries: true,
    };

    #[test]
    fn direct_memory_is_what_druid_asks_for_and_all_of_it_fits_at_each_size() {
        let first = least(BROKER, Given::default()).unwrap();
        assert!(
            divide(first - 1, BROKER, Given::default()).is_none() || first.is_multiple_of(STEP)
        );
        for limit in (first..64 * 1024).step_by(7) {
            let memory = divide(limit, BROKER, Given::default()).unwrap();
            let needed = memory.processing.unwrap().needed();
            assert!(memory.direct * MEBIBYTE >= needed, "{limit}: {memory:?}");
            assert!(memory.heap >= BROKER.heap);
            let all = memory.heap + memory.direct + JVM;
            assert!(all <= limit, "{limit}: {memory:?}");
        }
    }

    #[test]
    fn more_memory_brings_more_threads_and_larger_buffers() {
        let at = |limit| divide(limit, BROKER, Given::default()).unwrap();
        let (small, large) = (at(384), at(16 * 1024));
        let (a, b) = (small.processing.unwrap(), large.processing.unwrap());
        assert_eq!((a.threads, a.merges), (1, 2));
        assert_eq!((b.threads, b.merges), (16, 4));
        assert!(b.buffer_bytes > 10 * a.buffer_bytes && large.heap > 10 * small.heap);
    }

    #[test]
    fn what_somebody_set_counts() {
        let config = |entries: &[(&str, &str)]| {
            let entries = entries.iter();
            let owned = entries.map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Given::read(&owned.collect())
        };
        let given = config(&[(BUFFER, "64MiB"), (THREADS, "3")]).unwrap();
        assert!(divide(384, BROKER, given).is_none());
        let first = least(BROKER, given).unwrap();
        let memory = divide(first, BROKER, given).unwrap();
        assert_eq!(memory.direct, 6 * 64 + DIRECT);
        assert!(divide(first - STEP, BROKER, given).is_none());
        for (name, value) in [
            (BUFFER, "many"),
            (THREADS, "0"),
            (MERGES, "-1"),
            (BUFFER, "1TiB"),
        ] {
            assert_eq!(config(&[(name, value)]), Err(name));
        }
    }

    #[test]
    fn who_answers_no_questions_has_no_buffers() {
        let router = Needs {
            heap: 48,
            queries: false,
        };
        let memory = divide(256, router, Given::default()).unwrap();
        assert_eq!(
            (memory.heap, memory.direct, memory.processing),
            (64, 16, None)
        );
    }
}
