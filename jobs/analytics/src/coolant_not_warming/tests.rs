use millrace_contract::Telemetry;
use serde_json::json;

use super::RULE;
use crate::testing::{refused, run, run_with, second};

/// A drive at 50 km/h with the coolant on its way to `to`, half of it in 4 minutes.
fn drive(from: f64, to: f64, ambient: f64) -> impl Fn(f64, &mut Telemetry) {
    move |s, e| {
        e.engine_speed = Some(2000.0);
        e.speed = Some(50.0);
        e.ambient_temperature = Some(ambient);
        e.coolant_temperature = Some((to - (to - from) * (-s / 346.0).exp()).round());
    }
}

#[test]
fn an_open_thermostat_is_told_once() {
    let found = run(3000, drive(20.0, 58.0, 20.0));
    assert_eq!(found.len(), 1, "{found:#?}");
    let alert = &found[0];
    assert_eq!((alert.rule.as_str(), alert.threshold), (RULE, 70.0));
    assert!((720..1100).contains(&second(alert)), "{alert:?}");
    assert!(alert.text.contains("still at 5"), "{}", alert.text);
}

#[test]
fn a_healthy_engine_is_not() {
    assert!(run(3000, drive(20.0, 90.0, 20.0)).is_empty());
    assert!(run(3000, drive(-15.0, 85.0, -15.0)).is_empty());
}

#[test]
fn frost_gives_more_time() {
    // 25 minutes at -20 °C, and still rising a little: not yet.
    assert!(run(1500, drive(-20.0, 60.0, -20.0)).is_empty());
    assert_eq!(run(3000, drive(-20.0, 60.0, -20.0)).len(), 1);
}

#[test]
fn standing_and_rolling_warm_nothing() {
    let standing = run(3600, |s, e| {
        drive(0.0, 55.0, 0.0)(s, e);
        e.speed = Some(0.0);
    });
    assert!(standing.is_empty(), "{standing:#?}");
    let rolling = run(3600, |s, e| {
        drive(0.0, 55.0, 0.0)(s, e);
        e.engine_load = Some(2.0);
    });
    assert!(rolling.is_empty(), "{rolling:#?}");
}

#[test]
fn an_engine_that_is_off_is_not_judged_and_may_cool() {
    let found = run(7200, |s, e| {
        if s < 1800.0 {
            drive(20.0, 90.0, 20.0)(s, e);
        } else if s < 5400.0 {
            e.engine_speed = Some(0.0);
            e.coolant_temperature = Some(90.0 - (s - 1800.0) / 60.0);
        } else {
            drive(30.0, 90.0, 20.0)(s - 5400.0, e);
        }
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn without_an_engine_speed_nothing_is_said() {
    let found = run(3000, |s, e| {
        drive(20.0, 58.0, 20.0)(s, e);
        e.engine_speed = None;
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_thermostat_that_opens_on_the_way_is_found() {
    let found = run(4000, |s, e| {
        drive(20.0, 90.0, 20.0)(s, e);
        if s >= 2000.0 {
            let cold = 57.0 + 33.0 * (-(s - 2000.0) / 240.0).exp();
            e.coolant_temperature = e.coolant_temperature.map(|c| c.min(cold.round()));
        }
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!((2200..2500).contains(&second(&found[0])), "{found:#?}");
}

#[test]
fn settings() {
    let off = json!({"coolantNotWarming": {"enabled": false}});
    assert!(run_with(off, 3000, drive(20.0, 58.0, 20.0)).is_empty());
    assert_eq!(
        refused(json!({"coolantNotWarming": {"warmAt": 80}})),
        "rules.coolantNotWarming.warmAt"
    );
    assert_eq!(
        refused(json!({"models": {"Van": {"coolantNotWarming": {"workSeconds": 0}}}})),
        "rules.models.Van.coolantNotWarming.workSeconds"
    );
}
