//! Recorded trips for tests.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do, and not every test needs all"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use millrace_analytics::{Detector, Rules, VehicleState, Zones};
use millrace_contract::{Alert, Severity, Telemetry};
use millrace_trips::{Injection, Trip, TripArguments, TripOptions, inject, vehicle_of};

/// The folder of recorded trips, where there is one.
pub fn data() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let found = std::env::var_os("MILLRACE_DATA").map_or(beside, PathBuf::from);
    if found.join("carobd").is_dir() {
        return Some(found);
    }
    let required = std::env::var_os("MILLRACE_REQUIRE").is_some_and(|v| v == "1");
    assert!(
        !required,
        "MILLRACE_REQUIRE=1, but there are no trips in {}",
        found.display()
    );
    eprintln!(
        "left out: no recorded trips in {} (set MILLRACE_DATA)",
        found.display()
    );
    None
}

/// All trips of a set, by name.
pub fn trips(set: &str) -> Vec<Trip> {
    let Some(data) = data() else {
        return Vec::new();
    };
    let options = TripOptions::parse(&TripArguments {
        format: set,
        start: Some("2026-01-01T00:00:00Z"),
        ..TripArguments::default()
    })
    .unwrap();
    let mut files: Vec<PathBuf> = std::fs::read_dir(data.join(set))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".csv.gz") || name.ends_with(".json.gz")
        })
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            options
                .read_path(path, &vehicle_of(path).unwrap())
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        })
        .collect()
}

/// The default rules, ready.
pub fn detector() -> Detector {
    Detector::new(Rules::default(), Zones::default()).unwrap()
}

/// All alerts of these events, which nothing follows.
pub fn alerts<'a>(
    detector: &Detector,
    events: impl IntoIterator<Item = &'a Telemetry>,
) -> Vec<Alert> {
    let mut state = VehicleState::default();
    let mut found = Vec::new();
    for event in events {
        found.extend(detector.observe(&mut state, event, Timestamp::UNIX_EPOCH));
    }
    found.extend(detector.release(&mut state, Timestamp::MAX));
    assert!(serde_json::to_vec(&state).unwrap().len() < 16 << 10);
    found
}

pub fn warnings(detector: &Detector, trip: &Trip) -> Vec<Alert> {
    let mut found = alerts(detector, &trip.samples);
    found.retain(|a| a.severity >= Severity::Warning);
    found
}

/// The trip with a fault in it.
pub fn with(trip: &Trip, injection: &str) -> Trip {
    let injection: Injection = injection.parse().unwrap();
    let mut trip = trip.clone();
    inject(&mut trip, &injection).unwrap();
    trip
}

/// What holds of all alerts of one fault: none before it, one episode of the right rule, each severity once.
pub fn check_one_episode(what: &str, trip: &Trip, found: &[Alert]) {
    let truth = &trip.truth[0];
    for alert in found {
        assert!(
            alert.event_time >= truth.from,
            "{what}: before the fault: {alert:#?}"
        );
        assert_eq!(alert.rule, truth.rule, "{what}: {alert:#?}");
    }
    let episodes: BTreeSet<&str> = found.iter().map(|a| a.episode.as_str()).collect();
    assert!(episodes.len() <= 1, "{what}: {found:#?}");
    let severities: Vec<Severity> = found.iter().map(|a| a.severity).collect();
    assert!(
        severities.is_sorted_by(|a, b| a < b),
        "{what}: {severities:?}"
    );
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
