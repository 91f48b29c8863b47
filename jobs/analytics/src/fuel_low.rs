//! A tank that is nearly empty, and how far the rest lasts.
//!
//! Fuel sloshes: the level of a healthy car dips below 10 % for seconds again and again. Judged is the median over a
//! minute.

use millrace_contract::{AlertDetails, Invalid, Severity, Telemetry};
use serde::{Deserialize, Serialize};

use crate::Finding;
use crate::check::Check;
use crate::episode::{Episode, Pace, Verdict};
use crate::finding::tenths;
use crate::window::Window;

/// The rule's name in alerts.
pub const RULE: &str = "fuel-low";
const SIGNAL: &str = "fuel_level";
/// The level is the median over this many seconds.
const LEVEL: f64 = 60.0;
/// Longer steps between events are pauses, in seconds.
const LONGEST_STEP: f64 = 90.0;
/// So many kilometres must be seen before the consumption is believed …
const BELIEVED: f64 = 5.0;
/// … and older ones than about this many fade.
const REMEMBERED: f64 = 50.0;

/// Thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct FuelLow {
    /// Whether the rule is used.
    pub enabled: bool,
    /// At or below this the level is told of, in %.
    pub low_at: f64,
    /// An episode ends when the level stays at or above this …
    pub clear_at: f64,
    /// … for this many seconds.
    pub clear_after_seconds: f64,
    /// After the end of an episode no new one begins for this many seconds.
    pub cooldown_seconds: f64,
    /// What the tank holds, in litres.
    pub tank_litres: f64,
    /// Consumption for as long as none was seen (fields `fuel_rate` and `speed`), in litres per 100 km.
    pub litres_per_100_kilometres: f64,
}

impl Default for FuelLow {
    fn default() -> Self {
        Self {
            enabled: true,
            low_at: 10.0,
            clear_at: 15.0,
            clear_after_seconds: 120.0,
            cooldown_seconds: 1800.0,
            tank_litres: 50.0,
            litres_per_100_kilometres: 8.0,
        }
    }
}

impl FuelLow {
    /// Checks that the thresholds fit together; `path` is put before field names.
    ///
    /// # Errors
    /// Names the first field that does not fit.
    pub fn validate(&self, path: &str) -> Result<(), Invalid> {
        let check = Check { path };
        check.within("lowAt", self.low_at, 0.0..=100.0)?;
        check.within("clearAt", self.clear_at, 0.0..=100.0)?;
        check.below(
            ("lowAt", self.low_at),
            ("clearAt", self.clear_at),
            "keep lowAt < clearAt",
        )?;
        check.within("tankLitres", self.tank_litres, 0.1..=10_000.0)?;
        check.within(
            "litresPer100Kilometres",
            self.litres_per_100_kilometres,
            0.1..=1000.0,
        )?;
        check.seconds("clearAfterSeconds", self.clear_after_seconds)?;
        check.seconds("cooldownSeconds", self.cooldown_seconds)
    }
}

/// What is known of a vehicle's fuel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    window: Window<10, 12>,
    /// Time of the newest event with a rate of consumption, in microseconds.
    newest: Option<i64>,
    speed: Option<f64>,
    /// Seen lately, older ones fading.
    litres: f64,
    kilometres: f64,
    episode: Episode,
}

/// Takes in an event.
pub(crate) fn observe(rule: &FuelLow, state: &mut State, event: &Telemetry) -> Vec<Finding> {
    if !rule.enabled || (event.fuel_level.is_none() && event.fuel_rate.is_none()) {
        return Vec::new();
    }
    state.consume(event);
    match event.fuel_level {
        Some(value) if value.is_finite() => take(rule, state, event, value).into_iter().collect(),
        _ => Vec::new(),
    }
}

impl State {
    fn consume(&mut self, event: &Telemetry) {
        self.speed = event.speed.or(self.speed);
        let (Some(rate), Some(speed)) = (event.fuel_rate, self.speed) else {
            return;
        };
        let now = event.time.as_microsecond();
        let step = self
            .newest
            .map_or(0.0, |t| now.saturating_sub(t) as f64 / 1e6);
        self.newest = Some(self.newest.map_or(now, |t| t.max(now)));
        if !(0.0..=LONGEST_STEP).contains(&step) {
            return;
        }
        let hours = step / 3600.0;
        let fading = (-(speed * hours) / REMEMBERED).exp();
        self.litres = self.litres * fading + rate.max(0.0) * hours;
        self.kilometres = self.kilometres * fading + speed.max(0.0) * hours;
    }

    /// How far `level` percent of the tank last, in km.
    fn range(&self, rule: &FuelLow, level: f64) -> f64 {
        let seen = self.litres / self.kilometres * 100.0;
        let consumption = if self.kilometres >= BELIEVED && (0.1..=1000.0).contains(&seen) {
            seen
        } else {
            rule.litres_per_100_kilometres
        };
        level / 100.0 * rule.tank_litres / consumption * 100.0
    }
}

fn take(rule: &FuelLow, state: &mut State, event: &Telemetry, value: f64) -> Option<Finding> {
    state.window.add(event.time.as_microsecond(), value);
    let level = state.window.median(LEVEL)?;
    let verdict = if level <= rule.low_at {
        Verdict::Wrong(Severity::Info)
    } else if level >= rule.clear_at {
        Verdict::Clear
    } else {
        Verdict::Between
    };
    let pace = Pace {
        clear_after: rule.clear_after_seconds,
        cooldown: rule.cooldown_seconds,
    };
    let raised = state.episode.judge(event.time, verdict, pace)?;
    let range = state.range(rule, level).round();
    Some(Finding {
        rule: RULE.into(),
        severity: Severity::Info,
        episode: raised.id(&event.vehicle, RULE, ""),
        event_time: raised.time,
        signal: SIGNAL.into(),
        value: tenths(level),
        threshold: rule.low_at,
        trend_per_minute: None,
        seconds_to_limit: None,
        text: format!("{level:.0} % of fuel left, for about {range:.0} km"),
        details: AlertDetails {
            range_km: Some(range),
            ..AlertDetails::default()
        },
        unit: None,
    })
}

#[cfg(test)]
mod tests;
