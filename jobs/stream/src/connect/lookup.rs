//! Questions about topics and groups.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::access::Access;
use super::client::{self, Watched};
use super::error::ConnectError;
use super::group::committed;
use crate::server::Health;

/// Answers questions about topics and groups. Clones share their clients.
#[derive(Clone)]
pub struct Lookup {
    // Exchanged when the login changes; questions under way go on with the former one.
    shared: Arc<ArcSwap<Shared>>,
}

struct Shared {
    access: Access,
    generation: u64,
    client_id: String,
    // Also moved about to see whether a record follows: hence one question at a time.
    reader: Mutex<BaseConsumer<Watched>>,
    // Sees records of open transactions too; never assigned anything.
    written: BaseConsumer<Watched>,
    // A client each, since the library binds a client to its group.
    groups: Mutex<HashMap<String, Arc<BaseConsumer<Watched>>>>,
}

impl Lookup {
    /// Makes the client. It connects in the background.
    ///
    /// # Errors
    /// The settings are not usable.
    pub fn new(access: impl Into<Access>, client_id: &str) -> Result<Self, ConnectError> {
        let shared = Shared::new(&access.into(), client_id)?;
        Ok(Self {
            shared: Arc::new(ArcSwap::from_pointee(shared)),
        })
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// The topic does not exist, or no broker answers in 10 s.
    pub async fn partition_count(&self, topic: &str) -> Result<i32, ConnectError> {
        let topic = topic.to_owned();
        self.ask(move |s| partition_count(s.lock().client(), &topic))
            .await
    }

    /// Waits until all topics are there, telling `health` under the name `part` what is waited for: whoever applies
    /// everything at once sees topics come up late, and that is no reason to crash. Gives false when stopped.
    pub async fn wait_for(
        &self,
        topics: &[&str],
        health: &Health,
        part: &str,
        stop: &CancellationToken,
    ) -> bool {
        let mut told = String::new();
        loop {
            let mut problem = None;
            for topic in topics {
                if let Err(error) = self.partition_count(topic).await {
                    problem = Some(error.to_string());
                    break;
                }
            }
            let Some(problem) = problem else {
                health.ready(part);
                return true;
            };
            if problem != told {
                tracing::warn!(problem, "waiting for topics");
                told.clone_from(&problem);
            }
            health.waiting(part, problem);
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    /// The first offset and the offset after the last committed record of a partition.
    ///
    /// # Errors
    /// The partition does not exist, or no broker answers in 10 s.
    pub async fn watermarks(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<(i64, i64), ConnectError> {
        let topic = topic.to_owned();
        self.ask(move |s| watermarks(&s.lock(), &topic, partition))
            .await
    }

    /// The offset after the last committed record of each of these partitions.
    ///
    /// # Errors
    /// One of them does not exist, or no broker answers in 10 s.
    pub async fn ends(
        &self,
        topic: &str,
        partitions: Vec<i32>,
    ) -> Result<Vec<(i32, i64)>, ConnectError> {
        let topic = topic.to_owned();
        self.ask(move |s| ends(&s.lock(), &topic, &partitions))
            .await
    }

    /// The offset after the last record of a partition, whether committed or not. Higher than the end that
    /// [`Lookup::watermarks`] gives while a transaction is open.
    ///
    /// # Errors
    /// The partition does not exist, or no broker answers in 10 s.
    pub async fn written(&self, topic: &str, partition: i32) -> Result<i64, ConnectError> {
        let topic = topic.to_owned();
        self.ask(move |s| Ok(watermarks(&s.written, &topic, partition)?.1))
            .await
    }

    /// The offsets of the next records that a group will read, none where it has not read yet.
    ///
    /// # Errors
    /// The topic does not exist, or the coordinator does not answer in 10 s.
    pub async fn committed(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<Vec<(i32, Option<i64>)>, ConnectError> {
        let (group, topic) = (group.to_owned(), topic.to_owned());
        self.ask(move |s| {
            let partitions: Vec<i32> = (0..partition_count(s.lock().client(), &topic)?).collect();
            committed(&*s.group(&group)?, &topic, &partitions)
        })
        .await
    }

    /// Whether a committed record lies at `offset` or behind it. Transactions leave marks at the end of a
    /// partition that count as offsets but are no records, so the offsets alone cannot tell.
    ///
    /// # Errors
    /// The partition does not exist, or no broker answers in 10 s.
    pub async fn has_record_at_or_after(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<bool, ConnectError> {
        let next = self.next_record(topic, partition, offset).await?;
        Ok(next.is_some())
    }

    /// The offset of the first committed record at `offset` or behind it, if there is one.
    ///
    /// # Errors
    /// The partition does not exist, or no broker answers in 10 s.
    pub async fn next_record(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Option<i64>, ConnectError> {
        let topic = topic.to_owned();
        self.ask(move |s| next_record(&s.lock(), &topic, partition, offset))
            .await
    }

    fn current(&self) -> Result<Arc<Shared>, ConnectError> {
        let shared = self.shared.load_full();
        if shared.generation == shared.access.generation() {
            return Ok(shared);
        }
        // Two at once make one too many, which does no harm.
        let anew = Arc::new(Shared::new(&shared.access, &shared.client_id)?);
        self.shared.store(Arc::clone(&anew));
        Ok(anew)
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Shared) -> Result<T, ConnectError> + Send + 'static,
    ) -> Result<T, ConnectError> {
        let shared = self.current()?;
        tokio::task::spawn_blocking(move || question(&shared))
            .await
            .map_err(|_| ConnectError::Ended {
                doing: "question to Kafka".to_owned(),
            })?
    }
}

impl Shared {
    fn new(access: &Access, client_id: &str) -> Result<Self, ConnectError> {
        let generation = access.generation();
        let mut config = client::reader(access, client_id);
        let reader = client::make(&config, access)?;
        config.set("isolation.level", "read_uncommitted");
        Ok(Self {
            access: access.clone(),
            generation,
            client_id: client_id.to_owned(),
            reader: Mutex::new(reader),
            written: client::make(&config, access)?,
            groups: Mutex::default(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BaseConsumer<Watched>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn group(&self, group: &str) -> Result<Arc<BaseConsumer<Watched>>, ConnectError> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(consumer) = groups.get(group) {
            return Ok(Arc::clone(consumer));
        }
        let config = client::consumer(&self.access, &self.client_id, Some(group));
        let consumer = Arc::new(client::make(&config, &self.access)?);
        groups.insert(group.to_owned(), Arc::clone(&consumer));
        Ok(consumer)
    }
}

pub(super) fn partition_count<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
) -> Result<i32, ConnectError> {
    let doing = || format!("topic {topic}");
    let metadata = client
        .fetch_metadata(Some(topic), client::ANSWER)
        .map_err(|e| ConnectError::request(doing(), e))?;
    let found = metadata.topics().iter().find(|t| t.name() == topic);
    match found {
        Some(found) => match found.error().map(RDKafkaErrorCode::from) {
            None if !found.partitions().is_empty() => i32::try_from(found.partitions().len())
                .map_err(|_| ConnectError::Ended { doing: doing() }),
            None
            | Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Err(ConnectError::TopicMissing {
                    topic: topic.to_owned(),
                })
            }
            Some(code) => Err(ConnectError::request(
                doing(),
                KafkaError::MetadataFetch(code),
            )),
        },
        None => Err(ConnectError::TopicMissing {
            topic: topic.to_owned(),
        }),
    }
}

pub(super) fn ends(
    consumer: &BaseConsumer<Watched>,
    topic: &str,
    partitions: &[i32],
) -> Result<Vec<(i32, i64)>, ConnectError> {
    partitions
        .iter()
        .map(|p| Ok((*p, watermarks(consumer, topic, *p)?.1)))
        .collect()
}

pub(super) fn watermarks(
    consumer: &BaseConsumer<Watched>,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64), ConnectError> {
    consumer
        .fetch_watermarks(topic, partition, client::ANSWER)
        .map_err(|e| {
            ConnectError::request(format!("ends of topic {topic} partition {partition}"), e)
        })
}

fn next_record(
    consumer: &BaseConsumer<Watched>,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Option<i64>, ConnectError> {
    let doing = || format!("topic {topic} partition {partition}");
    let (first, end) = watermarks(consumer, topic, partition)?;
    if end <= offset.max(first) {
        return Ok(None);
    }
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition, Offset::Offset(offset.max(first)))
        .map_err(|e| ConnectError::request(doing(), e))?;
    consumer
        .assign(&list)
        .map_err(|e| ConnectError::request(doing(), e))?;
    let until = Instant::now() + client::ANSWER;
    let answer = loop {
        match consumer.poll(client::ANSWER / 20) {
            Some(Ok(message)) => break Ok(Some(message.offset())),
            Some(Err(KafkaError::PartitionEOF(_))) => break Ok(None),
            Some(Err(source)) => {
                let error = ConnectError::request(doing(), source);
                if !error.is_retriable() || Instant::now() > until {
                    break Err(error);
                }
            }
            None if Instant::now() > until => {
                break Err(ConnectError::request(
                    doing(),
                    KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut),
                ));
            }
            None => {}
        }
    };
    consumer
        .unassign()
        .map_err(|e| ConnectError::request(doing(), e))?;
    answer
}
