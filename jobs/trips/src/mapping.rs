//! How the columns of a CSV file become telemetry.

mod check;

use std::collections::BTreeMap;

use millrace_contract::telemetry::field;
use millrace_contract::{Field, Invalid};
use serde::Deserialize;

use check::fail;

/// A column mapping, written in YAML:
/// ```yaml
/// model: Toyota Etios                # optional
/// delimiter: ";"                     # optional, a comma when absent
/// missing: ["-1", "n.v."]            # optional, cells that mean "not measured" besides empty, NaN, NA and null
/// time: { column: time_s, unit: seconds }   # seconds, milliseconds, clock (13:05:59.5) or rfc3339
/// resample: { seconds: 1 }           # optional
/// columns:
///   Engine Coolant Temp: coolant_temperature
///   Speed: { field: speed, unit: mph, optional: true }
///   Volts: { field: battery_voltage, scale: 0.001, offset: 0.2 }   # value * scale + offset
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
    /// One event for each so many seconds instead of one for each row.
    pub resample: Option<Resample>,
    /// How many folders above the file make the vehicle id; 0: the file's name does.
    #[serde(default)]
    pub vehicle_folders: usize,
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
    #[serde(default, deserialize_with = "one_or_many")]
    pub column: Vec<String>,
    /// What it holds.
    pub unit: Option<TimeUnit>,
    /// There is no time: rows lie so many seconds apart.
    pub every_seconds: Option<f64>,
    /// Seconds or milliseconds count from 1970-01-01T00:00:00Z.
    #[serde(default)]
    pub epoch: bool,
    /// Where the day of a time of day is.
    pub date: Option<DateSource>,
    /// Time zone of date and time of day, by its IANA name; UTC when absent.
    pub zone: Option<String>,
    /// A column whose first value is the time since 1970 at which the trip starts.
    pub start: Option<StartColumn>,
    /// What becomes of rows whose time cannot be read.
    #[serde(default)]
    pub bad_rows: BadRows,
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

/// Where the day of a time of day is: in a column, or at the beginning of the file's name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DateSource {
    /// Header cell.
    pub column: Option<String>,
    /// `2017-07-05_…` is the day of the first row.
    #[serde(default)]
    pub file_name: bool,
    /// Order of day, month and year, whatever is between them.
    #[serde(default)]
    pub order: DateOrder,
}

/// Order of day, month and year.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DateOrder {
    /// 2021-03-29
    #[default]
    Ymd,
    /// 03/29/2021
    Mdy,
    /// 29.03.2021
    Dmy,
}

/// A column whose first value is the start of the trip.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartColumn {
    /// Its name.
    pub column: String,
    /// `seconds` or `milliseconds` since 1970.
    pub unit: TimeUnit,
}

/// What becomes of rows whose time cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BadRows {
    /// The file is refused.
    #[default]
    Refuse,
    /// They are left out and counted.
    Skip,
}

/// How rows become events of a steady rate.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resample {
    /// One event for each so many seconds in which there is a row.
    pub seconds: f64,
    /// A reading that is older is no measurement any more.
    #[serde(default = "five")]
    pub stale_after_seconds: f64,
    /// The table repeats the last reading of a signal on rows that measured another one, each column in turn.
    #[serde(default)]
    pub repeats: bool,
}

fn five() -> f64 {
    5.0
}

/// What a column means: `value * scale + offset`, turned from `unit` into the unit of the field.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "ColumnText")]
pub struct Column {
    /// Name of the telemetry field.
    pub field: String,
    /// Factor; holds the conversion of `unit` too once the mapping is checked.
    pub scale: f64,
    /// Summand; holds the conversion of `unit` too once the mapping is checked.
    pub offset: f64,
    /// Unit of the column, where it is not that of the field.
    pub unit: Option<String>,
    /// Cells of this column that mean "not measured".
    pub missing: Vec<String>,
    /// Whether a file without this column is fine.
    pub optional: bool,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a field name, or {field, unit, scale, offset, missing, optional}"
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
    unit: Option<String>,
    #[serde(default)]
    missing: Vec<String>,
    #[serde(default)]
    optional: bool,
}

fn one() -> f64 {
    1.0
}

impl From<ColumnText> for Column {
    fn from(text: ColumnText) -> Self {
        let full = match text {
            ColumnText::Name(field) => FullColumn {
                field,
                scale: 1.0,
                offset: 0.0,
                unit: None,
                missing: Vec::new(),
                optional: false,
            },
            ColumnText::Full(full) => full,
        };
        Self {
            field: full.field,
            scale: full.scale,
            offset: full.offset,
            unit: full.unit,
            missing: full.missing,
            optional: full.optional,
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
        let mut mapping: Self = serde_yaml_ng::from_str(yaml).map_err(|e| {
            Invalid::new(
                "mapping",
                "",
                e.to_string(),
                "a mapping has time: {column, unit} and columns: {HEADER: field}",
            )
        })?;
        if !mapping.delimiter.is_ascii() {
            let cure = "use for instance \",\" or \";\"";
            return Err(fail(
                "delimiter",
                mapping.delimiter.to_string(),
                "not ASCII",
                cure,
            ));
        }
        mapping.time.check()?;
        if let Some(resample) = &mapping.resample {
            for (key, value) in [
                ("resample.seconds", resample.seconds),
                ("resample.stale_after_seconds", resample.stale_after_seconds),
            ] {
                if !(value > 0.0 && value <= 86_400.0) {
                    let cure = "give seconds above 0, at most a day";
                    return Err(fail(key, value.to_string(), "not a length of time", cure));
                }
            }
        }
        for (name, column) in &mut mapping.columns {
            column.check(&format!("columns.{name}"))?;
        }
        Ok(mapping)
    }

    /// One event for each so many seconds, whatever the mapping says.
    pub(crate) fn resample_to(&mut self, seconds: f64) -> Result<(), Invalid> {
        if !(seconds > 0.0 && seconds <= 86_400.0) {
            let cure = "give seconds above 0, at most a day";
            return Err(Invalid::new(
                "resample",
                seconds.to_string(),
                "not a length of time",
                cure,
            ));
        }
        let before = self.resample.unwrap_or(Resample {
            seconds,
            stale_after_seconds: five(),
            repeats: false,
        });
        self.resample = Some(Resample { seconds, ..before });
        Ok(())
    }

    /// The columns found in a header: index, name, meaning and field of each; and the index of the time.
    pub(crate) fn resolve<'a>(&'a self, header: &[String]) -> Result<Resolved<'a>, String> {
        let find = |name: &str| {
            header
                .iter()
                .position(|h| h == name || without_unit(h) == name)
        };
        let time = match self.time.column.iter().find_map(|name| find(name)) {
            Some(time) => Some(time),
            None if self.time.every_seconds.is_some() => None,
            None => {
                return Err(format!(
                    "there is no column {}",
                    self.time.column.join(" or ")
                ));
            }
        };
        let day = self.time.date.as_ref().and_then(|d| d.column.as_ref());
        let date = match day.map(|name| (name, find(name))) {
            Some((name, None)) => return Err(format!("there is no column {name}")),
            Some((_, found)) => found,
            None => None,
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
        Ok(Resolved {
            time,
            date,
            columns,
        })
    }
}

/// Where things are in one file.
pub(crate) struct Resolved<'a> {
    pub time: Option<usize>,
    pub date: Option<usize>,
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
mod tests;
