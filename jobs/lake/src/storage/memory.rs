//! Memory, with faults on demand: for the tests of everything that rests on a storage.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use super::{Entry, Storage, StorageError, StorageFile, StorageKind};

/// A fault in the next operations that change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done and the caller is told so.
    Before,
    /// It is done and the caller is told that it was not.
    After,
}

#[derive(Debug, Default)]
struct Files {
    // None while it is being written.
    all: BTreeMap<String, Option<Bytes>>,
}

/// A lake in memory. Clones share the files and each has its own faults.
#[derive(Debug, Default)]
pub struct Memory {
    files: Arc<Mutex<Files>>,
    fault: Arc<Mutex<Option<(u32, Fault)>>>,
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        Self {
            files: Arc::clone(&self.files),
            fault: Arc::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// The change after `changes` others fails, and every one after it, as when the process dies there.
    pub fn fail_after(&self, changes: u32, fault: Fault) {
        *lock(&self.fault) = Some((changes, fault));
    }

    /// No fault any more.
    pub fn mend(&self) {
        *lock(&self.fault) = None;
    }

    /// The names of all files that were closed.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let files = lock(&self.files);
        let closed = files.all.iter().filter(|(_, content)| content.is_some());
        closed.map(|(name, _)| name.clone()).collect()
    }

    fn change<T>(
        &self,
        doing: &'static str,
        path: &str,
        change: impl FnOnce(&mut Files) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let away = || StorageError::new(StorageKind::Away, doing, path, "a fault of the test");
        let due = match &mut *lock(&self.fault) {
            Some((0, fault)) => {
                let due = *fault;
                // Whoever is dead does nothing more.
                *fault = Fault::Before;
                Some(due)
            }
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        match due {
            Some(Fault::Before) => Err(away()),
            Some(Fault::After) => {
                let _ = change(&mut lock(&self.files));
                Err(away())
            }
            None => change(&mut lock(&self.files)),
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct MemoryFile {
    storage: Memory,
    path: String,
    bytes: BytesMut,
}

impl Storage for Memory {
    type File = MemoryFile;

    async fn create(&self, path: &str) -> Result<MemoryFile, StorageError> {
        self.change("create", path, |files| {
            if files.all.contains_key(path) {
                return Err(StorageError::new(
                    StorageKind::Exists,
                    "create",
                    path,
                    "it is there",
                ));
            }
            files.all.insert(path.to_owned(), None);
            Ok(())
        })?;
        Ok(MemoryFile {
            storage: Self {
                files: Arc::clone(&self.files),
                fault: Arc::clone(&self.fault),
            },
            path: path.to_owned(),
            bytes: BytesMut::new(),
        })
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.change("rename to", to, |files| {
            if !files.all.contains_key(from) {
                return Err(StorageError::new(
                    StorageKind::NotFound,
                    "rename",
                    from,
                    "it is not there",
                ));
            }
            if files.all.contains_key(to) {
                return Err(StorageError::new(
                    StorageKind::Exists,
                    "rename to",
                    to,
                    "it is there",
                ));
            }
            if let Some(content) = files.all.remove(from) {
                files.all.insert(to.to_owned(), content);
            }
            Ok(())
        })
    }

    async fn read(&self, path: &str) -> Result<Bytes, StorageError> {
        match lock(&self.files).all.get(path) {
            Some(Some(bytes)) => Ok(bytes.clone()),
            Some(None) => Ok(Bytes::new()),
            None => Err(StorageError::new(
                StorageKind::NotFound,
                "read",
                path,
                "it is not there",
            )),
        }
    }

    async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let files = lock(&self.files);
        Ok(files
            .all
            .get(path)
            .map(|b| b.as_ref().map_or(0, |b| b.len() as u64)))
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, StorageError> {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let files = lock(&self.files);
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (path, bytes) in &files.all {
            let Some(rest) = path.strip_prefix(&prefix) else {
                continue;
            };
            let (name, folder) = match rest.split_once('/') {
                Some((name, _)) => (name, true),
                None => (rest, false),
            };
            entries.entry(name.to_owned()).or_insert_with(|| Entry {
                name: name.to_owned(),
                folder,
                bytes: match bytes {
                    Some(bytes) if !folder => bytes.len() as u64,
                    _ => 0,
                },
            });
        }
        Ok(entries.into_values().collect())
    }

    async fn remove(&self, path: &str) -> Result<(), StorageError> {
        self.change("remove", path, |files| {
            let inside = format!("{path}/");
            files
                .all
                .retain(|name, _| name != path && !name.starts_with(&inside));
            Ok(())
        })
    }
}

impl StorageFile for MemoryFile {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn close(self) -> Result<(), StorageError> {
        let Self {
            storage,
            path,
            bytes,
        } = self;
        storage.change("close", &path, |files| match files.all.get_mut(&path) {
            Some(content) => {
                *content = Some(bytes.freeze());
                Ok(())
            }
            None => Err(StorageError::new(
                StorageKind::NotFound,
                "close",
                &path,
                "it was removed",
            )),
        })
    }
}
