//! From one vehicle's events and odometer to distances before a breakdown.

use std::collections::BTreeSet;

use jiff::Timestamp;
use millrace_contract::{Component, EventKind, Invalid, VehicleEvent};

use super::Lifetime;

/// An odometer at a time, as telemetry has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// When.
    pub time: Timestamp,
    /// Distance travelled in the life of the vehicle, in m.
    pub odometer: f64,
}

/// Two senders may tell of one breakdown, each with the odometer as it knows it: within so many metres of the last one
/// it is the same.
pub const SAME_BREAKDOWN: f64 = 1000.0;

/// So many metres an odometer may seem to fall: workshops write kilometres, and clocks differ.
const ROUNDING: f64 = 2000.0;

/// Distances in km that one vehicle drove before each breakdown of a component.
///
/// The odometer of a breakdown is its own, else that of the last reading before it, else of the first one after. A
/// distance begins with the first odometer known of the vehicle, or with the breakdown before, and ends with the next
/// breakdown (failed) or with the greatest odometer known (censored). So n breakdowns give n failed distances and, when
/// the vehicle drove on, one censored; none gives one censored. A vehicle that never moved gives nothing.
///
/// What was driven before the first odometer is not known, so the first distance may be shorter than that since the
/// breakdown before: with a constant rate that does no harm, else give `readings` from the vehicle's beginning on.
/// Repeated events (by `id`) count once, and so do breakdowns within [`SAME_BREAKDOWN`] of each other.
///
/// # Errors
/// Events of several vehicles, a breakdown without any odometer, or an odometer that falls.
pub fn to_breakdown(
    component: Component,
    events: &[VehicleEvent],
    readings: &[Reading],
) -> Result<Vec<Lifetime>, Invalid> {
    one_vehicle(events)?;
    let known = odometers(events, readings)?;
    let mut broken = Vec::new();
    for event in once(events) {
        if event.kind == EventKind::Breakdown && event.component == Some(component) {
            broken.push(place(event, &known)?);
        }
    }
    broken.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (known.first(), known.last()) else {
        return Ok(Vec::new());
    };
    // With the breakdown itself the observation may begin and end.
    let mut begin = first.odometer;
    let mut lifetimes = Vec::new();
    let mut before: Option<f64> = None;
    for odometer in broken {
        if before.is_some_and(|b| odometer - b <= SAME_BREAKDOWN) {
            continue;
        }
        before = Some(odometer);
        if odometer > begin {
            lifetimes.push(Lifetime::failed((odometer - begin) / 1000.0));
        }
        begin = begin.max(odometer);
    }
    let end = known
        .iter()
        .fold(last.odometer, |most, r| most.max(r.odometer));
    if end > begin {
        lifetimes.push(Lifetime::censored((end - begin) / 1000.0));
    }
    Ok(lifetimes)
}

/// Distance in km that one vehicle drove while it was observed: from the first odometer known to the greatest.
///
/// # Errors
/// An odometer that falls.
pub fn driven(events: &[VehicleEvent], readings: &[Reading]) -> Result<f64, Invalid> {
    let known = odometers(events, readings)?;
    let first = known.first().map_or(0.0, |r| r.odometer);
    let most = known.iter().fold(first, |most, r| most.max(r.odometer));
    Ok((most - first) / 1000.0)
}

/// The events, each id once, in order of time.
pub(super) fn once(events: &[VehicleEvent]) -> Vec<&VehicleEvent> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<&VehicleEvent> = events
        .iter()
        .filter(|event| seen.insert(event.id.as_str()))
        .collect();
    kept.sort_by_key(|event| event.time);
    kept
}

pub(super) fn one_vehicle(events: &[VehicleEvent]) -> Result<(), Invalid> {
    let vehicle = events.first().map(|event| event.vehicle.as_str());
    match events.iter().find(|e| Some(e.vehicle.as_str()) != vehicle) {
        None => Ok(()),
        Some(other) => Err(Invalid::new(
            "vehicle",
            &other.vehicle,
            format!(
                "not {}, of which the first event is",
                vehicle.unwrap_or_default()
            ),
            "give the events of one vehicle at a time",
        )),
    }
}

// All odometers known, in order of time.
fn odometers(events: &[VehicleEvent], readings: &[Reading]) -> Result<Vec<Reading>, Invalid> {
    let told = events.iter().filter_map(|event| {
        Some(Reading {
            time: event.time,
            odometer: event.odometer?,
        })
    });
    let mut known: Vec<Reading> = readings.iter().copied().chain(told).collect();
    known.sort_by(|a, b| {
        (a.time, a.odometer)
            .partial_cmp(&(b.time, b.odometer))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let mut most = f64::NEG_INFINITY;
    for reading in &known {
        let odometer = reading.odometer;
        if !odometer.is_finite() || odometer < most - ROUNDING {
            return Err(Invalid::new(
                "odometer",
                odometer.to_string(),
                format!("at {} below {most}, which was read before", reading.time),
                "correct the reading; after the instrument was replaced, give the time before and after as two vehicles",
            ));
        }
        most = most.max(odometer);
    }
    Ok(known)
}

fn place(event: &VehicleEvent, known: &[Reading]) -> Result<f64, Invalid> {
    if let Some(odometer) = event.odometer {
        return Ok(odometer);
    }
    let after = known.partition_point(|reading| reading.time <= event.time);
    let before = after.checked_sub(1).and_then(|at| known.get(at));
    before
        .or_else(|| known.get(after))
        .map(|reading| reading.odometer)
        .ok_or_else(|| {
            Invalid::new(
                "odometer",
                "",
                format!(
                    "missing from breakdown {}, and there is no reading of the vehicle",
                    event.id
                ),
                "send the odometer with the breakdown, or give readings",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survival::testing::{event, time};

    fn breakdown(id: &str, hour: i64, odometer: Option<f64>) -> VehicleEvent {
        VehicleEvent {
            component: Some(Component::Engine),
            odometer,
            ..event("car-1", id, EventKind::Breakdown, hour)
        }
    }

    fn reading(hour: i64, odometer: f64) -> Reading {
        Reading {
            time: time(hour),
            odometer,
        }
    }

    fn of(events: &[VehicleEvent], readings: &[Reading]) -> Vec<Lifetime> {
        to_breakdown(Component::Engine, events, readings).unwrap()
    }

    #[test]
    fn a_vehicle_that_never_broke_down_is_censored() {
        let readings = [reading(0, 5e6), reading(100, 25e6)];
        assert_eq!(of(&[], &readings), [Lifetime::censored(20_000.0)]);
        assert_eq!(of(&[], &readings[..1]), [], "it never moved");
        assert_eq!(of(&[], &[]), []);
        assert_eq!(driven(&[], &readings).unwrap(), 20_000.0);
    }

    #[test]
    fn each_breakdown_ends_a_distance_and_the_last_one_is_censored() {
        let readings = [reading(0, 5e6), reading(50, 17e6), reading(100, 25e6)];
        let events = [
            breakdown("b", 60, Some(18e6)),
            breakdown("a", 20, Some(9e6)),
            // The workshop tells of the second one again, and the first is sent twice.
            breakdown("c", 61, Some(18_000_400.0)),
            breakdown("a", 20, Some(9e6)),
            VehicleEvent {
                component: Some(Component::Brakes),
                ..breakdown("d", 80, Some(20e6))
            },
        ];
        let expected = [
            Lifetime::failed(4000.0),
            Lifetime::failed(9000.0),
            Lifetime::censored(7000.0),
        ];
        assert_eq!(of(&events, &readings), expected);
        // Broken down, and not driven since.
        let last = [breakdown("a", 100, Some(25e6))];
        assert_eq!(of(&last, &readings), [Lifetime::failed(20_000.0)]);
        // Broken down when the observation began.
        let first = [breakdown("a", 0, Some(5e6))];
        assert_eq!(of(&first, &readings), [Lifetime::censored(20_000.0)]);
    }

    #[test]
    fn a_breakdown_without_an_odometer_has_that_of_the_reading_before() {
        let readings = [reading(0, 5e6), reading(50, 17e6), reading(100, 25e6)];
        let expected = [Lifetime::failed(12_000.0), Lifetime::censored(8000.0)];
        assert_eq!(of(&[breakdown("a", 70, None)], &readings), expected);
        let only_later = [reading(100, 25e6)];
        assert_eq!(of(&[breakdown("a", 70, None)], &only_later), []);
        let e = to_breakdown(Component::Engine, &[breakdown("a", 70, None)], &[]).unwrap_err();
        assert!(
            e.field == "odometer" && e.problem.contains("breakdown a"),
            "{e}"
        );
    }

    #[test]
    fn what_cannot_be_is_named() {
        let falls = [reading(0, 5e6), reading(1, 1e6)];
        let e = to_breakdown(Component::Engine, &[], &falls).unwrap_err();
        assert_eq!(
            (e.field.as_str(), e.value.as_str()),
            ("odometer", "1000000")
        );
        // Rounding is no fall.
        let rounded = [reading(0, 5_000_400.0), reading(1, 5e6), reading(2, 6e6)];
        assert_eq!(of(&[], &rounded), [Lifetime::censored(999.6)]);
        let two = [
            breakdown("a", 1, Some(1.0)),
            VehicleEvent {
                vehicle: "car-2".into(),
                ..breakdown("b", 1, Some(1.0))
            },
        ];
        assert_eq!(
            to_breakdown(Component::Engine, &two, &[])
                .unwrap_err()
                .value,
            "car-2"
        );
    }
}
