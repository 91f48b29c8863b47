//! Drives simulated cars through a running platform, some of them with a fault, and writes down the truth.

use std::io::Write;
use std::path::PathBuf;

use jiff::Timestamp;
use millrace_contract::{InboundEvent, Invalid};
use millrace_trips::simulate::{Faults, Fleet, parse_waypoints, vehicle_events};
use millrace_trips::{Trip, TripError, inject_help};
use tokio_util::sync::CancellationToken;

use crate::replay::drive::{DriveArgs, DriveError, drive, tell_events};
use crate::replay::tell;

/// Flags of simulate.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How many cars
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub vehicles: u32,
    /// Chooses routes, traffic and noise; the same seed gives the same drives
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Length of each drive
    #[arg(long, default_value_t = 1200, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub duration: u32,
    /// Time from one sample to the next
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    pub interval: f64,
    /// Outside temperature, °C
    #[arg(
        long,
        default_value_t = 18.0,
        allow_hyphen_values = true,
        value_name = "CELSIUS"
    )]
    pub ambient: f64,
    /// Coolant temperature at the start, °C; else as cold as outside
    #[arg(long, allow_hyphen_values = true, value_name = "CELSIUS")]
    pub coolant: Option<f64>,
    /// Where the cars begin, and around which place they drive
    #[arg(long, default_value = "52.52,13.405", allow_hyphen_values = true, value_name = "LAT,LON", value_parser = place)]
    pub centre: (f64, f64),
    /// How far from there they turn back
    #[arg(long, default_value_t = 8.0, value_name = "KILOMETRES")]
    pub radius: f64,
    /// All cars drive along these places, over and over, instead of routes that the seed chooses
    #[arg(long, allow_hyphen_values = true, value_name = "LAT,LON[,KMH];…")]
    pub waypoints: Option<String>,
    /// Fault to be put into the faulty cars, SECONDS after the first sample; may be repeated
    #[arg(long, value_name = "FAULT@SECONDS[:RATE[:OPTION]]", long_help = inject_help())]
    pub inject: Vec<String>,
    /// Each faulty car gets one fault that the seed chooses, at a moment that it chooses
    #[arg(long, conflicts_with = "inject")]
    pub random_faults: bool,
    /// How many of the cars, the first ones, get the faults
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub faulty: u32,
    /// Where the truth is written, a JSON line for each injected fault: vehicle, fault, injection, rule, injected_at, until
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// After the drives, tell what happened to each car as well: maintained, checked, hired, broken down, repaired; what
    /// lies ahead is left out
    #[arg(long)]
    pub vehicle_events: bool,
    /// Vehicle ids are this and a number
    #[arg(long, default_value = "sim-", value_name = "TEXT")]
    pub vehicle_prefix: String,
    /// Event time of the first samples, RFC 3339; else chosen so that the last sample is measured now
    #[arg(long, value_name = "TIME")]
    pub start: Option<Timestamp>,
    /// How they are sent
    #[command(flatten)]
    pub drive: DriveArgs,
}

/// Why a simulation failed.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// An option or a vehicle id.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A fault cannot be injected.
    #[error(transparent)]
    Trip(#[from] TripError),
    /// The truth cannot be written.
    #[error("{}: cannot be written: {source}; give a file that can be written", path.display())]
    Truth {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Sending them.
    #[error(transparent)]
    Drive(#[from] DriveError),
}

/// Drives the cars; comes back when all warnings have been received.
///
/// # Errors
/// When an option is wrong, the gateway refuses, or the platform does not get through in time.
pub async fn run(args: Args, stop: CancellationToken) -> Result<(), SimulateError> {
    let now = Timestamp::now();
    let mut trips = fleet(&args, args.start.unwrap_or(now))?;
    // The truth speaks of event times, so the drives get their place in time before it is written.
    if args.start.is_none() {
        for trip in &mut trips {
            trip.start_at(crate::replay::pace::start_of(trip, args.drive.speed, now));
        }
    }
    write_truth(&args, &trips)?;
    let events = if args.vehicle_events {
        life(&args, &trips)
    } else {
        Vec::new()
    };
    drive(trips, false, &args.drive, stop).await?;
    if args.vehicle_events {
        let now = Timestamp::now();
        let happened: Vec<InboundEvent> = events
            .into_iter()
            .filter(|inbound| inbound.event.time <= now)
            .collect();
        let accepted = tell_events(&happened, &args.drive).await?;
        tell(&format!("{accepted} vehicle events"));
    }
    Ok(())
}

/// What happened to the cars, each by its own seed.
fn life(args: &Args, trips: &[Trip]) -> Vec<InboundEvent> {
    let seeds = (0..).map(|n| args.seed.wrapping_add(n));
    trips
        .iter()
        .zip(seeds)
        .flat_map(|(trip, seed)| vehicle_events(trip, seed))
        .collect()
}

fn place(text: &str) -> Result<(f64, f64), String> {
    let numbers = text.split_once(',').and_then(|(latitude, longitude)| {
        Some((
            latitude.trim().parse().ok()?,
            longitude.trim().parse().ok()?,
        ))
    });
    numbers.ok_or_else(|| "is not LAT,LON; write for instance 52.52,13.405".to_owned())
}

fn fleet(args: &Args, start: Timestamp) -> Result<Vec<Trip>, SimulateError> {
    let faults = if args.random_faults {
        Faults::Random
    } else {
        let given = args.inject.iter().map(|text| text.parse());
        Faults::Given(given.collect::<Result<_, Invalid>>()?)
    };
    let waypoints = args.waypoints.as_deref().map(parse_waypoints).transpose()?;
    let fleet = Fleet {
        prefix: args.vehicle_prefix.clone(),
        vehicles: args.vehicles,
        seed: args.seed,
        start,
        duration_seconds: args.duration,
        interval_seconds: args.interval,
        ambient: args.ambient,
        coolant_at_start: args.coolant,
        centre: args.centre,
        radius_km: args.radius,
        waypoints: waypoints.unwrap_or_default(),
        faulty: args.faulty,
        faults,
    };
    Ok(fleet.trips()?)
}

fn write_truth(args: &Args, trips: &[Trip]) -> Result<(), SimulateError> {
    let Some(path) = &args.truth else {
        return Ok(());
    };
    let failed = |source| SimulateError::Truth {
        path: path.clone(),
        source,
    };
    let mut file = std::fs::File::create(path).map_err(failed)?;
    for truth in trips.iter().flat_map(|t| &t.truth) {
        let json = serde_json::to_string(truth).map_err(|e| failed(e.into()))?;
        writeln!(file, "{json}").map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use millrace_contract::EventKind;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(more: &[&str]) -> Args {
        let base = [
            "x",
            "--admin-token-file",
            "t",
            "--duration",
            "600",
            "--vehicles",
            "3",
        ];
        Cli::parse_from(base.iter().chain(more)).args
    }

    #[test]
    fn only_the_faulty_cars_are_faulty_and_seeds_repeat() {
        let start: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let with = args(&["--inject", "coolant-ramp@300:5", "--faulty", "2"]);
        let trips = fleet(&with, start).unwrap();
        assert_eq!(
            trips.iter().map(|t| t.truth.len()).collect::<Vec<_>>(),
            [1, 1, 0]
        );
        assert_eq!(trips[2].vehicle, "sim-3");
        assert_eq!(fleet(&with, start).unwrap(), trips);
        assert_ne!(
            trips[1].samples[100].speed,
            fleet(&args(&["--seed", "9"]), start).unwrap()[1].samples[100].speed
        );
    }

    #[test]
    fn what_happens_to_the_cars_goes_by_their_seeds() {
        let start: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let with = args(&["--inject", "coolant-ramp@300:5", "--vehicle-events"]);
        let trips = fleet(&with, start).unwrap();
        let events = life(&with, &trips);
        let broken = |e: &&InboundEvent| e.event.kind == EventKind::Breakdown;
        let broken: Vec<_> = events.iter().filter(broken).collect();
        assert_eq!(broken.len(), 1);
        assert_eq!(
            (broken[0].event.vehicle.as_str(), broken[0].event.time),
            ("sim-1", trips[0].truth[0].until)
        );
        assert_eq!(life(&with, &trips), events);
        let maintained: Vec<_> = events
            .iter()
            .filter(|e| e.event.kind == EventKind::Maintenance)
            .map(|e| e.event.time)
            .collect();
        assert!(maintained.len() == 3 && maintained[0] != maintained[1]);
    }

    #[test]
    fn the_truth_is_json_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth.jsonl");
        let with = args(&[
            "--inject",
            "coolant-ramp@300:5",
            "--truth",
            path.to_str().unwrap(),
        ]);
        let trips = fleet(&with, "2026-11-23T12:00:00Z".parse().unwrap()).unwrap();
        write_truth(&with, &trips).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let value: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        for (key, expected) in [
            ("vehicle", "sim-1"),
            ("fault", "coolant-ramp"),
            ("injection", "coolant-ramp@300:5"),
            ("rule", "overheating"),
            ("injected_at", "2026-11-23T12:05:00Z"),
            ("until", "2026-11-23T12:09:59Z"),
        ] {
            assert_eq!(value[key], expected, "{key}");
        }
    }

    #[test]
    fn routes_and_random_faults() {
        let start: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let random = args(&["--random-faults", "--faulty", "3", "--centre", "-33.9,18.4"]);
        let trips = fleet(&random, start).unwrap();
        assert!(trips.iter().all(|t| t.truth.len() == 1));
        assert!((trips[0].samples[0].latitude.unwrap() + 33.9).abs() < 0.01);
        let along = args(&["--waypoints", "52.5,13.4;52.51,13.4", "--interval", "2"]);
        let trips = fleet(&along, start).unwrap();
        assert_eq!(
            (trips[0].samples.len(), trips[0].samples[0].longitude),
            (300, Some(13.4))
        );
        let e = fleet(&args(&["--interval", "0"]), start)
            .unwrap_err()
            .to_string();
        assert!(e.starts_with("interval: 0: not a number from 0.1"), "{e}");
    }
}
