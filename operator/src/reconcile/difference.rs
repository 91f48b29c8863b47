//! What differs between two objects, in words.

use serde_json::Value;

/// The longest value that is shown.
const SHOWN: usize = 120;

/// One line per leaf that differs, as `containers[0].image: a → b`. Items of an array with a `name` are matched by
/// it, for their order says nothing.
#[must_use]
pub fn differences(before: &Value, after: &Value) -> Vec<String> {
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

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
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
        _ => found.push(format!("{path}: {} → {}", shown(before), shown(after))),
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
    fn long_values_are_cut() {
        let lines = differences(&json!({"a": "x".repeat(500)}), &json!({"a": null}));
        assert_eq!(
            lines[0].chars().count(),
            "a: … → nothing".chars().count() + 120
        );
    }
}
