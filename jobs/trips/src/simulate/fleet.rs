//! Many cars, some of them with a fault.

use jiff::Timestamp;
use millrace_contract::{Invalid, check_vehicle_id};

use super::{SimParams, Waypoint, simulate};
use crate::inject::{Fault, Injection, Wheel, inject};
use crate::random::Random;
use crate::{Trip, TripError};

/// More events than these are not kept in memory at once.
const MOST_EVENTS: f64 = 5e6;

/// Which faults the faulty cars get.
#[derive(Debug, Clone, PartialEq)]
pub enum Faults {
    /// Each of them all of these.
    Given(Vec<Injection>),
    /// Each of them one that the seed chooses, at a moment that it chooses.
    Random,
}

/// Cars of one kind, each on a route of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// Vehicle ids are this and a number from 1 on.
    pub prefix: String,
    /// How many.
    pub vehicles: u32,
    /// Of the first car; the others count on.
    pub seed: u64,
    /// Event time of the first samples.
    pub start: Timestamp,
    /// Length of each drive.
    pub duration_seconds: u32,
    /// See [`SimParams::interval_seconds`].
    pub interval_seconds: f64,
    /// Outside temperature, °C.
    pub ambient: f64,
    /// See [`SimParams::coolant_at_start`].
    pub coolant_at_start: Option<f64>,
    /// See [`SimParams::centre`].
    pub centre: (f64, f64),
    /// See [`SimParams::radius_km`].
    pub radius_km: f64,
    /// See [`SimParams::waypoints`].
    pub waypoints: Vec<Waypoint>,
    /// How many of the cars, the first ones, get a fault.
    pub faulty: u32,
    /// Which.
    pub faults: Faults,
}

impl Fleet {
    /// Checks what no type can.
    ///
    /// # Errors
    /// Names the field, its value and the cure.
    pub fn check(&self) -> Result<(), Invalid> {
        let within = |field: &str, value: f64, from: f64, to: f64| {
            if (from..=to).contains(&value) {
                return Ok(());
            }
            let problem = format!("not a number from {from} to {to}");
            Err(Invalid::new(
                field,
                value.to_string(),
                problem,
                "give one in this range",
            ))
        };
        within("interval", self.interval_seconds, 0.1, 60.0)?;
        within("ambient", self.ambient, -50.0, 60.0)?;
        if let Some(coolant) = self.coolant_at_start {
            within("coolant", coolant, -50.0, 110.0)?;
        }
        within("centre", self.centre.0, -85.0, 85.0)?;
        within("centre", self.centre.1, -180.0, 180.0)?;
        within("radius", self.radius_km, 0.5, 500.0)?;
        let each = f64::from(self.duration_seconds) / self.interval_seconds;
        let events = f64::from(self.vehicles) * each;
        if events > MOST_EVENTS {
            return Err(Invalid::new(
                "vehicles",
                self.vehicles.to_string(),
                format!("makes {events:.0} events, more than {MOST_EVENTS:.0}"),
                "take fewer or shorter drives, a longer interval, or several runs with different prefixes",
            ));
        }
        check_vehicle_id(&self.vehicle(self.vehicles.max(1) - 1))
    }

    /// The id of a car, counted from 0 on.
    fn vehicle(&self, n: u32) -> String {
        format!("{}{}", self.prefix, u64::from(n) + 1)
    }

    /// The trip of a car, counted from 0 on, with its truth.
    ///
    /// # Errors
    /// A fault cannot be injected.
    pub fn trip(&self, n: u32) -> Result<Trip, TripError> {
        let seed = self.seed.wrapping_add(u64::from(n));
        let mut trip = simulate(&SimParams {
            vehicle: self.vehicle(n),
            seed,
            start: self.start,
            duration_seconds: self.duration_seconds,
            interval_seconds: self.interval_seconds,
            ambient: self.ambient,
            coolant_at_start: self.coolant_at_start,
            centre: self.centre,
            radius_km: self.radius_km,
            waypoints: self.waypoints.clone(),
            ..SimParams::default()
        });
        if n < self.faulty {
            match &self.faults {
                Faults::Given(injections) => {
                    for injection in injections {
                        inject(&mut trip, injection)?;
                    }
                }
                Faults::Random => inject(&mut trip, &self.random_fault(seed))?,
            }
        }
        Ok(trip)
    }

    /// All trips.
    ///
    /// # Errors
    /// See [`Fleet::check`] and [`Fleet::trip`].
    pub fn trips(&self) -> Result<Vec<Trip>, TripError> {
        self.check()?;
        (0..self.vehicles).map(|n| self.trip(n)).collect()
    }

    fn random_fault(&self, seed: u64) -> Injection {
        let mut random = Random::new(seed, "fault");
        let fault = Fault::ALL[random.index(Fault::ALL.len())];
        let length = f64::from(self.duration_seconds);
        // A thermostat that sticks shows while the engine warms up; the others some way into the drive.
        let seconds = match fault {
            Fault::CoolantCold => 0.0,
            _ => random.between(0.15 * length, 0.4 * length).round(),
        };
        let mut injection = Injection::new(fault, seconds);
        injection.wheel = Wheel::ALL[random.index(Wheel::ALL.len())];
        if fault == Fault::Dtc {
            let codes = ["P0301", "P0217", "P0420", "P0562", "U0100"];
            injection.codes = vec![codes[random.index(codes.len())].to_owned()];
        }
        if fault == Fault::FuelLeak {
            // From a tank that is more than half full to one that is nearly empty within the drive.
            injection.rate = ((62.0 - 6.0) / ((length - seconds) * 0.5 / 60.0))
                .clamp(0.5, 20.0)
                .round()
                .max(1.0);
        }
        injection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Fleet {
        Fleet {
            prefix: "sim-".to_owned(),
            vehicles: 40,
            seed: 1,
            start: "2026-11-23T12:00:00Z".parse().unwrap(),
            duration_seconds: 1200,
            interval_seconds: 2.0,
            ambient: 18.0,
            coolant_at_start: None,
            centre: (33.99, -6.85),
            radius_km: 5.0,
            waypoints: Vec::new(),
            faulty: 30,
            faults: Faults::Random,
        }
    }

    #[test]
    fn random_faults_repeat_and_are_of_every_kind() {
        let trips = fleet().trips().unwrap();
        assert_eq!(trips, fleet().trips().unwrap());
        let truth: Vec<_> = trips.iter().flat_map(|t| &t.truth).collect();
        assert_eq!(truth.len(), 30);
        assert!(trips[30..].iter().all(|t| t.truth.is_empty()));
        for fault in Fault::ALL {
            assert!(truth.iter().any(|t| t.fault == fault.name()), "{fault:?}");
        }
        assert_eq!(trips[0].samples.len(), 600);
        assert_eq!(trips[39].vehicle, "sim-40");
    }

    #[test]
    fn impossible_fleets_are_named() {
        for (field, fleet) in [
            (
                "vehicles",
                Fleet {
                    vehicles: 100_000,
                    ..fleet()
                },
            ),
            (
                "interval",
                Fleet {
                    interval_seconds: 0.0,
                    ..fleet()
                },
            ),
            (
                "ambient",
                Fleet {
                    ambient: f64::NAN,
                    ..fleet()
                },
            ),
            (
                "centre",
                Fleet {
                    centre: (90.0, 0.0),
                    ..fleet()
                },
            ),
            (
                "vehicle",
                Fleet {
                    prefix: "a b".to_owned(),
                    ..fleet()
                },
            ),
        ] {
            assert_eq!(fleet.check().unwrap_err().field, field);
        }
        assert!(fleet().check().is_ok());
    }
}
