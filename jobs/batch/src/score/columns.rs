//! The columns of a batch that scores are made from.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, Float64Array, PrimitiveArray, RecordBatch, StringArray};
use millrace_analytics::driving::Reading;
use millrace_lake::LakeError;
use millrace_lake::schema;

/// Their names.
pub const NAMES: &[&str] = &[
    schema::PARTITION,
    schema::OFFSET,
    schema::SOURCE,
    schema::TIME,
    "vehicle",
    "sequence",
    "hire",
    "model",
    "speed",
    "engine_speed",
    "speed_limit",
    "acceleration_longitudinal",
    "acceleration_lateral",
    "yaw_rate",
    "heading",
    "fuel_rate",
    "mass_air_flow",
];

/// The columns of one batch. One that the file does not have is none: it was added to the contract later.
pub struct Columns<'a> {
    rows: usize,
    partition: Option<&'a PrimitiveArray<Int32Type>>,
    offset: Option<&'a PrimitiveArray<Int64Type>>,
    time: Option<&'a PrimitiveArray<TimestampMicrosecondType>>,
    sequence: Option<&'a PrimitiveArray<Int64Type>>,
    source: Option<&'a StringArray>,
    vehicle: Option<&'a StringArray>,
    hire: Option<&'a StringArray>,
    model: Option<&'a StringArray>,
    numbers: [Option<&'a Float64Array>; 9],
}

impl<'a> Columns<'a> {
    /// Those of a batch.
    ///
    /// # Errors
    /// A column has another type.
    pub fn of(batch: &'a RecordBatch) -> Result<Self, LakeError> {
        let mut numbers = [None; 9];
        for (number, name) in numbers.iter_mut().zip(&NAMES[8..]) {
            *number = column(batch, name, |array| array.as_primitive_opt::<Float64Type>())?;
        }
        let text = |name| column(batch, name, |array| array.as_string_opt::<i32>());
        Ok(Self {
            rows: batch.num_rows(),
            partition: column(batch, schema::PARTITION, |array| array.as_primitive_opt())?,
            offset: column(batch, schema::OFFSET, |array| array.as_primitive_opt())?,
            time: column(batch, schema::TIME, |array| array.as_primitive_opt())?,
            sequence: column(batch, "sequence", |array| array.as_primitive_opt())?,
            source: text(schema::SOURCE)?,
            vehicle: text("vehicle")?,
            hire: text("hire")?,
            model: text("model")?,
            numbers,
        })
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The vehicle and the event time in microseconds; none when one of them is not known.
    #[must_use]
    pub fn whose(&self, row: usize) -> Option<(&'a str, i64)> {
        let time = self.time.filter(|array| array.is_valid(row))?;
        Some((text(self.vehicle, row)?, time.value(row)))
    }

    /// The event's number.
    #[must_use]
    pub fn sequence(&self, row: usize) -> Option<i64> {
        let array = self.sequence.filter(|array| array.is_valid(row))?;
        Some(array.value(row))
    }

    /// Where the event lay in Kafka.
    #[must_use]
    pub fn offset(&self, row: usize) -> (i32, i64) {
        (
            self.partition.map_or(0, |array| array.value(row)),
            self.offset.map_or(0, |array| array.value(row)),
        )
    }

    /// Who wrote the event.
    #[must_use]
    pub fn source(&self, row: usize) -> Option<&'a str> {
        text(self.source, row)
    }

    /// The pseudonym of the hire.
    #[must_use]
    pub fn hire(&self, row: usize) -> Option<&'a str> {
        text(self.hire, row)
    }

    /// The vehicle's model.
    #[must_use]
    pub fn model(&self, row: usize) -> Option<&'a str> {
        text(self.model, row)
    }

    /// What was measured.
    #[must_use]
    pub fn reading(&self, row: usize, micros: i64, hire: Option<u32>) -> Reading {
        let number = |index: usize| match self.numbers[index] {
            Some(array) if array.is_valid(row) => array.value(row),
            _ => f64::NAN,
        };
        Reading {
            micros,
            hire,
            speed: number(0),
            engine_speed: number(1),
            speed_limit: number(2),
            longitudinal: number(3),
            lateral: number(4),
            yaw_rate: number(5),
            heading: number(6),
            fuel_rate: number(7),
            air_flow: number(8),
        }
    }
}

pub(crate) fn text(array: Option<&StringArray>, row: usize) -> Option<&str> {
    let array = array.filter(|array| array.is_valid(row))?;
    Some(array.value(row))
}

pub(crate) fn column<'a, T>(
    batch: &'a RecordBatch,
    name: &str,
    typed: impl Fn(&'a dyn Array) -> Option<&'a T>,
) -> Result<Option<&'a T>, LakeError> {
    let Some(array) = batch.column_by_name(name) else {
        return Ok(None);
    };
    match typed(array.as_ref()) {
        Some(array) => Ok(Some(array)),
        None => Err(LakeError::Schema {
            column: name.to_owned(),
            one: array.data_type().to_string(),
            other: "the data contract".to_owned(),
        }),
    }
}
