//! Where a job's settings come from: a configuration file, service bindings, flags and environment.
//!
//! Precedence: flag, then environment variable, then binding. The configuration file holds what is
//! not an address or a secret.

#[cfg(feature = "mongodb")]
mod documents;
mod lake;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

#[cfg(feature = "mongodb")]
pub use documents::{DocumentsAccess, DocumentsArgs, DocumentsError};
pub use lake::LakeArgs;

/// The configuration file that is read when none is named and this one exists.
pub const DEFAULT_CONFIG: &str = "/etc/millrace/config.yaml";

/// What went wrong while the settings were read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file could not be read.
    #[error("{}: cannot be read: {source}; give a readable file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration file does not fit the job.
    #[error("{}: {problem}; correct the file", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and field.
        problem: String,
    },
    /// A needed setting was given nowhere.
    #[error("{name}: not given; {cure}")]
    Missing {
        /// The setting.
        name: String,
        /// How to give it.
        cure: String,
    },
    /// A setting was given and cannot be used.
    #[error("{name}: {problem}; {cure}")]
    Unusable {
        /// The setting.
        name: String,
        /// What is wrong with it, never a secret's value.
        problem: String,
        /// How to correct it.
        cure: String,
    },
}

/// The configuration file in use: the named one, or the default one when it exists.
#[must_use]
pub fn config_file(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(path) => Some(path.to_path_buf()),
        None => {
            let default = Path::new(DEFAULT_CONFIG);
            default.exists().then(|| default.to_path_buf())
        }
    }
}

/// Reads one YAML file; an empty file gives the defaults.
///
/// # Errors
/// When it cannot be read or does not fit `T`.
pub fn read_config<T: DeserializeOwned + Default>(path: &Path) -> Result<T, SettingsError> {
    parse_config(path, &config_text(path)?)
}

/// The text of a configuration file, for those who hand it on.
///
/// # Errors
/// When it cannot be read.
pub fn config_text(path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
        path: path.to_path_buf(),
        source,
    })
}

/// Reads the text of one YAML file; an empty text gives the defaults.
///
/// # Errors
/// When it does not fit `T`.
pub fn parse_config<T: DeserializeOwned + Default>(
    path: &Path,
    text: &str,
) -> Result<T, SettingsError> {
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    serde_yaml_ng::from_str(text).map_err(|e| SettingsError::Config {
        path: path.to_path_buf(),
        problem: e.to_string(),
    })
}

/// One service binding: a folder whose files are its entries.
#[derive(Clone, Default)]
pub struct Binding {
    name: String,
    folder: PathBuf,
    entries: BTreeMap<String, String>,
}

// Entries hold passwords: only their names are ever printed.
impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("name", &self.name)
            .field("entries", &self.entries.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Binding {
    /// The binding's folder name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder itself, for files that are read again when they change.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads a binding's folder.
    ///
    /// # Errors
    /// When it or a file in it cannot be read.
    pub fn read(folder: &Path) -> Result<Self, SettingsError> {
        // In a mounted Secret the names are links through the link `..data`, which is exchanged as a whole: resolved
        // once, so that all entries are of one version.
        let data = folder.join("..data");
        let base = std::fs::canonicalize(&data).unwrap_or_else(|_| folder.to_path_buf());
        let mut entries = BTreeMap::new();
        for file in visible(&base)? {
            if file.is_file() {
                let bytes = std::fs::read(&file).map_err(|source| SettingsError::Read {
                    path: file.clone(),
                    source,
                })?;
                // A Secret may hold more than texts, for instance a key store beside a certificate.
                if let Ok(value) = String::from_utf8(bytes) {
                    entries.insert(file_name(&file), value);
                }
            }
        }
        Ok(Self {
            name: file_name(folder),
            folder: folder.to_path_buf(),
            entries,
        })
    }

    /// One entry, without surrounding white space.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|v| v.trim())
    }

    /// One entry that must be there.
    ///
    /// # Errors
    /// When it is missing or empty.
    pub fn require(&self, key: &str) -> Result<&str, SettingsError> {
        self.get(key)
            .filter(|v| !v.is_empty())
            .ok_or_else(|| SettingsError::Missing {
                name: format!("binding {} entry {key}", self.name),
                cure: format!(
                    "add the file {key} to the binding's folder (the key {key} to its Secret)"
                ),
            })
    }
}

/// All bindings of a job.
#[derive(Debug, Clone, Default)]
pub struct Bindings {
    all: Vec<Binding>,
}

impl Bindings {
    /// Reads `root`: every sub-folder is a binding; names that start with a dot are Kubernetes' own.
    ///
    /// # Errors
    /// When the root or a file in it cannot be read.
    pub fn read(root: &Path) -> Result<Self, SettingsError> {
        let mut all = Vec::new();
        for folder in visible(root)? {
            if !folder.is_dir() {
                continue;
            }
            all.push(Binding::read(&folder)?);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { all })
    }

    /// The first binding, by name, of a type.
    #[must_use]
    pub fn of_type(&self, kind: &str) -> Option<&Binding> {
        self.all.iter().find(|b| b.get("type") == Some(kind))
    }

    /// The binding of that folder name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Binding> {
        self.all.iter().find(|b| b.name == name)
    }
}

fn visible(folder: &Path) -> Result<Vec<PathBuf>, SettingsError> {
    let failed = |source| SettingsError::Read {
        path: folder.to_path_buf(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !file_name(&path).starts_with('.') {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// A secret text: printed by no formatter.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `value`, without surrounding white space.
    #[must_use]
    pub fn new(value: &str) -> Self {
        Self(value.trim().to_owned())
    }

    /// Reads it from a file.
    ///
    /// # Errors
    /// When the file cannot be read or is empty.
    pub fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        let secret = Self::new(&text);
        if secret.0.is_empty() {
            return Err(SettingsError::Missing {
                name: path.display().to_string(),
                cure: "the file is empty: write the secret into it".to_owned(),
            });
        }
        Ok(secret)
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
