//! Files of the lake, read whole and checked against their records.

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use millrace_lake::layout::Layout;
use millrace_lake::reader::locate;
use millrace_lake::record::FileEntry;
use millrace_lake::{LakeError, Storage, columns};
use twox_hash::XxHash3_128;

/// Files that are fetched at once.
const FILES: usize = 4;

/// A part of the fleet: each vehicle is in one of so many, whoever asks and wherever its rows lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    index: u32,
    of: u32,
}

impl Part {
    /// All vehicles.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// One of so many parts, from 0 on. None where there is no such part.
    #[must_use]
    pub fn new(index: u32, of: u32) -> Option<Self> {
        (index < of).then_some(Self { index, of })
    }

    /// Whether a vehicle is in it.
    #[must_use]
    pub fn has(self, vehicle: &str) -> bool {
        XxHash3_128::oneshot(vehicle.as_bytes()) % u128::from(self.of) == u128::from(self.index)
    }
}

/// Some columns of all these files, of the vehicles of a part.
///
/// # Errors
/// A file that counts cannot be read, or is not what its record says.
pub async fn fetch<S: Storage>(
    storage: &S,
    layout: &Layout,
    files: &[FileEntry],
    names: &'static [&'static str],
    part: Part,
) -> Result<Vec<RecordBatch>, LakeError> {
    let read = stream::iter(files)
        .map(|file| async move {
            let (path, bytes) = whole(storage, layout, file).await?;
            decode(path, bytes, names, part).await
        })
        .buffered(FILES);
    let batches: Vec<Vec<RecordBatch>> = read.try_collect().await?;
    Ok(batches.into_iter().flatten().collect())
}

/// Where a file lies, and all of it.
///
/// # Errors
/// It cannot be read, or has not the size that its record says.
pub async fn whole<S: Storage>(
    storage: &S,
    layout: &Layout,
    file: &FileEntry,
) -> Result<(String, Bytes), LakeError> {
    let path = locate(storage, layout, file)
        .await?
        .ok_or_else(|| LakeError::Gone {
            path: file.path.clone(),
        })?;
    let bytes = storage.read(&path).await?;
    if bytes.len() as u64 != file.bytes {
        return Err(LakeError::Foreign {
            path,
            found: bytes.len() as u64,
            expected: file.bytes,
        });
    }
    Ok((path, bytes))
}

async fn decode(
    path: String,
    bytes: Bytes,
    names: &'static [&'static str],
    part: Part,
) -> Result<Vec<RecordBatch>, LakeError> {
    let name = path.clone();
    let decoding = tokio::task::spawn_blocking(move || {
        if part == Part::WHOLE {
            return columns::read(&path, bytes, names)?.collect();
        }
        let wanted = move |vehicle: &str| part.has(vehicle);
        columns::read_where(&path, bytes, names, "vehicle", wanted)?.collect()
    });
    decoding.await.unwrap_or_else(|e| {
        Err(LakeError::Parquet {
            path: name,
            problem: e.to_string(),
        })
    })
}
