//! What a rule found, before it becomes an alert.

use std::borrow::Cow;

use jiff::Timestamp;
use millrace_contract::{Alert, AlertDetails, Severity, Telemetry};

/// What a rule found. Values are in the unit of the field `signal`, or in `unit` when that is given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub rule: Cow<'static, str>,
    pub severity: Severity,
    pub episode: String,
    pub event_time: Timestamp,
    /// The telemetry field that it is about.
    pub signal: Cow<'static, str>,
    pub value: f64,
    pub threshold: f64,
    pub trend_per_minute: Option<f64>,
    pub seconds_to_limit: Option<f64>,
    pub text: String,
    pub details: AlertDetails,
    /// UCUM code of the unit, where it is not the one of `signal`.
    pub unit: Option<&'static str>,
}

impl Finding {
    /// The alert; `model` is what is known of the vehicle when the event does not name it.
    pub fn into_alert(self, event: &Telemetry, model: Option<&str>, now: Timestamp) -> Alert {
        let unit = self.unit.unwrap_or_else(|| {
            millrace_contract::telemetry::field(&self.signal).map_or("1", |f| f.unit)
        });
        Alert {
            id: Alert::id_of(&event.vehicle, &self.rule, &self.episode, self.severity),
            vehicle: event.vehicle.clone(),
            hire: event.hire.clone(),
            model: model.map(str::to_owned),
            rule: self.rule.into_owned(),
            severity: self.severity,
            episode: self.episode,
            event_time: self.event_time,
            detected_at: now,
            signal: self.signal.into_owned(),
            value: self.value,
            unit: unit.to_owned(),
            threshold: self.threshold,
            trend_per_minute: self.trend_per_minute,
            seconds_to_limit: self.seconds_to_limit,
            text: self.text,
            details: self.details,
        }
    }
}

/// Rounded to one digit, as alerts show values.
pub(crate) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A time to come, rounded to what a driver can use: 5 s below two minutes, else minutes.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{:.0} s", ((seconds / 5.0).round() * 5.0).max(5.0))
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}
