//! Follows a whole topic: what lies in it first, then what comes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::connect::{Access, CompactedReader, ConnectError, Lookup, ReadEvent, Record};
use crate::server::Health;

const AGAIN: Duration = Duration::from_secs(1);
/// How often the number of partitions is looked at.
const PARTITIONS_EVERY: Duration = Duration::from_secs(10);
/// How long is waited for what another replica wrote, before it is asked whether anything is there to wait for.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long is waited for it in all.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The next offset to be read, by partition.
pub type Positions = BTreeMap<i32, i64>;

/// Why what lies in a topic is not all known here.
#[derive(Debug, thiserror::Error)]
pub enum ReadUpError {
    /// The brokers do not answer.
    #[error(transparent)]
    Kafka(#[from] ConnectError),
    /// This replica lags.
    #[error(
        "topic {topic} partition {partition}: not read to its end in {} s; try again", CATCH_UP.as_secs()
    )]
    Behind {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
}

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

    /// Waits until what lies in the topic now has been read.
    ///
    /// # Errors
    /// The brokers do not answer, or this replica does not come to the end in time.
    pub async fn read_up(&self, lookup: &Lookup, topic: &str) -> Result<(), ReadUpError> {
        for partition in 0..lookup.partition_count(topic).await? {
            let (first, end) = lookup.watermarks(topic, partition).await?;
            if end > first {
                self.read_to(lookup, topic, partition, end).await?;
            }
        }
        Ok(())
    }

    async fn read_to(
        &self,
        lookup: &Lookup,
        topic: &str,
        partition: i32,
        end: i64,
    ) -> Result<(), ReadUpError> {
        let until = Instant::now() + CATCH_UP;
        while self.next_offset(partition) < end {
            let reached = self.reached(partition, end - 1);
            if tokio::time::timeout(LOOK_AGAIN, reached).await.is_ok() {
                break;
            }
            // What compaction removed at the very end is never read, and so is not waited for.
            let next = self.next_offset(partition);
            let left = lookup.next_record(topic, partition, next).await?;
            if left.is_none_or(|offset| offset >= end) {
                break;
            }
            if Instant::now() > until {
                return Err(ReadUpError::Behind {
                    topic: topic.to_owned(),
                    partition,
                });
            }
        }
        Ok(())
    }

    /// The next offset to be read of a partition.
    #[must_use]
    pub fn next_offset(&self, partition: i32) -> i64 {
        next_of(&self.positions.borrow(), partition)
    }
}

/// What a follower needs of the process.
#[derive(Clone)]
pub struct Surroundings {
    /// Where Kafka is and how to log in.
    pub access: Access,
    /// The name that the broker's log shows.
    pub client_id: &'static str,
    /// Questions about the topic.
    pub lookup: Lookup,
    /// Waits until all is read.
    pub health: Health,
    /// Ends the following.
    pub stop: CancellationToken,
}

enum Ended {
    /// The topic has more partitions now.
    Grown,
}

/// Starts to follow `topic`. The health waits for it until all that lay there has been handed to `apply`.
/// Each record is handed over once, in the order of its partition, also after an error; partitions that are
/// added are followed too.
pub fn follow(
    around: Surroundings,
    topic: &'static str,
    apply: impl FnMut(&Record) + Send + 'static,
) -> Progress {
    spawn(around, topic, false, apply)
}

/// The same without what lies there now: for those whom only what comes concerns.
pub fn follow_from_now(
    around: Surroundings,
    topic: &'static str,
    apply: impl FnMut(&Record) + Send + 'static,
) -> Progress {
    spawn(around, topic, true, apply)
}

fn spawn(
    around: Surroundings,
    topic: &'static str,
    from_now: bool,
    mut apply: impl FnMut(&Record) + Send + 'static,
) -> Progress {
    let (report, positions) = watch::channel(Positions::new());
    around.health.waiting(topic, "not read yet");
    tokio::spawn(async move {
        let mut pass_over = from_now;
        while !around.stop.is_cancelled() {
            let ended = tokio::select! {
                () = around.stop.cancelled() => return,
                ended = read(&around, topic, &report, &mut pass_over, &mut apply) => ended,
            };
            match ended {
                Ok(Ended::Grown) => {
                    tracing::info!(topic, "partitions were added; they are read too");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(topic, %error, "reading starts over");
                    if !around.health.is_ready() {
                        around.health.waiting(topic, error.to_string());
                    }
                }
            }
            tokio::select! {
                () = around.stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    });
    Progress { positions }
}

async fn read(
    around: &Surroundings,
    topic: &str,
    report: &watch::Sender<Positions>,
    pass_over: &mut bool,
    apply: &mut (impl FnMut(&Record) + Send),
) -> Result<Ended, ConnectError> {
    let count = around.lookup.partition_count(topic).await?;
    if *pass_over {
        let ends = around.lookup.ends(topic, (0..count).collect()).await?;
        report.send_modify(|positions| *positions = ends.into_iter().collect());
        // Partitions that are added later are read whole: what lies there came after this.
        *pass_over = false;
    }
    forget_what_is_gone(around, topic, report).await?;
    let starts = starts(&report.borrow(), count);
    let mut reader =
        CompactedReader::open(&around.access, around.client_id, topic, Some(&starts)).await?;
    let mut look = tokio::time::interval(PARTITIONS_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.reset();
    loop {
        let event = tokio::select! {
            event = reader.next() => event?,
            _ = look.tick() => match around.lookup.partition_count(topic).await {
                Ok(now) if now > count => return Ok(Ended::Grown),
                Ok(_) => continue,
                Err(error) => {
                    tracing::debug!(topic, %error, "the number of partitions is asked for again");
                    continue;
                }
            },
        };
        match event {
            ReadEvent::Record(record) => {
                // What was applied stays applied: applied again, it would undo what came after it.
                if next_of(&report.borrow(), record.partition) > record.offset {
                    continue;
                }
                apply(&record);
                report.send_modify(|positions| {
                    positions.insert(record.partition, record.offset + 1);
                });
            }
            ReadEvent::End => {
                tracing::info!(topic, "restored");
                around.health.ready(topic);
            }
        }
    }
}

/// Where each partition is read from: after what was read of it, else from its beginning.
fn starts(positions: &Positions, count: i32) -> Vec<(i32, Option<i64>)> {
    (0..count)
        .map(|partition| (partition, positions.get(&partition).copied()))
        .collect()
}

// A topic that was deleted and made again begins with offset 0: what was read of the former one says nothing.
async fn forget_what_is_gone(
    around: &Surroundings,
    topic: &str,
    report: &watch::Sender<Positions>,
) -> Result<(), ConnectError> {
    let read = report.borrow().clone();
    for (partition, next) in read {
        let (_, end) = around.lookup.watermarks(topic, partition).await?;
        if end < next {
            tracing::warn!(topic, partition, end, next, "the topic was made anew");
            report.send_modify(|positions| {
                positions.remove(&partition);
            });
        }
    }
    Ok(())
}

fn next_of(positions: &Positions, partition: i32) -> i64 {
    positions.get(&partition).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_goes_on_where_it_was_and_new_partitions_are_read_whole() {
        let positions = Positions::from([(0, 7), (1, 0)]);
        assert_eq!(
            starts(&positions, 3),
            [(0, Some(7)), (1, Some(0)), (2, None)]
        );
    }

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
