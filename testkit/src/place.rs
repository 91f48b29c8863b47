//! Where things are: the repository, the cache of servers, recorded data.

use std::path::{Path, PathBuf};

/// The root of the repository.
#[must_use]
pub fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The directory for what was downloaded and built: `$XDG_CACHE_HOME/millrace` or `~/.cache/millrace`.
#[must_use]
pub fn cache_dir() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")))
        .unwrap_or_else(|| PathBuf::from(".cache"));
    base.join("millrace")
}

/// Recorded vehicle data: `$MILLRACE_DATA`, else `../shared/data` beside the repository.
#[must_use]
pub fn data_dir() -> Option<PathBuf> {
    beside("MILLRACE_DATA", "data")
}

/// Recorded answers of the real OpenWhisk: `$MILLRACE_GOLDEN`, else `../shared/openwhisk-golden`.
#[must_use]
pub fn golden_dir() -> Option<PathBuf> {
    beside("MILLRACE_GOLDEN", "openwhisk-golden")
}

fn beside(variable: &str, name: &str) -> Option<PathBuf> {
    let given = std::env::var_os(variable)
        .filter(|v| !v.is_empty())
        .map(PathBuf::from);
    let dir = given.or_else(|| {
        repository_root()
            .parent()
            .map(|p| p.join("shared").join(name))
    })?;
    dir.is_dir().then_some(dir)
}

/// Says that a test is left out and why.
///
/// # Errors
/// Where `MILLRACE_REQUIRE=1` nothing may be left out.
pub fn left_out(what: &str, why: &str) -> anyhow::Result<()> {
    if std::env::var("MILLRACE_REQUIRE").is_ok_and(|v| v == "1") {
        anyhow::bail!("{what} is required here (MILLRACE_REQUIRE=1) but {why}");
    }
    eprintln!("left out: {what}: {why}");
    Ok(())
}

/// The newest entry of the cache whose name starts with `prefix` and which holds `file`.
pub(crate) fn newest(prefix: &str, file: &str) -> Option<PathBuf> {
    let mut found: Vec<(std::time::SystemTime, PathBuf)> = std::fs::read_dir(cache_dir())
        .ok()?
        .filter_map(Result::ok)
        .filter(|e| e.file_name().to_string_lossy().starts_with(prefix))
        .map(|e| e.path().join(file))
        .filter_map(|p| {
            let changed = std::fs::metadata(&p).and_then(|m| m.modified()).ok()?;
            Some((changed, p))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, p)| p)
}
