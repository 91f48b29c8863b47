//! Where things are: the repository, its state, the cache.

use std::path::{Path, PathBuf};

/// The directories that every command works with.
pub struct Context {
    /// The repository.
    pub root: PathBuf,
    /// What `up` made in this checkout (`.millrace/`).
    pub state: PathBuf,
    /// What was downloaded and built, keyed by version; may be deleted at any time.
    pub cache: PathBuf,
    /// Whether the image for engine `ballista` is built too (`$MILLRACE_BALLISTA` is set, or the cluster tier is run): DataFusion alone
    /// takes as long to compile as all the rest.
    pub ballista: bool,
    /// Whether its program is, as tests need it.
    pub whole: bool,
}

impl Context {
    /// # Errors
    /// There is neither `XDG_CACHE_HOME` nor `HOME`.
    pub fn find() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .map(Path::to_path_buf)
            .ok_or_else(|| anyhow::anyhow!("xtask is not inside a repository"))?;
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
            .ok_or_else(|| {
                anyhow::anyhow!("HOME is not set: set XDG_CACHE_HOME to a directory for downloads")
            })?
            .join("millrace");
        std::fs::create_dir_all(&cache)?;
        let ballista = std::env::var_os("MILLRACE_BALLISTA").is_some_and(|v| !v.is_empty());
        Ok(Self {
            state: root.join(".millrace"),
            root,
            cache,
            ballista,
            whole: ballista,
        })
    }

    /// The file that the output of a step goes to.
    ///
    /// # Errors
    /// The directory of logs cannot be made.
    pub fn log(&self, name: &str) -> anyhow::Result<PathBuf> {
        let dir = self.state.join("logs");
        std::fs::create_dir_all(&dir)?;
        Ok(dir.join(format!("{name}.log")))
    }

    /// Cargo's target directory.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR")
            .filter(|v| !v.is_empty())
            .map_or_else(|| self.root.join("target"), PathBuf::from)
    }

    /// A binary of the workspace, built in the profile that tests and local images share.
    #[must_use]
    pub fn binary(&self, name: &str) -> PathBuf {
        self.target().join("debug").join(name)
    }

    /// The same checkout and cache, with the state of the clusters that tests make.
    #[must_use]
    pub fn of_tests(&self) -> Self {
        Self {
            root: self.root.clone(),
            state: self.state.join("test"),
            cache: self.cache.clone(),
            ..*self
        }
    }

    /// Recorded trips: `$MILLRACE_DATA`, else `../shared/data`.
    #[must_use]
    pub fn data(&self) -> Option<PathBuf> {
        let given = std::env::var_os("MILLRACE_DATA")
            .filter(|v| !v.is_empty())
            .map(PathBuf::from);
        given
            .or_else(|| self.root.parent().map(|p| p.join("shared/data")))
            .filter(|d| d.is_dir())
    }
}
