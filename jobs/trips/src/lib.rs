//! Trips: recorded ones read by a declarative column mapping, injected faults, and simulated fleets.
//!
//! ```
//! use millrace_trips::{TripArguments, TripOptions};
//!
//! let options = TripOptions::parse(&TripArguments {
//!     format: "carobd",
//!     inject: &["coolant-ramp@2:5".to_owned()],
//!     ..TripArguments::default()
//! })?;
//! let file = "ENGINE_RUN_TINE (),COOLANT_TEMPERATURE ()\n0,80,\n2,80,\n62,80,\n";
//! let trip = options.read(file.as_bytes(), "car-1")?;
//! assert_eq!(trip.samples[2].coolant_temperature, Some(85.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod format;
mod inject;
mod mapping;
mod options;
mod random;
mod reader;
pub mod simulate;
mod tyre;
mod units;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use millrace_contract::{Invalid, Telemetry, check_vehicle_id};
use serde::Serialize;

pub use error::{Place, TripError};
pub use format::{FORMATS, Format};
pub use inject::{FAULTS, Fault, Injection, Wheel, inject, inject_help};
pub use mapping::{
    BadRows, Column, DateOrder, DateSource, Mapping, Resample, StartColumn, TimeColumn, TimeUnit,
};
pub use options::{DEFAULT_START, TripArguments, TripOptions};
pub use reader::read_trip;

/// One drive of one vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct Trip {
    /// Vehicle id.
    pub vehicle: String,
    /// Events in order of time, numbered from 0 on.
    pub samples: Vec<Telemetry>,
    /// When the first sample was recorded, where the file tells.
    pub recorded_start: Option<Timestamp>,
    /// What was injected, in order of injection.
    pub truth: Vec<Truth>,
    /// What a reader should know of how the trip was read.
    pub notes: Vec<String>,
}

/// What was done to a trip: what detection ought to find.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Truth {
    /// Vehicle id.
    pub vehicle: String,
    /// Name of the fault: `coolant-ramp`.
    pub fault: &'static str,
    /// The fault, as its injection is written: `coolant-ramp@300:5`.
    pub injection: String,
    /// The rule that ought to find it.
    pub rule: &'static str,
    /// Event time from which on it acts.
    #[serde(rename = "injected_at")]
    pub from: Timestamp,
    /// Event time of the last sample.
    pub until: Timestamp,
}

impl Trip {
    /// Time from the first sample to the last.
    pub fn duration(&self) -> SignedDuration {
        match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) => last.time.duration_since(first.time),
            _ => SignedDuration::ZERO,
        }
    }

    /// Moves the trip in time, so that its first sample lies at `start`.
    pub fn start_at(&mut self, start: Timestamp) {
        let Some(first) = self.samples.first().map(|s| s.time) else {
            return;
        };
        let by = start.duration_since(first);
        let moved = |t: Timestamp| t.checked_add(by).unwrap_or(t);
        for sample in &mut self.samples {
            sample.time = millrace_contract::time::truncate(moved(sample.time));
        }
        for truth in &mut self.truth {
            truth.from = moved(truth.from);
            truth.until = moved(truth.until);
        }
    }

    /// Numbers the samples from `first` on. Whoever sends a vehicle's second trip continues its numbers: a repeated
    /// number is a repeated event.
    pub fn number_from(&mut self, first: u64) {
        for (sample, number) in self.samples.iter_mut().zip(first..) {
            sample.sequence = number;
        }
    }
}

/// The vehicle id for a file: its name without `.gz` and the ending before, other characters than an id may have
/// replaced by hyphens.
///
/// # Errors
/// The file name gives no id.
pub fn vehicle_of(path: &Path) -> Result<String, Invalid> {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = [".csv", ".json", ".geojson", ".yaml", ".yml", ".txt"]
        .into_iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name);
    let id: String = stem
        .chars()
        .take(millrace_contract::vehicle::MAX_LENGTH)
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '-'
            }
        })
        .collect();
    check_vehicle_id(&id).map_err(|e| {
        Invalid::new(
            "file",
            path.display().to_string(),
            format!("gives no vehicle id: {e}"),
            "rename it",
        )
    })?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vehicles_by_file_name() {
        let id = |p: &str| vehicle_of(Path::new(p));
        assert_eq!(id("/data/drive1.csv.gz").unwrap(), "drive1");
        assert_eq!(id("drive1.csv").unwrap(), "drive1");
        assert_eq!(
            id("2017-07-05_Seat Leon(ä).csv").unwrap(),
            "2017-07-05_Seat-Leon---"
        );
        assert_eq!(id("v1.2.gz").unwrap(), "v1.2");
        assert!(id("/").is_err());
        assert!(id("..csv.gz").unwrap_err().cure.contains("rename"));
    }

    #[test]
    fn trips_move_in_time_and_number() {
        let t0: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let t1: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let mut trip = simulate::simulate(&simulate::SimParams {
            start: t0,
            duration_seconds: 60,
            ..simulate::SimParams::default()
        });
        inject(&mut trip, &"coolant-ramp@30".parse().unwrap()).unwrap();
        trip.start_at(t1);
        trip.number_from(1000);
        assert_eq!(trip.samples[0].time, t1);
        assert_eq!(trip.samples[59].sequence, 1059);
        assert_eq!(trip.truth[0].from.to_string(), "2026-05-01T00:00:30Z");
        assert_eq!(trip.duration().as_secs(), 59);
    }
}
