use millrace_contract::Severity;
use serde_json::json;

use super::RULE;
use crate::testing::{noise, refused, run, run_with, second, severities};

#[test]
fn a_sustained_level_is_told_with_its_range() {
    let found = run(1200, |s, e| {
        e.fuel_level = Some(20.0 - s / 60.0 + 3.0 * noise(s));
    });
    assert_eq!(severities(&found), [Severity::Info], "{found:#?}");
    let alert = &found[0];
    assert_eq!(alert.rule, RULE);
    // 10 % of 50 l at 8 l/100 km.
    assert_eq!(
        alert.details.range_km,
        Some((alert.value / 100.0 * 50.0 / 8.0 * 100.0).round())
    );
    assert!((580..700).contains(&second(alert)), "{alert:?}");
    assert!(
        alert.text.contains("% of fuel left, for about 6"),
        "{}",
        alert.text
    );
}

#[test]
fn sloshing_is_not() {
    let found = run(3600, |s, e| {
        let dip = if s as u32 % 60 < 25 { 10.0 } else { 0.0 };
        e.fuel_level = Some(14.0 - dip);
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_consumption_that_was_seen_counts() {
    let found = run(3600, |s, e| {
        e.fuel_level = Some(if s < 3000.0 { 30.0 } else { 9.0 });
        // 6 l/h at 120 km/h: 5 l/100 km.
        e.fuel_rate = Some(6.0);
        e.speed = Some(120.0);
    });
    let range = found[0].details.range_km.unwrap();
    assert!((range - 90.0).abs() <= 1.0, "{range}");
}

#[test]
fn refuelled_and_empty_again_is_another_episode() {
    let found = run(8000, |s, e| {
        e.fuel_level = Some(if (1000.0..2000.0).contains(&s) {
            90.0
        } else {
            6.0
        });
    });
    let episodes: std::collections::BTreeSet<_> = found.iter().map(|a| &a.episode).collect();
    assert_eq!((found.len(), episodes.len()), (2, 2));
    // After the cool-down: half an hour from the end of the first.
    assert!(second(&found[1]) >= 1000 + 1800, "{found:#?}");
}

#[test]
fn settings() {
    let rules = json!({"fuelLow": {"lowAt": 20, "clearAt": 25, "tankLitres": 100, "litresPer100Kilometres": 25}});
    let found = run_with(rules, 300, |_, e| e.fuel_level = Some(18.0));
    assert_eq!(found[0].details.range_km, Some(72.0));
    assert_eq!(
        refused(json!({"fuelLow": {"lowAt": 20}})),
        "rules.fuelLow.lowAt"
    );
    assert_eq!(
        refused(json!({"fuelLow": {"tankLitres": 0}})),
        "rules.fuelLow.tankLitres"
    );
}
