//! A Parquet file that goes to a storage while it is written.

mod pieces;

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array as _, RecordBatch, RecordBatchReader as _};
use arrow_schema::{DataType, Field, SchemaRef};
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

/// What a compressed column of a row group that is not ended takes besides its values: a compressor of its own, and what undoes
/// its work, which is not used. By what zstd takes for pages of more than 128 KiB at this level; Parquet does not count it.
const COMPRESSOR: usize = 640 * 1024;

struct Names {
    staged: String,
    path: String,
}

/// A file that is being written.
pub struct ParquetFile<F> {
    writer: ArrowWriter<Pieces>,
    compressed: usize,
    file: F,
    hash: Sha256,
    entry: FileEntry,
    row_group_bytes: usize,
    // Asked far more often than it changes, and asked of each column.
    held: usize,
    size: usize,
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
        let compressed = vec![true; schema.fields().len()];
        let names = Names { staged, path };
        Self::open(storage, names, hour, schema, &compressed, row_group_bytes).await
    }

    /// The same, for a file that begins with `first`, which is not written yet. Columns of which that has no value are not
    /// compressed: of telemetry those are most, and a compressor for each takes more memory and time than all that is in them.
    /// Should values come later, they take more room.
    ///
    /// # Errors
    /// The name is taken, or the storage fails.
    pub async fn begin<S: Storage<File = F>>(
        storage: &S,
        staged: String,
        path: String,
        hour: Hour,
        first: &RecordBatch,
        row_group_bytes: usize,
    ) -> Result<Self, LakeError> {
        let columns = first.columns().iter();
        let compressed: Vec<bool> = columns.map(|c| c.null_count() < c.len()).collect();
        let (names, schema) = (Names { staged, path }, first.schema());
        Self::open(storage, names, hour, schema, &compressed, row_group_bytes).await
    }

    async fn open<S: Storage<File = F>>(
        storage: &S,
        Names { staged, path }: Names,
        hour: Hour,
        schema: SchemaRef,
        compressed: &[bool],
        row_group_bytes: usize,
    ) -> Result<Self, LakeError> {
        let properties = properties(&path, &schema, compressed)?;
        let compressed = compressed.iter().filter(|is| **is).count();
        let writer = ArrowWriter::try_new(Pieces::default(), schema, Some(properties))
            .map_err(|e| LakeError::parquet(&path, e))?;
        let file = storage.create(&staged).await?;
        Ok(Self {
            writer,
            compressed,
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
            held: 0,
            size: 0,
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
            return self.flush().await;
        }
        self.measure();
        Ok(())
    }

    fn measure(&mut self) {
        let begun = self.writer.in_progress_rows() > 0;
        let compressors = if begun {
            COMPRESSOR * self.compressed
        } else {
            0
        };
        self.held = self.writer.memory_size() + compressors + self.writer.inner().held();
        self.size = self.writer.bytes_written() + self.writer.in_progress_size();
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
        self.measure();
        self.send(full).await
    }

    /// About how many bytes it keeps in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// About how many bytes the file will have.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
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
fn properties(
    path: &str,
    schema: &SchemaRef,
    compressed: &[bool],
) -> Result<WriterProperties, LakeError> {
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
    for (field, compressed) in schema.fields().iter().zip(compressed) {
        if !compressed {
            let column = leaf(field);
            properties = properties.set_column_compression(column, Compression::UNCOMPRESSED);
        }
    }
    Ok(properties.build())
}

// What Parquet calls the column of a field: that of a list is its entries'.
fn leaf(field: &Field) -> ColumnPath {
    let mut parts = vec![field.name().clone()];
    if let DataType::List(entry) = field.data_type() {
        parts.extend(["list".to_owned(), entry.name().clone()]);
    }
    ColumnPath::new(parts)
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
