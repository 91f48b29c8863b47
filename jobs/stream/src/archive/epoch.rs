//! What becomes one commit: the open files of one partition from a start offset on. Steps `stage` and `close`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use millrace_lake::commit::Commit;
use millrace_lake::content::Content;
use millrace_lake::layout::{Hour, Layout, Source};
use millrace_lake::parquet_file::ParquetFile;
use millrace_lake::record::{CommitRecord, FORMAT, Offsets};
use millrace_lake::rows::{Parsed, Raw, Reader, Rows, Shape, hour};
use millrace_lake::{LakeError, Storage};
use uuid::Uuid;

use super::budget::{Held, Memory};

/// So many rows are gathered before they are encoded together.
const BATCH: usize = 4096;

/// Where an epoch's files go, and how large they become.
pub struct Plan<S> {
    /// The lake.
    pub storage: S,
    /// Its names.
    pub layout: Layout,
    /// What the topic's records are.
    pub shape: Shape,
    /// A row group ends when it takes so many bytes in memory.
    pub row_group_bytes: usize,
    /// What all open files may take.
    pub memory: Arc<Memory>,
}

struct Open<F> {
    rows: Rows,
    file: Option<ParquetFile<F>>,
}

/// What was read of one partition and is not committed.
pub struct Epoch<S: Storage> {
    plan: Arc<Plan<S>>,
    source: Source,
    // Of this epoch alone: another try of the same process is another writer.
    writer: String,
    start: i64,
    next: i64,
    missing: Option<Offsets>,
    reader: Reader,
    hours: BTreeMap<Hour, Open<S::File>>,
    held: Held,
    rows: u64,
    unreadable: u64,
    since: Option<Instant>,
    oldest: Option<i64>,
}

impl<S: Storage> Epoch<S> {
    /// Begins at `start`, where the last commit ended.
    pub fn new(plan: Arc<Plan<S>>, source: Source, start: i64, missing: Option<Offsets>) -> Self {
        Self {
            held: Held::new(&plan.memory),
            reader: Reader::new(plan.shape),
            plan,
            source,
            writer: Uuid::new_v4().to_string(),
            start,
            next: missing.map_or(start, |missing| missing.to),
            missing,
            hours: BTreeMap::new(),
            rows: 0,
            unreadable: 0,
            since: None,
            oldest: None,
        }
    }

    /// The lowest offset that the next record can have.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Kafka had removed these before they could be read. Only what comes right before the next record is noted.
    pub fn lost(&mut self, missing: Offsets) {
        let from = self.missing.map_or(missing.from, |before| before.from);
        self.missing = Some(Offsets {
            from,
            to: missing.to,
        });
        self.next = self.next.max(missing.to);
    }

    /// Records in it.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Records whose value is no event.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// When its first record came.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The time that Kafka has for its first record, in milliseconds since 1970.
    pub fn oldest(&self) -> Option<i64> {
        self.oldest
    }

    /// Hours that it touches.
    pub fn hours(&self) -> usize {
        self.hours.len()
    }

    /// About how many bytes its files will have.
    pub fn size(&self) -> usize {
        let sizes = self
            .hours
            .values()
            .map(|open| open.file.as_ref().map_or(0, ParquetFile::size));
        sizes.sum()
    }

    /// Takes records in, which must be in their order.
    ///
    /// # Errors
    /// The storage fails: then the epoch is of no use any more.
    pub async fn take<'a>(
        &mut self,
        records: impl Iterator<Item = Raw<'a>> + Send,
    ) -> Result<(), LakeError> {
        let mut parsed = Parsed::default();
        for raw in records {
            self.reader.read(&raw, &mut parsed);
            self.unreadable += u64::from(!parsed.readable);
            let hour = hour(&raw, &parsed);
            let (plan, partition) = (&self.plan, self.source.partition);
            let open = self.hours.entry(hour).or_insert_with(|| Open {
                rows: Rows::new(plan.shape, plan.shape.schema(), partition),
                file: None,
            });
            open.rows.push(&raw, &parsed);
            self.next = raw.offset + 1;
            self.rows += 1;
            if self.since.is_none() {
                self.since = Some(Instant::now());
                self.oldest = raw.kafka_time;
            }
            if open.rows.len() >= BATCH {
                self.encode(hour).await?;
            }
        }
        self.measure();
        if self.held.is_too_much() {
            self.give_back().await?;
        }
        Ok(())
    }

    fn measure(&mut self) {
        let held = |open: &Open<S::File>| {
            open.rows.bytes() + open.file.as_ref().map_or(0, ParquetFile::held)
        };
        let held = self.hours.values().map(held).sum();
        self.held.set(held);
    }

    // Step `stage`: rows of an hour to its file.
    async fn encode(&mut self, hour: Hour) -> Result<(), LakeError> {
        let number = self
            .hours
            .values()
            .filter(|open| open.file.is_some())
            .count();
        let Some(open) = self.hours.get_mut(&hour) else {
            return Ok(());
        };
        if open.rows.is_empty() {
            return Ok(());
        }
        let batch = open.rows.finish()?;
        if let Some(file) = &mut open.file {
            return file.write(&batch).await;
        }
        let (plan, source) = (&self.plan, &self.source);
        let staging = plan.layout.staging(source, self.start, &self.writer);
        let file = ParquetFile::begin(
            &plan.storage,
            format!("{staging}/{number:04}.parquet"),
            plan.layout.data(hour, source, self.start, number),
            hour,
            &batch,
            plan.row_group_bytes,
        );
        open.file.insert(file.await?).write(&batch).await
    }

    // Ends the row groups of the largest files until half of the memory is given back.
    async fn give_back(&mut self) -> Result<(), LakeError> {
        let mut largest: Vec<(usize, Hour)> = self
            .hours
            .iter()
            .map(|(hour, open)| {
                (
                    open.file.as_ref().map_or(0, ParquetFile::held) + open.rows.bytes(),
                    *hour,
                )
            })
            .collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let mut left = largest.iter().map(|(bytes, _)| bytes).sum::<usize>() / 2;
        for (bytes, hour) in largest {
            self.flush(hour).await?;
            left = left.saturating_sub(bytes);
            if left == 0 {
                break;
            }
        }
        self.measure();
        Ok(())
    }

    /// The rest of step `stage`: no row is left outside of a file, nor in memory.
    ///
    /// # Errors
    /// The storage fails: then the epoch is of no use any more.
    pub async fn stage(&mut self) -> Result<(), LakeError> {
        let hours: Vec<Hour> = self.hours.keys().copied().collect();
        for hour in hours {
            self.flush(hour).await?;
        }
        self.measure();
        Ok(())
    }

    async fn flush(&mut self, hour: Hour) -> Result<(), LakeError> {
        self.encode(hour).await?;
        let open = self.hours.get_mut(&hour);
        if let Some(file) = open.and_then(|open| open.file.as_mut()) {
            file.flush().await?;
        }
        Ok(())
    }

    /// Step `close`: gives the commit.
    ///
    /// # Errors
    /// The storage fails: then the epoch is of no use any more.
    pub async fn close(mut self) -> Result<Commit, LakeError> {
        // Side by side: HDFS takes its time to tell that a file is complete.
        let open = std::mem::take(&mut self.hours).into_values();
        let files = open.filter_map(|open| open.file).map(ParquetFile::close);
        let mut files = futures::future::try_join_all(files).await?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let content = Content::total(files.iter().map(|file| &file.content));
        if content.rows != self.rows {
            return Err(LakeError::Changed {
                path: self
                    .plan
                    .layout
                    .staging(&self.source, self.start, &self.writer),
                problem: format!("{} rows read and {} in files", self.rows, content.rows),
            });
        }
        let record = CommitRecord {
            format: FORMAT,
            topic: self.source.topic.clone(),
            partition: self.source.partition,
            start_offset: self.start,
            end_offset: self.next,
            missing: self.missing,
            content,
            files,
            schema_version: millrace_contract::telemetry::VERSION,
            writer: self.writer.clone(),
            at: Timestamp::now(),
        };
        Ok(Commit::new(&self.plan.layout, record))
    }

    /// Where its files lie until they count.
    pub fn staging(&self) -> String {
        self.plan
            .layout
            .staging(&self.source, self.start, &self.writer)
    }
}
