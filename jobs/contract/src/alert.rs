//! Alerts, notifications and the lines in which the doors print them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How urgent an alert is; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Act soon.
    Warning,
    /// Act now.
    Critical,
}

impl Severity {
    /// The word used in JSON and in ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What detection raises: one per vehicle, rule, episode and severity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// See [`Alert::id_of`].
    pub id: String,
    /// Vehicle id.
    pub vehicle: String,
    /// Pseudonym of the hire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hire: Option<String>,
    /// Vehicle model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Name of the rule, for instance `overheating`.
    pub rule: String,
    /// How urgent.
    pub severity: Severity,
    /// See [`episode_id`].
    pub episode: String,
    /// Time of the measurement that raised it.
    pub event_time: Timestamp,
    /// When it was raised.
    pub detected_at: Timestamp,
    /// The telemetry field that it is about.
    pub signal: String,
    /// The field's value, in `unit`.
    pub value: f64,
    /// UCUM code of the unit.
    pub unit: String,
    /// The limit that was or will be passed, in `unit`.
    pub threshold: f64,
    /// Trend, in `unit` per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trend_per_minute: Option<f64>,
    /// Seconds until the trend passes `threshold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_to_limit: Option<f64>,
    /// Short English summary.
    pub text: String,
    /// What only some rules know: the wheel, the codes, the zone, ….
    #[serde(flatten)]
    pub details: AlertDetails,
}

/// What only some rules know of an alert. Flat in JSON; what is absent is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertDetails {
    /// The wheel of a tyre alert: `front_left`, `front_right`, `rear_left` or `rear_right`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wheel: Option<String>,
    /// Diagnostic trouble codes of a check-engine alert (SAE J2012), the gravest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
    /// How far the fuel lasts, in kilometres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range_km: Option<f64>,
    /// The zone ahead, or the one that the vehicle is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneAhead>,
    /// The texts of a user's own rule by language (BCP 47), filled in; empty for the rules that come with the
    /// platform, whose texts are the notifying action's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<String, String>,
}

/// The zone of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZoneAhead {
    /// The zone's id.
    pub id: String,
    /// Its name, as drivers know it.
    pub name: String,
    /// What it is: `border`, `closed` or `curfew`.
    pub kind: String,
    /// Whether the vehicle is about to leave it; else it is about to enter it, or inside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
    /// Metres to go to the boundary along the course; 0 when it is passed.
    pub distance_m: f64,
    /// Seconds until the boundary at the present speed; 0 when it is passed.
    pub seconds: f64,
    /// The end of the curfew that is, or will be, in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Alert {
    /// The id of an alert: `{vehicle}/{rule}/{episode}/{severity}`. Equal for equal causes, however often computed.
    pub fn id_of(vehicle: &str, rule: &str, episode: &str, severity: Severity) -> String {
        format!("{vehicle}/{rule}/{episode}/{severity}")
    }
}

/// Namespace of the version 5 UUIDs that name episodes; a random UUID, fixed for good.
const EPISODES: Uuid = Uuid::from_u128(0x6f2b_8d0e_53c1_4b7a_9e64_1f0a_c2d9_7b35);

/// The id of an episode, from vehicle, rule and the event time of its onset: a second run over the same events
/// gives the same id.
pub fn episode_id(vehicle: &str, rule: &str, onset: Timestamp) -> String {
    let name = format!("{vehicle}/{rule}/{}", onset.as_microsecond());
    Uuid::new_v5(&EPISODES, name.as_bytes()).to_string()
}

/// A message for the driver, on its way to the vehicle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Id of the alert that it tells of.
    pub id: String,
    /// Vehicle id.
    pub vehicle: String,
    /// Name of the rule.
    pub rule: String,
    /// How urgent.
    pub severity: Severity,
    /// Episode of the alert.
    pub episode: String,
    /// Time of the measurement.
    pub event_time: Timestamp,
    /// When the alert was raised.
    pub detected_at: Timestamp,
    /// BCP 47 tag of the language of `text` and `ssml`.
    pub language: String,
    /// To be read.
    pub text: String,
    /// To be spoken, SSML 1.1.
    pub ssml: String,
    /// After this it is no longer worth telling.
    pub expires_at: Timestamp,
}

/// One warning as the doors print it: a JSON line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningLine {
    /// Vehicle id.
    pub vehicle: String,
    /// Name of the rule.
    pub rule: String,
    /// How urgent.
    pub severity: Severity,
    /// Episode of the alert.
    pub episode: String,
    /// Time of the measurement.
    pub event_time: Timestamp,
    /// When the alert was raised.
    pub detected_at: Timestamp,
    /// What the driver is told.
    pub text: String,
    /// When the vehicle received it; absent where nothing was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Timestamp>,
}

impl From<&Notification> for WarningLine {
    fn from(n: &Notification) -> Self {
        Self {
            vehicle: n.vehicle.clone(),
            rule: n.rule.clone(),
            severity: n.severity,
            episode: n.episode.clone(),
            event_time: n.event_time,
            detected_at: n.detected_at,
            text: n.text.clone(),
            delivered_at: None,
        }
    }
}

impl From<&Alert> for WarningLine {
    fn from(a: &Alert) -> Self {
        Self {
            vehicle: a.vehicle.clone(),
            rule: a.rule.clone(),
            severity: a.severity,
            episode: a.episode.clone(),
            event_time: a.event_time,
            detected_at: a.detected_at,
            text: a.text.clone(),
            delivered_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_ordered_and_lowercase() {
        assert!(Severity::Info < Severity::Warning && Severity::Warning < Severity::Critical);
        assert_eq!(
            serde_json::to_string(&Severity::Critical).unwrap(),
            "\"critical\""
        );
        assert_eq!(Severity::Warning.to_string(), "warning");
    }

    #[test]
    fn episode_ids_are_deterministic() {
        let t: Timestamp = "2026-01-01T00:05:00Z".parse().unwrap();
        let id = episode_id("car-1", "overheating", t);
        assert_eq!(id, episode_id("car-1", "overheating", t));
        assert_ne!(id, episode_id("car-2", "overheating", t));
        assert_eq!(
            Alert::id_of("car-1", "overheating", &id, Severity::Warning),
            format!("car-1/overheating/{id}/warning")
        );
    }
}
