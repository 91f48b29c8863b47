//! A member of a consumer group that is told about its partitions and decides when to start them.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, ConsumerGroupMetadata,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};

use super::access::{Access, is_refusal};
use super::batches::Batches;
use super::client;
use super::error::ConnectError;
use super::record::Incoming;
use super::start;

/// How often the distance to the end of each partition is reported.
const LAG: Duration = Duration::from_secs(5);

/// What a member of a group wants to know. Called on the thread that polls, from within the poll.
pub trait GroupEvents: Send + Sync {
    /// The member now owns exactly these partitions, perhaps none.
    fn assigned(&self, partitions: &[i32]);

    /// The member loses these partitions when this returns; until then it may commit what it has done,
    /// unless they are `lost` already.
    fn revoked(&self, member: &Member<'_>, partitions: &[i32], lost: bool);

    /// Offsets that were to be committed without waiting were not.
    fn commit_failed(&self) {}

    /// All records that lay in the partition when it was last asked for have been handed over; told again
    /// after each further record. Only with [`GroupSettings::tell_end`].
    fn at_end(&self, _partition: i32) {}

    /// So many records of a partition are still to be read.
    fn lag(&self, partition: i32, records: i64);
}

/// How to join.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// Where Kafka is and how to log in.
    pub access: Access,
    /// The name that the broker's log shows.
    pub client_id: String,
    /// The group.
    pub group: String,
    /// The one topic that is read.
    pub topic: String,
    /// After that long without a sign of life the broker gives the partitions to others.
    pub session_timeout: Duration,
    /// Partitions wait for [`GroupConsumer::start`] instead of starting at the committed offsets.
    pub hold: bool,
    /// Where the group has committed nothing, reading starts with the first record of this time instead of the oldest.
    /// Not with `hold`.
    pub since: Option<Timestamp>,
    /// Whether [`GroupEvents::at_end`] is called.
    pub tell_end: bool,
}

/// A proof of membership, to be sent along with offsets in a transaction.
pub struct Membership(pub(super) ConsumerGroupMetadata);

/// The member itself, inside a call of [`GroupEvents`].
pub struct Member<'a> {
    consumer: &'a dyn Committing,
    topic: &'a str,
}

impl Member<'_> {
    /// Its membership.
    #[must_use]
    pub fn membership(&self) -> Option<Membership> {
        self.consumer.membership()
    }

    /// Commits the offsets of the next records to read, and waits for the answer.
    ///
    /// # Errors
    /// The group has moved on, or the coordinator is away.
    pub fn commit(&self, next: &[(i32, i64)]) -> Result<(), ConnectError> {
        self.consumer.commit_now(self.topic, next, CommitMode::Sync)
    }
}

// Hides the context's type, which would otherwise run in a circle.
trait Committing {
    fn membership(&self) -> Option<Membership>;
    fn commit_now(
        &self,
        topic: &str,
        next: &[(i32, i64)],
        mode: CommitMode,
    ) -> Result<(), ConnectError>;
}

impl<C: ConsumerContext> Committing for BaseConsumer<C> {
    fn membership(&self) -> Option<Membership> {
        self.group_metadata().map(Membership)
    }

    fn commit_now(
        &self,
        topic: &str,
        next: &[(i32, i64)],
        mode: CommitMode,
    ) -> Result<(), ConnectError> {
        if next.is_empty() {
            return Ok(());
        }
        let offsets = offsets(topic, next.iter().map(|(p, o)| (*p, Some(*o))))?;
        self.commit(&offsets, mode)
            .map_err(|e| ConnectError::request("commit of offsets", e))
    }
}

/// Where partitions of a topic are read or committed: at the beginning where there is no offset.
pub(super) fn offsets(
    topic: &str,
    positions: impl Iterator<Item = (i32, Option<i64>)>,
) -> Result<TopicPartitionList, ConnectError> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in positions {
        list.add_partition_offset(
            topic,
            partition,
            offset.map_or(Offset::Beginning, Offset::Offset),
        )
        .map_err(|e| ConnectError::request(format!("topic {topic} partition {partition}"), e))?;
    }
    Ok(list)
}

pub(super) struct Context<H> {
    events: H,
    topic: String,
    hold: bool,
    since: Option<Timestamp>,
    access: Access,
}

impl<H: GroupEvents> ClientContext for Context<H> {
    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else {
            return;
        };
        for (partition, state) in &topic.partitions {
            let end = if state.ls_offset >= 0 {
                state.ls_offset
            } else {
                state.hi_offset
            };
            // Partitions that were given away stay in the statistics.
            if *partition >= 0 && state.fetch_state == "active" && state.app_offset >= 0 && end >= 0
            {
                self.events.lag(*partition, (end - state.app_offset).max(0));
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if is_refusal(&error) {
            self.access.refused();
        }
        // Also told by the poll; the end of a partition is no trouble.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        tracing::warn!(%error, reason, "Kafka");
    }
}

impl<H: GroupEvents> ConsumerContext for Context<H> {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions: Vec<i32> = list
            .elements_for_topic(&self.topic)
            .iter()
            .map(|e| e.partition())
            .collect();
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(?partitions, "partitions assigned");
            self.events.assigned(&partitions);
            if self.hold {
                consumer.assign(&TopicPartitionList::new())
            } else {
                if let Some(since) = self.since {
                    start::since(consumer, &self.topic, list, since);
                }
                consumer.assign(list)
            }
        } else {
            let lost = consumer.assignment_lost();
            tracing::info!(?partitions, lost, "partitions revoked");
            self.events.revoked(
                &Member {
                    consumer,
                    topic: &self.topic,
                },
                &partitions,
                lost,
            );
            consumer.unassign()
        };
        if let Err(error) = done {
            tracing::error!(%error, "the assignment cannot be taken over");
        }
    }

    fn commit_callback(&self, result: Result<(), KafkaError>, _: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => {
                tracing::warn!(%error, "offsets were not committed");
                self.events.commit_failed();
            }
        }
    }
}

/// A member of a consumer group on one topic. Blocking: for a thread of its own.
pub struct GroupConsumer<H: GroupEvents + 'static> {
    pub(super) inner: BaseConsumer<Context<H>>,
    pub(super) topic: String,
}

impl<H: GroupEvents + 'static> GroupConsumer<H> {
    /// Joins the group. The rest happens while [`GroupConsumer::poll`] is called.
    ///
    /// # Errors
    /// The settings are not usable.
    pub fn join(settings: &GroupSettings, events: H) -> Result<Self, ConnectError> {
        let context = Context {
            events,
            topic: settings.topic.clone(),
            hold: settings.hold,
            since: settings.since,
            access: settings.access.clone(),
        };
        let heartbeat = settings.session_timeout / 4;
        let inner: BaseConsumer<Context<H>> =
            client::consumer(&settings.access, &settings.client_id, Some(&settings.group))
                // Eager: on every change all is given back and restored, which is the simplest right thing.
                .set("partition.assignment.strategy", "range")
                .set(
                    "session.timeout.ms",
                    client::milliseconds(settings.session_timeout),
                )
                .set("heartbeat.interval.ms", client::milliseconds(heartbeat))
                .set("max.poll.interval.ms", "300000")
                .set("enable.partition.eof", settings.tell_end.to_string())
                .set("statistics.interval.ms", client::milliseconds(LAG))
                .create_with_context(context)
                .map_err(|source| ConnectError::Client { source })?;
        inner
            .subscribe(&[&settings.topic])
            .map_err(|e| ConnectError::request(format!("topic {}", settings.topic), e))?;
        Ok(Self {
            inner,
            topic: settings.topic.clone(),
        })
    }

    /// The receiver of the group's events.
    #[must_use]
    pub fn events(&self) -> &H {
        &self.inner.context().events
    }

    /// The next record, or none within `timeout`. Serves the group's events on the way.
    ///
    /// # Errors
    /// Those of the broker; only fatal ones end the consumer.
    pub fn poll(&self, timeout: Duration) -> Result<Option<Incoming<'_>>, ConnectError> {
        match self.inner.poll(timeout) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(Incoming::from(message))),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.events().at_end(partition);
                Ok(None)
            }
            Some(Err(source)) => Err(ConnectError::request(
                format!("topic {}", self.topic),
                source,
            )),
        }
    }

    /// Its records many at a time, instead of one a [`GroupConsumer::poll`].
    ///
    /// # Errors
    /// The library refuses it.
    pub fn batches(&self) -> Result<Batches<'_, H>, ConnectError> {
        Batches::new(self)
    }

    /// The group's offsets, after every open transaction on them has ended; none where it has none yet.
    ///
    /// # Errors
    /// The coordinator is away, or a transaction is still open at the end of the time.
    pub fn committed(&self, partitions: &[i32]) -> Result<Vec<(i32, Option<i64>)>, ConnectError> {
        committed(&self.inner, &self.topic, partitions)
    }

    /// Starts reading at these offsets, at the beginning where there is none. Replaces what was read before.
    ///
    /// # Errors
    /// The assignment is refused.
    pub fn start(&self, positions: &[(i32, Option<i64>)]) -> Result<(), ConnectError> {
        let list = offsets(&self.topic, positions.iter().copied())?;
        self.inner
            .assign(&list)
            .map_err(|e| ConnectError::request("start of partitions", e))
    }

    /// The partitions that are read now.
    ///
    /// # Errors
    /// The library refuses it.
    pub fn positions(&self) -> Result<Vec<i32>, ConnectError> {
        let now = self
            .inner
            .assignment()
            .map_err(|e| ConnectError::request("assignment", e))?;
        Ok(now
            .elements_for_topic(&self.topic)
            .iter()
            .map(|e| e.partition())
            .collect())
    }

    /// Stops reading all partitions; the group's assignment stays.
    ///
    /// # Errors
    /// The assignment is refused.
    pub fn hold(&self) -> Result<(), ConnectError> {
        self.inner
            .assign(&TopicPartitionList::new())
            .map_err(|e| ConnectError::request("stop of partitions", e))
    }

    /// Stops or resumes delivery of the partitions that are read now; what was fetched is kept back too.
    ///
    /// # Errors
    /// The library refuses it.
    pub fn pause(&self, paused: bool) -> Result<(), ConnectError> {
        let now = self
            .inner
            .assignment()
            .map_err(|e| ConnectError::request("assignment", e))?;
        if now.count() == 0 {
            return Ok(());
        }
        let done = if paused {
            self.inner.pause(&now)
        } else {
            self.inner.resume(&now)
        };
        done.map_err(|e| ConnectError::request("pause", e))
    }

    /// Commits the offsets of the next records to read, without waiting for the answer.
    ///
    /// # Errors
    /// The request cannot be queued.
    pub fn commit(&self, next: &[(i32, i64)]) -> Result<(), ConnectError> {
        self.inner.commit_now(&self.topic, next, CommitMode::Async)
    }

    /// The membership, for a transaction.
    #[must_use]
    pub fn membership(&self) -> Option<Membership> {
        self.inner.membership()
    }
}

pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
) -> Result<Vec<(i32, Option<i64>)>, ConnectError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let doing = || format!("committed offsets of topic {topic}");
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let answer = consumer
        .committed_offsets(list, client::ANSWER)
        .map_err(|e| ConnectError::request(doing(), e))?;
    let mut found: HashMap<i32, Option<i64>> = HashMap::new();
    for element in answer.elements_for_topic(topic) {
        element
            .error()
            .map_err(|e| ConnectError::request(doing(), e))?;
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        found.insert(element.partition(), offset);
    }
    Ok(partitions
        .iter()
        .map(|p| (*p, found.get(p).copied().flatten()))
        .collect())
}
