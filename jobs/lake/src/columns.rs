//! Some columns of a file, for those who do not need the others.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{BooleanArray, RecordBatch, RecordBatchReader as _};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowFilter,
};

use crate::error::LakeError;
use crate::schema;

/// Rows of a batch: enough that what is done once for each does not count.
const ROWS: usize = 16 * 1024;

/// The batches of a file.
pub struct Columns {
    path: String,
    reader: ParquetRecordBatchReader,
    /// What batches become, where the file has narrower types than the data contract.
    wider: Option<SchemaRef>,
}

impl Iterator for Columns {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        let batch = batch.map_err(|e| LakeError::unreadable(&self.path, e));
        Some(match &self.wider {
            Some(wider) => batch.and_then(|batch| schema::adapt(&batch, wider)),
            None => batch,
        })
    }
}

/// Reads those of the named columns that a file has, in the file's order. A column that was added later is not in older
/// files.
///
/// # Errors
/// It is no Parquet file, or a column has a type that the data contract's does not hold.
pub fn read(path: &str, bytes: Bytes, names: &[&str]) -> Result<Columns, LakeError> {
    let failed = |e| LakeError::unreadable(path, e);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(failed)?;
    start(path, builder, names)
}

/// The same of those rows only whose text in column `by` is wanted: that column is read first, and of the others what is left. Where
/// the file has no such column, all rows.
///
/// # Errors
/// It is no Parquet file, or a column has a type that the data contract's does not hold.
pub fn read_where(
    path: &str,
    bytes: Bytes,
    names: &[&str],
    by: &str,
    wanted: impl Fn(&str) -> bool + Send + 'static,
) -> Result<Columns, LakeError> {
    let failed = |e| LakeError::unreadable(path, e);
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(failed)?;
    if builder.schema().column_with_name(by).is_some() {
        let mask = roots(&builder, &[by]);
        let name = by.to_owned();
        let predicate = ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
            let texts = batch
                .column(0)
                .as_string_opt::<i32>()
                .ok_or_else(|| ArrowError::SchemaError(format!("column {name} holds no texts")))?;
            let kept: Vec<bool> = texts.iter().map(|text| text.is_some_and(&wanted)).collect();
            Ok(BooleanArray::from(kept))
        });
        builder = builder.with_row_filter(RowFilter::new(vec![Box::new(predicate)]));
    }
    start(path, builder, names)
}

fn roots(builder: &ParquetRecordBatchReaderBuilder<Bytes>, names: &[&str]) -> ProjectionMask {
    let roots = builder.schema().fields().iter().enumerate();
    let wanted = roots.filter(|(_, field)| names.contains(&field.name().as_str()));
    ProjectionMask::roots(builder.parquet_schema(), wanted.map(|(index, _)| index))
}

fn start(
    path: &str,
    builder: ParquetRecordBatchReaderBuilder<Bytes>,
    names: &[&str],
) -> Result<Columns, LakeError> {
    let mask = roots(&builder, names);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(ROWS)
        .build()
        .map_err(|e| LakeError::unreadable(path, e))?;
    let wider = wider(path, &reader.schema())?;
    Ok(Columns {
        path: path.to_owned(),
        reader,
        wider,
    })
}

// None where all columns have the types of the data contract, which every dataset shares.
fn wider(path: &str, found: &Schema) -> Result<Option<SchemaRef>, LakeError> {
    let contract = schema::telemetry();
    let mut differs = false;
    let mut fields = Vec::with_capacity(found.fields().len());
    for there in found.fields() {
        let mut kind = there.data_type();
        if let Ok(here) = contract.field_with_name(there.name())
            && !is_same(kind, here.data_type())
        {
            if schema::wider(kind, here.data_type()).as_ref() != Some(here.data_type()) {
                return Err(LakeError::Column {
                    path: path.to_owned(),
                    column: there.name().clone(),
                    found: kind.to_string(),
                    expected: here.data_type().to_string(),
                });
            }
            kind = here.data_type();
            differs = true;
        }
        fields.push(Field::new(there.name(), kind.clone(), there.is_nullable()));
    }
    Ok(differs.then(|| Arc::new(Schema::new(fields))))
}

// Times of one unit are the same instants, whatever zone a file calls them by.
fn is_same(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::Timestamp(one, _), DataType::Timestamp(other, _)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::types::Float64Type;
    use arrow_array::{ArrayRef, Float32Array, Float64Array, StringArray};
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn file(speed: ArrayRef) -> Bytes {
        let batch = RecordBatch::try_from_iter([("speed", speed)]).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes.into()
    }

    fn told(bytes: Bytes) -> String {
        match read("telemetry/a.parquet", bytes, &["speed"]) {
            Ok(mut columns) => match columns.find_map(Result::err) {
                Some(error) => error.to_string(),
                None => String::new(),
            },
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_narrower_type_is_widened() {
        let narrow = file(Arc::new(Float32Array::from(vec![Some(1.5), None])));
        let mut columns = read("a.parquet", narrow, &["speed"]).unwrap();
        let batch = columns.next().unwrap().unwrap();
        let speeds = batch.column(0).as_primitive::<Float64Type>();
        assert_eq!(speeds.iter().collect::<Vec<_>>(), [Some(1.5), None]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_cure() {
        let good = file(Arc::new(Float64Array::from(vec![1.5])));
        assert_eq!(told(good.clone()), "");
        let texts = told(file(Arc::new(StringArray::from(vec!["fast"]))));
        for part in ["telemetry/a.parquet: column speed", "Utf8", "Float64"] {
            assert!(texts.contains(part), "{texts}");
        }
        let mut damaged = good.to_vec();
        let end = damaged.len();
        damaged[end - 20..].fill(0xff);
        let damaged = told(damaged.into());
        assert!(
            damaged.starts_with("telemetry/a.parquet: ") && damaged.contains("snapshot"),
            "{damaged}"
        );
    }
}
