//! Where a lake is, by its address.

use bytes::Bytes;

#[cfg(feature = "hdfs")]
use super::hdfs::{Hdfs, HdfsFile};
use super::local::{Local, LocalFile};
use super::{Entry, Storage, StorageError, StorageFile};

/// A lake in HDFS or in a local folder.
#[derive(Debug, Clone)]
pub enum Place {
    /// A local folder.
    Local(Local),
    /// HDFS.
    #[cfg(feature = "hdfs")]
    Hdfs(Hdfs),
}

/// A file that is being written.
pub enum PlaceFile {
    /// In a local folder.
    Local(LocalFile),
    /// In HDFS.
    #[cfg(feature = "hdfs")]
    Hdfs(Box<HdfsFile>),
}

// The same call on whichever it is.
macro_rules! each {
    ($self:expr, $inner:ident => $call:expr) => {
        match $self {
            Place::Local($inner) => $call,
            #[cfg(feature = "hdfs")]
            Place::Hdfs($inner) => $call,
        }
    };
}

impl Storage for Place {
    type File = PlaceFile;

    async fn create(&self, path: &str) -> Result<PlaceFile, StorageError> {
        match self {
            Self::Local(local) => local.create(path).await.map(PlaceFile::Local),
            #[cfg(feature = "hdfs")]
            Self::Hdfs(hdfs) => hdfs
                .create(path)
                .await
                .map(|f| PlaceFile::Hdfs(Box::new(f))),
        }
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        each!(self, s => s.rename(from, to).await)
    }

    async fn read(&self, path: &str) -> Result<Bytes, StorageError> {
        each!(self, s => s.read(path).await)
    }

    async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        each!(self, s => s.size(path).await)
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, StorageError> {
        each!(self, s => s.list(folder).await)
    }

    async fn remove(&self, path: &str) -> Result<(), StorageError> {
        each!(self, s => s.remove(path).await)
    }

    async fn trash(&self, path: &str) -> Result<(), StorageError> {
        each!(self, s => s.trash(path).await)
    }

    async fn replicate(&self, path: &str, replication: u32) -> Result<(), StorageError> {
        each!(self, s => s.replicate(path, replication).await)
    }

    async fn is_coded(&self, path: &str) -> Result<bool, StorageError> {
        each!(self, s => s.is_coded(path).await)
    }
}

impl StorageFile for PlaceFile {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        match self {
            Self::Local(file) => file.write(bytes).await,
            #[cfg(feature = "hdfs")]
            Self::Hdfs(file) => file.write(bytes).await,
        }
    }

    async fn close(self) -> Result<(), StorageError> {
        match self {
            Self::Local(file) => file.close().await,
            #[cfg(feature = "hdfs")]
            Self::Hdfs(file) => file.close().await,
        }
    }
}
