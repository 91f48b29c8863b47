//! What people and validators read: JSON Schema and Markdown.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{KindSpec, PrivacySpec, Schema, Sentinel, unit_words};

/// The JSON Schema of an event on the way in.
pub(super) fn json_schema(schema: &Schema) -> String {
    let mut properties = Map::new();
    let mut put = |name: &str, value: Value| properties.insert(name.to_owned(), value);
    put(
        "vehicle",
        json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$", "description": "Vehicle id"}),
    );
    put(
        "sequence",
        json!({"type": "integer", "minimum": 0, "description": "Counts the vehicle's events; a repeated number is a repeated event"}),
    );
    put(
        "time",
        json!({"type": "string", "format": "date-time", "description": "When it was measured"}),
    );
    put(
        "model",
        json!({"type": ["string", "null"], "minLength": 1, "maxLength": 64, "description": "Model of the vehicle, which picks its thresholds"}),
    );
    put(
        "driver",
        json!({"type": ["string", "null"], "minLength": 1, "description": "Driver id; replaced by a pseudonym on arrival"}),
    );
    put(
        "hire",
        json!({"type": ["string", "null"], "minLength": 1, "description": "Hire id; replaced by a pseudonym on arrival"}),
    );
    for f in &schema.fields {
        let mut p = match (f.kind, f.range) {
            (KindSpec::Number, Some([min, max])) => {
                let range = json!({"minimum": min, "maximum": max});
                let sentinels = f.not_available.iter().map(Sentinel::interval);
                let mut any: Vec<Value> = sentinels
                    .map(|[from, to]| json!({"minimum": from, "maximum": to}))
                    .collect();
                any.insert(0, range);
                json!({"type": ["number", "null"], "anyOf": any})
            }
            (KindSpec::Flag, _) => {
                json!({"enum": [true, false, null, 0, 1, 2, 3]})
            }
            _ => {
                json!({"type": ["array", "null"], "maxItems": 64, "items": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,16}$"}})
            }
        };
        p["description"] = json!(format!("{}, in {}", f.description, unit_words(&f.unit)));
        p["x-vss"] = json!(f.vss);
        p["x-unit"] = json!(f.unit);
        put(&f.name, p);
    }
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Telemetry, as a vehicle sends it",
        "$comment": "GENERATED from schema.yaml by millrace-generate-contract; do not edit.",
        "type": "object",
        "required": ["vehicle", "sequence", "time"],
        "additionalProperties": false,
        "properties": properties,
    });
    format!("{document:#}\n")
}

/// The table of fields for people.
pub(super) fn markdown(schema: &Schema) -> String {
    let mut out = format!(
        "<!-- GENERATED from schema.yaml by millrace-generate-contract; do not edit. -->\n\
         # Telemetry, version {}\n\n\
         One JSON object per event. `vehicle` (1 to 64 of `A-Z a-z 0-9 . _ -`), `sequence` (whole number, counts the\n\
         vehicle's events; a repeated number is a repeated event) and `time` (RFC 3339) must be there. `model` picks the\n\
         thresholds. `driver` and `hire` are replaced by a pseudonym on arrival and go no further. Every signal is\n\
         optional: leave out what was not measured. Unknown fields are refused. Values outside of the range are refused;\n\
         not-available values, as decoders of vehicle buses give them, are dropped.\n\n\
         | field | unit | type | range | not available | privacy | VSS path | what |\n|---|---|---|---|---|---|---|---|\n",
        schema.version
    );
    for f in &schema.fields {
        let range = f
            .range
            .map_or_else(String::new, |[a, b]| format!("{a} to {b}"));
        let na: Vec<String> = f.not_available.iter().map(Sentinel::words).collect();
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {range} | {} | {} | {} | {} |",
            f.name,
            if f.unit == "1" {
                String::new()
            } else {
                format!("`{}`", f.unit)
            },
            match f.kind {
                KindSpec::Number => "number",
                KindSpec::Flag => "true, false",
                KindSpec::Codes => "list of texts",
            },
            na.join(", "),
            match f.privacy {
                PrivacySpec::Vehicle => "vehicle",
                PrivacySpec::Behaviour => "behaviour",
                PrivacySpec::Location => "location",
            },
            if f.vss == "-" {
                String::new()
            } else {
                format!("`{}`", f.vss)
            },
            f.description,
        );
    }
    out
}
