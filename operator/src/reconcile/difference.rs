//! What differs between two objects, in words.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// The longest value that is shown.
const SHOWN: usize = 120;

/// A leaf that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The way to it, as `spec.containers[kafka].image`.
    pub path: String,
    /// What it was; `nothing` when it was not there.
    pub before: String,
    /// What it is then.
    pub after: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {}", self.path, self.before, self.after)
    }
}

/// One line per leaf that differs, as `containers[0].image: a → b`. Items of an array with a `name` are matched by
/// it, for their order says nothing.
#[must_use]
pub fn differences(before: &Value, after: &Value) -> Vec<String> {
    let found = difference(before, after);
    found.iter().map(Difference::to_string).collect()
}

/// The leaves that differ. Of texts with several lines, those lines.
#[must_use]
pub fn difference(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", before, after, &mut found);
    found
}

/// Whether an object has all that another one asks for; what it has besides does not matter.
#[must_use]
pub(super) fn contains(has: &Value, asked: &Value) -> bool {
    match (has, asked) {
        (_, Value::Null) => true,
        (Value::Object(has), Value::Object(asked)) => asked.iter().all(|(key, asked)| {
            asked.is_null() || has.get(key).is_some_and(|has| contains(has, asked))
        }),
        _ => has == asked,
    }
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                let at = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                compare(&at, &before[key.as_str()], &after[key.as_str()], found);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            if let (Some(old), Some(new)) = (by_name(old), by_name(new)) {
                for (name, item) in &old {
                    let other = new.iter().find(|(other, _)| other == name);
                    let other = other.map_or(&Value::Null, |(_, item)| item);
                    compare(&format!("{path}[{name}]"), item, other, found);
                }
                for (name, item) in &new {
                    if old.iter().all(|(other, _)| other != name) {
                        compare(&format!("{path}[{name}]"), &Value::Null, item, found);
                    }
                }
                return;
            }
            for n in 0..old.len().max(new.len()) {
                let item = |items: &[Value]| items.get(n).cloned().unwrap_or(Value::Null);
                compare(&format!("{path}[{n}]"), &item(old), &item(new), found);
            }
        }
        _ if before == after => {}
        (Value::String(old), Value::String(new)) if old.contains('\n') && new.contains('\n') => {
            let only = |of: &str, other: &str| {
                let lines = of.lines().filter(|line| !other.lines().any(|l| l == *line));
                shown(&lines.collect::<Vec<_>>().join("; ").into())
            };
            found.push(Difference {
                path: path.to_owned(),
                before: only(old, new),
                after: only(new, old),
            });
        }
        _ => found.push(Difference {
            path: path.to_owned(),
            before: shown(before),
            after: shown(after),
        }),
    }
}

fn by_name(items: &[Value]) -> Option<Vec<(&str, &Value)>> {
    items
        .iter()
        .map(|item| Some((item["name"].as_str()?, item)))
        .collect()
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => return "nothing".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= SHOWN {
        return text;
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_are_named_by_their_way() {
        let before = json!({"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b"}], "args": ["1", "2"]}});
        let after = json!({"spec": {"containers": [{"name": "c"}, {"name": "a", "image": "x:2"}], "args": ["1"], "on": true}});
        assert_eq!(
            differences(&before, &after),
            [
                "spec.args[1]: 2 → nothing",
                "spec.containers[a].image: x:1 → x:2",
                "spec.containers[b]: {\"name\":\"b\"} → nothing",
                "spec.containers[c]: nothing → {\"name\":\"c\"}",
                "spec.on: nothing → true",
            ]
        );
        assert!(differences(&after, &after).is_empty());
    }

    #[test]
    fn of_files_the_lines_that_differ_are_told() {
        let lines = differences(
            &json!({"f": "a=1\nb=2\nc=3\n"}),
            &json!({"f": "a=1\nb=4\nc=3\nd=5\n"}),
        );
        assert_eq!(lines, ["f: b=2 → b=4; d=5"]);
    }

    #[test]
    fn long_values_are_cut() {
        let lines = differences(&json!({"a": "x".repeat(500)}), &json!({"a": null}));
        assert_eq!(
            lines[0].chars().count(),
            "a: … → nothing".chars().count() + 120
        );
    }
}
