//! Follows a whole topic: what lies in it first, then what comes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::connect::{CompactedReader, ConnectError, ReadEvent, Record};
use crate::server::Health;

const AGAIN: Duration = Duration::from_secs(1);

/// The next offset to be read, by partition.
pub type Positions = BTreeMap<i32, i64>;

/// How far a topic has been read.
#[derive(Debug, Clone)]
pub struct Progress {
    positions: watch::Receiver<Positions>,
}

impl Progress {
    /// Completes when the record at `offset` has been read.
    pub async fn reached(&self, partition: i32, offset: i64) {
        let mut positions = self.positions.clone();
        let read = |p: &Positions| p.get(&partition).is_some_and(|next| *next > offset);
        if positions.wait_for(read).await.is_err() {
            // The follower has stopped for good, as the whole process is about to.
            std::future::pending::<()>().await;
        }
    }

    /// The next offset to be read of a partition.
    #[must_use]
    pub fn next_offset(&self, partition: i32) -> i64 {
        self.positions
            .borrow()
            .get(&partition)
            .copied()
            .unwrap_or(0)
    }
}

/// Starts to follow `topic`. `health` waits for it until all that lay there has been handed to `apply`.
/// After an error it starts over from the beginning, so `apply` must bear repetition.
pub fn follow(
    bootstrap: String,
    client_id: &'static str,
    topic: &'static str,
    health: Health,
    stop: CancellationToken,
    mut apply: impl FnMut(&Record) + Send + 'static,
) -> Progress {
    let (report, positions) = watch::channel(Positions::new());
    health.waiting(topic, "not read yet");
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = read(&bootstrap, client_id, topic, &health, &report, &mut apply) => ended,
            };
            if let Err(error) = ended {
                tracing::warn!(topic, %error, "reading starts over");
                if !health.is_ready() {
                    health.waiting(topic, error.to_string());
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    });
    Progress { positions }
}

async fn read(
    bootstrap: &str,
    client_id: &str,
    topic: &str,
    health: &Health,
    report: &watch::Sender<Positions>,
    apply: &mut (impl FnMut(&Record) + Send),
) -> Result<(), ConnectError> {
    let mut reader = CompactedReader::open(bootstrap, client_id, topic, None).await?;
    loop {
        match reader.next().await? {
            ReadEvent::Record(record) => {
                apply(&record);
                report.send_modify(|positions| {
                    let next = positions.entry(record.partition).or_insert(0);
                    // A reading that starts over must not go back: what was applied stays applied.
                    *next = (*next).max(record.offset + 1);
                });
            }
            ReadEvent::End => {
                tracing::info!(topic, "restored");
                health.ready(topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn progress_completes_when_the_offset_is_passed() {
        let (report, positions) = watch::channel(Positions::new());
        let progress = Progress { positions };
        assert_eq!(progress.next_offset(0), 0);
        let waiting = tokio::spawn({
            let progress = progress.clone();
            async move { progress.reached(0, 4).await }
        });
        report.send_modify(|p| {
            p.insert(0, 4);
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        report.send_modify(|p| {
            p.insert(0, 5);
        });
        waiting.await.unwrap();
        assert_eq!(progress.next_offset(0), 5);
    }
}
