//! The fields of telemetry as conditions see them.

use millrace_condition::{Fields, List, Row, Type, Value};
use millrace_contract::{FIELDS, Kind, Telemetry, telemetry};

/// The fields of telemetry: those of the contract, and `vehicle`, `model`, `hire` and `sequence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelemetryFields;

const OTHERS: [(&str, Type); 4] = [
    ("vehicle", Type::Text),
    ("model", Type::Text),
    ("hire", Type::Text),
    ("sequence", Type::Number),
];

impl Fields for TelemetryFields {
    fn type_of(&self, path: &str) -> Option<Type> {
        let other = OTHERS.iter().find(|(n, _)| *n == path).map(|(_, t)| *t);
        other.or_else(|| {
            telemetry::field(path).map(|f| match f.kind {
                Kind::Number => Type::Number,
                Kind::Flag => Type::Flag,
                Kind::Codes => Type::List,
            })
        })
    }

    fn names(&self) -> Vec<&str> {
        let others = OTHERS.iter().map(|(n, _)| *n);
        others.chain(FIELDS.iter().map(|f| f.name)).collect()
    }
}

/// An event as a record.
pub(super) struct Event<'a> {
    pub event: &'a Telemetry,
    /// What is known of the vehicle's model: most vehicles name it once.
    pub model: Option<&'a str>,
}

impl Row for Event<'_> {
    fn get(&self, path: &str) -> Value<'_> {
        match path {
            "vehicle" => Value::Text(&self.event.vehicle),
            "model" => self.model.map_or(Value::Null, Value::Text),
            "hire" => self.event.hire.as_deref().map_or(Value::Null, Value::Text),
            "mil_on" => self.event.mil_on.map_or(Value::Null, Value::Flag),
            "dtc_list" => match &self.event.dtc_list {
                Some(codes) => Value::List(List::Texts(codes)),
                None => Value::Null,
            },
            other => number(self.event, other).map_or(Value::Null, Value::number),
        }
    }
}

/// The number in a field.
pub(super) fn number(event: &Telemetry, name: &str) -> Option<f64> {
    match name {
        "sequence" => Some(event.sequence as f64),
        _ => event.number(name),
    }
}
