//! A file of HDFS that is being written.

use std::time::Duration;

use bytes::Bytes;
use hdfs_native::Client;
use hdfs_native::file::FileWriter;

use super::close;
use super::error::within;
use crate::storage::{StorageError, StorageFile, StorageKind};

/// A file that is being written.
pub struct HdfsFile {
    pub(super) writer: FileWriter,
    pub(super) client: Client,
    pub(super) timeout: Duration,
    pub(super) path: String,
    pub(super) full: String,
    pub(super) written: u64,
}

impl StorageFile for HdfsFile {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        let length = bytes.len() as u64;
        within(
            self.timeout,
            "write",
            &self.path,
            self.writer.write_bytes(bytes),
        )
        .await?;
        self.written += length;
        Ok(())
    }

    async fn close(mut self) -> Result<(), StorageError> {
        let closing = close::close(&mut self.writer, &self.client, &self.full, self.written);
        within(self.timeout, "close", &self.path, closing).await?;
        // What the NameNode says counts, not what was sent.
        let status = within(
            self.timeout,
            "look at",
            &self.path,
            self.client.get_file_info(&self.full),
        )
        .await?;
        if status.length as u64 == self.written {
            return Ok(());
        }
        let problem = format!(
            "{} bytes after {} were written",
            status.length, self.written
        );
        Err(StorageError::new(
            StorageKind::Away,
            "close",
            &self.path,
            problem,
        ))
    }
}
