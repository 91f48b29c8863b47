//! A simulated fleet against the truth that comes with it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeSet;

use millrace_analytics::{Detector, Rules, VehicleState, Zones};
use millrace_contract::{Alert, Severity};
use millrace_trips::Trip;
use millrace_trips::simulate::{Faults, Fleet};

fn alerts(detector: &Detector, trip: &Trip) -> Vec<Alert> {
    let mut state = VehicleState::default();
    trip.samples
        .iter()
        .flat_map(|sample| detector.observe(&mut state, sample, sample.time))
        .collect()
}

fn fleet(ambient: f64, seed: u64) -> Fleet {
    Fleet {
        prefix: "sim-".to_owned(),
        vehicles: 30,
        seed,
        start: "2026-11-23T12:00:00Z".parse().unwrap(),
        duration_seconds: 2700,
        interval_seconds: 1.0,
        ambient,
        coolant_at_start: None,
        centre: (52.52, 13.405),
        radius_km: 8.0,
        waypoints: Vec::new(),
        faulty: 24,
        faults: Faults::Random,
    }
}

#[test]
fn what_was_injected_is_found_and_nothing_else() {
    let detector = Detector::new(Rules::default(), Zones::default()).unwrap();
    for (ambient, seed) in [(18.0, 1), (-8.0, 100), (34.0, 200)] {
        for trip in fleet(ambient, seed).trips().unwrap() {
            let found = alerts(&detector, &trip);
            let Some(truth) = trip.truth.first() else {
                let loud: Vec<_> = found
                    .iter()
                    .filter(|a| a.severity >= Severity::Warning)
                    .collect();
                assert!(loud.is_empty(), "{ambient} °C: {loud:?}");
                continue;
            };
            let told = format!(
                "{ambient} °C, {}: {}: {found:?}",
                trip.vehicle, truth.injection
            );
            let of_rule: Vec<_> = found.iter().filter(|a| a.rule == truth.rule).collect();
            let episodes: BTreeSet<_> = of_rule.iter().map(|a| &a.episode).collect();
            // In frost a healthy engine takes as long to warm up as this drive: a cold one is not yet judged.
            let undecided = ambient < 0.0 && truth.fault == "coolant-cold";
            assert!(
                episodes.len() == 1 || undecided && episodes.is_empty(),
                "{told}"
            );
            assert!(of_rule.iter().all(|a| a.event_time >= truth.from), "{told}");
            // A tyre that loses air is in the end a tyre with too little of it.
            let follows =
                |a: &&Alert| truth.fault == "slow-puncture" && a.rule == "tyre-pressure-low";
            let others = found
                .iter()
                .filter(|a| a.rule != truth.rule && a.severity >= Severity::Warning);
            assert_eq!(others.filter(|a| !follows(a)).count(), 0, "{told}");
        }
    }
}
