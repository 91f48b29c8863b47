//! Prometheus and promtool, of Debian's package. It is unpacked and never installed, so that no service starts.

use std::path::PathBuf;
use std::process::Command;

use crate::place::{cache_dir, left_out};

/// The directory that holds `prometheus` and `promtool`; unpacked once and kept in the cache. None where it cannot be had
/// here.
///
/// # Errors
/// It cannot be had, and nothing may be left out.
pub fn prometheus() -> anyhow::Result<Option<PathBuf>> {
    let place = cache_dir().join("prometheus-bookworm");
    let programs = place.join("usr/bin");
    if programs.join("promtool").is_file() && programs.join("prometheus").is_file() {
        return Ok(Some(programs));
    }
    match unpack(&place) {
        Ok(()) => Ok(Some(programs)),
        Err(error) => {
            left_out(
                "Prometheus",
                &format!("Debian's package cannot be had: {error}"),
            )?;
            Ok(None)
        }
    }
}

fn unpack(place: &std::path::Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(cache_dir())?;
    let fresh = tempfile::tempdir_in(cache_dir())?;
    let download = || {
        run(Command::new("apt-get")
            .args(["download", "--quiet", "prometheus"])
            .current_dir(fresh.path()))
    };
    if download().is_err() {
        // The lists of packages are missing or older than the archive.
        run(Command::new("apt-get").arg("update"))?;
        download()?;
    }
    let package = std::fs::read_dir(fresh.path())?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .ok_or_else(|| anyhow::anyhow!("apt-get download left no package"))?;
    let root = fresh.path().join("root");
    run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&root))?;
    // Of two that do this at once, one is first.
    if let Err(error) = std::fs::rename(&root, place)
        && !place.join("usr/bin/promtool").is_file()
    {
        return Err(error.into());
    }
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    anyhow::ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
