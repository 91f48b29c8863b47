//! One partition: finds where it goes on, takes records in, commits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_lake::commit;
use millrace_lake::layout::Source;
use millrace_lake::record::Offsets;
use millrace_lake::{LakeError, Storage};
use tokio::sync::mpsc::UnboundedReceiver;

use super::ArchiveConfig;
use super::before::Before;
use super::chunk::Chunk;
use super::committer::Committer;
use super::epoch::{Epoch, Plan};
use super::halt::Halt;
use super::metrics::Metrics;
use super::positions::Positions;
use super::tries::Tries;
use crate::connect::{ConnectError, Lookup};
use crate::server::Health;

/// So many offsets that are passed over are the mark of a transaction; of more Kafka is asked.
pub const MARKS: i64 = 1;
/// So long the first offset that Kafka still has is not asked for again: transactions that were given up, and topics that are
/// compacted, pass offsets over all the time. Kafka removes whole segments, minutes apart; what it removes within this time
/// of such a question, and before it is read, is taken for marks.
const KEPT: Duration = Duration::from_secs(1);

/// What the thread that polls says.
pub enum Order {
    /// Records.
    Chunk(Chunk),
    /// Commit what there is, and end.
    Finish,
}

/// Everything that a partition needs; shared by all of them.
pub struct Shared<S> {
    /// Where files go.
    pub plan: Arc<Plan<S>>,
    /// The configuration.
    pub config: ArchiveConfig,
    /// Answers questions about the topic.
    pub lookup: Lookup,
    /// Where each partition is read.
    pub positions: Positions,
    /// What is measured.
    pub metrics: Metrics,
    /// What is told of readiness.
    pub health: Health,
    /// Where a test wants the process to stand still.
    pub halt: Halt,
}

/// Why an epoch came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Kafka(#[from] ConnectError),
    #[error(
        "partition {partition}: Kafka ends at offset {end}, and {archived} is the next to be archived: the topic was \
         made anew; name another dataset, or restore the topic"
    )]
    MadeAnew {
        partition: i32,
        end: i64,
        archived: i64,
    },
    #[error("partition {partition}: offset {offset} came again; {next} was the next")]
    Backwards {
        partition: i32,
        offset: i64,
        next: i64,
    },
}

/// The task of one partition.
pub struct Partition<S: Storage> {
    /// What all share.
    pub shared: Arc<Shared<S>>,
    /// Which one it is.
    pub source: Source,
    /// What the thread that polls says.
    pub orders: UnboundedReceiver<Order>,
}

impl<S: Storage + 'static> Partition<S> {
    /// Runs until it is told to finish, or nobody is left who could.
    pub async fn run(mut self) {
        let mut tries = Tries::default();
        loop {
            match self.session(&mut tries).await {
                Ok(()) => break,
                Err(failure) => {
                    tries.failed();
                    self.told(&failure);
                    // Not read meanwhile: what it would give is read again.
                    self.shared.positions.hold(self.source.partition);
                    if self.waits(tries.failures()).await {
                        break;
                    }
                }
            }
        }
        self.shared.health.ready(&self.part());
    }

    fn part(&self) -> String {
        format!("partition {}", self.source.partition)
    }

    fn told(&self, failure: &Failure) {
        let metrics = &self.shared.metrics;
        if let Failure::Lake(LakeError::Fenced { .. }) = failure {
            metrics.fenced.inc();
            tracing::warn!(error = %failure, "another writer was first; reading again from where it ended");
        } else {
            metrics.retry("epoch");
            tracing::error!(error = %failure, partition = self.source.partition, "what was not committed is read again");
            self.shared
                .health
                .waiting(&self.part(), failure.to_string());
        }
    }

    // Waits before another try. True when it was told to finish.
    async fn waits(&mut self, failures: u32) -> bool {
        let until =
            tokio::time::Instant::now() + backoff(failures, self.shared.config.longest_wait.0);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return false,
                order = self.orders.recv() => match order {
                    // Read before the failure.
                    Some(Order::Chunk(_)) => {}
                    Some(Order::Finish) | None => return true,
                },
            }
        }
    }

    // From the last commit on, until it is told to finish.
    async fn session(&mut self, tries: &mut Tries) -> Result<(), Failure> {
        let partition = self.source.partition;
        let (start, missing) = self.resume().await?;
        let mut epoch = self.begin(start, missing);
        let generation = self.shared.positions.ready(partition, epoch.next());
        // That the lake can be read again does not say that it can be written.
        if tries.owe_nothing_from(epoch.next()) {
            self.shared.health.ready(&self.part());
        }
        let mut low = None;
        // HDFS takes its time for a commit: meanwhile the next epoch is taken in. It is committed only after that.
        let mut before = Before::default();
        loop {
            let due = epoch
                .since()
                .map(|since| since + self.shared.config.roll_interval.0);
            let (mut finish, there) = (false, before.is_there());
            let taken = tokio::select! {
                done = before.ended(), if there => done.map_err(Failure::from),
                order = self.orders.recv() => match order {
                    Some(Order::Chunk(chunk)) if chunk.generation == generation => {
                        before.beside(self.take(&mut epoch, &chunk, &mut low)).await
                    }
                    // Read before a failure.
                    Some(Order::Chunk(_)) => Ok(()),
                    Some(Order::Finish) => {
                        finish = true;
                        Ok(())
                    }
                    None => return Ok(()),
                },
                // The epoch is old enough.
                () = sleep_until(due) => Ok(()),
            };
            // After a failure what was read before is committed at once: only a commit tells that all is well.
            let owed = !before.is_there() && tries.are_due(epoch.rows(), epoch.next());
            if taken.is_err() || finish || owed || self.is_due(&epoch) {
                // What goes wrong with the next one does not end a commit, which is repeated until it is done.
                let ended = before.ended().await;
                if let Err(failure) = ended.map_err(Failure::from).and(taken) {
                    tries.read_to(epoch.next());
                    self.give_up(epoch).await;
                    return Err(failure);
                }
                let end = epoch.next();
                tries.read_to(end);
                before.begin(epoch.oldest(), self.committer().commit(epoch));
                if finish {
                    return Ok(before.ended().await?);
                }
                epoch = self.begin(end, None);
            }
            if before.has_succeeded() {
                tries.succeeded();
            }
            let oldest = before.oldest().or(epoch.oldest());
            self.shared.metrics.oldest(partition, oldest);
        }
    }

    fn committer(&self) -> Committer<S> {
        Committer {
            shared: Arc::clone(&self.shared),
            source: self.source.clone(),
        }
    }

    // What lies there will never count. If it cannot be removed now, it is later.
    async fn give_up(&self, epoch: Epoch<S>) {
        let staging = epoch.staging();
        drop(epoch);
        if let Err(error) = self.shared.plan.storage.remove(&staging).await {
            tracing::debug!(%error, "staging is removed later");
        }
    }

    fn begin(&self, start: i64, missing: Option<Offsets>) -> Epoch<S> {
        Epoch::new(
            Arc::clone(&self.shared.plan),
            self.source.clone(),
            start,
            missing,
        )
    }

    fn is_due(&self, epoch: &Epoch<S>) -> bool {
        let config = &self.shared.config;
        let old = epoch
            .since()
            .is_some_and(|since| since.elapsed() >= config.roll_interval.0);
        epoch.rows() > 0
            && (old || epoch.size() >= config.roll_bytes || epoch.hours() > config.roll_hours)
    }

    // Where the chain of commits ends, and what Kafka no longer has from there on.
    async fn resume(&self) -> Result<(i64, Option<Offsets>), Failure> {
        let shared = &self.shared;
        let partition = self.source.partition;
        let plan = &shared.plan;
        let resume = commit::resume(&plan.storage, &plan.layout, &self.source).await?;
        if resume.published > 0 {
            tracing::info!(
                partition,
                files = resume.published,
                "files of the last commit got their names"
            );
        }
        let (first, end) = shared
            .lookup
            .watermarks(&self.source.topic, partition)
            .await?;
        let Some(archived) = resume.offset else {
            tracing::info!(partition, offset = first, "nothing is archived yet");
            return Ok((first, None));
        };
        if archived > end {
            return Err(Failure::MadeAnew {
                partition,
                end,
                archived,
            });
        }
        shared.metrics.archived(partition, archived);
        // Whoever committed that may have been killed before the group was told.
        shared.positions.archived(partition, archived);
        tracing::info!(
            partition,
            offset = archived,
            "goes on after the last commit"
        );
        let missing = (first > archived).then_some(Offsets {
            from: archived,
            to: first,
        });
        if let Some(missing) = missing {
            self.lost(missing);
        }
        Ok((archived, missing))
    }

    fn lost(&self, missing: Offsets) {
        let records = u64::try_from(missing.to - missing.from).unwrap_or(0);
        self.shared.metrics.missing.inc_by(records);
        tracing::error!(
            partition = self.source.partition,
            from = missing.from,
            to = missing.to,
            "Kafka has removed records before they were archived; give the topic a longer retention"
        );
    }

    // The first offset that Kafka still has, or had when it was asked, with the time of that.
    async fn low(&self, known: &mut Option<(Instant, i64)>) -> Result<i64, Failure> {
        if let Some((at, low)) = *known
            && at.elapsed() < KEPT
        {
            return Ok(low);
        }
        let (at, source) = (Instant::now(), &self.source);
        let lookup = &self.shared.lookup;
        let (low, _) = lookup.watermarks(&source.topic, source.partition).await?;
        *known = Some((at, low));
        Ok(low)
    }

    // Step `stage`.
    async fn take(
        &self,
        epoch: &mut Epoch<S>,
        chunk: &Chunk,
        low: &mut Option<(Instant, i64)>,
    ) -> Result<(), Failure> {
        let Some(first) = chunk.records().next() else {
            return Ok(());
        };
        let (partition, next) = (self.source.partition, epoch.next());
        if first.offset < next {
            return Err(Failure::Backwards {
                partition,
                offset: first.offset,
                next,
            });
        }
        if first.offset - next > MARKS
            && let Some(missing) = removed(next, first.offset, self.low(low).await?)
        {
            self.lost(missing);
            epoch.lost(missing);
        }
        let (rows, unreadable) = (epoch.rows(), epoch.unreadable());
        epoch.take(chunk.records()).await?;
        let metrics = &self.shared.metrics;
        metrics.taken.inc_by(epoch.rows() - rows);
        metrics.unreadable.inc_by(epoch.unreadable() - unreadable);
        Ok(())
    }
}

// What Kafka no longer has of the offsets from `next` up to before `first`, when `low` is the first that it has.
fn removed(next: i64, first: i64, low: i64) -> Option<Offsets> {
    (low > next).then_some(Offsets {
        from: next,
        to: low.min(first),
    })
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Doubles from a quarter of a second on.
pub fn backoff(failures: u32, longest: Duration) -> Duration {
    let factor = 1_u32 << failures.saturating_sub(1).min(16);
    (Duration::from_millis(250) * factor).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_over_is_missing_as_far_as_kafka_has_removed_it() {
        assert_eq!(removed(10, 13, 0), None);
        assert_eq!(removed(10, 13, 10), None);
        assert_eq!(removed(10, 13, 13), Some(Offsets { from: 10, to: 13 }));
        // Removed, and then marks.
        assert_eq!(removed(10, 40, 25), Some(Offsets { from: 10, to: 25 }));
        // More was removed since the record was read.
        assert_eq!(removed(10, 40, 90), Some(Offsets { from: 10, to: 40 }));
    }
}
