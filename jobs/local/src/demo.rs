//! `millrace-local demo`: the story of one car and two drives.

use std::io::{BufWriter, Write};

use millrace_analytics::{Detector, Rules, Zones};
use millrace_contract::WarningLine;
use millrace_trips::simulate::{SimParams, simulate};
use millrace_trips::{DEFAULT_START, Injection, Trip, inject};

use crate::line::Watch;

/// When the fault of the second drive begins, and how fast it grows.
const FAULT: &str = "coolant-ramp@900:4";

/// Tells the story on stdout.
///
/// # Errors
/// Nothing can be printed.
pub fn demo() -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let detector = Detector::new(Rules::default(), Zones::default())?;
    let healthy = simulate(&SimParams {
        vehicle: "demo-car".to_owned(),
        seed: 7,
        start: DEFAULT_START.parse()?,
        duration_seconds: 1800,
        ..SimParams::default()
    });
    writeln!(
        out,
        "Millrace, a taste: one simulated car, the same rules and texts as on the platform, no cluster.\n"
    )?;

    writeln!(
        out,
        "Drive 1, healthy: {} minutes from a cold start",
        minutes(&healthy)
    )?;
    tell(&healthy, None, &detector, &mut out)?;

    let fault: Injection = FAULT.parse()?;
    let mut failing = healthy;
    inject(&mut failing, &fault)?;
    writeln!(
        out,
        "\nDrive 2, the same road; from minute {:.0} on the water pump fails and the coolant gains {} °C a minute",
        fault.seconds / 60.0,
        fault.rate
    )?;
    tell(&failing, Some(&fault), &detector, &mut out)?;

    writeln!(
        out,
        "\nWhat to try next
  your own drives      millrace-local run --format csv --mapping M.yaml FILE…
  a fault in them      millrace-local run --format carobd --inject coolant-ramp@300:5 --json FILE…
  the whole platform   cargo xtask up"
    )?;
    out.flush()?;
    Ok(())
}

/// Every three minutes what the car measures, and each warning when it is heard.
fn tell(
    trip: &Trip,
    fault: Option<&Injection>,
    detector: &Detector,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let mut watch = Watch::new(detector);
    let mut heard: Vec<(usize, WarningLine)> = Vec::new();
    for (second, sample) in trip.samples.iter().enumerate() {
        if fault.is_some_and(|f| f.seconds as usize == second) {
            writeln!(
                out,
                "  {}  ~ the fault begins; nothing can be seen yet",
                clock(second)
            )?;
        }
        let warnings = watch.warnings(sample);
        if second % 180 == 0 || !warnings.is_empty() {
            writeln!(
                out,
                "  {}  {:3.0} km/h  coolant {:3.0} °C  {}",
                clock(second),
                sample.speed.unwrap_or_default(),
                sample.coolant_temperature.unwrap_or_default(),
                bar(sample.coolant_temperature.unwrap_or_default())
            )?;
        }
        for line in warnings {
            writeln!(
                out,
                "         ! the driver hears ({}): “{}”",
                line.severity, line.text
            )?;
            heard.push((second, line));
        }
        // By now the driver has stopped: the rest of the recording is not hers to drive.
        if heard.last().is_some_and(|(at, w)| {
            w.severity >= millrace_contract::Severity::Critical && second > at + 30
        }) {
            writeln!(out, "  {}  the driver has pulled over", clock(second))?;
            break;
        }
    }
    let events = trip.samples.len();
    match (fault, heard.first()) {
        (Some(fault), Some((at, _))) => writeln!(
            out,
            "  → {} warnings of one episode, the first {:.0} s after the fault began",
            heard.len(),
            *at as f64 - fault.seconds
        ),
        _ => writeln!(out, "  → {events} events, {} warnings", heard.len()),
    }
}

fn minutes(trip: &Trip) -> i64 {
    (trip.duration().as_secs() + 59) / 60
}

fn clock(second: usize) -> String {
    format!("{:02}:{:02}", second / 60, second % 60)
}

/// A thermometer from 0 to 120 °C.
fn bar(celsius: f64) -> String {
    "▪".repeat((celsius.clamp(0.0, 120.0) / 4.0) as usize)
}
