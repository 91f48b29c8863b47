//! What can go wrong in the lake.

use crate::storage::{StorageError, StorageKind};

/// An error of the lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The storage did not do what was asked.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A record cannot be understood.
    #[error(
        "{path}: {problem}; it was written by another program or a newer version: read it with that one"
    )]
    Record {
        /// Where it lies.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// Another writer has committed from the same place: what this one wrote does not count.
    #[error(
        "{path}: committed by writer {by}; this writer reads again from the end of that record"
    )]
    Fenced {
        /// The record.
        path: String,
        /// Who wrote it.
        by: String,
    },
    /// A file that a record names lies nowhere.
    #[error(
        "{path}: named by a record and not there; restore it from a snapshot or the trash of HDFS"
    )]
    Gone {
        /// Its name.
        path: String,
    },
    /// A name that this writer alone may use is taken by something else.
    #[error("{path}: {found} bytes, its record says {expected}; move the foreign file away")]
    Foreign {
        /// The file.
        path: String,
        /// Its size.
        found: u64,
        /// The size by the record.
        expected: u64,
    },
    /// A Parquet file cannot be written or read.
    #[error("{path}: {problem}")]
    Parquet {
        /// The file.
        path: String,
        /// What the library said.
        problem: String,
    },
    /// A file's column is not what the data contract says.
    #[error(
        "{path}: column {column} holds {found}, and the data contract has {expected}: only wider types take the place of a \
         column's; read the lake with the version that wrote this file, or bring the file back from a snapshot where somebody else wrote it"
    )]
    Column {
        /// The file.
        path: String,
        /// The column.
        column: String,
        /// Its type in the file.
        found: String,
        /// Its type in the data contract.
        expected: String,
    },
    /// The files' columns do not fit together.
    #[error(
        "column {column}: {one} in one file and {other} in another; only added columns and wider types fit together"
    )]
    Schema {
        /// The column.
        column: String,
        /// A type.
        one: String,
        /// The other.
        other: String,
    },
    /// What was to be erasure-coded is not.
    #[error(
        "{path}: not erasure-coded: its folder has no policy; give it one as HDFS's administrator, for example hdfs ec \
         -enablePolicy -policy RS-3-2-1024k and hdfs ec -setPolicy -path LAKE/{folder} -policy RS-3-2-1024k"
    )]
    NotCoded {
        /// The file.
        path: String,
        /// The folder that needs a policy.
        folder: String,
    },
    /// A rewrite would change what the partition holds.
    #[error("{path}: {problem}; nothing was replaced")]
    Changed {
        /// The partition's folder.
        path: String,
        /// What differs.
        problem: String,
    },
}

impl LakeError {
    /// Whether the same step may succeed later, without anything done again.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_retriable())
    }

    /// Whether the storage will not do it however often it is asked: somebody has to change something first.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Storage(error) if error.kind == StorageKind::Refused)
    }

    pub(crate) fn record(path: &str, problem: impl ToString) -> Self {
        Self::Record {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }

    /// A file that should be whole and is not.
    pub(crate) fn unreadable(path: &str, problem: impl ToString) -> Self {
        let problem = problem.to_string();
        Self::parquet(
            path,
            format!(
                "{problem}; the file is damaged: bring it back from a snapshot or the trash of HDFS"
            ),
        )
    }

    pub(crate) fn parquet(path: &str, problem: impl ToString) -> Self {
        Self::Parquet {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}
