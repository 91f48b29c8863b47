//! What a healthy vehicle would have measured, for signals that a trip lacks. Drawn from a stream for each vehicle
//! and signal: the same trip gets the same baseline, whatever else is injected.

use super::{Fault, Wheel};
use crate::Trip;
use crate::random::{Random, hash, quantise};
use crate::tyre::{FILLED_AT, RESOLUTION, Tyre};

/// A charging alternator, and a battery at rest, V.
const CHARGING: f64 = 14.1;
const AT_REST: f64 = 12.6;
/// As the carobd trips show it while the engine runs: deviation (V), correlation over a second, resolution (V).
const VOLTAGE_NOISE: (f64, f64, f64) = (0.1, 0.25, 0.02);
/// Pressure to which tyres are filled, kPa.
const FILLED_TO: f64 = 230.0;
/// Fuel at the start (%), size of the tank (l), how much the float swings (%), resolution (1/255 in %).
const FUEL: (f64, f64, f64, f64) = (60.0, 45.0, 0.4, 100.0 / 255.0);
/// Litres an hour at idle, and for each km/h.
const CONSUMPTION: (f64, f64) = (0.8, 0.06);
/// Warm-up of the coolant: K a minute while idling, and besides for each km/h …
const WARMING: (f64, f64) = (7.5, 0.25);
/// … until the thermostat opens and is open, °C: as carobd shows them, half a minute more or less.
const THERMOSTAT: (f64, f64) = (80.0, 88.0);
/// How the regulated coolant swings: deviation (K), over how long (s); and what a sensor tells apart (K).
const COOLANT_NOISE: (f64, f64, f64) = (1.2, 60.0, 1.0);
/// How fast a standing engine cools, s.
const COOLING_DOWN: f64 = 7200.0;
/// Signals that only a vehicle with a combustion engine has.
const OF_ENGINE: &[&str] = &[
    "engine_speed",
    "engine_load",
    "engine_run_time",
    "fuel_rate",
    "mass_air_flow",
    "intake_manifold_pressure",
    "oil_temperature",
];
/// Longer gaps between samples are pauses, s.
const LONGEST_STEP: f64 = 60.0;

/// Adds the signals on which a fault acts, where no sample has them.
pub(super) fn provide(trip: &mut Trip, fault: Fault) {
    let seed = hash(&trip.vehicle);
    match fault {
        Fault::CoolantRamp | Fault::CoolantCold => coolant(trip, seed),
        Fault::ChargingFailure => battery(trip, seed),
        Fault::SlowPuncture => {
            for wheel in Wheel::ALL {
                tyre(trip, seed, wheel);
            }
        }
        Fault::FuelLeak => fuel(trip, seed),
        Fault::Dtc => codes(trip),
    }
}

/// Whether any sample has a number in this field.
fn has(trip: &Trip, field: &str) -> bool {
    trip.samples.iter().any(|s| s.number(field).is_some())
}

/// Whether the vehicle has an engine that has coolant.
pub(super) fn has_engine(trip: &Trip) -> bool {
    OF_ENGINE.iter().any(|field| has(trip, field))
}

/// Seconds from the sample before to each sample.
fn steps(trip: &Trip) -> Vec<f64> {
    let mut before = None;
    trip.samples
        .iter()
        .map(|s| {
            let step = before.map_or(0.0, |b| s.time.duration_since(b).as_secs_f64());
            before = Some(s.time);
            step.clamp(0.0, LONGEST_STEP)
        })
        .collect()
}

fn battery(trip: &mut Trip, seed: u64) {
    if has(trip, "battery_voltage") {
        return;
    }
    let mut random = Random::new(seed, "baseline battery");
    let (deviation, correlation, resolution) = VOLTAGE_NOISE;
    let mut noise = 0.0;
    for sample in &mut trip.samples {
        noise = correlation * noise
            + (1.0 - correlation * correlation).sqrt() * deviation * random.gaussian();
        // No more than three deviations: a regulator limits.
        noise = noise.clamp(-3.0 * deviation, 3.0 * deviation);
        let stands = sample.engine_speed.is_some_and(|rpm| rpm < 100.0);
        let level = if stands { AT_REST } else { CHARGING };
        sample.battery_voltage = Some(quantise(level + noise, resolution));
    }
}

fn coolant(trip: &mut Trip, seed: u64) {
    if has(trip, "coolant_temperature") {
        return;
    }
    let mut random = Random::new(seed, "baseline coolant");
    let outside = trip.samples.iter().find_map(|s| {
        let intake = s.intake_air_temperature;
        s.ambient_temperature.or(intake)
    });
    let outside = outside.unwrap_or(FILLED_AT);
    let (deviation, over, resolution) = COOLANT_NOISE;
    let (mut level, mut speed, mut swing) = (outside, 0.0, 0.0);
    let steps = steps(trip);
    for (sample, step) in trip.samples.iter_mut().zip(steps) {
        speed = sample.speed.unwrap_or(speed);
        if sample.engine_speed.is_some_and(|rpm| rpm < 100.0) {
            level = outside + (level - outside) * (-step / COOLING_DOWN).exp();
        } else {
            let (opens, open) = THERMOSTAT;
            let closed = ((open - level) / (open - opens)).clamp(0.0, 1.0);
            level += (WARMING.0 + WARMING.1 * speed) / 60.0 * step * closed;
            level = level.min(open);
        }
        let kept: f64 = (-step / over).exp();
        swing = kept * swing + (1.0 - kept * kept).sqrt() * deviation * random.gaussian();
        // Fan and thermostat keep it within three deviations.
        swing = swing.clamp(-3.0 * deviation, 3.0 * deviation);
        let regulated = swing * (level / THERMOSTAT.1).clamp(0.0, 1.0);
        sample.coolant_temperature = Some(quantise(level + regulated, resolution));
    }
}

fn tyre(trip: &mut Trip, seed: u64, wheel: Wheel) {
    let pressure = format!("tyre_pressure_{}", wheel.name());
    let temperature = format!("tyre_temperature_{}", wheel.name());
    if has(trip, &pressure) {
        return;
    }
    let outside = trip.samples.iter().find_map(|s| s.ambient_temperature);
    let mut ambient = outside.unwrap_or(FILLED_AT);
    let mut tyre = Tyre {
        cold: FILLED_TO,
        air: ambient,
    };
    let mut random = Random::new(seed, &pressure);
    let with_temperature = !has(trip, &temperature);
    let steps = steps(trip);
    let mut speed = 0.0;
    for (sample, step) in trip.samples.iter_mut().zip(steps) {
        ambient = sample.ambient_temperature.unwrap_or(ambient);
        speed = sample.speed.unwrap_or(speed);
        tyre.drive(step, speed, ambient);
        let measured = tyre.pressure() + random.noise(0.4);
        if let Some(slot) = sample.number_mut(&pressure) {
            *slot = Some(quantise(measured, RESOLUTION.0));
        }
        if with_temperature && let Some(slot) = sample.number_mut(&temperature) {
            *slot = Some(quantise(tyre.air, RESOLUTION.1));
        }
    }
}

fn fuel(trip: &mut Trip, seed: u64) {
    if has(trip, "fuel_level") {
        return;
    }
    let mut random = Random::new(seed, "baseline fuel");
    let (start, tank, swing, resolution) = FUEL;
    let mut litres = start / 100.0 * tank;
    let steps = steps(trip);
    let mut speed = 0.0;
    for (sample, step) in trip.samples.iter_mut().zip(steps) {
        speed = sample.speed.unwrap_or(speed);
        let rate = sample
            .fuel_rate
            .unwrap_or(CONSUMPTION.0 + CONSUMPTION.1 * speed);
        litres = (litres - rate * step / 3600.0).max(0.0);
        let level = (litres / tank * 100.0 + random.noise(swing)).clamp(0.0, 100.0);
        sample.fuel_level = Some(quantise(level, resolution).min(100.0));
    }
}

fn codes(trip: &mut Trip) {
    let known = |s: &millrace_contract::Telemetry| s.mil_on.is_some() || s.dtc_list.is_some();
    if trip.samples.iter().any(known) {
        return;
    }
    for sample in &mut trip.samples {
        sample.mil_on = Some(false);
        sample.dtc_list = Some(Vec::new());
        sample.dtc_count = Some(0.0);
    }
}
