//! The columns of the lake's files, and how files with different columns are read as one.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use millrace_contract::{FIELDS, Kind};

use crate::error::LakeError;

/// Column of the partition of Kafka.
pub const PARTITION: &str = "kafka_partition";
/// Column of the offset in it.
pub const OFFSET: &str = "kafka_offset";
/// Column of the time that Kafka has for the record.
pub const KAFKA_TIME: &str = "kafka_time";
/// Column of the key.
pub const KEY: &str = "kafka_key";
/// Column of who wrote the event, `ce_source`.
pub const SOURCE: &str = "source";
/// Column of the kind of event, `ce_type`. Not in telemetry.
pub const TYPE: &str = "type";
/// Column of the record's headers, as JSON. Not in telemetry.
pub const HEADERS: &str = "headers";
/// Column of the event time.
pub const TIME: &str = "time";
/// Column of the record's value as it was, where the other columns do not say all of it.
pub const RAW: &str = "raw";

fn utc(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

fn of_kafka() -> Vec<Field> {
    vec![
        Field::new(PARTITION, DataType::Int32, false),
        Field::new(OFFSET, DataType::Int64, false),
        Field::new(KAFKA_TIME, utc(TimeUnit::Millisecond), true),
        Field::new(KEY, DataType::Binary, true),
        Field::new(SOURCE, DataType::Utf8, true),
    ]
}

/// The columns of telemetry: those of Kafka, those of every event, one for each field of the contract, `raw`.
#[must_use]
pub fn telemetry() -> SchemaRef {
    let mut fields = of_kafka();
    fields.extend([
        Field::new("vehicle", DataType::Utf8, true),
        Field::new("sequence", DataType::Int64, true),
        Field::new(TIME, utc(TimeUnit::Microsecond), true),
        Field::new("hire", DataType::Utf8, true),
        Field::new("model", DataType::Utf8, true),
    ]);
    for field in FIELDS {
        let kind = match field.kind {
            Kind::Number => DataType::Float64,
            Kind::Flag => DataType::Boolean,
            Kind::Codes => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        };
        fields.push(Field::new(field.name, kind, true));
    }
    fields.push(Field::new(RAW, DataType::Binary, true));
    Arc::new(Schema::new(fields))
}

/// The columns of any other topic: those of Kafka, the event's kind and time, and the value as it was.
#[must_use]
pub fn plain() -> SchemaRef {
    let mut fields = of_kafka();
    fields.extend([
        Field::new(TYPE, DataType::Utf8, true),
        Field::new(TIME, utc(TimeUnit::Microsecond), true),
        Field::new(HEADERS, DataType::Utf8, true),
        Field::new(RAW, DataType::Binary, true),
    ]);
    Arc::new(Schema::new(fields))
}

/// The columns of events that are told in a few texts and numbers: those of [`plain`], and one for each of these.
#[must_use]
pub fn events(texts: &[&str], numbers: &[&str]) -> SchemaRef {
    let mut fields: Vec<Field> = plain()
        .fields()
        .iter()
        .map(|f| f.as_ref().clone())
        .collect();
    let raw = fields.pop();
    let column = |kind: DataType| move |name: &&str| Field::new(*name, kind.clone(), true);
    fields.extend(texts.iter().map(column(DataType::Utf8)));
    fields.extend(numbers.iter().map(column(DataType::Float64)));
    fields.extend(raw);
    Arc::new(Schema::new(fields))
}

/// The columns that files with either of two schemas are read with: a column that one of them lacks is empty there, and
/// of two types the wider one is taken.
///
/// # Errors
/// A column has two types of which neither is the wider one.
pub fn unify(one: &Schema, other: &Schema) -> Result<SchemaRef, LakeError> {
    let mut fields: Vec<Field> = one.fields().iter().map(|f| f.as_ref().clone()).collect();
    for field in &mut fields {
        match other.field_with_name(field.name()) {
            Ok(there) => {
                let wide = wider(field.data_type(), there.data_type()).ok_or_else(|| {
                    LakeError::Schema {
                        column: field.name().clone(),
                        one: field.data_type().to_string(),
                        other: there.data_type().to_string(),
                    }
                })?;
                *field = Field::new(
                    field.name(),
                    wide,
                    field.is_nullable() || there.is_nullable(),
                );
            }
            Err(_) => *field = field.clone().with_nullable(true),
        }
    }
    for there in other.fields() {
        if one.field_with_name(there.name()).is_err() {
            fields.push(there.as_ref().clone().with_nullable(true));
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

// The type that holds every value of both, exactly.
pub(crate) fn wider(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType::{
        Binary, Float32, Float64, Int8, Int16, Int32, Int64, LargeBinary, LargeUtf8, Utf8,
    };
    if one == other {
        return Some(one.clone());
    }
    let fits = |narrow: &DataType, wide: &DataType| {
        matches!(
            (narrow, wide),
            (Int8, Int16 | Int32 | Int64 | Float32 | Float64)
                | (Int16, Int32 | Int64 | Float32 | Float64)
                | (Int32, Int64 | Float64)
                | (Float32, Float64)
                | (Utf8, LargeUtf8)
                | (Binary, LargeBinary)
                | (
                    DataType::Timestamp(TimeUnit::Millisecond, _),
                    DataType::Timestamp(TimeUnit::Microsecond, _)
                )
        )
    };
    if fits(one, other) {
        Some(other.clone())
    } else if fits(other, one) {
        Some(one.clone())
    } else {
        None
    }
}

/// A batch with the columns of a schema that [`unify`] gave.
///
/// # Errors
/// A value does not fit; [`unify`] gives no such schema.
pub fn adapt(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, LakeError> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = match batch.column_by_name(field.name()) {
            None => new_null_array(field.data_type(), batch.num_rows()),
            Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
            Some(column) => arrow_cast::cast(column, field.data_type())
                .map_err(|e| LakeError::parquet(field.name(), e))?,
        };
        columns.push(column);
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| LakeError::parquet("batch", e))
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int32Array, StringArray};

    use super::*;
    use crate::content::Content;

    #[test]
    fn added_columns_are_empty_and_wider_types_are_taken() {
        let old = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int32, false),
            Field::new("gone", DataType::Utf8, false),
        ]));
        let new = Schema::new(vec![
            Field::new("added", DataType::Float64, false),
            Field::new("a", DataType::Float64, false),
        ]);
        let both = unify(&old, &new).unwrap();
        assert_eq!(
            both.field_with_name("a").unwrap().data_type(),
            &DataType::Float64
        );
        assert!(both.field_with_name("added").unwrap().is_nullable());
        assert!(both.field_with_name("gone").unwrap().is_nullable());
        let batch = RecordBatch::try_new(
            old,
            vec![
                Arc::new(Int32Array::from(vec![1, 2])),
                Arc::new(StringArray::from(vec!["x", "y"])),
            ],
        )
        .unwrap();
        let adapted = adapt(&batch, &both).unwrap();
        assert_eq!(adapted.num_columns(), 3);
        assert_eq!(Content::of(&adapted).unwrap(), Content::of(&batch).unwrap());
    }

    #[test]
    fn types_that_do_not_fit_are_named() {
        let one = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
        // A double does not hold every 64-bit number.
        for other in [DataType::Float64, DataType::Utf8, DataType::Boolean] {
            let other = Schema::new(vec![Field::new("a", other, true)]);
            let error = unify(&one, &other).unwrap_err().to_string();
            assert!(error.contains("column a"), "{error}");
        }
    }

    #[test]
    fn telemetry_has_every_field_of_the_contract() {
        let schema = telemetry();
        for field in FIELDS {
            assert!(schema.field_with_name(field.name).is_ok(), "{}", field.name);
        }
        let names: std::collections::BTreeSet<_> =
            schema.fields().iter().map(|f| f.name()).collect();
        assert_eq!(names.len(), schema.fields().len());
    }
}
