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

use clap::Parser as _;
use rustix::io::{Errno, FdFlags, fcntl_setfd, read, retry_on_intr};
use rustix::process::{
    Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit, setsid,
};
use serde::{Deserialize, Serialize};

use super::calls;
use super::confine::Domain;
use crate::settings::Isolation;

/// The first argument of a program that starts as a launcher.
pub const LAUNCHER: &str = "child";

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

/// A program that is open for writing is tried again, after pauses that double up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What a launcher knows when it starts.
#[derive(Debug, Clone, PartialEq, Eq, clap::Parser)]
struct Launch {
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

/// What a program does that was started as a launcher; `None` for all other command lines. To be called before anything opens a
/// file, for the launcher counts on the first free descriptor, and before other arguments are read: an activation waits for it.
#[must_use]
pub fn child(arguments: &[OsString]) -> Option<ExitCode> {
    let (_, rest) = arguments.split_first()?;
    if rest.first()?.to_str()? != LAUNCHER {
        return None;
    }
    match Launch::try_parse_from(rest) {
        Ok(told) => Some(launch(&told)),
        Err(error) => {
            eprintln!("{error}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// Waits for the order, binds this process and becomes the action; returns only when that fails or no order comes.
fn launch(launch: &Launch) -> ExitCode {
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
    let told =
        prepare(launch, &answers).and_then(|domain| Ok(order()?.map(|order| (domain, order))));
    let fault = match told {
        Ok(Some((domain, order))) => bind(domain, &order, &mut answers),
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
fn bind(domain: Option<Domain>, order: &Order, answers: &mut File) -> Fault {
    match confine(domain, order) {
        Err(fault) => Fault::Ours(fault),
        Ok(()) => become_action(order, answers),
    }
}

/// All that can be done before it is known for which action: who waits for an action waits for the rest only.
fn prepare(launch: &Launch, answers: &File) -> Result<Option<Domain>, String> {
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
    std::env::set_current_dir(&launch.directory)
        .map_err(|error| format!("own directory: {error}"))?;
    match launch.isolation {
        Isolation::Landlock => {
            calls::refuse()?;
            Domain::prepare(&launch.directory).map(Some)
        }
        Isolation::None => Ok(None),
    }
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

fn confine(domain: Option<Domain>, order: &Order) -> Result<(), String> {
    limit(Resource::As, order.address_space)?;
    domain.map_or(Ok(()), |domain| domain.enter(Path::new(&order.code)))
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

fn become_action(order: &Order, answers: &mut File) -> Fault {
    let program = Path::new(&order.code).join("exec");
    let fault = executable(&program).err();
    if writeln!(answers, "{READY}").is_err() {
        return Fault::Ours("the server does not listen".to_owned());
    }
    if let Some(fault) = fault {
        return Fault::Program(fault);
    }
    let mut pause = Duration::from_micros(100);
    loop {
        let mut command = Command::new(&program);
        command.arg0(OsStr::new("exec"));
        command
            .env_clear()
            .envs(order.environment.iter().map(|(name, value)| (name, value)));
        let error = command.exec();
        // A neighbour that is just being started may still hold the file open for writing, for microseconds.
        let busy = error.raw_os_error() == Some(Errno::TXTBSY.raw_os_error());
        if !busy || pause > LONGEST_PAUSE {
            return Fault::Program(error.to_string());
        }
        std::thread::sleep(pause);
        pause *= 2;
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
    fn only_a_launcher_is_a_child() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        for other in [
            &["millrace"][..],
            &["millrace", "plan"],
            &["millrace", "action", "child"],
        ] {
            assert!(child(&words(other)).is_none(), "{other:?}");
        }
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
