//! Files of an hour replaced by others: for compaction, and for whatever else must change what lies in the lake.
//!
//! The protocol is that of [`crate::commit`], with one step more:
//!
//! | step | what is done | when the process dies after it |
//! |---|---|---|
//! | `stage`, `close`, `seal` | the new files and the record, in staging | nothing counts |
//! | `commit` | the record gets the next number of its hour, never over another | **the new files count, the old ones do not** |
//! | `withdraw` | the old files are moved to `_replaced`, or to the trash when nothing takes their place | the rest is moved by whoever comes next |
//! | `publish` | the new files get their names | the same |
//! | `settle` | staging is removed | the same |
//!
//! Commit records are never removed: they are the fences. Those who read by the records see all of an hour at any
//! time, before, between and after these steps. Whoever reads folders sees some rows missing between `withdraw` and
//! `publish`, and never rows twice.

use crate::commit::{Step, claim, publish, seal};
use crate::error::LakeError;
use crate::layout::{Hour, Layout};
use crate::record::{self, RewriteRecord, Withdrawn};
use crate::storage::{Storage, StorageKind};

/// A rewrite on its way.
#[derive(Debug)]
pub struct Rewrite {
    record: RewriteRecord,
    layout: Layout,
    hour: Hour,
    path: String,
    staging: String,
    at: Step,
    done: usize,
}

impl Rewrite {
    /// Begins with files that are closed in staging.
    #[must_use]
    pub fn new(layout: &Layout, hour: Hour, record: RewriteRecord) -> Self {
        Self::at(layout, hour, record, Step::Seal)
    }

    fn at(layout: &Layout, hour: Hour, record: RewriteRecord, at: Step) -> Self {
        Self {
            path: layout.rewrite(hour, record.number),
            staging: layout.rewrite_staging(hour, record.number, &record.writer),
            layout: layout.clone(),
            hour,
            record,
            at,
            done: 0,
        }
    }

    /// The step that [`Rewrite::advance`] does next.
    #[must_use]
    pub fn step(&self) -> Step {
        self.at
    }

    /// What takes the place of what.
    #[must_use]
    pub fn record(&self) -> &RewriteRecord {
        &self.record
    }

    /// Does one step.
    ///
    /// # Errors
    /// [`LakeError::Fenced`]: another rewrite of the hour was first, and nothing of this counts. After a retriable
    /// error the same call is made again.
    pub async fn advance<S: Storage>(&mut self, storage: &S) -> Result<Step, LakeError> {
        match self.at {
            Step::Stage | Step::Close | Step::Seal => {
                seal(storage, &self.staging, &self.path, &self.record).await?;
                self.at = Step::Commit;
            }
            Step::Commit => {
                claim(storage, &self.staging, &self.path, &self.record).await?;
                self.at = Step::Withdraw;
            }
            Step::Withdraw => {
                if let Some(old) = self.record.replaces.get(self.done) {
                    withdraw(storage, &self.layout, old, self.record.withdrawn).await?;
                    self.done += 1;
                }
                if self.done >= self.record.replaces.len() {
                    self.done = 0;
                    self.at = Step::Publish;
                }
            }
            Step::Publish => {
                if let Some(file) = self.record.files.get(self.done) {
                    publish(storage, file).await?;
                    self.done += 1;
                }
                if self.done >= self.record.files.len() {
                    self.at = Step::Settle;
                }
            }
            Step::Settle => {
                sweep(storage, &self.layout, self.hour, self.record.number).await?;
                self.at = Step::Done;
            }
            Step::Done => {}
        }
        Ok(self.at)
    }
}

// Step `withdraw`: done before, or the file was never published and lies in staging no more.
async fn withdraw<S: Storage>(
    storage: &S,
    layout: &Layout,
    old: &str,
    to: Withdrawn,
) -> Result<(), LakeError> {
    match to {
        Withdrawn::Aside => aside(storage, layout, old).await,
        Withdrawn::Removed => Ok(storage.remove(old).await?),
        Withdrawn::Trash => match storage.trash(old).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind == StorageKind::NotFound => Ok(()),
            // The answer may have been lost.
            Err(error) => match storage.size(old).await? {
                None => Ok(()),
                Some(_) => Err(error.into()),
            },
        },
    }
}

async fn aside<S: Storage>(storage: &S, layout: &Layout, old: &str) -> Result<(), LakeError> {
    let aside = layout.replaced(old);
    match storage.rename(old, &aside).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind == StorageKind::NotFound || error.kind == StorageKind::Exists => {
            // Aside it is, or those who look after old files have removed it.
            storage.remove(old).await?;
            Ok(())
        }
        Err(error) => match (storage.size(old).await?, storage.size(&aside).await?) {
            (None, Some(_)) => Ok(()),
            _ => Err(error.into()),
        },
    }
}

/// Whether a rewrite has taken a file out of what counts. For those who do not find it where a record names it: it may
/// have been retired since they read the records.
///
/// # Errors
/// The storage fails, or a record cannot be understood.
pub async fn is_replaced<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    path: &str,
) -> Result<bool, LakeError> {
    let records = all(storage, layout, hour).await?;
    let mut replaced = records.iter().flat_map(|record| &record.replaces);
    Ok(replaced.any(|old| old == path))
}

/// The records of an hour's rewrites, by number.
///
/// # Errors
/// The storage fails, or a record cannot be understood.
pub async fn all<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
) -> Result<Vec<RewriteRecord>, LakeError> {
    let folder = layout.rewrites_of(hour);
    let mut records = Vec::new();
    for entry in storage.list(&folder).await? {
        if Layout::rewrite_number(&entry.name).is_some() {
            records.push(record::read(storage, &format!("{folder}/{}", entry.name)).await?);
        }
    }
    Ok(records)
}

/// Finishes what the last rewrite of an hour could not, and removes the staging of those that can never count.
///
/// # Errors
/// The storage fails, or a record cannot be understood.
pub async fn finish<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
) -> Result<Vec<RewriteRecord>, LakeError> {
    let records = all(storage, layout, hour).await?;
    let Some(last) = records.last() else {
        return Ok(records);
    };
    for old in &last.replaces {
        if storage.size(old).await?.is_some() {
            withdraw(storage, layout, old, last.withdrawn).await?;
        }
    }
    for file in &last.files {
        if storage.size(&file.staged).await?.is_some() {
            publish(storage, file).await?;
        }
    }
    sweep(storage, layout, hour, last.number).await?;
    Ok(records)
}

// Removes the staging of all that wanted a number up to that one: they have published what they had, or are fenced.
async fn sweep<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    last: u32,
) -> Result<(), LakeError> {
    for root in [
        layout.rewrite_staging_of(hour),
        layout.coded_staging_of(hour),
    ] {
        for entry in storage.list(&root).await? {
            let number = Layout::staged_start(&entry.name);
            if number.is_some_and(|number| number <= i64::from(last)) {
                storage.remove(&format!("{root}/{}", entry.name)).await?;
            }
        }
    }
    Ok(())
}
