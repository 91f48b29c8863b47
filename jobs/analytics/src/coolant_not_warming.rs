//! Coolant that does not get warm, though the engine works: a thermostat that stays open. It costs fuel and wear.
//!
//! Cold engines need their time: a car that starts in frost may end a short drive at 50 °C and be healthy. So
//! - only *work* counts: time with the engine running, in full while driving under load, less when rolling or slow,
//!   a quarter when standing;
//! - the colder it is outside, the more work is asked for;
//! - coolant that still rises is on its way;
//! - a car that stood or rolled for the last minutes is not judged.

use millrace_contract::{AlertDetails, Invalid, Severity, Telemetry};
use serde::{Deserialize, Serialize};

use crate::Finding;
use crate::check::{Check, LONGEST};
use crate::episode::{Episode, Pace, Verdict};
use crate::finding::tenths;
use crate::window::Window;

/// The rule's name in alerts.
pub const RULE: &str = "coolant-not-warming";
const SIGNAL: &str = "coolant_temperature";
/// Slower, the engine does not run, 1/min.
const RUNNING: f64 = 400.0;
/// Longer steps between events are pauses, in seconds.
const LONGEST_STEP: f64 = 90.0;
/// The share of the work when standing.
const STANDING: f64 = 0.25;
/// From this speed on work counts in full, km/h.
const DRIVING: f64 = 30.0;
/// From this engine load on work counts in full, %; below, the engine is rolling along.
const LOADED: f64 = 30.0;
/// How long the memory for the present work lasts, in seconds.
const PRESENT: f64 = 300.0;
/// Less work than this in the last minutes warms no engine in the cold.
const ENOUGH_NOW: f64 = 0.4;
/// Trends are taken over this many seconds.
const TREND: f64 = 240.0;

/// Thresholds; temperatures in °C.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct CoolantNotWarming {
    /// Whether the rule is used.
    pub enabled: bool,
    /// Below, the engine is not warm.
    pub warm_at: f64,
    /// So many seconds of driving warm the engine at 20 °C outside or more.
    pub work_seconds: f64,
    /// So many more for each °C that it is colder than 20 °C outside.
    pub work_seconds_per_degree: f64,
    /// Coolant that rises at least this fast, in °C per minute, is warming.
    pub rising_at_least: f64,
    /// An episode ends when the coolant stays at or above this …
    pub clear_at: f64,
    /// … for this many seconds.
    pub clear_after_seconds: f64,
    /// After the end of an episode no new one begins for this many seconds.
    pub cooldown_seconds: f64,
}

impl Default for CoolantNotWarming {
    fn default() -> Self {
        Self {
            enabled: true,
            // Thermostats open between 80 and 95 °C.
            warm_at: 70.0,
            // The slowest healthy car of the recorded trips needs 13 minutes in a summer jam.
            work_seconds: 720.0,
            work_seconds_per_degree: 25.0,
            rising_at_least: 1.0,
            clear_at: 74.0,
            clear_after_seconds: 60.0,
            cooldown_seconds: 1800.0,
        }
    }
}

impl CoolantNotWarming {
    /// Checks that the thresholds fit together; `path` is put before field names.
    ///
    /// # Errors
    /// Names the first field that does not fit.
    pub fn validate(&self, path: &str) -> Result<(), Invalid> {
        let check = Check { path };
        check.within("warmAt", self.warm_at, 20.0..=110.0)?;
        check.within("clearAt", self.clear_at, 20.0..=120.0)?;
        check.below(
            ("warmAt", self.warm_at),
            ("clearAt", self.clear_at),
            "keep warmAt < clearAt",
        )?;
        check.within("workSeconds", self.work_seconds, 60.0..=LONGEST)?;
        check.within(
            "workSecondsPerDegree",
            self.work_seconds_per_degree,
            0.0..=3600.0,
        )?;
        check.within("risingAtLeast", self.rising_at_least, 0.0..=100.0)?;
        check.seconds("clearAfterSeconds", self.clear_after_seconds)?;
        check.seconds("cooldownSeconds", self.cooldown_seconds)
    }

    /// Seconds of work that ought to warm the engine.
    fn needed(&self, coldest: f64) -> f64 {
        self.work_seconds + self.work_seconds_per_degree * (20.0 - coldest).max(0.0)
    }
}

/// What is known of a vehicle's engine and its warmth.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    window: Window<20, 12>,
    /// Time of the newest event, in microseconds.
    newest: Option<i64>,
    engine_speed: Option<f64>,
    speed: Option<f64>,
    engine_load: Option<f64>,
    /// Lowest temperature of air or coolant since the engine was started: the best guess of the outside.
    coldest: Option<f64>,
    /// Seconds of work since then.
    work: f64,
    /// Share of work in the last minutes, 0 to 1.
    present: f64,
    episode: Episode,
}

/// Takes in an event.
pub(crate) fn observe(
    rule: &CoolantNotWarming,
    state: &mut State,
    event: &Telemetry,
) -> Vec<Finding> {
    if !rule.enabled || (event.coolant_temperature.is_none() && event.engine_speed.is_none()) {
        return Vec::new();
    }
    state.advance(rule, event);
    match event.coolant_temperature {
        Some(value) if value.is_finite() => take(rule, state, event, value).into_iter().collect(),
        _ => Vec::new(),
    }
}

impl State {
    /// Counts the work since the event before.
    fn advance(&mut self, rule: &CoolantNotWarming, event: &Telemetry) {
        let now = event.time.as_microsecond();
        let step = self
            .newest
            .map_or(0.0, |t| (now.saturating_sub(t)) as f64 / 1e6)
            .max(0.0);
        self.newest = Some(self.newest.map_or(now, |t| t.max(now)));
        self.engine_speed = event.engine_speed.or(self.engine_speed);
        self.speed = event.speed.or(self.speed);
        self.engine_load = event.engine_load.or(self.engine_load);
        let runs = self.engine_speed.is_some_and(|rpm| rpm >= RUNNING);
        if !runs || step > LONGEST_STEP {
            self.work = (self.work - step).max(0.0);
            self.present = 0.0;
            if self.work == 0.0 {
                self.window.clear();
                self.coldest = None;
            }
            return;
        }
        let share = self.share();
        // Work beyond what is asked for is not saved up for the time after a pause.
        let most = rule.needed(self.coldest.unwrap_or(20.0)) + 60.0;
        self.work = (self.work + share * step).min(most);
        self.present += (share - self.present) * (1.0 - (-step / PRESENT).exp());
        let outside = [
            event.ambient_temperature,
            event.intake_air_temperature,
            event.coolant_temperature,
        ];
        self.coldest = outside
            .into_iter()
            .flatten()
            .chain(self.coldest)
            .reduce(f64::min);
    }

    /// How much of the present time counts as work, 0 to 1.
    fn share(&self) -> f64 {
        let loaded = self.engine_load.map(|l| (l / LOADED).clamp(0.0, 1.0));
        match (self.speed, loaded) {
            (Some(speed), loaded) => {
                let moving = (speed / DRIVING).clamp(0.0, 1.0) * loaded.unwrap_or(1.0);
                STANDING + (1.0 - STANDING) * moving
            }
            // Standing engines are not without load: it counts half.
            (None, Some(loaded)) => STANDING + 0.5 * (1.0 - STANDING) * loaded,
            (None, None) => STANDING,
        }
    }

    fn verdict(&self, rule: &CoolantNotWarming, level: f64) -> Verdict {
        if level >= rule.clear_at {
            return Verdict::Clear;
        }
        let needed = rule.needed(self.coldest.unwrap_or(0.0));
        if level >= rule.warm_at || self.work < needed || self.present < ENOUGH_NOW {
            return Verdict::Between;
        }
        match self.window.trend_per_minute(TREND) {
            Some(trend) if trend < rule.rising_at_least => Verdict::Wrong(Severity::Warning),
            _ => Verdict::Between,
        }
    }
}

fn take(
    rule: &CoolantNotWarming,
    state: &mut State,
    event: &Telemetry,
    value: f64,
) -> Option<Finding> {
    // A standing engine cools: what it shows then says nothing.
    if !state.engine_speed.is_some_and(|rpm| rpm >= RUNNING) {
        return None;
    }
    state.window.add(event.time.as_microsecond(), value);
    let level = state.window.level()?;
    let pace = Pace {
        clear_after: rule.clear_after_seconds,
        cooldown: rule.cooldown_seconds,
    };
    let raised = state
        .episode
        .judge(event.time, state.verdict(rule, level), pace)?;
    Some(Finding {
        rule: RULE.into(),
        severity: Severity::Warning,
        episode: raised.id(&event.vehicle, RULE, ""),
        event_time: raised.time,
        signal: SIGNAL.into(),
        value: tenths(level),
        threshold: rule.warm_at,
        trend_per_minute: state.window.trend_per_minute(TREND).map(tenths),
        seconds_to_limit: None,
        text: format!(
            "Engine coolant still at {level:.0} °C after {:.0} minutes of driving; {:.0} °C were to be expected",
            state.work / 60.0,
            rule.warm_at
        ),
        details: AlertDetails::default(),
        unit: None,
    })
}

#[cfg(test)]
mod tests;
