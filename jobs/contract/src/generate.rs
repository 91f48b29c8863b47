//! Turns `schema.yaml`, and the tables of vehicle events, into Rust, JSON Schema and documentation. Pure: takes text,
//! gives text.

mod documents;
mod events;
mod rust;

use serde::Deserialize;

/// Why `schema.yaml` is not usable.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Not YAML, or not of the expected shape.
    #[error("schema.yaml: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// A field contradicts itself.
    #[error("schema.yaml: field {field}: {problem}")]
    Field {
        /// Its name.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Generates all files: pairs of path, relative to the crate, and content.
///
/// # Errors
/// The schema cannot be read or contradicts itself.
pub fn generate(schema: &str) -> Result<Vec<(&'static str, String)>, GenerateError> {
    let schema: Schema = serde_yaml_ng::from_str(schema)?;
    schema.validate()?;
    Ok(vec![
        ("src/telemetry.rs", rust::telemetry(&schema)),
        (
            "schema/telemetry.schema.json",
            documents::json_schema(&schema),
        ),
        ("docs/telemetry.md", documents::markdown(&schema)),
        ("schema/vehicle-event.schema.json", events::json_schema()),
        ("docs/vehicle-events.md", events::markdown()),
    ])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schema {
    version: u32,
    fields: Vec<FieldSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldSpec {
    name: String,
    vss: String,
    unit: String,
    #[serde(rename = "type")]
    kind: KindSpec,
    range: Option<[f64; 2]>,
    #[serde(default)]
    not_available: Vec<Sentinel>,
    privacy: PrivacySpec,
    description: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum KindSpec {
    Number,
    Flag,
    Codes,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum PrivacySpec {
    Vehicle,
    Behaviour,
    Location,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Sentinel {
    Value(f64),
    Interval([f64; 2]),
}

/// Decoders round: 1774.96875 is also written 1774.969.
const ROUNDING: f64 = 0.002;

impl Sentinel {
    fn interval(&self) -> [f64; 2] {
        match *self {
            // Whole numbers are written exactly.
            Self::Value(v) if v.fract() == 0.0 => [v, v],
            Self::Value(v) => [v - ROUNDING, v + ROUNDING],
            Self::Interval(i) => i,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Value(v) => v.to_string(),
            Self::Interval([from, to]) => format!("{from} to {to}"),
        }
    }
}

const RESERVED: [&str; 6] = ["vehicle", "sequence", "time", "model", "driver", "hire"];

impl Schema {
    fn validate(&self) -> Result<(), GenerateError> {
        let mut seen = Vec::new();
        for f in &self.fields {
            let fail = |problem: &str| {
                Err(GenerateError::Field {
                    field: f.name.clone(),
                    problem: problem.to_owned(),
                })
            };
            if !f.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') || f.name.is_empty() {
                return fail("the name is not snake_case");
            }
            if RESERVED.contains(&f.name.as_str()) || seen.contains(&&f.name) {
                return fail("the name is taken");
            }
            seen.push(&f.name);
            match (f.kind, f.range) {
                (KindSpec::Number, None) => return fail("a number needs a range"),
                (KindSpec::Number, Some([min, max])) if min < max => {}
                (KindSpec::Number, Some(_)) => return fail("the range is empty"),
                (_, None) if f.not_available.is_empty() => {}
                _ => return fail("only a number has range and not_available"),
            }
            if f.not_available
                .iter()
                .map(Sentinel::interval)
                .any(|[from, to]| from > to)
            {
                return fail("an interval of not_available is empty");
            }
        }
        Ok(())
    }
}

fn unit_words(unit: &str) -> String {
    match unit {
        "1" => "no unit".to_owned(),
        other => format!("`{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_files_are_what_the_schema_gives() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let schema = std::fs::read_to_string(root.join("schema.yaml")).unwrap();
        for (path, content) in generate(&schema).unwrap() {
            let committed = std::fs::read_to_string(root.join(path)).unwrap_or_default();
            assert!(
                committed == content,
                "{path} differs: run cargo run -p millrace-contract --features generate --bin millrace-generate-contract"
            );
        }
    }

    #[test]
    fn contradictions_are_named() {
        let one = |rest: &str| {
            let text = format!(
                "version: 1\nfields:\n  - {{ name: x, vss: '-', unit: V, description: d, privacy: vehicle, {rest} }}\n"
            );
            generate(&text).map(|_| ()).map_err(|e| e.to_string())
        };
        one("type: number, range: [0, 1]").unwrap();
        assert!(
            one("type: number")
                .unwrap_err()
                .contains("field x: a number needs a range")
        );
        assert!(
            one("type: number, range: [1, 0]")
                .unwrap_err()
                .contains("empty")
        );
        assert!(
            one("type: flag, range: [0, 1]")
                .unwrap_err()
                .contains("only a number")
        );
        assert!(
            one("type: number, range: [0, 1], colour: red")
                .unwrap_err()
                .contains("colour")
        );
    }
}
