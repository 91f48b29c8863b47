//! The proof of what lies in the lake: every file that counts is read, and compared with its record.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::content::Content;
use crate::error::LakeError;
use crate::layout::{Hour, Layout};
use crate::parquet_file;
use crate::reader::{Finding, Records, hours, locate};
use crate::record::FileEntry;
use crate::rewrite;
use crate::storage::Storage;

/// What was looked at and found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What each hour holds, counted from the rows themselves.
    pub hours: BTreeMap<Hour, Content>,
    /// What was retired of each hour, by the records.
    pub retired: BTreeMap<Hour, Content>,
    /// Files read.
    pub files: usize,
    /// What should not be.
    pub findings: Vec<Finding>,
}

impl Report {
    /// What all hours hold.
    #[must_use]
    pub fn content(&self) -> Content {
        Content::total(self.hours.values())
    }

    /// Whether nothing is lost, twice or changed.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.findings.iter().any(Finding::is_grave)
    }
}

/// Proves the hours from `from` on up to before `to`, and the chains of all records.
///
/// # Errors
/// The storage fails, or a record cannot be understood.
pub async fn verify<S: Storage>(
    storage: &S,
    layout: &Layout,
    from: Option<Hour>,
    to: Option<Hour>,
) -> Result<Report, LakeError> {
    let wanted = |hour: Hour| from.is_none_or(|from| hour >= from) && to.is_none_or(|to| hour < to);
    let records = Records::read(storage, layout).await?;
    let mut report = Report {
        findings: records.chain(),
        retired: records.retired(),
        ..Report::default()
    };
    report.retired.retain(|hour, _| wanted(*hour));
    report.findings.extend(records.unbalanced());
    for (hour, files) in records.live() {
        if !wanted(hour) {
            continue;
        }
        let mut content = Content::default();
        for file in files {
            report.files += 1;
            match prove(storage, layout, &file).await? {
                Ok(found) => content.add(&found),
                // Retired since the records were read.
                Err(Finding::Gone { path })
                    if rewrite::is_replaced(storage, layout, hour, &path).await? => {}
                Err(finding) => report.findings.push(finding),
            }
        }
        report.hours.insert(hour, content);
    }
    let known = records.names();
    for hour in hours(storage, layout.dataset()).await? {
        if !wanted(hour) {
            continue;
        }
        let folder = layout.hour(hour);
        for entry in storage.list(&folder).await? {
            let path = format!("{folder}/{}", entry.name);
            if !known.contains(path.as_str()) {
                report.findings.push(Finding::Stray { path });
            }
        }
    }
    Ok(report)
}

// What a file holds, or in what it differs from its record.
async fn prove<S: Storage>(
    storage: &S,
    layout: &Layout,
    file: &FileEntry,
) -> Result<Result<Content, Finding>, LakeError> {
    let differs = |problem: String| {
        Ok(Err(Finding::Differs {
            path: file.path.clone(),
            problem,
        }))
    };
    let Some(path) = locate(storage, layout, file).await? else {
        return Ok(Err(Finding::Gone {
            path: file.path.clone(),
        }));
    };
    let bytes = storage.read(&path).await?;
    if bytes.len() as u64 != file.bytes {
        return differs(format!(
            "{} bytes, its record says {}",
            bytes.len(),
            file.bytes
        ));
    }
    let sha256 = hex(&Sha256::digest(&bytes));
    if sha256 != file.sha256 {
        return differs(format!("SHA-256 {sha256}, its record says {}", file.sha256));
    }
    let mut content = Content::default();
    for batch in parquet_file::read(&path, bytes)? {
        content.add(&Content::of(&batch?)?);
    }
    if content != file.content {
        return differs(format!("{content}, its record says {}", file.content));
    }
    Ok(Ok(content))
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
