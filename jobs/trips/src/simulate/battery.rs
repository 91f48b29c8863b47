//! The low-voltage battery: cranked, then charged.

use crate::random::Random;

/// V
const CRANKED: f64 = 10.4;
const CHARGED: f64 = 14.15;
/// What the fan and the other consumers draw down, V.
const FAN: f64 = 0.15;
const CONSUMERS: f64 = 0.12;
/// How fast the voltage settles, s.
const SETTLING: f64 = 1.5;

pub(super) struct Battery {
    /// V
    pub voltage: f64,
    /// Share of the consumers that are on.
    load: f64,
    random: Random,
}

impl Battery {
    pub fn new(seed: u64) -> Self {
        Self {
            voltage: CRANKED,
            load: 0.5,
            random: Random::new(seed, "battery"),
        }
    }

    pub fn step(&mut self, seconds: f64, cranking: bool, fan: bool) {
        // Lights, wipers and heating go on and off: a slow walk.
        self.load = (self.load + self.random.noise(0.05) * seconds).clamp(0.0, 1.0);
        let towards = if cranking {
            CRANKED
        } else {
            CHARGED - CONSUMERS * self.load - if fan { FAN } else { 0.0 }
        };
        self.voltage += (towards - self.voltage) * (1.0 - (-seconds / SETTLING).exp());
    }
}
