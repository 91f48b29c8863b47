//! Cells of one row to a sample.

use std::collections::BTreeMap;

use csv::ByteRecord;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use millrace_contract::{Invalid, Telemetry};

use super::times::{clock, date, local, number, of_the_trip, rfc3339};
use super::{Draft, Origin, instant};
use crate::TripError;
use crate::error::Place;
use crate::format::Format;
use crate::mapping::{BadRows, Mapping, Resolved, TimeUnit};

/// Takes in the rows of one file under their header.
pub(super) struct Rows<'a> {
    mapping: &'a Mapping,
    vehicle: &'a str,
    resolved: Resolved<'a>,
    header: Vec<String>,
    zone: TimeZone,
    /// Day of the first row, by the file's name.
    day: Option<Date>,
    draft: Draft,
    /// Rows without a time, and the first of them.
    skipped: Option<(u64, TripError)>,
}

impl<'a> Rows<'a> {
    /// Finds the columns.
    pub fn new(
        format: &'a Format,
        header: Vec<String>,
        at: Place,
        origin: &'a Origin<'_>,
    ) -> Result<Self, TripError> {
        let mapping = &format.mapping;
        let resolved = mapping
            .resolve(&header)
            .map_err(|problem| TripError::Header {
                at,
                problem,
                cure: format!(
                    "{} expects it, the file has: {}",
                    format.expecting(),
                    shown(&header)
                ),
            })?;
        let zone = match &mapping.time.zone {
            Some(name) => TimeZone::get(name).unwrap_or(TimeZone::UTC),
            None => TimeZone::UTC,
        };
        let by_name = mapping.time.date.as_ref().filter(|d| d.file_name);
        let day = by_name.and_then(|d| date(&origin.file_name, d.order));
        let mut draft = Draft {
            wraps: mapping.time.unit == Some(TimeUnit::Clock) && resolved.date.is_none(),
            fields: resolved.columns.iter().map(|(_, _, f)| *f).collect(),
            // All but the time.
            cycle: header.len().saturating_sub(1).max(1),
            ..Draft::default()
        };
        if by_name.is_some() && day.is_none() && !origin.file_name.is_empty() {
            draft.notes.push(format!(
                "{}: the name does not begin with a date: the day of the recording is not known",
                origin.file_name
            ));
        }
        Ok(Self {
            mapping,
            vehicle: origin.vehicle,
            resolved,
            header,
            zone,
            day,
            draft,
            skipped: None,
        })
    }

    /// Takes in one row.
    pub fn take(&mut self, record: &ByteRecord, at: Place) -> Result<(), TripError> {
        if record
            .iter()
            .skip(self.header.len())
            .any(|cell| !cell.is_empty())
        {
            return Err(TripError::Row {
                at,
                problem: format!(
                    "there are {} cells, the header has {}",
                    record.len(),
                    self.header.len()
                ),
                cure: "quote cells that contain the delimiter, or correct the row",
            });
        }
        let time = match self.time(record, at) {
            Ok(time) => time,
            Err(error) if self.mapping.time.bad_rows == BadRows::Skip => {
                self.skipped.get_or_insert((0, error)).0 += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut sample = Telemetry::new(self.vehicle, 0, Timestamp::UNIX_EPOCH);
        sample.model.clone_from(&self.mapping.model);
        for &(index, column, field) in &self.resolved.columns {
            let cell = record.get(index).unwrap_or_default();
            if is_missing(cell, &self.mapping.missing) || is_missing(cell, &column.missing) {
                continue;
            }
            let number = number(cell).ok_or_else(|| {
                let cure = "correct the cell, or empty it when nothing was measured";
                self.cell(at, index, cell, "not a number", cure)
            })?;
            match field.accept(column.convert(number)) {
                Ok(value) => {
                    if let Some(slot) = sample.number_mut(field.name) {
                        *slot = value;
                    }
                }
                Err(why) => note_implausible(&mut self.draft.implausible, field.name, why),
            }
        }
        self.draft.times.push(time);
        self.draft.samples.push(sample);
        Ok(())
    }

    /// All rows are in; `after` is where another one would have been.
    pub fn finish(mut self, after: Place) -> Result<Draft, TripError> {
        if let Some((count, first)) = self.skipped.take() {
            if self.draft.samples.is_empty() {
                return Err(first);
            }
            self.draft.notes.push(format!(
                "{count} rows without a time left out, the first: {first}"
            ));
        }
        self.leave_out_other_days();
        let Some(first) = self.draft.times.first().copied() else {
            return Err(TripError::Empty {
                at: after,
                problem: "there are no rows after the header",
            });
        };
        let time = &self.mapping.time;
        self.draft.recorded = match (self.day, time.unit) {
            (Some(day), _) => local(day, first, &self.zone).and_then(instant),
            (None, Some(TimeUnit::Rfc3339)) => instant(first),
            (None, _) if time.epoch || self.resolved.date.is_some() => instant(first),
            _ => None,
        };
        Ok(self.draft)
    }

    /// Dates that can be read may be nonsense all the same, and would move all that follows.
    fn leave_out_other_days(&mut self) {
        let time = &self.mapping.time;
        let dated =
            time.epoch || time.unit == Some(TimeUnit::Rfc3339) || self.resolved.date.is_some();
        if !dated || time.bad_rows != BadRows::Skip {
            return;
        }
        let days = of_the_trip(&self.draft.times);
        let Some(first) = self.draft.times.iter().find(|t| !days.contains(t)).copied() else {
            return;
        };
        let all = self.draft.times.len();
        let times = &self.draft.times;
        let mut kept = times.iter().map(|t| days.contains(t));
        self.draft.samples.retain(|_| kept.next().unwrap_or(true));
        self.draft.times.retain(|t| days.contains(t));
        let shown =
            |seconds| instant(seconds).map_or_else(|| "no time".to_owned(), |t| t.to_string());
        self.draft.notes.push(format!(
            "{} rows of other days left out, the first: {}, more than a day from the rest, {} to {}",
            all - self.draft.times.len(),
            shown(first),
            shown(*days.start()),
            shown(*days.end()),
        ));
    }

    fn time(&self, record: &ByteRecord, at: Place) -> Result<f64, TripError> {
        let Some(index) = self.resolved.time else {
            let step = self.mapping.time.every_seconds.unwrap_or(1.0);
            return Ok(self.draft.samples.len() as f64 * step);
        };
        let cure = "correct the cell, or name another time column or unit in the mapping";
        let text = record.get(index).unwrap_or_default();
        let (seconds, problem) = match self.mapping.time.unit {
            None | Some(TimeUnit::Seconds) => (number(text), "not a number of seconds"),
            Some(TimeUnit::Milliseconds) => (
                number(text).map(|ms| ms / 1000.0),
                "not a number of milliseconds",
            ),
            Some(TimeUnit::Clock) => (clock(text), "not a time of day"),
            Some(TimeUnit::Rfc3339) => (rfc3339(text), "not an RFC 3339 time with an offset"),
        };
        let seconds = seconds
            .filter(|s| s.abs() < 1e11)
            .ok_or_else(|| self.cell(at, index, text, problem, cure))?;
        let Some(column) = self.resolved.date else {
            return Ok(seconds);
        };
        let text = record.get(column).unwrap_or_default();
        let order = self.mapping.time.date.as_ref().map(|d| d.order);
        std::str::from_utf8(text)
            .ok()
            .and_then(|text| date(text, order.unwrap_or_default()))
            .and_then(|day| local(day, seconds, &self.zone))
            .ok_or_else(|| self.cell(at, column, text, "not a date", cure))
    }

    fn cell(
        &self,
        at: Place,
        index: usize,
        text: &[u8],
        problem: &'static str,
        cure: &'static str,
    ) -> TripError {
        TripError::Cell {
            at,
            column: self.header.get(index).cloned().unwrap_or_default(),
            value: String::from_utf8_lossy(text).chars().take(80).collect(),
            problem,
            cure,
        }
    }
}

/// Counts a reading that is left out.
pub(super) fn note_implausible(
    seen: &mut BTreeMap<&'static str, (u64, Invalid)>,
    field: &'static str,
    why: Invalid,
) {
    seen.entry(field).or_insert((0, why)).0 += 1;
}

fn is_missing(cell: &[u8], marks: &[String]) -> bool {
    cell.is_empty()
        || [&b"NaN"[..], b"NA", b"N/A", b"null"]
            .iter()
            .any(|m| cell.eq_ignore_ascii_case(m))
        || marks.iter().any(|m| {
            let mark = m.as_bytes();
            mark == cell || number(mark).is_some_and(|n| number(cell) == Some(n))
        })
}

/// The names in a header, for messages.
pub(super) fn shown(header: &[String]) -> String {
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
