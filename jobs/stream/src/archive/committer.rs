//! Brings an epoch to its end: steps `stage` to `settle`.

use std::sync::Arc;

use millrace_lake::commit::{Commit, Step};
use millrace_lake::layout::Source;
use millrace_lake::{LakeError, Storage};

use super::epoch::Epoch;
use super::partition::{Shared, backoff};

/// Commits one epoch of a partition.
pub struct Committer<S: Storage> {
    /// What all partitions share.
    pub shared: Arc<Shared<S>>,
    /// Which one it is.
    pub source: Source,
}

impl<S: Storage> Committer<S> {
    /// Returns when all is done. What may succeed later is tried again for as long as it takes.
    ///
    /// # Errors
    /// The files could not be closed, or another writer was first: nothing of the epoch counts.
    pub async fn commit(self, epoch: Epoch<S>) -> Result<(), LakeError> {
        if epoch.rows() == 0 {
            return Ok(());
        }
        let (since, staging) = (epoch.since(), epoch.staging());
        let halt = &self.shared.halt;
        let mut commit = match self.close(epoch).await {
            Ok(commit) => commit,
            Err(error) => {
                // What lies there will never count. If it cannot be removed now, it is later.
                if let Err(error) = self.shared.plan.storage.remove(&staging).await {
                    tracing::debug!(%error, "staging is removed later");
                }
                return Err(error);
            }
        };
        halt.reached(Step::Close).await;
        let part = format!("partition {}", self.source.partition);
        let mut failures = 0;
        while commit.step() != Step::Done {
            let step = commit.step();
            match commit.advance(&self.shared.plan.storage).await {
                Ok(_) => {
                    failures = 0;
                    if step == Step::Commit {
                        self.counted(&commit);
                    }
                    halt.reached(step).await;
                }
                Err(error) if error.is_retriable() => {
                    failures += 1;
                    self.shared.metrics.retry(step.name());
                    tracing::warn!(%error, %step, failures, "trying again");
                    self.shared
                        .health
                        .waiting(&part, format!("{step}: {error}"));
                    tokio::time::sleep(backoff(failures, self.shared.config.longest_wait.0)).await;
                }
                Err(error) => return Err(error),
            }
        }
        self.shared.health.ready(&part);
        if let Some(since) = since {
            self.shared
                .metrics
                .commit
                .observe(since.elapsed().as_secs_f64());
        }
        Ok(())
    }

    fn counted(&self, commit: &Commit) {
        let (metrics, record) = (&self.shared.metrics, commit.record());
        metrics.records.inc_by(record.content.rows);
        metrics.commits.inc();
        metrics.files.inc_by(record.files.len() as u64);
        metrics
            .bytes
            .inc_by(record.files.iter().map(|file| file.bytes).sum());
        metrics.archived(record.partition, record.end_offset);
        self.shared
            .positions
            .archived(record.partition, record.end_offset);
        tracing::info!(
            partition = record.partition,
            from = record.start_offset,
            to = record.end_offset,
            rows = record.content.rows,
            files = record.files.len(),
            "committed"
        );
    }

    async fn close(&self, mut epoch: Epoch<S>) -> Result<Commit, LakeError> {
        epoch.stage().await?;
        self.shared.halt.reached(Step::Stage).await;
        epoch.close().await
    }
}
