//! The one error for bad input.

use serde::{Deserialize, Serialize};

/// Bad input: which field, what it held, what is wrong with it, and what to do.
///
/// Never carries a driver or hire id: [`crate::codec`] takes care of that on the way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {value}: {problem}; {cure}")]
pub struct Invalid {
    /// The field, as its sender wrote it; `event` or `body` when it is about the whole.
    pub field: String,
    /// The offending value, shortened.
    pub value: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub cure: String,
}

/// Values longer than this are cut in messages: a dead letter must not grow with its cause.
const SHOWN: usize = 80;

impl Invalid {
    /// An error with its four parts; field and value are shortened and freed of control characters.
    pub fn new(
        field: impl AsRef<str>,
        value: impl AsRef<str>,
        problem: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self {
            field: shown(field.as_ref()),
            value: shown(value.as_ref()),
            problem: problem.into(),
            cure: cure.into(),
        }
    }

    /// The same of a field that lies within this one.
    #[must_use]
    pub fn within(self, field: &str) -> Self {
        Self {
            field: format!("{field}.{}", self.field),
            ..self
        }
    }

    /// Whether field or value quotes `secret`.
    pub(crate) fn quotes(&self, secret: &str) -> bool {
        !secret.is_empty()
            && [&self.field, &self.value, &self.problem, &self.cure]
                .iter()
                .any(|part| part.contains(secret))
    }
}

fn shown(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(SHOWN)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_field_value_problem_and_cure() {
        let e = Invalid::new("speed", "900", "above 400 km/h", "send km/h");
        assert_eq!(e.to_string(), "speed: 900: above 400 km/h; send km/h");
    }

    #[test]
    fn long_values_and_control_characters_are_cut() {
        let e = Invalid::new("x", format!("a\n{}", "b".repeat(500)), "p", "c");
        assert_eq!(e.value.chars().count(), SHOWN + 1);
        assert!(!e.value.contains('\n'));
    }
}
