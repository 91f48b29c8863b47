use super::*;

fn coolant(trip: &Trip) -> Vec<f64> {
    trip.samples
        .iter()
        .map(|s| s.coolant_temperature.unwrap())
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_trip() {
    let params = SimParams::default();
    assert_eq!(simulate(&params), simulate(&params));
    assert_ne!(
        simulate(&params).samples,
        simulate(&SimParams { seed: 2, ..params }).samples
    );
}

#[test]
fn healthy_cars_warm_up_and_stay_regulated() {
    for seed in 0..50 {
        for ambient in [-10.0, 18.0, 35.0] {
            let trip = simulate(&SimParams {
                seed,
                ambient,
                duration_seconds: 2400,
                ..SimParams::default()
            });
            let coolant = coolant(&trip);
            assert!((coolant[0] - ambient).abs() <= 1.0);
            let highest = coolant.iter().copied().fold(f64::MIN, f64::max);
            assert!(
                (82.0..=99.0).contains(&highest),
                "seed {seed}, {ambient} °C: {highest}"
            );
            assert!(
                coolant[2399] > 75.0,
                "seed {seed}, {ambient} °C: {}",
                coolant[2399]
            );
            let volts = trip.samples[10..]
                .iter()
                .map(|s| s.battery_voltage.unwrap());
            assert!(volts.fold(f64::MAX, f64::min) > 13.7, "seed {seed}");
        }
    }
}

#[test]
fn every_sample_would_be_accepted_by_the_gateway() {
    for interval_seconds in [0.5, 1.0, 5.0] {
        let trip = simulate(&SimParams {
            interval_seconds,
            ..SimParams::default()
        });
        assert_eq!(trip.samples.len(), (1200.0 / interval_seconds) as usize);
        for mut sample in trip.samples {
            let before = sample.clone();
            millrace_contract::codec::check(&mut sample).unwrap();
            assert_eq!(sample, before);
        }
    }
}

#[test]
fn it_drives() {
    for seed in 0..20 {
        let trip = simulate(&SimParams {
            seed,
            ..SimParams::default()
        });
        let last = trip.samples.last().unwrap();
        let km = last.trip_distance.unwrap() / 1000.0;
        assert!((4.0..30.0).contains(&km), "seed {seed}: {km} km in 20 min");
        assert!(
            trip.samples[60..].iter().any(|s| s.speed == Some(0.0)),
            "seed {seed}"
        );
        let litres = trip
            .samples
            .iter()
            .map(|s| s.fuel_rate.unwrap())
            .sum::<f64>()
            / 3600.0;
        let per_100 = litres / km * 100.0;
        assert!(
            (4.0..16.0).contains(&per_100),
            "seed {seed}: {per_100} l/100 km"
        );
    }
}

/// Metres from one sample to the next.
fn moved(a: &Telemetry, b: &Telemetry) -> (f64, f64) {
    let north = (b.latitude.unwrap() - a.latitude.unwrap()) * 111_320.0;
    let east = (b.longitude.unwrap() - a.longitude.unwrap())
        * 111_320.0
        * a.latitude.unwrap().to_radians().cos();
    (north, east)
}

#[test]
fn positions_heading_and_speed_belong_together() {
    let params = SimParams {
        duration_seconds: 3600,
        radius_km: 3.0,
        ..SimParams::default()
    };
    let trip = simulate(&params);
    let mut compared = 0;
    for pair in trip.samples.windows(2) {
        let (north, east) = moved(&pair[0], &pair[1]);
        let metres = north.hypot(east);
        // Corners are cut, and speeds are in whole km/h.
        assert!(
            (metres - pair[1].speed.unwrap() / 3.6).abs() < 8.0,
            "{metres} {pair:?}"
        );
        if pair[0].heading == pair[1].heading && metres > 5.0 {
            let course = east.atan2(north).to_degrees().rem_euclid(360.0);
            let off = (course - pair[1].heading.unwrap() + 540.0).rem_euclid(360.0) - 180.0;
            assert!(off.abs() < 5.0, "{course} {pair:?}");
            compared += 1;
        }
        let from_centre = (pair[0].latitude.unwrap() - params.centre.0) * 111.32;
        assert!(from_centre.abs() < 7.0);
    }
    assert!(compared > 1000);
}

#[test]
fn waypoints_are_driven() {
    let waypoints = parse_waypoints("52.5,13.4,60;52.51,13.4,60;52.51,13.42").unwrap();
    let trip = simulate(&SimParams {
        waypoints: waypoints.clone(),
        duration_seconds: 600,
        ..SimParams::default()
    });
    for point in waypoints {
        let nearest = trip.samples.iter().map(|s| {
            let north = (s.latitude.unwrap() - point.latitude) * 111_320.0;
            north.hypot((s.longitude.unwrap() - point.longitude) * 67_800.0)
        });
        assert!(nearest.fold(f64::MAX, f64::min) < 20.0);
    }
    let fastest = trip
        .samples
        .iter()
        .map(|s| s.speed.unwrap())
        .fold(0.0, f64::max);
    assert!((55.0..=60.0).contains(&fastest), "{fastest}");
    for (bad, part) in [
        ("52.5,13.4", "two places"),
        ("52.5,13.4;52.5,13.4", "two places"),
        ("52.5;13.4", "three numbers"),
        ("a,b;c,d", "not numbers"),
        ("95,13;52,13", "not a place"),
        ("52,13,0;52,14", "speed"),
    ] {
        let e = parse_waypoints(bad).unwrap_err();
        assert!(e.problem.contains(part), "{e}");
    }
}

#[test]
fn tyres_warm_up_by_driving() {
    let trip = simulate(&SimParams {
        duration_seconds: 2400,
        ..SimParams::default()
    });
    let (first, last) = (&trip.samples[0], &trip.samples[2399]);
    assert_eq!(first.tyre_temperature_rear_left, Some(18.0));
    assert!(last.tyre_temperature_rear_left.unwrap() > 20.0);
    assert!(last.tyre_pressure_rear_left.unwrap() > first.tyre_pressure_rear_left.unwrap());
}
