//! A day that executors compute is the day that one process computes, to the last digit; also when an executor is killed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../../batch/tests/fleet/mod.rs"]
mod fleet;
#[path = "../../batch/tests/fleet/made.rs"]
mod made;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use millrace_contract::Telemetry;
use millrace_testkit::{Server, free_port};

const DAY: &str = "2026-11-10";
/// 00:00 of that day in Europe/Berlin.
const START: &str = "2026-11-09T23:00:00Z";
const CONFIG: &str =
    "zone: Europe/Berlin\nfuelReference: { Golf: 5.5, '*': 4.1 }\nbraking: 3.3333333333333335\n";
const PATIENCE: Duration = Duration::from_secs(300);
const PARTS: &str = "8";

/// What an executor logs when it has been given a part.
const GIVEN: &str = "Received task";

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_millrace-ballista"))
}

/// A lake with a day in it, and its configuration. Gives the paths of its files.
async fn lake(folder: &Path) -> Vec<PathBuf> {
    let start: Timestamp = START.parse().unwrap();
    let mut events = fleet::recorded(start).unwrap_or_default();
    for seed in 0..40 {
        let at = start + SignedDuration::from_mins(i64::try_from(seed).unwrap() * 30);
        events.extend(made::wild(&format!("made-{seed}"), seed, at, 9000));
    }
    let events: Vec<Telemetry> = made::disordered(events, 11);
    std::fs::write(folder.join("config.yaml"), CONFIG).unwrap();
    fleet::archive(&folder.join("lake"), &events).await
}

fn score(folder: &Path) -> Command {
    let mut command = program();
    command
        .args(["score", "--print", "--day", DAY, "--lake"])
        .arg(format!("file://{}", folder.join("lake").display()))
        .arg("--config")
        .arg(folder.join("config.yaml"));
    command
}

/// What one process computes.
fn alone(folder: &Path) -> String {
    let output = score(folder).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.lines().count() > 50, "{lines}");
    lines
}

struct Cluster {
    folder: PathBuf,
    scheduler: String,
    log: PathBuf,
    _scheduler: Server,
}

impl Cluster {
    fn start(folder: &Path) -> Self {
        let port = free_port().unwrap();
        let (scheduler, log) = (format!("127.0.0.1:{port}"), folder.join("scheduler.log"));
        let mut command = program();
        command.args([
            "scheduler",
            "--executor-timeout",
            "10",
            "--listen",
            &scheduler,
        ]);
        let mut server = Server::start(&mut command, &log).unwrap();
        server.wait_for_port(port, PATIENCE).unwrap();
        Self {
            folder: folder.to_owned(),
            scheduler,
            log,
            _scheduler: server,
        }
    }

    fn executor(&self, name: &str) -> (Server, PathBuf) {
        let port = free_port().unwrap();
        let work = self.folder.join(name);
        std::fs::create_dir(&work).unwrap();
        let log = self.folder.join(format!("{name}.log"));
        let mut command = program();
        command
            .args(["executor", "--scheduler", &self.scheduler, "--listen"])
            .arg(format!("127.0.0.1:{port}"))
            .arg("--work")
            .arg(&work)
            .arg("--lake")
            .arg(format!("file://{}", self.folder.join("lake").display()));
        let mut server = Server::start(&mut command, &log).unwrap();
        server.wait_for_port(port, PATIENCE).unwrap();
        (server, log)
    }

    /// Waits until the scheduler knows so many executors.
    fn wait_for_executors(&self, count: usize) {
        let wanted = format!("ready: {count} executors");
        eventually(&self.log, &wanted, || self.readiness().contains(&wanted));
    }

    fn readiness(&self) -> String {
        let mut told = String::new();
        let asked = TcpStream::connect(&self.scheduler).and_then(|mut stream| {
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n")?;
            stream.read_to_string(&mut told)
        });
        asked.map(|_| told).unwrap_or_default()
    }

    fn score(&self) -> Command {
        let mut command = score(&self.folder);
        command.args(["--scheduler", &self.scheduler, "--parts", PARTS]);
        command
    }
}

fn eventually(log: &Path, what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        let told = || std::fs::read_to_string(log).unwrap_or_default();
        assert!(Instant::now() < end, "never: {what}\n{}", told());
        sleep(Duration::from_millis(20));
    }
}

fn has(log: &Path, text: &str) -> bool {
    std::fs::read_to_string(log).is_ok_and(|log| log.contains(text))
}

#[tokio::test]
#[ignore = "starts servers"]
async fn a_day_of_two_executors_is_that_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let files = lake(folder.path()).await;
    let expected = alone(folder.path());
    let cluster = Cluster::start(folder.path());
    let (_a, log_a) = cluster.executor("a");
    let (_b, log_b) = cluster.executor("b");
    cluster.wait_for_executors(2);
    let output = cluster.score().output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert!(
        has(&log_a, GIVEN) && has(&log_b, GIVEN),
        "both have computed"
    );

    // A file that is missing is named, and nothing is printed.
    std::fs::remove_file(&files[0]).unwrap();
    let output = cluster.score().output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let name = files[0].file_name().unwrap().to_string_lossy();
    assert!(!output.status.success() && told.contains(&*name), "{told}");
    assert!(output.stdout.is_empty());
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
#[ignore = "starts servers"]
async fn what_an_executor_was_about_when_it_was_killed_another_one_does() {
    let folder = tempfile::tempdir().unwrap();
    lake(folder.path()).await;
    let expected = alone(folder.path());
    let cluster = Cluster::start(folder.path());
    let (mut a, log_a) = cluster.executor("a");
    cluster.wait_for_executors(1);
    let (out, log) = (folder.path().join("out"), folder.path().join("score.log"));
    let mut run = cluster.score();
    run.stdout(File::create(&out).unwrap());
    run.stderr(Stdio::from(File::create(&log).unwrap()));
    let mut run = Running(run.spawn().unwrap());
    eventually(&log_a, GIVEN, || has(&log_a, GIVEN));
    a.kill();
    assert!(run.0.try_wait().unwrap().is_none(), "it is not through yet");
    let (_b, log_b) = cluster.executor("b");
    let mut ended = None;
    eventually(&cluster.log, "the run ends", || {
        ended = run.0.try_wait().unwrap();
        ended.is_some()
    });
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(ended.unwrap().success(), "{told}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), expected);
    assert!(has(&log_b, GIVEN));
}
