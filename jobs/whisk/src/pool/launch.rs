//! The other side of a child's start: this program, started again as `child`, waits on its standard input to be told what it
//! becomes, binds itself, and then becomes the action. So no code runs between fork and exec, and none of it needs to be unsafe.
//! Until it is bound, nothing of the action has a say in it: neither in its arguments nor in its environment.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::io::{Errno, FdFlags, fcntl_setfd, read, retry_on_intr};
use rustix::process::{
    Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit, setsid,
};

use serde::{Deserialize, Serialize};

use crate::settings::Isolation;

/// The pipe for answers, inside the child's writable directory: an action may open it again by number.
pub const ANSWERS: &str = "answers";

/// The child's only writable directory, inside its own.
pub const SCRATCH: &str = "tmp";

/// First line on the pipe for answers: the action is about to run.
pub const READY: &str = "ready";

/// First words of the line when it is not.
pub const FAULT: &str = "fault ";

/// Exit status after a fault.
const FAULT_STATUS: u8 = 125;

/// What every program may read and execute: what it is linked with and runs on.
const PROGRAMS: [&str; 10] = [
    "/bin",
    "/usr/bin",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/share/zoneinfo",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

/// What every program may read: names, time zone, certificates, and devices without a memory.
const FILES: [&str; 12] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/zero",
    "/dev/urandom",
    "/dev/random",
];

/// The newest rules that this program knows; older kernels get as many of them as they have.
const RULES: ABI = ABI::V6;

/// What a launcher knows when it starts.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Launch {
    /// The child's own directory, with `tmp` and the pipe for answers in it
    #[arg(long)]
    pub directory: PathBuf,
    /// How to keep it from everything else
    #[arg(long)]
    pub isolation: Isolation,
    /// The server's process
    #[arg(long)]
    pub server: i32,
}

/// What it is told, once, as the first line of its standard input: what it becomes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The directory of the unpacked action; a path need not be text.
    pub code: OsString,
    /// Bound of its address space, bytes.
    pub address_space: u64,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
}

/// Whether this kernel can isolate at all.
pub fn landlock_available() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
}

/// Something that an isolated action may do after all, because the kernel is too old to keep it from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unconfined {
    /// Its name in metrics.
    pub what: &'static str,
    /// What that means.
    pub means: &'static str,
    /// The first version of Linux that confines it.
    pub linux: &'static str,
}

/// What this kernel's Landlock does not confine, but a newer one's does. What none does yet (`chmod`) is in `docs/openwhisk.md`.
pub fn unconfined() -> Vec<Unconfined> {
    let strict = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let file = |access: AccessFs| strict().handle_access(access).and_then(Ruleset::create);
    let scope = |scope: Scope| strict().scope(scope).and_then(Ruleset::create);
    let tcp = strict()
        .handle_access(AccessNet::BindTcp)
        .and_then(Ruleset::create);
    let gaps = [
        (
            file(AccessFs::Truncate).is_ok(),
            Unconfined {
                what: "truncate",
                means: "an action can empty any file that the server can write",
                linux: "6.2",
            },
        ),
        (
            tcp.is_ok(),
            Unconfined {
                what: "tcp-bind",
                means: "an action can listen on TCP ports",
                linux: "6.7",
            },
        ),
        (
            file(AccessFs::IoctlDev).is_ok(),
            Unconfined {
                what: "device-ioctl",
                means: "an action can send control requests to the devices that it may open",
                linux: "6.10",
            },
        ),
        (
            scope(Scope::Signal).is_ok(),
            Unconfined {
                what: "signals",
                means: "an action can signal, and so end, its neighbours and the server",
                linux: "6.12",
            },
        ),
        (
            scope(Scope::AbstractUnixSocket).is_ok(),
            Unconfined {
                what: "abstract-sockets",
                means: "an action can connect to abstract sockets of other programs of its pod",
                linux: "6.12",
            },
        ),
    ];
    gaps.into_iter()
        .filter_map(|(confined, gap)| (!confined).then_some(gap))
        .collect()
}

/// Waits for the order, binds this process and becomes the action; returns only when that fails or no order comes.
pub fn launch(launch: &Launch) -> ExitCode {
    // Before it waits for anything: without the server nobody would ever open the pipe's other end.
    if let Err(fault) = tie_to_server(launch.server) {
        eprintln!("{fault}");
        return ExitCode::from(FAULT_STATUS);
    }
    // The first file of all, so that it gets the number 3: only the three standard ones are open.
    let opened = OpenOptions::new()
        .write(true)
        .open(launch.directory.join(SCRATCH).join(ANSWERS));
    let mut answers = match opened {
        Ok(answers) => answers,
        Err(error) => {
            eprintln!("the pipe for answers cannot be opened: {error}");
            return ExitCode::from(FAULT_STATUS);
        }
    };
    let fault = match prepare(launch, &answers).and_then(|()| order()) {
        Ok(Some(order)) => bind(launch, &order, &mut answers),
        // It is not needed any more.
        Ok(None) => return ExitCode::SUCCESS,
        Err(fault) => Fault::Ours(fault),
    };
    // What goes wrong before the word is the server's to tell; after it the action's log says it, and the server
    // sees that the program ended without reading anything.
    let _ = match fault {
        Fault::Ours(fault) => writeln!(answers, "{FAULT}{fault}"),
        Fault::Program(fault) => writeln!(std::io::stderr(), "exec: {fault}"),
    };
    ExitCode::from(FAULT_STATUS)
}

/// Ends this process with the server, and at once when the server is gone already.
fn tie_to_server(server: i32) -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("no tie to the server: {error}"))?;
    if getppid().map(|parent| parent.as_raw_nonzero().get()) != Some(server) {
        return Err("the server ended meanwhile".to_owned());
    }
    Ok(())
}

/// Why an action does not run.
enum Fault {
    /// It could not be bound.
    Ours(String),
    /// Its program cannot be executed.
    Program(String),
}

/// Binds this process and becomes the action; what it returns went wrong.
fn bind(launch: &Launch, order: &Order, answers: &mut File) -> Fault {
    match confine(launch, order) {
        Err(fault) => Fault::Ours(fault),
        Ok(()) => become_action(order, answers),
    }
}

/// What can be done before it is known for which action.
fn prepare(launch: &Launch, answers: &File) -> Result<(), String> {
    if answers.as_raw_fd() != 3 {
        return Err(format!(
            "the pipe for answers got number {} instead of 3",
            answers.as_raw_fd()
        ));
    }
    fcntl_setfd(answers, FdFlags::empty())
        .map_err(|error| format!("the pipe for answers cannot be passed on: {error}"))?;
    // A session of its own: one signal reaches all of it, and its members are known by it.
    setsid().map_err(|error| format!("no session of its own: {error}"))?;
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, 1024)?;
    limit(Resource::Fsize, 64 * 1024 * 1024)?;
    std::env::set_current_dir(&launch.directory).map_err(|error| format!("own directory: {error}"))
}

/// Waits for the line on standard input; none when that is closed instead. Reads past the buffer of the library, for what
/// follows belongs to the action.
fn order() -> Result<Option<Order>, String> {
    let input = std::io::stdin();
    let (mut line, mut buffer) = (Vec::new(), [0_u8; 4096]);
    while line.last() != Some(&b'\n') {
        match retry_on_intr(|| read(input.as_fd(), &mut buffer)) {
            Ok(0) => return Ok(None),
            Ok(count) => line.extend_from_slice(&buffer[..count]),
            Err(error) => return Err(format!("no order: {error}")),
        }
    }
    serde_json::from_slice(&line)
        .map(Some)
        .map_err(|error| format!("an order that is none: {error}"))
}

fn confine(launch: &Launch, order: &Order) -> Result<(), String> {
    limit(Resource::As, order.address_space)?;
    match launch.isolation {
        Isolation::Landlock => isolate(launch, Path::new(&order.code)),
        Isolation::None => Ok(()),
    }
}

/// Lowers a bound; it cannot be raised again.
fn limit(resource: Resource, bound: u64) -> Result<(), String> {
    let old = rustix::process::getrlimit(resource);
    let bound = old.maximum.map_or(bound, |maximum| maximum.min(bound));
    setrlimit(
        resource,
        Rlimit {
            current: Some(bound),
            maximum: Some(bound),
        },
    )
    .map_err(|error| format!("bound of {resource:?}: {error}"))
}

fn isolate(launch: &Launch, code: &Path) -> Result<(), String> {
    let scratch = launch.directory.join(SCRATCH);
    let own = [launch.directory.as_path(), code];
    let run = AccessFs::from_read(RULES);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::from_all(RULES) & !AccessFs::Execute;
    let null = AccessFs::ReadFile | AccessFs::WriteFile;
    let restrict = || -> Result<RulesetStatus, landlock::RulesetError> {
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(RULES))?
            // Actions connect; none listens.
            .handle_access(AccessNet::BindTcp)?
            // Neither the server nor a neighbour can be signalled or reached by an abstract socket.
            .scope(Scope::from_all(RULES))?
            .create()?
            .add_rules(path_beneath_rules(own, run))?
            .add_rules(path_beneath_rules(existing(&PROGRAMS), run))?
            .add_rules(path_beneath_rules(existing(&FILES), read))?
            .add_rules(path_beneath_rules(existing(&["/dev/null"]), null))?
            .add_rules(path_beneath_rules([scratch.as_path()], write))?
            .restrict_self()?;
        Ok(status.ruleset)
    };
    match restrict() {
        Ok(RulesetStatus::NotEnforced) => {
            Err("this kernel has no Landlock, so nothing keeps the action apart".to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("Landlock: {error}")),
    }
}

fn existing<'a>(paths: &'a [&'a str]) -> impl Iterator<Item = &'a Path> {
    paths.iter().map(Path::new).filter(|path| path.exists())
}

fn become_action(order: &Order, answers: &mut File) -> Fault {
    let program = Path::new(&order.code).join("exec");
    let fault = executable(&program).err();
    if writeln!(answers, "{READY}").is_err() {
        return Fault::Ours("the server does not listen".to_owned());
    }
    if let Some(fault) = fault {
        return Fault::Program(fault);
    }
    let mut tries = 0;
    loop {
        let mut command = Command::new(&program);
        command.arg0(OsStr::new("exec"));
        command
            .env_clear()
            .envs(order.environment.iter().map(|(name, value)| (name, value)));
        let error = command.exec();
        // A neighbour that is just being started may still hold the file open for writing, for microseconds.
        let busy = error.raw_os_error() == Some(Errno::TXTBSY.raw_os_error());
        if !busy || tries == 20 {
            return Fault::Program(error.to_string());
        }
        tries += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether the kernel can execute a file: what it refuses, the C library would hand to a shell.
fn executable(program: &Path) -> Result<(), String> {
    let mut start = Vec::new();
    File::open(program)
        .and_then(|file| file.take(4).read_to_end(&mut start))
        .map_err(|error| error.to_string())?;
    if start.starts_with(b"#!") || start == b"\x7fELF" {
        return Ok(());
    }
    Err(
        "the code is no program; begin a script with #! and its interpreter, or send an ELF file, or a zip with \
         either of them as exec"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_one_line_whatever_is_in_it() {
        let order = Order {
            code: OsString::from("/run/a b"),
            address_space: 1 << 40,
            environment: vec![("A".to_owned(), "two\nlines \u{0}\"".to_owned())],
        };
        let line = serde_json::to_string(&order).unwrap();
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(serde_json::from_str::<Order>(&line).unwrap(), order);
    }

    #[test]
    fn only_scripts_and_elf_files_are_programs() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (content, is) in [
            ("#!/bin/sh\n", true),
            ("\x7fELF\x02", true),
            ("echo hello", false),
            ("", false),
        ] {
            std::fs::write(file.path(), content).unwrap();
            assert_eq!(executable(file.path()).is_ok(), is, "{content:?}");
        }
    }
}
