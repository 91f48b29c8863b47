//! What a schema of the contract is told by: its version, and the fingerprint of its JSON Schema.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::cloudevent::EventType;
use crate::{audit, telemetry, vehicle_event};

static TELEMETRY: LazyLock<String> =
    LazyLock::new(|| sha256(include_str!("../schema/telemetry.schema.json")));
static VEHICLE_EVENT: LazyLock<String> =
    LazyLock::new(|| sha256(include_str!("../schema/vehicle-event.schema.json")));

/// The version of a schema, by its name (`vehicle-event`); `None` of those that the jobs keep for themselves.
#[must_use]
pub fn version(schema: &str) -> Option<u32> {
    match schema {
        "telemetry" => Some(telemetry::VERSION),
        "vehicle-event" => Some(vehicle_event::VERSION),
        "alert" => of_type(EventType::Alert.as_str()),
        "notification" => of_type(EventType::Notification.as_str()),
        "dead-letter" => of_type(EventType::DeadLetter.as_str()),
        "audit" => of_type(audit::TYPE),
        _ => None,
    }
}

/// SHA-256 of a schema's JSON Schema, in hexadecimal, as `sha256sum` prints it of the file; `None` of a schema without one.
#[must_use]
pub fn fingerprint(schema: &str) -> Option<&'static str> {
    match schema {
        "telemetry" => Some(TELEMETRY.as_str()),
        "vehicle-event" => Some(VEHICLE_EVENT.as_str()),
        _ => None,
    }
}

/// The version at the end of a type of events.
fn of_type(event_type: &str) -> Option<u32> {
    event_type.rsplit_once(".v")?.1.parse().ok()
}

fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_types_of_events() {
        for (schema, event_type) in [
            ("telemetry", EventType::Telemetry),
            ("vehicle-event", EventType::VehicleEvent),
            ("alert", EventType::Alert),
            ("notification", EventType::Notification),
            ("dead-letter", EventType::DeadLetter),
        ] {
            let said = format!("dev.millrace.{schema}.v{}", version(schema).unwrap());
            assert_eq!(event_type.as_str(), said);
        }
        assert_eq!(version("audit"), Some(1));
        assert_eq!(version("detect-state"), None);
    }

    #[test]
    fn a_fingerprint_tells_one_schema_from_another() {
        let (one, other) = (
            fingerprint("telemetry").unwrap(),
            fingerprint("vehicle-event"),
        );
        assert_ne!(Some(one), other);
        assert_eq!(one.len(), 64);
        assert!(one.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_eq!(fingerprint("alert"), None);
        // Of NIST's examples: what `sha256sum` prints, too.
        assert_eq!(
            sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    /// What topics hold records of. They refuse another form of the same version, see `refusedSchema` of a KafkaTopic.
    #[test]
    fn another_form_has_another_version() {
        for (schema, pinned, form) in [
            (
                "telemetry",
                1,
                "632435b62d24ae7f8cbf14a00b5f54406f144e30f9636b384d13e2f4bdbafbf2",
            ),
            (
                "vehicle-event",
                1,
                "d30dabd34074e2cdb5c6445df29ee271e8d1ec40139cc0843ff502cb5d6bec26",
            ),
        ] {
            assert_eq!(
                (version(schema), fingerprint(schema)),
                (Some(pinned), Some(form)),
                "{schema}: its JSON Schema has changed, and topics with records of the former one refuse another one of the same \
                 version. Change it in such a way only that records of all former versions are read (new fields may be absent, none \
                 goes), give it the next version (`version` in schema.yaml, VERSION in vehicle_event.rs, and the number at the end of \
                 its EventType), generate, put a record with all fields into schema/records, and write version and fingerprint here"
            );
        }
        // These have no JSON Schema: their version is all that tells.
        for schema in ["alert", "notification", "dead-letter", "audit"] {
            assert_eq!((version(schema), fingerprint(schema)), (Some(1), None));
        }
    }

    #[test]
    fn records_of_all_versions_are_read_whole() {
        let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        let record = include_bytes!("../schema/records/telemetry.v1.json");
        let read = crate::codec::decode(record).unwrap();
        assert_eq!(value(&crate::codec::encode(&read)), value(record));
        let record = include_bytes!("../schema/records/vehicle-event.v1.json");
        let read = vehicle_event::decode(record).unwrap();
        assert_eq!(value(&vehicle_event::encode(&read)), value(record));
    }
}
