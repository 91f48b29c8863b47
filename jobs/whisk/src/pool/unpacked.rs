//! Unpacked code: children of the same code share a directory, which goes when none of them is left.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::PoolError;
use super::code::{CodeError, unpack};
use super::disk::usage;
use crate::action::Code;
use crate::name::activation_id;
use crate::store::StoreError;

/// The directory of a code, which stays for as long as somebody holds it.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub path: PathBuf,
    /// Bytes of the disk, once all of it is there. No child can change it.
    bytes: OnceCell<u64>,
}

impl Unpacked {
    /// Bytes of the disk.
    pub fn bytes(&self) -> u64 {
        self.bytes.get().copied().unwrap_or(0)
    }
}

#[derive(Debug)]
struct Entry {
    code: Arc<Unpacked>,
    /// Since when it is known that nobody holds it.
    unused: Option<Instant>,
}

/// All unpacked code, by digest.
#[derive(Debug)]
pub(super) struct Codes {
    directory: PathBuf,
    entries: Mutex<HashMap<String, Entry>>,
}

impl Codes {
    /// None yet; makes the directory.
    pub fn new(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        Ok(Self {
            directory,
            entries: Mutex::new(HashMap::new()),
        })
    }

    /// A code's directory; its text is asked for when it has to be unpacked first.
    pub async fn hold(
        &self,
        code: &Code,
        text: impl FnOnce() -> Result<String, StoreError>,
    ) -> Result<Arc<Unpacked>, PoolError> {
        let held = self.entry(&code.digest);
        let (binary, target) = (code.binary, held.path.clone());
        // Those who come meanwhile wait for the first.
        held.bytes
            .get_or_try_init(|| place(text, binary, target))
            .await?;
        Ok(held)
    }

    fn entry(&self, digest: &str) -> Arc<Unpacked> {
        let mut entries = self.lock();
        let entry = entries.entry(digest.to_owned()).or_insert_with(|| Entry {
            code: Arc::new(Unpacked {
                path: self.directory.join(digest),
                bytes: OnceCell::new(),
            }),
            unused: None,
        });
        entry.unused = None;
        Arc::clone(&entry.code)
    }

    /// Removes what nobody has held for so long.
    pub fn sweep(&self, patience: Duration) {
        let mut gone = Vec::new();
        self.lock().retain(|_, entry| {
            // Nobody comes to hold it meanwhile: that takes the lock.
            if Arc::strong_count(&entry.code) > 1 {
                entry.unused = None;
                return true;
            }
            if entry.unused.get_or_insert_with(Instant::now).elapsed() < patience {
                return true;
            }
            // Out of the way first: whoever needs it next unpacks it anew, whole.
            let path = &entry.code.path;
            let away = path.with_extension(format!("gone-{}", activation_id()));
            match fs::rename(path, &away) {
                Ok(()) => gone.push(away),
                // It could not be unpacked.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => warn(path, &error),
            }
            false
        });
        for directory in gone {
            if let Err(error) = fs::remove_dir_all(&directory) {
                warn(&directory, &error);
            }
        }
    }

    /// Bytes of the disk that all of it takes, with what is just being unpacked or could not be removed.
    pub fn bytes(&self) -> u64 {
        let known: HashMap<PathBuf, u64> = self
            .lock()
            .values()
            .filter_map(|entry| Some((entry.code.path.clone(), *entry.code.bytes.get()?)))
            .collect();
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return known.values().copied().fold(0, u64::saturating_add);
        };
        entries
            .flatten()
            .map(|entry| entry.path())
            .map(|path| {
                let known = known.get(&path).copied();
                known.unwrap_or_else(|| usage(&path, u64::MAX))
            })
            .fold(0, u64::saturating_add)
    }

    /// Bytes of the disk that code takes which is there whole. Reads nothing.
    pub fn known(&self) -> u64 {
        let entries = self.lock();
        let known = entries.values().map(|entry| entry.code.bytes());
        known.fold(0, u64::saturating_add)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn(directory: &Path, error: &io::Error) {
    tracing::warn!(directory = %directory.display(), %error, "unused code could not be removed; the next start of the server removes it");
}

/// Unpacks a code; the bytes that it takes of the disk.
async fn place(
    text: impl FnOnce() -> Result<String, StoreError>,
    binary: bool,
    target: PathBuf,
) -> Result<u64, PoolError> {
    let text = text()?;
    let unpacking = move || unpack(&text, binary, &target).map(|()| usage(&target, u64::MAX));
    let unpacked = tokio::task::spawn_blocking(unpacking)
        .await
        .map_err(|error| CodeError::Io(io::Error::other(error)))?;
    Ok(unpacked?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Hold;

    const LONG: Duration = Duration::from_secs(3600);

    fn code(digest: &str) -> Code {
        Code {
            digest: digest.to_owned(),
            binary: false,
            length: 0,
            hold: Hold::default(),
        }
    }

    #[tokio::test]
    async fn code_is_unpacked_once_and_goes_when_nobody_holds_it() {
        let place = tempfile::tempdir().unwrap();
        let codes = Codes::new(place.path().join("code")).unwrap();
        assert_eq!(codes.bytes(), 0);
        let text = || -> Result<String, StoreError> { Ok("#!/bin/sh\n".repeat(10_000)) };
        let never = || -> Result<String, StoreError> { panic!("it is there") };
        let first = codes.hold(&code("a"), text).await.unwrap();
        let second = codes.hold(&code("a"), never).await.unwrap();
        let other = codes.hold(&code("b"), text).await.unwrap();
        let (a, b) = (first.bytes(), other.bytes());
        assert!(a >= 100_000, "{first:?}");
        assert_eq!((codes.bytes(), codes.known()), (a + b, a + b));
        drop(first);
        drop(other);
        codes.sweep(LONG);
        assert_eq!(codes.bytes(), a + b);
        codes.sweep(Duration::ZERO);
        assert_eq!(codes.bytes(), a);
        assert!(second.path.join("exec").exists());
        let path = second.path.clone();
        drop(second);
        codes.sweep(Duration::ZERO);
        assert!(!path.exists());
        assert_eq!(codes.bytes(), 0);
        // It comes back.
        codes.hold(&code("a"), text).await.unwrap();
        assert!(path.join("exec").exists());
    }

    #[tokio::test]
    async fn what_cannot_be_unpacked_leaves_nothing_and_is_tried_again() {
        let place = tempfile::tempdir().unwrap();
        let codes = Codes::new(place.path().join("code")).unwrap();
        let empty = codes.hold(&code("a"), || Ok(String::new())).await;
        assert!(matches!(empty, Err(PoolError::Code(CodeError::Empty))));
        assert_eq!(codes.bytes(), 0);
        codes.hold(&code("a"), || Ok("x".to_owned())).await.unwrap();
        codes.sweep(Duration::ZERO);
        assert_eq!(codes.bytes(), 0);
        // What is on its way counts.
        fs::create_dir(codes.directory.join("a.new-1")).unwrap();
        fs::write(codes.directory.join("a.new-1/exec"), vec![1; 50_000]).unwrap();
        assert!(codes.bytes() >= 50_000, "{}", codes.bytes());
        assert_eq!(codes.known(), 0);
    }
}
