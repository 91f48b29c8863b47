//! A Parquet file that goes to a storage while it is written.

mod pieces;

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{RecordBatch, RecordBatchReader as _};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use sha2::{Digest as _, Sha256};

use crate::content::Content;
use crate::error::LakeError;
use crate::layout::Hour;
use crate::record::FileEntry;
use crate::schema;
use crate::storage::{Storage, StorageFile};
use crate::verify::hex;

use pieces::Pieces;

/// What a column of a row group that is not ended takes besides its values: each has a compressor of its own, and what undoes
/// its work, which is not used. Measured; Parquet does not count it.
const COMPRESSOR: usize = 192 * 1024;

/// A file that is being written.
pub struct ParquetFile<F> {
    writer: ArrowWriter<Pieces>,
    columns: usize,
    file: F,
    hash: Sha256,
    entry: FileEntry,
    row_group_bytes: usize,
}

impl<F: StorageFile> ParquetFile<F> {
    /// Opens `staged`, which will be called `path`. A row group ends when it takes `row_group_bytes` in memory.
    ///
    /// # Errors
    /// The name is taken, or the storage fails.
    pub async fn create<S: Storage<File = F>>(
        storage: &S,
        staged: String,
        path: String,
        hour: Hour,
        schema: SchemaRef,
        row_group_bytes: usize,
    ) -> Result<Self, LakeError> {
        let properties = properties(&path)?;
        let columns = schema.fields().len();
        let writer = ArrowWriter::try_new(Pieces::default(), schema, Some(properties))
            .map_err(|e| LakeError::parquet(&path, e))?;
        let file = storage.create(&staged).await?;
        Ok(Self {
            writer,
            columns,
            file,
            hash: Sha256::new(),
            entry: FileEntry {
                path,
                staged,
                hour: hour.to_string(),
                bytes: 0,
                sha256: String::new(),
                content: Content::default(),
                first_offset: i64::MAX,
                last_offset: -1,
            },
            row_group_bytes,
        })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// The storage fails: then the file is of no use any more.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.entry.content.add(&Content::of(batch)?);
        if let Some(offsets) = batch.column_by_name(schema::OFFSET) {
            for offset in offsets.as_primitive::<Int64Type>().values() {
                self.entry.first_offset = self.entry.first_offset.min(*offset);
                self.entry.last_offset = self.entry.last_offset.max(*offset);
            }
        }
        self.writer
            .write(batch)
            .map_err(|e| LakeError::parquet(&self.entry.path, e))?;
        if self.writer.in_progress_size() >= self.row_group_bytes {
            self.flush().await?;
        }
        Ok(())
    }

    /// Ends the row group, which frees its memory.
    ///
    /// # Errors
    /// The storage fails: then the file is of no use any more.
    pub async fn flush(&mut self) -> Result<(), LakeError> {
        self.writer
            .flush()
            .map_err(|e| LakeError::parquet(&self.entry.path, e))?;
        let full = self.writer.inner_mut().take_full();
        self.send(full).await
    }

    /// About how many bytes it keeps in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        let begun = self.writer.in_progress_rows() > 0;
        let compressors = if begun { COMPRESSOR * self.columns } else { 0 };
        self.writer.memory_size() + compressors + self.writer.inner().held()
    }

    /// About how many bytes the file will have.
    #[must_use]
    pub fn size(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// What it holds so far.
    #[must_use]
    pub fn content(&self) -> Content {
        self.entry.content
    }

    /// Ends and closes the file.
    ///
    /// # Errors
    /// The storage fails: then the file is of no use any more.
    pub async fn close(mut self) -> Result<FileEntry, LakeError> {
        self.writer
            .finish()
            .map_err(|e| LakeError::parquet(&self.entry.path, e))?;
        let rest = self.writer.inner_mut().take_all();
        self.send(rest).await?;
        self.file.close().await?;
        self.entry.sha256 = hex(&self.hash.finalize());
        Ok(self.entry)
    }

    async fn send(&mut self, pieces: Vec<Bytes>) -> Result<(), LakeError> {
        for piece in pieces {
            self.hash.update(&piece);
            self.entry.bytes += piece.len() as u64;
            self.file.write(piece).await?;
        }
        Ok(())
    }
}

// Dictionaries only where values repeat; numbers that grow as their differences.
fn properties(path: &str) -> Result<WriterProperties, LakeError> {
    let level = ZstdLevel::try_new(1).map_err(|e| LakeError::parquet(path, e))?;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_dictionary_enabled(false)
        .set_created_by(concat!("millrace-lake ", env!("CARGO_PKG_VERSION")).to_owned());
    for column in [
        schema::PARTITION,
        schema::KEY,
        schema::SOURCE,
        schema::TYPE,
        "vehicle",
        "hire",
        "model",
    ] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), true);
    }
    for column in [schema::OFFSET, schema::KAFKA_TIME, schema::TIME, "sequence"] {
        properties =
            properties.set_column_encoding(ColumnPath::from(column), Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties.build())
}

/// The batches of a file.
pub struct Batches {
    path: String,
    reader: ParquetRecordBatchReader,
}

impl Batches {
    /// The file's columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.map_err(|e| LakeError::parquet(&self.path, e)))
    }
}

/// Reads a file.
///
/// # Errors
/// It is no Parquet file.
pub fn read(path: &str, bytes: Bytes) -> Result<Batches, LakeError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .and_then(|builder| builder.with_batch_size(4096).build())
        .map_err(|e| LakeError::parquet(path, e))?;
    Ok(Batches {
        path: path.to_owned(),
        reader,
    })
}

/// A file's columns.
///
/// # Errors
/// It is no Parquet file.
pub fn schema_of(path: &str, bytes: Bytes) -> Result<SchemaRef, LakeError> {
    ParquetRecordBatchReaderBuilder::try_new(bytes)
        .map(|builder| Arc::clone(builder.schema()))
        .map_err(|e| LakeError::parquet(path, e))
}
