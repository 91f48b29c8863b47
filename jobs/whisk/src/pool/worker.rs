//! One child: its pipes, and one activation at a time through them.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Pid;
use tokio::net::unix::pipe::{OpenOptions, Receiver, Sender};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};

use crate::pool::answer::Answer;
use crate::pool::code::PROGRAM;
use crate::pool::launch::{ANSWERS, FAULT, READY, SCRATCH};
use crate::pool::logs::{Log, Stream};
use crate::pool::watch::{Verdict, Watch, Watched, kill_session};
use crate::settings::PoolSettings;

/// So often a pipe is read without waiting, at most: a child that never stops writing holds nobody up.
const MOST_READS: usize = 1024;

/// What a child needs to start.
#[derive(Debug)]
pub struct Start<'a> {
    /// The unpacked code.
    pub code: &'a Path,
    /// A directory that does not exist yet.
    pub directory: PathBuf,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Bound of resident memory, bytes.
    pub memory: u64,
    /// How long the start may take.
    pub timeout: Duration,
}

/// How an activation went.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The line on the pipe for answers, without its newline, and its length with it. The line is cut
    /// when it is longer than allowed.
    Answer {
        /// The line, or its beginning.
        line: Vec<u8>,
        /// Bytes written.
        length: usize,
    },
    /// The child ended before it had read its input.
    NotStarted,
    /// The child ended instead of answering.
    Exited,
    /// The child took too long.
    TimedOut,
    /// The watch ended the child.
    Ended(Verdict),
}

/// A running child. Dropping it ends it and all that it started.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    pid: Pid,
    input: Sender,
    answers: Receiver,
    streams: [Option<Receiver>; 2],
    watched: Arc<Watched>,
    directory: PathBuf,
    used: bool,
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

impl Worker {
    /// Starts a child; returns when the action is about to run.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        start: Start<'_>,
        settings: &PoolSettings,
        watch: &Watch,
    ) -> Result<Self, StartError> {
        let scratch = start.directory.join(SCRATCH);
        fs::create_dir_all(&scratch)?;
        link_code(start.code, &start.directory)?;
        let pipe = scratch.join(ANSWERS);
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).map_err(io::Error::from)?;
        // Open for writing too, so that it never seems to be at its end: the child's end is told by its exit.
        let answers = OpenOptions::new().read_write(true).open_receiver(&pipe)?;
        let mut command = Command::new(&settings.launcher);
        command
            .arg("child")
            .arg("--directory")
            .arg(&start.directory)
            .arg("--code")
            .arg(start.code)
            .args(["--isolation", isolation_name(settings)])
            .args(["--address-space", &address_space(start.memory).to_string()])
            .args(["--server", &std::process::id().to_string()])
            .env_clear()
            .envs(start.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let (watched, mut child) = watch.start(start.memory, scratch.clone(), || {
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
        let mut worker = Self {
            pid: watched.pid,
            child,
            input,
            answers,
            streams: [Some(out), Some(err)],
            watched,
            directory: start.directory,
            used: false,
        };
        worker.ready(start.timeout).await?;
        // Nobody else can open it by its name from now on.
        fs::remove_file(&pipe)?;
        Ok(worker)
    }

    /// Waits for the launcher's word.
    async fn ready(&mut self, timeout: Duration) -> Result<(), StartError> {
        let deadline = Instant::now() + timeout;
        let mut line = Vec::new();
        loop {
            tokio::select! {
                biased;
                readable = self.answers.readable() => {
                    readable?;
                    // Byte by byte: what follows the line belongs to the action.
                    let mut byte = [0_u8];
                    match self.answers.try_read(&mut byte) {
                        Ok(1) if byte[0] == b'\n' => {
                            let line = String::from_utf8_lossy(&line);
                            return match line.strip_prefix(FAULT) {
                                Some(fault) => Err(StartError::Fault(fault.to_owned())),
                                None if line == READY => Ok(()),
                                None => Err(StartError::Fault(format!("the launcher said {line:?}"))),
                            };
                        }
                        Ok(1) => line.push(byte[0]),
                        Ok(_) => return Err(StartError::Fault("the pipe for answers is closed".to_owned())),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                status = self.child.wait() => {
                    let mut log = Log::new(4096);
                    self.drain(&mut log);
                    return Err(StartError::Fault(format!("the launcher ended, {}: {}", status?, log.finish().join("; "))));
                }
                () = sleep_until(deadline) => return Err(StartError::Timeout(timeout)),
            }
        }
    }

    /// Whether the child still lives, as far as is known without waiting.
    pub fn is_alive(&mut self) -> bool {
        self.watched.verdict().is_none() && matches!(self.child.try_wait(), Ok(None))
    }

    /// Gives the child one activation and waits for its answer. After anything but an answer the worker is
    /// to be dropped.
    ///
    /// # Errors
    /// When the system fails, not the child.
    pub async fn run(
        &mut self,
        line: &[u8],
        timeout: Duration,
        longest: usize,
        log: &mut Log,
    ) -> io::Result<Outcome> {
        self.discard_leftovers();
        let deadline = Instant::now() + timeout;
        let (mut written, mut refused) = (0, false);
        let mut answer = Answer::new(longest);
        let mut buffer = vec![0_u8; 16 * 1024];
        let [out, err] = &mut self.streams;
        let outcome = loop {
            // Asked each time, because a flood keeps the first branches busy for ever.
            if Instant::now() >= deadline {
                break Some(Outcome::TimedOut);
            }
            tokio::select! {
                biased;
                ready = self.answers.readable() => {
                    ready?;
                    if read(&self.answers, &mut buffer, |bytes| answer.take(bytes))? == Some(true) {
                        break None;
                    }
                }
                ready = readable(out) => { ready?; take_stream(out, Stream::Out, &mut buffer, log)?; }
                ready = readable(err) => { ready?; take_stream(err, Stream::Err, &mut buffer, log)?; }
                ready = self.input.writable(), if written < line.len() && !refused => {
                    match ready.and_then(|()| self.input.try_write(&line[written..])) {
                        Ok(count) => written += count,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        // The child closed its input; its answer or its end tells the rest.
                        Err(_) => refused = true,
                    }
                }
                _ = self.child.wait() => break Some(exited(&self.watched, &self.input, written)),
                () = sleep_until(deadline) => break Some(Outcome::TimedOut),
            }
        };
        // What the child wrote before its answer is in the pipes by now.
        self.drain(log);
        match outcome {
            None => Ok(answer.into_outcome()),
            // It may have answered right before it ended.
            Some(Outcome::Exited) if self.last_words(&mut answer, &mut buffer) => {
                Ok(answer.into_outcome())
            }
            Some(outcome) => Ok(outcome),
        }
    }

    fn last_words(&self, answer: &mut Answer, buffer: &mut [u8]) -> bool {
        for _ in 0..MOST_READS {
            match rustix::io::read(&self.answers, &mut *buffer) {
                Ok(count @ 1..) if answer.take(&buffer[..count]) => return true,
                Ok(1..) => {}
                _ => break,
            }
        }
        false
    }

    /// Reads what is in the log pipes, past the runtime: it learns of new bytes only by and by.
    fn drain(&mut self, log: &mut Log) {
        let mut buffer = vec![0_u8; 16 * 1024];
        for (receiver, stream) in self.streams.iter().zip([Stream::Out, Stream::Err]) {
            for _ in 0..MOST_READS {
                match receiver
                    .as_ref()
                    .map(|receiver| rustix::io::read(receiver.as_fd(), buffer.as_mut_slice()))
                {
                    Some(Ok(count @ 1..)) => log.push(stream, &buffer[..count]),
                    _ => break,
                }
            }
        }
    }

    /// Throws away what came between two activations: it belongs to neither. What a child said while it started
    /// stays for the log of its first.
    fn discard_leftovers(&mut self) {
        if std::mem::replace(&mut self.used, true) {
            self.drain(&mut Log::new(0));
        }
        let mut buffer = [0_u8; 4096];
        for _ in 0..MOST_READS {
            if !matches!(rustix::io::read(&self.answers, &mut buffer), Ok(1..)) {
                break;
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        kill_session(self.pid);
        let _ = self.child.start_kill();
        // The next start of the server removes what stays.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Why a child that is gone did not answer.
fn exited(watched: &Watched, input: &Sender, written: usize) -> Outcome {
    if let Some(verdict) = watched.verdict() {
        return Outcome::Ended(verdict);
    }
    // Input that nobody has read is still in the pipe: if that is all of it, the action never got that far.
    let unread = rustix::io::ioctl_fionread(input).unwrap_or(0);
    if unread >= written as u64 {
        Outcome::NotStarted
    } else {
        Outcome::Exited
    }
}

/// Waits for a stream that is still open; for ever when it is closed.
async fn readable(stream: &Option<Receiver>) -> io::Result<()> {
    match stream {
        Some(stream) => stream.readable().await,
        None => std::future::pending().await,
    }
}

fn take_stream(
    stream: &mut Option<Receiver>,
    name: Stream,
    buffer: &mut [u8],
    log: &mut Log,
) -> io::Result<()> {
    let Some(open) = stream else { return Ok(()) };
    if read(open, buffer, |bytes| log.push(name, bytes))?.is_none() {
        *stream = None;
    }
    Ok(())
}

/// Reads once: `None` at the end of the stream. Without bytes `T`'s default.
fn read<T: Default>(
    stream: &Receiver,
    buffer: &mut [u8],
    take: impl FnOnce(&[u8]) -> T,
) -> io::Result<Option<T>> {
    match stream.try_read(buffer) {
        Ok(0) => Ok(None),
        Ok(count) => Ok(Some(take(&buffer[..count]))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(T::default())),
        Err(error) => Err(error),
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
        crate::settings::Isolation::Landlock => "landlock",
        crate::settings::Isolation::None => "none",
    }
}
