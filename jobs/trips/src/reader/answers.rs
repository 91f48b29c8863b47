//! YAML lists of test cases: what a control unit answered, and what that means. The decoded values are taken.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use csv::ByteRecord;
use serde::Deserialize;

use super::rows::{Rows, shown};
use super::wheels::{of_wheels, without_reading};
use super::{Draft, Origin};
use crate::TripError;
use crate::error::Place;
use crate::format::Format;

#[derive(Deserialize)]
struct Answers {
    test_cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    expected_values: BTreeMap<String, serde_yaml_ng::Value>,
}

pub(super) fn read(
    reader: impl Read,
    format: &Format,
    origin: &Origin<'_>,
) -> Result<Draft, TripError> {
    let answers: Answers = serde_yaml_ng::from_reader(reader).map_err(|e| TripError::Row {
        at: Place::File,
        problem: format!("not a list of test cases: {e}"),
        cure: "give a file with test_cases, each with expected_values",
    })?;
    let mut header: Vec<String> = Vec::new();
    for name in answers
        .test_cases
        .iter()
        .flat_map(|c| c.expected_values.keys())
    {
        if !header.contains(name) {
            header.push(name.clone());
        }
    }
    let mut format = Cow::Borrowed(format);
    let mut wheels = BTreeMap::new();
    // Without a mapping of the user the file itself tells.
    if format.mapping.columns.is_empty() {
        wheels = of_wheels(&readings(&answers), origin.signals.as_ref());
        for (name, wheel) in &wheels {
            let columns = &mut format.to_mut().mapping.columns;
            columns.insert(name.clone(), wheel.column.clone());
        }
    }
    if format.mapping.columns.is_empty() && !header.is_empty() {
        return Err(TripError::Header {
            at: Place::File,
            problem: "there is no column with a known signal".to_owned(),
            cure: format!(
                "name the signals of tyres as in X_TP_FL and X_TT_RR, put the model's signalset_v3_default.json \
                 beside, or give --mapping; the file has: {}",
                shown(&header)
            ),
        });
    }
    let mut rows = Rows::new(&format, header.clone(), Place::File, origin)?;
    for (n, case) in (1..).zip(&answers.test_cases) {
        let told = |name: &str| case.expected_values.get(name);
        let none = without_reading(&wheels, |name| told(name).and_then(number_of));
        let cells: Vec<String> = header
            .iter()
            .map(|name| told(name).filter(|_| !none.contains(&name.as_str())))
            .map(|value| value.map_or_else(String::new, text_of))
            .collect();
        rows.take(&ByteRecord::from(cells), Place::Case(n))?;
    }
    rows.finish(Place::File)
}

/// The numbers in all answers, by signal.
fn readings(answers: &Answers) -> BTreeMap<String, Vec<f64>> {
    let mut readings: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, value) in answers.test_cases.iter().flat_map(|c| &c.expected_values) {
        let of_signal = readings.entry(name.clone()).or_default();
        of_signal.extend(number_of(value));
    }
    readings
}

fn number_of(value: &serde_yaml_ng::Value) -> Option<f64> {
    value.as_f64().filter(|v| v.is_finite())
}

fn text_of(value: &serde_yaml_ng::Value) -> String {
    match value {
        serde_yaml_ng::Value::Number(number) => number.to_string(),
        serde_yaml_ng::Value::String(text) => text.clone(),
        // Words such as `true` are no reading; the row's error shows them.
        serde_yaml_ng::Value::Bool(flag) => flag.to_string(),
        _ => String::new(),
    }
}
