use millrace_contract::{Severity, Telemetry};
use serde_json::{Value, json};

use super::*;
use crate::testing::{noise, refused, run, run_with, second, severities};

/// What a sensor tells apart.
fn measured(pressure: f64) -> f64 {
    (pressure / 1.379).round() * 1.379
}

/// Sets all wheels, filled to `filled` kPa at 20 °C, the air in them having `temperature`.
fn tyres(filled: [f64; 4], temperature: f64, s: f64, e: &mut Telemetry) {
    let pressure = |i: usize| {
        let absolute = (filled[i] + ATMOSPHERE) * (temperature + KELVIN) / (REFERENCE + KELVIN);
        Some(measured(
            absolute - ATMOSPHERE + 0.5 * noise(s + i as f64 * 0.3),
        ))
    };
    e.tyre_pressure_front_left = pressure(0);
    e.tyre_pressure_front_right = pressure(1);
    e.tyre_pressure_rear_left = pressure(2);
    e.tyre_pressure_rear_right = pressure(3);
}

fn temperatures(temperature: f64, e: &mut Telemetry) {
    let shown = Some(temperature.round());
    e.tyre_temperature_front_left = shown;
    e.tyre_temperature_front_right = shown;
    e.tyre_temperature_rear_left = shown;
    e.tyre_temperature_rear_right = shown;
}

/// The rear left tyre loses so many kPa a minute from 600 s on.
fn leak(rate: f64, s: f64) -> [f64; 4] {
    let lost = (s - 600.0).max(0.0) / 60.0 * rate;
    [230.0, 230.0, (230.0 - lost).max(30.0), 230.0]
}

#[test]
fn the_gas_law() {
    assert!((at_reference(230.0, 20.0) - 230.0).abs() < 1e-9);
    assert!((at_reference(252.6, 40.0) - 230.0).abs() < 0.1);
    assert!((at_reference(185.0, -20.0) - 230.3).abs() < 0.5);
}

#[test]
fn a_leak_is_told_with_its_wheel_and_time_and_becomes_critical() {
    for rate in [1.0, 4.0, 8.0, 20.0] {
        let found = run(9000, |s, e| {
            tyres(leak(rate, s), 25.0, s, e);
            temperatures(25.0, e);
        });
        // Five minutes are left at 20 kPa a minute: critical at once.
        let expected: &[Severity] = if rate < 15.0 {
            &[Severity::Warning, Severity::Critical]
        } else {
            &[Severity::Critical]
        };
        assert_eq!(severities(&found), expected, "{rate}: {found:#?}");
        let warning = &found[0];
        assert_eq!(warning.rule, puncture::RULE);
        assert_eq!(warning.details.wheel.as_deref(), Some("rear_left"));
        assert_eq!(warning.signal, "tyre_pressure_rear_left");
        assert!(
            (600..1500).contains(&second(warning)),
            "{rate}: {warning:?}"
        );
        let trend = -warning.trend_per_minute.unwrap();
        assert!((trend / rate - 1.0).abs() < 0.4, "{rate}: {warning:?}");
        let left = (warning.value - 150.0) / trend * 60.0;
        assert!(
            (warning.seconds_to_limit.unwrap() / left - 1.0).abs() < 0.1,
            "{warning:?}"
        );
        assert!(
            warning.text.contains("Rear left tyre at 2")
                && warning.text.contains("kPa a minute; 150 kPa in about")
        );
        assert!(found.iter().all(|a| a.episode == warning.episode));
    }
}

#[test]
fn a_tyre_that_bursts_is_one_episode_of_one_rule() {
    for (sent, rate) in [
        (1, 60.0),
        (1, 80.0),
        (1, 100.0),
        (1, 200.0),
        (1, 1000.0),
        (5, 90.0),
        (120, 90.0),
        (5, 300.0),
    ] {
        let found = run(2400, |s, e| {
            if (s as u32).is_multiple_of(sent) {
                tyres(leak(rate, s), 25.0, s, e);
                temperatures(25.0, e);
            }
        });
        let episodes: std::collections::BTreeSet<_> =
            found.iter().map(|a| (&a.rule, &a.episode)).collect();
        assert_eq!(episodes.len(), 1, "{rate}: {found:#?}");
        assert_eq!(found[0].rule, puncture::RULE, "{rate}");
        assert!(
            (600..720 + 2 * i64::from(sent)).contains(&second(&found[0])),
            "{rate}: {found:#?}"
        );
        assert_eq!(
            severities(&found).last(),
            Some(&Severity::Critical),
            "{rate}"
        );
    }
}

#[test]
fn what_went_in_a_pause_is_not_lost_suddenly() {
    // Nearly low before, low after it.
    for (minutes, lost) in [(10.0, 12.0), (25.0, 12.0), (25.0, 16.0)] {
        let rules = json!({"tyrePressureLow": {"recommendedFront": 230, "recommendedRear": 230}});
        let end = 3600.0 + minutes * 60.0;
        let found = run_with(rules, 7200, |s, e| {
            let rear_left = if s < 3600.0 { 190.0 } else { 190.0 - lost };
            if !(3600.0..end).contains(&s) {
                tyres([230.0, 230.0, rear_left, 230.0], 20.0, s, e);
                temperatures(20.0, e);
            }
        });
        assert_eq!(
            severities(&found),
            [Severity::Warning],
            "{minutes} min: {found:#?}"
        );
        assert!(
            found[0].trend_per_minute.is_none_or(|t| t > -2.0),
            "{found:#?}"
        );
    }
}

#[test]
fn two_leaking_tyres_are_two_episodes() {
    let found = run(2400, |s, e| {
        let mut filled = leak(8.0, s);
        filled[0] = leak(8.0, s)[2];
        tyres(filled, 20.0, s, e);
        temperatures(20.0, e);
    });
    let episodes: std::collections::BTreeSet<_> = found
        .iter()
        .map(|a| (&a.details.wheel, &a.episode))
        .collect();
    assert_eq!((found.len(), episodes.len()), (4, 2), "{found:#?}");
    let ids: std::collections::BTreeSet<_> = found.iter().map(|a| &a.id).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn warming_and_cooling_are_no_leak() {
    // An hour on the motorway, then into the cold: with tyre temperatures, with the air's, with none.
    let air = |s: f64| {
        if s < 3600.0 {
            20.0 + 25.0 * (s / 3600.0)
        } else {
            45.0 - (s - 3600.0) / 60.0
        }
    };
    for sensors in 0..3 {
        let found = run(7200, |s, e| {
            tyres([230.0; 4], air(s), s, e);
            match sensors {
                0 => temperatures(air(s), e),
                1 => e.ambient_temperature = Some(10.0),
                _ => {}
            }
        });
        assert!(found.is_empty(), "{sensors}: {found:#?}");
    }
}

#[test]
fn a_low_tyre_is_told_against_what_is_recommended() {
    let rules = json!({"tyrePressureLow": {"recommendedFront": 230, "recommendedRear": 280}});
    let found = run_with(rules, 600, |s, e| {
        tyres([225.0, 160.0, 260.0, 230.0], 20.0, s, e);
        e.ambient_temperature = Some(20.0);
    });
    assert_eq!(severities(&found), [Severity::Warning], "{found:#?}");
    let alert = &found[0];
    assert_eq!((alert.rule.as_str(), alert.threshold), (low::RULE, 184.0));
    assert_eq!(alert.details.wheel.as_deref(), Some("front_right"));
    assert_eq!(
        alert.text,
        "Front right tyre at 160 kPa; the limit is 184 kPa"
    );
}

#[test]
fn far_too_low_is_critical_without_a_recommendation() {
    let found = run(600, |s, e| tyres([230.0, 230.0, 230.0, 100.0], 20.0, s, e));
    assert_eq!(severities(&found), [Severity::Critical], "{found:#?}");
    assert_eq!(found[0].rule, low::RULE);
}

#[test]
fn frost_alone_is_no_low_tyre() {
    // -25 °C: 230 kPa at 20 °C read 179.
    let rules = || json!({"tyrePressureLow": {"recommendedFront": 230, "recommendedRear": 230}});
    assert!(run_with(rules(), 600, |s, e| tyres([230.0; 4], -25.0, s, e)).is_empty());
    let one = run_with(rules(), 600, |s, e| {
        tyres([230.0, 230.0, 200.0, 230.0], -25.0, s, e)
    });
    assert!(one.is_empty(), "13 % less is not 20 %: {one:#?}");
    let known = run_with(rules(), 600, |s, e| {
        tyres([230.0, 230.0, 170.0, 230.0], -25.0, s, e);
        e.ambient_temperature = Some(-25.0);
    });
    assert_eq!(severities(&known), [Severity::Warning], "{known:#?}");
}

#[test]
fn sensors_that_send_every_two_minutes_find_a_leak() {
    let found = run(9000, |s, e| {
        if s % 120.0 == 0.0 {
            tyres(leak(2.0, s), 20.0, s, e);
            temperatures(20.0, e);
        }
    });
    assert_eq!(
        found.first().map(|a| a.rule.as_str()),
        Some(puncture::RULE),
        "{found:#?}"
    );
    assert!(second(&found[0]) < 2400, "{found:#?}");
}

#[test]
fn air_that_went_in_a_pause_is_a_leak() {
    let found = run(1800, |s, e| {
        if !(500.0..1100.0).contains(&s) {
            tyres(leak(4.0, s), 20.0, s, e);
        }
    });
    assert_eq!(
        found.first().map(|a| a.rule.as_str()),
        Some(puncture::RULE),
        "{found:#?}"
    );
    assert!(second(&found[0]) < 1140, "{found:#?}");
}

/// Events of ten minutes, a pause of so many hours, and of so many minutes, through the default rules; `lost` is
/// what the rear left tyre lost since the pause began, at so many seconds after its end.
fn after_a_pause(
    hours: i64,
    minutes: i64,
    lost: impl Fn(f64) -> f64,
) -> Vec<millrace_contract::Alert> {
    let detector = crate::Detector::new(crate::Rules::default(), crate::Zones::default()).unwrap();
    let mut state = crate::VehicleState::default();
    let mut found = Vec::new();
    for s in 0..600 + minutes * 60 {
        let mut event = crate::testing::event(s as usize);
        let mut filled = [250.0; 4];
        if s >= 600 {
            event.time += jiff::SignedDuration::from_hours(hours);
            filled[2] -= lost((s - 600) as f64);
        }
        tyres(filled, 20.0, s as f64, &mut event);
        temperatures(20.0, &mut event);
        found.extend(detector.observe(&mut state, &event, event.time));
    }
    found
}

#[test]
fn what_went_in_a_night_is_not_lost_within_a_minute() {
    for hours in [3, 13, 24, 80] {
        let found = after_a_pause(hours, 60, |_| 18.0);
        assert!(found.is_empty(), "{hours} h: {found:#?}");
    }
}

#[test]
fn a_leak_right_after_a_long_pause_is_found() {
    for (hours, before) in [(13, 0.0), (24, 0.0), (13, 18.0), (24, 18.0)] {
        let found = after_a_pause(hours, 30, |s| before + s / 60.0 * 4.0);
        let rules: Vec<&str> = found.iter().map(|a| a.rule.as_str()).collect();
        assert_eq!(
            rules.first(),
            Some(&puncture::RULE),
            "{hours} h: {found:#?}"
        );
        let late = second(&found[0]) - hours * 3600;
        assert!((600..900).contains(&late), "{hours} h: {found:#?}");
        let trend = found[0].trend_per_minute.unwrap();
        assert!((-6.0..-2.0).contains(&trend), "{hours} h: {found:#?}");
    }
}

#[test]
fn a_wheel_of_the_older_form_can_be_read() {
    let old = r#"{"window":[],"baseline":[230.5,1767225600000000],"low":{},"puncture":{}}"#;
    let wheel: Wheel = serde_json::from_str(old).unwrap();
    assert_eq!(wheel.baseline, Some((230.5, 1_767_225_600_000_000)));
}

#[test]
fn single_wild_readings_are_not_believed() {
    let found = run(2400, |s, e| {
        tyres([230.0; 4], 20.0, s, e);
        if s as u32 % 97 == 5 {
            e.tyre_pressure_front_left = Some(40.0);
        }
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn settings() {
    let off = json!({"slowPuncture": {"enabled": false}});
    let found = run_with(off, 3600, |s, e| tyres(leak(8.0, s), 20.0, s, e));
    assert!(
        found.iter().all(|a| a.rule == low::RULE) && found.len() == 2,
        "{found:#?}"
    );
    let refusals: [(Value, &str); 4] = [
        (
            json!({"tyrePressureLow": {"criticalShare": 0.9}}),
            "rules.tyrePressureLow.criticalShare",
        ),
        (
            json!({"tyrePressureLow": {"recommendedFront": 5}}),
            "rules.tyrePressureLow.recommendedFront",
        ),
        (
            json!({"slowPuncture": {"trendAtLeast": 0}}),
            "rules.slowPuncture.trendAtLeast",
        ),
        (
            json!({"models": {"Van": {"slowPuncture": {"limit": "low"}}}}),
            "rules.models.Van.slowPuncture.limit",
        ),
    ];
    for (rules, field) in refusals {
        assert_eq!(refused(rules), field);
    }
}
