//! `millrace-local run`: files in, one line per warning out.

use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use flate2::read::MultiGzDecoder;
use millrace_analytics::{Detector, Rules, Zones};
use millrace_contract::WarningLine;
use millrace_trips::{FORMATS, Trip, TripArguments, TripOptions, inject_help};

use crate::line::{Watch, human};

/// Options as on the platform's `replay`.
#[derive(Args)]
pub struct RunArguments {
    /// How the files are written: carobd, or csv with --mapping
    #[arg(long, value_name = "FORMAT", help = format!("How the files are written: {}", FORMATS.join(", ")))]
    format: String,
    /// YAML file that says which column is which telemetry field (for --format csv and geojson, and for obdb_tpms where its own does not do)
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// GeoJSON file with zones; gzip is read too; can be repeated
    #[arg(long, value_name = "FILE")]
    zones: Vec<PathBuf>,
    /// YAML or JSON file with rules, as under `rules:` in the configuration of detection
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Puts a fault into each trip, SECONDS after its first sample; can be repeated
    #[arg(long, value_name = "FAULT@SECONDS[:RATE[:OPTION]]", long_help = inject_help())]
    inject: Vec<String>,
    /// One event for each so many seconds instead of one for each row [default: as the format has it]
    #[arg(long, value_name = "SECONDS")]
    resample: Option<f64>,
    /// Event time of the first sample of each trip [default: when it was recorded, where the file tells,
    /// else 2026-01-01T00:00:00Z]
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// One JSON object per line: vehicle, rule, severity, episode, event_time, detected_at, text
    #[arg(long)]
    json: bool,
    /// Recorded trips, one vehicle each; gzip is read too. Folders for formats that are folders
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs all files; those that cannot be read are named on stderr, and the exit code is 2 then.
///
/// # Errors
/// The options are wrong, two files are of one vehicle, or nothing can be printed.
pub fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let mapping = text_of(arguments.mapping.as_deref(), "--mapping")?;
    let options = TripOptions::parse(&TripArguments {
        format: &arguments.format,
        mapping: mapping.as_deref(),
        inject: &arguments.inject,
        start: arguments.start.as_deref(),
        resample: arguments.resample,
    })?;
    options.check_distinct(&arguments.files)?;
    let rules = rules_of(arguments.rules.as_deref())?;
    let detector = Detector::new(rules, zones_of(&arguments.zones)?)?;
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
        warnings += print_warnings(&trip, &detector, arguments.json, &mut out)?;
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
    detector: &Detector,
    json: bool,
    out: &mut impl Write,
) -> std::io::Result<usize> {
    let mut watch = Watch::new(detector);
    let mut count = 0;
    let mut print = |lines: Vec<WarningLine>| -> std::io::Result<()> {
        for line in lines {
            if json {
                serde_json::to_writer(&mut *out, &line)?;
                writeln!(out)?;
            } else {
                writeln!(out, "{}", human(&line))?;
            }
            count += 1;
        }
        Ok(())
    };
    for sample in &trip.samples {
        print(watch.warnings(sample))?;
    }
    print(watch.last_warnings())?;
    Ok(count)
}

fn read(path: &Path, options: &TripOptions) -> anyhow::Result<Trip> {
    if !path.exists() {
        std::fs::metadata(path).context("cannot be opened; check name and permissions")?;
    }
    Ok(options.read_path(path, &options.vehicle_of(path)?)?)
}

/// The rules in a file, or the usual ones.
fn rules_of(path: Option<&Path>) -> anyhow::Result<Rules> {
    let Some(path) = path else {
        return Ok(Rules::default());
    };
    let text = unpacked(path, "--rules")?;
    let told = || format!("--rules: {}", path.display());
    let value = serde_yaml_ng::from_str(&text)
        .context("not YAML or JSON; compare it with the documented example")
        .with_context(told)?;
    Rules::from_value(value).with_context(told)
}

fn zones_of(paths: &[PathBuf]) -> anyhow::Result<Zones> {
    let texts = paths
        .iter()
        .map(|path| Ok((path.display().to_string(), unpacked(path, "--zones")?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let files: Vec<(&str, &str)> = texts
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    Zones::from_geojson(&files).context("--zones")
}

/// The text of a file, gzip or not.
fn unpacked(path: &Path, option: &str) -> anyhow::Result<String> {
    let told = || {
        format!(
            "{option}: {}: cannot be read; check name and permissions",
            path.display()
        )
    };
    let bytes = std::fs::read(path).with_context(told)?;
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text)
    } else {
        bytes.as_slice().read_to_string(&mut text)
    }
    .with_context(told)?;
    Ok(text)
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
