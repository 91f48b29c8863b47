//! Memory, with faults on demand: for the tests of everything that rests on a storage.

use std::collections::{BTreeMap, BTreeSet};
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
    // Of those that were asked for another than one.
    replication: BTreeMap<String, u32>,
    coded: BTreeSet<String>,
    coding: Option<String>,
}

impl Files {
    fn give(&mut self, from: &str, to: &str) {
        if let Some(content) = self.all.remove(from) {
            self.all.insert(to.to_owned(), content);
        }
        if let Some(replication) = self.replication.remove(from) {
            self.replication.insert(to.to_owned(), replication);
        }
        if self.coded.remove(from) {
            self.coded.insert(to.to_owned());
        }
    }
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

    /// Files that are made in this folder from now on are erasure-coded, and stay it under any name.
    pub fn code(&self, folder: &str) {
        lock(&self.files).coding = Some(format!("{folder}/"));
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
            if files
                .coding
                .as_ref()
                .is_some_and(|folder| path.starts_with(folder))
            {
                files.coded.insert(path.to_owned());
            }
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
            files.give(from, to);
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
                replication: (!folder).then(|| files.replication.get(path).copied().unwrap_or(1)),
                owner: None,
            });
        }
        Ok(entries.into_values().collect())
    }

    async fn remove(&self, path: &str) -> Result<(), StorageError> {
        self.change("remove", path, |files| {
            let inside = format!("{path}/");
            let stays = |name: &str| name != path && !name.starts_with(&inside);
            files.all.retain(|name, _| stays(name));
            files.replication.retain(|name, _| stays(name));
            files.coded.retain(|name| stays(name));
            Ok(())
        })
    }

    async fn trash(&self, path: &str) -> Result<(), StorageError> {
        self.change("move to the trash", path, |files| {
            if !files.all.contains_key(path) {
                return Err(StorageError::new(
                    StorageKind::NotFound,
                    "move to the trash",
                    path,
                    "it is not there",
                ));
            }
            let mut name = format!(".Trash/Current/{path}");
            while files.all.contains_key(&name) {
                name.push('+');
            }
            files.give(path, &name);
            Ok(())
        })
    }

    async fn replicate(&self, path: &str, replication: u32) -> Result<(), StorageError> {
        self.change("replicate", path, |files| {
            files.replication.insert(path.to_owned(), replication);
            Ok(())
        })
    }

    async fn is_coded(&self, path: &str) -> Result<bool, StorageError> {
        Ok(lock(&self.files).coded.contains(path))
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
