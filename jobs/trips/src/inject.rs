//! Faults that are put into healthy trips.

mod baseline;
mod parse;

use crate::random::quantise;
use crate::{Trip, TripError, Truth};

/// Names of the faults, with what RATE and OPTION mean and their defaults.
pub const FAULTS: &[(&str, &str)] = &[
    (
        "coolant-ramp",
        "RATE is °C per minute, 5 when absent: the coolant temperature climbs, up to 130 °C",
    ),
    (
        "coolant-cold",
        "RATE is °C, 55 when absent: the thermostat stays open, the coolant hardly gets warmer than that",
    ),
    (
        "charging-failure",
        "RATE is V per minute, 0.5 when absent: the battery voltage falls, down to 8 V",
    ),
    (
        "slow-puncture",
        "RATE is kPa per minute, 8 when absent: a tyre loses air, down to 30 kPa. OPTION is the wheel: \
         front_left, front_right, rear_left (when absent) or rear_right",
    ),
    (
        "fuel-leak",
        "RATE is % of the tank per minute, 2 when absent: the fuel level falls, down to 0",
    ),
    (
        "dtc",
        "instead of RATE trouble codes, P0301 when absent, several with + between: they are stored and the \
         check-engine lamp is lit",
    ),
];

/// What `--help` says about injections.
pub fn inject_help() -> String {
    let mut help =
        "Puts a fault into each trip, SECONDS after its first sample; can be repeated. Faults:"
            .to_owned();
    for (name, what) in FAULTS {
        help.push_str(&format!("\n  {name}: {what}"));
    }
    help
}

/// No coolant gets hotter than this: the pressure cap opens, and the sensor ends.
const COOLANT_LIMIT: f64 = 130.0;
/// Control units fall silent below.
const VOLTAGE_LIMIT: f64 = 8.0;
/// The weight of the car on the rim keeps a sensor from reading nothing at all.
const PRESSURE_LIMIT: f64 = 30.0;
/// How fast coolant loses its warmth to an open thermostat, s.
const COOLING: f64 = 240.0;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The coolant temperature climbs above what it would have been.
    CoolantRamp,
    /// The thermostat is stuck open: the coolant stays cold.
    CoolantCold,
    /// The alternator no longer charges.
    ChargingFailure,
    /// A tyre loses air.
    SlowPuncture,
    /// The tank loses fuel.
    FuelLeak,
    /// Trouble codes are stored and the check-engine lamp is lit.
    Dtc,
}

impl Fault {
    /// All of them, in the order of [`FAULTS`].
    pub const ALL: &[Self] = &[
        Self::CoolantRamp,
        Self::CoolantCold,
        Self::ChargingFailure,
        Self::SlowPuncture,
        Self::FuelLeak,
        Self::Dtc,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::CoolantRamp => "coolant-ramp",
            Self::CoolantCold => "coolant-cold",
            Self::ChargingFailure => "charging-failure",
            Self::SlowPuncture => "slow-puncture",
            Self::FuelLeak => "fuel-leak",
            Self::Dtc => "dtc",
        }
    }

    /// The rule that ought to find it.
    pub fn rule(self) -> &'static str {
        match self {
            Self::CoolantRamp => "overheating",
            Self::CoolantCold => "coolant-not-warming",
            Self::ChargingFailure => "charging-failure",
            Self::SlowPuncture => "slow-puncture",
            Self::FuelLeak => "fuel-low",
            Self::Dtc => "check-engine",
        }
    }

    /// RATE when it is absent.
    pub fn default_rate(self) -> f64 {
        match self {
            Self::CoolantRamp => 5.0,
            Self::CoolantCold => 55.0,
            Self::ChargingFailure => 0.5,
            Self::SlowPuncture => 8.0,
            Self::FuelLeak => 2.0,
            Self::Dtc => 1.0,
        }
    }

    /// Whether it is one of an engine: what has none has no coolant either.
    fn needs_engine(self) -> bool {
        matches!(self, Self::CoolantRamp | Self::CoolantCold)
    }
}

/// A wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wheel {
    /// Left of the front axle.
    FrontLeft,
    /// Right of the front axle.
    FrontRight,
    /// Left of the rear axle.
    RearLeft,
    /// Right of the rear axle.
    RearRight,
}

impl Wheel {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self::FrontLeft,
        Self::FrontRight,
        Self::RearLeft,
        Self::RearRight,
    ];

    /// As in the names of telemetry fields.
    pub fn name(self) -> &'static str {
        match self {
            Self::FrontLeft => "front_left",
            Self::FrontRight => "front_right",
            Self::RearLeft => "rear_left",
            Self::RearRight => "rear_right",
        }
    }
}

/// A fault, from when on, and how fast: `FAULT@SECONDS[:RATE[:OPTION]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// What.
    pub fault: Fault,
    /// Seconds from the first sample of the trip.
    pub seconds: f64,
    /// See [`FAULTS`]; without meaning for trouble codes.
    pub rate: f64,
    /// Which wheel, for a puncture.
    pub wheel: Wheel,
    /// Which trouble codes.
    pub codes: Vec<String>,
}

/// Puts a fault into a trip and notes it in the trip's truth. Signals on which it acts and which the trip lacks
/// are there from the first sample on, healthy: coolant that warms up to 88 °C, battery 14.1 V (12.6 V while the
/// engine stands still), tyres filled to 230 kPa at 20 °C, 60 % of fuel, no trouble codes. No other signal is touched. A fault that would
/// begin after the end of the trip changes nothing and leaves a note.
///
/// # Errors
/// The fault is one of the coolant, and the trip has neither its temperature nor any signal of an engine.
pub fn inject(trip: &mut Trip, injection: &Injection) -> Result<(), TripError> {
    let fault = injection.fault;
    let coolant = |s: &millrace_contract::Telemetry| s.coolant_temperature.is_some();
    if fault.needs_engine() && !baseline::has_engine(trip) && !trip.samples.iter().any(coolant) {
        return Err(TripError::NoEngine {
            fault: fault.name(),
        });
    }
    let (Some(first), Some(last)) = (
        trip.samples.first().map(|s| s.time),
        trip.samples.last().map(|s| s.time),
    ) else {
        return Ok(());
    };
    let length = last.duration_since(first).as_secs_f64();
    if injection.seconds > length {
        trip.notes.push(format!(
            "{injection} changes nothing: the trip ends after {length:.0} s"
        ));
        return Ok(());
    }
    baseline::provide(trip, fault);
    let mut from = None;
    // Coolant and time of the sample before, for what has inertia.
    let mut before: Option<(f64, f64)> = None;
    for sample in &mut trip.samples {
        let elapsed = sample.time.duration_since(first).as_secs_f64() - injection.seconds;
        if elapsed < 0.0 {
            if let Some(coolant) = sample.coolant_temperature {
                before = Some((coolant, elapsed));
            }
            continue;
        }
        from.get_or_insert(sample.time);
        let lost = injection.rate * elapsed / 60.0;
        match fault {
            Fault::CoolantRamp => {
                if let Some(healthy) = sample.coolant_temperature.as_mut() {
                    *healthy = healthy.max((*healthy + lost).min(COOLANT_LIMIT));
                }
            }
            Fault::CoolantCold => {
                if let Some(healthy) = sample.coolant_temperature.as_mut() {
                    let level = injection.rate;
                    // All the air cools, but a hot engine still warms a little more.
                    let open = healthy.min(level) + (*healthy - level).max(0.0) * 0.1;
                    let (was, at) = before.unwrap_or((*healthy, elapsed));
                    let kept = (-(elapsed - at) / COOLING).exp();
                    let cold = if was > open {
                        open + (was - open) * kept
                    } else {
                        open
                    };
                    before = Some((cold, elapsed));
                    *healthy = cold.min(*healthy);
                }
            }
            Fault::ChargingFailure => fall(&mut sample.battery_voltage, lost, VOLTAGE_LIMIT, 0.001),
            Fault::SlowPuncture => {
                let name = format!("tyre_pressure_{}", injection.wheel.name());
                if let Some(pressure) = sample.number_mut(&name) {
                    fall(pressure, lost, PRESSURE_LIMIT, 0.01);
                }
            }
            Fault::FuelLeak => fall(&mut sample.fuel_level, lost, 0.0, 0.01),
            Fault::Dtc => {
                let list = sample.dtc_list.get_or_insert_default();
                let new = injection
                    .codes
                    .iter()
                    .filter(|c| !list.contains(c))
                    .cloned();
                let new: Vec<String> = new.collect();
                list.extend(new);
                sample.dtc_count = Some(list.len() as f64);
                sample.mil_on = Some(true);
            }
        }
    }
    trip.truth.push(Truth {
        vehicle: trip.vehicle.clone(),
        fault: fault.name(),
        injection: injection.to_string(),
        rule: fault.rule(),
        from: from.unwrap_or(last),
        until: last,
    });
    Ok(())
}

/// Lowers a measurement, not below the limit unless it was there already.
fn fall(value: &mut Option<f64>, by: f64, limit: f64, digits: f64) {
    if let Some(healthy) = value.as_mut() {
        *healthy = quantise((*healthy - by).max(healthy.min(limit)), digits);
    }
}

#[cfg(test)]
mod tests;
