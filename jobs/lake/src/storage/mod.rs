//! What the lake needs of a file system. Paths are relative to the lake's root, with `/` between their parts.

#[cfg(feature = "hdfs")]
mod hdfs;
mod local;
mod memory;
mod place;

use std::future::Future;

use bytes::Bytes;

#[cfg(feature = "hdfs")]
pub use hdfs::{Hdfs, HdfsSettings};
pub use local::Local;
pub use memory::{Fault, Memory};
pub use place::{Place, PlaceFile};

/// What a caller must do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageKind {
    /// There is no such file.
    NotFound,
    /// The name is taken.
    Exists,
    /// The storage is away or took too long: whether the operation was done is not known.
    Away,
    /// There is no room.
    Full,
    /// The storage will not do it however often it is asked.
    Refused,
}

/// An operation that was not done, or not known to be done.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{doing} {path}: {problem}")]
pub struct StorageError {
    /// What to do about it.
    pub kind: StorageKind,
    /// What was being done.
    pub doing: &'static str,
    /// To what.
    pub path: String,
    /// What the storage said.
    pub problem: String,
}

impl StorageError {
    /// An error of `kind`.
    pub fn new(kind: StorageKind, doing: &'static str, path: &str, problem: impl ToString) -> Self {
        Self {
            kind,
            doing,
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }

    /// Whether the same operation may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(self.kind, StorageKind::Away | StorageKind::Full)
    }
}

/// What lies in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name, without the folder's.
    pub name: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// Its size in bytes; 0 for a folder.
    pub bytes: u64,
    /// On how many disks it lies, where the storage has more than one.
    pub replication: Option<u32>,
    /// The user that it belongs to, where nobody else may write into it.
    pub owner: Option<String>,
}

/// The few operations the lake is made of.
///
/// The commit protocol rests on two of them: what [`StorageFile::close`] confirmed stays, and
/// [`Storage::rename`] gives a name to one of those who want it and to no other.
pub trait Storage: Send + Sync {
    /// A file that is being written.
    type File: StorageFile;

    /// Opens a new file; folders are made. A name that is taken is an error.
    fn create(&self, path: &str) -> impl Future<Output = Result<Self::File, StorageError>> + Send;

    /// Moves a file, in one step and never over another; the folders of `to` are made.
    fn rename(&self, from: &str, to: &str)
    -> impl Future<Output = Result<(), StorageError>> + Send;

    /// The whole content of a file.
    fn read(&self, path: &str) -> impl Future<Output = Result<Bytes, StorageError>> + Send;

    /// A file's size, none when it is not there.
    fn size(&self, path: &str) -> impl Future<Output = Result<Option<u64>, StorageError>> + Send;

    /// What lies in a folder, by name; nothing in one that is not there.
    fn list(&self, folder: &str) -> impl Future<Output = Result<Vec<Entry>, StorageError>> + Send;

    /// Removes a file, or a folder with all that is in it. It need not be there.
    fn remove(&self, path: &str) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// Moves a file to where a person gets it back, for as long as the storage keeps its trash. A file that is not there
    /// is [`StorageKind::NotFound`].
    fn trash(&self, path: &str) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// Lets a file lie on so many disks.
    fn replicate(
        &self,
        path: &str,
        replication: u32,
    ) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// Whether a file's blocks are erasure-coded: made of cells of data and of parity instead of copies.
    fn is_coded(&self, path: &str) -> impl Future<Output = Result<bool, StorageError>> + Send;
}

/// A file that is being written.
pub trait StorageFile: Send {
    /// Appends.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// Makes what was written stay. Until then nothing is promised.
    fn close(self) -> impl Future<Output = Result<(), StorageError>> + Send;
}

/// Writes a small file at once.
///
/// # Errors
/// The name is taken, or the storage fails.
pub async fn put<S: Storage>(storage: &S, path: &str, bytes: Bytes) -> Result<(), StorageError> {
    let mut file = storage.create(path).await?;
    file.write(bytes).await?;
    file.close().await
}
