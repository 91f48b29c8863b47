//! Coolant that becomes too hot: by level, and ahead of it by trend.
//!
//! Healthy engines climb fast while they warm up (8 °C in a minute above 80 °C is common, and some sensors show
//! 18), and swing by ten degrees between thermostat and fan. So a trend counts only above `trend_from`, which
//! lies above what the cooling allows; the level must hold over three slots of the window; and an episode ends
//! only when the coolant stayed below `clear_below` for `clear_after_seconds`, so that swings around a threshold
//! stay one episode.

use jiff::Timestamp;
use millrace_contract::{AlertDetails, Invalid, Severity, Telemetry};
use serde::{Deserialize, Serialize};

use crate::Finding;
use crate::check::{Check, LONGEST};
use crate::episode::{Episode, Pace, Verdict};
use crate::finding::{duration, tenths};
use crate::window::Window;

/// The rule's name in alerts.
pub const RULE: &str = "overheating";
const SIGNAL: &str = "coolant_temperature";

/// Thresholds; temperatures in °C.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Overheating {
    /// Whether the rule is used.
    pub enabled: bool,
    /// From here on a rising trend is a warning. Above the highest temperature of a healthy engine.
    pub trend_from: f64,
    /// Slowest trend that counts, in °C per minute.
    pub trend_at_least: f64,
    /// A trend is a warning when it reaches `critical_at` within this many seconds.
    pub trend_horizon_seconds: f64,
    /// The trend is taken over this many seconds (20 to 240).
    pub trend_window_seconds: f64,
    /// From here on the level is a warning.
    pub warning_at: f64,
    /// From here on the level is critical.
    pub critical_at: f64,
    /// Above `warning_at`, a trend that reaches `critical_at` within this many seconds is critical already.
    pub critical_within_seconds: f64,
    /// An episode ends when the coolant stays below this …
    pub clear_below: f64,
    /// … for this many seconds.
    pub clear_after_seconds: f64,
    /// After the end of an episode no new one begins for this many seconds.
    pub cooldown_seconds: f64,
}

impl Default for Overheating {
    fn default() -> Self {
        Self {
            enabled: true,
            // Healthy cars in summer jams reach 103 °C, climbing 4 °C a minute.
            trend_from: 104.5,
            trend_at_least: 0.8,
            trend_horizon_seconds: 900.0,
            trend_window_seconds: 60.0,
            warning_at: 107.0,
            critical_at: 115.0,
            critical_within_seconds: 45.0,
            clear_below: 99.0,
            clear_after_seconds: 600.0,
            // Ten minutes of cool coolant are pause enough.
            cooldown_seconds: 0.0,
        }
    }
}

impl Overheating {
    /// Checks that the thresholds fit together; `path` is put before field names.
    ///
    /// # Errors
    /// Names the first field that does not fit.
    pub fn validate(&self, path: &str) -> Result<(), Invalid> {
        let check = Check { path };
        let order = "keep clearBelow < trendFrom <= warningAt < criticalAt";
        for (field, value) in [
            ("clearBelow", self.clear_below),
            ("trendFrom", self.trend_from),
            ("warningAt", self.warning_at),
            ("criticalAt", self.critical_at),
        ] {
            check.within(field, value, -40.0..=215.0)?;
        }
        let trend_from = ("trendFrom", self.trend_from);
        check.below(("clearBelow", self.clear_below), trend_from, order)?;
        check.that(
            self.trend_from <= self.warning_at,
            "trendFrom",
            self.trend_from,
            format!("above warningAt ({})", self.warning_at),
            order,
        )?;
        check.that(
            self.warning_at < self.critical_at,
            "criticalAt",
            self.critical_at,
            format!("not above warningAt ({})", self.warning_at),
            order,
        )?;
        check.within(
            "trendWindowSeconds",
            self.trend_window_seconds,
            20.0..=240.0,
        )?;
        check.within("trendAtLeast", self.trend_at_least, 0.01..=1000.0)?;
        for (field, value) in [
            ("trendHorizonSeconds", self.trend_horizon_seconds),
            ("criticalWithinSeconds", self.critical_within_seconds),
            ("clearAfterSeconds", self.clear_after_seconds),
        ] {
            check.within(field, value, 1.0..=LONGEST)?;
        }
        check.seconds("cooldownSeconds", self.cooldown_seconds)
    }

    fn pace(&self) -> Pace {
        Pace {
            clear_after: self.clear_after_seconds,
            cooldown: self.cooldown_seconds,
        }
    }
}

/// What is known of a vehicle's coolant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    window: Window<4, 60>,
    /// Newest measurement.
    newest: Option<Timestamp>,
    episode: Episode,
}

/// Takes in an event's coolant temperature.
pub(crate) fn observe(rule: &Overheating, state: &mut State, event: &Telemetry) -> Vec<Finding> {
    match event.coolant_temperature {
        Some(value) if rule.enabled && value.is_finite() => {
            take(rule, state, event, value).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn take(rule: &Overheating, state: &mut State, event: &Telemetry, value: f64) -> Option<Finding> {
    state.window.add(event.time.as_microsecond(), value);
    let newest = state.newest.map_or(event.time, |t| t.max(event.time));
    state.newest = Some(newest);
    let level = state.window.level()?;
    let judged = judge(rule, &state.window, level);
    let verdict = match &judged {
        Some(judged) => Verdict::Wrong(judged.severity),
        None if level < rule.clear_below => Verdict::Clear,
        None => Verdict::Between,
    };
    let raised = state.episode.judge(newest, verdict, rule.pace())?;
    let judged = judged?;
    Some(Finding {
        rule: RULE.into(),
        severity: judged.severity,
        episode: raised.id(&event.vehicle, RULE, ""),
        event_time: raised.time,
        signal: SIGNAL.into(),
        value: tenths(level),
        threshold: judged.threshold,
        trend_per_minute: judged.trend.map(tenths),
        seconds_to_limit: judged.seconds_to_limit.map(f64::round),
        text: text(level, &judged),
        details: AlertDetails::default(),
        unit: None,
    })
}

struct Judged {
    severity: Severity,
    /// The limit that was passed, or that the trend will pass.
    threshold: f64,
    trend: Option<f64>,
    /// Seconds until the trend passes `threshold`, when it is not passed yet.
    seconds_to_limit: Option<f64>,
}

fn judge(rule: &Overheating, window: &Window<4, 60>, level: f64) -> Option<Judged> {
    // Nearly all events end here, before the trend is worked out.
    if level < rule.trend_from {
        return None;
    }
    let trend = window.trend_per_minute(rule.trend_window_seconds);
    if level >= rule.critical_at {
        return Some(Judged {
            severity: Severity::Critical,
            threshold: rule.critical_at,
            trend,
            seconds_to_limit: None,
        });
    }
    let seconds_to_limit = trend
        .filter(|t| *t >= rule.trend_at_least)
        .map(|t| (rule.critical_at - level) / t * 60.0)
        .filter(|s| *s <= rule.trend_horizon_seconds);
    let severity = match seconds_to_limit {
        Some(s) if level >= rule.warning_at && s <= rule.critical_within_seconds => {
            Severity::Critical
        }
        None if level < rule.warning_at => return None,
        _ => Severity::Warning,
    };
    let threshold = if seconds_to_limit.is_some() {
        rule.critical_at
    } else {
        rule.warning_at
    };
    Some(Judged {
        severity,
        threshold,
        trend,
        seconds_to_limit,
    })
}

fn text(level: f64, judged: &Judged) -> String {
    let now = format!("Engine coolant at {level:.0} °C");
    let rising = match judged.trend {
        Some(t) if t >= 0.1 => format!("{now} and rising {t:.1} °C a minute"),
        _ => now,
    };
    match judged.seconds_to_limit {
        Some(s) => format!(
            "{rising}; {:.0} °C in about {}",
            judged.threshold,
            duration(s)
        ),
        None => format!("{rising}; the limit is {:.0} °C", judged.threshold),
    }
}

#[cfg(test)]
mod tests;
