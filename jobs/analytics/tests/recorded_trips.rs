//! Overheating on real drives: healthy ones raise nothing, an injected coolant ramp raises one episode.
//!
//! Thresholds were chosen on the first, third, … trip of each set; the others are the kept-back half. Both must hold.
//! Run with `--nocapture` to see the table.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use millrace_analytics::{Rules, VehicleState, observe};
use millrace_contract::{Alert, Severity};
use millrace_trips::{Format, Injection, Trip, inject, read_trip, vehicle_of};

/// The folder of recorded trips, where there is one.
fn data() -> Option<PathBuf> {
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

const KIT: &str = "
time: {column: Time, unit: clock}
columns: {Engine Coolant Temperature: {field: coolant_temperature}, Vehicle Speed Sensor: {field: speed, optional: true}}
";

fn trips(folder: &str, format: &Format) -> Vec<Trip> {
    let Some(data) = data() else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(data.join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".csv.gz"))
        .collect();
    files.sort();
    let start = "2026-01-01T00:00:00Z".parse().unwrap();
    files
        .iter()
        .map(|path| {
            let file = std::fs::File::open(path).unwrap();
            read_trip(file, format, &vehicle_of(path).unwrap(), start)
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        })
        .collect()
}

fn alerts(rules: &Rules, trip: &Trip) -> Vec<Alert> {
    let mut state = VehicleState::default();
    let found: Vec<Alert> = trip
        .samples
        .iter()
        .flat_map(|s| observe(rules, &mut state, s, Timestamp::UNIX_EPOCH))
        .collect();
    assert!(serde_json::to_vec(&state).unwrap().len() < 16 << 10);
    found
}

fn warnings(rules: &Rules, trip: &Trip) -> Vec<Alert> {
    let mut found = alerts(rules, trip);
    found.retain(|a| a.severity >= Severity::Warning);
    found
}

/// Whether the coolant stays at `level` or above for `seconds` in a row.
fn sustained(trip: &Trip, level: f64, seconds: f64) -> bool {
    let mut since: Option<Timestamp> = None;
    trip.samples
        .iter()
        .filter_map(|s| Some((s.time, s.coolant_temperature?)))
        .any(|(time, c)| {
            if c < level {
                since = None;
                return false;
            }
            time.duration_since(*since.get_or_insert(time))
                .as_secs_f64()
                >= seconds
        })
}

const RATES: [f64; 7] = [0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0];
const MOMENTS: [f64; 5] = [0.05, 0.2, 0.4, 0.6, 0.8];

fn judge(name: &str, trips: &[Trip]) {
    let rules = Rules::default();
    for half in 0..2 {
        let trips: Vec<&Trip> = trips.iter().skip(half).step_by(2).collect();
        let hours: f64 = trips
            .iter()
            .map(|t| t.duration().as_secs_f64())
            .sum::<f64>()
            / 3600.0;
        let mut false_alarms = 0;
        for trip in &trips {
            let found = warnings(&rules, trip);
            for a in &found {
                eprintln!("FALSE {} {} {}", a.vehicle, a.event_time, a.text);
            }
            false_alarms += found.len();
        }
        let which = ["chosen on", "kept back"][half];
        eprintln!(
            "{name}, half {which}: {} trips, {hours:.1} h, {false_alarms} false alarms",
            trips.len()
        );
        assert_eq!(false_alarms, 0);
        for rate in RATES {
            judge_ramp(&rules, &trips, rate);
        }
    }
}

fn judge_ramp(rules: &Rules, trips: &[&Trip], rate: f64) {
    let (mut reachable, mut detected, mut beyond) = (0, 0, 0);
    let (mut delays, mut rises) = (Vec::new(), Vec::new());
    for &healthy in trips {
        for moment in MOMENTS {
            let at = (healthy.duration().as_secs_f64() * moment).round();
            let injection: Injection = format!("coolant-ramp@{at}:{rate}").parse().unwrap();
            let mut trip = healthy.clone();
            inject(&mut trip, &injection).unwrap();
            let from = trip.truth[0].from;
            let found = warnings(rules, &trip);
            let what = format!("{} {injection}", trip.vehicle);
            assert!(
                found.iter().all(|a| a.event_time >= from),
                "{what}: alert before the injection"
            );
            let episodes: BTreeSet<&str> = found.iter().map(|a| a.episode.as_str()).collect();
            assert!(
                episodes.len() <= 1,
                "{what}: {} episodes: {found:#?}",
                episodes.len()
            );
            let severities: BTreeSet<Severity> = found.iter().map(|a| a.severity).collect();
            assert_eq!(severities.len(), found.len(), "{what}: repeated severities");
            // Half a minute above the level of a warning is a fault by anybody's judgement.
            let level = rules
                .overheating_of(trip.samples[0].model.as_deref())
                .warning_at;
            let hot = sustained(&trip, level, 30.0);
            reachable += usize::from(hot);
            if let Some(first) = found.first() {
                detected += usize::from(hot);
                beyond += usize::from(!hot);
                delays.push(first.event_time.duration_since(from).as_secs_f64());
                rises.push(first.value);
            }
            assert!(!hot || !found.is_empty(), "{what}: missed");
        }
    }
    delays.sort_by(f64::total_cmp);
    rises.sort_by(f64::total_cmp);
    let median = |v: &[f64]| v.get(v.len() / 2).copied().unwrap_or(f64::NAN);
    eprintln!(
        "  {rate:>4} °C/min: of {} injections {reachable} get hot, {detected} of these found, {beyond} more found by trend; \
         median {:.0} s after the start of the ramp, at {:.0} °C",
        trips.len() * MOMENTS.len(),
        median(&delays),
        median(&rises)
    );
}

#[test]
fn carobd() {
    judge(
        "carobd",
        &trips("carobd", &Format::parse("carobd", None).unwrap()),
    );
}

#[test]
fn carobd_as_a_car_of_unknown_model() {
    let mut trips = trips("carobd", &Format::parse("carobd", None).unwrap());
    trips
        .iter_mut()
        .flat_map(|t| &mut t.samples)
        .for_each(|s| s.model = None);
    judge("carobd without model", &trips);
}

#[test]
fn kit_obd2() {
    // One signal is refreshed per row, 8 to 12 rows a second: one row a second tells all of the coolant.
    let mut trips = trips("kit_obd2", &Format::parse("csv", Some(KIT)).unwrap());
    for trip in &mut trips {
        let mut last = i64::MIN;
        trip.samples
            .retain(|s| std::mem::replace(&mut last, s.time.as_second()) != s.time.as_second());
    }
    judge("kit_obd2", &trips);
}

#[test]
fn repeated_and_disordered_events_find_the_same_episodes() {
    let rules = Rules::default();
    let trips = trips("carobd", &Format::parse("carobd", None).unwrap());
    for (i, healthy) in trips.iter().enumerate().step_by(3) {
        for rate in [0.0, 2.0, 10.0] {
            let mut trip = healthy.clone();
            if rate > 0.0 {
                let at = trip.duration().as_secs() / 3;
                inject(
                    &mut trip,
                    &format!("coolant-ramp@{at}:{rate}").parse().unwrap(),
                )
                .unwrap();
            }
            let in_order = warnings(&rules, &trip);
            let mut doubled = trip.clone();
            doubled.samples = trip
                .samples
                .iter()
                .flat_map(|s| [s.clone(), s.clone()])
                .collect();
            assert_eq!(warnings(&rules, &doubled), in_order);

            // Each event up to 20 places from where it belongs, about 10 s.
            let mut mixed = trip.clone();
            let mut x = i as u64 + 1;
            let mut keyed: Vec<(u64, _)> = mixed
                .samples
                .drain(..)
                .map(|s| {
                    x = x
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    (s.sequence + (x >> 33) % 20, s)
                })
                .collect();
            keyed.sort_by_key(|(key, _)| *key);
            mixed.samples = keyed.into_iter().map(|(_, s)| s).collect();
            let found = warnings(&rules, &mixed);
            let severities = |a: &[Alert]| a.iter().map(|a| a.severity).collect::<Vec<_>>();
            assert_eq!(
                severities(&found),
                severities(&in_order),
                "{} at {rate}",
                trip.vehicle
            );
        }
    }
}
