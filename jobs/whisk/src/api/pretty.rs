//! JSON laid out for people, as the real server's writer does it: objects over lines, lists in one.

use serde_json::Value;

/// Lays a value out.
pub fn pretty(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

fn write(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('{');
            for (index, (key, value)) in fields.iter().enumerate() {
                text.push_str(if index == 0 { "\n" } else { ",\n" });
                indent(depth + 1, text);
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push_str(": ");
                write(value, depth + 1, text);
            }
            text.push('\n');
            indent(depth, text);
            text.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write(item, depth, text);
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

fn indent(depth: usize, text: &mut String) {
    for _ in 0..depth {
        text.push_str("  ");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_over_lines_and_lists_in_one() {
        assert_eq!(pretty(&json!([1, 2])), "[1, 2]");
        assert_eq!(
            pretty(&json!({ "a": { "b\n": [{ "c": null }] } })),
            "{\n  \"a\": {\n    \"b\\n\": [{\n      \"c\": null\n    }]\n  }\n}"
        );
        assert_eq!(pretty(&json!({})), "{}");
    }
}
