//! Files that grow old: on fewer disks, in erasure-coded blocks, and in the end retired.
//!
//! What changes which files count is a rewrite of the hour ([`crate::rewrite`]): fenced, done again after a crash, and
//! written down, so that [`crate::verify`] tells what was retired from what is gone. Late events of a retired hour come in
//! as those of any other, and are retired by the next run.

use jiff::Timestamp;
use uuid::Uuid;

use crate::commit::Step;
use crate::compact::{self, Merge, Settings};
use crate::content::Content;
use crate::error::LakeError;
use crate::layout::{Hour, Layout};
use crate::reader;
use crate::record::{FORMAT, Reason, RewriteRecord, Withdrawn};
use crate::rewrite::{self, Rewrite};
use crate::storage::{Storage, StorageKind};

async fn finish<S: Storage>(
    storage: &S,
    rewrite: Option<Rewrite>,
) -> Result<Option<RewriteRecord>, LakeError> {
    let Some(mut rewrite) = rewrite else {
        return Ok(None);
    };
    while rewrite.advance(storage).await? != Step::Done {}
    Ok(Some(rewrite.record().clone()))
}

/// Retires what lies in an hour, after what a former rewrite could not finish. None when nothing lies there.
///
/// # Errors
/// The storage fails, or another was first ([`LakeError::Fenced`]).
pub async fn retire<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    to: Withdrawn,
) -> Result<Option<RewriteRecord>, LakeError> {
    let rewrite = begin_retirement(storage, layout, hour, to).await?;
    finish(storage, rewrite).await
}

/// What comes before the first step of [`retire`].
///
/// # Errors
/// Those of [`retire`].
pub async fn begin_retirement<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    to: Withdrawn,
) -> Result<Option<Rewrite>, LakeError> {
    let former = rewrite::finish(storage, layout, hour).await?;
    let old = reader::published(storage, layout, hour, &former).await?;
    if old.is_empty() {
        return Ok(None);
    }
    let number = former.last().map_or(1, |last| last.number + 1);
    let writer = Uuid::new_v4().to_string();
    if to == Withdrawn::Trash {
        // Asked before anything counts: a storage with a trash answers that there is no such file.
        let nothing = layout.rewrite_staging(hour, number, &writer);
        match storage.trash(&nothing).await {
            Err(error) if error.kind != StorageKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let record = RewriteRecord {
        format: FORMAT,
        hour: hour.to_string(),
        number,
        reason: Reason::Retirement,
        replaces: old.into_iter().map(|file| file.path).collect(),
        withdrawn: to,
        content: Content::default(),
        held: None,
        files: Vec::new(),
        writer,
        at: Timestamp::now(),
    };
    Ok(Some(Rewrite::new(layout, hour, record)))
}

/// Writes what is not erasure-coded in an hour anew, into the folder that has a policy. None when it has fewer than
/// `at_least` bytes.
///
/// # Errors
/// The storage fails, a file is not what its record says, the folder has no policy ([`LakeError::NotCoded`]), or another
/// was first ([`LakeError::Fenced`]).
pub async fn code<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    at_least: u64,
) -> Result<Option<RewriteRecord>, LakeError> {
    let rewrite = begin_coding(storage, layout, hour, at_least).await?;
    finish(storage, rewrite).await
}

/// The steps `stage` and `close` of [`code`].
///
/// # Errors
/// Those of [`code`].
pub async fn begin_coding<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    at_least: u64,
) -> Result<Option<Rewrite>, LakeError> {
    let former = rewrite::finish(storage, layout, hour).await?;
    let mut old = reader::published(storage, layout, hour, &former).await?;
    let coded = compact::coded(&former);
    old.retain(|file| !coded.contains(file.path.as_str()));
    let bytes: u64 = old.iter().map(|file| file.bytes).sum();
    if old.is_empty() || bytes < at_least {
        return Ok(None);
    }
    let merge = Merge {
        settings: &Settings::default(),
        former: &former,
        reason: Reason::ErasureCoding,
        change: &Ok,
    };
    let rewrite = compact::merge(storage, layout, hour, merge, old).await?;
    let record = rewrite.record();
    for file in &record.files {
        if !storage.is_coded(&file.staged).await? {
            let staging = layout.coded_staging(hour, record.number, &record.writer);
            storage.remove(&staging).await?;
            return Err(LakeError::NotCoded {
                path: file.staged.clone(),
                folder: layout.coded(),
            });
        }
    }
    Ok(Some(rewrite))
}

/// Lets the files of an hour lie on so many disks, but for those that are erasure-coded. Gives how many were changed.
///
/// # Errors
/// The storage fails, or has no replication.
pub async fn replicate<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    replication: u32,
) -> Result<usize, LakeError> {
    let folder = layout.hour(hour);
    let mut others = storage.list(&folder).await?;
    others.retain(|entry| entry.replication.is_some_and(|found| found != replication));
    if others.is_empty() {
        return Ok(0);
    }
    let former = rewrite::all(storage, layout, hour).await?;
    let coded = compact::coded(&former);
    let mut changed = 0;
    for file in reader::published(storage, layout, hour, &former).await? {
        let name = file.path.rsplit('/').next();
        let differs = others.iter().any(|entry| Some(entry.name.as_str()) == name);
        if differs && !coded.contains(file.path.as_str()) {
            storage.replicate(&file.path, replication).await?;
            changed += 1;
        }
    }
    Ok(changed)
}
