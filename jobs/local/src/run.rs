//! `millrace-local run`: files in, one line per warning out.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use millrace_analytics::Rules;
use millrace_trips::{
    FAULTS, FORMATS, Trip, TripArguments, TripOptions, check_distinct, vehicle_of,
};

use crate::line::{Watch, human};

/// Options as on the platform's `replay`.
#[derive(Args)]
pub struct RunArguments {
    /// How the files are written: carobd, or csv with --mapping
    #[arg(long, value_name = "FORMAT", help = format!("How the files are written: {}", FORMATS.join(", ")))]
    format: String,
    /// YAML file that says which column is which telemetry field (for --format csv)
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// GeoJSON file with zones
    #[arg(long, value_name = "FILE")]
    zones: Option<PathBuf>,
    /// Puts a fault into each trip, SECONDS after its first sample; can be repeated
    #[arg(long, value_name = "FAULT@SECONDS[:RATE]", long_help = inject_help())]
    inject: Vec<String>,
    /// Event time of the first sample of each trip [default: 2026-01-01T00:00:00Z]
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// One JSON object per line: vehicle, rule, severity, episode, event_time, detected_at, text
    #[arg(long)]
    json: bool,
    /// Recorded trips, one vehicle each; gzip is read too
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn inject_help() -> String {
    let mut help =
        "Puts a fault into each trip, SECONDS after its first sample; can be repeated. Faults:"
            .to_owned();
    for (name, what) in FAULTS {
        help.push_str(&format!("\n  {name}: {what}"));
    }
    help
}

/// Runs all files; those that cannot be read are named on stderr, and the exit code is 2 then.
///
/// # Errors
/// The options are wrong, two files are of one vehicle, or nothing can be printed.
pub fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let mapping = text_of(arguments.mapping.as_deref(), "--mapping")?;
    let zones = text_of(arguments.zones.as_deref(), "--zones")?;
    let options = TripOptions::parse(&TripArguments {
        format: &arguments.format,
        mapping: mapping.as_deref(),
        zones: zones.as_deref(),
        inject: &arguments.inject,
        start: arguments.start.as_deref(),
    })?;
    check_distinct(&arguments.files)?;
    let rules = Rules::default();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut trips, mut events, mut warnings, mut failed) = (0, 0, 0, 0);
    for path in &arguments.files {
        let trip = match read(path, &options) {
            Ok(trip) => trip,
            Err(e) => {
                eprintln!("millrace-local: {}: {e:#}", path.display());
                failed += 1;
                continue;
            }
        };
        for note in &trip.notes {
            eprintln!("millrace-local: {}: note: {note}", path.display());
        }
        trips += 1;
        events += trip.samples.len();
        warnings += print_warnings(&trip, &rules, arguments.json, &mut out)?;
        out.flush()?;
    }
    let unread = if failed > 0 {
        format!(", {failed} files not read")
    } else {
        String::new()
    };
    eprintln!("{trips} trips, {events} events, {warnings} warnings{unread}");
    Ok(if failed > 0 {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    })
}

fn print_warnings(
    trip: &Trip,
    rules: &Rules,
    json: bool,
    out: &mut impl Write,
) -> std::io::Result<usize> {
    let mut watch = Watch::new(rules);
    let mut count = 0;
    for sample in &trip.samples {
        for line in watch.warnings(sample) {
            if json {
                serde_json::to_writer(&mut *out, &line)?;
                writeln!(out)?;
            } else {
                writeln!(out, "{}", human(&line))?;
            }
            count += 1;
        }
    }
    Ok(count)
}

fn read(path: &Path, options: &TripOptions) -> anyhow::Result<Trip> {
    let vehicle = vehicle_of(path)?;
    if path.is_dir() {
        bail!("this is a folder; name the files in it");
    }
    let file = File::open(path).context("cannot be opened; check name and permissions")?;
    Ok(options.read(file, &vehicle)?)
}

fn text_of(path: Option<&Path>, option: &str) -> anyhow::Result<Option<String>> {
    path.map(|path| {
        std::fs::read_to_string(path).with_context(|| {
            format!(
                "{option}: {}: cannot be read; check name and permissions",
                path.display()
            )
        })
    })
    .transpose()
}
