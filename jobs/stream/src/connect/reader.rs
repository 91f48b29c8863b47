//! Whole topics without a group.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::access::Access;
use super::client::{self, Watched};
use super::error::ConnectError;
use super::group::offsets;
use super::lookup::{ends, partition_count};
use super::record::{Incoming, Record};

/// What a reader of a whole topic sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadEvent {
    /// The next record.
    Record(Record),
    /// All that lay in the topic at the start has been read. Comes once.
    End,
}

/// Reads a topic, committed records only, tells when all that lay there has been read, and then follows it.
pub struct CompactedReader {
    inner: StreamConsumer<Watched>,
    access: Access,
    generation: u64,
    topic: String,
    behind: BTreeSet<i32>,
    end_told: bool,
}

impl CompactedReader {
    /// Starts to read these partitions of a topic, each at its offset, or at its beginning where there is none. Without any
    /// all of them are read from their beginning.
    ///
    /// # Errors
    /// The topic does not exist, or the brokers do not answer.
    pub async fn open(
        access: impl Into<Access>,
        client_id: &str,
        topic: &str,
        starts: Option<&[(i32, Option<i64>)]>,
    ) -> Result<Self, ConnectError> {
        let access = access.into();
        let generation = access.generation();
        let (config, name, given) = (
            client::reader(&access, client_id),
            topic.to_owned(),
            starts.map(<[(i32, Option<i64>)]>::to_vec),
        );
        let open = move || {
            let inner: StreamConsumer<Watched> = client::make(&config, &access)?;
            let starts = match given {
                Some(given) => given,
                None => (0..partition_count(inner.client(), &name)?)
                    .map(|partition| (partition, None))
                    .collect(),
            };
            inner
                .assign(&offsets(&name, starts.iter().copied())?)
                .map_err(|e| ConnectError::request(format!("topic {name}"), e))?;
            Ok(Self {
                inner,
                access,
                generation,
                topic: name,
                behind: starts.into_iter().map(|(partition, _)| partition).collect(),
                end_told: false,
            })
        };
        tokio::task::spawn_blocking(open)
            .await
            .map_err(|_| ConnectError::Ended {
                doing: format!("topic {topic}"),
            })?
    }

    /// The next record or the end. A broker that is away is waited for. Safe to cancel.
    ///
    /// # Errors
    /// Those that another try does not cure, and a login that has changed: then the reader must be opened anew.
    pub async fn next(&mut self) -> Result<ReadEvent, ConnectError> {
        loop {
            if self.behind.is_empty() && !self.end_told {
                self.end_told = true;
                return Ok(ReadEvent::End);
            }
            let received = tokio::select! {
                received = self.inner.recv() => received,
                () = self.access.changed(self.generation) => {
                    return Err(ConnectError::LoginChanged);
                }
            };
            match received {
                Ok(message) => return Ok(ReadEvent::Record(Incoming::from(message).to_record())),
                Err(KafkaError::PartitionEOF(partition)) => {
                    self.behind.remove(&partition);
                }
                Err(source) => {
                    let error = ConnectError::request(format!("topic {}", self.topic), source);
                    if !error.is_retriable() {
                        return Err(error);
                    }
                    tracing::debug!(%error, "still reading");
                }
            }
        }
    }
}

/// Reads partitions of a topic up to where they end now, and waits for the transactions that are open
/// there now: afterwards no record written so far can become visible any more. Blocking.
///
/// `meanwhile` is called at least every 100 ms or so; when it breaks, the reading ends and gives `false`.
///
/// # Errors
/// The topic does not exist, or another error that another try does not cure.
pub fn read_to_end(
    access: impl Into<Access>,
    client_id: &str,
    topic: &str,
    partitions: &[i32],
    mut record: impl FnMut(&Incoming<'_>),
    mut meanwhile: impl FnMut() -> ControlFlow<()>,
) -> Result<bool, ConnectError> {
    if partitions.is_empty() {
        return Ok(true);
    }
    let access = access.into();
    let make = |config: rdkafka::ClientConfig| -> Result<BaseConsumer<Watched>, ConnectError> {
        client::make(&config, &access)
    };
    // The true end, with what is not committed yet.
    let written = {
        let mut config = client::reader(&access, client_id);
        config.set("isolation.level", "read_uncommitted");
        ends(&make(config)?, topic, partitions)?
    };
    let consumer = make(client::reader(&access, client_id))?;
    let mut pending: Vec<(i32, i64)> = written;
    while !pending.is_empty() {
        let asked: Vec<i32> = pending.iter().map(|(p, _)| *p).collect();
        let stable = ends(&consumer, topic, &asked)?;
        pending.retain(|(p, end)| stable.iter().any(|(q, at)| p == q && at < end));
        if meanwhile().is_break() {
            return Ok(false);
        }
        if !pending.is_empty() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    consumer
        .assign(&offsets(topic, partitions.iter().map(|p| (*p, None)))?)
        .map_err(|e| ConnectError::request(format!("topic {topic}"), e))?;
    let mut behind: BTreeSet<i32> = partitions.iter().copied().collect();
    let mut seen = Instant::now();
    while !behind.is_empty() {
        match consumer.poll(Duration::from_millis(50)) {
            Some(Ok(message)) => record(&Incoming::from(message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                behind.remove(&partition);
            }
            Some(Err(source)) => {
                let unknown =
                    source.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition);
                let error = ConnectError::request(format!("topic {topic}"), source);
                if unknown || !error.is_retriable() {
                    return Err(error);
                }
                tracing::debug!(%error, "still reading");
            }
            None => {}
        }
        if seen.elapsed() >= Duration::from_millis(50) {
            seen = Instant::now();
            if meanwhile().is_break() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
