//! A compact car with a 1.5 l petrol engine: power, heat and fuel.

const MASS: f64 = 1150.0; // kg
const DRAG: f64 = 0.38; // N per (m/s)², half of air density · c_w · A
const ROLLING: f64 = 125.0; // N
const IDLE_POWER: f64 = 2.2; // kW at the crank for itself and its auxiliaries
pub(super) const MAX_POWER: f64 = 66.0; // kW
const EFFICIENCY: f64 = 0.28;
const FUEL_ENERGY: f64 = 8.9; // kWh per litre
const TANK: f64 = 45.0; // litres
const HEAT_SHARE: f64 = 0.32; // of the fuel's energy that goes into the coolant
const HEAT_CAPACITY: f64 = 38.0; // kJ/K of engine and coolant
const BLOCK_LOSS: f64 = 0.018; // kW/K
const THERMOSTAT: (f64, f64) = (84.0, 92.0); // °C: begins to open, open
const FAN: (f64, f64) = (96.0, 92.0); // °C: on, off
const GEARS: [f64; 5] = [115.0, 63.0, 43.0, 33.0, 27.0]; // rpm per km/h

/// The engine with its cooling and its tank.
pub(super) struct Engine {
    /// °C
    pub coolant: f64,
    pub fan: bool,
    /// At the crank, kW.
    pub power: f64,
    /// l/h
    pub fuel_rate: f64,
    fuel: f64,
}

impl Engine {
    pub fn new(coolant: f64, fuel_level: f64) -> Self {
        Self {
            coolant,
            fan: false,
            power: 0.0,
            fuel_rate: 0.0,
            fuel: fuel_level / 100.0 * TANK,
        }
    }

    /// So much time at a speed (m/s) and an acceleration (m/s²).
    pub fn step(&mut self, seconds: f64, speed: f64, acceleration: f64, ambient: f64) {
        let force = ROLLING + DRAG * speed * speed + MASS * acceleration;
        let wheels = if speed > 0.3 {
            (force * speed / 1000.0).max(0.0)
        } else {
            0.0
        };
        self.power = (IDLE_POWER + wheels / 0.92).min(MAX_POWER);
        let fuel_power = self.power / EFFICIENCY;
        self.fuel_rate = fuel_power / FUEL_ENERGY;
        self.fuel = (self.fuel - self.fuel_rate * seconds / 3600.0).max(0.0);
        self.coolant += self.heating(fuel_power, speed, ambient) * seconds;
    }

    /// How much warmer the coolant gets in a second, K.
    fn heating(&mut self, fuel_power: f64, speed: f64, ambient: f64) -> f64 {
        self.fan = self.coolant >= if self.fan { FAN.1 } else { FAN.0 };
        let open = ((self.coolant - THERMOSTAT.0) / (THERMOSTAT.1 - THERMOSTAT.0)).clamp(0.0, 1.0);
        let air = 0.12 + 0.03 * speed + if self.fan { 0.5 } else { 0.0 };
        let lost = (BLOCK_LOSS + open * air) * (self.coolant - ambient);
        (fuel_power * HEAT_SHARE - lost) / HEAT_CAPACITY
    }

    /// %
    pub fn fuel_level(&self) -> f64 {
        self.fuel / TANK * 100.0
    }

    /// Revolutions a minute at a speed (m/s), in the gear that fits.
    pub fn rpm(&self, speed: f64) -> f64 {
        let kmh = speed * 3.6;
        let gear = GEARS
            .iter()
            .rposition(|rpm| rpm * kmh > 1300.0)
            .unwrap_or(0);
        let idle = 780.0 + (60.0 - self.coolant).max(0.0) * 6.0;
        (GEARS[gear] * kmh).max(idle)
    }
}
