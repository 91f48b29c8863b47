//! The slow second look at what could not be read.
//!
//! Nothing here quotes the body at large, and never `driver`, `hire` or the value of an unknown field: they may
//! name a person.

use serde_json::{Map, Value, error::Category};

use super::Wired;
use crate::Invalid;
use crate::field::Kind;
use crate::telemetry::FIELDS;

/// Stands for a value that may name a person.
pub(crate) const NOT_SHOWN: &str = "(not shown)";

const ONE_OR_MANY: &str = "send one JSON object, or an array of objects";

/// Why one event could not be read, as the inner value; as the error when it is no JSON at all.
pub(super) fn event<W: Wired>(json: &[u8], cause: &serde_json::Error) -> Result<Invalid, Invalid> {
    match serde_json::from_slice::<Value>(json) {
        Err(e) => Err(syntax::<W>(json, &e)),
        Ok(Value::Object(object)) => {
            let invalid = inbound::<W>(&object).unwrap_or_else(|| duplicate::<W>(cause));
            let text = |name: &str| object.get(name).and_then(Value::as_str);
            Ok(redact::<W>(invalid, text("driver"), text("hire")))
        }
        Ok(other) => Ok(Invalid::new(
            "event",
            kind_of(&other),
            "not an object",
            ONE_OR_MANY,
        )),
    }
}

/// Why a body that starts with neither `{` nor `[` could not be read.
pub(super) fn body<W: Wired>(json: &[u8]) -> Invalid {
    match serde_json::from_slice::<Value>(json) {
        _ if json.iter().all(u8::is_ascii_whitespace) => {
            Invalid::new("body", "", "empty", ONE_OR_MANY)
        }
        Ok(other) => Invalid::new(
            "body",
            kind_of(&other),
            "neither an object nor an array",
            ONE_OR_MANY,
        ),
        Err(e) => syntax::<W>(json, &e),
    }
}

/// Why an event from Kafka could not be read.
pub(crate) fn stored<W: Wired>(json: &[u8], cause: &serde_json::Error) -> Invalid {
    match serde_json::from_slice::<Value>(json) {
        Err(e) => syntax::<W>(json, &e),
        Ok(Value::Object(object)) => W::look(&object).unwrap_or_else(|| duplicate::<W>(cause)),
        Ok(other) => Invalid::new(
            "value",
            kind_of(&other),
            "not an object",
            "write one JSON object",
        ),
    }
}

/// Replaces the quoted value when it repeats an id of a person.
pub(crate) fn redact<W: Wired>(
    invalid: Invalid,
    driver: Option<&str>,
    hire: Option<&str>,
) -> Invalid {
    if ![driver, hire]
        .into_iter()
        .flatten()
        .any(|id| invalid.quotes(id))
    {
        return invalid;
    }
    // The field's own name is safe only when it is ours.
    let known = W::knows(&invalid.field);
    Invalid {
        field: if known {
            invalid.field
        } else {
            "event".to_owned()
        },
        value: NOT_SHOWN.to_owned(),
        problem: "not acceptable; the value repeats the id of a driver or hire".to_owned(),
        cure: "send ids of persons only as driver and hire".to_owned(),
    }
}

fn inbound<W: Wired>(object: &Map<String, Value>) -> Option<Invalid> {
    if let Some(name) = object.keys().find(|k| !W::knows(k)) {
        return Some(unknown::<W>(name));
    }
    if let Some(name) = ["driver", "hire"].into_iter().find(|n| {
        object
            .get(*n)
            .is_some_and(|v| !v.is_string() && !v.is_null())
    }) {
        return Some(Invalid::new(
            name,
            NOT_SHOWN,
            "not a text",
            "send the id as a JSON string",
        ));
    }
    W::look(object)
}

/// Whether `vehicle` is there and a text.
pub(crate) fn vehicle(object: &Map<String, Value>) -> Option<Invalid> {
    const CURE: &str = "send the vehicle's id as a JSON string";
    match object.get("vehicle") {
        None => Some(Invalid::new("vehicle", "", "missing", CURE)),
        Some(Value::String(_)) => None,
        Some(v) => Some(Invalid::new("vehicle", v.to_string(), "not a text", CURE)),
    }
}

/// Whether `time` is there and a time.
pub(crate) fn time(object: &Map<String, Value>, cure: &str) -> Option<Invalid> {
    match object.get("time") {
        None => Some(Invalid::new("time", "", "missing", cure)),
        Some(Value::String(text)) => match text.parse::<jiff::Timestamp>() {
            Ok(_) => None,
            Err(_) => Some(Invalid::new(
                "time",
                text,
                "not an RFC 3339 time with an offset",
                cure,
            )),
        },
        Some(v) => Some(Invalid::new("time", v.to_string(), "not a text", cure)),
    }
}

/// The first of these fields that is there and no text.
pub(crate) fn texts(object: &Map<String, Value>, names: &[&str]) -> Option<Invalid> {
    names.iter().find_map(|name| {
        let value = object
            .get(*name)
            .filter(|v| !v.is_string() && !v.is_null())?;
        Some(Invalid::new(
            *name,
            value.to_string(),
            "not a text",
            "send a JSON string or leave it out",
        ))
    })
}

/// `hire` in what is stored: there it is a pseudonym.
pub(crate) fn hire(object: &Map<String, Value>) -> Option<Invalid> {
    texts(object, &["hire"]).map(|invalid| Invalid {
        value: NOT_SHOWN.to_owned(),
        ..invalid
    })
}

pub(super) fn required(object: &Map<String, Value>) -> Option<Invalid> {
    const SEQUENCE: &str = "count the vehicle's events from 0 on";
    const TIME: &str =
        "send the time of the measurement in RFC 3339, such as \"2026-01-01T08:30:00Z\"";
    vehicle(object)
        .or_else(|| match object.get("sequence") {
            None => Some(Invalid::new("sequence", "", "missing", SEQUENCE)),
            Some(v) if v.as_u64().is_some() => None,
            Some(v) => {
                let problem = format!("not a whole number from 0 to {}", u64::MAX);
                Some(Invalid::new("sequence", v.to_string(), problem, SEQUENCE))
            }
        })
        .or_else(|| time(object, TIME))
}

pub(super) fn optional(object: &Map<String, Value>) -> Option<Invalid> {
    if let Some(invalid) = texts(object, &["model"]).or_else(|| hire(object)) {
        return Some(invalid);
    }
    FIELDS.iter().find_map(|f| {
        let value = object.get(f.name).filter(|v| !v.is_null())?;
        let leave_out = || {
            format!(
                "send {} {}, or leave the field out",
                f.name,
                in_unit(f.unit)
            )
        };
        match (f.kind, value) {
            (Kind::Number, Value::Number(_)) => None,
            (Kind::Number, Value::String(s)) if is_nan(s) => Some(nan(f.name, s)),
            (Kind::Number, Value::String(s)) if s.trim().parse::<f64>().is_ok() => {
                Some(Invalid::new(
                    f.name,
                    value.to_string(),
                    "a number written as text",
                    "leave out the quotation marks",
                ))
            }
            (Kind::Number, v) => Some(Invalid::new(
                f.name,
                v.to_string(),
                "not a number",
                leave_out(),
            )),
            (Kind::Flag, Value::Bool(_)) => None,
            (Kind::Flag, v) if v.as_u64().is_some_and(|n| n <= 3) => None,
            (Kind::Flag, v) => Some(Invalid::new(
                f.name,
                v.to_string(),
                "neither true nor false",
                "send true or false, or leave the field out",
            )),
            (Kind::Codes, Value::Array(items)) if items.iter().all(Value::is_string) => None,
            (Kind::Codes, v) => Some(Invalid::new(
                f.name,
                v.to_string(),
                "not a list of texts",
                "send for instance [\"P0217\"], or leave the field out",
            )),
        }
    })
}

fn in_unit(unit: &str) -> String {
    if unit == "1" {
        "as a number".to_owned()
    } else {
        format!("as a number in {unit}")
    }
}

fn unknown<W: Wired>(name: &str) -> Invalid {
    let cure = match near(name, W::names()) {
        Some(known) => format!("write {known} if that is meant, else leave the field out"),
        None => format!(
            "leave the field out; {} of the contract lists the fields",
            W::PAGE
        ),
    };
    Invalid::new(name, NOT_SHOWN, "unknown field", cure)
}

/// The one of these names that is probably meant.
pub(crate) fn near(name: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    names
        .map(|known| (distance(name, known), known))
        .filter(|(d, known)| *d <= 1 + known.len() / 6)
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein distance, on bytes: names are ASCII.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// What `Value` cannot tell any more: a field that is there twice. The cause's text names only our own fields.
fn duplicate<W: Wired>(cause: &serde_json::Error) -> Invalid {
    let text = cause.to_string();
    match text
        .strip_prefix("duplicate field `")
        .and_then(|rest| rest.split_once('`'))
    {
        Some((name, _)) => Invalid::new(name, NOT_SHOWN, "there twice", "send each field once"),
        None => Invalid::new(
            "event",
            NOT_SHOWN,
            format!(
                "cannot be read (line {}, column {})",
                cause.line(),
                cause.column()
            ),
            format!("compare it with {} of the contract", W::SCHEMA),
        ),
    }
}

/// Why a text is no JSON.
pub(super) fn syntax<W: Wired>(json: &[u8], cause: &serde_json::Error) -> Invalid {
    if let Some((name, token)) = bare_nan(json) {
        let name = if W::knows(&name) {
            name
        } else {
            "body".to_owned()
        };
        return nan(&name, token);
    }
    if let Err(e) = std::str::from_utf8(json) {
        let at = format!("byte {}", e.valid_up_to());
        return Invalid::new("body", at, "not UTF-8", "send JSON in UTF-8");
    }
    let at = format!("line {}, column {}", cause.line(), cause.column());
    match cause.classify() {
        Category::Eof => Invalid::new(
            "body",
            at,
            "the JSON ends too early",
            "send the whole of it; was it cut on the way?",
        ),
        _ => {
            // serde_json's syntax errors describe, they do not quote.
            let problem = cause.to_string();
            let problem = problem.split(" at line ").next().unwrap_or_default();
            Invalid::new("body", at, format!("not JSON: {problem}"), ONE_OR_MANY)
        }
    }
}

fn nan(name: &str, token: &str) -> Invalid {
    Invalid::new(
        name,
        token,
        "JSON has no NaN and no Infinity",
        "leave the field out when there is no reading",
    )
}

fn is_nan(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok_and(|v| !v.is_finite())
}

/// Finds a bare `NaN` or `Infinity` outside of texts, and the name before it.
fn bare_nan(json: &[u8]) -> Option<(String, &'static str)> {
    let (mut i, mut last_text) = (0, &json[..0]);
    while let Some(&byte) = json.get(i) {
        if byte == b'"' {
            let start = i + 1;
            i = start;
            while let Some(&inner) = json.get(i) {
                match inner {
                    b'"' => break,
                    b'\\' => i += 2,
                    _ => i += 1,
                }
            }
            last_text = json.get(start..i).unwrap_or_default();
        } else if let Some(token) = ["NaN", "nan", "NAN", "-Infinity", "Infinity", "-inf", "inf"]
            .into_iter()
            .find(|t| json[i..].starts_with(t.as_bytes()))
        {
            return Some((String::from_utf8_lossy(last_text).into_owned(), token));
        }
        i += 1;
    }
    None
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
