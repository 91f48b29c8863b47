//! Rows as lines of JSON, for people and pipes.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::verify::hex;

/// Each row as an object of the columns that are not empty. Bytes that are a text are written as one, others in
/// hexadecimal.
pub fn lines(batch: &RecordBatch) -> impl Iterator<Item = Value> + '_ {
    (0..batch.num_rows()).map(|row| {
        let mut object = Map::new();
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if array.is_valid(row) {
                object.insert(field.name().clone(), value(array.as_ref(), row));
            }
        }
        Value::Object(object)
    })
}

fn value(array: &dyn Array, row: usize) -> Value {
    match array.data_type() {
        DataType::Int8 => json!(array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => json!(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => json!(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => json!(array.as_string::<i64>().value(row)),
        DataType::Binary => bytes(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().value(row)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let time = array.as_primitive::<TimestampMillisecondType>().value(row);
            Timestamp::from_millisecond(time).map_or(Value::Null, |time| json!(time))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let time = array.as_primitive::<TimestampMicrosecondType>().value(row);
            Timestamp::from_microsecond(time).map_or(Value::Null, |time| json!(time))
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>().value(row);
            (0..list.len()).map(|n| value(list.as_ref(), n)).collect()
        }
        other => json!(format!("({other})")),
    }
}

fn bytes(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| json!(hex(bytes)), |text| json!(text))
}
