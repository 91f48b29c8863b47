//! How much of the disk a child has filled.

use std::collections::HashSet;
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

/// Bytes of the files without a name that these processes hold open: deleted ones, and memory in the form of a file
/// (`memfd_create`), which is resident in none of them. No directory shows them.
pub(super) fn nameless(processes: impl Iterator<Item = i32>) -> u64 {
    let mut seen = HashSet::new();
    let mut total = 0;
    for process in processes {
        // It may be gone, or forbid to be looked into.
        let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            // Of what is open, not of the link to it.
            let Ok(metadata) = fs::metadata(descriptor.path()) else {
                continue;
            };
            let is_nameless = metadata.is_file() && metadata.nlink() == 0;
            // Processes of one child share descriptors.
            if is_nameless && seen.insert((metadata.dev(), metadata.ino())) {
                total += metadata.blocks() * 512;
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    #[test]
    fn open_files_without_a_name_count_once() {
        let own = i32::try_from(std::process::id()).unwrap();
        let memory = memfd_create("memory", MemfdFlags::CLOEXEC).unwrap();
        for mut file in [tempfile::tempfile().unwrap(), fs::File::from(memory)] {
            file.write_all(&vec![1; 8 << 20]).unwrap();
            let again = file.try_clone().unwrap();
            let found = nameless([own, own].into_iter());
            // Other tests of this process have such files too, but smaller ones.
            assert!((8 << 20..16 << 20).contains(&found), "{found}");
            drop((file, again));
            let left = nameless([own].into_iter());
            assert!(left < 8 << 20, "{left}");
        }
    }

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
