//! Plausible cars: each follows a route, warms up, is kept at temperature by thermostat and fan, burns fuel, charges
//! its battery and warms its tyres. Pure and seeded: the same parameters give the same trip.

mod battery;
mod engine;
mod fleet;
mod life;
mod route;

use jiff::{SignedDuration, Timestamp};
use millrace_contract::Telemetry;

use crate::Trip;
use crate::inject::Wheel;
use crate::random::{Random, quantise};
use crate::tyre::{RESOLUTION, Tyre};

pub use fleet::{Faults, Fleet};
pub use life::vehicle_events;
pub use route::{Waypoint, parse_waypoints};

/// What is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct SimParams {
    /// Vehicle id.
    pub vehicle: String,
    /// Chooses route, traffic and noise.
    pub seed: u64,
    /// Event time of the first sample.
    pub start: Timestamp,
    /// Length of the drive.
    pub duration_seconds: u32,
    /// Seconds from one sample to the next, from 0.1 to 60.
    pub interval_seconds: f64,
    /// Outside temperature, °C.
    pub ambient: f64,
    /// Coolant temperature at the start, °C; `None`: as cold as outside.
    pub coolant_at_start: Option<f64>,
    /// Fuel in the tank at the start, %.
    pub fuel_level: f64,
    /// Latitude and longitude around which it drives, and where it begins.
    pub centre: (f64, f64),
    /// It turns back when it is so far away, km.
    pub radius_km: f64,
    /// Driven in this order and over again, instead of a route that the seed chooses; at least two.
    pub waypoints: Vec<Waypoint>,
}

impl Default for SimParams {
    /// Twenty minutes from a cold start at 18 °C, in Berlin.
    fn default() -> Self {
        Self {
            vehicle: "sim-1".to_owned(),
            seed: 1,
            start: Timestamp::UNIX_EPOCH,
            duration_seconds: 1200,
            interval_seconds: 1.0,
            ambient: 18.0,
            coolant_at_start: None,
            fuel_level: 62.0,
            centre: (52.52, 13.405),
            radius_km: 8.0,
            waypoints: Vec::new(),
        }
    }
}

/// The model's name in telemetry.
pub const MODEL: &str = "Millrace Compact";

/// Seconds that the starter turns the engine.
const CRANKING: f64 = 2.0;

/// Simulates one healthy trip. Faults are put in with [`crate::inject()`], which also notes the truth.
pub fn simulate(params: &SimParams) -> Trip {
    let interval = params.interval_seconds.clamp(0.1, 60.0);
    let step = interval.min(1.0);
    let mut car = Car::new(params);
    // No time passes, but what follows from standing and cranking is worked out.
    car.step(0.0, 0.0);
    let count = (f64::from(params.duration_seconds) / interval).ceil() as u64;
    let mut now = 0.0;
    let samples = (0..count)
        .map(|n| {
            let due = n as f64 * interval;
            while now < due - 1e-6 {
                car.step(now, step);
                now += step;
            }
            let time = SignedDuration::try_from_secs_f64(due)
                .ok()
                .and_then(|d| params.start.checked_add(d).ok())
                .unwrap_or(params.start);
            let mut sample = Telemetry::new(
                params.vehicle.as_str(),
                n,
                millrace_contract::time::truncate(time),
            );
            car.measure(due, &mut sample);
            sample
        })
        .collect();
    Trip {
        vehicle: params.vehicle.clone(),
        samples,
        recorded_start: None,
        truth: Vec::new(),
        notes: Vec::new(),
    }
}

struct Car {
    ambient: f64,
    route: route::Drive,
    engine: engine::Engine,
    battery: battery::Battery,
    tyres: [Tyre; 4],
    odometer: f64,
    noise: Random,
}

impl Car {
    fn new(params: &SimParams) -> Self {
        let mut random = Random::new(params.seed, "car");
        let tyres = std::array::from_fn(|_| Tyre {
            cold: random.between(226.0, 236.0),
            air: params.ambient,
        });
        Self {
            ambient: params.ambient,
            route: route::Drive::new(params),
            engine: engine::Engine::new(
                params.coolant_at_start.unwrap_or(params.ambient),
                params.fuel_level,
            ),
            battery: battery::Battery::new(params.seed),
            tyres,
            odometer: 20_000_000.0 + (random.unit() * 80e6).round(),
            noise: Random::new(params.seed, "sensors"),
        }
    }

    fn step(&mut self, now: f64, seconds: f64) {
        // The car stands until the engine runs.
        if now >= CRANKING {
            self.route.step(seconds);
        }
        self.engine.step(
            seconds,
            self.route.speed,
            self.route.acceleration,
            self.ambient,
        );
        self.battery.step(seconds, now < CRANKING, self.engine.fan);
        for tyre in &mut self.tyres {
            tyre.drive(seconds, self.route.speed * 3.6, self.ambient);
        }
    }

    fn measure(&mut self, now: f64, sample: &mut Telemetry) {
        let (route, engine, noise) = (&self.route, &self.engine, &mut self.noise);
        let cranking = now < CRANKING;
        let rpm = if cranking {
            240.0 + noise.noise(15.0)
        } else {
            engine.rpm(route.speed) + noise.noise(12.0)
        };
        let share = engine.power / engine::MAX_POWER * 100.0;
        sample.model = Some(MODEL.to_owned());
        sample.speed = Some((route.speed * 3.6).round());
        sample.engine_speed = Some(rpm.round());
        sample.engine_run_time = Some(now.floor());
        sample.engine_load = Some(tenths(share.clamp(0.0, 100.0)));
        sample.throttle = Some(tenths((12.0 + share * 0.8).clamp(0.0, 100.0)));
        sample.coolant_temperature = Some(engine.coolant.round());
        sample.ambient_temperature = Some(self.ambient);
        sample.intake_air_temperature =
            Some((self.ambient + 6.0 + 8.0 / (1.0 + route.speed)).round());
        sample.fuel_rate = Some(tenths(engine.fuel_rate));
        // The tank's float swings with the fuel.
        let level = engine.fuel_level() + route.acceleration * 0.8 + noise.noise(0.3);
        sample.fuel_level = Some(tenths(level.clamp(0.0, 100.0)));
        sample.battery_voltage = Some(quantise(self.battery.voltage + noise.noise(0.05), 0.02));
        for (wheel, tyre) in Wheel::ALL.into_iter().zip(&self.tyres) {
            let name = wheel.name();
            if let Some(slot) = sample.number_mut(&format!("tyre_pressure_{name}")) {
                *slot = Some(quantise(tyre.pressure() + noise.noise(0.4), RESOLUTION.0));
            }
            if let Some(slot) = sample.number_mut(&format!("tyre_temperature_{name}")) {
                *slot = Some(tyre.air.round());
            }
        }
        sample.odometer = Some((self.odometer + route.distance).round());
        sample.trip_distance = Some(route.distance.round());
        sample.acceleration_longitudinal = Some(tenths(route.acceleration));
        let (latitude, longitude) = route.position();
        sample.latitude = Some(quantise(latitude, 1e-6));
        sample.longitude = Some(quantise(longitude, 1e-6));
        sample.heading = Some(tenths(route.heading()) % 360.0);
        sample.mil_on = Some(false);
    }
}

fn tenths(value: f64) -> f64 {
    quantise(value, 0.1)
}

#[cfg(test)]
mod tests;
