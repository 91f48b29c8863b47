//! What the unit tests of rules share.

use jiff::Timestamp;
use millrace_contract::{Alert, Severity, Telemetry};
use serde_json::Value;

use crate::{Detector, Rules, VehicleState, Zones};

const START: i64 = 1_767_225_600;

/// An event that many seconds after the start, with nothing measured.
pub(crate) fn event(second: usize) -> Telemetry {
    let time = Timestamp::from_second(START + second as i64).unwrap();
    Telemetry::new("car-1", second as u64, time)
}

/// One event a second, filled in by `measure`, through the default rules.
pub(crate) fn run(seconds: usize, measure: impl Fn(f64, &mut Telemetry)) -> Vec<Alert> {
    run_with(serde_json::json!({}), seconds, measure)
}

pub(crate) fn run_with(
    rules: Value,
    seconds: usize,
    measure: impl Fn(f64, &mut Telemetry),
) -> Vec<Alert> {
    let rules = Rules::from_value(rules).unwrap();
    let detector = Detector::new(rules, Zones::default()).unwrap();
    let mut state = VehicleState::default();
    (0..seconds)
        .flat_map(|second| {
            let mut event = event(second);
            measure(second as f64, &mut event);
            detector.observe(&mut state, &event, event.time)
        })
        .collect()
}

/// Seconds after the start.
pub(crate) fn second(alert: &Alert) -> i64 {
    alert.event_time.as_second() - START
}

pub(crate) fn severities(alerts: &[Alert]) -> Vec<Severity> {
    alerts.iter().map(|a| a.severity).collect()
}

/// A repeatable number between -1 and 1 for each second.
pub(crate) fn noise(second: f64) -> f64 {
    (second * 12.9898).sin() * 43_758.547 % 1.0
}

/// The field that makes a section of the rules invalid.
pub(crate) fn refused(rules: Value) -> String {
    Rules::from_value(rules).unwrap_err().field
}
