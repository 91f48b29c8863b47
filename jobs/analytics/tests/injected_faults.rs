//! Every fault in real drives: nothing before it, one episode of its rule after, whatever the other rules are.
//!
//! Thresholds were chosen on the first, third, … trip of each set; the others are the kept-back half. Both must hold.
//! Run with `--nocapture` to see the table.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use millrace_contract::{Alert, Severity};
use millrace_trips::Trip;

use support::{alerts, check_one_episode, detector, median, trips, with};

/// Moments of the injection, as shares of a trip.
const MOMENTS: [f64; 3] = [0.1, 0.4, 0.7];

/// Injects one fault with each rate into all trips. `due` tells from what second after the injection on an alert
/// is due, by the trip and the rate: a trip that ends earlier need not find it.
fn judge(
    set: &str,
    fault: &str,
    rates: &[&str],
    least: Severity,
    due: impl Fn(&Trip, &str) -> Option<f64>,
) {
    let detector = detector();
    let trips = trips(set);
    for (half, first) in [("chosen on", 0), ("kept back", 1)] {
        for rate in rates {
            let (mut runs, mut long_enough, mut found_of_these, mut more) = (0, 0, 0, 0);
            let mut delays = Vec::new();
            for healthy in trips.iter().skip(first).step_by(2) {
                for moment in MOMENTS {
                    let at = (healthy.duration().as_secs_f64() * moment).round();
                    let what = format!("{} {fault}@{at}:{rate}", healthy.vehicle);
                    let trip = with(healthy, &format!("{fault}@{at}:{rate}"));
                    let mut found: Vec<Alert> = alerts(&detector, &trip.samples);
                    found.retain(|a| a.severity >= least);
                    check_one_episode(&what, &trip, &found);
                    let truth = &trip.truth[0];
                    let lasts = truth.until.duration_since(truth.from).as_secs_f64();
                    let is_due = due(&trip, rate).is_some_and(|s| lasts >= s);
                    runs += 1;
                    long_enough += usize::from(is_due);
                    match found.first() {
                        Some(first) => {
                            delays.push(first.event_time.duration_since(truth.from).as_secs_f64());
                            found_of_these += usize::from(is_due);
                            more += usize::from(!is_due);
                        }
                        None => assert!(!is_due, "{what}: missed"),
                    }
                }
            }
            eprintln!(
                "{set}, {half}: {fault} {rate}: of {runs} runs {long_enough} long enough, {found_of_these} of these found, \
                 {more} more; median {:.0} s",
                median(&mut delays)
            );
        }
    }
}

/// The trip of a vehicle that does not measure its coolant.
fn without_coolant(trip: &Trip) -> Trip {
    let mut trip = trip.clone();
    for sample in &mut trip.samples {
        sample.coolant_temperature = None;
    }
    trip
}

#[test]
fn a_coolant_that_is_not_measured_gets_a_healthy_baseline() {
    let detector = detector();
    for set in ["carobd", "kit_obd2", "envirocar"] {
        let (mut hot, mut found) = (0, 0);
        for trip in trips(set).iter().step_by(3) {
            let bare = without_coolant(trip);
            let length = bare.duration().as_secs_f64();
            // A fault that changes nothing leaves the baseline alone.
            let healthy = with(&bare, &format!("coolant-ramp@{}:0.001", length.floor()));
            assert_eq!(alerts(&detector, &healthy.samples), [], "{}", bare.vehicle);
            for fault in ["coolant-ramp@600:5", "coolant-cold@300:50"] {
                let faulty = with(&bare, fault);
                if faulty.truth.is_empty() {
                    continue;
                }
                let alerts = alerts(&detector, &faulty.samples);
                check_one_episode(&format!("{} {fault}", bare.vehicle), &faulty, &alerts);
                let at = |s: &&millrace_contract::Telemetry| s.coolant_temperature >= Some(112.0);
                if faulty.samples.iter().filter(at).count() > 60 {
                    hot += 1;
                    found += usize::from(!alerts.is_empty());
                }
            }
        }
        eprintln!("{set}: {hot} got hot, {found} found");
        assert_eq!(hot, found, "{set}");
    }
}

/// Seconds from the injection to the end of the first stretch, not before `after`, in which the engine runs for a
/// minute and a half.
fn engine_runs(trip: &Trip, after: f64) -> Option<f64> {
    let mut since = None;
    for sample in &trip.samples {
        let at = sample.time.duration_since(trip.truth[0].from).as_secs_f64();
        if at < after || sample.engine_speed.is_some_and(|rpm| rpm <= 600.0) {
            since = None;
        } else if at - *since.get_or_insert(at) >= 90.0 {
            return Some(at);
        }
    }
    None
}

/// Mean speed from the injection on, km/h.
fn mean_speed(trip: &Trip) -> f64 {
    let later = trip.samples.iter().filter(|s| s.time >= trip.truth[0].from);
    let speeds: Vec<f64> = later.filter_map(|s| s.speed).collect();
    speeds.iter().sum::<f64>() / speeds.len().max(1) as f64
}

#[test]
fn charging_failure() {
    for set in ["carobd", "kit_obd2"] {
        judge(
            set,
            "charging-failure",
            &["0.2", "0.5", "2"],
            Severity::Warning,
            |trip, rate| {
                // From 14.2 V down to 12.4 V, and a minute and a half of it.
                let rate: f64 = rate.parse().unwrap();
                engine_runs(trip, 1.9 / rate * 60.0)
            },
        );
    }
}

#[test]
fn slow_puncture() {
    for set in ["carobd", "kit_obd2"] {
        judge(
            set,
            "slow-puncture",
            &["1", "3", "8", "80", "400"],
            Severity::Warning,
            |trip, rate| {
                // 10 kPa, and the time to see a trend: it needs three minutes before.
                let rate: f64 = rate.parse().unwrap();
                let before = trip.truth[0].from.duration_since(trip.samples[0].time);
                (before.as_secs_f64() > 60.0).then_some(16.0 / rate * 60.0 + 180.0)
            },
        );
    }
}

#[test]
fn coolant_cold() {
    for set in ["carobd", "kit_obd2"] {
        judge(
            set,
            "coolant-cold",
            &["45", "55"],
            Severity::Warning,
            |trip, _| {
                // Half an hour of real driving warms every healthy engine, also one that cools down first.
                (mean_speed(trip) >= 30.0).then_some(1800.0)
            },
        );
    }
}

#[test]
fn fuel_leak() {
    for set in ["carobd", "kit_obd2"] {
        judge(
            set,
            "fuel-leak",
            &["2", "10"],
            Severity::Info,
            |trip, rate| {
                let from = trip.truth[0].from;
                let level = trip.samples.iter().find(|s| s.time >= from)?.fuel_level?;
                Some(level / rate.parse::<f64>().unwrap() * 60.0 + 60.0)
            },
        );
    }
}

#[test]
fn trouble_codes() {
    for set in ["carobd", "kit_obd2"] {
        judge(
            set,
            "dtc",
            &["P0301", "P0420+P0524", "P1234"],
            Severity::Warning,
            |_, _| Some(0.0),
        );
    }
}
