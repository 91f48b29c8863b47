//! What lies in the lake, by its records.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::content::Content;
use crate::error::LakeError;
use crate::layout::{DataName, Hour, Layout, Source};
use crate::record::{self, CommitRecord, FileEntry, Offsets, RewriteRecord};
use crate::rewrite;
use crate::storage::{Entry, Storage, StorageKind};

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// Offsets that no record covers.
    Gap {
        /// Of which partition.
        source: Source,
        /// The first of them.
        from: i64,
        /// The first that is covered again.
        to: i64,
    },
    /// Offsets that two records cover.
    Overlap {
        /// Of which partition.
        source: Source,
        /// The first of them.
        from: i64,
        /// The first that one covers.
        to: i64,
    },
    /// Offsets that Kafka had removed before they were archived.
    Missing {
        /// Of which partition.
        source: Source,
        /// The first of them.
        from: i64,
        /// The first that was archived.
        to: i64,
    },
    /// A file that counts lies nowhere.
    Gone {
        /// Its name.
        path: String,
    },
    /// A file is not what its record says.
    Differs {
        /// Its name.
        path: String,
        /// In what.
        problem: String,
    },
    /// What an hour's commits hold is not what counts of it and what was retired.
    Unbalanced {
        /// The hour.
        hour: Hour,
        /// Both sides.
        problem: String,
    },
    /// A data file that no record names.
    Stray {
        /// Its name.
        path: String,
    },
}

impl Finding {
    /// Whether events are lost, twice or changed; the others only want a look.
    #[must_use]
    pub fn is_grave(&self) -> bool {
        !matches!(self, Self::Stray { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { source, from, to } => {
                write!(
                    f,
                    "gap: {source}: no record covers offsets {from} to {}",
                    to - 1
                )
            }
            Self::Overlap { source, from, to } => {
                write!(
                    f,
                    "overlap: {source}: two records cover offsets {from} to {}",
                    to - 1
                )
            }
            Self::Missing { source, from, to } => write!(
                f,
                "missing: {source}: Kafka had removed offsets {from} to {} before they were archived",
                to - 1
            ),
            Self::Gone { path } => write!(f, "gone: {path}: counts and lies nowhere"),
            Self::Differs { path, problem } => write!(f, "differs: {path}: {problem}"),
            Self::Unbalanced { hour, problem } => write!(f, "unbalanced: {hour}: {problem}"),
            Self::Stray { path } => write!(f, "stray: {path}: no record names it"),
        }
    }
}

/// All records of a dataset.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// The commit records, by source and start.
    pub commits: Vec<CommitRecord>,
    /// The rewrites, by hour and number.
    pub rewrites: Vec<(Hour, RewriteRecord)>,
}

impl Records {
    /// Reads them.
    ///
    /// # Errors
    /// The storage fails, or a record cannot be understood.
    pub async fn read<S: Storage>(storage: &S, layout: &Layout) -> Result<Self, LakeError> {
        let mut records = Self::default();
        // Rewrites first: so the commits of all files that they replace are among those that are read later.
        for hour in hours(storage, &format!("{}/_rewrites", layout.dataset())).await? {
            for rewrite in rewrite::all(storage, layout, hour).await? {
                records.rewrites.push((hour, rewrite));
            }
        }
        for source in sources(storage, layout).await? {
            records
                .commits
                .extend(commits(storage, layout, &source).await?);
        }
        Ok(records)
    }

    /// The files that count, by hour.
    #[must_use]
    pub fn live(&self) -> BTreeMap<Hour, Vec<FileEntry>> {
        let replaced: BTreeSet<&str> = self
            .rewrites
            .iter()
            .flat_map(|(_, rewrite)| rewrite.replaces.iter().map(String::as_str))
            .collect();
        let committed = self.commits.iter().flat_map(|record| &record.files);
        let rewritten = self.rewrites.iter().flat_map(|(_, record)| &record.files);
        let mut live: BTreeMap<Hour, Vec<FileEntry>> = BTreeMap::new();
        for file in committed.chain(rewritten) {
            if let Some(hour) = Hour::parse(&file.hour)
                && !replaced.contains(file.path.as_str())
            {
                live.entry(hour).or_default().push(file.clone());
            }
        }
        live
    }

    /// Everything that any record names, whether it still counts or not.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        let committed = self.commits.iter().flat_map(|record| &record.files);
        let rewritten = self.rewrites.iter().flat_map(|(_, record)| &record.files);
        committed
            .chain(rewritten)
            .map(|file| file.path.as_str())
            .collect()
    }

    /// Gaps and overlaps in the chains of commit records, and what Kafka had removed.
    #[must_use]
    pub fn chain(&self) -> Vec<Finding> {
        let mut by_source: BTreeMap<Source, Vec<&CommitRecord>> = BTreeMap::new();
        for record in &self.commits {
            by_source.entry(record.source()).or_default().push(record);
        }
        let mut findings = Vec::new();
        for (source, mut records) in by_source {
            records.sort_by_key(|record| record.start_offset);
            let mut end: Option<i64> = None;
            for record in records {
                let start = record.start_offset;
                match end {
                    Some(end) if start > end => findings.push(Finding::Gap {
                        source: source.clone(),
                        from: end,
                        to: start,
                    }),
                    Some(end) if start < end => findings.push(Finding::Overlap {
                        source: source.clone(),
                        from: start,
                        to: end.min(record.end_offset),
                    }),
                    _ => {}
                }
                if let Some(Offsets { from, to }) = record.missing {
                    findings.push(Finding::Missing {
                        source: source.clone(),
                        from,
                        to,
                    });
                }
                end = Some(end.map_or(record.end_offset, |end| end.max(record.end_offset)));
            }
        }
        findings
    }

    /// What is archived of each source: from where, up to where, and what it holds.
    #[must_use]
    pub fn sources(&self) -> BTreeMap<Source, (i64, i64, Content)> {
        let mut sources: BTreeMap<Source, (i64, i64, Content)> = BTreeMap::new();
        for record in &self.commits {
            let entry = sources.entry(record.source()).or_insert((
                record.start_offset,
                record.end_offset,
                Content::default(),
            ));
            entry.0 = entry.0.min(record.start_offset);
            entry.1 = entry.1.max(record.end_offset);
            entry.2.add(&record.content);
        }
        sources
    }
}

/// The datasets of a lake: the folders under its root in which something was archived, and those that this user may not look
/// into.
///
/// # Errors
/// The storage fails.
pub async fn datasets<S: Storage>(storage: &S) -> Result<Vec<Entry>, LakeError> {
    let mut datasets = Vec::new();
    for entry in storage.list("").await? {
        if !entry.folder {
            continue;
        }
        // Others put folders there, too: files of roads, segments.
        let Ok(layout) = Layout::new(&entry.name) else {
            continue;
        };
        let is_archived = match storage.list(&layout.commits()).await {
            Ok(commits) => !commits.is_empty(),
            // Its owner may.
            Err(error) if error.kind == StorageKind::Refused => true,
            Err(error) => return Err(error.into()),
        };
        if is_archived {
            datasets.push(entry);
        }
    }
    Ok(datasets)
}

/// The sources of a dataset.
///
/// # Errors
/// The storage fails.
pub async fn sources<S: Storage>(storage: &S, layout: &Layout) -> Result<Vec<Source>, LakeError> {
    let entries = storage.list(&layout.commits()).await?;
    let folders = entries.iter().filter(|entry| entry.folder);
    Ok(folders
        .filter_map(|entry| Source::parse(&entry.name))
        .collect())
}

/// A source's commit records, by start.
///
/// # Errors
/// The storage fails, or a record cannot be understood.
pub async fn commits<S: Storage>(
    storage: &S,
    layout: &Layout,
    source: &Source,
) -> Result<Vec<CommitRecord>, LakeError> {
    let root = layout.commits_of(source);
    let mut records = Vec::new();
    for folder in storage.list(&root).await? {
        let inside = format!("{root}/{}", folder.name);
        for entry in storage.list(&inside).await? {
            if entry.name.ends_with(".json") {
                let path = format!("{inside}/{}", entry.name);
                records.push(record::read(storage, &path).await?);
            }
        }
    }
    Ok(records)
}

/// The hours that have a folder under `root`.
///
/// # Errors
/// The storage fails.
pub async fn hours<S: Storage>(storage: &S, root: &str) -> Result<Vec<Hour>, LakeError> {
    let mut hours = Vec::new();
    for date in storage.list(root).await? {
        if !date.folder || !date.name.starts_with("date=") {
            continue;
        }
        for hour in storage.list(&format!("{root}/{}", date.name)).await? {
            hours.extend(Hour::parse(&format!("{}/{}", date.name, hour.name)));
        }
    }
    Ok(hours)
}

/// Where a file that counts lies now: under its name, still in staging, or aside for those who read an older state.
///
/// # Errors
/// The storage fails.
pub async fn locate<S: Storage>(
    storage: &S,
    layout: &Layout,
    file: &FileEntry,
) -> Result<Option<String>, LakeError> {
    // Twice, since it may be moved from a place that is asked later to one that was asked before.
    for _ in 0..2 {
        for path in [&file.path, &file.staged, &layout.replaced(&file.path)] {
            if storage.size(path).await?.is_some() {
                return Ok(Some(path.clone()));
            }
        }
    }
    Ok(None)
}

/// The data files in an hour's folder that count, found by their names: without reading all records.
///
/// A file that was committed and not yet published is not among them: see [`crate::commit::publish_committed`].
///
/// # Errors
/// The storage fails, or a record cannot be understood.
pub async fn published<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    rewrites: &[RewriteRecord],
) -> Result<Vec<FileEntry>, LakeError> {
    let replaced: BTreeSet<&str> = rewrites
        .iter()
        .flat_map(|rewrite| rewrite.replaces.iter().map(String::as_str))
        .collect();
    let folder = layout.hour(hour);
    let mut found = Vec::new();
    let mut known: BTreeMap<String, CommitRecord> = BTreeMap::new();
    for entry in storage.list(&folder).await? {
        let path = format!("{folder}/{}", entry.name);
        if replaced.contains(path.as_str()) {
            continue;
        }
        let files = match Layout::parse_data(&entry.name) {
            Some(DataName::Rewrite(number)) => rewrites
                .iter()
                .find(|rewrite| rewrite.number == number)
                .map(|rewrite| &rewrite.files),
            Some(DataName::Commit(source, start)) => {
                let at = layout.commit(&source, start);
                if !known.contains_key(&at) && storage.size(&at).await?.is_some() {
                    known.insert(at.clone(), record::read(storage, &at).await?);
                }
                known.get(&at).map(|record| &record.files)
            }
            None => None,
        };
        let file = files.and_then(|files| files.iter().find(|file| file.path == path));
        found.extend(file.cloned());
    }
    Ok(found)
}
