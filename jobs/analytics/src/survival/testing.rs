//! Events for tests.

use jiff::{SignedDuration, Timestamp};
use millrace_contract::{EventKind, VehicleEvent};

/// An hour of the tests.
pub fn time(hour: i64) -> Timestamp {
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    begin + SignedDuration::from_hours(hour)
}

/// An event with the least that one has.
pub fn event(vehicle: &str, id: &str, kind: EventKind, hour: i64) -> VehicleEvent {
    VehicleEvent {
        vehicle: vehicle.to_owned(),
        id: id.to_owned(),
        time: time(hour),
        kind,
        component: None,
        odometer: None,
        model: None,
        hire: None,
        note: None,
    }
}
