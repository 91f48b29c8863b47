use super::super::second::SECOND;
use super::*;

const HOUR: i64 = 3600;

fn config() -> ScoreConfig {
    ScoreConfig::default()
}

// One reading a second, each made from the last one's second and speed.
fn drive(config: &ScoreConfig, readings: impl IntoIterator<Item = Reading>) -> Vec<Trip> {
    let driving = Driving::new(config);
    let mut vehicle = VehicleDriving::default();
    let mut trips = Vec::new();
    for reading in readings {
        trips.extend(vehicle.observe(&driving, &reading, 0, 6.0));
    }
    trips.extend(vehicle.finish(&driving, 0, 6.0));
    trips
}

fn at(second: i64, speed: f64) -> Reading {
    Reading {
        speed,
        ..Reading::empty(second * SECOND, None)
    }
}

fn speeds(from: i64, speeds: &[f64]) -> Vec<Reading> {
    (from..).zip(speeds).map(|(s, v)| at(s, *v)).collect()
}

#[test]
fn distance_time_and_trips_by_gap_and_hire() {
    let mut readings: Vec<Reading> = (0..=100).map(|s| at(s, 36.0)).collect();
    readings.extend((401..=501).map(|s| at(s, 36.0)));
    readings.extend((502..=602).map(|s| Reading {
        hire: Some(7),
        ..at(s, 36.0)
    }));
    let trips = drive(&config(), readings);
    let seen: Vec<_> = trips.iter().map(|t| (t.hire, t.start, t.end)).collect();
    assert_eq!(
        seen,
        [(None, 0, 100), (None, 401, 501), (Some(7), 502, 602)]
    );
    assert!((trips[0].exposure.distance - 1000.0).abs() < 1e-6);
    assert_eq!(
        (trips[0].exposure.driving, trips[0].exposure.watched),
        (100.0, 100.0)
    );
    assert!(drive(&config(), (0..100).map(|s| at(s, 0.0))).is_empty());
}

#[test]
fn a_hole_in_the_readings_is_not_driven() {
    let trips = drive(
        &config(),
        [at(0, 50.0), at(1, 50.0), at(60, 90.0), at(61, 90.0)],
    );
    assert_eq!(trips.len(), 1);
    assert_eq!(
        (trips[0].exposure.driving, trips[0].exposure.accelerations),
        (2.0, 0.0)
    );
}

#[test]
fn one_braking_is_one_event_however_long() {
    // 18 km/h a second is 5 m/s².
    let braking = [72.0, 72.0, 54.0, 36.0, 18.0, 18.0, 36.0, 54.0, 54.0, 36.0];
    let trips = drive(&config(), speeds(0, &braking));
    let sum = trips[0].exposure;
    assert_eq!((sum.brakings, sum.accelerations), (2.0, 1.0));
    // 400 km/h a second is a fault of measurement.
    let fault = drive(&config(), speeds(0, &[50.0, 50.0, 0.0, 50.0, 50.0]));
    assert_eq!(
        (fault[0].exposure.brakings, fault[0].exposure.accelerations),
        (0.0, 0.0)
    );
}

#[test]
fn what_the_vehicle_measures_itself_goes_before_what_follows_from_speed() {
    let trips = drive(
        &config(),
        [0, 1, 2].map(|s| Reading {
            longitudinal: if s == 1 { -6.0 } else { 0.0 },
            lateral: if s == 2 { -5.0 } else { 0.0 },
            ..at(s, 50.0)
        }),
    );
    let sum = trips[0].exposure;
    assert_eq!((sum.brakings, sum.turns), (1.0, 1.0));
    assert_eq!(sum.turning_distance, sum.distance);
}

#[test]
fn turns_by_course_pass_through_north() {
    // 20 degrees a second at 54 km/h: 15 m/s times 0.349 rad/s is 5.2 m/s².
    let course = [350.0, 350.0, 10.0, 30.0, 30.0];
    let readings = (0..).zip(course).map(|(s, heading)| Reading {
        heading,
        ..at(s, 54.0)
    });
    assert_eq!(drive(&config(), readings)[0].exposure.turns, 1.0);
    // At walking pace a receiver tells any course.
    let slow = (0..).zip(course).map(|(s, heading)| Reading {
        heading,
        ..at(s, 8.0)
    });
    let sum = drive(&config(), slow)[0].exposure;
    assert_eq!((sum.turns, sum.turning_distance), (0.0, 0.0));
}

#[test]
fn speeding_by_the_limit_of_the_road_or_of_the_configuration() {
    let with = |limit: f64| {
        (0..=10).map(move |s| Reading {
            speed_limit: limit,
            ..at(s, 60.0)
        })
    };
    assert_eq!(drive(&config(), with(50.0))[0].exposure.speeding, 10.0);
    assert_eq!(drive(&config(), with(55.0))[0].exposure.speeding, 0.0);
    assert_eq!(drive(&config(), with(f64::NAN))[0].exposure.speeding, 0.0);
}

#[test]
fn only_long_standing_with_the_engine_on_is_idling() {
    let mut readings = speeds(0, &[20.0, 20.0, 0.0]);
    let standing = |s: i64| Reading {
        engine_speed: 800.0,
        ..at(s, 0.0)
    };
    readings.extend((3..=103).map(standing));
    readings.extend([at(104, 20.0), at(105, 20.0), at(106, 0.0)]);
    readings.extend((107..=307).map(standing));
    let sum = drive(&config(), readings)[0].exposure;
    assert_eq!((sum.idling, sum.engine), (201.0, 302.0));
}

#[test]
fn nights_are_local_and_may_span_midnight() {
    let driving = Driving::new(&config());
    assert!(driving.is_night(22 * HOUR, HOUR));
    assert!(!driving.is_night(22 * HOUR, 0));
    assert!(driving.is_night(0, 0) && driving.is_night(5 * HOUR - 1, 0));
    assert!(!driving.is_night(5 * HOUR, 0));
}

#[test]
fn a_break_begins_a_new_shift() {
    let mut config = config();
    config.shift = millrace_contract::duration::Span::seconds(100);
    let hours = |from: i64, seconds: i64| (from..=from + seconds).map(|s| at(s, 50.0));
    // Two drives with a short stop between them are one shift.
    let short: Vec<_> = hours(0, 80).chain(hours(80 + 1000, 80)).collect();
    let trips = drive(&config, short);
    assert_eq!(trips.len(), 2);
    assert_eq!(
        (trips[0].exposure.long_shift, trips[1].exposure.long_shift),
        (0.0, 60.0)
    );
    let long: Vec<_> = hours(0, 80).chain(hours(80 + 2700, 80)).collect();
    assert_eq!(drive(&config, long)[1].exposure.long_shift, 0.0);
}

#[test]
fn fuel_by_its_rate_or_by_the_air() {
    let by = |fuel_rate: f64, air_flow: f64| {
        let readings = (0..=3600).map(move |s| Reading {
            fuel_rate,
            air_flow,
            ..at(s, 100.0)
        });
        drive(&config(), readings)[0].exposure
    };
    let rate = by(6.0, 50.0);
    assert!((rate.fuel - 6.0).abs() < 1e-6 && (rate.fuel_reference - 6.0).abs() < 1e-6);
    // 10 g/s of air: 36 kg an hour, 2.449 kg of petrol, 3.287 litres.
    assert!((by(f64::NAN, 10.0).fuel - 3.287).abs() < 1e-3);
    assert_eq!(by(f64::NAN, f64::NAN).fuel_distance, 0.0);
}
