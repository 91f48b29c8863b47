//! Trips as columns. Each row tells its part and how many trips that part has, and a part without trips has one row that says so:
//! a part that is missing or came twice is noticed, whoever lost or repeated it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use millrace_analytics::driving::{Exposure, Trip};
use millrace_batch::score::fleet::FleetTrip;
use millrace_batch::score::store::SUMS;

/// Rows of a batch: batches travel as one message each.
const ROWS: usize = 8192;
/// Columns before those of [`SUMS`].
const KEYS: usize = 7;

/// Why what came back is not the trips of a day.
#[derive(Debug, thiserror::Error)]
pub enum TripsError {
    /// A column is missing or has another type.
    #[error(
        "a batch of trips cannot be read: {0}; scheduler, executors and this program must have the same version"
    )]
    Column(String),
    /// Not each part came once.
    #[error(
        "part {part} of {parts}: {found} trips came back and it has {told}; nothing was changed, run it again"
    )]
    Part {
        /// Which.
        part: u32,
        /// Of how many.
        parts: u32,
        /// Rows that came.
        found: u64,
        /// Rows that it said it has.
        told: u64,
    },
    /// A part did not come at all, or is none of those that were asked for.
    #[error("parts {found:?} came back of {parts}; nothing was changed, run it again")]
    Parts {
        /// Those that came.
        found: Vec<u32>,
        /// How many were asked for.
        parts: u32,
    },
}

/// The columns.
#[must_use]
pub fn schema() -> SchemaRef {
    let mut fields = vec![
        Field::new("part", DataType::UInt32, false),
        Field::new("trips", DataType::UInt64, false),
        Field::new("vehicle", DataType::Utf8, true),
        Field::new("model", DataType::Utf8, true),
        Field::new("hire", DataType::Utf8, true),
        Field::new("start", DataType::Int64, false),
        Field::new("end", DataType::Int64, false),
    ];
    let sums = SUMS.iter();
    fields.extend(sums.map(|name| Field::new(*name, DataType::Float64, false)));
    Arc::new(Schema::new(fields))
}

/// The trips of a part.
///
/// # Errors
/// They do not fit the columns, which is a fault of this program.
pub fn batches(part: u32, trips: &[FleetTrip]) -> Result<Vec<RecordBatch>, ArrowError> {
    let count = trips.len() as u64;
    if trips.is_empty() {
        return Ok(vec![none(part)?]);
    }
    trips
        .chunks(ROWS)
        .map(|trips| batch(part, count, trips))
        .collect()
}

fn batch(part: u32, count: u64, trips: &[FleetTrip]) -> Result<RecordBatch, ArrowError> {
    let texts = |text: fn(&FleetTrip) -> Option<&str>| -> ArrayRef {
        Arc::new(trips.iter().map(text).collect::<StringArray>())
    };
    let seconds = |second: fn(&Trip) -> i64| -> ArrayRef {
        let seconds = trips.iter().map(|trip| second(&trip.trip));
        Arc::new(Int64Array::from_iter_values(seconds))
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_value(part, trips.len())),
        Arc::new(UInt64Array::from_value(count, trips.len())),
        texts(|trip| Some(trip.vehicle.as_str())),
        texts(|trip| trip.model.as_deref()),
        texts(|trip| trip.hire.as_deref()),
        seconds(|trip| trip.start),
        seconds(|trip| trip.end),
    ];
    let numbers: Vec<[f64; Exposure::LENGTH]> = trips
        .iter()
        .map(|trip| trip.trip.exposure.numbers())
        .collect();
    columns.extend((0..Exposure::LENGTH).map(|index| -> ArrayRef {
        let column = numbers.iter().map(|numbers| numbers[index]);
        Arc::new(Float64Array::from_iter_values(column))
    }));
    RecordBatch::try_new(schema(), columns)
}

fn none(part: u32) -> Result<RecordBatch, ArrowError> {
    let nobody = || -> ArrayRef { Arc::new(StringArray::from(vec![None::<&str>])) };
    let never = || -> ArrayRef { Arc::new(Int64Array::from(vec![0])) };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from(vec![part])),
        Arc::new(UInt64Array::from(vec![0])),
        nobody(),
        nobody(),
        nobody(),
        never(),
        never(),
    ];
    columns.extend(
        (0..Exposure::LENGTH).map(|_| -> ArrayRef { Arc::new(Float64Array::from(vec![0.0])) }),
    );
    RecordBatch::try_new(schema(), columns)
}

/// All trips of a day that was divided into so many parts, by vehicle and start.
///
/// # Errors
/// Not each part came once, or a batch has other columns.
pub fn collect(parts: u32, batches: &[RecordBatch]) -> Result<Vec<FleetTrip>, TripsError> {
    let mut trips = Vec::new();
    // Rows that came of each part, and how many it has.
    let mut seen: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for batch in batches {
        let columns = Columns::of(batch)?;
        for row in 0..batch.num_rows() {
            let told = columns.trips.value(row);
            let (found, has) = seen.entry(columns.part.value(row)).or_insert((0, told));
            // A part that was computed twice says the same twice, and has too many rows.
            *has = told;
            let Some(trip) = columns.trip(row) else {
                continue;
            };
            *found += 1;
            trips.push(trip);
        }
    }
    if !seen.keys().copied().eq(0..parts) {
        let found = seen.into_keys().collect();
        return Err(TripsError::Parts { found, parts });
    }
    for (part, (found, told)) in seen {
        if found != told {
            return Err(TripsError::Part {
                part,
                parts,
                found,
                told,
            });
        }
    }
    // A vehicle is in one part, and a part has its trips in their order already.
    trips.sort_by(|a, b| a.vehicle.cmp(&b.vehicle));
    Ok(trips)
}

struct Columns<'a> {
    part: &'a UInt32Array,
    trips: &'a UInt64Array,
    vehicle: &'a StringArray,
    model: &'a StringArray,
    hire: &'a StringArray,
    start: &'a Int64Array,
    end: &'a Int64Array,
    sums: [&'a Float64Array; Exposure::LENGTH],
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, TripsError> {
        let fields = schema();
        if batch.num_columns() != fields.fields().len() {
            let told = format!("{} columns", batch.num_columns());
            return Err(TripsError::Column(told));
        }
        let wrong = |index: usize| {
            let name = fields.field(index).name();
            TripsError::Column(format!("{name} is {}", batch.column(index).data_type()))
        };
        let text = |index: usize| {
            let array = batch.column(index).as_string_opt::<i32>();
            array.ok_or_else(|| wrong(index))
        };
        let second = |index: usize| {
            let array = batch.column(index).as_primitive_opt::<Int64Type>();
            array.ok_or_else(|| wrong(index))
        };
        let part = batch.column(0).as_primitive_opt::<UInt32Type>();
        let trips = batch.column(1).as_primitive_opt::<UInt64Type>();
        let part = part.ok_or_else(|| wrong(0))?;
        let mut sums = Vec::with_capacity(Exposure::LENGTH);
        for index in KEYS..fields.fields().len() {
            let array = batch.column(index).as_primitive_opt::<Float64Type>();
            sums.push(array.ok_or_else(|| wrong(index))?);
        }
        Ok(Self {
            part,
            trips: trips.ok_or_else(|| wrong(1))?,
            vehicle: text(2)?,
            model: text(3)?,
            hire: text(4)?,
            start: second(5)?,
            end: second(6)?,
            sums: sums.try_into().map_err(|_| wrong(KEYS))?,
        })
    }

    // None where the row says that its part has none.
    fn trip(&self, row: usize) -> Option<FleetTrip> {
        let text = |array: &StringArray| array.is_valid(row).then(|| array.value(row).to_owned());
        Some(FleetTrip {
            vehicle: text(self.vehicle)?,
            model: text(self.model),
            hire: text(self.hire),
            trip: Trip {
                // The name says it: the number is the part's own.
                hire: None,
                start: self.start.value(row),
                end: self.end.value(row),
                exposure: Exposure::of(self.sums.map(|sum| sum.value(row))),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip(vehicle: &str, start: i64) -> FleetTrip {
        let mut numbers = [0.1; Exposure::LENGTH];
        numbers[0] = 1.0 / 3.0;
        FleetTrip {
            vehicle: vehicle.to_owned(),
            model: (start > 5).then(|| "Golf".to_owned()),
            hire: None,
            trip: Trip {
                hire: None,
                start,
                end: start + 60,
                exposure: Exposure::of(numbers),
            },
        }
    }

    fn part(part: u32, trips: &[FleetTrip]) -> Vec<RecordBatch> {
        batches(part, trips).unwrap()
    }

    #[test]
    fn trips_come_back_as_they_were_whatever_the_order_of_parts() {
        let (a, b) = (vec![trip("a", 1), trip("a", 9)], vec![trip("b", 3)]);
        let all = [part(2, &b), part(1, &[]), part(0, &a)].concat();
        let expected = [a, b].concat();
        assert_eq!(collect(3, &all).unwrap(), expected);
        let many: Vec<FleetTrip> = (0..20_000).map(|second| trip("v", second)).collect();
        assert_eq!(part(0, &many).len(), 3);
        assert_eq!(collect(1, &part(0, &many)).unwrap(), many);
    }

    #[test]
    fn a_part_that_is_missing_or_came_twice_is_noticed() {
        let some = part(0, &[trip("a", 1)]);
        let told =
            |parts: u32, batches: &[RecordBatch]| collect(parts, batches).unwrap_err().to_string();
        assert!(told(2, &some).contains("parts [0] came back of 2"));
        assert!(told(1, &[]).contains("parts [] came back of 1"));
        let twice = [some.clone(), some].concat();
        assert!(told(1, &twice).contains("2 trips came back and it has 1"));
        let many: Vec<FleetTrip> = (0..9000).map(|second| trip("v", second)).collect();
        assert!(told(1, &part(0, &many)[..1]).contains("8192 trips came back and it has 9000"));
        let foreign = part(0, &[trip("a", 1)])[0].project(&[0, 1]).unwrap();
        assert!(told(1, &[foreign]).contains("2 columns"));
    }
}
