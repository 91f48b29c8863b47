//! What can be wrong with a recorded trip.

use millrace_contract::Invalid;

/// Why a trip could not be read or a fault not injected. The caller knows the file's name and puts it before.
#[derive(Debug, thiserror::Error)]
pub enum TripError {
    /// The bytes could not be read, or not unpacked.
    #[error("line {line}: cannot be read: {source}; check that the file is whole")]
    Read {
        /// Line near which it happened.
        line: u64,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing in it.
    #[error("line {line}: {problem}; check that this is the right file")]
    Empty {
        /// Where something was expected.
        line: u64,
        /// What is missing.
        problem: &'static str,
    },
    /// The header does not fit the format.
    #[error("line 1: {problem}; {cure}")]
    Header {
        /// What is wrong.
        problem: String,
        /// What to do.
        cure: String,
    },
    /// A row does not fit the header.
    #[error("line {line}: {problem}; {cure}")]
    Row {
        /// Line in the file, from 1 on.
        line: u64,
        /// What is wrong.
        problem: String,
        /// What to do.
        cure: &'static str,
    },
    /// A cell could not be understood.
    #[error("line {line}, column {column}: {value:?}: {problem}; {cure}")]
    Cell {
        /// Line in the file, from 1 on.
        line: u64,
        /// Name of the column.
        column: String,
        /// What the cell holds.
        value: String,
        /// What is wrong.
        problem: &'static str,
        /// What to do.
        cure: &'static str,
    },
    /// The vehicle id or an option is not acceptable.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A fault acts on a signal that the trip does not have.
    #[error(
        "the trip has no {field}, on which {fault} acts; choose a trip or a mapping with {field}"
    )]
    NoSignal {
        /// The fault.
        fault: &'static str,
        /// The telemetry field.
        field: &'static str,
    },
}
