//! Looks after children that the kernel cannot bound for an unprivileged server: resident memory and
//! the number of processes, over all descendants, and what they have written.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};

use crate::pool::disk::{nameless, usage};
use crate::pool::process::{Process, members, memory_of, processes};
use crate::pool::unpacked::Unpacked;

/// Why a child was ended by the watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// More resident memory than its limit.
    Memory,
    /// More processes than allowed.
    Processes,
    /// More on the disk than allowed: than one child may have, or the most when all together have too much.
    Disk,
}

/// One child under watch.
#[derive(Debug)]
pub struct Watched {
    /// Its process, which leads a session of the same number.
    pub pid: Pid,
    /// Bound of resident memory, bytes.
    memory: AtomicU64,
    /// Its own directory: the part that it may write in, and links to its code.
    directory: PathBuf,
    /// Bytes of the disk that it took when it was looked at last.
    disk: AtomicU64,
    /// The code that it runs, which stays for as long as it does.
    code: OnceLock<Arc<Unpacked>>,
    verdict: AtomicU8,
}

impl Watched {
    /// Why the watch ended it, if it did.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.verdict.load(Ordering::Acquire) {
            1 => Some(Verdict::Memory),
            2 => Some(Verdict::Processes),
            3 => Some(Verdict::Disk),
            _ => None,
        }
    }

    /// Keeps the code that it runs where it is.
    pub(super) fn uses(&self, code: Arc<Unpacked>) {
        // It is told what it runs only once.
        let _ = self.code.set(code);
    }

    /// Bytes of the disk that are free without it, unless others run the same code.
    fn weight(&self) -> u64 {
        let code = self.code.get().map_or(0, |code| code.bytes());
        self.disk.load(Ordering::Acquire).saturating_add(code)
    }

    fn condemn(&self, verdict: Verdict) {
        let value = match verdict {
            Verdict::Memory => 1,
            Verdict::Processes => 2,
            Verdict::Disk => 3,
        };
        self.verdict.store(value, Ordering::Release);
    }
}

/// All children under watch.
#[derive(Debug)]
pub struct Watch {
    children: Mutex<Vec<Weak<Watched>>>,
    /// Processes that this program started. Held while one is being started, so that none is taken for a stranger.
    started: Mutex<HashSet<i32>>,
    processes: usize,
    reap: bool,
    /// So many rounds still look around although there is no child: what escaped one comes here a little after its end.
    left: AtomicU32,
    rounds: AtomicU32,
}

/// So much may one child have on the disk besides its code, bytes: as much as its code may.
const DISK: u64 = 256 * 1024 * 1024;

/// Disks are looked at in every so many rounds: a look reads whole directories.
const DISK_ROUNDS: u32 = 5;

/// See [`Watch::look`].
const ROUNDS_AFTER: u32 = 10;

impl Watch {
    /// Allows so many processes for each child. With `reap`, processes that left their session and
    /// lost their parent come to this process and are ended.
    pub fn new(processes: usize, reap: bool) -> Self {
        let (children, started) = (Mutex::new(Vec::new()), Mutex::new(HashSet::new()));
        Self {
            children,
            started,
            processes,
            reap,
            left: AtomicU32::new(0),
            rounds: AtomicU32::new(0),
        }
    }

    /// Starts a process of this program's own, which is none of the strangers that are ended. [`Watch::bound`] takes it under watch.
    ///
    /// # Errors
    /// Whatever `start` says.
    pub fn start<T>(
        &self,
        directory: PathBuf,
        start: impl FnOnce() -> io::Result<(Pid, T)>,
    ) -> io::Result<(Arc<Watched>, T)> {
        let mut started = self.started();
        let (pid, child) = start()?;
        started.insert(pid.as_raw_nonzero().get());
        drop(started);
        let watched = Arc::new(Watched {
            pid,
            memory: AtomicU64::new(u64::MAX),
            directory,
            disk: AtomicU64::new(0),
            code: OnceLock::new(),
            verdict: AtomicU8::new(0),
        });
        Ok((watched, child))
    }

    /// Takes a child under watch for as long as the value lives, with this bound of resident memory, bytes.
    pub fn bound(&self, child: &Arc<Watched>, memory: u64) {
        child.memory.store(memory, Ordering::Release);
        self.children
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(child));
        self.left.store(ROUNDS_AFTER, Ordering::Release);
    }

    /// One round. Reads `/proc`; does nothing while there are no children, a few rounds after the last one.
    pub fn look(&self) {
        let watched = self.living();
        let left = self.left.load(Ordering::Acquire);
        if watched.is_empty() && left == 0 {
            return;
        }
        // Not held while `/proc` is read, which takes its time: a start waits for it.
        let before = self.started().clone();
        let processes = processes();
        let mut started = self.started();
        let own = i32::try_from(std::process::id()).unwrap_or(-1);
        let direct: Vec<&Process> = processes
            .iter()
            .filter(|process| process.parent == own)
            .collect();
        // What was started meanwhile may not have been seen yet.
        started.retain(|pid| {
            !before.contains(pid) || direct.iter().any(|process| process.pid == *pid)
        });
        let strangers: Vec<&Process> = direct
            .into_iter()
            .filter(|process| self.reap && !started.contains(&process.pid))
            .collect();
        // Launchers that wait are no reason to look around. A child that begins meanwhile is one, whatever is stored here.
        let calm = watched.is_empty() && strangers.is_empty();
        let next = if calm {
            left.saturating_sub(1)
        } else {
            ROUNDS_AFTER
        };
        self.left.store(next, Ordering::Release);
        for stranger in strangers {
            end_stranger(stranger);
        }
        drop(started);
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        let disks = round.is_multiple_of(DISK_ROUNDS);
        for child in &watched {
            let members = members(&processes, child.pid.as_raw_nonzero().get());
            let resident: u64 = members.iter().map(|process| memory_of(process.pid)).sum();
            if disks {
                let open = nameless(members.iter().map(|process| process.pid));
                let disk = usage(&child.directory, DISK).saturating_add(open);
                child.disk.store(disk, Ordering::Release);
            }
            let verdict = if members.len() > self.processes {
                Verdict::Processes
            } else if resident > child.memory.load(Ordering::Acquire) {
                Verdict::Memory
            } else if disks && child.disk.load(Ordering::Acquire) > DISK {
                Verdict::Disk
            } else {
                continue;
            };
            tracing::warn!(
                pid = child.pid.as_raw_nonzero().get(),
                ?verdict,
                resident,
                processes = members.len(),
                "child ended"
            );
            child.condemn(verdict);
            kill_all(child.pid, &members);
        }
    }

    /// Bytes of the disk that children took, each when it was looked at last, without their code and without those that are
    /// being ended.
    pub fn disk(&self) -> u64 {
        self.living()
            .iter()
            .filter(|child| child.verdict().is_none())
            .map(|child| child.disk.load(Ordering::Acquire))
            .fold(0, u64::saturating_add)
    }

    /// Ends the child that takes most of the disk, its code counted; none while another that was ended is still being removed.
    pub fn end_largest(&self) {
        let children = self.living();
        if children.iter().any(|child| child.verdict().is_some()) {
            return;
        }
        if let Some(child) = children.iter().max_by_key(|child| child.weight()) {
            tracing::warn!(
                pid = child.pid.as_raw_nonzero().get(),
                bytes = child.weight(),
                "all children together take too much of the disk (--run-mb); the largest was ended"
            );
            child.condemn(Verdict::Disk);
            kill_session(child.pid);
        }
    }

    fn started(&self) -> MutexGuard<'_, HashSet<i32>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living(&self) -> Vec<Arc<Watched>> {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|child| child.strong_count() > 0);
        children.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Ends a process that came here when its parent, a child's process, was gone.
fn end_stranger(process: &Process) {
    if let Some(pid) = Pid::from_raw(process.pid) {
        // Errors mean that it is gone already; what is not yet dead is waited for in the next round.
        let _ = kill_process(pid, Signal::KILL);
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// Ends a child with all of its session.
pub fn kill_session(pid: Pid) {
    kill_all(pid, &members(&processes(), pid.as_raw_nonzero().get()));
}

fn kill_all(pid: Pid, members: &[Process]) {
    // The group first, at once; then those who left it. Errors mean that they are gone already.
    let _ = kill_process_group(pid, Signal::KILL);
    for process in members {
        if let Some(pid) = Pid::from_raw(process.pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
