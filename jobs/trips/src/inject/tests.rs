use millrace_contract::Telemetry;

use super::*;
use crate::simulate::{SimParams, simulate};

fn injected(trip: &Trip, text: &str) -> Trip {
    let mut trip = trip.clone();
    inject(&mut trip, &text.parse().unwrap()).unwrap();
    trip
}

/// A trip with coolant, speed and engine speed only.
fn bare() -> Trip {
    let mut trip = simulate(&SimParams::default());
    for sample in &mut trip.samples {
        let full = sample.clone();
        *sample = Telemetry::new(full.vehicle, full.sequence, full.time);
        sample.coolant_temperature = full.coolant_temperature;
        sample.speed = full.speed;
        sample.engine_speed = full.engine_speed;
    }
    trip
}

#[test]
fn grammar() {
    let i = Injection::parse("coolant-ramp@300:4.5").unwrap();
    assert_eq!(
        (i.fault, i.seconds, i.rate),
        (Fault::CoolantRamp, 300.0, 4.5)
    );
    assert_eq!(Injection::parse("coolant-ramp@0").unwrap().rate, 5.0);
    let i = Injection::parse("slow-puncture@300:8:front_right").unwrap();
    assert_eq!((i.rate, i.wheel), (8.0, Wheel::FrontRight));
    let i = Injection::parse("dtc@300:P0301+U0100").unwrap();
    assert_eq!(i.codes, ["P0301", "U0100"]);
    for fault in Fault::ALL {
        let i = Injection::parse(&format!("{}@60", fault.name())).unwrap();
        assert_eq!(i, Injection::new(*fault, 60.0));
        assert_eq!(i.to_string().parse::<Injection>().unwrap(), i);
    }
    for (text, part) in [
        ("coolant-ramp", "no @"),
        ("coolant-ramp@", "SECONDS"),
        ("coolant-ramp@-1", "SECONDS"),
        ("coolant-ramp@x:1", "SECONDS"),
        ("coolant-ramp@1:", "RATE"),
        ("coolant-ramp@1:0", "RATE"),
        ("coolant-ramp@1:NaN", "RATE"),
        ("coolant-ramp@1:5:rear_left", "no OPTION"),
        ("slow-puncture@1:5:spare", "not a wheel"),
        ("slow-puncture@1:5:rear_left:x", "too many"),
        ("dtc@1:X0301", "no trouble code"),
        ("dtc@1:", "no trouble code"),
        ("flat-tyre@1", "unknown fault"),
    ] {
        let e = Injection::parse(text).unwrap_err();
        assert_eq!((e.field.as_str(), e.value.as_str()), ("inject", text));
        assert!(e.problem.contains(part), "{e}");
    }
}

#[test]
fn every_fault_is_explained() {
    let names: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
    let all: Vec<&str> = Fault::ALL.iter().map(|f| f.name()).collect();
    assert_eq!(names, all);
}

#[test]
fn the_ramp_begins_in_time_climbs_at_its_rate_and_saturates() {
    let healthy = simulate(&SimParams::default());
    let trip = injected(&healthy, "coolant-ramp@100:6");
    assert_eq!(trip.samples[..=100], healthy.samples[..=100]);
    let coolant = |t: &Trip, i: usize| t.samples[i].coolant_temperature.unwrap();
    assert!((coolant(&trip, 160) - coolant(&healthy, 160) - 6.0).abs() < 1e-9);
    assert!(
        trip.samples
            .iter()
            .all(|s| s.coolant_temperature.unwrap() <= 130.0)
    );
    assert_eq!(coolant(&trip, 1199), 130.0);
    assert_eq!(trip.truth[0].rule, "overheating");
}

#[test]
fn an_engine_without_a_coolant_sensor_gets_a_healthy_one() {
    let mut bare = bare();
    for sample in &mut bare.samples {
        sample.coolant_temperature = None;
        sample.intake_air_temperature = Some(10.0);
    }
    let ramp = injected(&bare, "coolant-ramp@900:6");
    let coolant: Vec<f64> = ramp
        .samples
        .iter()
        .filter_map(|s| s.coolant_temperature)
        .collect();
    assert_eq!(coolant.len(), bare.samples.len());
    // It starts as cold as outside, is warm after some minutes, and is regulated then.
    assert!((8.0..12.0).contains(&coolant[0]), "{}", coolant[0]);
    let warm = coolant.iter().position(|c| *c >= 80.0).unwrap();
    assert!((180..660).contains(&warm), "{warm}");
    assert!(
        coolant[warm + 120..900]
            .iter()
            .all(|c| (82.0..94.0).contains(c))
    );
    assert!(
        (coolant[1199] - 88.0 - 30.0).abs() < 6.0,
        "{}",
        coolant[1199]
    );
    assert!(coolant[..900].iter().all(|c| c.fract() == 0.0));
    assert_eq!(injected(&bare, "coolant-ramp@900:6").samples, ramp.samples);
    let cold = injected(&bare, "coolant-cold@0");
    assert!(
        cold.samples
            .iter()
            .all(|s| s.coolant_temperature.unwrap() < 60.0)
    );
    // A vehicle without an engine has no coolant.
    for sample in &mut bare.samples {
        sample.engine_speed = None;
        sample.intake_air_temperature = None;
    }
    for fault in ["coolant-ramp@900", "coolant-cold@900"] {
        let e = inject(&mut bare.clone(), &fault.parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            e.contains("combustion engine") && e.contains("engine_speed"),
            "{e}"
        );
    }
}

#[test]
fn an_open_thermostat_keeps_cold_and_cools() {
    let coolant = |t: &Trip, i: usize| t.samples[i].coolant_temperature.unwrap();
    let cold = injected(&simulate(&SimParams::default()), "coolant-cold@0");
    assert!((0..1200).all(|i| coolant(&cold, i) < 60.0));
    let warm = simulate(&SimParams {
        coolant_at_start: Some(88.0),
        ..SimParams::default()
    });
    let cooled = injected(&warm, "coolant-cold@300:50");
    assert!((coolant(&cooled, 301) - coolant(&warm, 301)).abs() < 1.0);
    assert!(coolant(&cooled, 1199) < 57.0, "{}", coolant(&cooled, 1199));
}

#[test]
fn a_missing_signal_is_healthy_until_the_fault() {
    let volts = |t: &Trip| -> Vec<f64> {
        t.samples
            .iter()
            .map(|s| s.battery_voltage.unwrap())
            .collect()
    };
    let dead = injected(&bare(), "charging-failure@600:1");
    let (before, after) = (&volts(&dead)[30..600], volts(&dead)[1199]);
    assert!(before.iter().all(|v| (13.7..14.5).contains(v)));
    let mean = before.iter().sum::<f64>() / before.len() as f64;
    let deviation =
        (before.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / before.len() as f64).sqrt();
    assert!(
        (mean - 14.1).abs() < 0.03 && (0.07..0.13).contains(&deviation),
        "{mean} {deviation}"
    );
    assert_eq!(after, 8.0);

    let leak = injected(&bare(), "fuel-leak@600:3");
    let fuel = |i: usize| leak.samples[i].fuel_level.unwrap();
    assert!((59.0..61.0).contains(&fuel(0)) && (54.0..60.5).contains(&fuel(599)));
    assert!((fuel(599) - fuel(1199) - 30.0).abs() < 4.0);

    let flat = injected(&bare(), "slow-puncture@600:8:front_right");
    let pressure = |i: usize, f: fn(&Telemetry) -> Option<f64>| f(&flat.samples[i]).unwrap();
    assert!((pressure(0, |s| s.tyre_pressure_front_right) - 230.0).abs() < 2.0);
    // Warmed by driving, and only then leaking.
    assert!(pressure(599, |s| s.tyre_pressure_front_right) > 230.0);
    assert!(pressure(1199, |s| s.tyre_pressure_front_right) < 175.0);
    for other in [
        |s: &Telemetry| s.tyre_pressure_front_left,
        |s: &Telemetry| s.tyre_pressure_rear_left,
        |s: &Telemetry| s.tyre_pressure_rear_right,
    ] {
        assert!(pressure(1199, other) > 230.0);
    }

    let lamp = injected(&bare(), "dtc@600:P0301+P0420");
    assert_eq!(lamp.samples[599].mil_on, Some(false));
    assert_eq!(lamp.samples[599].dtc_list.as_deref(), Some(&[][..]));
    assert_eq!(lamp.samples[600].mil_on, Some(true));
    assert_eq!(lamp.samples[600].dtc_count, Some(2.0));
}

#[test]
fn a_fault_touches_its_own_signals_only_and_repeats() {
    let own: &[(&str, &[&str])] = &[
        ("coolant-ramp", &["coolant_temperature"]),
        ("coolant-cold", &["coolant_temperature"]),
        ("charging-failure", &["battery_voltage"]),
        ("slow-puncture", &["tyre_pressure_", "tyre_temperature_"]),
        ("fuel-leak", &["fuel_level"]),
        ("dtc", &["dtc_count"]),
    ];
    let plain = bare();
    let all = Fault::ALL.iter().map(|f| format!("{}@600", f.name()));
    let together = all.fold(bare(), |trip, text| injected(&trip, &text));
    for (name, fields) in own {
        let alone = injected(&bare(), &format!("{name}@600"));
        assert_eq!(alone, injected(&bare(), &format!("{name}@600")));
        // Across the injection.
        for (i, sample) in alone.samples.iter().enumerate().take(650) {
            for field in millrace_contract::FIELDS {
                let value = sample.number(field.name);
                if fields.iter().any(|f| field.name.starts_with(f)) {
                    // Other faults at the same time change nothing in it.
                    let shared = field.name == "coolant_temperature";
                    assert!(
                        shared || value == together.samples[i].number(field.name),
                        "{}",
                        field.name
                    );
                } else {
                    assert_eq!(
                        value,
                        plain.samples[i].number(field.name),
                        "{name}: {}",
                        field.name
                    );
                }
            }
        }
    }
}

#[test]
fn whatever_is_injected_the_gateway_accepts() {
    for trip in [bare(), simulate(&SimParams::default())] {
        for fault in Fault::ALL {
            for mut sample in injected(&trip, &format!("{}@100", fault.name())).samples {
                let before = sample.clone();
                millrace_contract::codec::check(&mut sample).unwrap();
                assert_eq!(sample, before);
            }
        }
    }
}

#[test]
fn a_trip_that_is_too_short_is_told() {
    let mut trip = simulate(&SimParams {
        duration_seconds: 60,
        ..SimParams::default()
    });
    inject(&mut trip, &"coolant-ramp@100".parse().unwrap()).unwrap();
    assert!(trip.truth.is_empty() && trip.notes[0].contains("ends after 59 s"));
}
