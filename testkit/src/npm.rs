//! JavaScript packages that tests speak to servers with.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::{cache_dir, left_out};

/// The folder of packages for `NODE_PATH`, as `package-lock.json` beside `package.json` in `place` pins them; made once and
/// kept in the cache. None where they cannot be had here.
///
/// # Errors
/// They cannot be had, and nothing may be left out.
pub fn npm(place: &Path) -> anyhow::Result<Option<PathBuf>> {
    let (list, lock) = (place.join("package.json"), place.join("package-lock.json"));
    let mut hasher = DefaultHasher::new();
    std::fs::read(&lock)?.hash(&mut hasher);
    let kept = cache_dir().join(format!("npm-{:016x}", hasher.finish()));
    let (modules, done) = (kept.join("node_modules"), kept.join("installed"));
    if done.is_file() {
        return Ok(Some(modules));
    }
    let make = || -> anyhow::Result<()> {
        std::fs::create_dir_all(&kept)?;
        for file in [&list, &lock] {
            let name = file.file_name().unwrap_or_default();
            std::fs::copy(file, kept.join(name))?;
        }
        // Nothing of the packages runs while they are installed.
        let output = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&kept)
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "npm ci: {told}");
        std::fs::write(&done, "")?;
        Ok(())
    };
    match make() {
        Ok(()) => Ok(Some(modules)),
        Err(error) => {
            left_out(
                "the packages of package-lock.json",
                &format!("npm cannot install them: {error}"),
            )?;
            Ok(None)
        }
    }
}
