//! One plausible car: drives, warms up, is kept at temperature by thermostat and fan. Pure and seeded: the same
//! parameters give the same trip.

use jiff::{SignedDuration, Timestamp};
use millrace_contract::Telemetry;

use crate::Trip;

/// What is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct SimParams {
    /// Vehicle id.
    pub vehicle: String,
    /// Chooses route, traffic and noise.
    pub seed: u64,
    /// Event time of the first sample.
    pub start: Timestamp,
    /// Samples, one a second.
    pub duration_seconds: u32,
    /// Outside temperature, °C.
    pub ambient: f64,
    /// Coolant temperature at the start, °C; `None`: as cold as outside.
    pub coolant_at_start: Option<f64>,
    /// Fuel in the tank at the start, %.
    pub fuel_level: f64,
}

impl Default for SimParams {
    /// Twenty minutes from a cold start at 18 °C.
    fn default() -> Self {
        Self {
            vehicle: "sim-1".to_owned(),
            seed: 1,
            start: Timestamp::UNIX_EPOCH,
            duration_seconds: 1200,
            ambient: 18.0,
            coolant_at_start: None,
            fuel_level: 62.0,
        }
    }
}

/// The model's name in telemetry.
pub const MODEL: &str = "Millrace Compact";

// A compact car with a 1.5 l petrol engine.
const MASS: f64 = 1150.0; // kg
const DRAG: f64 = 0.38; // N per (m/s)², half of air density · c_w · A
const ROLLING: f64 = 125.0; // N
const IDLE_POWER: f64 = 2.2; // kW at the crank for itself and its auxiliaries
const MAX_POWER: f64 = 66.0; // kW
const EFFICIENCY: f64 = 0.28;
const FUEL_ENERGY: f64 = 8.9; // kWh per litre
const TANK: f64 = 45.0; // litres
const HEAT_SHARE: f64 = 0.32; // of the fuel's energy that goes into the coolant
const HEAT_CAPACITY: f64 = 38.0; // kJ/K of engine and coolant
const BLOCK_LOSS: f64 = 0.018; // kW/K
const THERMOSTAT: (f64, f64) = (84.0, 92.0); // °C: begins to open, open
const FAN: (f64, f64) = (96.0, 92.0); // °C: on, off
const GEARS: [f64; 5] = [115.0, 63.0, 43.0, 33.0, 27.0]; // rpm per km/h

/// Simulates one healthy trip. Faults are put in with [`crate::inject()`], which also notes the truth.
pub fn simulate(params: &SimParams) -> Trip {
    let mut random = Random(params.seed ^ 0x9e37_79b9_7f4a_7c15);
    let mut car = Car {
        speed: 0.0,
        target: 0.0,
        until: 5,
        coolant: params.coolant_at_start.unwrap_or(params.ambient),
        fan: false,
        fuel: params.fuel_level / 100.0 * TANK,
        distance: 0.0,
        odometer: 20_000_000.0 + (random.unit() * 80e6).round(),
    };
    let samples = (0..params.duration_seconds)
        .map(|second| {
            let time = params
                .start
                .checked_add(SignedDuration::from_secs(i64::from(second)))
                .unwrap_or(params.start);
            let mut sample = Telemetry::new(params.vehicle.as_str(), u64::from(second), time);
            car.step(second, params.ambient, &mut random, &mut sample);
            sample
        })
        .collect();
    Trip {
        vehicle: params.vehicle.clone(),
        samples,
        truth: Vec::new(),
        notes: Vec::new(),
    }
}

struct Car {
    speed: f64,
    target: f64,
    /// Second until which `target` holds.
    until: u32,
    coolant: f64,
    fan: bool,
    fuel: f64,
    distance: f64,
    odometer: f64,
}

impl Car {
    fn step(&mut self, second: u32, ambient: f64, random: &mut Random, sample: &mut Telemetry) {
        if second >= self.until {
            self.choose_target(second, random);
        }
        let acceleration = if self.target > self.speed {
            (1.6 - self.speed / 40.0)
                .max(0.4)
                .min(self.target - self.speed)
        } else {
            (self.target - self.speed).max(-2.2)
        };
        self.speed = (self.speed + acceleration).max(0.0);
        self.distance += self.speed;

        let force = ROLLING + DRAG * self.speed * self.speed + MASS * acceleration;
        let wheels = if self.speed > 0.3 {
            (force * self.speed / 1000.0).max(0.0)
        } else {
            0.0
        };
        let power = (IDLE_POWER + wheels / 0.92).min(MAX_POWER);
        let fuel_power = power / EFFICIENCY;
        let fuel_rate = fuel_power / FUEL_ENERGY;
        self.fuel = (self.fuel - fuel_rate / 3600.0).max(0.0);
        self.coolant += self.heating(fuel_power, ambient);

        let kmh = self.speed * 3.6;
        let gear = GEARS
            .iter()
            .rposition(|rpm| rpm * kmh > 1300.0)
            .unwrap_or(0);
        let idle = 780.0 + (60.0 - self.coolant).max(0.0) * 6.0;
        let rpm = (GEARS[gear] * kmh).max(idle) + random.noise(12.0);

        sample.model = Some(MODEL.to_owned());
        sample.speed = Some(kmh.round());
        sample.engine_speed = Some(rpm.round());
        sample.engine_run_time = Some(f64::from(second));
        sample.engine_load = Some(tenths((power / MAX_POWER * 100.0).clamp(0.0, 100.0)));
        sample.throttle = Some(tenths((12.0 + power / MAX_POWER * 80.0).clamp(0.0, 100.0)));
        sample.coolant_temperature = Some(self.coolant.round());
        sample.ambient_temperature = Some(ambient);
        sample.intake_air_temperature = Some((ambient + 6.0 + 8.0 / (1.0 + self.speed)).round());
        sample.fuel_rate = Some(tenths(fuel_rate));
        // The tank's float swings with the fuel.
        let level = self.fuel / TANK * 100.0 + acceleration * 0.8 + random.noise(0.3);
        sample.fuel_level = Some(tenths(level.clamp(0.0, 100.0)));
        let charging = if second < 2 {
            10.6
        } else {
            14.15 - if self.fan { 0.15 } else { 0.0 }
        };
        sample.battery_voltage = Some(tenths(charging + random.noise(0.05)));
        sample.odometer = Some((self.odometer + self.distance).round());
        sample.trip_distance = Some(self.distance.round());
        sample.acceleration_longitudinal = Some(tenths(acceleration));
        sample.mil_on = Some(false);
    }

    /// City with lights, in between a stretch of open road.
    fn choose_target(&mut self, second: u32, random: &mut Random) {
        let open_road = (second / 420) % 3 == 1;
        let pick = random.unit();
        let (kmh, hold) = match pick {
            p if p < 0.22 && !open_road => (0.0, 12.0 + 40.0 * random.unit()),
            _ if open_road => (70.0 + 30.0 * random.unit(), 30.0 + 60.0 * random.unit()),
            _ => (28.0 + 25.0 * random.unit(), 15.0 + 35.0 * random.unit()),
        };
        self.target = kmh / 3.6;
        self.until = second + hold as u32;
    }

    /// How much warmer the coolant gets in this second, K.
    fn heating(&mut self, fuel_power: f64, ambient: f64) -> f64 {
        self.fan = self.coolant >= if self.fan { FAN.1 } else { FAN.0 };
        let open = ((self.coolant - THERMOSTAT.0) / (THERMOSTAT.1 - THERMOSTAT.0)).clamp(0.0, 1.0);
        let air = 0.12 + 0.03 * self.speed + if self.fan { 0.5 } else { 0.0 };
        let lost = (BLOCK_LOSS + open * air) * (self.coolant - ambient);
        (fuel_power * HEAT_SHARE - lost) / HEAT_CAPACITY
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Around 0, at most `width` away.
    fn noise(&mut self, width: f64) -> f64 {
        (self.unit() + self.unit() - 1.0) * width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coolant(trip: &Trip) -> Vec<f64> {
        trip.samples
            .iter()
            .map(|s| s.coolant_temperature.unwrap())
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_trip() {
        let params = SimParams::default();
        assert_eq!(simulate(&params), simulate(&params));
        assert_ne!(
            simulate(&params).samples,
            simulate(&SimParams { seed: 2, ..params }).samples
        );
    }

    #[test]
    fn healthy_cars_warm_up_and_stay_regulated() {
        for seed in 0..50 {
            for ambient in [-10.0, 18.0, 35.0] {
                let trip = simulate(&SimParams {
                    seed,
                    ambient,
                    duration_seconds: 2400,
                    ..SimParams::default()
                });
                let coolant = coolant(&trip);
                assert_eq!(coolant[0], ambient);
                let highest = coolant.iter().copied().fold(f64::MIN, f64::max);
                assert!(
                    (82.0..=99.0).contains(&highest),
                    "seed {seed}, {ambient} °C: {highest}"
                );
                assert!(
                    coolant[2399] > 75.0,
                    "seed {seed}, {ambient} °C: {}",
                    coolant[2399]
                );
            }
        }
    }

    #[test]
    fn every_sample_would_be_accepted_by_the_gateway() {
        for mut sample in simulate(&SimParams::default()).samples {
            let before = sample.clone();
            millrace_contract::codec::check(&mut sample).unwrap();
            assert_eq!(sample, before);
        }
    }

    #[test]
    fn it_drives() {
        let trip = simulate(&SimParams::default());
        let last = trip.samples.last().unwrap();
        let km = last.trip_distance.unwrap() / 1000.0;
        assert!((5.0..30.0).contains(&km), "{km} km in 20 min");
        assert!(trip.samples.iter().any(|s| s.speed == Some(0.0)));
        let litres_per_100 = (trip
            .samples
            .iter()
            .map(|s| s.fuel_rate.unwrap())
            .sum::<f64>()
            / 3600.0)
            / km
            * 100.0;
        assert!(
            (4.0..14.0).contains(&litres_per_100),
            "{litres_per_100} l/100 km"
        );
    }
}
