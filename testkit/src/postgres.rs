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
    environment: Vec<(String, String)>,
    /// Whether its processes are numbered on their own, and end together.
    contained: bool,
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
            environment: Vec::new(),
            contained: false,
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
        let place = self.root.join(at.trim_start_matches('/'));
        if !place.exists() {
            fs::write(place, "")?;
        }
        self.mounts.push((at.to_owned(), from));
        Ok(())
    }

    /// Mounts a directory of the machine in the pod, such as a volume of another pod.
    ///
    /// # Errors
    /// The place for it cannot be made in the file system of the image.
    pub fn mount(&mut self, directory: &Path, at: &str) -> anyhow::Result<()> {
        fs::create_dir_all(self.root.join(at.trim_start_matches('/')))?;
        self.mounts.push((at.to_owned(), directory.to_owned()));
        Ok(())
    }

    /// Lets processes of the pod see this variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Lets the server be a container: its processes have numbers of their own, and all of them end with it at once.
    pub fn contain(&mut self) {
        self.contained = true;
    }

    /// Asks the contained server to end, as Kubernetes does when its pod is deleted.
    ///
    /// # Errors
    /// It does not run.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        let server = self.server.as_ref().context("no server was started")?;
        // Below what made the namespace, and the shell that is the first process in it.
        let first = child(server.pid())?;
        let pid = child(first)?.to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status()?;
        anyhow::ensure!(sent.success(), "{pid} cannot be signalled");
        Ok(())
    }

    /// Lets nothing of the contained server go on, until it is thawed: as a node that hangs.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal_all("-STOP")
    }

    /// Lets all of it go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal_all("-CONT")
    }

    fn signal_all(&self, signal: &str) -> anyhow::Result<()> {
        let server = self.server.as_ref().context("no server was started")?;
        let mut all = vec![child(server.pid())?];
        let mut at = 0;
        while let Some(pid) = all.get(at) {
            // One that has ended meanwhile has none.
            all.extend(children(*pid).unwrap_or_default());
            at += 1;
        }
        // The kernel lets nobody stop the first process of a namespace; it only waits.
        let pids: Vec<String> = all.iter().skip(1).map(ToString::to_string).collect();
        Command::new("kill").arg(signal).args(pids).output()?;
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
        self.enter(program, false)
    }

    fn enter(&self, program: &[&str], contained: bool) -> Command {
        // In a namespace of its own, so that mounts go with the process.
        let mut script = String::from("set -e\n");
        let root = self.root.display();
        script += &format!("mount --rbind /dev '{root}/dev'\n");
        for (path, from) in &self.mounts {
            script += &format!("mount --bind '{}' '{root}{path}'\n", from.display());
        }
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if contained {
            // The kernel forgets who is to end with whom when a process changes its user: so a shell stays the first one.
            command.args(["--pid", "--fork", "--kill-child"]);
            script += &format!("mount -t proc proc '{root}/proc'\n");
            script += &format!("chroot --userspec={USER} '{root}' \"$@\" &\nwait $!\n");
        } else {
            script += &format!("exec chroot --userspec={USER} '{root}' \"$@\"\n");
        }
        command
            .args(["sh", "-c", &script, "sh"])
            .args(program)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
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
        let mut command = self.enter(program, self.contained);
        self.server = Some(Server::start(&mut command, &log)?);
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

/// The only child of a process.
fn child(pid: u32) -> anyhow::Result<u32> {
    let first = children(pid)?.into_iter().next();
    first.with_context(|| format!("process {pid} has no child"))
}

fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    // Each thread has its own.
    let mut all = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let children = fs::read_to_string(task?.path().join("children"))?;
        all.extend(
            children
                .split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    Ok(all)
}
