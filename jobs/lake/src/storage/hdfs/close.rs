//! Ends a file without the client's long wait.
//!
//! The client asks the NameNode whether a file is complete as soon as the DataNode has confirmed its last block. That is mostly
//! before the DataNode has told the NameNode of it, some milliseconds later; and after a refusal the client waits for half a
//! second. Here that wait is cut short and the question asked again.

use std::pin::pin;
use std::time::Duration;

use hdfs_native::file::FileWriter;
use hdfs_native::{Client, HdfsError, Result};

/// The first wait before another question.
const SOON: Duration = Duration::from_millis(10);
/// The longest wait until the NameNode is asked about the last block again.
const LATE: Duration = Duration::from_millis(500);

/// Closes `path`, into which `written` bytes were written.
///
/// The client's own call is given up only in its wait: when the NameNode has taken the last block's length, which the client's
/// first question brings it. The client's next call is the question alone. Should the NameNode know that length from
/// elsewhere (a pipeline of DataNodes that was mended at the very end), the file never becomes complete: an error in the end, as
/// of any file that cannot be closed. The caller compares the length of what is closed.
pub(super) async fn close(
    writer: &mut FileWriter,
    client: &Client,
    path: &str,
    written: u64,
) -> Result<()> {
    // Without bytes there is no block to wait for.
    if written == 0 {
        return writer.close().await;
    }
    {
        let closing = pin!(writer.close());
        let asked = pin!(asked(client, path, written));
        tokio::select! {
            biased;
            done = closing => return done,
            () = asked => {}
        }
    }
    let mut wait = SOON;
    loop {
        match tokio::time::timeout(wait, writer.close()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => return closed(client, path, error).await,
            // Longer each time, so that an answer that takes its time comes through.
            Err(_) => wait *= 2,
        }
    }
}

// Returns when the NameNode has been told the length of the last block, and had the time to answer.
async fn asked(client: &Client, path: &str, written: u64) {
    let mut wait = SOON;
    loop {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LATE);
        // That it cannot be reached is told by the client's own call.
        let status = client.get_file_info(path).await;
        if status.is_ok_and(|status| status.length as u64 == written) {
            tokio::time::sleep(SOON).await;
            return;
        }
    }
}

// A question that was given up may have completed the file all the same: then the next one is refused.
async fn closed(client: &Client, path: &str, error: HdfsError) -> Result<()> {
    // All blocks have their lengths, so that this recovers nothing: it tells whether the file is closed, or closes it.
    match client.recover_lease(path).await {
        Ok(true) => Ok(()),
        _ => Err(error),
    }
}
