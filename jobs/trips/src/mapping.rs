//! How the columns of a CSV file become telemetry.

use std::collections::BTreeMap;

use millrace_contract::field::Kind;
use millrace_contract::telemetry::field;
use millrace_contract::{Field, Invalid};
use serde::Deserialize;

/// A column mapping, written in YAML:
/// ```yaml
/// model: Toyota Etios                # optional
/// delimiter: ";"                     # optional, a comma when absent
/// missing: ["-1", "n.v."]            # optional, cells that mean "not measured" besides empty, NaN, NA and null
/// time: { column: time_s, unit: seconds }   # seconds, milliseconds, clock (13:05:59.5) or rfc3339
/// columns:
///   Engine Coolant Temp: coolant_temperature
///   Speed: { field: speed, scale: 1.609344, offset: 0, optional: true }   # value * scale + offset
/// ```
/// A column is found by its header cell, with or without a unit in brackets at its end.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Model of the vehicle, for its thresholds.
    pub model: Option<String>,
    /// Separates cells.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// Cells that mean "not measured".
    #[serde(default)]
    pub missing: Vec<String>,
    /// Where the time is.
    pub time: TimeColumn,
    /// By header cell: the telemetry field.
    pub columns: BTreeMap<String, Column>,
}

fn comma() -> char {
    ','
}

/// Where the time of a row is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeColumn {
    /// Header cell, or several of which the first that is there is taken.
    #[serde(deserialize_with = "one_or_many")]
    pub column: Vec<String>,
    /// What it holds.
    pub unit: TimeUnit,
}

/// What a time column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Seconds since any moment.
    Seconds,
    /// Milliseconds since any moment.
    Milliseconds,
    /// Time of day, `HH:MM:SS` with or without a fraction; may pass midnight.
    Clock,
    /// RFC 3339 with an offset.
    Rfc3339,
}

/// What a column means: `value * scale + offset` in the unit of the field.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "ColumnText")]
pub struct Column {
    /// Name of the telemetry field.
    pub field: String,
    /// Factor.
    pub scale: f64,
    /// Summand.
    pub offset: f64,
    /// Whether a file without this column is fine.
    pub optional: bool,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a field name, or {field, scale, offset, optional}"
)]
enum ColumnText {
    Name(String),
    Full(FullColumn),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FullColumn {
    field: String,
    #[serde(default = "one")]
    scale: f64,
    #[serde(default)]
    offset: f64,
    #[serde(default)]
    optional: bool,
}

fn one() -> f64 {
    1.0
}

impl From<ColumnText> for Column {
    fn from(text: ColumnText) -> Self {
        match text {
            ColumnText::Name(field) => Self {
                field,
                scale: 1.0,
                offset: 0.0,
                optional: false,
            },
            ColumnText::Full(FullColumn {
                field,
                scale,
                offset,
                optional,
            }) => Self {
                field,
                scale,
                offset,
                optional,
            },
        }
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a column name or a list of them")]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(d)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

impl Mapping {
    /// Reads and checks a mapping.
    ///
    /// # Errors
    /// Not YAML, an unknown key, or a telemetry field that does not exist or is no number.
    pub fn parse(yaml: &str) -> Result<Self, Invalid> {
        let mapping: Self = serde_yaml_ng::from_str(yaml).map_err(|e| {
            Invalid::new(
                "mapping",
                "",
                e.to_string(),
                "a mapping has time: {column, unit} and columns: {HEADER: field}",
            )
        })?;
        let fail = |key: &str, value: &str, problem: &str, cure: &str| {
            Err(Invalid::new(format!("mapping.{key}"), value, problem, cure))
        };
        if !mapping.delimiter.is_ascii() {
            let shown = mapping.delimiter.to_string();
            return fail(
                "delimiter",
                &shown,
                "not ASCII",
                "use for instance \",\" or \";\"",
            );
        }
        if mapping.time.column.is_empty() {
            return fail(
                "time.column",
                "[]",
                "empty",
                "name the column that holds the time",
            );
        }
        for (name, column) in &mapping.columns {
            let key = format!("columns.{name}");
            match field(&column.field) {
                None => {
                    let cure = "use a field of the contract's docs/telemetry.md";
                    return fail(&key, &column.field, "no such telemetry field", cure);
                }
                Some(f) if f.kind != Kind::Number => {
                    return fail(
                        &key,
                        &column.field,
                        "not a number field",
                        "map number fields only",
                    );
                }
                Some(_) => {}
            }
            if !column.scale.is_finite() || !column.offset.is_finite() {
                return fail(
                    &key,
                    "",
                    "scale or offset is not finite",
                    "use ordinary numbers",
                );
            }
        }
        Ok(mapping)
    }

    /// The columns found in a header: index, name, meaning and field of each; and the index of the time.
    pub(crate) fn resolve<'a>(&'a self, header: &[String]) -> Result<Resolved<'a>, String> {
        let find = |name: &str| {
            header
                .iter()
                .position(|h| h == name || without_unit(h) == name)
        };
        let Some(time) = self.time.column.iter().find_map(|name| find(name)) else {
            return Err(format!(
                "there is no column {}",
                self.time.column.join(" or ")
            ));
        };
        let mut columns = Vec::new();
        for (name, column) in &self.columns {
            match (find(name), field(&column.field)) {
                (Some(index), Some(field)) => columns.push((index, column, field)),
                (None, _) if !column.optional => return Err(format!("there is no column {name}")),
                _ => {}
            }
        }
        if columns.is_empty() {
            return Err("there is no column with a known signal".to_owned());
        }
        Ok(Resolved { time, columns })
    }
}

/// Where things are in one file.
pub(crate) struct Resolved<'a> {
    pub time: usize,
    pub columns: Vec<(usize, &'a Column, &'static Field)>,
}

/// A header cell without a unit in brackets at its end: `ENGINE_RPM ()`, `Speed [km/h]`.
fn without_unit(cell: &str) -> &str {
    let open = match cell.as_bytes().last() {
        Some(b')') => '(',
        Some(b']') => '[',
        _ => return cell,
    };
    cell.rfind(open).map_or(cell, |at| cell[..at].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "time: {column: t, unit: seconds}\ncolumns: {A: speed, B: {field: coolant_temperature, scale: 0.5, offset: -40, optional: true}}\n";

    #[test]
    fn columns_are_found_with_and_without_unit() {
        let mapping = Mapping::parse(GOOD).unwrap();
        let header = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let r = mapping
            .resolve(&header(&["t ()", "x", "B [°C]", "A"]))
            .unwrap();
        assert_eq!(r.time, 0);
        let found: Vec<_> = r.columns.iter().map(|(i, _, f)| (*i, f.name)).collect();
        assert_eq!(found, [(3, "speed"), (2, "coolant_temperature")]);
        assert!(mapping.resolve(&header(&["t", "A"])).is_ok());
        assert!(
            mapping
                .resolve(&header(&["t", "B"]))
                .err()
                .unwrap()
                .contains("column A")
        );
        assert!(
            mapping
                .resolve(&header(&["A"]))
                .err()
                .unwrap()
                .contains("column t")
        );
    }

    #[test]
    fn errors_name_key_value_and_cure() {
        let e = Mapping::parse(&GOOD.replace("speed", "sped")).unwrap_err();
        assert_eq!(
            (e.field.as_str(), e.value.as_str()),
            ("mapping.columns.A", "sped")
        );
        assert!(
            Mapping::parse("columns: {}")
                .unwrap_err()
                .problem
                .contains("time")
        );
        assert!(
            Mapping::parse(&format!("{GOOD}colour: red\n"))
                .unwrap_err()
                .problem
                .contains("colour")
        );
        let flag = Mapping::parse(&GOOD.replace("speed", "mil_on")).unwrap_err();
        assert_eq!(flag.problem, "not a number field");
    }
}
