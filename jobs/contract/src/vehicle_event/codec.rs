//! JSON of vehicle events in and out, as strict as that of telemetry.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Component, EventKind, InboundEvent, VehicleEvent, check};
use crate::Invalid;
use crate::codec::diagnose;
use crate::codec::{Wired, check_person, each};

/// An event as it is sent: nothing unknown, and who hires.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    vehicle: String,
    id: String,
    #[serde(deserialize_with = "crate::time::micros")]
    time: Timestamp,
    kind: EventKind,
    component: Option<Component>,
    odometer: Option<f64>,
    model: Option<String>,
    driver: Option<String>,
    hire: Option<String>,
    note: Option<String>,
}

const FIELDS: [&str; 10] = [
    "vehicle",
    "id",
    "time",
    "kind",
    "component",
    "odometer",
    "model",
    "driver",
    "hire",
    "note",
];

const KIND: &str = "send check, repair, maintenance, breakdown, hire_started or hire_ended";

impl Wired for Wire {
    type Good = InboundEvent;
    const SCHEMA: &'static str = "schema/vehicle-event.schema.json";
    const PAGE: &'static str = "docs/vehicle-events.md";

    fn finish(self) -> Result<InboundEvent, Invalid> {
        let (driver, hire_id) = (self.driver, self.hire);
        let mut event = VehicleEvent {
            vehicle: self.vehicle,
            id: self.id,
            time: self.time,
            kind: self.kind,
            component: self.component,
            odometer: self.odometer,
            model: self.model,
            hire: None,
            note: self.note,
        };
        let checked = check(&mut event)
            .and_then(|()| check_person("driver", driver.as_deref()))
            .and_then(|()| check_person("hire", hire_id.as_deref()))
            .and_then(|()| match (&driver, &hire_id) {
                (None, None) if event.kind.is_hire() => Err(Invalid::new(
                    "hire",
                    "",
                    format!("missing from a {}", event.kind),
                    "send the hire's id, and the driver's if telemetry of the hire carries it",
                )),
                _ => Ok(()),
            });
        match checked {
            Ok(()) => Ok(InboundEvent {
                event,
                driver,
                hire_id,
            }),
            Err(e) => Err(diagnose::redact::<Self>(
                e,
                driver.as_deref(),
                hire_id.as_deref(),
            )),
        }
    }

    fn names() -> impl Iterator<Item = &'static str> {
        FIELDS.into_iter()
    }

    fn knows(name: &str) -> bool {
        FIELDS.contains(&name)
    }

    fn look(object: &Map<String, Value>) -> Option<Invalid> {
        required(object).or_else(|| optional(object))
    }
}

fn required(object: &Map<String, Value>) -> Option<Invalid> {
    const ID: &str = "send an id of your own as a JSON string, the same when it is sent again";
    diagnose::vehicle(object)
        .or_else(|| match object.get("id") {
            None => Some(Invalid::new("id", "", "missing", ID)),
            Some(Value::String(_)) => None,
            Some(v) => Some(Invalid::new("id", v.to_string(), "not a text", ID)),
        })
        .or_else(|| {
            diagnose::time(
                object,
                "send the time at which it happened in RFC 3339, such as \"2026-01-01T08:30:00Z\"",
            )
        })
        .or_else(|| match object.get("kind") {
            None => Some(Invalid::new("kind", "", "missing", KIND)),
            Some(Value::String(word)) if EventKind::parse(word).is_some() => None,
            Some(Value::String(word)) => Some(Invalid::new("kind", word, "unknown kind", KIND)),
            Some(v) => Some(Invalid::new("kind", v.to_string(), "not a text", KIND)),
        })
}

fn optional(object: &Map<String, Value>) -> Option<Invalid> {
    let given = |name: &str| object.get(name).filter(|v| !v.is_null());
    let component = || match given("component")? {
        Value::String(word) if Component::parse(word).is_some() => None,
        Value::String(word) => Some(Invalid::new(
            "component",
            word,
            "unknown component",
            nearest(word),
        )),
        v => Some(Invalid::new(
            "component",
            v.to_string(),
            "not a text",
            "send for instance \"engine\", or leave the field out",
        )),
    };
    let odometer = || match given("odometer")? {
        Value::Number(_) => None,
        Value::String(s) if s.trim().parse::<f64>().is_ok() => Some(Invalid::new(
            "odometer",
            s,
            "a number written as text",
            "leave out the quotation marks",
        )),
        v => Some(Invalid::new(
            "odometer",
            v.to_string(),
            "not a number",
            "send odometer as a number in m, or leave the field out",
        )),
    };
    component()
        .or_else(odometer)
        .or_else(|| diagnose::texts(object, &["model", "note"]))
        .or_else(|| diagnose::hire(object))
}

fn nearest(word: &str) -> String {
    let words = Component::ALL.iter().map(|(c, _)| c.as_str());
    match diagnose::near(word, words) {
        Some(near) => format!("write {near} if that is meant, else other"),
        None => {
            "send other, or one of the components in docs/vehicle-events.md of the contract".into()
        }
    }
}

/// Reads what was sent: one event, or an array of them, each judged on its own.
///
/// Unknown fields are refused: a misspelt `driver` must not slip through. Times are not compared with a clock here,
/// see [`crate::check_time`].
///
/// # Errors
/// The body as a whole is no JSON, or neither an object nor an array.
pub fn decode_inbound(body: &[u8]) -> Result<Vec<Result<InboundEvent, Invalid>>, Invalid> {
    each::<Wire>(body)
}

/// Reads a vehicle event from Kafka. Unknown fields are tolerated: a newer gateway may write more.
///
/// # Errors
/// No JSON, or a field of the wrong type.
pub fn decode(value: &[u8]) -> Result<VehicleEvent, Invalid> {
    serde_json::from_slice(value).map_err(|e| diagnose::stored::<Wire>(value, &e))
}

/// Writes a vehicle event for Kafka.
pub fn encode(event: &VehicleEvent) -> Vec<u8> {
    // Writing this struct into memory cannot fail: no map keys, no custom serializers that err.
    serde_json::to_vec(event).unwrap_or_default()
}
