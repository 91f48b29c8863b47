//! Texts with placeholders.

use millrace_condition::{Fields, List, Row, Type, Value};
use millrace_contract::Invalid;

use super::fields::{Event, TelemetryFields};

/// Longest text, in characters.
const LONGEST: usize = 400;

/// A text in which `{field}` stands for the value of a field; `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Plain(String),
    Field(String),
}

impl Template {
    pub fn parse(text: &str, field: &str) -> Result<Self, Invalid> {
        let invalid = |value: &str, problem: String, cure: &str| {
            Err(Invalid::new(field, value, problem, cure))
        };
        if text.trim().is_empty() || text.chars().count() > LONGEST {
            let problem = format!("not a text of 1 to {LONGEST} characters");
            return invalid(text, problem, "say in one sentence what is wrong");
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(i) = rest.find(['{', '}']) {
            plain.push_str(&rest[..i]);
            rest = &rest[i..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                plain.push_str(&rest[..1]);
                rest = &rest[2..];
                continue;
            }
            let end = rest.find('}').filter(|_| rest.starts_with('{'));
            let Some(end) = end else {
                let cure = "write {field}; a brace itself is doubled";
                return invalid(rest, "a brace without its other one".to_owned(), cure);
            };
            let name = rest[1..end].trim();
            if !matches!(
                TelemetryFields.type_of(name),
                Some(Type::Number | Type::Flag | Type::Text | Type::List)
            ) {
                let cure = "name a field of the contract, for instance {speed}";
                return invalid(&rest[..=end], "no field of telemetry".to_owned(), cure);
            }
            pieces.push(Piece::Plain(std::mem::take(&mut plain)));
            pieces.push(Piece::Field(name.to_owned()));
            rest = &rest[end + 1..];
        }
        plain.push_str(rest);
        pieces.push(Piece::Plain(plain));
        pieces.retain(|p| *p != Piece::Plain(String::new()));
        Ok(Self(pieces))
    }

    /// The text for an event; what the event lacks is shown as a dash.
    pub fn fill(&self, event: &Event<'_>) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Plain(text) => out.push_str(text),
                Piece::Field(name) => match event.get(name) {
                    Value::Number(n) => {
                        let rounded = (n * 10.0).round() / 10.0;
                        out.push_str(&format!("{rounded}"));
                    }
                    Value::Flag(b) => out.push_str(if b { "yes" } else { "no" }),
                    Value::Text(t) => out.push_str(t),
                    Value::List(List::Texts(items)) => out.push_str(&items.join(", ")),
                    _ => out.push('–'),
                },
            }
        }
        out
    }
}
