//! Coolant that becomes too hot: by level, and ahead of it by trend.
//!
//! Healthy engines climb fast while they warm up (8 °C in a minute above 80 °C is common, and some sensors show
//! 18), and swing by ten degrees between thermostat and fan. So a trend counts only above `trend_from`, which
//! lies above what the cooling allows; the level must hold over three slots of the window; and an episode ends
//! only when the coolant stayed below `clear_below` for `clear_after_seconds`, so that swings around a threshold
//! stay one episode.

use jiff::Timestamp;
use millrace_contract::alert::episode_id;
use millrace_contract::{Invalid, Severity, Telemetry};
use serde::{Deserialize, Serialize};

use crate::window::Window;
use crate::{Finding, Rules};

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
        }
    }
}

/// The thresholds that a vehicle model changes; see [`Overheating`] for their meaning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of Overheating")]
pub struct OverheatingOverride {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trend_from: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trend_at_least: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trend_horizon_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trend_window_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_within_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear_below: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear_after_seconds: Option<f64>,
}

impl Overheating {
    /// These thresholds with some changed.
    pub fn with(&self, c: &OverheatingOverride) -> Self {
        Self {
            enabled: c.enabled.unwrap_or(self.enabled),
            trend_from: c.trend_from.unwrap_or(self.trend_from),
            trend_at_least: c.trend_at_least.unwrap_or(self.trend_at_least),
            trend_horizon_seconds: c
                .trend_horizon_seconds
                .unwrap_or(self.trend_horizon_seconds),
            trend_window_seconds: c.trend_window_seconds.unwrap_or(self.trend_window_seconds),
            warning_at: c.warning_at.unwrap_or(self.warning_at),
            critical_at: c.critical_at.unwrap_or(self.critical_at),
            critical_within_seconds: c
                .critical_within_seconds
                .unwrap_or(self.critical_within_seconds),
            clear_below: c.clear_below.unwrap_or(self.clear_below),
            clear_after_seconds: c.clear_after_seconds.unwrap_or(self.clear_after_seconds),
        }
    }

    /// Checks that the thresholds fit together; `path` is put before field names.
    ///
    /// # Errors
    /// Names the first field that does not fit.
    pub fn validate(&self, path: &str) -> Result<(), Invalid> {
        let check = |fits: bool, field: &str, value: f64, problem: &str, cure: &str| {
            if fits {
                Ok(())
            } else {
                Err(Invalid::new(
                    format!("{path}.{field}"),
                    value.to_string(),
                    problem,
                    cure,
                ))
            }
        };
        let order = "keep clearBelow < trendFrom <= warningAt < criticalAt";
        check(
            self.clear_below < self.trend_from,
            "clearBelow",
            self.clear_below,
            &format!("not below trendFrom ({})", self.trend_from),
            order,
        )?;
        check(
            self.trend_from <= self.warning_at,
            "trendFrom",
            self.trend_from,
            &format!("above warningAt ({})", self.warning_at),
            order,
        )?;
        check(
            self.warning_at < self.critical_at,
            "criticalAt",
            self.critical_at,
            &format!("not above warningAt ({})", self.warning_at),
            order,
        )?;
        check(
            (20.0..=240.0).contains(&self.trend_window_seconds),
            "trendWindowSeconds",
            self.trend_window_seconds,
            "outside of what is remembered",
            "choose 20 to 240 seconds",
        )?;
        for (field, value) in [
            ("trendAtLeast", self.trend_at_least),
            ("trendHorizonSeconds", self.trend_horizon_seconds),
            ("criticalWithinSeconds", self.critical_within_seconds),
            ("clearAfterSeconds", self.clear_after_seconds),
        ] {
            check(
                value > 0.0,
                field,
                value,
                "not above 0",
                "choose a number above 0",
            )?;
        }
        Ok(())
    }
}

/// What is known of a vehicle's coolant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    window: Window,
    /// Newest measurement.
    newest: Option<Timestamp>,
    episode: Option<Episode>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Episode {
    id: String,
    severity: Severity,
    /// Last time at which the coolant was not below `clear_below`.
    hot: Timestamp,
}

/// Takes in an event's coolant temperature.
pub(crate) fn observe(rules: &Rules, state: &mut State, event: &Telemetry) -> Option<Finding> {
    let value = event.coolant_temperature.filter(|v| v.is_finite())?;
    let rule = rules.overheating_of(event.model.as_deref());
    if !rule.enabled {
        return None;
    }
    state.window.add(event.time.as_microsecond(), value);
    let newest = state.newest.map_or(event.time, |t| t.max(event.time));
    state.newest = Some(newest);
    let level = state.window.level()?;

    if let Some(episode) = &mut state.episode {
        if level >= rule.clear_below {
            episode.hot = newest;
        } else if seconds(newest, episode.hot) >= rule.clear_after_seconds {
            state.episode = None;
        }
    }
    let judged = judge(&rule, &state.window, level)?;
    match &mut state.episode {
        Some(episode) if episode.severity >= judged.severity => return None,
        Some(episode) => episode.severity = judged.severity,
        None => {
            let id = episode_id(&event.vehicle, RULE, newest);
            state.episode = Some(Episode {
                id,
                severity: judged.severity,
                hot: newest,
            });
        }
    }
    let episode = state.episode.as_ref().map(|e| e.id.clone())?;
    Some(Finding {
        rule: RULE,
        severity: judged.severity,
        episode,
        event_time: newest,
        signal: SIGNAL,
        value: tenths(level),
        threshold: judged.threshold,
        trend_per_minute: judged.trend.map(tenths),
        seconds_to_limit: judged.seconds_to_limit.map(f64::round),
        text: text(level, &judged),
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

fn judge(rule: &Overheating, window: &Window, level: f64) -> Option<Judged> {
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

/// Rounded to what a driver can use: 5 s below two minutes, else minutes.
fn duration(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{:.0} s", ((seconds / 5.0).round() * 5.0).max(5.0))
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn seconds(later: Timestamp, earlier: Timestamp) -> f64 {
    later.duration_since(earlier).as_secs_f64()
}

#[cfg(test)]
mod tests;
