//! Trips that show what recorded ones do not: turns, limits, nights, long shifts, holes, repeats.
#![allow(dead_code)] // each user has its own part

use jiff::{SignedDuration, Timestamp};
use millrace_contract::Telemetry;

/// Numbers that look random and are the same each time.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one, 0 up to 1.
    pub fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 40).unwrap()) / f64::from(1 << 24)
    }
}

/// So many seconds of one vehicle, at a few readings a second, wild enough that each part of a score has something to do.
pub fn wild(vehicle: &str, seed: u64, start: Timestamp, seconds: u32) -> Vec<Telemetry> {
    let mut numbers = Numbers::new(seed);
    let mut events = Vec::new();
    let (mut speed, mut heading, mut standing, mut sequence) = (40.0, 90.0, 0, 0);
    let mut hire = 0;
    let mut second = 0;
    while second < seconds {
        let dice = numbers.next();
        if dice < 0.003 {
            // A hole: short, or long enough for a new trip, a break or another driver.
            second += (numbers.next() * 3600.0) as u32;
            hire += u32::from(numbers.next() < 0.3);
        } else if dice < 0.006 {
            standing = (numbers.next() * 300.0) as u32;
        }
        let change = (numbers.next() - 0.5) * if numbers.next() < 0.05 { 60.0 } else { 6.0 };
        speed = if standing > 0 {
            0.0
        } else {
            f64::clamp(speed + change, 0.0, 160.0)
        };
        standing = u32::saturating_sub(standing, 1);
        heading = (heading + (numbers.next() - 0.5) * 40.0).rem_euclid(360.0);
        for part in 0..1 + (numbers.next() * 3.0) as u32 {
            let at = SignedDuration::from_micros(
                i64::from(second) * 1_000_000 + i64::from(part) * 210_000,
            );
            let mut event = Telemetry::new(vehicle, sequence, start + at);
            sequence += 1;
            event.model = Some(
                if seed.is_multiple_of(2) {
                    "Golf"
                } else {
                    "Zoe"
                }
                .to_owned(),
            );
            event.hire = (hire % 4 != 3).then(|| format!("{vehicle}-{hire}"));
            event.speed = (numbers.next() < 0.9).then(|| (speed + numbers.next() * 0.3).max(0.0));
            event.engine_speed = (numbers.next() < 0.9).then_some(750.0 + speed * 20.0);
            event.heading = (numbers.next() < 0.7).then_some(heading);
            event.yaw_rate = (seed.is_multiple_of(3)).then(|| (numbers.next() - 0.5) * 40.0);
            event.acceleration_lateral =
                (seed.is_multiple_of(5)).then(|| (numbers.next() - 0.5) * 12.0);
            event.acceleration_longitudinal =
                (seed.is_multiple_of(7)).then(|| (numbers.next() - 0.5) * 12.0);
            event.speed_limit =
                (numbers.next() < 0.5).then(|| 50.0 + 10.0 * (numbers.next() * 5.0).floor());
            event.fuel_rate =
                (seed.is_multiple_of(2) && numbers.next() < 0.8).then(|| 1.0 + speed / 10.0);
            event.mass_air_flow = (numbers.next() < 0.8).then(|| 2.0 + speed / 5.0);
            events.push(event);
        }
        second += 1 + u32::from(numbers.next() < 0.1);
    }
    events
}

/// The same events with some of them again, and out of order.
pub fn disordered(mut events: Vec<Telemetry>, seed: u64) -> Vec<Telemetry> {
    let mut numbers = Numbers::new(seed);
    let again: Vec<Telemetry> = events
        .iter()
        .filter(|_| numbers.next() < 0.05)
        .cloned()
        .collect();
    events.extend(again);
    for index in 0..events.len().saturating_sub(8) {
        if numbers.next() < 0.2 {
            events.swap(index, index + (numbers.next() * 8.0) as usize);
        }
    }
    events
}
