//! Conditions in SQL over the fields of a record: compiled once, evaluated often. No I/O.
//!
//! The language is the boolean part of SQL, with its three-valued logic: a field that a record lacks is NULL, a
//! comparison with NULL is NULL, and a condition that is NULL does not hold. `docs/conditions.md` describes it.
//!
//! ```
//! use millrace_condition::{AnyJson, Condition};
//!
//! let condition = Condition::compile("severity = 'critical' AND zone IS NULL", &AnyJson)?;
//! assert!(condition.holds(&serde_json::json!({"severity": "critical"})));
//! assert!(!condition.holds(&serde_json::json!({"severity": "critical", "zone": {"id": "a"}})));
//! # Ok::<(), millrace_condition::ConditionError>(())
//! ```

mod compile;
mod error;
mod evaluate;
mod fields;
mod like;
mod node;
mod token;
mod value;

use std::fmt;

pub use error::ConditionError;
pub use fields::{ALERT_FIELDS, AnyJson, Fields, Table, Type};
pub use value::{List, Row, Value};

/// Longest condition, in characters.
pub const LONGEST: usize = 2048;
/// How deep brackets, NOTs and functions may be nested.
pub const DEEPEST: usize = 32;

/// A condition, checked against the fields that records may have.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    root: node::Node,
}

impl Condition {
    /// Reads a condition and checks it against the fields.
    ///
    /// # Errors
    /// What is not understood, unknown fields and types that do not fit: where, and what to write instead.
    pub fn compile(sql: &str, fields: &dyn Fields) -> Result<Self, ConditionError> {
        compile::compile(sql, fields).map(|root| Self { root })
    }

    /// Whether it holds for a record; an unknown outcome (NULL) does not hold.
    pub fn holds(&self, row: &(impl Row + ?Sized)) -> bool {
        self.evaluate(row) == Some(true)
    }

    /// True, false, or unknown (NULL).
    pub fn evaluate(&self, row: &(impl Row + ?Sized)) -> Option<bool> {
        evaluate::truth(&evaluate::value(&self.root, row))
    }

    /// The fields that it names, each once, in alphabetical order.
    pub fn fields(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.fields(&mut names);
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The condition in one spelling: equal for conditions that differ in blanks, case of keywords or needless brackets.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)
    }
}

#[cfg(test)]
mod tests;
