//! The one error for bad conditions.

/// What is wrong with a condition, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {position} ({found}): {problem}; {cure}")]
pub struct ConditionError {
    /// Character at which it was noticed, from 1 on.
    pub position: usize,
    /// What is written there, shortened; `the end` after the last character.
    pub found: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub cure: String,
}

impl ConditionError {
    pub(crate) fn new(
        position: usize,
        found: &str,
        problem: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        let mut short: String = found.chars().take(40).collect();
        if found.chars().nth(40).is_some() {
            short.push('…');
        }
        Self {
            position,
            found: short,
            problem: problem.into(),
            cure: cure.into(),
        }
    }
}
