//! Parameters bound to an entity. No difference holds a value: parameters carry secrets, and changes are printed.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::model::KeyValue;

/// How a parameter differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// It is not bound yet.
    Missing,
    /// It has another value.
    Other,
    /// It is bound and not asked for.
    Extra,
}

impl fmt::Display for Difference {
    /// What is done about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Difference::Missing => "bound",
            Difference::Other => "changed",
            Difference::Extra => "removed",
        })
    }
}

/// The parameters that differ, and how.
#[must_use]
pub fn parameter_differences(
    wanted: &BTreeMap<String, Value>,
    has: &[KeyValue],
) -> Vec<(String, Difference)> {
    // Hashes are compared, so that no value of a secret takes part in anything that could be shown.
    let has: BTreeMap<&str, [u8; 32]> = has
        .iter()
        .map(|parameter| (parameter.key.as_str(), hash(&parameter.value)))
        .collect();
    let missing_or_other = wanted
        .iter()
        .filter_map(|(key, value)| match has.get(key.as_str()) {
            None => Some((key.as_str(), Difference::Missing)),
            Some(found) if *found != hash(value) => Some((key.as_str(), Difference::Other)),
            Some(_) => None,
        });
    let extra = has
        .keys()
        .filter(|key| !wanted.contains_key(**key))
        .map(|key| (*key, Difference::Extra));
    missing_or_other
        .chain(extra)
        .map(|(key, difference)| (key.to_owned(), difference))
        .collect()
}

fn hash(value: &Value) -> [u8; 32] {
    Sha256::digest(value.to_string().as_bytes()).into()
}

/// A map as the API has it.
pub fn key_values<V: Into<Value>>(map: impl IntoIterator<Item = (String, V)>) -> Vec<KeyValue> {
    map.into_iter()
        .map(|(key, value)| KeyValue {
            key,
            value: value.into(),
        })
        .collect()
}

/// The value of an annotation as changes show it: a text as it is, unless it could be taken for other JSON.
#[must_use]
pub fn annotation_text(value: &Value) -> String {
    match value {
        Value::String(text) if serde_json::from_str::<Value>(text).is_err() => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_is_not_shown_as_the_switch_that_it_looks_like() {
        for (value, shown) in [
            (json!("fleet"), "fleet"),
            (json!("true"), "\"true\""),
            (json!(true), "true"),
            (json!(""), ""),
            (json!({"a": [1]}), "{\"a\":[1]}"),
        ] {
            assert_eq!(annotation_text(&value), shown);
        }
    }
}
