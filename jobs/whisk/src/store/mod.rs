//! What outlives the process: actions as one file each, activations in append-only segments.

mod actions;
mod activations;
mod segment;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

pub use actions::{ActionStore, Change, Removed};
pub use activations::{ActivationStore, Begin, Filter};

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

/// Writes a file so that after a crash there is either the old one or the new one, whole.
fn write_durably(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or(path);
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| StoreError::new(path, "cannot be written", error))
}

fn create_directory(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(|error| StoreError::new(path, "cannot be created", error))
}
