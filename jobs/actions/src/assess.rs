//! From an alert to what the driver should do about it, and how soon.

use millrace_contract::{Alert, Severity};
use serde::{Deserialize, Serialize};

use crate::ActionError;

/// A limit nearer than this calls for acting now even while the severity is a warning.
const SOON_SECONDS: f64 = 60.0;

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

/// What the driver should do; each language has words for every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// Stop where it is safe and switch the engine off.
    StopEngineOff,
    /// Take load off the engine, use the heater to cool it, be ready to stop.
    EaseEngine,
    /// Stop where it is safe and look after the vehicle.
    StopAndCheck,
    /// Have the vehicle looked at soon.
    HaveChecked,
    /// Nothing to do.
    Observe,
}

impl Advice {
    /// Every advice, so that a test can see that every language knows it.
    pub const ALL: [Self; 5] = [
        Self::StopEngineOff,
        Self::EaseEngine,
        Self::StopAndCheck,
        Self::HaveChecked,
        Self::Observe,
    ];

    /// The key under which a language file keeps the words.
    pub fn key(self) -> &'static str {
        match self {
            Self::StopEngineOff => "stop-engine-off",
            Self::EaseEngine => "ease-engine",
            Self::StopAndCheck => "stop-and-check",
            Self::HaveChecked => "have-checked",
            Self::Observe => "observe",
        }
    }
}

/// What may be set for the assessment besides the alert.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AssessParams {
    /// BCP 47 tag of the driver's language, handed on to the notification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// The input of the action `assess-vehicle`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AssessInput {
    /// The alert as detection published it.
    pub alert: Alert,
    /// The rest.
    #[serde(flatten)]
    pub params: AssessParams,
}

/// An alert with what to do about it: the output of `assess-vehicle`.
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
}

/// Says what an alert asks of the driver. Pure: the same alert gives the same assessment.
pub fn assess(alert: &Alert, params: &AssessParams) -> Assessment {
    let (urgency, advice) = match (alert.rule.as_str(), alert.severity) {
        ("overheating", Severity::Critical) => (Urgency::Now, Advice::StopEngineOff),
        ("overheating", Severity::Warning) => {
            let near = alert
                .seconds_to_limit
                .is_some_and(|seconds| seconds <= SOON_SECONDS);
            (
                if near { Urgency::Now } else { Urgency::Soon },
                Advice::EaseEngine,
            )
        }
        (_, Severity::Critical) => (Urgency::Now, Advice::StopAndCheck),
        (_, Severity::Warning) => (Urgency::Soon, Advice::HaveChecked),
        (_, Severity::Info) => (Urgency::Later, Advice::Observe),
    };
    Assessment {
        alert: alert.clone(),
        urgency,
        advice,
        language: params.language.clone(),
    }
}

/// The action: checks what a shape cannot say, then assesses.
///
/// # Errors
/// [`ActionError::Input`] when the alert names no vehicle, no id or no finite value.
pub fn action(input: AssessInput) -> Result<Assessment, ActionError> {
    check(&input.alert)?;
    Ok(assess(&input.alert, &input.params))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::alert;

    fn advice_for(
        rule: &str,
        severity: Severity,
        seconds_to_limit: Option<f64>,
    ) -> (Urgency, Advice) {
        let mut alert = alert(severity);
        alert.rule = rule.to_owned();
        alert.seconds_to_limit = seconds_to_limit;
        let assessment = assess(&alert, &AssessParams::default());
        assert_eq!(assessment.alert, alert);
        (assessment.urgency, assessment.advice)
    }

    #[test]
    fn an_overheated_engine_is_switched_off() {
        assert_eq!(
            advice_for("overheating", Severity::Critical, None),
            (Urgency::Now, Advice::StopEngineOff)
        );
    }

    #[test]
    fn a_warming_engine_is_eased_sooner_when_the_limit_is_near() {
        assert_eq!(
            advice_for("overheating", Severity::Warning, None),
            (Urgency::Soon, Advice::EaseEngine)
        );
        assert_eq!(
            advice_for("overheating", Severity::Warning, Some(300.0)),
            (Urgency::Soon, Advice::EaseEngine)
        );
        assert_eq!(
            advice_for("overheating", Severity::Warning, Some(30.0)),
            (Urgency::Now, Advice::EaseEngine)
        );
    }

    #[test]
    fn rules_of_later_versions_get_sensible_advice() {
        assert_eq!(
            advice_for("tyre", Severity::Critical, None),
            (Urgency::Now, Advice::StopAndCheck)
        );
        assert_eq!(
            advice_for("tyre", Severity::Warning, None),
            (Urgency::Soon, Advice::HaveChecked)
        );
        assert_eq!(
            advice_for("tyre", Severity::Info, None),
            (Urgency::Later, Advice::Observe)
        );
    }

    #[test]
    fn the_language_travels_with_the_assessment() {
        let params = AssessParams {
            language: Some("de".to_owned()),
        };
        assert_eq!(
            assess(&alert(Severity::Warning), &params)
                .language
                .as_deref(),
            Some("de")
        );
    }

    #[test]
    fn nameless_alerts_are_refused_with_a_cure() {
        let mut bad = alert(Severity::Warning);
        bad.vehicle.clear();
        let error = action(AssessInput {
            alert: bad,
            params: AssessParams::default(),
        })
        .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("alert.vehicle: \"\": is empty; "),
            "{error}"
        );
    }
}
