//! Some columns of a file, for those who do not need the others.

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::error::LakeError;

/// Rows of a batch: enough that what is done once for each does not count.
const ROWS: usize = 16 * 1024;

/// The batches of a file.
pub struct Columns {
    path: String,
    reader: ParquetRecordBatchReader,
}

impl Iterator for Columns {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.map_err(|e| LakeError::parquet(&self.path, e)))
    }
}

/// Reads those of the named columns that a file has, in the file's order. A column that was added later is not in older
/// files.
///
/// # Errors
/// It is no Parquet file.
pub fn read(path: &str, bytes: Bytes, names: &[&str]) -> Result<Columns, LakeError> {
    let failed = |e| LakeError::parquet(path, e);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(failed)?;
    let roots = builder.schema().fields().iter().enumerate();
    let wanted = roots.filter(|(_, field)| names.contains(&field.name().as_str()));
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.map(|(index, _)| index));
    let reader = builder
        .with_projection(mask)
        .with_batch_size(ROWS)
        .build()
        .map_err(failed)?;
    Ok(Columns {
        path: path.to_owned(),
        reader,
    })
}
