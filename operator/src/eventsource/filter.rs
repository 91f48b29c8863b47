//! The filter of an event source, checked against what the topic's records hold. Pure.

use millrace_condition::{ALERT_FIELDS, AnyJson, Condition, Fields, Table, Type};
use millrace_contract::{FIELDS, Invalid, Kind};

use crate::topic::crd::TopicSchema;

/// What every telemetry event holds besides its signals.
const ENVELOPE: Table<'static> = Table(&[
    ("vehicle", Type::Text),
    ("sequence", Type::Number),
    ("time", Type::Text),
    ("hire", Type::Text),
    ("model", Type::Text),
]);

struct Events;

impl Fields for Events {
    fn type_of(&self, path: &str) -> Option<Type> {
        ENVELOPE.type_of(path).or_else(|| {
            let field = FIELDS.iter().find(|field| field.name == path)?;
            Some(match field.kind {
                Kind::Number => Type::Number,
                Kind::Flag => Type::Flag,
                Kind::Codes => Type::List,
            })
        })
    }

    fn names(&self) -> Vec<&str> {
        let signals = FIELDS.iter().map(|field| field.name);
        ENVELOPE.names().into_iter().chain(signals).collect()
    }
}

/// Compiles a filter as dispatch will.
///
/// # Errors
/// It is not a condition, or names a field that records of this schema do not have.
pub fn check(filter: &str, schema: TopicSchema) -> Result<(), Invalid> {
    let compiled = match schema {
        TopicSchema::Alert => Condition::compile(filter, &ALERT_FIELDS),
        TopicSchema::Telemetry => Condition::compile(filter, &Events),
        TopicSchema::VehicleEvent
        | TopicSchema::Notification
        | TopicSchema::DeadLetter
        | TopicSchema::DetectState
        | TopicSchema::Notified
        | TopicSchema::VehicleCredential
        | TopicSchema::VehicleSession
        | TopicSchema::Hire
        | TopicSchema::Driver
        | TopicSchema::HireScore
        | TopicSchema::Offer
        | TopicSchema::Audit => Condition::compile(filter, &AnyJson),
    };
    compiled.map(drop).map_err(|error| {
        Invalid::new(
            "spec.filter",
            filter,
            format!(
                "at character {} ({}): {}",
                error.position, error.found, error.problem
            ),
            error.cure,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked_with_the_fields_of_the_schema() {
        for (filter, schema) in [
            ("zone IS NULL", TopicSchema::Alert),
            ("zone IS NOT NULL", TopicSchema::Alert),
            (
                "zone.kind = 'border' AND zone.seconds < 30",
                TopicSchema::Alert,
            ),
            ("severity IN ('warning', 'critical')", TopicSchema::Alert),
            (
                "coolant_temperature > 100 AND NOT vehicle LIKE 'test-%'",
                TopicSchema::Telemetry,
            ),
            ("whatever.there.is = 1", TopicSchema::Audit),
        ] {
            assert_eq!(check(filter, schema), Ok(()), "{filter}");
        }
        for (filter, schema, says) in [
            ("severty = 'info'", TopicSchema::Alert, "severity"),
            (
                "coolant_temperature > 100",
                TopicSchema::Alert,
                "coolant_temperature",
            ),
            ("zone.kind = 3", TopicSchema::Alert, "zone.kind"),
            ("speed >", TopicSchema::Telemetry, "spec.filter"),
            (
                "severity = 'info'; DROP TABLE alerts",
                TopicSchema::Alert,
                "spec.filter",
            ),
        ] {
            let error = check(filter, schema).unwrap_err().to_string();
            assert!(
                error.starts_with("spec.filter: ") && error.contains(says),
                "{error}"
            );
        }
    }
}
