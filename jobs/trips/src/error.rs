//! What can be wrong with a recorded trip.

use std::fmt;

use millrace_contract::Invalid;

/// Where in a file something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line of a table, from 1 on.
    Line(u64),
    /// A feature of a GeoJSON collection, from 1 on.
    Feature(u64),
    /// A test case of a YAML list, from 1 on.
    Case(u64),
    /// The file as a whole.
    File,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(n) => write!(f, "line {n}"),
            Self::Feature(n) => write!(f, "feature {n}"),
            Self::Case(n) => write!(f, "test case {n}"),
            Self::File => f.write_str("file"),
        }
    }
}

/// Why a trip could not be read or a fault not injected. The caller knows the file's name and puts it before.
#[derive(Debug, thiserror::Error)]
pub enum TripError {
    /// The bytes could not be read, or not unpacked.
    #[error("{at}: cannot be read: {source}; check that the file is whole")]
    Read {
        /// Where it happened.
        at: Place,
        /// Why.
        source: std::io::Error,
    },
    /// A file or folder of the trip cannot be opened.
    #[error("{name}: cannot be opened: {source}; check name and permissions")]
    Open {
        /// Which.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing in it.
    #[error("{at}: {problem}; check that this is the right file")]
    Empty {
        /// Where something was expected.
        at: Place,
        /// What is missing.
        problem: &'static str,
    },
    /// The header does not fit the format.
    #[error("{at}: {problem}; {cure}")]
    Header {
        /// Where the header is.
        at: Place,
        /// What is wrong.
        problem: String,
        /// What to do.
        cure: String,
    },
    /// A row does not fit the header, or a file not its format.
    #[error("{at}: {problem}; {cure}")]
    Row {
        /// Where.
        at: Place,
        /// What is wrong.
        problem: String,
        /// What to do.
        cure: &'static str,
    },
    /// A cell could not be understood.
    #[error("{at}, column {column}: {value:?}: {problem}; {cure}")]
    Cell {
        /// Where.
        at: Place,
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
    /// A fault of an engine, and the trip is not of a vehicle with one.
    #[error(
        "the trip has neither coolant_temperature, on which {fault} acts, nor any other signal of a combustion \
         engine; choose a trip of such a vehicle, or map engine_speed or coolant_temperature"
    )]
    NoEngine {
        /// The fault.
        fault: &'static str,
    },
}
