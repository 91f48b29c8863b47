//! Late, disordered and repeated events change nothing: not one alert, id, time or value.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use jiff::{SignedDuration, Timestamp};
use millrace_analytics::{Detector, VehicleState};
use millrace_contract::{Alert, Telemetry};
use millrace_trips::Trip;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use support::{alerts, detector, trips, with};

/// The rules' `latenessSeconds`.
const LATENESS: f64 = 10.0;

/// The order of arrival: each event up to the lateness late, some twice, some never.
fn arrivals(events: &[Telemetry], random: &mut ChaCha8Rng) -> Vec<Telemetry> {
    let mut arriving: Vec<(f64, &Telemetry)> = Vec::new();
    for event in events {
        let time = event.time.as_microsecond() as f64 / 1e6;
        arriving.push((time + random.random_range(0.0..LATENESS - 0.1), event));
        while random.random_bool(0.1) {
            arriving.push((time + random.random_range(0.0..60.0), event));
        }
    }
    arriving.sort_by(|a, b| a.0.total_cmp(&b.0));
    arriving.into_iter().map(|(_, e)| e.clone()).collect()
}

/// As [`alerts`], with the state and the events written and read again now and then.
fn parted(detector: &Detector, events: &[Telemetry], random: &mut ChaCha8Rng) -> Vec<Alert> {
    let mut state = VehicleState::default();
    let mut found = Vec::new();
    for event in events {
        if random.random_bool(0.01) {
            let json = serde_json::to_vec(&state).unwrap();
            assert!(json.len() < 128 << 10, "{} bytes of state", json.len());
            let read: VehicleState = serde_json::from_slice(&json).unwrap();
            assert_eq!(read, state);
            state = read;
        }
        found.extend(detector.observe(&mut state, event, Timestamp::UNIX_EPOCH));
    }
    found.extend(detector.release(&mut state, Timestamp::MAX));
    found
}

fn check(what: &str, detector: &Detector, trip: &Trip, random: &mut ChaCha8Rng) -> usize {
    // What is lost is lost in both runs.
    let mut events = trip.samples.clone();
    let mut index = 0;
    events.retain(|_| {
        index += 1;
        index == 1 || !random.random_bool(0.02)
    });
    let expected = alerts(detector, &events);
    for _ in 0..2 {
        let arriving = arrivals(&events, random);
        let found = parted(detector, &arriving, random);
        assert_eq!(found, expected, "{what}");
    }
    expected.len()
}

#[test]
fn any_order_within_the_lateness_gives_the_same_alerts() {
    let detector = detector();
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let faults = [
        "coolant-ramp@300:8",
        "coolant-cold@100:50",
        "charging-failure@200:1",
        "slow-puncture@200:8:front_left",
        "fuel-leak@60:8",
        "dtc@100:P0420+P0301",
    ];
    let mut raised = 0;
    for set in ["carobd", "kit_obd2"] {
        let trips = trips(set);
        for (i, trip) in trips.iter().enumerate().step_by(4) {
            let mut all = trip.clone();
            for fault in faults {
                all = with(&all, fault);
            }
            // And the clock is set right on the way.
            let half = all.samples.len() / 2;
            let mut jumping = all.clone();
            for sample in &mut jumping.samples[half..] {
                sample.time = sample
                    .time
                    .checked_add(SignedDuration::from_secs(3600))
                    .unwrap();
            }
            let name = &trip.vehicle;
            check(name, &detector, trip, &mut random);
            raised += check(&format!("{name}, all faults"), &detector, &all, &mut random);
            if i % 8 == 0 {
                check(
                    &format!("{name}, jumping"),
                    &detector,
                    &jumping,
                    &mut random,
                );
            }
        }
        assert!(trips.is_empty() || raised > trips.len(), "{raised} alerts");
    }
}

#[test]
fn the_state_stays_bounded() {
    let detector = detector();
    for trip in trips("carobd").iter().step_by(8) {
        let mut state = VehicleState::default();
        let mut number = 0;
        // One after the other for as long as a day, with all faults.
        let mut trip = trip.clone();
        for fault in [
            "coolant-ramp@60:8",
            "charging-failure@60:1",
            "slow-puncture@60:8",
            "fuel-leak@60:8",
            "dtc@60:P0301",
        ] {
            trip = with(&trip, fault);
        }
        for day in 0..5 {
            for sample in &trip.samples {
                let mut event = sample.clone();
                event.time = event
                    .time
                    .checked_add(SignedDuration::from_hours(24 * day))
                    .unwrap();
                event.sequence = number;
                number += 1;
                detector.observe(&mut state, &event, event.time);
            }
            let size = serde_json::to_vec(&state).unwrap().len();
            assert!(size < 16 << 10, "{size} bytes");
        }
        eprintln!(
            "{}: {} bytes",
            trip.vehicle,
            serde_json::to_vec(&state).unwrap().len()
        );
    }
}
