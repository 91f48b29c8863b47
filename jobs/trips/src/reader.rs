//! Reads recorded trips, whatever their layout.
//!
//! What is lenient: a row may end early (loggers are switched off in the middle of a line), an empty cell is no
//! measurement, an implausible reading is left out and noted. What is not: a cell that is no number, a time that
//! is missing, or more cells than the header has; then the mapping or the file is wrong, and the error says where.

mod answers;
mod arrays;
mod points;
mod resample;
mod rows;
mod table;
mod times;
mod wheels;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use jiff::{SignedDuration, Timestamp};
use millrace_contract::{Field, Invalid, Telemetry, check_vehicle_id};

use crate::error::Place;
use crate::format::{Format, Layout};
use crate::options::default_start;
use crate::{Trip, TripError};

pub(crate) use arrays::read_arrays;
pub(crate) use wheels::SignalSet;

/// Whose trip it is, and where it comes from.
#[derive(Debug)]
pub(crate) struct Origin<'a> {
    /// Vehicle id.
    pub vehicle: &'a str,
    /// Name of the file, where there is one.
    pub file_name: String,
    /// What the signals of its vehicle mean, for formats whose files do not tell.
    pub signals: Option<SignalSet>,
}

impl<'a> Origin<'a> {
    /// A trip of this vehicle from nowhere in particular.
    pub fn of(vehicle: &'a str) -> Self {
        Self {
            vehicle,
            file_name: String::new(),
            signals: None,
        }
    }
}

/// Reads a set of signals; gzip is recognised by its first bytes.
pub(crate) fn read_signals(reader: impl Read) -> Result<SignalSet, std::io::Error> {
    let mut buffered = BufReader::new(reader);
    let set = if buffered.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        serde_json::from_reader(MultiGzDecoder::new(buffered))
    } else {
        serde_json::from_reader(buffered)
    };
    set.map_err(std::io::Error::from)
}

/// Reads a trip; gzip is recognised by its first bytes. Event times are `start` plus the time since the first row;
/// rows of equal time are spread evenly up to the next time, and when the time column starts over (an engine
/// restarted) the trip goes on one second later.
///
/// # Errors
/// The file cannot be read or does not fit the format; names the place, column and value.
pub fn read_trip(
    reader: impl Read,
    format: &Format,
    vehicle: &str,
    start: Timestamp,
) -> Result<Trip, TripError> {
    read_stream(reader, format, &Origin::of(vehicle), Some(start))
}

/// As [`read_trip`]; without a start the trip lies where it was recorded, or at the default.
pub(crate) fn read_stream(
    reader: impl Read,
    format: &Format,
    origin: &Origin<'_>,
    start: Option<Timestamp>,
) -> Result<Trip, TripError> {
    check_vehicle_id(origin.vehicle)?;
    let mut buffered = BufReader::with_capacity(1 << 16, reader);
    let head = buffered.fill_buf().map_err(|source| TripError::Read {
        at: Place::Line(1),
        source,
    })?;
    let draft = if head.starts_with(&[0x1f, 0x8b]) {
        read_layout(MultiGzDecoder::new(buffered), format, origin)?
    } else {
        read_layout(buffered, format, origin)?
    };
    draft.into_trip(format, origin, start)
}

fn read_layout(
    reader: impl Read,
    format: &Format,
    origin: &Origin<'_>,
) -> Result<Draft, TripError> {
    match format.layout {
        Layout::Table => table::read(reader, format, origin),
        Layout::GeoJson => points::read(reader, format, origin),
        Layout::Answers => answers::read(reader, format, origin),
        Layout::Arrays => Err(Invalid::new(
            "format",
            format.name,
            "a trip of this format is a folder",
            "name the folder",
        )
        .into()),
    }
}

/// Rows as they were read, not yet in their places in time.
#[derive(Default)]
pub(crate) struct Draft {
    /// Seconds, of the samples, as the file has them.
    times: Vec<f64>,
    /// Whether times of day may pass midnight.
    wraps: bool,
    /// Their `time` is unset.
    samples: Vec<Telemetry>,
    /// The signals that rows can have.
    fields: Vec<&'static Field>,
    /// How many rows a table that repeats readings needs to refresh each of them.
    cycle: usize,
    /// When the first row was recorded.
    recorded: Option<Timestamp>,
    /// By field: how many readings were left out, and why the first was.
    implausible: BTreeMap<&'static str, (u64, Invalid)>,
    notes: Vec<String>,
}

impl Draft {
    fn into_trip(
        mut self,
        format: &Format,
        origin: &Origin<'_>,
        start: Option<Timestamp>,
    ) -> Result<Trip, TripError> {
        times::spread(&mut self.times, self.wraps);
        let first = self.times.first().copied().unwrap_or_default();
        if let Some(how) = &format.mapping.resample {
            let (times, samples) =
                resample::resample(&self.times, &self.samples, &self.fields, self.cycle, how);
            (self.times, self.samples) = (times, samples);
        }
        // The first event may be some rows after the first row.
        let ahead = self.times.first().map_or(0.0, |t| t - first);
        let recorded = self
            .recorded
            .and_then(|t| t.checked_add(micros(ahead)).ok());
        let begin = self.times.first().copied().unwrap_or_default();
        let start = start.or(recorded).unwrap_or_else(default_start);
        for ((sequence, sample), time) in self.samples.iter_mut().enumerate().zip(&self.times) {
            sample.sequence = sequence as u64;
            sample.time = start.checked_add(micros(time - begin)).map_err(|_| {
                Invalid::new(
                    "start",
                    start.to_string(),
                    "too late for the length of the trip",
                    "choose an earlier one",
                )
            })?;
        }
        let mut notes = self.notes;
        notes.extend(self.implausible.into_values().map(|(count, first)| {
            format!("{count} implausible readings left out, the first: {first}")
        }));
        Ok(Trip {
            vehicle: origin.vehicle.to_owned(),
            samples: self.samples,
            recorded_start: recorded,
            truth: Vec::new(),
            notes,
        })
    }
}

fn micros(seconds: f64) -> SignedDuration {
    SignedDuration::from_micros((seconds * 1e6).round() as i64)
}

/// A number of seconds since 1970 as a time.
fn instant(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_microsecond((seconds * 1e6).round() as i64).ok()
}

#[cfg(test)]
mod tests;
