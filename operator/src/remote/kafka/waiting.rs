//! What waits in a topic: the first record at or after a position that is a record, not a mark of a transaction, and was
//! not taken back with one. Only the heads of batches are read, so nothing is unpacked.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use kafka_protocol::messages::{BrokerId, FetchRequest};

use super::admin::{KafkaAdmin, Target};
use super::error::KafkaError;
use super::message::{TopicView, topic_name};

/// Size of the head of a batch in its present form.
const HEAD: usize = 61;
/// Heads are enough, so little of each partition is asked for.
const PARTITION_BYTES: i32 = 64 * 1024;
const ANSWER_BYTES: i32 = 1024 * 1024;
/// So often the same partition is asked for what follows, when all that came was marks.
const ROUNDS: usize = 16;
/// The last version in which topics have names.
const LAST_WITH_NAMES: i16 = 12;

/// A record that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its offset, or that of the batch's first record that is not before the position.
    pub offset: i64,
    /// When its batch began, in milliseconds since 1970.
    pub timestamp: i64,
}

/// What the answer for one partition comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ahead {
    /// A record waits.
    Record(Waiting),
    /// Only marks, up to here; more may follow.
    Marks(i64),
    /// Nothing.
    Nothing,
}

/// Asks for what follows the positions, without waiting for more.
fn fetch_request(topic: &TopicView, from: &BTreeMap<i32, i64>, version: i16) -> FetchRequest {
    let partitions = from.iter().map(|(index, offset)| {
        FetchPartition::default()
            .with_partition(*index)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(*offset)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(PARTITION_BYTES)
    });
    let asked = FetchTopic::default().with_partitions(partitions.collect());
    let asked = if version > LAST_WITH_NAMES {
        asked.with_topic_id(topic.id)
    } else {
        asked.with_topic(topic_name(&topic.name))
    };
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(ANSWER_BYTES)
        .with_isolation_level(1)
        // No session: each question stands alone.
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(vec![asked])
}

/// What waits in each partition of the answer.
///
/// # Errors
/// The first partition's error.
fn read_fetch(
    response: &FetchResponse,
    from: &BTreeMap<i32, i64>,
    asked: &str,
) -> Result<BTreeMap<i32, Ahead>, KafkaError> {
    KafkaError::check(response.error_code, None, asked)?;
    let mut found = BTreeMap::new();
    for partition in response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
    {
        KafkaError::check(partition.error_code, None, asked)?;
        if let Some(position) = from.get(&partition.partition_index) {
            found.insert(partition.partition_index, ahead(partition, *position));
        }
    }
    Ok(found)
}

fn ahead(partition: &PartitionData, position: i64) -> Ahead {
    let Some(records) = &partition.records else {
        return Ahead::Nothing;
    };
    let mut aborted: Vec<(i64, i64)> = partition
        .aborted_transactions
        .iter()
        .flatten()
        .map(|transaction| (transaction.first_offset, transaction.producer_id.0))
        .collect();
    aborted.sort_unstable();
    let mut aborted = aborted.into_iter().peekable();
    let mut taken_back = BTreeSet::new();
    let mut reached = None;
    for head in Heads(records.clone()) {
        while let Some((_, producer)) = aborted.next_if(|(first, _)| *first <= head.last) {
            taken_back.insert(producer);
        }
        if head.is_control {
            taken_back.remove(&head.producer);
        } else if head.last >= position
            && !(head.is_transactional && taken_back.contains(&head.producer))
        {
            return Ahead::Record(Waiting {
                offset: head.first.max(position),
                timestamp: head.timestamp,
            });
        }
        reached = Some(head.last + 1);
    }
    match reached {
        Some(next) if next > position => Ahead::Marks(next),
        _ => Ahead::Nothing,
    }
}

/// The head of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    first: i64,
    last: i64,
    timestamp: i64,
    producer: i64,
    is_transactional: bool,
    is_control: bool,
}

/// The heads of the batches in what a broker sent. The last batch may be cut off; its head counts if it is whole.
struct Heads(Bytes);

impl Iterator for Heads {
    type Item = Head;

    fn next(&mut self) -> Option<Head> {
        if self.0.len() < HEAD {
            return None;
        }
        let mut head = self.0.slice(..HEAD);
        let first = head.get_i64();
        let length = head.get_i32();
        let _leader_epoch = head.get_i32();
        let magic = head.get_i8();
        // Older forms are no longer written by any broker that this client can talk to.
        if magic != 2 {
            return None;
        }
        let _checksum = head.get_u32();
        let attributes = head.get_i16();
        let last = first.saturating_add(i64::from(head.get_i32()));
        let timestamp = head.get_i64();
        let _newest = head.get_i64();
        let producer = head.get_i64();
        let whole = usize::try_from(length).ok()?.saturating_add(12);
        self.0.advance(whole.clamp(HEAD, self.0.len()));
        Some(Head {
            first,
            last,
            timestamp,
            producer,
            is_transactional: attributes & 0x10 != 0,
            is_control: attributes & 0x20 != 0,
        })
    }
}

impl KafkaAdmin {
    /// The first record of each partition that waits at or after its position; partitions in which nothing waits are left
    /// out. A position before the first record that is still there counts as that one; partitions without a position
    /// count from there too. Records of transactions that are open do not wait yet.
    ///
    /// # Errors
    /// [`KafkaError::is_unknown_topic`]; [`KafkaError`] once the time of a call is up.
    pub async fn waiting(
        &self,
        topic: &str,
        positions: &BTreeMap<i32, i64>,
    ) -> Result<BTreeMap<i32, Waiting>, KafkaError> {
        let asked = format!("tell what waits in topic {topic}");
        self.until_settled(|| self.waiting_once(topic, positions, &asked))
            .await
    }

    async fn waiting_once(
        &self,
        topic: &str,
        positions: &BTreeMap<i32, i64>,
        asked: &str,
    ) -> Result<BTreeMap<i32, Waiting>, KafkaError> {
        let view = self.existing(topic, asked).await?;
        let mut found = BTreeMap::new();
        for (leader, indexes) in self.by_leader(&view, asked).await? {
            let starts = self.starts_at(&leader, topic, &indexes, asked).await?;
            let from = starts
                .into_iter()
                .map(|(index, start)| {
                    let position = positions.get(&index).copied().unwrap_or(start);
                    (index, position.max(start))
                })
                .collect();
            found.extend(self.waiting_at(&leader, &view, from, asked).await?);
        }
        Ok(found)
    }

    /// What waits in partitions that one broker leads.
    async fn waiting_at(
        &self,
        leader: &str,
        topic: &TopicView,
        mut from: BTreeMap<i32, i64>,
        asked: &str,
    ) -> Result<BTreeMap<i32, Waiting>, KafkaError> {
        let mut found = BTreeMap::new();
        for _ in 0..ROUNDS {
            let answer = self
                .call(
                    Target::At(leader),
                    asked,
                    |version| fetch_request(topic, &from, version),
                    |answer| read_fetch(answer, &from, asked),
                )
                .await?;
            from.clear();
            for (index, ahead) in answer {
                match ahead {
                    Ahead::Record(waiting) => {
                        found.insert(index, waiting);
                    }
                    Ahead::Marks(next) => {
                        from.insert(index, next);
                    }
                    Ahead::Nothing => {}
                }
            }
            if from.is_empty() {
                break;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::offsets;
    use super::*;
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::ProducerId;
    use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse};
    use kafka_protocol::protocol::Encodable;
    use uuid::Uuid;

    /// A batch of `count` records from `first` on, of producer 7.
    fn batch(first: i64, count: i32, attributes: i16) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        bytes.put_i64(first);
        bytes.put_i32(49 + 10);
        bytes.put_i32(0);
        bytes.put_i8(2);
        bytes.put_u32(0);
        bytes.put_i16(attributes);
        bytes.put_i32(count - 1);
        bytes.put_i64(1_000 + first);
        bytes.put_i64(2_000);
        bytes.put_i64(7);
        bytes.put_i16(0);
        bytes.put_i32(0);
        bytes.put_i32(count);
        bytes.put_slice(&[0; 10]);
        bytes.to_vec()
    }

    const PLAIN: i16 = 0;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x30;

    fn said(batches: &[Vec<u8>], aborted_from: Option<i64>, position: i64) -> Ahead {
        let aborted = aborted_from.map(|first| {
            vec![
                AbortedTransaction::default()
                    .with_producer_id(ProducerId(7))
                    .with_first_offset(first),
            ]
        });
        let partition = PartitionData::default()
            .with_aborted_transactions(aborted)
            .with_records(Some(Bytes::from(batches.concat())));
        let response = FetchResponse::default().with_responses(vec![
            FetchableTopicResponse::default().with_partitions(vec![partition]),
        ]);
        read_fetch(&response, &BTreeMap::from([(0, position)]), "x").unwrap()[&0]
    }

    fn record(offset: i64, timestamp: i64) -> Ahead {
        Ahead::Record(Waiting { offset, timestamp })
    }

    #[test]
    fn marks_are_no_records() {
        assert_eq!(said(&[], None, 0), Ahead::Nothing);
        assert_eq!(said(&[batch(5, 3, PLAIN)], None, 6), record(6, 1_005));
        assert_eq!(said(&[batch(8, 1, CONTROL)], None, 8), Ahead::Marks(9));
        let both = [batch(8, 1, CONTROL), batch(9, 2, TRANSACTIONAL)];
        assert_eq!(said(&both, None, 8), record(9, 1_009));
        // The broker sends the batch that holds the position, also when only its end is asked for.
        assert_eq!(said(&[batch(5, 3, PLAIN)], None, 8), Ahead::Nothing);
    }

    #[test]
    fn what_was_taken_back_does_not_wait() {
        let batches = [
            batch(5, 2, TRANSACTIONAL),
            batch(7, 1, CONTROL),
            batch(8, 1, TRANSACTIONAL),
        ];
        assert_eq!(said(&batches, Some(5), 5), record(8, 1_008));
        assert_eq!(said(&batches[..2], Some(5), 5), Ahead::Marks(8));
        assert_eq!(said(&batches, None, 5), record(5, 1_005));
    }

    #[test]
    fn a_batch_that_is_cut_off_counts_when_its_head_is_whole() {
        let mut cut = batch(5, 3, PLAIN);
        cut.truncate(HEAD);
        assert_eq!(said(&[cut.clone()], None, 5), record(5, 1_005));
        cut.truncate(HEAD - 1);
        assert_eq!(said(&[cut], None, 5), Ahead::Nothing);
        assert_eq!(said(&[b"no batch".repeat(20)], None, 5), Ahead::Nothing);
    }

    #[test]
    fn all_versions_can_be_asked() {
        let topic = TopicView {
            name: "alerts".into(),
            id: Uuid::from_u128(1),
            internal: false,
            partitions: Vec::new(),
        };
        let mut buffer = BytesMut::new();
        for version in 4..=17 {
            fetch_request(&topic, &BTreeMap::from([(0, 3)]), version)
                .encode(&mut buffer, version)
                .unwrap();
        }
        for version in 2..=10 {
            offsets::list_starts_request("alerts", &[0])
                .encode(&mut buffer, version)
                .unwrap();
        }
    }
}
