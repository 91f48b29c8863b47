//! The Rust side: structs, accessors and the table of fields.

use std::fmt::Write;

use super::{FieldSpec, KindSpec, PrivacySpec, Schema, Sentinel, unit_words};

/// The content of `telemetry.rs`.
pub(super) fn telemetry(schema: &Schema) -> String {
    let mut members = String::new();
    for f in &schema.fields {
        let _ = writeln!(
            members,
            "    /// {}, in {}.",
            f.description,
            unit_words(&f.unit)
        );
        let (kind, with) = match f.kind {
            KindSpec::Number => ("f64", ""),
            KindSpec::Flag => ("bool", ", deserialize_with = \"crate::codec::flag\""),
            KindSpec::Codes => ("Vec<String>", ""),
        };
        let _ = writeln!(
            members,
            "    #[serde(default, skip_serializing_if = \"Option::is_none\"{with})]"
        );
        let _ = writeln!(members, "    pub {}: Option<{kind}>,", f.name);
    }
    let names = |kind: Option<KindSpec>| {
        schema
            .fields
            .iter()
            .enumerate()
            .filter(move |(_, f)| kind.is_none_or(|k| k == f.kind))
            .map(|(i, f)| (i, f.name.as_str()))
    };
    let lines = |kind: Option<KindSpec>, line: &dyn Fn(usize, &str) -> String| {
        names(kind).map(|(i, n)| line(i, n)).collect::<String>()
    };
    let number = Some(KindSpec::Number);
    let codes = Some(KindSpec::Codes);
    let fields: String = schema.fields.iter().map(rust_field).collect();
    format!(
        r#"//! Telemetry. GENERATED from schema.yaml by millrace-generate-contract; do not edit.

use jiff::Timestamp;
use serde::{{Deserialize, Serialize}};

use crate::{{Field, Invalid, Kind, Privacy}};

/// Version of the schema.
pub const VERSION: u32 = {version};

/// One event of one vehicle: what was measured at one time. Only what was measured is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Telemetry {{
    /// Vehicle id.
    pub vehicle: String,
    /// Counts the vehicle's events; a repeated number is a repeated event.
    pub sequence: u64,
    /// When it was measured, in whole microseconds.
    #[serde(deserialize_with = "crate::time::micros")]
    pub time: Timestamp,
    /// Pseudonym of the hire; never a driver id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hire: Option<String>,
    /// Model of the vehicle, which picks its thresholds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
{members}}}

/// An event as a vehicle sends it: nothing unknown, and who drives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wire {{
    vehicle: String,
    sequence: u64,
    #[serde(deserialize_with = "crate::time::micros")]
    time: Timestamp,
    model: Option<String>,
    driver: Option<String>,
    hire: Option<String>,
{wire_members}}}

impl Wire {{
    /// Parts telemetry from driver id and hire id.
    pub(crate) fn split(self) -> (Telemetry, Option<String>, Option<String>) {{
        let telemetry = Telemetry {{
            vehicle: self.vehicle,
            sequence: self.sequence,
            time: self.time,
            hire: None,
            model: self.model,
{moves}        }};
        (telemetry, self.driver, self.hire)
    }}
}}

impl Telemetry {{
    /// An event that has measured nothing yet.
    pub fn new(vehicle: impl Into<String>, sequence: u64, time: Timestamp) -> Self {{
        Self {{ vehicle: vehicle.into(), sequence, time: crate::time::truncate(time), ..Self::default() }}
    }}

    /// Whether an event may have a field of this name.
    pub(crate) fn knows(name: &str) -> bool {{
        matches!(name, "vehicle" | "sequence" | "time" | "model" | "driver" | "hire") || field(name).is_some()
    }}

    /// The number in the field of this name.
    pub fn number(&self, name: &str) -> Option<f64> {{
        match name {{
{getters}            _ => None,
        }}
    }}

    /// The place of the number in the field of this name; `None` when there is no such number field.
    pub fn number_mut(&mut self, name: &str) -> Option<&mut Option<f64>> {{
        match name {{
{setters}            _ => None,
        }}
    }}

    /// Visits the place of each number, until one errs.
    pub(crate) fn each_number(
        &mut self,
        mut visit: impl FnMut(&'static Field, &mut Option<f64>) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {{
{visits}        Ok(())
    }}

    /// Visits each list of codes that is there, until one errs.
    pub(crate) fn each_codes(
        &self,
        mut visit: impl FnMut(&'static Field, &[String]) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {{
{code_visits}        Ok(())
    }}
}}

/// The definition of the field of this name.
pub fn field(name: &str) -> Option<&'static Field> {{
    FIELDS.iter().find(|f| f.name == name)
}}

/// Every signal, in the order of schema.yaml.
pub static FIELDS: &[Field] = &[
{fields}];
"#,
        version = schema.version,
        wire_members = schema.fields.iter().map(wire_member).collect::<String>(),
        moves = lines(None, &|_, n| format!("            {n}: self.{n},\n")),
        getters = lines(number, &|_, n| format!(
            "            \"{n}\" => self.{n},\n"
        )),
        setters = lines(number, &|_, n| format!(
            "            \"{n}\" => Some(&mut self.{n}),\n"
        )),
        visits = lines(number, &|i, n| format!(
            "        visit(&FIELDS[{i}], &mut self.{n})?;\n"
        )),
        code_visits = lines(codes, &|i, n| format!(
            "        if let Some(codes) = &self.{n} {{\n            visit(&FIELDS[{i}], codes)?;\n        }}\n"
        )),
    )
}

fn wire_member(f: &FieldSpec) -> String {
    match f.kind {
        KindSpec::Number => format!("    {}: Option<f64>,\n", f.name),
        KindSpec::Codes => format!("    {}: Option<Vec<String>>,\n", f.name),
        KindSpec::Flag => format!(
            "    #[serde(default, deserialize_with = \"crate::codec::flag\")]\n    {}: Option<bool>,\n",
            f.name
        ),
    }
}

fn rust_field(f: &FieldSpec) -> String {
    let [min, max] = f.range.unwrap_or([0.0, 0.0]);
    let sentinels: Vec<String> = f
        .not_available
        .iter()
        .map(Sentinel::interval)
        .map(|[from, to]| format!("({from:?}, {to:?})"))
        .collect();
    format!(
        "    Field {{ name: {:?}, vss: {:?}, unit: {:?}, kind: Kind::{}, min: {min:?}, max: {max:?}, \
         not_available: &[{}], privacy: Privacy::{}, description: {:?} }},\n",
        f.name,
        f.vss,
        f.unit,
        match f.kind {
            KindSpec::Number => "Number",
            KindSpec::Flag => "Flag",
            KindSpec::Codes => "Codes",
        },
        sentinels.join(", "),
        match f.privacy {
            PrivacySpec::Vehicle => "Vehicle",
            PrivacySpec::Behaviour => "Behaviour",
            PrivacySpec::Location => "Location",
        },
        f.description,
    )
}
