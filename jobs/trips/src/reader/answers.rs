//! YAML lists of test cases: what a control unit answered, and what that means. The decoded values are taken.

use std::collections::BTreeMap;
use std::io::Read;

use csv::ByteRecord;
use serde::Deserialize;

use super::rows::Rows;
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
    let mut rows = Rows::new(format, header.clone(), Place::File, origin)?;
    for (n, case) in (1..).zip(&answers.test_cases) {
        let cells: Vec<String> = header
            .iter()
            .map(|name| {
                case.expected_values
                    .get(name)
                    .map_or_else(String::new, text_of)
            })
            .collect();
        rows.take(&ByteRecord::from(cells), Place::Case(n))?;
    }
    rows.finish(Place::File)
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
