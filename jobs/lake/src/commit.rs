//! The archive's commit protocol.
//!
//! | step | what is done | when the process dies after it |
//! |---|---|---|
//! | `stage` | rows go to files in the writer's own folder in `_staging` | nothing counts; they are read from Kafka again |
//! | `close` | each file is closed: what it holds stays | the same |
//! | `seal` | the commit record is written and closed beside them | the same |
//! | `commit` | the record is renamed to its name for good, never over another | **everything counts**; what follows is redone |
//! | `publish` | each file is renamed to its name for good | the rest is published by whoever comes next |
//! | `settle` | the writer's folder is removed, and those of others that can never count | whoever comes next removes them |
//!
//! `stage` and `close` are done by whoever has the rows; [`Commit`] does the rest, one change per call of
//! [`Commit::advance`], each of which may be repeated when it is not known whether it was done.
//!
//! A source's records form a chain: each begins where the one before ends, and a name is given once. So of two
//! writers that go on from the same place one gets through; the other is fenced, and its files never count.

use std::fmt;

use crate::error::LakeError;
use crate::layout::{Layout, Source};
use crate::reader;
use crate::record::{self, CommitRecord, FileEntry, Record};
use crate::storage::{Storage, StorageFile as _, StorageKind, put};

/// A step of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Rows go to files in staging.
    Stage,
    /// The files are closed.
    Close,
    /// The record is written beside them.
    Seal,
    /// The record gets its name.
    Commit,
    /// Files that were replaced are put aside. Only in a rewrite.
    Withdraw,
    /// The files get their names.
    Publish,
    /// Staging that never counts is removed.
    Settle,
    /// Nothing is left to do.
    Done,
}

impl Step {
    /// Its name, as documented.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Close => "close",
            Self::Seal => "seal",
            Self::Commit => "commit",
            Self::Withdraw => "withdraw",
            Self::Publish => "publish",
            Self::Settle => "settle",
            Self::Done => "done",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Finds out whether a writer may write into a dataset, whose folder is made: an empty file comes and goes.
///
/// # Errors
/// It may not, or the storage is away. Of two that try at once one may be told so, too, and tries again.
pub async fn may_write<S: Storage>(storage: &S, layout: &Layout) -> Result<(), LakeError> {
    let path = layout.trial();
    match storage.create(&path).await {
        Ok(file) => file.close().await?,
        // Left by one that was killed.
        Err(error) if error.kind == StorageKind::Exists => {}
        Err(error) => return Err(error.into()),
    }
    Ok(storage.remove(&path).await?)
}

/// A commit on its way.
#[derive(Debug)]
pub struct Commit {
    record: CommitRecord,
    layout: Layout,
    path: String,
    staging: String,
    at: Step,
    published: usize,
}

impl Commit {
    /// Begins with files that are closed in staging.
    #[must_use]
    pub fn new(layout: &Layout, record: CommitRecord) -> Self {
        Self::at(layout, record, Step::Seal)
    }

    fn at(layout: &Layout, record: CommitRecord, at: Step) -> Self {
        let source = record.source();
        Self {
            path: layout.commit(&source, record.start_offset),
            staging: layout.staging(&source, record.start_offset, &record.writer),
            layout: layout.clone(),
            record,
            at,
            published: 0,
        }
    }

    /// The step that [`Commit::advance`] does next.
    #[must_use]
    pub fn step(&self) -> Step {
        self.at
    }

    /// What is being committed.
    #[must_use]
    pub fn record(&self) -> &CommitRecord {
        &self.record
    }

    /// Whether it counts.
    #[must_use]
    pub fn is_committed(&self) -> bool {
        self.at > Step::Commit
    }

    /// Does one step.
    ///
    /// # Errors
    /// [`LakeError::Fenced`]: another writer was first, and nothing of this counts. After a retriable error the same
    /// call is made again. After any other the caller starts over with [`resume`].
    pub async fn advance<S: Storage>(&mut self, storage: &S) -> Result<Step, LakeError> {
        match self.at {
            Step::Stage | Step::Close | Step::Seal => {
                seal(storage, &self.staging, &self.path, &self.record).await?;
                self.at = Step::Commit;
            }
            Step::Commit => {
                claim(storage, &self.staging, &self.path, &self.record).await?;
                self.at = Step::Publish;
            }
            Step::Withdraw | Step::Publish => {
                if let Some(file) = self.record.files.get(self.published) {
                    publish(storage, file).await?;
                    self.published += 1;
                }
                if self.published >= self.record.files.len() {
                    self.at = Step::Settle;
                }
            }
            Step::Settle => {
                let source = self.record.source();
                sweep(storage, &self.layout, &source, self.record.end_offset).await?;
                self.at = Step::Done;
            }
            Step::Done => {}
        }
        Ok(self.at)
    }
}

fn sealed(staging: &str) -> String {
    format!("{staging}/record.json")
}

/// Step `seal`: writes the record into staging. A former try may have left a part of it.
pub(crate) async fn seal<S: Storage, R: Record>(
    storage: &S,
    staging: &str,
    path: &str,
    record: &R,
) -> Result<(), LakeError> {
    let bytes = record::encode(path, record)?;
    let sealed = sealed(staging);
    match put(storage, &sealed, bytes.clone()).await {
        Err(error) if error.kind == StorageKind::Exists => {
            storage.remove(&sealed).await?;
            put(storage, &sealed, bytes).await?;
            Ok(())
        }
        done => Ok(done?),
    }
}

/// Step `commit`: gives the record its name, or finds out who has got it.
pub(crate) async fn claim<S: Storage, R: Record>(
    storage: &S,
    staging: &str,
    path: &str,
    record: &R,
) -> Result<(), LakeError> {
    let Err(error) = storage.rename(&sealed(staging), path).await else {
        return Ok(());
    };
    // The answer may have been lost: only the name itself tells.
    if storage.size(path).await?.is_none() {
        return Err(error.into());
    }
    // All of it is compared, not only the writer: another try of the same writer may hold other rows.
    if storage.read(path).await? == record::encode(path, record)? {
        return Ok(());
    }
    let there: R = record::read(storage, path).await?;
    Err(LakeError::Fenced {
        path: path.to_owned(),
        by: there.writer().to_owned(),
    })
}

/// Step `publish`: gives a file its name. Others may be doing the same.
pub(crate) async fn publish<S: Storage>(storage: &S, file: &FileEntry) -> Result<(), LakeError> {
    let Err(error) = storage.rename(&file.staged, &file.path).await else {
        return Ok(());
    };
    match storage.size(&file.path).await? {
        Some(bytes) if bytes == file.bytes => Ok(()),
        Some(found) => Err(LakeError::Foreign {
            path: file.path.clone(),
            found,
            expected: file.bytes,
        }),
        None if error.kind != StorageKind::NotFound => Err(error.into()),
        // It lies in neither place. Between the two questions somebody else may have moved it, or a rewrite has
        // already put it aside.
        None => match storage.size(&file.staged).await? {
            Some(_) => Err(error.into()),
            None => Err(LakeError::Gone {
                path: file.path.clone(),
            }),
        },
    }
}

/// Where a source goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The offset of the next record to archive; none when nothing was archived.
    pub offset: Option<i64>,
    /// Files that were committed and got their names only now.
    pub published: usize,
    /// Folders in staging that were removed.
    pub removed: usize,
}

/// The last commit record of a source.
///
/// # Errors
/// The storage fails, or the record cannot be understood.
pub async fn last<S: Storage>(
    storage: &S,
    layout: &Layout,
    source: &Source,
) -> Result<Option<CommitRecord>, LakeError> {
    let root = layout.commits_of(source);
    let mut folders = storage.list(&root).await?;
    // Offsets have leading zeros: the order of names is theirs. A folder may be empty: then whoever made it died.
    while let Some(folder) = folders.pop() {
        let inside = format!("{root}/{}", folder.name);
        let mut names = storage.list(&inside).await?;
        names.retain(|entry| !entry.folder && entry.name.ends_with(".json"));
        if let Some(newest) = names.pop() {
            let path = format!("{inside}/{}", newest.name);
            return record::read(storage, &path).await.map(Some);
        }
    }
    Ok(None)
}

/// Finds where a source goes on, after what the writer before could not finish: its last commit is published, and what
/// can never count is removed from staging.
///
/// Only the last commit can be unfinished, since a writer publishes one before it commits the next.
///
/// # Errors
/// The storage fails, or a record cannot be understood.
pub async fn resume<S: Storage>(
    storage: &S,
    layout: &Layout,
    source: &Source,
) -> Result<Resume, LakeError> {
    let Some(record) = last(storage, layout, source).await? else {
        return Ok(Resume {
            offset: None,
            published: 0,
            removed: 0,
        });
    };
    let end = record.end_offset;
    let mut published = 0;
    for file in &record.files {
        if storage.size(&file.staged).await?.is_some() {
            publish(storage, file).await?;
            published += 1;
        }
    }
    let removed = sweep(storage, layout, source, end).await?;
    Ok(Resume {
        offset: Some(end),
        published,
        removed,
    })
}

/// Gives what was committed its names, in all sources of a dataset: afterwards those who look at folders see it, whether its
/// writer runs, waits for the storage, or is gone. Gives how many files got theirs.
///
/// # Errors
/// The storage fails, or a record cannot be understood.
pub async fn publish_committed<S: Storage>(
    storage: &S,
    layout: &Layout,
) -> Result<usize, LakeError> {
    let mut published = 0;
    for source in reader::sources(storage, layout).await? {
        published += resume(storage, layout, &source).await?.published;
    }
    Ok(published)
}

/// Removes the staging of writers that began before `end`: their place in the chain is taken, so that they are fenced,
/// or they have published all they had.
///
/// # Errors
/// The storage fails.
pub async fn sweep<S: Storage>(
    storage: &S,
    layout: &Layout,
    source: &Source,
    end: i64,
) -> Result<usize, LakeError> {
    let root = layout.staging_of(source);
    let mut removed = 0;
    for entry in storage.list(&root).await? {
        if Layout::staged_start(&entry.name).is_some_and(|start| start < end) {
            storage.remove(&format!("{root}/{}", entry.name)).await?;
            removed += 1;
        }
    }
    Ok(removed)
}
