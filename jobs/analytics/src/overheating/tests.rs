use super::*;
use crate::{Detector, Rules, VehicleState, Zones};
use millrace_contract::Alert;

fn detector() -> Detector {
    Detector::new(Rules::default(), Zones::default()).unwrap()
}

const START: i64 = 1_767_225_600;

fn event(second: i64, sequence: u64, coolant: f64) -> Telemetry {
    let mut t = Telemetry::new(
        "car-1",
        sequence,
        Timestamp::from_second(START + second).unwrap(),
    );
    t.coolant_temperature = Some(coolant);
    t
}

/// Runs one reading a second through default rules.
fn run(readings: impl IntoIterator<Item = f64>) -> Vec<(usize, Alert)> {
    let (detector, mut state) = (detector(), VehicleState::default());
    readings
        .into_iter()
        .enumerate()
        .flat_map(|(i, c)| {
            let event = event(i as i64, i as u64, c);
            detector
                .observe(&mut state, &event, event.time)
                .into_iter()
                .map(move |a| (i, a))
        })
        .collect()
}

fn ramp(from: f64, to: f64, per_minute: f64) -> impl Iterator<Item = f64> {
    let steps = ((to - from).abs() / per_minute * 60.0) as usize;
    (0..=steps).map(move |i| (from + (to - from) * i as f64 / steps.max(1) as f64).round())
}

fn hold(value: f64, seconds: usize) -> impl Iterator<Item = f64> {
    std::iter::repeat_n(value, seconds)
}

#[test]
fn a_healthy_drive_is_silent() {
    let drive = ramp(18.0, 90.0, 12.0)
        .chain(hold(90.0, 600))
        .chain(ramp(90.0, 103.0, 4.0));
    assert!(run(drive.chain(hold(103.0, 300)).chain(ramp(103.0, 88.0, 6.0))).is_empty());
}

#[test]
fn a_ramp_is_warned_of_by_trend_and_then_critical_in_one_episode() {
    let found = run(hold(90.0, 60)
        .chain(ramp(90.0, 130.0, 5.0))
        .chain(hold(130.0, 600)));
    let severities: Vec<_> = found.iter().map(|(_, a)| a.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Critical]);
    let (_, warning) = &found[0];
    assert!(
        warning.value < 107.0 && warning.value >= 104.0,
        "{warning:?}"
    );
    assert!((warning.trend_per_minute.unwrap() - 5.0).abs() < 0.6);
    assert!(
        (warning.seconds_to_limit.unwrap() - 120.0).abs() < 25.0,
        "{warning:?}"
    );
    assert_eq!(warning.threshold, 115.0);
    assert!(
        warning.text.starts_with("Engine coolant at 10"),
        "{}",
        warning.text
    );
    assert!(
        warning.text.contains("°C a minute; 115 °C in about"),
        "{}",
        warning.text
    );
    assert_eq!(warning.unit, "Cel");
    let (_, critical) = &found[1];
    assert_eq!(critical.episode, warning.episode);
    assert_eq!(
        critical.id,
        format!("car-1/overheating/{}/critical", critical.episode)
    );
    assert!(critical.value < 116.0);
}

#[test]
fn a_hot_level_without_trend_is_a_warning() {
    let found = run(hold(108.0, 300));
    assert_eq!(found.len(), 1);
    let (at, alert) = &found[0];
    assert!(*at <= 12, "after {at} s");
    assert_eq!(
        (alert.severity, alert.threshold),
        (Severity::Warning, 107.0)
    );
    assert_eq!(alert.text, "Engine coolant at 108 °C; the limit is 107 °C");
}

#[test]
fn single_wild_readings_are_not_believed() {
    let wild = (0..1200).map(|i| if i % 40 == 7 { 150.0 } else { 90.0 });
    assert!(run(wild).is_empty());
}

#[test]
fn swings_around_the_limit_are_one_episode_and_a_later_one_is_another() {
    let swings = || (0..10).flat_map(|_| ramp(96.0, 109.0, 6.0).chain(ramp(109.0, 96.0, 6.0)));
    let found = run(swings().chain(hold(90.0, 700)).chain(swings()));
    let warnings: Vec<_> = found
        .iter()
        .filter(|(_, a)| a.severity == Severity::Warning)
        .collect();
    assert_eq!(warnings.len(), 2, "{found:#?}");
    assert_ne!(warnings[0].1.episode, warnings[1].1.episode);
}

#[test]
fn a_drive_after_a_pause_begins_a_new_episode() {
    let mut state = VehicleState::default();
    let detector = detector();
    let mut found = Vec::new();
    for drive in 0..2 {
        let readings = hold(60.0, 30).chain(ramp(100.0, 120.0, 10.0));
        for (i, c) in readings.enumerate() {
            let event = event(
                drive * 86_400 + i as i64,
                drive as u64 * 10_000 + i as u64,
                c,
            );
            found.extend(detector.observe(&mut state, &event, event.time));
        }
    }
    let episodes: std::collections::BTreeSet<_> = found.iter().map(|a| &a.episode).collect();
    assert_eq!((found.len(), episodes.len()), (4, 2));
}

#[test]
fn one_reading_a_minute_is_enough() {
    let detector = detector();
    let mut state = VehicleState::default();
    let found: Vec<_> = (0..60)
        .flat_map(|m| {
            let event = event(m * 60, m as u64, 90.0 + m as f64);
            detector.observe(&mut state, &event, event.time)
        })
        .collect();
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn models_have_their_own_thresholds_and_the_rule_can_be_switched_off() {
    let hot = |model: Option<&str>, rules: &Rules| {
        let detector = Detector::new(rules.clone(), Zones::default()).unwrap();
        let mut state = VehicleState::default();
        (0..60)
            .flat_map(|i| {
                let event = Telemetry {
                    model: model.map(str::to_owned),
                    ..event(i, i as u64, 103.0)
                };
                detector.observe(&mut state, &event, event.time)
            })
            .count()
    };
    assert_eq!(hot(Some("Toyota Etios"), &Rules::default()), 1);
    assert_eq!(hot(None, &Rules::default()), 0);
    let off = serde_json::json!({"models": {"Toyota Etios": {"overheating": {"enabled": false}}}});
    assert_eq!(
        hot(Some("Toyota Etios"), &Rules::from_value(off).unwrap()),
        0
    );
}
