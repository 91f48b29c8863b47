//! A file system of a few mebibytes, which tests fill.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// A small file system over a directory. It goes with its value.
pub struct Volume(PathBuf);

impl Volume {
    /// Mounts one of so many mebibytes over a directory, for the user of pods.
    ///
    /// # Errors
    /// This user may not mount.
    pub fn on(directory: &Path, mebibytes: u32) -> anyhow::Result<Self> {
        let options = format!("size={mebibytes}m,uid=1000,gid=1000,mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "volume"]);
        let output = mount.arg(directory).output()?;
        anyhow::ensure!(
            output.status.success(),
            "{}: cannot be mounted: {}",
            directory.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(Self(directory.to_owned()))
    }

    /// Fills it to the last byte.
    ///
    /// # Errors
    /// Something else than its end stops that.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::create(self.filler())?;
        let block = [0_u8; 64 * 1024];
        let full = loop {
            if let Err(error) = file.write_all(&block) {
                break error;
            }
        };
        anyhow::ensure!(full.kind() == ErrorKind::StorageFull, "{full}");
        Ok(())
    }

    /// Takes away what filled it.
    ///
    /// # Errors
    /// It was not filled.
    pub fn make_room(&self) -> anyhow::Result<()> {
        let filler = self.filler();
        std::fs::remove_file(&filler).with_context(|| filler.display().to_string())
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
