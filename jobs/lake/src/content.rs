//! What rows hold, as a count and a sum of hashes.
//!
//! The sum does not depend on the order of rows, on the files they lie in, on columns that are empty, or on how wide
//! a number's type is: so a partition keeps its sum when it is compacted and when its schema grows. It finds
//! accidents; it is no protection against somebody who wants to deceive.

mod row;

use std::fmt;
use std::str::FromStr;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use twox_hash::XxHash3_128;

use crate::error::LakeError;
use row::{Bytes, Name};

/// A number of rows and the sum of their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Content {
    /// How many.
    pub rows: u64,
    /// The sum of their hashes.
    pub sum: Sum,
}

/// A sum of hashes, 128 bits; written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum(pub u128);

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Sum {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, sum {}", self.rows, self.sum)
    }
}

impl Content {
    /// One row with that hash.
    #[must_use]
    pub fn row(hash: u128) -> Self {
        Self {
            rows: 1,
            sum: Sum(hash),
        }
    }

    /// These rows and those.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.sum.0 = self.sum.0.wrapping_add(other.sum.0);
    }

    /// What is left of these rows when those are taken away, which are among them or stand for some of them.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self {
            rows: self.rows.saturating_sub(other.rows),
            sum: Sum(self.sum.0.wrapping_sub(other.sum.0)),
        }
    }

    /// Of all of them together.
    #[must_use]
    pub fn total<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut total = Self::default();
        for part in parts {
            total.add(part);
        }
        total
    }

    /// What a batch holds.
    ///
    /// # Errors
    /// A column has a type that the lake does not use.
    pub fn of(batch: &RecordBatch) -> Result<Self, LakeError> {
        let schema = batch.schema();
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            // A column of nothing says nothing, and most columns are sparse.
            if array.null_count() < array.len() {
                let column = Column::new(field.name(), array.as_ref())?;
                columns.push((Name::new(field.name()), column));
            }
        }
        columns.sort_by_key(|(name, _)| name.text);
        let mut total = Self::default();
        let mut bytes = Bytes::default();
        for row in 0..batch.num_rows() {
            bytes.clear();
            for (name, column) in &columns {
                column.append(name, row, &mut bytes);
            }
            total.add(&Self::row(XxHash3_128::oneshot(bytes.as_slice())));
        }
        Ok(total)
    }
}

// Values are told apart by these, so that a text is never taken for a number.
const WHOLE: u8 = b'i';
const FRACTION: u8 = b'f';
const TEXT: u8 = b's';
const FLAG: u8 = b'b';
const TIME: u8 = b't';
const LIST: u8 = b'l';

/// Every whole number up to this is a double, too.
const EXACT: f64 = 9_007_199_254_740_992.0;

enum Column<'a> {
    I8(&'a arrow_array::PrimitiveArray<Int8Type>),
    I16(&'a arrow_array::PrimitiveArray<Int16Type>),
    I32(&'a arrow_array::PrimitiveArray<Int32Type>),
    I64(&'a arrow_array::PrimitiveArray<Int64Type>),
    F32(&'a arrow_array::PrimitiveArray<Float32Type>),
    F64(&'a arrow_array::PrimitiveArray<Float64Type>),
    Millis(&'a arrow_array::PrimitiveArray<TimestampMillisecondType>),
    Micros(&'a arrow_array::PrimitiveArray<TimestampMicrosecondType>),
    Flag(&'a arrow_array::BooleanArray),
    Text(&'a arrow_array::StringArray),
    LargeText(&'a arrow_array::LargeStringArray),
    Bytes(&'a arrow_array::BinaryArray),
    LargeBytes(&'a arrow_array::LargeBinaryArray),
    Texts(&'a arrow_array::ListArray, &'a arrow_array::StringArray),
}

impl<'a> Column<'a> {
    fn new(name: &str, array: &'a dyn Array) -> Result<Self, LakeError> {
        Ok(match array.data_type() {
            DataType::Int8 => Self::I8(array.as_primitive()),
            DataType::Int16 => Self::I16(array.as_primitive()),
            DataType::Int32 => Self::I32(array.as_primitive()),
            DataType::Int64 => Self::I64(array.as_primitive()),
            DataType::Float32 => Self::F32(array.as_primitive()),
            DataType::Float64 => Self::F64(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => Self::Millis(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Micros(array.as_primitive()),
            DataType::Boolean => Self::Flag(array.as_boolean()),
            DataType::Utf8 => Self::Text(array.as_string()),
            DataType::LargeUtf8 => Self::LargeText(array.as_string()),
            DataType::Binary => Self::Bytes(array.as_binary()),
            DataType::LargeBinary => Self::LargeBytes(array.as_binary()),
            DataType::List(inner) if *inner.data_type() == DataType::Utf8 => {
                let list = array.as_list::<i32>();
                Self::Texts(list, list.values().as_string())
            }
            other => {
                return Err(LakeError::Schema {
                    column: name.to_owned(),
                    one: other.to_string(),
                    other: "a type of the lake".to_owned(),
                });
            }
        })
    }

    fn append(&self, name: &Name<'_>, row: usize, out: &mut Bytes) {
        match self {
            Self::I8(a) if a.is_valid(row) => whole(name, a.value(row).into(), out),
            Self::I16(a) if a.is_valid(row) => whole(name, a.value(row).into(), out),
            Self::I32(a) if a.is_valid(row) => whole(name, a.value(row).into(), out),
            Self::I64(a) if a.is_valid(row) => whole(name, a.value(row), out),
            Self::F32(a) if a.is_valid(row) => fraction(name, a.value(row).into(), out),
            Self::F64(a) if a.is_valid(row) => fraction(name, a.value(row), out),
            Self::Millis(a) if a.is_valid(row) => {
                name.put(out);
                put(TIME, a.value(row).saturating_mul(1000), out);
            }
            Self::Micros(a) if a.is_valid(row) => {
                name.put(out);
                put(TIME, a.value(row), out);
            }
            Self::Flag(a) if a.is_valid(row) => {
                name.put(out);
                out.put(&[FLAG, u8::from(a.value(row))], 2);
            }
            Self::Text(a) if a.is_valid(row) => sized(name, a.value(row).as_bytes(), out),
            Self::LargeText(a) if a.is_valid(row) => sized(name, a.value(row).as_bytes(), out),
            Self::Bytes(a) if a.is_valid(row) => sized(name, a.value(row), out),
            Self::LargeBytes(a) if a.is_valid(row) => sized(name, a.value(row), out),
            Self::Texts(list, texts) if list.is_valid(row) => {
                let (from, to) = (list.value_offsets()[row], list.value_offsets()[row + 1]);
                name.put(out);
                out.put(&[LIST], 1);
                out.put(&(to - from).to_le_bytes(), 4);
                for n in from..to {
                    let n = usize::try_from(n).unwrap_or_default();
                    // Entries have no name.
                    out.put(&[0], 1);
                    text(texts.value(n).as_bytes(), out);
                }
            }
            // Nothing is there.
            _ => {}
        }
    }
}

fn put(kind: u8, value: i64, out: &mut Bytes) {
    let mut bytes = [kind; 9];
    bytes[1..].copy_from_slice(&value.to_le_bytes());
    out.put(&bytes, 9);
}

fn text(value: &[u8], out: &mut Bytes) {
    let mut bytes = [TEXT; 9];
    bytes[1..].copy_from_slice(&(value.len() as u64).to_le_bytes());
    out.put(&bytes, 9);
    out.extend(value);
}

fn sized(name: &Name<'_>, value: &[u8], out: &mut Bytes) {
    name.put(out);
    text(value, out);
}

fn whole(name: &Name<'_>, value: i64, out: &mut Bytes) {
    name.put(out);
    put(WHOLE, value, out);
}

// 92 and 92.0 are one number: so a column may become wider.
fn fraction(name: &Name<'_>, value: f64, out: &mut Bytes) {
    name.put(out);
    #[allow(clippy::cast_possible_truncation, reason = "compared below")]
    let near = value as i64;
    #[allow(clippy::cast_precision_loss, reason = "below 2^53")]
    let same = near as f64 == value;
    if same && value.abs() <= EXACT {
        put(WHOLE, near, out);
    } else {
        put(FRACTION, i64::from_le_bytes(value.to_le_bytes()), out);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray,
        TimestampMicrosecondArray, TimestampMillisecondArray,
    };

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
            .unwrap()
    }

    #[test]
    fn order_files_empty_columns_and_width_do_not_matter() {
        let a: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(2), None]));
        let b: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z"]));
        let whole = batch(vec![("a", a), ("b", b)]);
        let expected = Content::of(&whole).unwrap();
        assert_eq!(expected.rows, 3);
        // In two parts, the other way round, with a column more, another order of columns and wider numbers.
        let wide: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(2.0)]));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["z", "y"]));
        let none: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>, None]));
        let mut parts = Content::of(&batch(vec![("new", none), ("b", text), ("a", wide)])).unwrap();
        let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        parts.add(&Content::of(&batch(vec![("a", one), ("b", text)])).unwrap());
        assert_eq!(parts, expected);
    }

    fn any(array: impl Array + 'static) -> ArrayRef {
        Arc::new(array)
    }

    // Lakes that were written hold such sums: they never change.
    #[test]
    fn the_sum_of_known_rows_is_known() {
        let mut codes =
            arrow_array::builder::ListBuilder::new(arrow_array::builder::StringBuilder::new());
        codes.append_value([Some("P0217"), Some("P0301")]);
        codes.append_null();
        let long = "a_name_that_is_longer_than_thirty_two_bytes";
        let rows = batch(vec![
            ("vehicle", any(StringArray::from(vec!["car-1", "car-2"]))),
            ("sequence", any(Int64Array::from(vec![7, i64::MAX]))),
            ("speed", any(Float64Array::from(vec![81.5, -0.0]))),
            (
                "latitude",
                any(Float64Array::from(vec![None, Some(-3e300)])),
            ),
            ("mil_on", any(BooleanArray::from(vec![Some(true), None]))),
            (
                "time",
                any(TimestampMicrosecondArray::from(vec![
                    1_790_000_000_000_001,
                    -1,
                ])),
            ),
            (
                "kafka_time",
                any(TimestampMillisecondArray::from(vec![1_790_000_000_000, -1])),
            ),
            (
                "raw",
                any(BinaryArray::from_opt_vec(vec![None, Some(b"x".as_slice())])),
            ),
            ("dtc_list", any(codes.finish())),
            (long, any(Int32Array::from(vec![1, 2]))),
        ]);
        assert_eq!(
            Content::of(&rows).unwrap().sum.to_string(),
            "5673e6feb1b781a3a6d35e3a2767b88f"
        );
    }

    #[test]
    fn every_change_shows() {
        let of = |values: Vec<Option<i64>>, name: &str| {
            Content::of(&batch(vec![(
                name,
                Arc::new(Int64Array::from(values)) as ArrayRef,
            )]))
            .unwrap()
        };
        let base = of(vec![Some(1), Some(2)], "a");
        assert_ne!(base, of(vec![Some(1), Some(3)], "a"));
        assert_ne!(base, of(vec![Some(1)], "a"));
        assert_ne!(base, of(vec![Some(1), None], "a"));
        assert_ne!(base.sum, of(vec![Some(1), Some(2), Some(2)], "a").sum);
        assert_ne!(base, of(vec![Some(1), Some(2)], "b"));
        let text = serde_json::to_string(&base).unwrap();
        assert_eq!(serde_json::from_str::<Content>(&text).unwrap(), base);
    }
}
