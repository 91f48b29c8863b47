//! Pieces of a partition, read by offset.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::access::Access;
use super::client::{self, Watched};
use super::error::ConnectError;
use super::lookup::watermarks;
use super::record::Incoming;

/// Reads pieces of partitions, committed records only. Clones share one client; one piece at a time.
#[derive(Clone)]
pub struct SpanReader {
    inner: Arc<Mutex<Made>>,
    access: Access,
    client_id: Arc<str>,
}

struct Made {
    consumer: BaseConsumer<Watched>,
    generation: u64,
}

fn made(access: &Access, client_id: &str) -> Result<Made, ConnectError> {
    let generation = access.generation();
    let consumer = client::make(&client::reader(access, client_id), access)?;
    Ok(Made {
        consumer,
        generation,
    })
}

impl SpanReader {
    /// Makes the client. It connects in the background.
    ///
    /// # Errors
    /// The settings are not usable.
    pub fn new(access: impl Into<Access>, client_id: &str) -> Result<Self, ConnectError> {
        let access = access.into();
        Ok(Self {
            inner: Arc::new(Mutex::new(made(&access, client_id)?)),
            access,
            client_id: client_id.into(),
        })
    }

    /// What `take` makes of each record whose offset lies in `span`, in order; only what is there: the
    /// broker may have removed some of it, or all.
    ///
    /// # Errors
    /// The partition does not exist, or no broker answers in 10 s.
    pub async fn read<T: Send + 'static>(
        &self,
        topic: &str,
        partition: i32,
        span: Range<i64>,
        take: impl FnMut(&Incoming<'_>) -> T + Send + 'static,
    ) -> Result<Vec<T>, ConnectError> {
        let (inner, topic) = (Arc::clone(&self.inner), topic.to_owned());
        let (access, client_id) = (self.access.clone(), Arc::clone(&self.client_id));
        tokio::task::spawn_blocking(move || {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.generation != access.generation() {
                *inner = made(&access, &client_id)?;
            }
            let consumer = &inner.consumer;
            let found = read(consumer, &topic, partition, span, take);
            let doing = || format!("topic {topic} partition {partition}");
            let left = consumer
                .unassign()
                .map_err(|e| ConnectError::request(doing(), e));
            found.and_then(|found| left.map(|()| found))
        })
        .await
        .map_err(|_| ConnectError::Ended {
            doing: "reading of a piece of a partition".to_owned(),
        })?
    }
}

fn read<T>(
    consumer: &BaseConsumer<Watched>,
    topic: &str,
    partition: i32,
    span: Range<i64>,
    mut take: impl FnMut(&Incoming<'_>) -> T,
) -> Result<Vec<T>, ConnectError> {
    let doing = || format!("topic {topic} partition {partition}");
    let (first, end) = watermarks(consumer, topic, partition)?;
    let (from, to) = (span.start.max(first), span.end.min(end));
    let mut found = Vec::new();
    if from >= to {
        return Ok(found);
    }
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition, Offset::Offset(from))
        .map_err(|e| ConnectError::request(doing(), e))?;
    consumer
        .assign(&list)
        .map_err(|e| ConnectError::request(doing(), e))?;
    let mut until = Instant::now() + client::ANSWER;
    loop {
        match consumer.poll(client::ANSWER / 20) {
            Some(Ok(message)) => {
                until = Instant::now() + client::ANSWER;
                let record = Incoming::from(message);
                let offset = record.offset();
                if (from..to).contains(&offset) {
                    found.push(take(&record));
                }
                if offset + 1 >= to {
                    return Ok(found);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(found),
            Some(Err(source)) => {
                let error = ConnectError::request(doing(), source);
                if !error.is_retriable() || Instant::now() > until {
                    return Err(error);
                }
            }
            None if Instant::now() > until => {
                return Err(ConnectError::request(
                    doing(),
                    KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut),
                ));
            }
            None => {}
        }
    }
}
