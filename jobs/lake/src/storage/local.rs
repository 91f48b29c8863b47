//! A local folder. Its calls are short, so they are made on the caller's thread.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{Entry, Storage, StorageError, StorageFile, StorageKind};

/// Where files go that nobody wants any more, under the lake's root.
const TRASH: &str = ".Trash/Current";

/// A lake in a local folder.
#[derive(Debug, Clone)]
pub struct Local {
    root: PathBuf,
}

/// A file that is being written.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    path: String,
}

impl Local {
    /// The lake under `root`, which need not be there yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn make_folder_of(&self, path: &str) -> Result<PathBuf, StorageError> {
        let full = self.path(path);
        if let Some(folder) = full.parent() {
            fs::create_dir_all(folder).map_err(|e| failed("make folders of", path, &e))?;
        }
        Ok(full)
    }
}

fn failed(doing: &'static str, path: &str, error: &io::Error) -> StorageError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => StorageKind::NotFound,
        io::ErrorKind::AlreadyExists => StorageKind::Exists,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageKind::Full,
        io::ErrorKind::Interrupted | io::ErrorKind::TimedOut => StorageKind::Away,
        // A disk that fails is as good as away: a person may mend it.
        _ if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => StorageKind::Away,
        _ => StorageKind::Refused,
    };
    StorageError::new(kind, doing, path, error)
}

// A new name is on the disk only when its folder is.
fn sync_folder_of(full: &Path) -> io::Result<()> {
    match full.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

impl Storage for Local {
    type File = LocalFile;

    async fn create(&self, path: &str) -> Result<LocalFile, StorageError> {
        let full = self.make_folder_of(path)?;
        let file = File::create_new(&full).map_err(|e| failed("create", path, &e))?;
        Ok(LocalFile {
            file,
            path: path.to_owned(),
        })
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let full = self.make_folder_of(to)?;
        renameat_with(CWD, self.path(from), CWD, &full, RenameFlags::NOREPLACE)
            .map_err(|e| failed("rename to", to, &e.into()))?;
        sync_folder_of(&full).map_err(|e| failed("sync the folder of", to, &e))
    }

    async fn read(&self, path: &str) -> Result<Bytes, StorageError> {
        fs::read(self.path(path))
            .map(Bytes::from)
            .map_err(|e| failed("read", path, &e))
    }

    async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        match fs::metadata(self.path(path)) {
            Ok(found) => Ok(Some(found.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed("look at", path, &e)),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, StorageError> {
        let error = |e: io::Error| failed("list", folder, &e);
        let found = match fs::read_dir(self.path(folder)) {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(error(e)),
        };
        let mut entries = Vec::new();
        for entry in found {
            let entry = entry.map_err(error)?;
            let what = match entry.metadata() {
                Ok(what) => what,
                // Moved away meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(error(e)),
            };
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                folder: what.is_dir(),
                bytes: if what.is_dir() { 0 } else { what.len() },
                replication: None,
                owner: None,
            });
        }
        entries.sort();
        Ok(entries)
    }

    async fn remove(&self, path: &str) -> Result<(), StorageError> {
        let full = self.path(path);
        let done = match fs::symlink_metadata(&full) {
            Ok(what) if what.is_dir() => fs::remove_dir_all(&full),
            Ok(_) => fs::remove_file(&full),
            Err(e) => Err(e),
        };
        match done {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, &e)),
            _ => Ok(()),
        }
    }

    // As HDFS does it, with nobody who empties it.
    async fn trash(&self, path: &str) -> Result<(), StorageError> {
        let full = self.path(path);
        fs::symlink_metadata(full).map_err(|e| failed("move to the trash", path, &e))?;
        let name = format!("{TRASH}/{path}");
        match self.rename(path, &name).await {
            Err(e) if e.kind == StorageKind::Exists => {
                let now = jiff::Timestamp::now().as_millisecond();
                self.rename(path, &format!("{name}.{now}")).await
            }
            done => done,
        }
    }

    async fn replicate(&self, path: &str, _: u32) -> Result<(), StorageError> {
        let problem = "a local folder has one disk; leave replication to HDFS";
        Err(StorageError::new(
            StorageKind::Refused,
            "replicate",
            path,
            problem,
        ))
    }

    async fn is_coded(&self, _: &str) -> Result<bool, StorageError> {
        Ok(false)
    }
}

impl StorageFile for LocalFile {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.file
            .write_all(&bytes)
            .map_err(|e| failed("write", &self.path, &e))
    }

    async fn close(self) -> Result<(), StorageError> {
        self.file
            .sync_all()
            .map_err(|e| failed("close", &self.path, &e))
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::super::put;
    use super::*;

    #[test]
    fn a_name_is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::new(folder.path());
        block_on(async {
            put(&local, "a/one", Bytes::from_static(b"1"))
                .await
                .unwrap();
            put(&local, "a/two", Bytes::from_static(b"22"))
                .await
                .unwrap();
            let taken = put(&local, "a/two", Bytes::new()).await.unwrap_err();
            assert_eq!(taken.kind, StorageKind::Exists);
            local.rename("a/one", "b/c/name").await.unwrap();
            let second = local.rename("a/two", "b/c/name").await.unwrap_err();
            assert_eq!(second.kind, StorageKind::Exists);
            assert_eq!(&local.read("b/c/name").await.unwrap()[..], b"1");
            let gone = local.rename("a/one", "b/other").await.unwrap_err();
            assert_eq!(gone.kind, StorageKind::NotFound);
            assert_eq!(local.size("a/one").await.unwrap(), None);
            let names: Vec<String> = local
                .list("")
                .await
                .unwrap()
                .into_iter()
                .map(|e| e.name)
                .collect();
            assert_eq!(names, ["a", "b"]);
            assert!(local.list("nowhere").await.unwrap().is_empty());
            for content in [&b"1"[..], b"2"] {
                put(&local, "c/old", Bytes::from_static(content))
                    .await
                    .unwrap();
                local.trash("c/old").await.unwrap();
            }
            assert_eq!(&local.read(".Trash/Current/c/old").await.unwrap()[..], b"1");
            assert_eq!(local.list(".Trash/Current/c").await.unwrap().len(), 2);
            let gone = local.trash("c/old").await.unwrap_err();
            assert_eq!(gone.kind, StorageKind::NotFound);
            local.remove("b").await.unwrap();
            local.remove("b").await.unwrap();
            assert_eq!(local.size("b/c/name").await.unwrap(), None);
        });
    }
}
