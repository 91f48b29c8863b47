//! Checks of configured values, in errors that name the field by its path.

use std::fmt::Display;
use std::ops::RangeInclusive;

use millrace_contract::Invalid;
use serde_json::{Map, Value};

/// Longest time that a rule may be told to wait, in seconds: 30 days.
pub(crate) const LONGEST: f64 = 30.0 * 86_400.0;

/// Checks the fields of one section.
pub(crate) struct Check<'a> {
    /// Put before the names of fields, for instance `rules.models.Van.overheating`.
    pub path: &'a str,
}

impl Check<'_> {
    /// Fails with the problem and the cure unless `fits`.
    pub fn that(
        &self,
        fits: bool,
        field: &str,
        value: impl Display,
        problem: impl Into<String>,
        cure: &str,
    ) -> Result<(), Invalid> {
        if fits {
            return Ok(());
        }
        Err(Invalid::new(
            format!("{}.{field}", self.path),
            value.to_string(),
            problem,
            cure,
        ))
    }

    /// A number within limits; what is not a number is outside.
    pub fn within(
        &self,
        field: &str,
        value: f64,
        range: RangeInclusive<f64>,
    ) -> Result<(), Invalid> {
        let (least, most) = range.clone().into_inner();
        self.that(
            range.contains(&value),
            field,
            value,
            format!("not between {least} and {most}"),
            "choose a number within these limits",
        )
    }

    /// A time in seconds, 0 or more.
    pub fn seconds(&self, field: &str, value: f64) -> Result<(), Invalid> {
        self.within(field, value, 0.0..=LONGEST)
    }

    /// The first field must be below the second.
    pub fn below(
        &self,
        (field, value): (&str, f64),
        (other, limit): (&str, f64),
        cure: &str,
    ) -> Result<(), Invalid> {
        self.that(
            value < limit,
            field,
            value,
            format!("not below {other} ({limit})"),
            cure,
        )
    }
}

/// Finds the field that a document fails by. `fails` tells the problem of a document of which only a part is
/// given; `value` is the part at `path`.
pub(crate) fn locate(
    path: &str,
    value: &Value,
    problem: String,
    fails: &dyn Fn(Value) -> Option<String>,
) -> Invalid {
    if let Value::Object(fields) = value {
        for (name, inner) in fields {
            let only = |v: Value| fails(Value::Object(Map::from_iter([(name.clone(), v)])));
            let Some(problem) = only(inner.clone()) else {
                continue;
            };
            let path = format!("{path}.{name}");
            // An unknown section fails empty too: then what is in it does not matter.
            if inner.is_object() && only(Value::Object(Map::new())).is_none() {
                return locate(&path, inner, problem, &only);
            }
            return invalid(&path, inner, problem);
        }
    }
    invalid(path, value, problem)
}

fn invalid(path: &str, value: &Value, problem: String) -> Invalid {
    let shown = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Invalid::new(
        path,
        shown,
        problem,
        "compare the rules with the documented example",
    )
}

/// Lays `changes` over `base`: objects field by field, everything else as a whole.
pub(crate) fn merge(base: &mut Value, changes: Value) {
    match (base, changes) {
        (Value::Object(base), Value::Object(changes)) => {
            for (name, change) in changes {
                match base.get_mut(&name) {
                    Some(old) => merge(old, change),
                    None => {
                        base.insert(name, change);
                    }
                }
            }
        }
        (base, changes) => *base = changes,
    }
}
