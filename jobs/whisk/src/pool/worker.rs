//! One child: its pipes, and one activation at a time through them.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::process::Child;
use tokio::time::{Instant, sleep_until};

use crate::pool::answer::Answer;
use crate::pool::logs::{Log, Stream};
use crate::pool::shelf::Instance;
use crate::pool::start::{Launcher, Start, StartError};
use crate::pool::watch::{Verdict, Watch, Watched, kill_session};
use crate::settings::PoolSettings;

/// So often a pipe is read without waiting, at most: a child that never stops writing holds nobody up.
const MOST_READS: usize = 1024;

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
    /// The runtime of its image says in these words what broke.
    Told(String),
}

/// A running child. Dropping it ends it and all that it started.
#[derive(Debug)]
pub struct Worker {
    pub(super) child: Child,
    pub(super) pid: Pid,
    pub(super) input: Sender,
    pub(super) answers: Receiver,
    pub(super) streams: [Option<Receiver>; 2],
    pub(super) watched: Arc<Watched>,
    pub(super) directory: PathBuf,
    pub(super) used: bool,
}

impl Worker {
    /// Starts a child in a directory that does not exist yet; returns when the action is about to run.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        directory: PathBuf,
        start: &Start<'_>,
        settings: &PoolSettings,
        watch: &Watch,
    ) -> Result<Self, StartError> {
        let launcher = Launcher::start(directory, settings, watch)?;
        launcher.begin(start, watch).await
    }
}

impl Instance for Worker {
    fn is_alive(&mut self) -> bool {
        self.watched.verdict().is_none() && matches!(self.child.try_wait(), Ok(None))
    }

    async fn run(
        &mut self,
        line: &[u8],
        timeout: Duration,
        longest: usize,
        log: &mut Log,
    ) -> io::Result<Outcome> {
        self.discard_leftovers();
        self.exchange(line, timeout, longest, log).await
    }
}

impl Worker {
    /// Waits for the line by which an action acknowledges its start, which was told to do so.
    ///
    /// # Errors
    /// When the system fails, not the action.
    pub async fn first_line(
        &mut self,
        timeout: Duration,
        longest: usize,
        log: &mut Log,
    ) -> io::Result<Outcome> {
        self.exchange(&[], timeout, longest, log).await
    }

    async fn exchange(
        &mut self,
        line: &[u8],
        timeout: Duration,
        longest: usize,
        log: &mut Log,
    ) -> io::Result<Outcome> {
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

    /// Adds what a child has logged that is gone.
    pub fn said(&mut self, log: &mut Log) {
        self.drain(log);
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
