//! Files with zones: GeoJSON, also compressed with gzip, named one by one or by their directory.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use millrace_analytics::zones::{Files, MOST_FILES, is_hidden};
use millrace_contract::Invalid;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// Where zones are read: the section `zones` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ZonesConfig {
    /// Directories of which every visible file is read, for instance mounted ConfigMaps. Not those below.
    pub directories: Vec<PathBuf>,
    /// Single files.
    pub files: Vec<PathBuf>,
}

/// What tells whether a file is still the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    path: PathBuf,
    // Inode, length, time of the last change in seconds and nanoseconds; none when it is not there.
    identity: Option<(u64, u64, i64, i64)>,
}

/// The content of all files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Name and text of each.
    pub texts: Vec<(String, String)>,
    /// Differs when anything in `texts` does.
    pub digest: [u8; 32],
}

/// Why files were not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Something is not there; while files are exchanged that passes.
    Away(Invalid),
    /// Something cannot be used.
    Bad(Invalid),
}

impl Problem {
    /// The error.
    #[must_use]
    pub fn into_invalid(self) -> Invalid {
        match self {
            Self::Away(e) | Self::Bad(e) => e,
        }
    }
}

// A file as it is told of, and as it is opened.
struct Found {
    name: PathBuf,
    path: PathBuf,
}

impl ZonesConfig {
    /// Looks at the files without reading them. Equal as long as nothing was changed.
    #[must_use]
    pub fn stamps(&self) -> Vec<Stamp> {
        let found = match self.find() {
            Ok(found) => found,
            Err(_) => return Vec::new(),
        };
        let stamp = |found: Found| Stamp {
            identity: std::fs::metadata(&found.path)
                .ok()
                .map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec())),
            path: found.path,
        };
        found.into_iter().map(stamp).collect()
    }

    /// Reads all files.
    ///
    /// # Errors
    /// One is not there, cannot be read, or all are too large together.
    pub fn read(&self) -> Result<Content, Problem> {
        let mut digest = Sha256::new();
        let mut files = Files::default();
        for Found { name, path } in self.find()? {
            read_file(&name, &path, &mut files)?;
        }
        for (name, text) in files.texts() {
            for part in [name, text] {
                digest.update(part.len().to_be_bytes());
                digest.update(part.as_bytes());
            }
        }
        Ok(Content {
            texts: files.into_texts(),
            digest: digest.finalize().into(),
        })
    }

    fn find(&self) -> Result<Vec<Found>, Problem> {
        let mut found = Vec::new();
        for directory in &self.directories {
            find_in(directory, &mut found)?;
        }
        found.extend(self.files.iter().map(|path| Found {
            name: path.clone(),
            path: path.clone(),
        }));
        if found.len() > MOST_FILES {
            return Err(Problem::Bad(Invalid::new(
                "zones",
                found.len().to_string(),
                format!("more than {MOST_FILES} files"),
                "put several zones into one FeatureCollection",
            )));
        }
        Ok(found)
    }
}

// In a mounted ConfigMap the names are links through the link `..data`, which is exchanged as a whole: resolved
// once, so that all files are of one version.
fn find_in(directory: &Path, found: &mut Vec<Found>) -> Result<(), Problem> {
    let failed = |e: &std::io::Error| {
        problem(
            e,
            Invalid::new(
                "zones.directories",
                directory.display().to_string(),
                format!("cannot be read: {e}"),
                "name a readable directory, or mount the ConfigMap there",
            ),
        )
    };
    let data = directory.join("..data");
    let base = match std::fs::canonicalize(&data) {
        Ok(base) => base,
        Err(_) => directory.to_path_buf(),
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&base).map_err(|e| failed(&e))? {
        let entry = entry.map_err(|e| failed(&e))?;
        let name = entry.file_name();
        if !is_hidden(&name.to_string_lossy()) && !entry.path().is_dir() {
            names.push(name);
        }
    }
    names.sort();
    found.extend(names.into_iter().map(|name| Found {
        path: base.join(&name),
        name: directory.join(&name),
    }));
    Ok(())
}

fn problem(e: &std::io::Error, invalid: Invalid) -> Problem {
    match e.kind() {
        std::io::ErrorKind::NotFound => Problem::Away(invalid),
        _ => Problem::Bad(invalid),
    }
}

fn read_file(name: &Path, path: &Path, files: &mut Files) -> Result<(), Problem> {
    let shown = name.display().to_string();
    let failed = |e: &std::io::Error| {
        let told = format!("cannot be read: {e}");
        problem(
            e,
            Invalid::new("zones", &shown, told, "give a readable file"),
        )
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| failed(&e))?;
    file.take(files.room() as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| failed(&e))?;
    let added = files.add(&shown, bytes);
    added.map_err(|e| Problem::Bad(Invalid::new("zones", &shown, e.problem, e.cure)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    // As the kubelet lays a ConfigMap out.
    fn mount(directory: &Path, version: &str, files: &[(&str, &[u8])]) {
        let data = directory.join(format!("..{version}"));
        std::fs::create_dir_all(&data).unwrap();
        for (name, content) in files {
            std::fs::write(data.join(name), content).unwrap();
            let link = directory.join(name);
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(Path::new("..data").join(name), link).unwrap();
        }
        let new = directory.join("..data_tmp");
        std::os::unix::fs::symlink(format!("..{version}"), &new).unwrap();
        std::fs::rename(new, directory.join("..data")).unwrap();
    }

    #[test]
    fn a_mounted_config_map_is_read_also_compressed_and_its_exchange_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        mount(
            dir.path(),
            "v1",
            &[("b.geojson", b"two"), ("a.gz", &gzip("one"))],
        );
        let single = dir.path().join("..v1").join("b.geojson");
        let config = ZonesConfig {
            directories: vec![dir.path().to_path_buf()],
            files: vec![single],
        };
        let stamps = config.stamps();
        let content = config.read().unwrap();
        let texts: Vec<&str> = content
            .texts
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        assert_eq!(texts, ["one", "two", "two"]);
        let name = dir.path().join("a.gz").display().to_string();
        assert_eq!(content.texts[0].0, name);
        assert_eq!(config.stamps(), stamps);

        mount(dir.path(), "v2", &[("b.geojson", b"three")]);
        assert_ne!(config.stamps(), stamps);
        let new = config.read().unwrap();
        assert_ne!(new.digest, content.digest);
        assert_eq!(new.texts[0].1, "three");
        // The same content in other files is the same.
        let stamps = config.stamps();
        mount(dir.path(), "v3", &[("b.geojson", b"three")]);
        assert_ne!(config.stamps(), stamps);
        assert_eq!(config.read().unwrap().digest, new.digest);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            let config = ZonesConfig {
                directories: Vec::new(),
                files: vec![path],
            };
            config.read().unwrap_err()
        };
        for (name, content, told) in [
            ("cut.gz", &gzip("a long enough text")[..12], "unpacked"),
            ("raw", &[0xff, 0xfe, 0xff][..], "UTF-8"),
            ("bomb.gz", &gzip(&" ".repeat(9 << 20))[..], "8 MiB"),
        ] {
            let Problem::Bad(e) = of(name, content) else {
                panic!("{name}")
            };
            assert!(e.problem.contains(told), "{e}");
        }
        let nowhere = ZonesConfig {
            directories: vec![dir.path().join("none")],
            files: Vec::new(),
        };
        assert!(nowhere.stamps().is_empty());
        let Problem::Away(e) = nowhere.read().unwrap_err() else {
            panic!("away")
        };
        assert_eq!(e.field, "zones.directories");
    }
}
