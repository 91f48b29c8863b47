//! A day of a made fleet, the day before yesterday: who drives which car, how, and what happens to the cars before and after.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use millrace_contract::{EventKind, InboundEvent, Telemetry, VehicleEvent};
use millrace_trips::simulate::{Faults, Fleet, vehicle_events};
use millrace_trips::{Injection, Trip};
use serde_json::{Value, json};

use crate::made;

/// Who drives, and whether they agree to offers. The first one wants to be forgotten, the second one stays.
pub const DRIVERS: [(&str, bool); 10] = [
    ("ann", true),
    ("bob", true),
    ("cleo", false),
    ("dora", true),
    ("emil", true),
    ("fritz", true),
    ("gina", false),
    ("hugo", true),
    ("ines", true),
    ("jan", true),
];
/// Models of cars.
pub const MODELS: [&str; 2] = ["Golf", "Zoe"];
/// The header of a file of roads.
const HEADER: &str = "vehicle,began,ended,metres,highway,main,village\n";
/// Of cars that keep their pace, in km/h.
const PACE: f64 = 80.0;
/// Seconds of each hire of theirs: 40 km.
const STEADY: u64 = 1800;

/// A simulated car.
struct Simulated {
    name: &'static str,
    driver: &'static str,
    model: &'static str,
    seconds: u32,
    fault: Option<&'static str>,
    /// So many days before, and 40 km a day, it was maintained. Not what the simulation draws: breakdowns of nearly the same
    /// distance say nothing of how they are spread.
    maintained: i64,
    /// Whether the driver goes on to the workshop in time.
    attended: bool,
    /// Shares of highway, main and village roads.
    roads: [f64; 3],
}

const SIMULATED: [Simulated; 6] = [
    Simulated {
        name: "sim-tyre-a",
        driver: "ann",
        model: MODELS[0],
        seconds: 1500,
        fault: Some("slow-puncture@240:8:rear_left"),
        maintained: 42,
        attended: false,
        roads: [0.9, 0.05, 0.05],
    },
    Simulated {
        name: "sim-tyre-b",
        driver: "gina",
        model: MODELS[1],
        seconds: 3600,
        fault: Some("slow-puncture@240:8:front_right"),
        maintained: 80,
        attended: false,
        roads: [0.05, 0.05, 0.9],
    },
    Simulated {
        name: "sim-tyre-c",
        driver: "hugo",
        model: MODELS[0],
        seconds: 2000,
        fault: Some("slow-puncture@240:8:front_left"),
        maintained: 54,
        attended: true,
        roads: [0.1, 0.8, 0.1],
    },
    Simulated {
        name: "sim-hot-a",
        driver: "ines",
        model: MODELS[0],
        seconds: 1200,
        fault: Some("coolant-ramp@240:8"),
        maintained: 20,
        attended: false,
        roads: [0.8, 0.1, 0.1],
    },
    Simulated {
        name: "sim-hot-b",
        driver: "jan",
        model: MODELS[1],
        seconds: 1200,
        fault: Some("coolant-ramp@300:6"),
        maintained: 75,
        attended: false,
        roads: [0.1, 0.1, 0.8],
    },
    Simulated {
        name: "sim-good",
        driver: "jan",
        model: MODELS[1],
        seconds: 1200,
        fault: None,
        maintained: 90,
        attended: false,
        roads: [0.3, 0.3, 0.3],
    },
];

/// What a car sends, in the order in which it does; hires are as the hire desk names them.
pub struct Drive {
    pub vehicle: String,
    pub driver: &'static str,
    pub samples: Vec<Telemetry>,
}

/// The day.
pub struct Day {
    pub start: Timestamp,
    pub drives: Vec<Drive>,
    pub events: Vec<InboundEvent>,
    /// A file of stretches by kind of road.
    pub roads: String,
}

/// How telemetry and the hire desk name a driver. The name does not occur elsewhere.
pub fn id(driver: &str) -> String {
    format!("D-{driver}-of-the-day")
}

/// Where a driver gets mail.
pub fn mail(driver: &str) -> String {
    format!("{driver}@day.example.com")
}

impl Day {
    /// The same each time, but for its date.
    pub fn new() -> Self {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let start = today
            .checked_sub(2.days())
            .unwrap()
            .to_zoned(TimeZone::UTC)
            .unwrap()
            .timestamp();
        let mut day = Self {
            start,
            drives: Vec::new(),
            events: Vec::new(),
            roads: HEADER.to_owned(),
        };
        for (driver, harsh) in [
            ("ann", false),
            ("bob", false),
            ("cleo", false),
            ("dora", true),
        ] {
            day.steady(driver, harsh);
        }
        for (seed, driver, minutes) in [
            (1, "emil", 150),
            (2, "fritz", 13 * 60),
            (3, "emil", 16 * 60),
            (4, "bob", 21 * 60 + 10),
        ] {
            day.wild(seed, driver, minutes);
        }
        for (seed, car) in (77..).zip(&SIMULATED) {
            day.simulated(seed, car);
        }
        day
    }

    fn at(&self, minutes: i64) -> Timestamp {
        self.start + SignedDuration::from_mins(minutes)
    }

    /// A hire at one pace, in which a harsh driver brakes by 5 m/s² twice a minute.
    fn steady(&mut self, driver: &'static str, harsh: bool) {
        let vehicle = format!("day-steady-{driver}");
        let sample = |second: u64| {
            let speed = match second % 30 {
                5 | 7 if harsh => PACE - 18.0,
                6 if harsh => PACE - 36.0,
                _ => PACE,
            };
            let time = self.at(600) + SignedDuration::from_secs(i64::try_from(second).unwrap());
            let mut sample = Telemetry::new(&vehicle, second, time);
            sample.speed = Some(speed);
            sample.hire = Some(format!("H-steady-{driver}"));
            sample
        };
        let mut samples: Vec<Telemetry> = (0..STEADY).map(sample).collect();
        furnish(&mut samples, MODELS[usize::from(harsh)], 5_000_000.0);
        self.events.push(InboundEvent {
            event: VehicleEvent {
                vehicle: vehicle.clone(),
                id: "looked-at".to_owned(),
                time: self.at(-2 * 1440),
                kind: EventKind::Check,
                component: None,
                odometer: None,
                model: None,
                hire: None,
                note: None,
            },
            driver: None,
            hire_id: None,
        });
        self.drives.push(Drive {
            vehicle,
            driver,
            samples,
        });
    }

    /// Trips in which each part of a score has something to do, with repeats and out of order.
    fn wild(&mut self, seed: u64, driver: &'static str, minutes: i64) {
        let vehicle = format!("day-wild-{seed}");
        let mut samples = made::wild(&vehicle, seed, self.at(minutes), 9000);
        furnish(
            &mut samples,
            MODELS[usize::from(seed % 2 == 1)],
            7_000_000.0,
        );
        let samples = made::disordered(samples, seed);
        self.drives.push(Drive {
            vehicle,
            driver,
            samples,
        });
    }

    /// A simulated car, with what happened to it.
    fn simulated(&mut self, seed: u64, car: &Simulated) {
        let mut trip = trip(seed, car, self.at(8 * 60));
        let first = trip.samples[0].clone();
        let last = trip.samples[trip.samples.len() - 1].clone();
        let hire = format!("{}-{}", trip.vehicle, first.time.as_second());
        for sample in &mut trip.samples {
            sample.hire = Some(hire.clone());
        }
        for mut inbound in vehicle_events(&trip, seed) {
            let event = &mut inbound.event;
            if event.kind == EventKind::Maintenance {
                let before = SignedDuration::from_hours(24 * car.maintained);
                event.time = first.time - before;
                event.odometer = first.odometer.map(|metres| metres - 40_000.0 * days(car));
            }
            if event.kind.is_hire() {
                inbound.driver = Some(id(car.driver));
            }
            if !(car.attended && inbound.event.kind == EventKind::Breakdown) {
                self.events.push(inbound);
            }
        }
        let [highway, main, village] = car.roads;
        let metres = last.odometer.unwrap() - first.odometer.unwrap();
        self.roads += &format!(
            "{},{},{},{metres},{highway},{main},{village}\n",
            trip.vehicle, first.time, last.time
        );
        self.drives.push(Drive {
            vehicle: trip.vehicle,
            driver: car.driver,
            samples: trip.samples,
        });
    }
}

fn days(car: &Simulated) -> f64 {
    f64::from(i32::try_from(car.maintained).unwrap())
}

fn trip(seed: u64, car: &Simulated, start: Timestamp) -> Trip {
    let faults = car.fault.map(|fault| fault.parse::<Injection>().unwrap());
    let fleet = Fleet {
        prefix: format!("day-{}-", car.name),
        vehicles: 1,
        seed,
        start,
        duration_seconds: car.seconds,
        interval_seconds: 1.0,
        ambient: 18.0,
        coolant_at_start: None,
        centre: (48.2, 16.37),
        radius_km: 8.0,
        waypoints: Vec::new(),
        faulty: 1,
        faults: Faults::Given(faults.into_iter().collect()),
    };
    let mut trip = fleet.trip(0).unwrap();
    for sample in &mut trip.samples {
        sample.model = Some(car.model.to_owned());
    }
    trip
}

/// Gives samples in order of time a model, and an odometer that counts on by their speed.
fn furnish(samples: &mut [Telemetry], model: &str, first: f64) {
    let mut metres = first;
    for sample in samples {
        metres += (sample.speed.unwrap_or(0.0) / 3.6).round();
        sample.model = Some(model.to_owned());
        sample.odometer = Some(metres);
    }
}

impl Drive {
    /// A sample as the car sends it.
    pub fn sent(&self, sample: &Telemetry) -> Value {
        let mut event = json!(sample);
        if sample.hire.is_some() {
            event["driver"] = json!(id(self.driver));
        }
        event
    }
}
