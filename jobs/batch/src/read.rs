//! Files of the lake, read whole and checked against their records.

use arrow_array::RecordBatch;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use millrace_lake::layout::Layout;
use millrace_lake::reader::locate;
use millrace_lake::record::FileEntry;
use millrace_lake::{LakeError, Storage, columns};

/// Files that are fetched at once.
const FILES: usize = 4;

/// Some columns of all these files.
///
/// # Errors
/// A file that counts cannot be read, or is not what its record says.
pub async fn fetch<S: Storage>(
    storage: &S,
    layout: &Layout,
    files: &[FileEntry],
    names: &'static [&'static str],
) -> Result<Vec<RecordBatch>, LakeError> {
    let read = stream::iter(files)
        .map(|file| async move {
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
            decode(path, bytes, names).await
        })
        .buffered(FILES);
    let batches: Vec<Vec<RecordBatch>> = read.try_collect().await?;
    Ok(batches.into_iter().flatten().collect())
}

async fn decode(
    path: String,
    bytes: bytes::Bytes,
    names: &'static [&'static str],
) -> Result<Vec<RecordBatch>, LakeError> {
    let name = path.clone();
    let decoding =
        tokio::task::spawn_blocking(move || columns::read(&path, bytes, names)?.collect());
    decoding.await.unwrap_or_else(|e| {
        Err(LakeError::Parquet {
            path: name,
            problem: e.to_string(),
        })
    })
}
