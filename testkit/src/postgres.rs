//! The real PostgreSQL, in the root file system of its image: as a pod sees it, and with the libraries that it was made with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Context as _;

use crate::place::{left_out, newest};
use crate::process::Server;

/// The user of pods. PostgreSQL refuses to run as root.
const USER: &str = "1000:1000";

/// The root file system of the image of PostgreSQL (`$MILLRACE_POSTGRES`, else the newest `postgres-*/root` of the cache).
///
/// Gives `None`, after saying why, where there is none, or where this user may not mount and change the root.
///
/// # Errors
/// It is required and missing.
pub fn postgres() -> anyhow::Result<Option<PathBuf>> {
    let root = std::env::var_os("MILLRACE_POSTGRES")
        .map(PathBuf::from)
        .or_else(|| newest("postgres-", "root"));
    let Some(root) = root.filter(|root| root.is_dir()) else {
        left_out(
            "PostgreSQL",
            "its root file system is not in the cache; `cargo xtask test` makes it",
        )?;
        return Ok(None);
    };
    let mut probe = Command::new("unshare");
    let may = probe.args(["--mount", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        left_out("PostgreSQL", "this user may not mount: run it as root")?;
        return Ok(None);
    }
    Ok(Some(root))
}

/// One pod of PostgreSQL as a process, with volumes of its own. It ends with its value.
pub struct PostgresPod {
    root: PathBuf,
    directory: tempfile::TempDir,
    /// Where a directory of the pod is in the file system of the image.
    mounts: Vec<(String, PathBuf)>,
    server: Option<Server>,
}

impl PostgresPod {
    /// A pod with empty volumes at these directories, and with a `/tmp`.
    ///
    /// # Errors
    /// A directory cannot be made.
    pub fn new(root: PathBuf, volumes: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut pod = Self {
            root,
            directory,
            mounts: Vec::new(),
            server: None,
        };
        for path in volumes.iter().chain(&["/tmp"]) {
            let name = path.trim_start_matches('/').replace('/', "-");
            let at = pod.directory.path().join(name);
            fs::create_dir_all(&at)?;
            std::os::unix::fs::chown(&at, Some(1000), Some(1000))?;
            fs::create_dir_all(pod.root.join(path.trim_start_matches('/')))?;
            pod.mounts.push(((*path).to_owned(), at));
        }
        fs::create_dir_all(pod.root.join("dev"))?;
        Ok(pod)
    }

    /// Shows a file of a volume at another place of the pod too, where the image has one.
    ///
    /// # Errors
    /// The pod has no such volume.
    pub fn show(&mut self, volume: &str, file: &str, at: &str) -> anyhow::Result<()> {
        let from = self.volume(volume)?.join(file);
        self.mounts.push((at.to_owned(), from));
        Ok(())
    }

    /// Where a volume of the pod is.
    ///
    /// # Errors
    /// It has no such volume.
    pub fn volume(&self, path: &str) -> anyhow::Result<&Path> {
        let mut mounts = self.mounts.iter();
        let found = mounts.find(|(at, _)| at == path);
        Ok(&found.with_context(|| format!("no volume at {path}"))?.1)
    }

    /// A program in the pod.
    #[must_use]
    pub fn command(&self, program: &[&str]) -> Command {
        // In a namespace of its own, so that mounts go with the process.
        let mut script = String::from("set -e\n");
        let root = self.root.display();
        script += &format!("mount --rbind /dev '{root}/dev'\n");
        for (path, from) in &self.mounts {
            script += &format!("mount --bind '{}' '{root}{path}'\n", from.display());
        }
        script += &format!("exec chroot --userspec={USER} '{root}' \"$@\"\n");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script, "sh"])
            .args(program)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            );
        command
    }

    /// Runs a program in the pod to its end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, program: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command(program).output()?)
    }

    /// Starts the pod's server by this program.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self, program: &[&str]) -> anyhow::Result<()> {
        self.server = None;
        let log = self.log();
        self.server = Some(Server::start(&mut self.command(program), &log)?);
        Ok(())
    }

    /// The server, once it was started.
    pub fn server(&mut self) -> Option<&mut Server> {
        self.server.as_mut()
    }

    /// The file of the log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}
