//! Tables: rows of cells under a header line.

use std::io::Read;

use csv::{ByteRecord, ReaderBuilder};

use super::rows::Rows;
use super::{Draft, Origin};
use crate::TripError;
use crate::error::Place;
use crate::format::Format;

pub(super) fn read(
    reader: impl Read,
    format: &Format,
    origin: &Origin<'_>,
) -> Result<Draft, TripError> {
    let mut table = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(format.mapping.delimiter as u8)
        .trim(csv::Trim::All)
        // The carriage return of a Windows line is trimmed with the cell; as part of the terminator it would
        // spoil the line numbers.
        .terminator(csv::Terminator::Any(b'\n'))
        // With a terminator on the last line too, the line after a record tells the record's own.
        .from_reader(reader.chain(&b"\n"[..]));
    let mut record = ByteRecord::new();
    if !next(&mut table, &mut record)? {
        return Err(TripError::Empty {
            at: Place::Line(1),
            problem: "the file is empty",
        });
    }
    let header = record.iter().map(header_cell).collect();
    let mut rows = Rows::new(format, header, Place::Line(1), origin)?;
    while next(&mut table, &mut record)? {
        if record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        rows.take(
            &record,
            Place::Line(line_of(&record, table.position().line())),
        )?;
    }
    rows.finish(Place::Line(2))
}

fn next<R: Read>(table: &mut csv::Reader<R>, record: &mut ByteRecord) -> Result<bool, TripError> {
    let at = Place::Line(table.position().line());
    table.read_byte_record(record).map_err(|e| TripError::Read {
        at,
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
