//! From code to a child that runs it, in two steps: a launcher is started, and told what to become. One that was started before
//! anybody needed it ([`super::slots`]) is told the same in the same way, so that no child is kept apart in another way than
//! its neighbour.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Pid;
use tokio::net::unix::pipe::{OpenOptions, Receiver, Sender};
use tokio::process::Command;
use tokio::time::{Instant, sleep_until};

use crate::pool::code::PROGRAM;
use crate::pool::launch::{ANSWERS, FAULT, LAUNCHER, Order, READY, SCRATCH};
use crate::pool::logs::Log;
use crate::pool::shelf::Instance;
use crate::pool::watch::Watch;
use crate::pool::worker::Worker;
use crate::settings::{Isolation, PoolSettings};

/// What a launcher becomes.
#[derive(Debug)]
pub struct Start<'a> {
    /// The unpacked code.
    pub code: &'a Path,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Bound of resident memory, bytes.
    pub memory: u64,
    /// How long the start may take.
    pub timeout: Duration,
}

/// The child could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system.
    #[error("cannot start action: {0}")]
    Io(#[from] io::Error),
    /// The launcher.
    #[error("cannot start action: {0}")]
    Fault(String),
    /// It took too long.
    #[error("The action exceeded its time limits of {} milliseconds during initialization.", .0.as_millis())]
    Timeout(Duration),
}

/// A started launcher that was not told yet what it becomes. Dropping it ends it.
#[derive(Debug)]
pub struct Launcher(Worker);

impl Launcher {
    /// Starts one in a directory that does not exist yet. Nothing of an action is in its arguments or its environment. It ends
    /// with the thread that calls this, which therefore has to be one that stays.
    ///
    /// # Errors
    /// When the directory cannot be made or the process not be started.
    pub fn start(directory: PathBuf, settings: &PoolSettings, watch: &Watch) -> io::Result<Self> {
        let scratch = directory.join(SCRATCH);
        fs::create_dir_all(&scratch)?;
        let pipe = scratch.join(ANSWERS);
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).map_err(io::Error::from)?;
        // Open for writing too, so that it never seems to be at its end: the child's end is told by its exit.
        let answers = OpenOptions::new().read_write(true).open_receiver(&pipe)?;
        let mut command = Command::new(&settings.launcher);
        command
            .arg(LAUNCHER)
            .arg("--directory")
            .arg(&directory)
            .args(["--isolation", isolation_name(settings)])
            .args(["--server", &std::process::id().to_string()])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let (watched, mut child) = watch.start(directory.clone(), || {
            let child = command.spawn()?;
            let pid = child
                .id()
                .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
            Ok((
                pid.ok_or_else(|| io::Error::other("it ended at once"))?,
                child,
            ))
        })?;
        let missing = || io::Error::other("a pipe is missing");
        let input =
            Sender::from_owned_fd(child.stdin.take().ok_or_else(missing)?.into_owned_fd()?)?;
        let out =
            Receiver::from_owned_fd(child.stdout.take().ok_or_else(missing)?.into_owned_fd()?)?;
        let err =
            Receiver::from_owned_fd(child.stderr.take().ok_or_else(missing)?.into_owned_fd()?)?;
        Ok(Self(Worker {
            pid: watched.pid,
            child,
            input,
            answers,
            streams: [Some(out), Some(err)],
            watched,
            directory,
            used: false,
        }))
    }

    /// Whether it still waits.
    pub fn is_alive(&mut self) -> bool {
        self.0.is_alive()
    }

    /// Makes it the action's child; returns when the action is about to run.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn begin(mut self, start: &Start<'_>, watch: &Watch) -> Result<Worker, StartError> {
        link_code(start.code, &self.0.directory)?;
        let order = Order {
            code: start.code.as_os_str().to_owned(),
            address_space: address_space(start.memory),
            environment: start.environment.clone(),
        };
        let mut order = serde_json::to_vec(&order).map_err(io::Error::other)?;
        order.push(b'\n');
        watch.bound(&self.0.watched, start.memory);
        self.tell(&order, start.timeout).await?;
        // Nobody else can open it by its name from now on.
        fs::remove_file(self.0.directory.join(SCRATCH).join(ANSWERS))?;
        Ok(self.0)
    }

    /// Gives the launcher its order, and waits for its word.
    async fn tell(&mut self, order: &[u8], timeout: Duration) -> Result<(), StartError> {
        let worker = &mut self.0;
        let deadline = Instant::now() + timeout;
        let (mut written, mut refused) = (0, false);
        let mut line = Vec::new();
        loop {
            tokio::select! {
                biased;
                readable = worker.answers.readable() => {
                    readable?;
                    // Byte by byte: what follows the line belongs to the action.
                    let mut byte = [0_u8];
                    match worker.answers.try_read(&mut byte) {
                        Ok(1) if byte[0] == b'\n' => return word(&String::from_utf8_lossy(&line)),
                        Ok(1) => line.push(byte[0]),
                        Ok(_) => return Err(StartError::Fault("the pipe for answers is closed".to_owned())),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                ready = worker.input.writable(), if written < order.len() && !refused => {
                    match ready.and_then(|()| worker.input.try_write(&order[written..])) {
                        Ok(count) => written += count,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        // It ended; its word or its exit tells the rest.
                        Err(_) => refused = true,
                    }
                }
                status = worker.child.wait() => {
                    let mut log = Log::new(4096);
                    worker.said(&mut log);
                    return Err(StartError::Fault(format!("the launcher ended, {}: {}", status?, log.finish().join("; "))));
                }
                () = sleep_until(deadline) => return Err(StartError::Timeout(timeout)),
            }
        }
    }
}

/// What the launcher's first line means.
fn word(line: &str) -> Result<(), StartError> {
    match line.strip_prefix(FAULT) {
        Some(fault) => Err(StartError::Fault(fault.to_owned())),
        None if line == READY => Ok(()),
        None => Err(StartError::Fault(format!("the launcher said {line:?}"))),
    }
}

/// The child's working directory shows the action's files, so that relative paths reach them.
fn link_code(code: &Path, directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(code)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != SCRATCH && name != PROGRAM {
            std::os::unix::fs::symlink(entry.path(), directory.join(name))?;
        }
    }
    Ok(())
}

/// Programs reserve more addresses than memory; the watch bounds what they really use.
fn address_space(memory: u64) -> u64 {
    memory * 2 + 1024 * 1024 * 1024
}

fn isolation_name(settings: &PoolSettings) -> &'static str {
    match settings.isolation {
        Isolation::Landlock => "landlock",
        Isolation::None => "none",
    }
}
