//! How fast a day is scored, beside DuckDB and Polars with the same definition over the same files, each as a process of its own
//! from its start to its last line, in turns; and beside PySpark, where `MILLRACE_SPARK_PYTHON` names a Python that has it, of
//! which the third run within one session counts.
//!
//! `cargo run --release -p millrace-batch --example bench_score -- [VEHICLES] [SECONDS] [TURNS]`
//!
//! `PEER rows_per_second`: ours, the peer's, ours divided by it; `resident_mb`: the highest resident memory of both. They must
//! give as many trips, with the same scores in sum, else it fails. `best` is the faster one of DuckDB and Polars.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "it shares its fleet with tests, and fails as they do"
)]

#[path = "../tests/fleet/mod.rs"]
mod fleet;
#[path = "../tests/fleet/made.rs"]
mod made;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use millrace_testkit::python;
use serde_json::{Value, json};

const DAY: &str = "2026-11-10";
const START: &str = "2026-11-10T00:00:00Z";
/// Vehicles whose events are in memory at once.
const AT_ONCE: u64 = 100;
const SPARK: &str = "PySpark";

type Peer = (&'static str, PathBuf, PathBuf, Vec<String>);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |name: &str, default: u64| match arguments.next() {
        Some(text) => text
            .parse()
            .with_context(|| format!("{name}: {text}: is not a number")),
        None => Ok(default),
    };
    let (vehicles, seconds, turns) = (
        number("VEHICLES", 400)?,
        number("SECONDS", 7200)?,
        number("TURNS", 3)?,
    );
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/duckdb/requirements.txt");
    let python = python(&requirements)?.context("DuckDB cannot be had")?;
    let folder = tempfile::tempdir()?;
    let (files, rows) = lake(
        &folder.path().join("lake"),
        vehicles,
        u32::try_from(seconds)?,
    )
    .await?;
    println!(
        "# {rows} rows of {vehicles} vehicles in {} files",
        files.len()
    );
    let settings = folder.path().join("settings.json");
    std::fs::write(
        &settings,
        fleet::duckdb_settings(&files, START.parse()?, 0, &json!({})).to_string(),
    )?;
    let peers = peers(&python, &settings)?;
    for _ in 0..turns {
        let mut ours = Command::new(program()?);
        ours.args(["score", "--print", "--day", DAY, "--lake"])
            .arg(format!("file://{}", folder.path().join("lake").display()));
        let ours = run(&mut ours, "score")?;
        let rate = |took: Duration| {
            f64::from(u32::try_from(rows).unwrap_or(u32::MAX)) / took.as_secs_f64()
        };
        let mut best = 0.0;
        for (name, program, script, arguments) in &peers {
            let mut theirs = Command::new(program);
            let theirs = run(theirs.arg(script).args(arguments), name)?;
            anyhow::ensure!(
                ours.trips == theirs.trips && (ours.sum - theirs.sum).abs() < 1e-3,
                "{} trips with {} points, and {name} gives {} with {}",
                ours.trips,
                ours.sum,
                theirs.trips,
                theirs.sum
            );
            line(name, "rows_per_second", rate(ours.took), rate(theirs.took));
            // The JVM is a process of its own.
            if *name != SPARK {
                line(name, "resident_mb", ours.resident_mb, theirs.resident_mb);
                best = f64::max(best, rate(theirs.took));
            }
        }
        line("best", "rows_per_second", rate(ours.took), best);
    }
    Ok(())
}

/// Who computes the same: name, Python, script and its arguments.
fn peers(duckdb: &Path, settings: &Path) -> anyhow::Result<Vec<Peer>> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bench = crate_folder.join("../../bench/score");
    let polars = python(&bench.join("requirements.txt"))?.context("Polars cannot be had")?;
    let settings = settings.display().to_string();
    let mut peers = vec![
        (
            "DuckDB",
            duckdb.to_owned(),
            crate_folder.join("tests/duckdb/score.py"),
            vec![settings.clone()],
        ),
        (
            "Polars",
            polars,
            bench.join("polars_score.py"),
            vec![settings.clone()],
        ),
    ];
    if let Some(spark) = std::env::var_os("MILLRACE_SPARK_PYTHON") {
        let arguments = vec![settings, "3".to_owned()];
        peers.push((SPARK, spark.into(), bench.join("spark.py"), arguments));
    }
    Ok(peers)
}

fn line(peer_name: &str, name: &str, ours: f64, peer: f64) {
    println!("{peer_name} {name} {ours:.0} {peer:.0} {:.2}", ours / peer);
}

async fn lake(root: &Path, vehicles: u64, seconds: u32) -> anyhow::Result<(Vec<PathBuf>, usize)> {
    let start: Timestamp = START.parse()?;
    let (mut files, mut rows, mut offset) = (Vec::new(), 0, 0);
    for first in (0..vehicles).step_by(usize::try_from(AT_ONCE)?) {
        let mut events = Vec::new();
        for seed in first..(first + AT_ONCE).min(vehicles) {
            let at = start + SignedDuration::from_mins(i64::try_from(seed % 600)?);
            events.extend(made::wild(&format!("car-{seed}"), seed, at, seconds));
        }
        // As a topic has them: all vehicles beside each other.
        events.sort_by_key(|event| event.time);
        rows += events.len();
        files.extend(fleet::archive_from(root, &events, offset).await);
        offset += 1_000_000_000;
    }
    Ok((files, rows))
}

// Beside this example in Cargo's target directory.
fn program() -> anyhow::Result<PathBuf> {
    let example = std::env::current_exe()?;
    let target = example
        .parent()
        .and_then(Path::parent)
        .context("no target directory")?;
    let program = target.join("millrace-batch");
    anyhow::ensure!(
        program.is_file(),
        "{}: is not there; build it: cargo build --release -p millrace-batch",
        program.display()
    );
    Ok(program)
}

struct Ran {
    took: Duration,
    resident_mb: f64,
    trips: usize,
    sum: f64,
}

fn run(command: &mut Command, what: &str) -> anyhow::Result<Ran> {
    let output = tempfile::NamedTempFile::new()?;
    let begin = Instant::now();
    let mut child = command
        .stdout(output.reopen()?)
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut resident = 0.0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let text =
            std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let most = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let most = most.and_then(|most| most.split_whitespace().next()?.parse::<f64>().ok());
        resident = f64::max(resident, most.unwrap_or(0.0));
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut took = begin.elapsed();
    anyhow::ensure!(status.success(), "{what}: {status}");
    let text = std::fs::read_to_string(output.path())?;
    let (mut trips, mut sum) = (0, 0.0);
    for line in text.lines() {
        let trip: Value = serde_json::from_str(line)?;
        if let Some(warm) = trip["warm_seconds"].as_f64() {
            took = Duration::from_secs_f64(warm);
            continue;
        }
        sum += trip["score"].as_f64().unwrap_or_default();
        trips += 1;
    }
    Ok(Ran {
        took,
        resident_mb: resident / 1000.0,
        trips,
        sum,
    })
}
