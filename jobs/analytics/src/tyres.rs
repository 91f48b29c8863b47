//! The tyres of a vehicle: their pressures, freed from temperature and compared with each other.
//!
//! A gauge shows pressure above that of the air outside, which rises and falls with the temperature of the air in
//! the tyre by about 1 % for 3 K. Here all pressures are those at [`REFERENCE`], by the gas law on absolute pressure:
//! with the temperature of the tyre, else that outside. What is left of weather and driving is alike in all tyres,
//! so a loss of air is what one loses more than the others, against what it had itself (its *baseline*).

pub(crate) mod low;
pub(crate) mod puncture;

use millrace_contract::Telemetry;
use serde::{Deserialize, Serialize};

use crate::Finding;
use crate::window::Window;

pub use low::TyrePressureLow;
pub use puncture::SlowPuncture;

/// Pressures are those at this temperature, °C.
pub const REFERENCE: f64 = 20.0;
const KELVIN: f64 = 273.15;
/// Pressure of the air outside, kPa.
const ATMOSPHERE: f64 = 101.325;
/// Tyres are compared when both were heard of within this time, in microseconds.
const TOGETHER: i64 = 600_000_000;
/// Tyres lose this much a day through the rubber, kPa: no fault.
const DIFFUSION: f64 = 0.2;
const DAY: f64 = 86_400e6;
/// Trends are taken over the first of these, in seconds; over the second where sensors send once in some minutes.
const TRENDS: [f64; 2] = [180.0, 1500.0];
/// A loss that just began is faster than the trend tells; then this one, in seconds, is nearer.
const LATE: f64 = 90.0;

/// A tyre that bursts or is cut loses its air within this, in seconds.
const SUDDEN: f64 = 30.0;

/// Name of the wheel, and the field of its pressure.
const WHEELS: [(&str, &str); 4] = [
    ("front_left", "tyre_pressure_front_left"),
    ("front_right", "tyre_pressure_front_right"),
    ("rear_left", "tyre_pressure_rear_left"),
    ("rear_right", "tyre_pressure_rear_right"),
];

/// What is known of a vehicle's tyres.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    wheels: [Wheel; 4],
    /// Outside, °C.
    #[serde(skip_serializing_if = "Option::is_none")]
    ambient: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Wheel {
    /// Pressures at [`REFERENCE`].
    window: Window<10, 24>,
    /// Of the air in it, °C, as last told.
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    /// What it had, kPa, and when that was, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<(f64, i64)>,
    /// Up to when diffusion was taken off the baseline, where that is later.
    #[serde(skip_serializing_if = "Option::is_none")]
    diffused: Option<i64>,
    low: crate::episode::Episode,
    puncture: crate::episode::Episode,
}

/// One wheel, as the rules see it.
#[derive(Debug, Clone, Copy)]
struct View {
    /// Index in [`WHEELS`].
    wheel: usize,
    /// Pressure at [`REFERENCE`], kPa.
    level: f64,
    baseline: f64,
    /// What it lost, kPa; less what the others lost, where there are others.
    lost: f64,
    /// Whether there are others to compare with.
    compared: bool,
    /// Whether the temperature of its own air is known.
    own_temperature: bool,
    /// Whether that is known, or the one outside.
    compensated: bool,
}

impl View {
    fn is_front(self) -> bool {
        self.wheel < 2
    }

    fn name(self) -> &'static str {
        WHEELS[self.wheel].0
    }

    fn signal(self) -> &'static str {
        WHEELS[self.wheel].1
    }

    /// For texts: `Front left tyre at 180 kPa`.
    fn shown(self) -> String {
        let name = match self.wheel {
            0 => "Front left",
            1 => "Front right",
            2 => "Rear left",
            _ => "Rear right",
        };
        format!("{name} tyre at {:.0} kPa", self.level)
    }
}

/// Takes in an event, for both rules of tyres.
pub(crate) fn observe(
    low: &TyrePressureLow,
    puncture: &SlowPuncture,
    state: &mut State,
    event: &Telemetry,
) -> Vec<Finding> {
    if let Some(ambient) = event.ambient_temperature.filter(|t| t.is_finite()) {
        state.ambient = Some(ambient);
    }
    let readings = [
        (
            event.tyre_pressure_front_left,
            event.tyre_temperature_front_left,
        ),
        (
            event.tyre_pressure_front_right,
            event.tyre_temperature_front_right,
        ),
        (
            event.tyre_pressure_rear_left,
            event.tyre_temperature_rear_left,
        ),
        (
            event.tyre_pressure_rear_right,
            event.tyre_temperature_rear_right,
        ),
    ];
    if !(low.enabled || puncture.enabled) || readings.iter().all(|r| r.0.is_none() && r.1.is_none())
    {
        return Vec::new();
    }
    for (wheel, (pressure, temperature)) in state.wheels.iter_mut().zip(readings) {
        wheel.take(pressure, temperature, state.ambient, event);
    }
    let mut found = Vec::new();
    for (wheel, _) in readings.iter().enumerate().filter(|(_, r)| r.0.is_some()) {
        let Some(view) = state.view(wheel) else {
            continue;
        };
        // Dear, and of no use before something is lost.
        let trends = (puncture.enabled && view.lost >= puncture.lost_at_least)
            .then(|| state.trends(wheel))
            .flatten();
        let wheel = &mut state.wheels[wheel];
        found.extend(puncture::judge(
            puncture,
            &mut wheel.puncture,
            view,
            trends,
            event,
        ));
        // A loss that is too fast for a trend is low at once: it is one fault all the same.
        let sudden = puncture.enabled
            && !wheel.puncture.is_open()
            && !wheel.low.is_open()
            && low::is_low(low, view);
        if sudden && let Some(trends) = wheel.sudden(puncture.lost_at_least) {
            let episode = &mut wheel.puncture;
            found.extend(puncture::judge(
                puncture,
                episode,
                view,
                Some(trends),
                event,
            ));
        }
        // Whoever knows that the tyre loses air need not be told that it has little.
        if !(puncture.enabled && wheel.puncture.is_open()) {
            found.extend(low::judge(low, &mut wheel.low, view, event));
        }
    }
    found
}

impl Wheel {
    fn take(
        &mut self,
        pressure: Option<f64>,
        temperature: Option<f64>,
        ambient: Option<f64>,
        event: &Telemetry,
    ) {
        if let Some(temperature) = temperature.filter(|t| t.is_finite()) {
            self.temperature = Some(temperature);
        }
        let Some(pressure) = pressure.filter(|p| p.is_finite()) else {
            return;
        };
        let temperature = self.temperature.or(ambient).unwrap_or(REFERENCE);
        let now = event.time.as_microsecond();
        self.window.add(now, at_reference(pressure, temperature));
        let Some(level) = self.window.level() else {
            return;
        };
        self.follow_baseline(level, now);
    }

    fn follow_baseline(&mut self, level: f64, now: i64) {
        let before = self.baseline.map(|(before, at)| {
            let days = now.saturating_sub(self.diffused.unwrap_or(at)) as f64 / DAY;
            // Only once it counts: the state shall stay short.
            let diffusion = days * DIFFUSION;
            (before, at, if diffusion >= 0.1 { diffusion } else { 0.0 })
        });
        match before {
            Some((before, at, diffusion)) if level < before - diffusion => {
                if diffusion > 0.0 {
                    // When it had that stays: by it the speed of a loss during a pause is told.
                    self.baseline = Some((before - diffusion, at));
                    self.diffused = Some(now);
                }
            }
            // New, filled up, or not lower than diffusion explains.
            _ => {
                self.baseline = Some((level, now));
                self.diffused = None;
            }
        }
    }

    fn lost(&self) -> Option<f64> {
        Some(self.baseline?.0 - self.window.level()?)
    }

    /// A fall by at least that many kPa since [`SUDDEN`] ago, or since the pause before, which no trend tells yet.
    fn sudden(&self, at_least: f64) -> Option<Trends> {
        let (before, ago) = self.window.median_before(SUDDEN)?;
        let fell = self.window.level()? - before;
        let rate = fell * 60.0 / ago;
        (-fell >= at_least).then_some(Trends {
            steady: rate,
            latest: rate,
        })
    }

    /// kPa per minute; after a pause in which the air went, as the mean since the tyre had what it had.
    fn trend(&self) -> Option<f64> {
        let trend = TRENDS
            .iter()
            .find_map(|seconds| self.window.trend_per_minute(*seconds));
        trend.or_else(|| {
            let minutes = (self.window.newest()? - self.baseline?.1) as f64 / 60e6;
            (minutes >= 1.0).then_some(-self.lost()? / minutes)
        })
    }
}

/// How fast a tyre loses air, in kPa per minute, less than 0; the others' loss is taken off.
#[derive(Debug, Clone, Copy)]
struct Trends {
    /// By which it is judged.
    steady: f64,
    /// By which the time is told that is left.
    latest: f64,
}

impl State {
    /// The other wheels that were heard of lately.
    fn others(&self, wheel: usize) -> impl Iterator<Item = &Wheel> {
        let newest = self.wheels[wheel].window.newest().unwrap_or(i64::MIN);
        self.wheels
            .iter()
            .enumerate()
            .filter(move |(i, w)| {
                let heard = w.window.newest();
                *i != wheel && heard.is_some_and(|heard| newest.saturating_sub(heard) <= TOGETHER)
            })
            .map(|(_, w)| w)
    }

    fn view(&self, wheel: usize) -> Option<View> {
        let own = &self.wheels[wheel];
        let others_lost = median(self.others(wheel).filter_map(Wheel::lost));
        Some(View {
            wheel,
            level: own.window.level()?,
            baseline: own.baseline?.0,
            lost: own.lost()? - others_lost.unwrap_or(0.0),
            compared: others_lost.is_some(),
            own_temperature: own.temperature.is_some(),
            compensated: own.temperature.or(self.ambient).is_some(),
        })
    }

    fn trends(&self, wheel: usize) -> Option<Trends> {
        let own = &self.wheels[wheel];
        let others = median(self.others(wheel).filter_map(Wheel::trend)).unwrap_or(0.0);
        let steady = own.trend()? - others;
        let late = own.window.trend_per_minute(LATE);
        Some(Trends {
            steady,
            latest: late.map_or(steady, |late| steady.min(late - others)),
        })
    }
}

/// A pressure above ambient at a temperature in °C, as it would be at [`REFERENCE`].
fn at_reference(pressure: f64, temperature: f64) -> f64 {
    (pressure + ATMOSPHERE) * (REFERENCE + KELVIN) / (temperature + KELVIN) - ATMOSPHERE
}

/// The median of up to three; of two, their mean.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    match *sorted.as_slice() {
        [] => None,
        [a, b] => Some((a + b) / 2.0),
        ref all => all.get(all.len() / 2).copied(),
    }
}

#[cfg(test)]
mod tests;
