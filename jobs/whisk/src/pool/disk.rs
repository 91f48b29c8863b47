//! How much of the disk a child has filled.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What an entry takes at least: a flood of empty files fills a disk too.
const ENTRY: u64 = 4096;

/// Bytes of the disk below a directory; looks no further when they are more than `enough`. What cannot be looked into
/// (too deep, or closed on purpose) counts as too much.
pub(super) fn usage(directory: &Path, enough: u64) -> u64 {
    let mut total = 0;
    let mut todo: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(directory) = todo.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            // The child works in there meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(_) => return u64::MAX,
        };
        for entry in entries.flatten() {
            // Not followed: a link takes no more than itself.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            // Blocks are of 512 bytes whatever the file system's are.
            total += ENTRY.max(metadata.blocks() * 512);
            if total > enough {
                return total;
            }
            if metadata.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_links_count_but_not_what_links_point_to() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(usage(place.path(), u64::MAX), 0);
        assert_eq!(usage(&place.path().join("gone"), u64::MAX), 0);
        fs::create_dir(place.path().join("folder")).unwrap();
        fs::write(place.path().join("folder/file"), vec![1; 100_000]).unwrap();
        fs::write(place.path().join("empty"), "").unwrap();
        std::os::unix::fs::symlink("/", place.path().join("link")).unwrap();
        let whole = usage(place.path(), u64::MAX);
        assert!((100_000 + 3 * ENTRY..400_000).contains(&whole), "{whole}");
        assert!(usage(place.path(), ENTRY) <= whole);
    }

    #[test]
    fn a_tree_that_is_too_deep_counts_as_too_much() {
        let place = tempfile::tempdir().unwrap();
        let mut deepest = place.path().to_owned();
        let name = "d".repeat(250);
        while deepest.as_os_str().len() + 251 < 4096 {
            deepest.push(&name);
            fs::create_dir(&deepest).unwrap();
        }
        // Below it by a relative path, as a child would.
        let made = std::process::Command::new("mkdir")
            .arg(&name)
            .current_dir(&deepest)
            .status();
        assert!(made.unwrap().success());
        assert_eq!(usage(place.path(), u64::MAX), u64::MAX);
    }
}
