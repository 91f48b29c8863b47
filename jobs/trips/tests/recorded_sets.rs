//! Every set of recorded data that is telemetry can be read; what is none says so.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use millrace_contract::Telemetry;
use millrace_testkit::{data_dir, left_out};
use millrace_trips::{Trip, TripArguments, TripOptions, inject};

/// The files of a set with one of these endings, in order; none where there is no data.
fn files(set: &str, ending: &str) -> Vec<PathBuf> {
    let Some(folder) = data_dir().map(|d| d.join(set)) else {
        left_out(set, "there is no recorded data; set MILLRACE_DATA").unwrap();
        return Vec::new();
    };
    let mut found = Vec::new();
    gather(&folder, ending, &mut found);
    found.sort();
    assert!(!found.is_empty(), "{}", folder.display());
    found
}

fn gather(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

fn options(format: &str) -> TripOptions {
    TripOptions::parse(&TripArguments {
        format,
        ..TripArguments::default()
    })
    .unwrap()
}

fn read(format: &str, paths: &[PathBuf]) -> Vec<Trip> {
    let options = options(format);
    options.check_distinct(paths).unwrap();
    let trips: Vec<Trip> = paths
        .iter()
        .map(|path| {
            let vehicle = options.vehicle_of(path).unwrap();
            options
                .read_path(path, &vehicle)
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        })
        .collect();
    for trip in &trips {
        assert!(!trip.samples.is_empty(), "{}", trip.vehicle);
        for (number, pair) in (0..).zip(trip.samples.windows(2)) {
            assert!(pair[0].time < pair[1].time, "{} {number}", trip.vehicle);
            assert_eq!(pair[0].sequence, number);
        }
        for sample in &trip.samples {
            let mut checked = sample.clone();
            millrace_contract::codec::check(&mut checked).unwrap();
            assert_eq!(checked, *sample);
        }
    }
    trips
}

fn present(trip: &Trip, signal: fn(&Telemetry) -> Option<f64>) -> usize {
    trip.samples.iter().filter(|s| signal(s).is_some()).count()
}

#[test]
fn kit_obd2() {
    let trips = read("kit_obd2", &files("kit_obd2", ".csv.gz"));
    for trip in &trips {
        let seconds = trip.duration().as_secs_f64();
        let events = trip.samples.len() as f64;
        assert!(
            events < seconds * 1.02 + 2.0,
            "{}: {events} in {seconds} s",
            trip.vehicle
        );
        assert!(seconds > 500.0);
        // All nine signals are there nearly all the time.
        for signal in [
            |s: &Telemetry| s.coolant_temperature,
            |s: &Telemetry| s.intake_manifold_pressure,
            |s: &Telemetry| s.engine_speed,
            |s: &Telemetry| s.speed,
            |s: &Telemetry| s.intake_air_temperature,
            |s: &Telemetry| s.mass_air_flow,
            |s: &Telemetry| s.throttle,
            |s: &Telemetry| s.ambient_temperature,
            |s: &Telemetry| s.accelerator_pedal,
        ] {
            assert!(
                present(trip, signal) as f64 > events * 0.9,
                "{}",
                trip.vehicle
            );
        }
        // The healthy maximum of the set.
        let hottest = trip
            .samples
            .iter()
            .filter_map(|s| s.coolant_temperature)
            .fold(0.0, f64::max);
        assert!(
            (60.0..=103.0).contains(&hottest),
            "{} {hottest}",
            trip.vehicle
        );
        let day = &trip.vehicle[..10];
        assert!(
            trip.samples[0].time.to_string().starts_with(day),
            "{}",
            trip.samples[0].time
        );
        assert!(trip.notes.is_empty(), "{:?}", trip.notes);
    }
    let Some(first) = trips.first() else { return };
    // 07:16:30.444 summer time, and the last row of the first second.
    assert!(
        first.samples[0]
            .time
            .to_string()
            .starts_with("2017-07-05T05:16:31.")
    );
}

#[test]
fn a_gap_of_the_log_is_a_gap_of_the_trip() {
    let paths = files("kit_obd2", "2017-07-11_Seat_Leon_KA_KA_Stau.csv.gz");
    for trip in read("kit_obd2", &paths) {
        let longest = trip
            .samples
            .windows(2)
            .max_by_key(|pair| pair[1].time.duration_since(pair[0].time));
        let pair = longest.unwrap();
        assert!(pair[1].time.duration_since(pair[0].time).as_secs() > 600);
    }
}

#[test]
fn rsk_twizy() {
    let trips = read("rsk_twizy", &files("rsk_twizy", ".csv.gz"));
    for trip in &trips {
        let all = trip.samples.len();
        assert_eq!(present(trip, |s| s.latitude), all);
        assert_eq!(present(trip, |s| s.state_of_charge), all);
        assert_eq!(present(trip, |s| s.heading), 0);
        let near = |s: &Telemetry| {
            (33.9..34.1).contains(&s.latitude.unwrap())
                && (-6.9..-6.6).contains(&s.longitude.unwrap())
        };
        assert!(trip.samples.iter().all(near), "{}", trip.vehicle);
    }
    let Some(first) = trips.first() else { return };
    let ramp = "coolant-ramp@900:5".parse().unwrap();
    let e = inject(&mut first.clone(), &ramp).unwrap_err();
    assert!(e.to_string().contains("combustion engine"), "{e}");
    assert_eq!(first.samples[0].time.to_string(), "2021-03-29T10:13:45Z");
    assert_eq!(first.samples.len(), 6179);
    assert!(
        first.notes[0].starts_with("10 rows without a time left out")
            && first.notes[0].contains("90/02/2032")
    );
}

#[test]
fn envirocar() {
    for trip in read("envirocar", &files("envirocar", ".json.gz")) {
        assert_eq!(trip.samples.len(), 368);
        let first = &trip.samples[0];
        assert_eq!(first.time.to_string(), "2020-03-25T16:31:52Z");
        assert!((first.heading.unwrap() - 257.198).abs() < 0.001);
        assert!((first.longitude.unwrap() - 9.21697).abs() < 1e-5);
        assert!((first.latitude.unwrap() - 53.09843).abs() < 1e-5);
        assert!((first.fuel_rate.unwrap() - 5.977).abs() < 0.001);
        assert!((first.engine_speed.unwrap() - 1549.58).abs() < 0.01);
        let last = trip.samples.last().unwrap();
        assert_eq!(
            (last.heading, last.time.to_string()),
            (None, "2020-03-25T17:02:42Z".to_owned())
        );
        // A combustion car without a sensor of its coolant: it is given a healthy one.
        let mut faulty = trip.clone();
        inject(&mut faulty, &"coolant-ramp@900:5".parse().unwrap()).unwrap();
        assert_eq!(present(&faulty, |s| s.coolant_temperature), 368);
    }
}

#[test]
fn carta_bus_road_class() {
    let trips = read(
        "carta_bus_road_class",
        &files("carta_bus_road_class", ".csv.gz"),
    );
    for trip in &trips {
        assert!(trip.samples.len() > 1000);
        assert_eq!(present(trip, |s| s.state_of_charge), trip.samples.len());
        assert_eq!(present(trip, |s| s.longitude), trip.samples.len());
        assert_eq!(trip.samples[0].time.to_string(), "2019-11-01T08:55:10Z");
    }
}

#[test]
fn comma2k19_example() {
    let Some(folder) = data_dir().map(|d| d.join("comma2k19_example")) else {
        left_out(
            "comma2k19_example",
            "there is no recorded data; set MILLRACE_DATA",
        )
        .unwrap();
        return;
    };
    let options = options("comma2k19_example");
    for path in [folder.clone(), folder.join("processed_log")] {
        let trip = options.read_path(&path, "comma").unwrap();
        assert!(
            (59..=62).contains(&trip.samples.len()),
            "{}",
            trip.samples.len()
        );
        assert!(
            trip.samples[0]
                .time
                .to_string()
                .starts_with("2018-08-02T16:14:"),
            "{}",
            trip.samples[0].time
        );
        let sample = &trip.samples[10];
        assert!((25.0..130.0).contains(&sample.speed.unwrap()));
        assert!((sample.latitude.unwrap() - 37.72).abs() < 0.02);
        assert!(sample.heading.unwrap() < 360.0 && sample.steering_angle.is_some());
        assert_eq!(present(&trip, |s| s.speed), trip.samples.len());
    }
    let e = options
        .read_path(&folder.join("processed_log/CAN"), "comma")
        .unwrap_err()
        .to_string();
    assert!(e.contains("CAN/speed/t") && e.contains("check"), "{e}");
    let e = options
        .read_path(&folder.join("processed_log/CAN/speed/t"), "comma")
        .unwrap_err();
    assert!(e.to_string().contains("is a folder"), "{e}");
}

#[test]
fn obdb_tpms() {
    let trips = read("obdb_tpms", &files("obdb_tpms", ".yaml.gz"));
    let vehicles: BTreeSet<&str> = trips.iter().map(|t| t.vehicle.as_str()).collect();
    if trips.is_empty() {
        return;
    }
    assert_eq!(vehicles.len(), 12);
    assert!(vehicles.contains("Hyundai-IONIQ-5-2023") && vehicles.contains("Toyota-RAV4-2019"));
    assert_eq!(
        trips.iter().map(|t| t.samples.len()).sum::<usize>(),
        218 + 56
    );
    for sample in trips.iter().flat_map(|t| &t.samples) {
        let pressures = [
            sample.tyre_pressure_front_left,
            sample.tyre_pressure_front_right,
            sample.tyre_pressure_rear_left,
            sample.tyre_pressure_rear_right,
        ];
        // No sleeping sensor becomes a flat tyre.
        assert!(
            pressures
                .into_iter()
                .flatten()
                .all(|p| (90.0..350.0).contains(&p)),
            "{sample:?}"
        );
    }
    // Names and magnitudes say the same as the model's set of signals.
    for (path, trip) in files("obdb_tpms", ".yaml.gz").iter().zip(&trips) {
        let file = std::fs::File::open(path).unwrap();
        let alone = options("obdb_tpms").read(file, &trip.vehicle).unwrap();
        assert_eq!(alone.samples, trip.samples, "{}", trip.vehicle);
    }
    let ioniq = trips
        .iter()
        .find(|t| t.vehicle == "Hyundai-IONIQ-5-2023")
        .unwrap();
    assert!((ioniq.samples[0].tyre_pressure_front_left.unwrap() - 264.76).abs() < 0.01);
    assert_eq!(ioniq.samples[0].tyre_temperature_front_left, Some(45.0));
    let rav4 = trips
        .iter()
        .find(|t| t.vehicle == "Toyota-RAV4-2019")
        .unwrap();
    assert!((rav4.samples[0].tyre_pressure_front_left.unwrap() - 213.793).abs() < 0.001);
}

#[test]
fn carobd() {
    let trips = read("carobd", &files("carobd", ".csv.gz"));
    for trip in &trips {
        assert!(present(trip, |s| s.coolant_temperature) > trip.samples.len() * 9 / 10);
        assert_eq!(
            trip.samples[0].time.to_string(),
            millrace_trips::DEFAULT_START
        );
    }
}

#[test]
fn what_is_no_telemetry_says_so() {
    for (set, word) in [
        ("azure_pdm", "machines in a hall"),
        ("cmapss_fd001", "turbofan"),
        ("mtbf_field_data", "lifetimes"),
        ("geofence_polygons", "zones"),
        ("standards", "definitions"),
    ] {
        let e = TripOptions::parse(&TripArguments {
            format: set,
            ..TripArguments::default()
        })
        .unwrap_err();
        assert!(e.problem.contains(word) && !e.cure.is_empty(), "{e}");
    }
    // And when they are given as something else.
    for path in files("mtbf_field_data", ".csv") {
        let e = options("carobd")
            .read_path(&path, "v")
            .unwrap_err()
            .to_string();
        assert!(e.contains("there is no column ENGINE_RUN_TINE"), "{e}");
    }
    for path in files("geofence_polygons", "2021.json.gz") {
        let e = options("envirocar")
            .read_path(&path, "v")
            .unwrap_err()
            .to_string();
        assert!(
            e.contains("\"Polygon\", not a point") && e.contains("--zones"),
            "{e}"
        );
    }
}
