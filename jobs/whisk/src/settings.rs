//! What a server is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Subjects;
use crate::kinds::Kinds;
use crate::pods::PodSettings;
use crate::runs::ToldTo;

/// Ranges of limits and sizes; the defaults are the real server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Time of an activation, ms.
    pub timeout: (u64, u64),
    /// Memory of a child, MiB.
    pub memory: (u64, u64),
    /// Log of an activation, MiB.
    pub logs: (u64, u64),
    /// Activations at once in one child.
    pub concurrency: (u64, u64),
    /// Children of one action at once.
    pub instances: u64,
    /// Text of the code, bytes.
    pub code_bytes: usize,
    /// Input and answer, bytes.
    pub payload_bytes: usize,
    /// Actions in one sequence, counted through.
    pub sequence_length: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            timeout: (100, 300_000),
            memory: (128, 512),
            logs: (0, 10),
            concurrency: (1, 1),
            instances: 30,
            code_bytes: 48 * 1024 * 1024,
            payload_bytes: 1024 * 1024,
            sequence_length: 50,
        }
    }
}

impl Bounds {
    /// The same where no more than `concurrent` invocations run at once: more children than that are of no use.
    #[must_use]
    pub fn within(self, concurrent: u64) -> Self {
        Self {
            instances: self.instances.min(concurrent).max(1),
            ..self
        }
    }
}

/// How many requests one namespace may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttles {
    /// Invocations a minute.
    pub invocations_per_minute: u64,
    /// Trigger fires a minute.
    pub fires_per_minute: u64,
    /// Invocations under way.
    pub concurrent: u64,
}

/// How children are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Isolation {
    /// A Landlock domain each; the server refuses to start where the kernel has none.
    Landlock,
    /// None: every action can read what the server can, its keys too. For trusted actions only.
    None,
}

/// How many activations are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At most so many records.
    pub count: usize,
    /// At most so old.
    pub age: Duration,
    /// At most so many bytes on disk.
    pub bytes: u64,
}

/// Children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// The program that starts a child; this program itself.
    pub launcher: PathBuf,
    /// How children are kept apart.
    pub isolation: Isolation,
    /// Memory of all children together, MiB, as the sum of their actions' limits.
    pub memory: u64,
    /// Children of one action at once, unless its limits say so.
    pub instances: usize,
    /// A child unused for so long is ended.
    pub idle: Duration,
    /// Processes that one child may have, itself among them.
    pub processes: usize,
    /// An activation waits so long for a free child.
    pub wait: Duration,
    /// So many launchers stand ready for cold starts.
    pub prewarmed: usize,
    /// What all children together may take of the disk, MiB: what they write, and their code.
    pub disk: u64,
    /// Whether orphans of children become this process's children and are ended. Only for a server
    /// that has its process for itself.
    pub reap: bool,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where metrics and health are told; nowhere when absent.
    pub metrics: Option<SocketAddr>,
    /// Directory of entities and activations.
    pub data: PathBuf,
    /// Directory of children: their code and what they write. It need not outlive the server.
    pub run: PathBuf,
    /// Who may ask.
    pub subjects: Subjects,
    /// What may run.
    pub kinds: Kinds,
    /// Ranges.
    pub bounds: Bounds,
    /// Throttles.
    pub throttles: Throttles,
    /// Retention.
    pub retention: Retention,
    /// Children.
    pub pool: PoolSettings,
    /// Pods of actions that bring an image; without them such actions do not run.
    pub pods: Option<PodSettings>,
    /// The API's address as actions are told it.
    pub api_host: Option<String>,
    /// Where runs of actions are told for the audit trail.
    pub audit: Option<ToldTo>,
    /// At the end, activations under way get so long.
    pub grace: Duration,
}
