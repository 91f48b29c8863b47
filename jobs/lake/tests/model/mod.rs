//! A topic, and writers that archive it into memory, crash, hang and come back.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod hours;
pub mod worker;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::executor::block_on;
use jiff::Timestamp;
use millrace_lake::commit::{self, Commit, Step};
use millrace_lake::content::Content;
use millrace_lake::layout::{Hour, Layout, Source};
use millrace_lake::record::{CommitRecord, FORMAT, FileEntry};
use millrace_lake::storage::{Fault, Memory, put};
use millrace_lake::{LakeError, Storage as _};

/// What happens next, to which writer.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// It does its next step.
    Step,
    /// It dies at the so-manieth change from now, before it or after it.
    Die(u32, Fault),
    /// The so-manieth change from now is answered by nobody, and it lives on.
    Hang(u32, Fault),
}

/// A partition of a topic: offsets, some of which hold no record.
pub struct Topic {
    pub source: Source,
    pub layout: Layout,
    /// The hour of each record.
    pub records: BTreeMap<i64, Hour>,
}

pub fn hour(n: u8) -> Hour {
    Hour::of_micros(1_790_000_000_000_000 + i64::from(n) * 3_600_000_000).unwrap()
}

fn row(offset: i64) -> Content {
    // Any hash will do that differs from row to row.
    let n = u128::try_from(offset).unwrap() + 1;
    Content::row(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

impl Topic {
    /// `hours[n]` is the hour of offset `n`; none where Kafka keeps a mark of its own.
    pub fn new(hours: &[Option<u8>]) -> Self {
        let records = hours.iter().enumerate().filter_map(|(offset, n)| {
            let n = (*n)?;
            Some((i64::try_from(offset).unwrap(), hour(n)))
        });
        Self {
            source: Source::new("telemetry", 0),
            layout: Layout::new("telemetry").unwrap(),
            records: records.collect(),
        }
    }

    pub fn content(&self, from: i64, to: i64) -> Content {
        let rows: Vec<Content> = self
            .records
            .range(from..to)
            .map(|(offset, _)| row(*offset))
            .collect();
        Content::total(&rows)
    }
}

/// A data file of the model holds its offsets as JSON.
pub fn file(path: String, staged: String, hour: Hour, offsets: &[i64]) -> (FileEntry, Vec<u8>) {
    let bytes = serde_json::to_vec(offsets).unwrap();
    let rows: Vec<Content> = offsets.iter().map(|offset| row(*offset)).collect();
    let entry = FileEntry {
        path,
        staged,
        hour: hour.to_string(),
        bytes: bytes.len() as u64,
        sha256: String::new(),
        content: Content::total(&rows),
        first_offset: offsets[0],
        last_offset: *offsets.last().unwrap(),
    };
    (entry, bytes)
}

// A former try that was not answered may have left the file.
async fn stage(storage: &Memory, entry: &FileEntry, bytes: &[u8]) -> Result<(), LakeError> {
    let bytes = Bytes::copy_from_slice(bytes);
    match put(storage, &entry.staged, bytes.clone()).await {
        Err(error) if !error.is_retriable() => {
            storage.remove(&entry.staged).await?;
            put(storage, &entry.staged, bytes).await?;
        }
        done => done?,
    }
    Ok(())
}

enum State {
    Resuming,
    Writing {
        start: i64,
        writer: String,
        files: Vec<(FileEntry, Vec<u8>)>,
        closed: usize,
        end: i64,
    },
    Committing {
        commit: Box<Commit>,
        /// What comes after it, which is staged meanwhile.
        next: Box<State>,
    },
    Done,
}

/// A process that archives the topic.
pub struct Writer {
    number: usize,
    lives: usize,
    storage: Memory,
    state: State,
    hangs: bool,
    // So many records make a commit; differs, so that writers that go on from one place want different things.
    rows: usize,
}

impl Writer {
    pub fn new(number: usize, storage: &Memory) -> Self {
        Self {
            number,
            lives: 0,
            storage: storage.clone(),
            state: State::Resuming,
            hangs: false,
            rows: 3 + 2 * number,
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The step of the protocol that comes next.
    pub fn next(&self) -> Option<Step> {
        match &self.state {
            State::Resuming | State::Done => None,
            State::Writing { files, closed, .. } if *closed < files.len() => Some(Step::Stage),
            State::Writing { .. } => Some(Step::Close),
            State::Committing { commit, .. } => Some(commit.step()),
        }
    }

    pub fn act(&mut self, topic: &Topic, act: Act) {
        match act {
            Act::Step => self.step(topic),
            Act::Die(after, fault) => {
                self.hangs = false;
                self.storage.fail_after(after, fault);
                self.step(topic);
            }
            Act::Hang(after, fault) => {
                self.hangs = true;
                self.storage.fail_after(after, fault);
                self.step(topic);
            }
        }
    }

    pub fn step(&mut self, topic: &Topic) {
        match block_on(self.go_on(topic)) {
            Ok(()) => {}
            Err(error) if error.is_retriable() => {
                self.storage.mend();
                if !self.hangs {
                    // It died: what it knew is gone.
                    self.lives += 1;
                    self.state = State::Resuming;
                }
            }
            // What a writer does whose files do not count.
            Err(LakeError::Fenced { .. } | LakeError::Storage(_) | LakeError::Gone { .. }) => {
                self.lives += 1;
                self.state = State::Resuming;
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn go_on(&mut self, topic: &Topic) -> Result<(), LakeError> {
        match &mut self.state {
            State::Resuming => {
                let resume = commit::resume(&self.storage, &topic.layout, &topic.source).await?;
                self.state = self.begin(topic, resume.offset.unwrap_or(0));
            }
            State::Writing {
                start,
                writer,
                files,
                closed,
                end,
            } => {
                if let Some((entry, bytes)) = files.get(*closed) {
                    stage(&self.storage, entry, bytes).await?;
                    *closed += 1;
                    return Ok(());
                }
                let record = CommitRecord {
                    format: FORMAT,
                    topic: topic.source.topic.clone(),
                    partition: topic.source.partition,
                    start_offset: *start,
                    end_offset: *end,
                    missing: None,
                    content: Content::total(files.iter().map(|(entry, _)| &entry.content)),
                    files: files.iter().map(|(entry, _)| entry.clone()).collect(),
                    schema_version: 1,
                    writer: writer.clone(),
                    at: Timestamp::UNIX_EPOCH,
                };
                let end = *end;
                self.state = State::Committing {
                    commit: Box::new(Commit::new(&topic.layout, record)),
                    next: Box::new(self.begin(topic, end)),
                };
            }
            State::Committing { commit, next } => {
                // A file of the next epoch before each step but the first.
                if commit.step() > Step::Seal
                    && let State::Writing { files, closed, .. } = next.as_mut()
                    && let Some((entry, bytes)) = files.get(*closed)
                {
                    stage(&self.storage, entry, bytes).await?;
                    *closed += 1;
                }
                if commit.advance(&self.storage).await? == Step::Done {
                    self.state = std::mem::replace(next.as_mut(), State::Done);
                }
            }
            State::Done => {}
        }
        Ok(())
    }

    fn begin(&mut self, topic: &Topic, start: i64) -> State {
        let mut by_hour: BTreeMap<Hour, Vec<i64>> = BTreeMap::new();
        let mut end = start;
        for (offset, hour) in topic.records.range(start..).take(self.rows) {
            by_hour.entry(*hour).or_default().push(*offset);
            end = offset + 1;
        }
        if by_hour.is_empty() {
            return State::Done;
        }
        self.lives += 1;
        let writer = format!("w{}-{}", self.number, self.lives);
        let staging = topic.layout.staging(&topic.source, start, &writer);
        let files = by_hour.into_iter().enumerate().map(|(n, (hour, offsets))| {
            let path = topic.layout.data(hour, &topic.source, start, n);
            file(path, format!("{staging}/{n:04}.parquet"), hour, &offsets)
        });
        State::Writing {
            start,
            writer,
            files: files.collect(),
            closed: 0,
            end,
        }
    }
}
