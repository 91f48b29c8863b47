//! A tyre with too little air.

use millrace_contract::{AlertDetails, Invalid, Severity, Telemetry};
use serde::{Deserialize, Serialize};

use super::View;
use crate::Finding;
use crate::check::Check;
use crate::episode::{Episode, Pace, Verdict};
use crate::finding::tenths;

/// The rule's name in alerts.
pub const RULE: &str = "tyre-pressure-low";
/// Where its temperature is not known, a tyre must have lost this share more than the others.
const ALONE: f64 = 0.08;

/// Thresholds; pressures above ambient in kPa at 20 °C.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TyrePressureLow {
    /// Whether the rule is used.
    pub enabled: bool,
    /// Recommended pressure of the front tyres; without it, what each had when it was filled.
    pub recommended_front: Option<f64>,
    /// Recommended pressure of the rear tyres.
    pub recommended_rear: Option<f64>,
    /// At or below this share of the recommended pressure is a warning.
    pub warning_share: f64,
    /// At or below this share is critical.
    pub critical_share: f64,
    /// At or below this is a warning in any case.
    pub minimum: f64,
    /// An episode ends when the pressure stays this share above the warning …
    pub clear_above: f64,
    /// … for this many seconds.
    pub clear_after_seconds: f64,
    /// After the end of an episode no new one begins for this many seconds.
    pub cooldown_seconds: f64,
}

impl Default for TyrePressureLow {
    fn default() -> Self {
        Self {
            enabled: true,
            recommended_front: None,
            recommended_rear: None,
            // As UN Regulation 141 asks of cars: 20 % less than when filled, and never less than 150 kPa.
            warning_share: 0.8,
            critical_share: 0.6,
            minimum: 150.0,
            clear_above: 0.05,
            clear_after_seconds: 60.0,
            cooldown_seconds: 600.0,
        }
    }
}

impl TyrePressureLow {
    /// Checks that the thresholds fit together; `path` is put before field names.
    ///
    /// # Errors
    /// Names the first field that does not fit.
    pub fn validate(&self, path: &str) -> Result<(), Invalid> {
        let check = Check { path };
        for (field, value) in [
            ("recommendedFront", self.recommended_front),
            ("recommendedRear", self.recommended_rear),
        ] {
            if let Some(value) = value {
                check.within(field, value, 50.0..=1200.0)?;
            }
        }
        check.within("warningShare", self.warning_share, 0.1..=0.99)?;
        check.within("criticalShare", self.critical_share, 0.05..=0.99)?;
        check.below(
            ("criticalShare", self.critical_share),
            ("warningShare", self.warning_share),
            "keep criticalShare < warningShare",
        )?;
        check.within("minimum", self.minimum, 0.0..=1200.0)?;
        check.within("clearAbove", self.clear_above, 0.0..=1.0)?;
        check.seconds("clearAfterSeconds", self.clear_after_seconds)?;
        check.seconds("cooldownSeconds", self.cooldown_seconds)
    }
}

/// How low a tyre is, and from where on it is so.
#[derive(Debug, Clone, Copy)]
struct Assessed {
    severity: Option<Severity>,
    warning_at: f64,
    critical_at: f64,
}

fn assess(rule: &TyrePressureLow, view: View) -> Assessed {
    let recommended = if view.is_front() {
        rule.recommended_front
    } else {
        rule.recommended_rear
    };
    let reference = recommended.unwrap_or(view.baseline);
    let share = reference * rule.warning_share;
    let warning_at = share.max(rule.minimum);
    // The minimum scales down as the shares do.
    let critical_at = warning_at * rule.critical_share / rule.warning_share;
    // What a tyre had may have been had warm.
    let known = match recommended {
        Some(_) => view.compensated,
        None => view.own_temperature,
    };
    let weather = !known && view.lost < ALONE * view.level;
    let severity = if view.level <= critical_at {
        Some(Severity::Critical)
    } else if view.level <= rule.minimum || (view.level <= share && !weather) {
        Some(Severity::Warning)
    } else {
        None
    };
    Assessed {
        severity,
        warning_at,
        critical_at,
    }
}

/// Whether the tyre has too little air.
pub(super) fn is_low(rule: &TyrePressureLow, view: View) -> bool {
    assess(rule, view).severity.is_some()
}

pub(super) fn judge(
    rule: &TyrePressureLow,
    episode: &mut Episode,
    view: View,
    event: &Telemetry,
) -> Option<Finding> {
    if !rule.enabled {
        return None;
    }
    let Assessed {
        severity,
        warning_at,
        critical_at,
    } = assess(rule, view);
    let verdict = match severity {
        Some(severity) => Verdict::Wrong(severity),
        None if view.level >= warning_at * (1.0 + rule.clear_above) => Verdict::Clear,
        None => Verdict::Between,
    };
    let pace = Pace {
        clear_after: rule.clear_after_seconds,
        cooldown: rule.cooldown_seconds,
    };
    let raised = episode.judge(event.time, verdict, pace)?;
    let severity = severity?;
    let threshold = match severity {
        Severity::Critical => critical_at,
        _ => warning_at,
    };
    Some(Finding {
        rule: RULE.into(),
        severity,
        episode: raised.id(&event.vehicle, RULE, view.name()),
        event_time: raised.time,
        signal: view.signal().into(),
        value: tenths(view.level),
        threshold: tenths(threshold),
        trend_per_minute: None,
        seconds_to_limit: None,
        text: format!("{}; the limit is {threshold:.0} kPa", view.shown()),
        details: AlertDetails {
            wheel: Some(view.name().to_owned()),
            ..AlertDetails::default()
        },
        unit: None,
    })
}
