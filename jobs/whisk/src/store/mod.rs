//! What outlives the process: actions, packages, triggers and rules as one file each, activations in append-only segments.

mod actions;
mod activations;
mod entities;
mod links;
mod packages;
mod segment;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::settings::Retention;

pub use actions::{ActionStore, Change, Removed};
pub use activations::{ActivationStore, Begin, Filter, Part};
pub use entities::{Entity, EntityStore};
pub use links::{ActivateError, Links};
pub use packages::Packages;

/// The store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}: {source}; {cure}")]
pub struct StoreError {
    path: PathBuf,
    problem: &'static str,
    source: io::Error,
    cure: &'static str,
}

impl StoreError {
    fn new(path: &Path, problem: &'static str, source: io::Error) -> Self {
        let cure = match source.kind() {
            io::ErrorKind::PermissionDenied => "let the server's user own the data directory",
            io::ErrorKind::StorageFull => "give the data directory's volume more room",
            io::ErrorKind::InvalidData => {
                "move the file out of the data directory and create the entity again"
            }
            _ => "see that the data directory's volume is well",
        };
        Self {
            path: path.to_owned(),
            problem,
            source,
            cure,
        }
    }
}

/// Everything that outlives the process.
#[derive(Debug)]
pub struct Kept {
    /// Actions.
    pub actions: ActionStore,
    /// Packages.
    pub packages: Packages,
    /// Triggers and rules.
    pub links: Links,
    /// Activations.
    pub activations: ActivationStore,
}

impl Kept {
    /// Reads what is there. Activations that a stop cut off get a record that says so.
    ///
    /// # Errors
    /// [`StoreError`] when the directory or a file in it cannot be used.
    pub fn open(data: &Path, retention: Retention, now: i64) -> Result<Self, StoreError> {
        Ok(Self {
            actions: ActionStore::open(data)?,
            packages: Packages::open(data)?,
            links: Links::open(data)?,
            activations: ActivationStore::open(data, retention, now)?,
        })
    }
}

/// Writes a file so that after a crash there is either the old one or the new one, whole.
fn write_durably(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or(path);
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_directory(directory)
    };
    write().map_err(|error| StoreError::new(path, "cannot be written", error))
}

/// Removes a file so that it is still gone after a crash. One that is gone already is fine: a former call may have
/// failed behind the removal.
fn remove_durably(path: &Path) -> Result<(), StoreError> {
    let remove = || -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync_directory(path.parent().unwrap_or(path)),
        }
    };
    remove().map_err(|error| StoreError::new(path, "cannot be removed", error))
}

/// Writes through which files a directory has.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn create_directory(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(|error| StoreError::new(path, "cannot be created", error))
}

fn files(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let unreadable = |error| StoreError::new(directory, "cannot be listed", error);
    fs::read_dir(directory)
        .map_err(unreadable)?
        .map(|entry| entry.map(|entry| entry.path()).map_err(unreadable))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_can_be_removed_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.json");
        write_durably(&path, b"{}").unwrap();
        remove_durably(&path).unwrap();
        assert!(!path.exists());
        remove_durably(&path).unwrap();
        let nowhere = directory.path().join("gone/x.json");
        let error = remove_durably(&nowhere).unwrap_err().to_string();
        assert!(error.contains("gone/x.json: cannot be removed"), "{error}");
    }
}
