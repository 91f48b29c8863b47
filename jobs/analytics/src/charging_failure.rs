//! A battery that is not charged while the engine runs: by its voltage, and ahead of it by its fall.
//!
//! Voltages while cranking or with the engine off are never judged. Smart alternators let the voltage dip to that of
//! a resting battery for a while, in one step: so the level is a median over a minute, and a fall counts only
//! when it goes on to the end, which a step does not. And a unit that leaves out the engine speed once the engine is
//! off may go on telling the voltage: so one that is newer than the last report of a running engine waits for the next.

use millrace_contract::{AlertDetails, Invalid, Severity, Telemetry};
use serde::{Deserialize, Serialize};

use crate::Finding;
use crate::check::{Check, LONGEST};
use crate::episode::{Episode, Pace, Verdict};
use crate::finding::{duration, tenths};
use crate::window::Window;

/// The rule's name in alerts.
pub const RULE: &str = "charging-failure";
const SIGNAL: &str = "battery_voltage";
/// What is told of the engine holds for so many microseconds.
const FRESH: i64 = 90_000_000;
/// Voltages between two reports of a running engine count when these lie no farther apart than this, in microseconds …
const APART: i64 = 10_000_000;
/// … or than so many times the pause before: else the engine may have been off.
const USUAL: i64 = 2;
/// The level is the median over this many seconds.
const LEVEL: f64 = 60.0;
/// A fall is taken over the first of these, in seconds; over the second it must still be half as fast. A step
/// that has come through the median lies before it.
const FALL: (f64, f64) = (120.0, 28.0);

/// Thresholds in V, for a 12 V battery.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ChargingFailure {
    /// Whether the rule is used.
    pub enabled: bool,
    /// The engine runs above this speed, 1/min …
    pub engine_speed_above: f64,
    /// … after this many seconds.
    pub engine_run_seconds: f64,
    /// Below this a falling voltage is a warning.
    pub trend_from: f64,
    /// Slowest fall that counts, in V per minute.
    pub trend_at_least: f64,
    /// A fall is a warning when it reaches `critical_below` within this many seconds.
    pub trend_horizon_seconds: f64,
    /// Below this the level is a warning.
    pub warning_below: f64,
    /// Below this the level is critical.
    pub critical_below: f64,
    /// An episode ends when the voltage stays at or above this …
    pub clear_at: f64,
    /// … for this many seconds.
    pub clear_after_seconds: f64,
    /// After the end of an episode no new one begins for this many seconds.
    pub cooldown_seconds: f64,
}

impl Default for ChargingFailure {
    fn default() -> Self {
        Self {
            enabled: true,
            engine_speed_above: 600.0,
            engine_run_seconds: 10.0,
            // The lowest minute of a healthy car in the recorded trips is 13.28 V.
            trend_from: 13.0,
            trend_at_least: 0.2,
            trend_horizon_seconds: 900.0,
            // A full battery at rest has 12.6 V: below, it gives more than it gets.
            warning_below: 12.4,
            critical_below: 11.8,
            clear_at: 13.1,
            clear_after_seconds: 120.0,
            cooldown_seconds: 600.0,
        }
    }
}

impl ChargingFailure {
    /// Checks that the thresholds fit together; `path` is put before field names.
    ///
    /// # Errors
    /// Names the first field that does not fit.
    pub fn validate(&self, path: &str) -> Result<(), Invalid> {
        let check = Check { path };
        let order = "keep criticalBelow < warningBelow <= trendFrom < clearAt";
        for (field, value) in [
            ("criticalBelow", self.critical_below),
            ("warningBelow", self.warning_below),
            ("trendFrom", self.trend_from),
            ("clearAt", self.clear_at),
        ] {
            check.within(field, value, 1.0..=100.0)?;
        }
        check.below(
            ("criticalBelow", self.critical_below),
            ("warningBelow", self.warning_below),
            order,
        )?;
        check.that(
            self.warning_below <= self.trend_from,
            "warningBelow",
            self.warning_below,
            format!("above trendFrom ({})", self.trend_from),
            order,
        )?;
        check.below(
            ("trendFrom", self.trend_from),
            ("clearAt", self.clear_at),
            order,
        )?;
        check.within("trendAtLeast", self.trend_at_least, 0.01..=100.0)?;
        check.within(
            "trendHorizonSeconds",
            self.trend_horizon_seconds,
            1.0..=LONGEST,
        )?;
        check.within("engineSpeedAbove", self.engine_speed_above, 0.0..=10_000.0)?;
        check.within("engineRunSeconds", self.engine_run_seconds, 0.0..=3600.0)?;
        check.seconds("clearAfterSeconds", self.clear_after_seconds)?;
        check.seconds("cooldownSeconds", self.cooldown_seconds)
    }
}

/// What is known of a vehicle's battery. Times in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    window: Window<4, 32>,
    /// Since when the engine runs, and when it was last told that it does.
    running: Option<(i64, i64)>,
    /// The last pause between two such reports.
    #[serde(skip_serializing_if = "is_zero")]
    pause: i64,
    /// Voltages that came after the last of them.
    #[serde(skip_serializing_if = "Window::is_empty")]
    unconfirmed: Window<4, 32>,
    episode: Episode,
}

/// Takes in an event.
pub(crate) fn observe(
    rule: &ChargingFailure,
    state: &mut State,
    event: &Telemetry,
) -> Vec<Finding> {
    if !rule.enabled || (event.battery_voltage.is_none() && event.engine_speed.is_none()) {
        return Vec::new();
    }
    let confirmed = state.follow_engine(rule, event);
    let now = event.time.as_microsecond();
    match event.battery_voltage {
        Some(value) if value.is_finite() && state.is_running(rule, event) => {
            if state.running.is_some_and(|(_, told)| now <= told) {
                state.window.add(now, value);
                return judge(rule, state, event).into_iter().collect();
            }
            state.unconfirmed.add(now, value);
        }
        _ => {}
    }
    if confirmed {
        return judge(rule, state, event).into_iter().collect();
    }
    Vec::new()
}

fn is_zero(pause: &i64) -> bool {
    *pause == 0
}

impl State {
    /// Takes in what is told of the engine; true when that confirms voltages that came before.
    fn follow_engine(&mut self, rule: &ChargingFailure, event: &Telemetry) -> bool {
        let now = event.time.as_microsecond();
        match event.engine_speed {
            Some(rpm) if rpm > rule.engine_speed_above => {
                let fresh = self.running.filter(|r| now - r.1 <= FRESH);
                let (since, told) = fresh.unwrap_or((now, now));
                self.running = Some((since, told.max(now)));
                let pause = (now - told).max(0);
                let usual = fresh.is_some() && pause <= APART.max(self.pause.saturating_mul(USUAL));
                if pause > 0 {
                    self.pause = pause;
                }
                if self.unconfirmed.is_empty() {
                    return false;
                }
                if usual {
                    self.window.absorb(&mut self.unconfirmed);
                } else {
                    self.unconfirmed.clear();
                }
                usual
            }
            Some(_) => {
                self.running = None;
                self.window.clear();
                self.unconfirmed.clear();
                false
            }
            None => false,
        }
    }

    fn is_running(&self, rule: &ChargingFailure, event: &Telemetry) -> bool {
        let now = event.time.as_microsecond();
        self.running.is_some_and(|(since, told)| {
            let here = (now - since) as f64 / 1e6;
            let run = event.engine_run_time.map_or(here, |t| t.min(here));
            now - told <= FRESH && run > rule.engine_run_seconds
        })
    }
}

struct Judged {
    severity: Severity,
    threshold: f64,
    trend: Option<f64>,
    seconds_to_limit: Option<f64>,
}

fn judge(rule: &ChargingFailure, state: &mut State, event: &Telemetry) -> Option<Finding> {
    let level = state.window.median(LEVEL)?;
    let judged = wrong(rule, state, level);
    let verdict = match &judged {
        Some(judged) => Verdict::Wrong(judged.severity),
        None if level >= rule.clear_at => Verdict::Clear,
        None => Verdict::Between,
    };
    let pace = Pace {
        clear_after: rule.clear_after_seconds,
        cooldown: rule.cooldown_seconds,
    };
    let raised = state.episode.judge(event.time, verdict, pace)?;
    let judged = judged?;
    Some(Finding {
        rule: RULE.into(),
        severity: judged.severity,
        episode: raised.id(&event.vehicle, RULE, ""),
        event_time: raised.time,
        signal: SIGNAL.into(),
        value: tenths(level),
        threshold: judged.threshold,
        trend_per_minute: judged.trend.map(|t| (t * 100.0).round() / 100.0),
        seconds_to_limit: judged.seconds_to_limit.map(f64::round),
        text: text(level, &judged),
        details: AlertDetails::default(),
        unit: None,
    })
}

fn wrong(rule: &ChargingFailure, state: &State, level: f64) -> Option<Judged> {
    if level >= rule.trend_from {
        return None;
    }
    let trend = fall(rule, &state.window);
    let seconds_to_limit = trend
        .filter(|_| level > rule.critical_below)
        .map(|t| (level - rule.critical_below) / -t * 60.0)
        .filter(|s| *s <= rule.trend_horizon_seconds);
    let (severity, threshold) = if level < rule.critical_below {
        (Severity::Critical, rule.critical_below)
    } else if seconds_to_limit.is_some() {
        (Severity::Warning, rule.critical_below)
    } else if level < rule.warning_below {
        (Severity::Warning, rule.warning_below)
    } else {
        return None;
    };
    Some(Judged {
        severity,
        threshold,
        trend,
        seconds_to_limit,
    })
}

/// A fall in V per minute, less than 0, that is no step: it changes no more than it says, and goes on to the end.
fn fall(rule: &ChargingFailure, window: &Window<4, 32>) -> Option<f64> {
    let trend = window
        .trend_per_minute(FALL.0)
        .filter(|t| -t >= rule.trend_at_least)?;
    let steady = trend / 60.0 * FALL.0 * 2.0 / 3.0;
    let steps = window.change(FALL.0)? < 1.5 * steady;
    let goes_on = window.trend_per_minute(FALL.1)? <= trend / 2.0;
    (goes_on && !steps).then_some(trend)
}

fn text(level: f64, judged: &Judged) -> String {
    let now = format!("Battery at {level:.1} V while the engine runs: it is not being charged");
    match judged.seconds_to_limit {
        Some(s) => format!("{now}; {:.1} V in about {}", judged.threshold, duration(s)),
        None => now,
    }
}

#[cfg(test)]
mod tests;
