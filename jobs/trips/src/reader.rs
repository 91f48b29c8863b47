//! Reads a table of rows into a trip.
//!
//! What is lenient: a row may end early (loggers are switched off in the middle of a line), an empty cell is no
//! measurement, an implausible reading is left out and noted. What is not: a cell that is no number, a time that
//! is missing, or more cells than the header has; then the mapping or the file is wrong, and the error says where.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use csv::{ByteRecord, ReaderBuilder};
use flate2::bufread::MultiGzDecoder;
use jiff::{SignedDuration, Timestamp};
use millrace_contract::{Invalid, Telemetry, check_vehicle_id};

use crate::format::Format;
use crate::mapping::{Mapping, Resolved, TimeUnit};
use crate::{Trip, TripError, notes_of};

/// Rows of equal time are spread no wider than this many seconds each.
const MAX_STEP: f64 = 1.0;
/// The step of equal rows before any other is known, in seconds.
const FIRST_STEP: f64 = 0.5;
const DAY: f64 = 86_400.0;

/// Reads a trip; gzip is recognised by its first bytes. Event times are `start` plus the time since the first row;
/// rows of equal time are spread evenly up to the next time, and when the time column starts over (an engine
/// restarted) the trip goes on one second later.
///
/// # Errors
/// The file cannot be read or does not fit the format; names line, column and value.
pub fn read_trip(
    reader: impl Read,
    format: &Format,
    vehicle: &str,
    start: Timestamp,
) -> Result<Trip, TripError> {
    check_vehicle_id(vehicle)?;
    let mut buffered = BufReader::with_capacity(1 << 16, reader);
    let head = buffered
        .fill_buf()
        .map_err(|source| TripError::Read { line: 1, source })?;
    if head.starts_with(&[0x1f, 0x8b]) {
        read_table(MultiGzDecoder::new(buffered), format, vehicle, start)
    } else {
        read_table(buffered, format, vehicle, start)
    }
}

fn read_table(
    reader: impl Read,
    format: &Format,
    vehicle: &str,
    start: Timestamp,
) -> Result<Trip, TripError> {
    let mapping = &format.mapping;
    let mut table = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(mapping.delimiter as u8)
        .trim(csv::Trim::All)
        // The carriage return of a Windows line is trimmed with the cell; as part of the terminator it would
        // spoil the line numbers.
        .terminator(csv::Terminator::Any(b'\n'))
        // With a terminator on the last line too, the line after a record tells the record's own.
        .from_reader(reader.chain(&b"\n"[..]));
    let mut record = ByteRecord::new();
    if !next(&mut table, &mut record)? {
        return Err(TripError::Empty {
            line: 1,
            problem: "the file is empty",
        });
    }
    let header: Vec<String> = record.iter().map(header_cell).collect();
    let resolved = mapping
        .resolve(&header)
        .map_err(|problem| TripError::Header {
            problem,
            cure: format!(
                "{} expects it, the file has: {}",
                if format.name == "csv" {
                    "the mapping"
                } else {
                    format.name
                },
                shown_header(&header)
            ),
        })?;

    let mut rows = Rows {
        mapping,
        resolved,
        header: &header,
        implausible: BTreeMap::new(),
    };
    let mut samples: Vec<Telemetry> = Vec::new();
    let mut times: Vec<f64> = Vec::new();
    while next(&mut table, &mut record)? {
        if record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        let line = line_of(&record, table.position().line());
        let (time, sample) = rows.row(&record, line, vehicle, samples.len() as u64)?;
        times.push(time);
        samples.push(sample);
    }
    if samples.is_empty() {
        return Err(TripError::Empty {
            line: 2,
            problem: "there are no rows after the header",
        });
    }
    spread(&mut times, mapping.time.unit);
    let first = times[0];
    for (sample, time) in samples.iter_mut().zip(times) {
        let micros = ((time - first) * 1e6).round() as i64;
        sample.time = start
            .checked_add(SignedDuration::from_micros(micros))
            .map_err(|_| {
                Invalid::new(
                    "start",
                    start.to_string(),
                    "too late for the length of the trip",
                    "choose an earlier one",
                )
            })?;
    }
    Ok(Trip {
        vehicle: vehicle.to_owned(),
        samples,
        truth: Vec::new(),
        notes: notes_of(rows.implausible),
    })
}

fn next<R: Read>(table: &mut csv::Reader<R>, record: &mut ByteRecord) -> Result<bool, TripError> {
    let line = table.position().line();
    table.read_byte_record(record).map_err(|e| TripError::Read {
        line,
        source: e.into(),
    })
}

/// The line of a record, given the line after it. The record's own position lies before the empty lines that
/// were skipped; the line after it is no help when cells span lines.
fn line_of(record: &ByteRecord, after: u64) -> u64 {
    let own = record.position().map_or(0, csv::Position::line);
    let spans = record.as_slice().contains(&b'\n');
    if spans {
        own
    } else {
        own.max(after.saturating_sub(1))
    }
}

fn header_cell(cell: &[u8]) -> String {
    String::from_utf8_lossy(cell)
        .trim_start_matches('\u{feff}')
        .trim()
        .to_owned()
}

fn shown_header(header: &[String]) -> String {
    let mut names = header
        .iter()
        .take(40)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.chars().count() > 600 || header.len() > 40 {
        names = names.chars().take(600).chain(['…']).collect();
    }
    names
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

struct Rows<'a> {
    mapping: &'a Mapping,
    resolved: Resolved<'a>,
    header: &'a [String],
    /// By field: how many readings were left out, and why the first was.
    implausible: BTreeMap<&'static str, (u64, Invalid)>,
}

impl Rows<'_> {
    /// One row: its time in seconds, and its readings with `time` still unset.
    fn row(
        &mut self,
        record: &ByteRecord,
        line: u64,
        vehicle: &str,
        sequence: u64,
    ) -> Result<(f64, Telemetry), TripError> {
        if record
            .iter()
            .skip(self.header.len())
            .any(|cell| !cell.is_empty())
        {
            return Err(TripError::Row {
                line,
                problem: format!(
                    "there are {} cells, the header has {}",
                    record.len(),
                    self.header.len()
                ),
                cure: "quote cells that contain the delimiter, or correct the row",
            });
        }
        let time = self.time(record, line)?;
        let mut sample = Telemetry::new(vehicle, sequence, Timestamp::UNIX_EPOCH);
        sample.model.clone_from(&self.mapping.model);
        for &(index, column, field) in &self.resolved.columns {
            let Some(text) = record.get(index).filter(|cell| !self.is_missing(cell)) else {
                continue;
            };
            let number = number(text).ok_or_else(|| {
                self.cell(
                    line,
                    index,
                    text,
                    "not a number",
                    "correct the cell, or empty it when nothing was measured",
                )
            })?;
            match field.accept(number * column.scale + column.offset) {
                Ok(value) => {
                    if let Some(slot) = sample.number_mut(field.name) {
                        *slot = value;
                    }
                }
                Err(why) => self.implausible.entry(field.name).or_insert((0, why)).0 += 1,
            }
        }
        Ok((time, sample))
    }

    fn time(&self, record: &ByteRecord, line: u64) -> Result<f64, TripError> {
        let index = self.resolved.time;
        let text = record.get(index).unwrap_or_default();
        let (seconds, problem) = match self.mapping.time.unit {
            TimeUnit::Seconds => (number(text), "not a number of seconds"),
            TimeUnit::Milliseconds => (
                number(text).map(|ms| ms / 1000.0),
                "not a number of milliseconds",
            ),
            TimeUnit::Clock => (clock(text), "not a time of day"),
            TimeUnit::Rfc3339 => (instant(text), "not an RFC 3339 time with an offset"),
        };
        seconds.filter(|s| s.abs() < 1e11).ok_or_else(|| {
            self.cell(
                line,
                index,
                text,
                problem,
                "correct the cell, or name another time column or unit in the mapping",
            )
        })
    }

    fn is_missing(&self, cell: &[u8]) -> bool {
        cell.is_empty()
            || [&b"NaN"[..], b"NA", b"N/A", b"null"]
                .iter()
                .any(|m| cell.eq_ignore_ascii_case(m))
            || self.mapping.missing.iter().any(|m| m.as_bytes() == cell)
    }

    fn cell(
        &self,
        line: u64,
        index: usize,
        text: &[u8],
        problem: &'static str,
        cure: &'static str,
    ) -> TripError {
        TripError::Cell {
            line,
            column: self.header.get(index).cloned().unwrap_or_default(),
            value: String::from_utf8_lossy(text).chars().take(80).collect(),
            problem,
            cure,
        }
    }
}

fn number(cell: &[u8]) -> Option<f64> {
    std::str::from_utf8(cell)
        .ok()?
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite())
}

/// Seconds of `HH:MM:SS[.fraction]`.
fn clock(cell: &[u8]) -> Option<f64> {
    let mut parts = std::str::from_utf8(cell).ok()?.split(':');
    let (hours, minutes) = (
        parts.next()?.parse::<u32>().ok()?,
        parts.next()?.parse::<u32>().ok()?,
    );
    let seconds = number(parts.next()?.as_bytes()).filter(|s| (0.0..61.0).contains(s))?;
    (parts.next().is_none() && hours < 24 && minutes < 60)
        .then(|| f64::from(hours * 3600 + minutes * 60) + seconds)
}

fn instant(cell: &[u8]) -> Option<f64> {
    let time: Timestamp = std::str::from_utf8(cell).ok()?.parse().ok()?;
    Some(time.as_microsecond() as f64 / 1e6)
}

/// Makes times strictly rise: goes on after restarts and midnight, and spreads equal ones.
fn spread(times: &mut [f64], unit: TimeUnit) {
    let mut shift = 0.0;
    let mut previous: Option<f64> = None;
    for time in times.iter_mut() {
        let raw = *time + shift;
        if let Some(previous) = previous
            && raw < previous
        {
            let midnight = unit == TimeUnit::Clock && previous - raw > DAY / 2.0;
            shift += if midnight {
                DAY
            } else {
                previous - raw + MAX_STEP
            };
        }
        *time += shift;
        previous = Some(*time);
    }
    let mut step = FIRST_STEP;
    let mut begin = 0;
    while begin < times.len() {
        let at = times[begin];
        let count = times[begin..].iter().take_while(|t| **t == at).count();
        // The last group has no next time: it goes on at the pace before.
        if let Some(next) = times.get(begin + count) {
            step = ((next - at) / count as f64).min(MAX_STEP);
        }
        for (i, time) in times[begin..begin + count].iter_mut().enumerate() {
            *time = at + step * i as f64;
        }
        begin += count;
    }
}

#[cfg(test)]
mod tests;
