//! Trips into the running platform, by `millrace-stream replay` and `simulate`.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use crate::access::{self, Gateway};
use crate::cluster::{self, Cluster};
use crate::context::Context;
use crate::{Target, builds};

/// Where the injected fault of the first drive begins, in seconds from a trip's start, and how fast it grows.
pub const FAULT: &str = "coolant-ramp@300:6";
/// Trips of the recorded data that the first drive sends healthy, and those that get the fault.
const HEALTHY: &[&str] = &["idle1", "live14"];
const FAULTY: &[&str] = &["drive1", "ufpe5"];

/// `cargo xtask replay`: the options are those of `millrace-stream replay`.
///
/// # Errors
/// No platform is running.
pub fn replay(
    context: &Context,
    target: &Target,
    arguments: &[String],
) -> anyhow::Result<ExitCode> {
    let binary = context.binary("millrace-stream");
    if !binary.is_file() {
        builds::binaries(context)?;
    }
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        let status = Command::new(&binary).args(["replay", "--help"]).status()?;
        return Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let cluster = cluster::running(context, target)?;
    let gateway = access::gateway(context, &cluster)?;
    let status = stream(context, &gateway, "replay")
        .args(arguments)
        .status()?;
    Ok(status
        .code()
        .and_then(|c| u8::try_from(c).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What the first drive gave: the lines of warnings, and what the jobs said of themselves.
pub struct Driven {
    /// One JSON line for each warning that a vehicle received.
    pub warnings: Vec<String>,
    /// The summaries of the senders.
    pub summary: Vec<String>,
    /// What was sent, for people.
    pub what: String,
}

/// Drives healthy trips and faulty ones: recorded where there are any, simulated else.
///
/// # Errors
/// The gateway refuses, or the trips are not through in time.
pub fn first(context: &Context, cluster: &Cluster) -> anyhow::Result<Driven> {
    let gateway = access::gateway(context, cluster)?;
    let recorded = context
        .data()
        .map(|d| d.join("carobd"))
        .filter(|d| d.is_dir());
    let mut driven = Driven {
        warnings: Vec::new(),
        summary: Vec::new(),
        what: String::new(),
    };
    if let Some(dir) = recorded {
        let files = |names: &[&str]| -> Vec<PathBuf> {
            names
                .iter()
                .map(|n| dir.join(format!("{n}.csv.gz")))
                .filter(|p| p.is_file())
                .collect()
        };
        driven.what = format!(
            "recorded trips: {} as they were, {} with the coolant rising 6 °C a minute from second 300 on",
            HEALTHY.join(" and "),
            FAULTY.join(" and ")
        );
        run(
            stream(context, &gateway, "replay")
                .args(["--format", "carobd", "--json"])
                .args(files(HEALTHY)),
            &mut driven,
        )?;
        run(
            stream(context, &gateway, "replay")
                .args(["--format", "carobd", "--json", "--inject", FAULT])
                .args(files(FAULTY)),
            &mut driven,
        )?;
    } else {
        "simulated trips: three healthy cars, and one whose coolant rises 6 °C a minute from second 300 on"
            .clone_into(&mut driven.what);
        run(
            stream(context, &gateway, "simulate").args([
                "--json",
                "--vehicles",
                "3",
                "--seed",
                "1",
                "--vehicle-prefix",
                "healthy-",
            ]),
            &mut driven,
        )?;
        run(
            stream(context, &gateway, "simulate").args([
                "--json",
                "--vehicles",
                "1",
                "--seed",
                "2",
                "--vehicle-prefix",
                "faulty-",
                "--inject",
                FAULT,
            ]),
            &mut driven,
        )?;
    }
    Ok(driven)
}

fn stream(context: &Context, gateway: &Gateway, job: &str) -> Command {
    let mut command = Command::new(context.binary("millrace-stream"));
    command
        .arg(job)
        .args([
            "--gateway-http",
            &gateway.http,
            "--gateway-mqtt",
            &gateway.mqtt,
            "--admin-token-file",
        ])
        .arg(&gateway.token_file);
    command
}

fn run(command: &mut Command, driven: &mut Driven) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "the trips did not get through: {}",
        errors.trim()
    );
    driven.warnings.extend(
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned),
    );
    driven
        .summary
        .extend(errors.lines().rev().take(1).map(str::to_owned));
    Ok(())
}
