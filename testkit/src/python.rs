//! Python programs that results are compared with.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::{cache_dir, left_out};

/// A Python with the packages of `requirements`, which pins them; made once and kept in the cache. None where it cannot be
/// had here.
///
/// # Errors
/// It cannot be had, and nothing may be left out.
pub fn python(requirements: &Path) -> anyhow::Result<Option<PathBuf>> {
    let wanted = std::fs::read_to_string(requirements)?;
    let name: String = wanted
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.trim().replace("==", "-"))
        .collect::<Vec<_>>()
        .join("_");
    let place = cache_dir().join(format!("python-{name}"));
    let python = place.join("bin/python");
    let done = place.join("installed");
    if done.is_file() {
        return Ok(Some(python));
    }
    let make = || -> anyhow::Result<()> {
        if place.exists() {
            std::fs::remove_dir_all(&place)?;
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
        run(Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(requirements))?;
        std::fs::write(&done, "")?;
        Ok(())
    };
    match make() {
        Ok(()) => Ok(Some(python)),
        Err(error) => {
            left_out(&name, &format!("pip cannot install it: {error}"))?;
            Ok(None)
        }
    }
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
