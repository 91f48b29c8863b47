//! Rules and trends over telemetry, as pure functions. No I/O.
//!
//! [`observe`] takes one event and what is known of its vehicle, and gives the alerts it raises:
//! ```
//! use millrace_analytics::{Rules, VehicleState, observe};
//! use millrace_contract::Telemetry;
//!
//! let now = jiff::Timestamp::now();
//! let mut state = VehicleState::default();
//! let mut event = Telemetry::new("car-1", 0, now);
//! event.coolant_temperature = Some(90.0);
//! assert!(observe(&Rules::default(), &mut state, &event, now).is_empty());
//! ```

pub mod order;
pub mod overheating;
mod rules;
mod window;

use jiff::Timestamp;
use millrace_contract::{Alert, Telemetry};
use serde::{Deserialize, Serialize};

pub use rules::{ModelRules, Rules};

/// What detection knows of one vehicle. Bounded: under 16 KiB as JSON, whatever is observed.
///
/// The same events give the same alerts when the state is written and read again in between.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VehicleState {
    order: order::Order,
    overheating: overheating::State,
}

/// Takes in one event of a vehicle and gives the alerts that it raises, `detected_at` being `now`.
///
/// - A repeated (vehicle, sequence) changes nothing.
/// - An event that comes late by no more than `rules.lateness_seconds` is put where it belongs; an older one is
///   ignored. Which episodes are found stays the same under such disorder; the event time of an alert, and
///   with it the episode's id, may shift by the disorder.
/// - One alert per rule, episode and severity; the second, more severe one carries the same episode.
pub fn observe(
    rules: &Rules,
    state: &mut VehicleState,
    event: &Telemetry,
    now: Timestamp,
) -> Vec<Alert> {
    let lateness = i64::from(rules.lateness_seconds) * 1_000_000;
    match state
        .order
        .admit(event.sequence, event.time.as_microsecond(), lateness)
    {
        order::Admission::Ignored => return Vec::new(),
        order::Admission::Accepted => {}
        // Windows over a clock that jumped would mix two times.
        order::Admission::ClockSetBack => state.overheating = overheating::State::default(),
    }
    // One line per rule.
    let findings = [overheating::observe(rules, &mut state.overheating, event)];
    findings
        .into_iter()
        .flatten()
        .map(|f| f.into_alert(event, now))
        .collect()
}

/// What a rule found, before it becomes an alert.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub rule: &'static str,
    pub severity: millrace_contract::Severity,
    pub episode: String,
    pub event_time: Timestamp,
    pub signal: &'static str,
    pub value: f64,
    pub threshold: f64,
    pub trend_per_minute: Option<f64>,
    pub seconds_to_limit: Option<f64>,
    pub text: String,
}

impl Finding {
    fn into_alert(self, event: &Telemetry, now: Timestamp) -> Alert {
        let unit = millrace_contract::telemetry::field(self.signal).map_or("1", |f| f.unit);
        Alert {
            id: Alert::id_of(&event.vehicle, self.rule, &self.episode, self.severity),
            vehicle: event.vehicle.clone(),
            hire: event.hire.clone(),
            model: event.model.clone(),
            rule: self.rule.to_owned(),
            severity: self.severity,
            episode: self.episode,
            event_time: self.event_time,
            detected_at: now,
            signal: self.signal.to_owned(),
            value: self.value,
            unit: unit.to_owned(),
            threshold: self.threshold,
            trend_per_minute: self.trend_per_minute,
            seconds_to_limit: self.seconds_to_limit,
            text: self.text,
        }
    }
}
