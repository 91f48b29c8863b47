//! What happens to a simulated car around its drive: it is maintained and checked before, hired for the drive, breaks down
//! of its fault, and is repaired. Pure and seeded as the drive itself.

use jiff::{SignedDuration, Timestamp};
use millrace_contract::{Component, EventKind, InboundEvent, VehicleEvent};

use crate::inject::{Fault, Injection};
use crate::random::Random;
use crate::{Trip, Truth};

/// Metres that a car drives in a day.
const A_DAY: f64 = 40_000.0;

/// The vehicle events of a car around its drive, in order of time.
///
/// - `maintenance` 10 to 120 days before, and for one car of three a `check` 1 to 9 days before; odometers by 40 km a day;
/// - `hire_started` with the first sample, `hire_ended` with the last;
/// - for a fault that stops the car, a `breakdown` with the last sample: `coolant-ramp` of the engine, `charging-failure` of
///   charging, `slow-puncture` of that tyre, `fuel-leak` of fuel; and a `repair` of it 1 to 5 hours later, which nobody has
///   driven.
/// - for `coolant-cold` and `dtc` a `repair` 1 to 5 days later: the driver comes home.
///
/// The ids come from the start of the drive: the same drive gives the same events.
#[must_use]
pub fn vehicle_events(trip: &Trip, seed: u64) -> Vec<InboundEvent> {
    let (Some(first), Some(last)) = (trip.samples.first(), trip.samples.last()) else {
        return Vec::new();
    };
    let mut random = Random::new(seed, "life");
    let mut days = |from: f64, to: f64| random.between(from, to);
    let maintained = days(10.0, 120.0);
    let checked = (days(0.0, 3.0) < 1.0).then(|| days(1.0, 9.0));
    let car = Car {
        trip,
        start: first.time,
        model: first.model.clone(),
    };
    let before = |days: f64| {
        let odometer = first.odometer.map(|m| (m - days * A_DAY).max(0.0).round());
        (later(first.time, -days * 24.0), odometer)
    };
    let mut events = vec![car.event(EventKind::Maintenance, None, before(maintained))];
    if let Some(days) = checked {
        events.push(car.event(EventKind::Check, None, before(days)));
    }
    events.push(car.event(EventKind::HireStarted, None, (first.time, first.odometer)));
    let end = (last.time, last.odometer);
    for truth in &trip.truth {
        let Some(what) = fault_of(truth) else {
            continue;
        };
        let hours = if what.stops {
            events.push(car.event(EventKind::Breakdown, Some(what.component), end));
            days(1.0, 5.0)
        } else {
            days(24.0, 120.0)
        };
        let repaired = (later(last.time, hours), last.odometer);
        let mut repair = car.event(EventKind::Repair, Some(what.component), repaired);
        repair.event.note = what.code;
        events.push(repair);
    }
    events.push(car.event(EventKind::HireEnded, None, end));
    events.sort_by_key(|inbound| inbound.event.time);
    events
}

struct Car<'a> {
    trip: &'a Trip,
    start: Timestamp,
    model: Option<String>,
}

impl Car<'_> {
    fn event(
        &self,
        kind: EventKind,
        component: Option<Component>,
        (time, odometer): (Timestamp, Option<f64>),
    ) -> InboundEvent {
        // Unlike an id of the sender's own, this one tells drives of one vehicle apart.
        let start = self.start.as_second();
        let part = component.map_or(String::new(), |c| format!("-{c}"));
        InboundEvent {
            event: VehicleEvent {
                vehicle: self.trip.vehicle.clone(),
                id: format!("sim-{start}-{kind}{part}"),
                time: millrace_contract::time::truncate(time),
                kind,
                component,
                odometer,
                model: self.model.clone(),
                hire: None,
                note: None,
            },
            driver: None,
            hire_id: kind
                .is_hire()
                .then(|| format!("{}-{start}", self.trip.vehicle)),
        }
    }
}

struct What {
    component: Component,
    stops: bool,
    code: Option<String>,
}

fn fault_of(truth: &Truth) -> Option<What> {
    let injection: Injection = truth.injection.parse().ok()?;
    let of = |component, stops| What {
        component,
        stops,
        code: None,
    };
    Some(match injection.fault {
        Fault::CoolantRamp => of(Component::Engine, true),
        Fault::CoolantCold => of(Component::Cooling, false),
        Fault::ChargingFailure => of(Component::Charging, true),
        Fault::SlowPuncture => of(Component::tyre_of(injection.wheel.name())?, true),
        Fault::FuelLeak => of(Component::Fuel, true),
        Fault::Dtc => What {
            code: injection.codes.first().cloned(),
            ..of(Component::Electrics, false)
        },
    })
}

fn later(time: Timestamp, hours: f64) -> Timestamp {
    SignedDuration::try_from_secs_f64((hours * 3600.0).round())
        .ok()
        .and_then(|d| time.checked_add(d).ok())
        .unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject;
    use crate::simulate::{SimParams, simulate};

    fn trip(injections: &[&str]) -> Trip {
        let mut trip = simulate(&SimParams {
            start: "2026-11-01T12:00:00Z".parse().unwrap(),
            duration_seconds: 600,
            ..SimParams::default()
        });
        for text in injections {
            inject(&mut trip, &text.parse().unwrap()).unwrap();
        }
        trip
    }

    fn kinds(events: &[InboundEvent]) -> Vec<(EventKind, Option<Component>)> {
        events
            .iter()
            .map(|e| (e.event.kind, e.event.component))
            .filter(|(kind, _)| *kind != EventKind::Check)
            .collect()
    }

    use Component::{Cooling, Engine, TyreFrontLeft};
    use EventKind::{Breakdown, HireEnded, HireStarted, Maintenance, Repair};

    #[test]
    fn a_healthy_car_is_maintained_and_hired() {
        let trip = trip(&[]);
        let events = vehicle_events(&trip, 1);
        let expected = [(Maintenance, None), (HireStarted, None), (HireEnded, None)];
        assert_eq!(kinds(&events), expected);
        assert_eq!(vehicle_events(&trip, 1), events);
        let hire = events.last().unwrap();
        assert!(hire.hire_id.is_some() && hire.event.odometer == trip.samples[599].odometer);
        // One in three is checked.
        let checked = (0..300)
            .filter(|seed| {
                let events = vehicle_events(&trip, *seed);
                events.iter().any(|e| e.event.kind == EventKind::Check)
            })
            .count();
        assert!((70..130).contains(&checked), "{checked}");
    }

    #[test]
    fn a_fault_that_stops_the_car_is_a_breakdown_at_the_end_of_its_truth() {
        let trip = trip(&[
            "slow-puncture@60:20:front_left",
            "coolant-cold@0",
            "coolant-ramp@300:5",
        ]);
        let events = vehicle_events(&trip, 3);
        let all = kinds(&events);
        for expected in [(Breakdown, Some(TyreFrontLeft)), (Breakdown, Some(Engine))] {
            assert!(all.contains(&expected), "{all:?}");
        }
        assert!(!all.contains(&(Breakdown, Some(Cooling))));
        assert!(all.contains(&(Repair, Some(Cooling))) && all.contains(&(Repair, Some(Engine))));
        let broken = events.iter().find(|e| e.event.kind == Breakdown).unwrap();
        assert_eq!(broken.event.time, trip.truth[0].until);
        let odometers: Vec<f64> = events.iter().filter_map(|e| e.event.odometer).collect();
        assert!(
            odometers.is_sorted() && odometers.len() == events.len(),
            "{odometers:?}"
        );
        let mut ids: Vec<&str> = events.iter().map(|e| e.event.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), events.len());
    }

    #[test]
    fn the_contract_takes_them() {
        let mut trip = trip(&["dtc@60:P0301"]);
        trip.vehicle = "x".repeat(64);
        for inbound in vehicle_events(&trip, 3) {
            let body = inbound.to_json().to_string();
            let read = millrace_contract::vehicle_event::decode_inbound(body.as_bytes());
            assert_eq!(read.unwrap().remove(0).unwrap(), inbound, "{body}");
        }
    }
}
