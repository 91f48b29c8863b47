//! Many small files of an hour made one, through a record of its own.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use jiff::Timestamp;
use uuid::Uuid;

use crate::commit::Step;
use crate::content::Content;
use crate::error::LakeError;
use crate::layout::{Hour, Layout};
use crate::parquet_file::{self, ParquetFile};
use crate::reader;
use crate::record::{FORMAT, FileEntry, Reason, RewriteRecord, Withdrawn};
use crate::rewrite::{self, Rewrite};
use crate::schema;
use crate::storage::Storage;

/// When an hour is compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Files below this size are small, in bytes.
    pub small: u64,
    /// So many small files are worth it.
    pub at_least: usize,
    /// So many bytes go into one file.
    pub target: u64,
    /// A row group ends when it takes so many bytes in memory.
    pub row_group_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            small: 32 * 1024 * 1024,
            at_least: 4,
            target: 128 * 1024 * 1024,
            row_group_bytes: 32 * 1024 * 1024,
        }
    }
}

/// Compacts an hour, after what a former compaction could not finish. None when there is nothing to do. `after` is called
/// behind each step, from `close` on.
///
/// # Errors
/// The storage fails, a file is not what its record says, or another was first ([`LakeError::Fenced`]).
pub async fn compact<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    settings: &Settings,
    after: impl AsyncFn(Step),
) -> Result<Option<RewriteRecord>, LakeError> {
    let Some(mut rewrite) = begin(storage, layout, hour, settings).await? else {
        return Ok(None);
    };
    after(Step::Close).await;
    while rewrite.step() != Step::Done {
        let step = rewrite.step();
        rewrite.advance(storage).await?;
        after(step).await;
    }
    Ok(Some(rewrite.record().clone()))
}

/// The steps `stage` and `close` of [`compact`].
///
/// # Errors
/// Those of [`compact`].
pub async fn begin<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    settings: &Settings,
) -> Result<Option<Rewrite>, LakeError> {
    let former = rewrite::finish(storage, layout, hour).await?;
    let mut old = reader::published(storage, layout, hour, &former).await?;
    let coded = coded(&former);
    old.retain(|file| file.bytes < settings.small && !coded.contains(file.path.as_str()));
    if old.len() < settings.at_least.max(2) {
        return Ok(None);
    }
    let merge_all = Merge {
        settings,
        former: &former,
        reason: Reason::Compaction,
        change: &Ok,
    };
    merge(storage, layout, hour, merge_all, old).await.map(Some)
}

/// The files that were erasure-coded.
pub(crate) fn coded(former: &[RewriteRecord]) -> BTreeSet<&str> {
    let coding = former
        .iter()
        .filter(|record| record.reason == Reason::ErasureCoding);
    coding
        .flat_map(|record| record.files.iter().map(|file| file.path.as_str()))
        .collect()
}

/// What becomes of rows while they are written anew.
pub(crate) type Change<'a> = dyn Fn(RecordBatch) -> Result<RecordBatch, LakeError> + Sync + 'a;

/// How files are written anew.
pub(crate) struct Merge<'a> {
    pub(crate) settings: &'a Settings,
    /// The rewrites of the hour so far.
    pub(crate) former: &'a [RewriteRecord],
    pub(crate) reason: Reason,
    /// Changes what rows say where they say something else afterwards, and never how many they are.
    pub(crate) change: &'a Change<'a>,
}

/// The steps `stage` and `close` of a rewrite that keeps all rows of `old`.
pub(crate) async fn merge<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    merge: Merge<'_>,
    old: Vec<FileEntry>,
) -> Result<Rewrite, LakeError> {
    let Merge {
        settings,
        former,
        reason,
        change,
    } = merge;
    let number = former.last().map_or(1, |last| last.number + 1);
    let writer = Uuid::new_v4().to_string();
    let work = Work {
        storage,
        layout,
        hour,
        settings,
        number,
        staging: match reason {
            Reason::ErasureCoding => layout.coded_staging(hour, number, &writer),
            // What was coded and is erased is coded again by the next retention.
            Reason::Compaction | Reason::Retirement | Reason::Erasure => {
                layout.rewrite_staging(hour, number, &writer)
            }
        },
        change,
    };
    let files = work.merge(&old).await?;
    let (before, after) = (
        Content::total(old.iter().map(|f| &f.content)),
        Content::total(files.iter().map(|f| &f.content)),
    );
    let is_same = match reason {
        Reason::Erasure => before.rows == after.rows,
        Reason::Compaction | Reason::Retirement | Reason::ErasureCoding => before == after,
    };
    if !is_same {
        return Err(LakeError::Changed {
            path: layout.hour(hour),
            problem: format!("{before} before and {after} after"),
        });
    }
    let record = RewriteRecord {
        format: FORMAT,
        hour: hour.to_string(),
        number,
        reason,
        replaces: old.into_iter().map(|file| file.path).collect(),
        withdrawn: match reason {
            Reason::Erasure => Withdrawn::Removed,
            Reason::Compaction | Reason::Retirement | Reason::ErasureCoding => Withdrawn::Aside,
        },
        content: after,
        held: (before != after).then_some(before),
        files,
        writer,
        at: Timestamp::now(),
    };
    Ok(Rewrite::new(layout, hour, record))
}

struct Work<'a, S> {
    storage: &'a S,
    layout: &'a Layout,
    hour: Hour,
    settings: &'a Settings,
    number: u32,
    staging: String,
    change: &'a Change<'a>,
}

impl<S: Storage> Work<'_, S> {
    // One old file is in memory at a time: they are small.
    async fn merge(&self, old: &[FileEntry]) -> Result<Vec<FileEntry>, LakeError> {
        let mut unified: Option<SchemaRef> = None;
        for file in old {
            let schema = parquet_file::schema_of(&file.path, self.storage.read(&file.path).await?)?;
            unified = Some(match unified {
                None => schema,
                Some(unified) => schema::unify(&unified, &schema)?,
            });
        }
        let mut files = Vec::new();
        let Some(unified) = unified else {
            return Ok(files);
        };
        let mut open: Option<ParquetFile<S::File>> = None;
        for file in old {
            let mut content = Content::default();
            for batch in parquet_file::read(&file.path, self.storage.read(&file.path).await?)? {
                let batch = batch?;
                content.add(&Content::of(&batch)?);
                if open.is_none() {
                    let n = files.len();
                    let path = self.layout.rewritten(self.hour, self.number, n);
                    let staged = format!("{}/{n:04}.parquet", self.staging);
                    let bytes = self.settings.row_group_bytes;
                    let made = ParquetFile::create(
                        self.storage,
                        staged,
                        path,
                        self.hour,
                        unified.clone(),
                        bytes,
                    );
                    open = Some(made.await?);
                }
                if let Some(out) = &mut open {
                    let batch = (self.change)(batch)?;
                    out.write(&schema::adapt(&batch, &unified)?).await?;
                }
            }
            if content != file.content {
                return Err(LakeError::Changed {
                    path: file.path.clone(),
                    problem: format!("{content}, its record says {}", file.content),
                });
            }
            if open
                .as_ref()
                .is_some_and(|out| out.size() as u64 >= self.settings.target)
                && let Some(out) = open.take()
            {
                files.push(out.close().await?);
            }
        }
        if let Some(out) = open {
            files.push(out.close().await?);
        }
        Ok(files)
    }
}

/// Removes files that were replaced before `before`: whoever still read an older state has had the time to finish.
///
/// # Errors
/// The storage fails, or a record cannot be understood.
pub async fn forget_replaced<S: Storage>(
    storage: &S,
    layout: &Layout,
    before: Timestamp,
) -> Result<usize, LakeError> {
    let mut removed = 0;
    for hour in reader::hours(storage, &format!("{}/_replaced", layout.dataset())).await? {
        for record in rewrite::all(storage, layout, hour).await? {
            if record.at >= before {
                continue;
            }
            for old in &record.replaces {
                let aside = layout.replaced(old);
                if storage.size(&aside).await?.is_some() {
                    storage.remove(&aside).await?;
                    removed += 1;
                }
            }
        }
    }
    Ok(removed)
}
