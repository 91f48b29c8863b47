//! Content keys: what was built from what.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

/// Twelve hexadecimal digits that change when a file's name or content below `paths` does.
///
/// # Errors
/// A file cannot be read.
pub fn key(paths: &[PathBuf]) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for path in paths {
        for file in walk(path)? {
            hash.update(
                file.strip_prefix(path)
                    .unwrap_or(&file)
                    .to_string_lossy()
                    .as_bytes(),
            );
            hash.update([0]);
            hash.update(std::fs::read(&file).with_context(|| file.display().to_string())?);
            hash.update([0]);
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .take(6)
        .map(|b| format!("{b:02x}"))
        .collect())
}

fn walk(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .with_context(|| path.display().to_string())?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        files.extend(walk(&entry)?);
    }
    Ok(files)
}

/// Writes a file by way of a second name, so that an interruption leaves the old one or the new one.
///
/// # Errors
/// It cannot be written.
pub fn replace(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let new = path.with_extension("new");
    std::fs::write(&new, content).with_context(|| new.display().to_string())?;
    std::fs::rename(&new, path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_follows_names_and_contents() {
        let dir = std::env::temp_dir().join(format!("xtask-key-{}", std::process::id()));
        replace(&dir.join("a/one"), b"1").unwrap();
        let first = key(std::slice::from_ref(&dir)).unwrap();
        assert_eq!(first, key(std::slice::from_ref(&dir)).unwrap());
        replace(&dir.join("a/one"), b"2").unwrap();
        let second = key(std::slice::from_ref(&dir)).unwrap();
        assert_ne!(first, second);
        std::fs::rename(dir.join("a/one"), dir.join("a/two")).unwrap();
        assert_ne!(second, key(std::slice::from_ref(&dir)).unwrap());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
