//! Where a job's settings come from: a configuration file, service bindings, flags and environment.
//!
//! Precedence: flag, then environment variable, then binding. The configuration file holds what is
//! not an address or a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::connect::Access;

/// The configuration file that is read when none is named and this one exists.
pub const DEFAULT_CONFIG: &str = "/etc/millrace/config.yaml";

const SERVERS: &str = "bootstrap-servers";

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

/// Flags that every job takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Configuration file of the job, YAML; /etc/millrace/config.yaml is read when it exists
    #[arg(long, env = "MILLRACE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of service bindings: one sub-folder each, with files type, host, password, …
    #[arg(long, env = "SERVICE_BINDING_ROOT", value_name = "DIR")]
    pub service_binding_root: Option<PathBuf>,
    /// Kafka's bootstrap servers, host:port[,host:port…]; else those of the binding of type kafka
    #[arg(long, env = "MILLRACE_BOOTSTRAP_SERVERS", value_name = "HOST:PORT")]
    pub bootstrap_servers: Option<String>,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(
        long,
        env = "MILLRACE_METRICS",
        default_value = "0.0.0.0:9090",
        value_name = "ADDR"
    )]
    pub metrics: SocketAddr,
}

impl Common {
    /// Reads the job's configuration file, or takes the defaults when there is none.
    ///
    /// # Errors
    /// When the named file cannot be read, or it holds an unknown field or a wrong type.
    pub fn load_config<T: DeserializeOwned + Default>(&self) -> Result<T, SettingsError> {
        match self.config_file() {
            Some(path) => read_config(&path),
            None => Ok(T::default()),
        }
    }

    /// The configuration file in use: the named one, or the default one when it exists.
    #[must_use]
    pub fn config_file(&self) -> Option<PathBuf> {
        match &self.config {
            Some(path) => Some(path.clone()),
            None => {
                let default = Path::new(DEFAULT_CONFIG);
                default.exists().then(|| default.to_path_buf())
            }
        }
    }

    /// Reads all bindings under the binding root.
    ///
    /// # Errors
    /// When a binding's file cannot be read.
    pub fn bindings(&self) -> Result<Bindings, SettingsError> {
        match &self.service_binding_root {
            Some(root) => Bindings::read(root),
            None => Ok(Bindings::default()),
        }
    }

    /// Where Kafka is and how to log in: the binding of type `kafka`, the address by flag or environment where given.
    ///
    /// # Errors
    /// When nothing gives the address, or the binding's keys are missing, unusable or contradict each other.
    pub fn kafka(&self, bindings: &Bindings) -> Result<Access, SettingsError> {
        let given = self.bootstrap_servers.clone();
        match (bindings.of_type("kafka"), given) {
            (Some(binding), given) if given.is_some() || binding.get(SERVERS).is_some() => {
                Access::bound(binding, given)
            }
            (_, Some(servers)) => Ok(Access::from(&servers)),
            (_, None) => Err(no_servers()),
        }
    }
}

fn no_servers() -> SettingsError {
    SettingsError::Missing {
            name: SERVERS.to_owned(),
            cure: "give --bootstrap-servers HOST:PORT, MILLRACE_BOOTSTRAP_SERVERS or a binding of type kafka \
                   with the entry bootstrap-servers under SERVICE_BINDING_ROOT"
                .to_owned(),
    }
}

/// Reads one YAML file; an empty file gives the defaults.
///
/// # Errors
/// When it cannot be read or does not fit `T`.
pub fn read_config<T: DeserializeOwned + Default>(path: &Path) -> Result<T, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    serde_yaml_ng::from_str(&text).map_err(|e| SettingsError::Config {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Example {
        group: String,
    }

    fn common(root: Option<PathBuf>, config: Option<PathBuf>) -> Common {
        Common {
            config,
            service_binding_root: root,
            bootstrap_servers: None,
            metrics: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }

    #[test]
    fn a_binding_gives_the_servers_and_hides_its_values() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("kafka");
        std::fs::create_dir_all(folder.join("..other")).unwrap();
        std::fs::write(folder.join("type"), "kafka\n").unwrap();
        std::fs::write(folder.join("bootstrap-servers"), "k:9092\n").unwrap();
        std::fs::write(folder.join("password"), "hunter2").unwrap();
        std::fs::write(folder.join("keystore.p12"), [0x30, 0x82, 0xff]).unwrap();
        let common = common(Some(dir.path().to_path_buf()), None);
        let bindings = common.bindings().unwrap();
        assert!(!format!("{bindings:?}").contains("hunter2"));
        // Given without a protocol that uses it.
        let kafka = |common: &Common| common.kafka(&bindings).map(|a| a.login());
        let e = kafka(&common).unwrap_err().to_string();
        assert!(e.contains("password") && !e.contains("hunter2"), "{e}");
        std::fs::remove_file(folder.join("password")).unwrap();
        let bindings = common.bindings().unwrap();
        let login = |common: &Common| common.kafka(&bindings).unwrap().login().bootstrap.clone();
        assert_eq!(login(&common), "k:9092");
        let mut named = common.clone();
        named.bootstrap_servers = Some("other:9092".to_owned());
        assert_eq!(login(&named), "other:9092");
        assert_eq!(bindings.named("kafka").unwrap().folder(), folder);
        let missing = bindings
            .named("kafka")
            .unwrap()
            .require("uri")
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("kafka") && missing.contains("uri"),
            "{missing}"
        );
    }

    #[test]
    fn missing_servers_name_the_cure() {
        let e = common(None, None)
            .kafka(&Bindings::default())
            .unwrap_err()
            .to_string();
        assert!(e.contains("--bootstrap-servers"), "{e}");
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        std::fs::write(&file, "grup: x\n").unwrap();
        let e = common(None, Some(file.clone()))
            .load_config::<Example>()
            .unwrap_err()
            .to_string();
        assert!(e.contains("grup"), "{e}");
        std::fs::write(&file, "\n").unwrap();
        assert_eq!(
            common(None, Some(file)).load_config::<Example>().unwrap(),
            Example::default()
        );
    }
}
