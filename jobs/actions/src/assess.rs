//! From an alert to what the driver should do about it, and how soon.

use millrace_contract::{Alert, Severity, TraceParent, ZoneAhead, trace};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ActionError;

/// A limit or a boundary nearer than this calls for acting now even while the severity is a warning.
const NEAR_SECONDS: f64 = 60.0;

/// A puncture that leaves less time than this calls for acting now: a tyre shop is not around every corner.
const PUNCTURE_SECONDS: f64 = 600.0;

/// Fuel for less than this, in kilometres, is to be thought of soon.
const SHORT_RANGE_KM: f64 = 25.0;

/// How soon the driver has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    /// Nothing to do while driving.
    Later,
    /// Change the way of driving, plan a stop.
    Soon,
    /// Act at the next safe place.
    Now,
}

/// What the driver should do; each language has words for every one but [`Advice::AsTold`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// Stop where it is safe and switch the engine off.
    StopEngineOff,
    /// Take load off the engine, use the heater to cool it, be ready to stop.
    EaseEngine,
    /// Switch off what uses electricity, keep the engine running.
    SaveElectricity,
    /// Leave the traffic before the engine stops.
    StopBeforeStall,
    /// Check and inflate the tyre at the next filling station.
    InflateTyre,
    /// Have the tyre repaired at the nearest place.
    RepairTyre,
    /// Slow down gently, stop where it is safe, check the tyre.
    StopCheckTyre,
    /// Refuel at the next filling station.
    Refuel,
    /// Stop where it is safe, switch the engine off, call for help.
    StopAndCall,
    /// Turn off before the border when it must not be crossed.
    MindBorder,
    /// Turn back when this side of the border is not allowed.
    TurnBack,
    /// Do not drive into the zone.
    AvoidZone,
    /// Leave the zone.
    LeaveZone,
    /// Have the vehicle looked at soon.
    HaveChecked,
    /// Nothing to do.
    Observe,
    /// What the alert's own text says: the rule is a user's, and nobody else knows what it asks for.
    AsTold,
}

impl Advice {
    /// Every advice, so that a test can see that every language knows it.
    pub const ALL: [Self; 16] = [
        Self::StopEngineOff,
        Self::EaseEngine,
        Self::SaveElectricity,
        Self::StopBeforeStall,
        Self::InflateTyre,
        Self::RepairTyre,
        Self::StopCheckTyre,
        Self::Refuel,
        Self::StopAndCall,
        Self::MindBorder,
        Self::TurnBack,
        Self::AvoidZone,
        Self::LeaveZone,
        Self::HaveChecked,
        Self::Observe,
        Self::AsTold,
    ];

    /// The key under which a language file keeps the words.
    pub fn key(self) -> &'static str {
        match self {
            Self::StopEngineOff => "stop-engine-off",
            Self::EaseEngine => "ease-engine",
            Self::SaveElectricity => "save-electricity",
            Self::StopBeforeStall => "stop-before-stall",
            Self::InflateTyre => "inflate-tyre",
            Self::RepairTyre => "repair-tyre",
            Self::StopCheckTyre => "stop-check-tyre",
            Self::Refuel => "refuel",
            Self::StopAndCall => "stop-and-call",
            Self::MindBorder => "mind-border",
            Self::TurnBack => "turn-back",
            Self::AvoidZone => "avoid-zone",
            Self::LeaveZone => "leave-zone",
            Self::HaveChecked => "have-checked",
            Self::Observe => "observe",
            Self::AsTold => "as-told",
        }
    }
}

/// What may be set for the assessment besides the alert.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AssessParams {
    /// BCP 47 tag of the driver's language, handed on to the notification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// IANA name of the time zone in which times of day are told; without it durations are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// The input of the actions `assess-vehicle` and `warn-geofence`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AssessInput {
    /// The alert as detection published it.
    pub alert: Alert,
    /// The rest.
    #[serde(flatten)]
    pub params: AssessParams,
    /// The attributes of the alert's event, as dispatch tells them. Whatever they are, no warning fails for them.
    #[serde(default)]
    pub cloudevent: Value,
}

impl AssessInput {
    /// The trace that the alert belongs to.
    fn traceparent(&self) -> Option<String> {
        let told = self.cloudevent.get(trace::NAME)?.as_str()?;
        let trace: TraceParent = told.parse().ok()?;
        Some(trace.to_string())
    }

    /// What the alert asks of the driver, with its trace. Pure.
    pub fn assessment(&self) -> Assessment {
        Assessment {
            traceparent: self.traceparent(),
            ..assess(&self.alert, &self.params)
        }
    }
}

/// An alert with what to do about it: the output of `assess-vehicle` and `warn-geofence`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// The alert, unchanged.
    pub alert: Alert,
    /// How soon to act.
    pub urgency: Urgency,
    /// What to do.
    pub advice: Advice,
    /// BCP 47 tag of the driver's language, when one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// IANA name of the time zone for times of day, when one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The trace of the event that raised the alert, so that one id is found from the gateway to here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Says what an alert asks of the driver. Pure: the same alert gives the same assessment.
pub fn assess(alert: &Alert, params: &AssessParams) -> Assessment {
    let (urgency, advice) = match &alert.details.zone {
        Some(zone) => zone_advice(zone, alert.severity),
        None => vehicle_advice(alert),
    };
    Assessment {
        alert: alert.clone(),
        urgency,
        advice,
        language: params.language.clone(),
        time_zone: params.time_zone.clone(),
        traceparent: None,
    }
}

/// What a fault of the vehicle asks for.
fn vehicle_advice(alert: &Alert) -> (Urgency, Advice) {
    use Severity::{Critical, Info, Warning};
    let limit_within = |bound: f64| {
        alert
            .seconds_to_limit
            .is_some_and(|seconds| seconds <= bound)
    };
    let soon_or_now = |near: bool| if near { Urgency::Now } else { Urgency::Soon };
    match (alert.rule.as_str(), alert.severity) {
        ("overheating", Critical) => (Urgency::Now, Advice::StopEngineOff),
        ("overheating", Warning) => (soon_or_now(limit_within(NEAR_SECONDS)), Advice::EaseEngine),
        // An engine that stays cold wears; it does not break down.
        ("coolant-not-warming", Critical | Warning) => (Urgency::Soon, Advice::HaveChecked),
        ("charging-failure", Critical) => (Urgency::Now, Advice::StopBeforeStall),
        ("charging-failure", Warning) => (
            soon_or_now(limit_within(NEAR_SECONDS)),
            Advice::SaveElectricity,
        ),
        ("tyre-pressure-low" | "slow-puncture", Critical) => (Urgency::Now, Advice::StopCheckTyre),
        ("tyre-pressure-low", Warning) => (Urgency::Soon, Advice::InflateTyre),
        ("slow-puncture", Warning) => (
            soon_or_now(limit_within(PUNCTURE_SECONDS)),
            Advice::RepairTyre,
        ),
        ("tyre-pressure-low" | "slow-puncture", Info) => (Urgency::Later, Advice::InflateTyre),
        ("fuel-low", Critical) => (Urgency::Now, Advice::Refuel),
        ("fuel-low", Warning) => (Urgency::Soon, Advice::Refuel),
        ("fuel-low", Info) => {
            let short = alert
                .details
                .range_km
                .is_some_and(|range| range < SHORT_RANGE_KM);
            (
                if short { Urgency::Soon } else { Urgency::Later },
                Advice::Refuel,
            )
        }
        ("check-engine", Critical) => (Urgency::Now, Advice::StopAndCall),
        ("check-engine", Warning) => (Urgency::Soon, Advice::HaveChecked),
        ("check-engine" | "coolant-not-warming" | "charging-failure", Info) => {
            (Urgency::Later, Advice::HaveChecked)
        }
        ("overheating", Info) => (Urgency::Later, Advice::Observe),
        (_, Critical) => (Urgency::Now, Advice::AsTold),
        (_, Warning) => (Urgency::Soon, Advice::AsTold),
        (_, Info) => (Urgency::Later, Advice::AsTold),
    }
}

/// What a zone ahead, or around the vehicle, asks for.
fn zone_advice(zone: &ZoneAhead, severity: Severity) -> (Urgency, Advice) {
    let passed = zone.distance_m <= 0.0;
    let advice = match (zone.kind.as_str(), zone.leaving, passed) {
        ("border", _, false) => Advice::MindBorder,
        ("border", _, true) => Advice::TurnBack,
        (_, true, _) => Advice::Observe,
        (_, false, false) => Advice::AvoidZone,
        (_, false, true) => Advice::LeaveZone,
    };
    let near = passed || zone.seconds <= NEAR_SECONDS;
    let urgency = match severity {
        Severity::Info => Urgency::Later,
        Severity::Warning if !near => Urgency::Soon,
        Severity::Warning | Severity::Critical => Urgency::Now,
    };
    (urgency, advice)
}

/// The action `assess-vehicle`: checks what a shape cannot say, then assesses.
///
/// # Errors
/// [`ActionError::Input`] when the alert names no vehicle, no id or no finite value, or the time zone is unknown.
pub fn action(input: AssessInput) -> Result<Assessment, ActionError> {
    check(&input.alert)?;
    check_time_zone(input.params.time_zone.as_deref())?;
    Ok(input.assessment())
}

/// Refuses alerts that could be told to nobody, or only as nonsense.
///
/// # Errors
/// [`ActionError::Input`] naming the field.
pub fn check(alert: &Alert) -> Result<(), ActionError> {
    for (field, value) in [
        ("alert.id", &alert.id),
        ("alert.vehicle", &alert.vehicle),
        ("alert.rule", &alert.rule),
    ] {
        if value.is_empty() {
            return Err(ActionError::input(
                field,
                "\"\"",
                "is empty",
                "send the alert as detection published it",
            ));
        }
    }
    for (field, value) in [
        ("alert.value", alert.value),
        ("alert.threshold", alert.threshold),
    ] {
        if !value.is_finite() {
            return Err(ActionError::input(
                field,
                value,
                "is no finite number",
                "send a measured value",
            ));
        }
    }
    Ok(())
}

/// Refuses time zones that nobody knows.
///
/// # Errors
/// [`ActionError::Input`] naming `time_zone`.
pub fn check_time_zone(name: Option<&str>) -> Result<(), ActionError> {
    match name {
        Some(name) if jiff::tz::TimeZone::get(name).is_err() => Err(ActionError::input(
            "time_zone",
            name,
            "is no time zone of the IANA database",
            "give a name like Europe/Berlin, or leave it out",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
