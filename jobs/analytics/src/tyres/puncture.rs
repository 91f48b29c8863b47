//! A tyre that loses air.

use millrace_contract::{AlertDetails, Invalid, Severity, Telemetry};
use serde::{Deserialize, Serialize};

use super::{Trends, View};
use crate::Finding;
use crate::check::{Check, LONGEST};
use crate::episode::{Episode, Pace, Verdict};
use crate::finding::{duration, tenths};

/// The rule's name in alerts.
pub const RULE: &str = "slow-puncture";

/// Thresholds; pressures above ambient in kPa at 20 °C.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SlowPuncture {
    /// Whether the rule is used.
    pub enabled: bool,
    /// So much a tyre must have lost, more than the others.
    pub lost_at_least: f64,
    /// Slowest loss that counts, more than that of the others, in kPa per minute.
    pub trend_at_least: f64,
    /// No tyre is to be driven on below this.
    pub limit: f64,
    /// A loss is told when it reaches the limit within this many seconds …
    pub trend_horizon_seconds: f64,
    /// … and is critical within this many, or below the limit.
    pub critical_within_seconds: f64,
    /// An episode ends when the tyre has regained half of what counts as lost for this many seconds.
    pub clear_after_seconds: f64,
    /// After the end of an episode no new one begins for this many seconds.
    pub cooldown_seconds: f64,
}

impl Default for SlowPuncture {
    fn default() -> Self {
        Self {
            enabled: true,
            // Sensors tell 1.4 kPa and 1 °C apart, which is 1.1 kPa more.
            lost_at_least: 10.0,
            trend_at_least: 0.5,
            limit: 150.0,
            trend_horizon_seconds: 7200.0,
            critical_within_seconds: 300.0,
            clear_after_seconds: 60.0,
            cooldown_seconds: 600.0,
        }
    }
}

impl SlowPuncture {
    /// Checks that the thresholds fit together; `path` is put before field names.
    ///
    /// # Errors
    /// Names the first field that does not fit.
    pub fn validate(&self, path: &str) -> Result<(), Invalid> {
        let check = Check { path };
        check.within("lostAtLeast", self.lost_at_least, 1.0..=1000.0)?;
        check.within("trendAtLeast", self.trend_at_least, 0.01..=1000.0)?;
        check.within("limit", self.limit, 0.0..=1200.0)?;
        check.within(
            "trendHorizonSeconds",
            self.trend_horizon_seconds,
            1.0..=LONGEST,
        )?;
        check.within(
            "criticalWithinSeconds",
            self.critical_within_seconds,
            0.0..=LONGEST,
        )?;
        check.seconds("clearAfterSeconds", self.clear_after_seconds)?;
        check.seconds("cooldownSeconds", self.cooldown_seconds)
    }
}

pub(super) fn judge(
    rule: &SlowPuncture,
    episode: &mut Episode,
    view: View,
    trends: Option<Trends>,
    event: &Telemetry,
) -> Option<Finding> {
    if !rule.enabled {
        return None;
    }
    let trend = trends
        .filter(|t| -t.steady >= rule.trend_at_least)
        .map(|t| t.latest);
    let seconds_to_limit = trend
        .map(|t| ((view.level - rule.limit) / -t * 60.0).max(0.0))
        .filter(|s| *s <= rule.trend_horizon_seconds);
    let losing = (view.compared || view.own_temperature) && view.lost >= rule.lost_at_least;
    let flat = episode.is_open() && view.level <= rule.limit;
    let severity = match seconds_to_limit {
        _ if flat => Some(Severity::Critical),
        Some(s) if losing && s <= rule.critical_within_seconds => Some(Severity::Critical),
        Some(_) if losing => Some(Severity::Warning),
        _ => None,
    };
    let verdict = match severity {
        Some(severity) => Verdict::Wrong(severity),
        None if view.lost < rule.lost_at_least / 2.0 => Verdict::Clear,
        None => Verdict::Between,
    };
    let pace = Pace {
        clear_after: rule.clear_after_seconds,
        cooldown: rule.cooldown_seconds,
    };
    let raised = episode.judge(event.time, verdict, pace)?;
    let coming = seconds_to_limit.filter(|s| *s > 0.0);
    let loss = trend.map_or(String::new(), |t| {
        format!(", losing {:.1} kPa a minute", -t)
    });
    let limit = match coming {
        Some(s) => format!("; {:.0} kPa in about {}", rule.limit, duration(s)),
        None => format!("; the limit is {:.0} kPa", rule.limit),
    };
    Some(Finding {
        rule: RULE.into(),
        severity: severity?,
        episode: raised.id(&event.vehicle, RULE, view.name()),
        event_time: raised.time,
        signal: view.signal().into(),
        value: tenths(view.level),
        threshold: rule.limit,
        trend_per_minute: trend.map(tenths),
        seconds_to_limit: coming.map(f64::round),
        text: format!("{}{loss}{limit}", view.shown()),
        details: AlertDetails {
            wheel: Some(view.name().to_owned()),
            ..AlertDetails::default()
        },
        unit: None,
    })
}
