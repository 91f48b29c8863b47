//! The records that say what counts, as JSON.

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::error::LakeError;
use crate::layout::{Hour, Source};
use crate::storage::Storage;

/// The version of the records that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// A data file that a record names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    /// Its name for good, from the lake's root on.
    pub path: String,
    /// Where it was closed, and lies until it has that name.
    pub staged: String,
    /// The hour of event time, as its folder says it: `date=2026-11-28/hour=13`.
    pub hour: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// What its rows hold.
    #[serde(flatten)]
    pub content: Content,
    /// The lowest offset in it.
    pub first_offset: i64,
    /// The highest offset in it.
    pub last_offset: i64,
}

/// Offsets from one on up to before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offsets {
    /// The first.
    pub from: i64,
    /// The first that does not belong to it.
    pub to: i64,
}

/// What was archived of one partition of a topic from one offset on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitRecord {
    /// Version of this record's form.
    pub format: u32,
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Where it begins: the end of the record before.
    pub start_offset: i64,
    /// Where the next one begins.
    pub end_offset: i64,
    /// Offsets that Kafka had removed before they were archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Offsets>,
    /// What all its files hold.
    #[serde(flatten)]
    pub content: Content,
    /// Its files.
    pub files: Vec<FileEntry>,
    /// Version of the data contract.
    pub schema_version: u32,
    /// Who wrote it: a number that no other writer has.
    pub writer: String,
    /// When.
    pub at: Timestamp,
}

impl CommitRecord {
    /// The partition that it is about.
    #[must_use]
    pub fn source(&self) -> Source {
        Source::new(&self.topic, self.partition)
    }
}

/// Why files of an hour were replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Many small files became few.
    Compaction,
    /// They are older than the policy keeps them; nothing takes their place.
    Retirement,
    /// They lie in erasure-coded blocks now.
    ErasureCoding,
    /// They named hires whose driver wants to be forgotten.
    Erasure,
}

/// Where files go that count no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Withdrawn {
    /// To `_replaced`, for those who still read an older state.
    #[default]
    Aside,
    /// To the trash of the storage.
    Trash,
    /// Nowhere: they are removed.
    Removed,
}

impl Withdrawn {
    // serde wants a reference.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn is_aside(&self) -> bool {
        *self == Self::Aside
    }
}

/// Files of one hour that take the place of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RewriteRecord {
    /// Version of this record's form.
    pub format: u32,
    /// The hour of event time.
    pub hour: String,
    /// Its number; the first rewrite of an hour is 1.
    pub number: u32,
    /// Why.
    pub reason: Reason,
    /// Names of the files that count no more.
    pub replaces: Vec<String>,
    /// Where they go.
    #[serde(default, skip_serializing_if = "Withdrawn::is_aside")]
    pub withdrawn: Withdrawn,
    /// What its files hold.
    #[serde(flatten)]
    pub content: Content,
    /// What the replaced files held, where that is something else: after an erasure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Content>,
    /// The files that count instead.
    pub files: Vec<FileEntry>,
    /// Who wrote it.
    pub writer: String,
    /// When.
    pub at: Timestamp,
}

/// A record of either kind.
pub trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// Version of its form.
    fn format(&self) -> u32;
    /// Who wrote it.
    fn writer(&self) -> &str;
    /// What is said of its files and rows, to be compared with each other.
    fn parts(&self) -> (&Content, &[FileEntry]);
}

impl Record for CommitRecord {
    fn format(&self) -> u32 {
        self.format
    }

    fn writer(&self) -> &str {
        &self.writer
    }

    fn parts(&self) -> (&Content, &[FileEntry]) {
        (&self.content, &self.files)
    }
}

impl Record for RewriteRecord {
    fn format(&self) -> u32 {
        self.format
    }

    fn writer(&self) -> &str {
        &self.writer
    }

    fn parts(&self) -> (&Content, &[FileEntry]) {
        (&self.content, &self.files)
    }
}

/// A record as the bytes of its file.
///
/// # Errors
/// It cannot be written as JSON.
pub fn encode<R: Record>(path: &str, record: &R) -> Result<Bytes, LakeError> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|e| LakeError::record(path, e))?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

/// Reads a record.
///
/// # Errors
/// It is not there, of a newer form, or contradicts itself.
pub async fn read<S: Storage, R: Record>(storage: &S, path: &str) -> Result<R, LakeError> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let bytes = storage.read(path).await?;
    let version: Version =
        serde_json::from_slice(&bytes).map_err(|e| LakeError::record(path, e))?;
    if version.format > FORMAT {
        let problem = format!("of form {}, the newest known is {FORMAT}", version.format);
        return Err(LakeError::record(path, problem));
    }
    let record: R = serde_json::from_slice(&bytes).map_err(|e| LakeError::record(path, e))?;
    let (content, files) = record.parts();
    let sum = Content::total(files.iter().map(|f| &f.content));
    if sum != *content {
        return Err(LakeError::record(
            path,
            format!("says {content}, its files have {sum}"),
        ));
    }
    if let Some(file) = files.iter().find(|f| Hour::parse(&f.hour).is_none()) {
        return Err(LakeError::record(path, format!("{} is no hour", file.hour)));
    }
    Ok(record)
}
