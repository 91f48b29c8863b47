//! Vehicle events for people and validators: JSON Schema and Markdown, from the tables of [`crate::vehicle_event`].

use std::fmt::Write;

use serde_json::{Value, json};

use crate::codec::{MAX_CODE_BYTES, MAX_MODEL_CHARS};
use crate::telemetry::field;
use crate::vehicle_event::{Component, EventKind, MAX_ID_LENGTH, VERSION};

/// The JSON Schema of a vehicle event on the way in.
pub(super) fn json_schema() -> String {
    let kinds: Vec<&str> = EventKind::ALL.iter().map(|(k, _)| k.as_str()).collect();
    let hires: Vec<&str> = EventKind::ALL
        .iter()
        .filter(|(kind, _)| kind.is_hire())
        .map(|(kind, _)| kind.as_str())
        .collect();
    let mut components: Vec<Value> = Component::ALL
        .iter()
        .map(|(c, _)| json!(c.as_str()))
        .collect();
    components.push(Value::Null);
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Vehicle event, as it is sent",
        "$comment": "GENERATED from src/vehicle_event.rs by millrace-generate-contract; do not edit.",
        "type": "object",
        "required": ["vehicle", "id", "time", "kind"],
        "additionalProperties": false,
        "properties": {
            "vehicle": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "description": "Vehicle id"},
            "id": {
                "type": "string", "pattern": format!("^[A-Za-z0-9._-]{{1,{MAX_ID_LENGTH}}}$"),
                "description": "Chosen by the sender; a repeated id of a vehicle is a repeated event",
            },
            "time": {"type": "string", "format": "date-time", "description": "When it happened"},
            "kind": {"enum": kinds, "description": "What happened"},
            "component": {"enum": components, "description": "What it is about; absent: the vehicle as a whole"},
            "odometer": {
                "type": ["number", "null"], "anyOf": odometer(), "x-unit": "m",
                "description": "Distance travelled in the life of the vehicle, in m",
            },
            "model": {"type": ["string", "null"], "minLength": 1, "maxLength": MAX_MODEL_CHARS, "description": "Model of the vehicle"},
            "driver": {"type": ["string", "null"], "minLength": 1, "description": "Driver id; replaced by a pseudonym on arrival"},
            "hire": {"type": ["string", "null"], "minLength": 1, "description": "Hire id; replaced by a pseudonym on arrival"},
            "note": {
                "type": ["string", "null"], "pattern": format!("^[A-Za-z0-9-]{{1,{MAX_CODE_BYTES}}}$"),
                "description": "Code of what was found or done, such as P0217: never a text",
            },
        },
        "if": {"properties": {"kind": {"enum": hires}}},
        "then": {
            "properties": {"component": {"type": "null"}},
            "anyOf": [
                {"required": ["hire"], "properties": {"hire": {"type": "string"}}},
                {"required": ["driver"], "properties": {"driver": {"type": "string"}}},
            ],
        },
    });
    format!("{document:#}\n")
}

// As in telemetry: the plausible range, and what a bus says when it does not know.
fn odometer() -> Vec<Value> {
    let Some(field) = field("odometer") else {
        return Vec::new();
    };
    let sentinels = field.not_available.iter().copied();
    std::iter::once((field.min, field.max))
        .chain(sentinels)
        .map(|(min, max)| json!({"minimum": min, "maximum": max}))
        .collect()
}

/// The page for people.
pub(super) fn markdown() -> String {
    let mut out = format!(
        "<!-- GENERATED from src/vehicle_event.rs by millrace-generate-contract; do not edit. -->\n\
         # Vehicle events, version {VERSION}\n\n\
         What happens to a vehicle besides what it measures. One JSON object per event. Unknown fields are refused.\n\n\
         | field | | what |\n|---|---|---|\n\
         | `vehicle` | required | vehicle id: 1 to 64 of `A-Z a-z 0-9 . _ -` |\n\
         | `id` | required | 1 to {MAX_ID_LENGTH} of `A-Z a-z 0-9 . _ -`, chosen by the sender: a UUID, or a number of its system with the \
         system's name before it. A repeated `id` of a vehicle is a repeated event |\n\
         | `time` | required | when it happened (RFC 3339) |\n\
         | `kind` | required | see below |\n\
         | `component` | | see below; absent: the vehicle as a whole. Not with a hire |\n\
         | `odometer` | | distance travelled in the life of the vehicle, in m; range and not-available values as in \
         [telemetry](telemetry.md) |\n\
         | `model` | | model of the vehicle: 1 to {MAX_MODEL_CHARS} characters |\n\
         | `driver`, `hire` | one of them with a hire | ids; replaced by the pseudonym that telemetry of that hire gets as well, and go no \
         further |\n\
         | `note` | | a code of what was found or done, such as `P0217`: 1 to {MAX_CODE_BYTES} letters, digits and hyphens. There is no field for \
         texts, names or contact data |\n\n\
         | `kind` | what | sent by |\n|---|---|---|\n"
    );
    for (kind, what) in EventKind::ALL {
        let by = if kind.is_known_to_vehicle() {
            "workshop, hire desk, the vehicle itself"
        } else {
            "workshop"
        };
        let _ = writeln!(out, "| `{kind}` | {what} | {by} |");
    }
    out.push_str("\n| `component` | what |\n|---|---|\n");
    for (component, what) in Component::ALL {
        let _ = writeln!(out, "| `{component}` | {what} |");
    }
    out
}
