use millrace_contract::{Severity, Telemetry};
use serde_json::json;

use super::RULE;
use crate::testing::{noise, refused, run, run_with, second, severities};

fn engine(rpm: f64, volts: f64, s: f64, e: &mut Telemetry) {
    e.engine_speed = Some(rpm);
    e.battery_voltage = Some(volts + 0.15 * noise(s));
}

#[test]
fn a_falling_voltage_is_told_ahead_and_then_critical() {
    let found = run(1200, |s, e| {
        engine(
            1500.0,
            (14.1 - (s - 300.0).max(0.0) / 60.0 * 0.5).max(9.0),
            s,
            e,
        );
    });
    assert_eq!(
        severities(&found),
        [Severity::Warning, Severity::Critical],
        "{found:#?}"
    );
    let warning = &found[0];
    assert_eq!(
        (
            warning.rule.as_str(),
            warning.signal.as_str(),
            warning.unit.as_str()
        ),
        (RULE, "battery_voltage", "V")
    );
    assert!((430..520).contains(&second(warning)), "{warning:?}");
    assert!(
        (warning.trend_per_minute.unwrap() + 0.5).abs() < 0.15,
        "{warning:?}"
    );
    assert!(warning.seconds_to_limit.is_some() && warning.text.contains("11.8 V in about"));
    assert_eq!(found[1].episode, warning.episode);
}

#[test]
fn a_low_voltage_without_a_fall_is_a_warning() {
    let found = run(600, |s, e| engine(1500.0, 12.1, s, e));
    assert_eq!(severities(&found), [Severity::Warning], "{found:#?}");
    assert_eq!(found[0].threshold, 12.4);
}

#[test]
fn cranking_and_a_standing_engine_are_not_judged() {
    let found = run(900, |s, e| match s as u32 % 300 {
        0..5 => engine(250.0, 9.5, s, e),
        5..200 => engine(850.0, 14.0, s, e),
        _ => engine(0.0, 11.6, s, e),
    });
    assert!(found.is_empty(), "{found:#?}");
    // Nor is what comes without an engine speed.
    assert!(run(600, |_, e| e.battery_voltage = Some(11.0)).is_empty());
}

#[test]
fn smart_alternators_dip() {
    // In steps and ramps, to the voltage of a resting battery, for a minute and more.
    for seconds in [20, 60, 150] {
        let found = run(3000, |s, e| {
            let into = s as u32 % 600;
            let volts = if (300..300 + seconds).contains(&into) {
                12.6
            } else {
                14.4
            };
            engine(2000.0, volts, s, e);
        });
        assert!(found.is_empty(), "{seconds} s: {found:#?}");
    }
}

#[test]
fn an_engine_that_just_started_has_its_time() {
    let found = run(100, |s, e| {
        engine(900.0, if s < 10.0 { 11.0 } else { 14.0 }, s, e);
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn one_event_a_minute_is_enough() {
    let found = run(3600, |s, e| {
        if s % 60.0 == 0.0 {
            engine(1500.0, 12.0, s, e);
        }
    });
    assert_eq!(severities(&found), [Severity::Warning], "{found:#?}");
}

#[test]
fn a_voltage_that_goes_on_after_the_engine_is_not_judged() {
    // The unit leaves out the engine speed once the engine is off, and rests for less than a minute and for longer.
    for off in [40, 70, 100, 600] {
        let found = run(6000, |s, e| {
            let into = s as u32 % (600 + off);
            e.battery_voltage = Some(if into < 600 { 14.1 } else { 12.1 } + 0.1 * noise(s));
            if into < 600 {
                e.engine_speed = Some(1500.0);
            }
        });
        assert!(found.is_empty(), "{off} s off: {found:#?}");
    }
}

#[test]
fn engine_and_battery_may_be_told_apart() {
    // In turn, each in an event of its own, every so many seconds.
    for step in [1, 5, 30] {
        let drive = |volts: f64| {
            run(1800, move |s, e| match s as u32 % (2 * step) {
                0 => e.engine_speed = Some(1500.0),
                turn if turn == step => e.battery_voltage = Some(volts + 0.1 * noise(s)),
                _ => {}
            })
        };
        assert_eq!(severities(&drive(12.0)), [Severity::Warning], "{step} s");
        assert!(drive(14.0).is_empty(), "{step} s");
    }
}

#[test]
fn a_state_of_the_older_form_goes_on() {
    let old = r#"{"window":[[441806400,14.1,1]],"running":[1767225600000000,1767225610000000],"episode":{}}"#;
    let state: super::State = serde_json::from_str(old).unwrap();
    assert!(state.unconfirmed.is_empty() && state.running.is_some());
}

#[test]
fn settings() {
    let truck = json!({"chargingFailure": {"criticalBelow": 23.6, "warningBelow": 24.8, "trendFrom": 26, "clearAt": 26.2}});
    assert!(run_with(truck.clone(), 600, |s, e| engine(900.0, 28.0, s, e)).is_empty());
    assert_eq!(
        run_with(truck, 600, |s, e| engine(900.0, 24.2, s, e)).len(),
        1
    );
    assert_eq!(
        refused(json!({"chargingFailure": {"warningBelow": 14}})),
        "rules.chargingFailure.warningBelow"
    );
    assert_eq!(
        refused(json!({"chargingFailure": {"engineRunSeconds": -5}})),
        "rules.chargingFailure.engineRunSeconds"
    );
}
