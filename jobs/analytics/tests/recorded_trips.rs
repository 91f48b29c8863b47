//! Real drives: healthy ones raise nothing, whatever the rule, and an injected fault raises one episode of its rule.
//!
//! Thresholds were chosen on the first, third, … trip of each set; the others are the kept-back half. Both must hold.
//! Run with `--nocapture` to see the table.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use jiff::Timestamp;
use millrace_analytics::Detector;
use millrace_contract::Severity;
use millrace_trips::Trip;

use support::{alerts, check_one_episode, detector, median, trips, warnings, with};

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

/// The half on which thresholds were chosen, and the one that was kept back.
fn halves(trips: &[Trip]) -> [(&'static str, Vec<&Trip>); 2] {
    [("chosen on", 0), ("kept back", 1)]
        .map(|(name, first)| (name, trips.iter().skip(first).step_by(2).collect()))
}

/// Healthy trips: nothing at warning or above.
fn judge_healthy(name: &str, trips: &[Trip]) {
    let detector = detector();
    for (half, trips) in halves(trips) {
        let hours: f64 = trips
            .iter()
            .map(|t| t.duration().as_secs_f64())
            .sum::<f64>()
            / 3600.0;
        let (mut false_alarms, mut told) = (0, 0);
        for trip in &trips {
            for a in alerts(&detector, &trip.samples) {
                if a.severity >= Severity::Warning {
                    eprintln!("FALSE {} {} {} {}", a.vehicle, a.event_time, a.rule, a.text);
                    false_alarms += 1;
                } else {
                    eprintln!("told {} {} {} {}", a.vehicle, a.event_time, a.rule, a.text);
                    told += 1;
                }
            }
        }
        eprintln!(
            "{name}, half {half}: {} trips, {hours:.1} h, {false_alarms} false alarms, {told} of info",
            trips.len()
        );
        assert_eq!(false_alarms, 0);
    }
}

fn judge_ramps(name: &str, trips: &[Trip]) {
    let detector = detector();
    for (half, trips) in halves(trips) {
        eprintln!("{name}, half {half}: coolant-ramp");
        for rate in RATES {
            judge_ramp(&detector, &trips, rate);
        }
    }
}

fn judge_ramp(detector: &Detector, trips: &[&Trip], rate: f64) {
    let (mut reachable, mut detected, mut beyond) = (0, 0, 0);
    let (mut delays, mut rises) = (Vec::new(), Vec::new());
    for &healthy in trips {
        for moment in MOMENTS {
            let at = (healthy.duration().as_secs_f64() * moment).round();
            let what = format!("{} coolant-ramp@{at}:{rate}", healthy.vehicle);
            let trip = with(healthy, &format!("coolant-ramp@{at}:{rate}"));
            let found = warnings(detector, &trip);
            check_one_episode(&what, &trip, &found);
            // Half a minute above the level of a warning is a fault by anybody's judgement.
            let rules = detector.rules(trip.samples[0].model.as_deref());
            let hot = sustained(&trip, rules.overheating.warning_at, 30.0);
            reachable += usize::from(hot);
            if let Some(first) = found.first() {
                detected += usize::from(hot);
                beyond += usize::from(!hot);
                delays.push(
                    first
                        .event_time
                        .duration_since(trip.truth[0].from)
                        .as_secs_f64(),
                );
                rises.push(first.value);
            }
            assert!(!hot || !found.is_empty(), "{what}: missed");
        }
    }
    eprintln!(
        "  {rate:>4} °C/min: of {} injections {reachable} get hot, {detected} of these found, {beyond} more found by trend; \
         median {:.0} s after the start of the ramp, at {:.0} °C",
        trips.len() * MOMENTS.len(),
        median(&mut delays),
        median(&mut rises)
    );
}

#[test]
fn healthy_carobd() {
    judge_healthy("carobd", &trips("carobd"));
}

#[test]
fn healthy_carobd_as_a_car_of_unknown_model() {
    judge_healthy("carobd without model", &without_model(trips("carobd")));
}

#[test]
fn healthy_kit_obd2() {
    judge_healthy("kit_obd2", &trips("kit_obd2"));
}

#[test]
fn overheating_carobd() {
    judge_ramps("carobd", &trips("carobd"));
}

#[test]
fn overheating_carobd_as_a_car_of_unknown_model() {
    judge_ramps("carobd without model", &without_model(trips("carobd")));
}

#[test]
fn overheating_kit_obd2() {
    judge_ramps("kit_obd2", &trips("kit_obd2"));
}

fn without_model(mut trips: Vec<Trip>) -> Vec<Trip> {
    trips
        .iter_mut()
        .flat_map(|t| &mut t.samples)
        .for_each(|s| s.model = None);
    trips
}
