//! Kafka's records, read from its only broker by the kubelet: no policy lets this machine in, and the address that it tells its
//! clients is none of this machine's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{AbortedTransaction, PartitionData};
use kafka_protocol::messages::{BrokerId, FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Compression, RecordBatchDecoder};
use millrace_operator::remote::kafka::message::{metadata_request, read_topics};
use millrace_operator::remote::kafka::offsets::{
    list_offsets_request, list_starts_request, offset_fetch_request, read_list_offsets,
    read_offset_fetch,
};
use millrace_operator::remote::kafka::{
    Connection, Credentials, Isolation, Timeouts, TopicView, lag,
};

const WITHIN: Duration = Duration::from_secs(60);
/// Bytes that are asked for at once.
const PART: i32 = 4 << 20;
/// The last version in which topics have names.
const LAST_WITH_NAMES: i16 = 12;
/// The version from which on several groups are asked for at once.
const FIRST_WITH_GROUPS: i16 = 8;
/// How far an LZ4 block may look back.
const WINDOW: usize = 64 * 1024;

/// A record, as text.
pub struct Record {
    pub key: String,
    /// None: the key is removed.
    pub value: Option<String>,
}

/// What counts of a compacted topic: the last value of each key.
pub fn live(records: Vec<Record>) -> BTreeMap<String, String> {
    let mut live = BTreeMap::new();
    for record in records {
        match record.value {
            Some(value) => live.insert(record.key, value),
            None => live.remove(&record.key),
        };
    }
    live
}

/// A connection to the broker.
pub struct Broker(Connection);

impl Broker {
    pub async fn open(address: SocketAddr) -> Self {
        let limits = Timeouts {
            connect: WITHIN,
            request: WITHIN,
            call: WITHIN,
        };
        let address = address.to_string();
        let opened = Connection::open(&address, &Credentials::default(), &limits).await;
        Self(opened.unwrap())
    }

    /// All topics but Kafka's own.
    pub async fn topics(&mut self) -> Vec<TopicView> {
        let asked = "list topics";
        let answer = self.0.ask(|_| metadata_request(None), asked, WITHIN).await;
        let mut topics = read_topics(&answer.unwrap(), asked).unwrap();
        topics.retain(|topic| !topic.internal);
        topics
    }

    async fn topic(&mut self, name: &str) -> TopicView {
        let found = self.topics().await.into_iter();
        let mut found = found.filter(|topic| topic.name == name);
        found.next().unwrap_or_else(|| panic!("no topic {name}"))
    }

    async fn ends(&mut self, topic: &TopicView, isolation: Isolation) -> BTreeMap<i32, i64> {
        let asked = "tell the ends of a topic";
        let partitions = indexes(topic);
        let request = list_offsets_request(&topic.name, &partitions, isolation);
        let answer = self.0.ask(|_| request, asked, WITHIN).await;
        read_list_offsets(&answer.unwrap(), asked).unwrap()
    }

    async fn starts(&mut self, topic: &TopicView) -> BTreeMap<i32, i64> {
        let asked = "tell the starts of a topic";
        let request = list_starts_request(&topic.name, &indexes(topic));
        let answer = self.0.ask(|_| request, asked, WITHIN).await;
        read_list_offsets(&answer.unwrap(), asked).unwrap()
    }

    /// How many records a group has still to read of a topic; nothing where a busy broker does not tell.
    pub async fn lag(&mut self, group: &str, topic: &str) -> Option<i64> {
        let asked = "tell where a group is";
        let topic = self.topic(topic).await;
        let ends = self.ends(&topic, Isolation::ReadUncommitted).await;
        let partitions = indexes(&topic);
        let request = |version: i16| {
            let many = version >= FIRST_WITH_GROUPS;
            offset_fetch_request(group, &topic.name, &partitions, many)
        };
        let answer = self.0.ask(request, asked, WITHIN).await;
        let committed = read_offset_fetch(&answer.ok()?, asked).ok()?;
        Some(lag(&ends, &committed))
    }

    /// The records of a topic by its name, but for those of transactions that are open or were aborted.
    pub async fn records_of(&mut self, topic: &str) -> Vec<Record> {
        let topic = self.topic(topic).await;
        self.read(&topic, Isolation::ReadCommitted).await
    }

    /// All records that are still there, those that compaction will take away and those that no reader is given too.
    pub async fn records(&mut self, topic: &TopicView) -> Vec<Record> {
        self.read(topic, Isolation::ReadUncommitted).await
    }

    async fn read(&mut self, topic: &TopicView, isolation: Isolation) -> Vec<Record> {
        let starts = self.starts(topic).await;
        let ends = self.ends(topic, isolation).await;
        let mut records = Vec::new();
        for (partition, end) in ends {
            let mut at = starts[&partition];
            while at < end {
                let fetched = self.fetch(topic, partition, at, isolation).await;
                let aborted = Aborted::new(fetched.aborted_transactions);
                let batches = fetched.records.unwrap_or_default();
                match decode(batches, aborted, at, &mut records) {
                    Some(next) => at = next,
                    // Only marks and what was compacted away lay there.
                    None => break,
                }
            }
        }
        records
    }

    async fn fetch(
        &mut self,
        topic: &TopicView,
        partition: i32,
        at: i64,
        isolation: Isolation,
    ) -> PartitionData {
        let asked = FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(at)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(PART);
        let asked = FetchTopic::default().with_partitions(vec![asked]);
        let request = |version: i16| {
            let asked = if version > LAST_WITH_NAMES {
                asked.with_topic_id(topic.id)
            } else {
                asked.with_topic(TopicName(StrBytes::from_string(topic.name.clone())))
            };
            FetchRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_max_wait_ms(0)
                .with_min_bytes(0)
                .with_max_bytes(PART)
                .with_isolation_level(i8::from(isolation == Isolation::ReadCommitted))
                // No session: each question stands alone.
                .with_session_id(0)
                .with_session_epoch(-1)
                .with_topics(vec![asked])
        };
        let answer = self.0.ask(request, "fetch", WITHIN).await.unwrap();
        let of_topic = answer.responses.into_iter().next().unwrap();
        let of_partition = of_topic.partitions.into_iter().next().unwrap();
        assert_eq!(of_partition.error_code, 0, "{}", topic.name);
        of_partition
    }
}

/// Transactions that were aborted, as the answer to a fetch tells them: whoever reads what is committed leaves a producer's batches
/// out from the first offset of such a transaction to the mark of its end.
struct Aborted {
    /// First offset and producer of those that the batches have not come to yet.
    ahead: Vec<(i64, i64)>,
    /// Producers in one of them.
    within: BTreeSet<i64>,
}

impl Aborted {
    fn new(told: Option<Vec<AbortedTransaction>>) -> Self {
        let told = told.unwrap_or_default().into_iter();
        Self {
            ahead: told
                .map(|one| (one.first_offset, *one.producer_id))
                .collect(),
            within: BTreeSet::new(),
        }
    }

    /// Whether a batch with this first offset belongs to one of them.
    fn has(&mut self, first: i64, producer: i64) -> bool {
        let Self { ahead, within } = self;
        ahead.retain(|(begin, of)| {
            let has_begun = *begin <= first;
            if has_begun {
                within.insert(*of);
            }
            !has_begun
        });
        within.contains(&producer)
    }

    /// Takes the mark of the end of a transaction.
    fn end(&mut self, producer: i64) {
        self.within.remove(&producer);
    }
}

fn indexes(topic: &TopicView) -> Vec<i32> {
    topic.partitions.iter().map(|one| one.index).collect()
}

/// Adds the records of whole batches that are not before an offset nor aborted; gives the offset that follows.
fn decode(
    mut batches: Bytes,
    mut aborted: Aborted,
    from: i64,
    records: &mut Vec<Record>,
) -> Option<i64> {
    let mut next = None;
    while let Some(length) = batches.get(8..12) {
        let length = 12 + usize::try_from(i32::from_be_bytes(length.try_into().unwrap())).unwrap();
        // The last one may be cut off.
        if length > batches.len() {
            break;
        }
        let mut batch = batches.split_to(length);
        let first = i64::from_be_bytes(batch[..8].try_into().unwrap());
        let others = i32::from_be_bytes(batch[23..27].try_into().unwrap());
        let producer = i64::from_be_bytes(batch[43..51].try_into().unwrap());
        let is_aborted = aborted.has(first, producer);
        next = Some(first + i64::from(others) + 1);
        let decoded =
            RecordBatchDecoder::decode_with_custom_compression(&mut batch, Some(unpacked));
        for record in decoded.unwrap().records {
            if record.control {
                aborted.end(producer);
                continue;
            }
            if is_aborted || record.offset < from {
                continue;
            }
            let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
            records.push(Record {
                key: record.key.map(text).unwrap_or_default(),
                value: record.value.map(text),
            });
        }
    }
    next
}

/// The jobs pack by LZ4 or not at all.
fn unpacked(bytes: &mut Bytes, compression: Compression) -> anyhow::Result<Bytes> {
    match compression {
        Compression::None => Ok(std::mem::take(bytes)),
        Compression::Lz4 => unframed(std::mem::take(bytes)).map(Bytes::from),
        other => anyhow::bail!("packed by {other:?}"),
    }
}

/// The content of a frame of LZ4 (the format is in lz4_Frame_format.md of LZ4's sources).
fn unframed(mut frame: Bytes) -> anyhow::Result<Vec<u8>> {
    anyhow::ensure!(frame.get_u32_le() == 0x184D_2204, "no frame of LZ4");
    let (flags, sizes) = (frame.get_u8(), frame.get_u8());
    let has_size = if flags & 0x08 != 0 { 8 } else { 0 };
    let has_dictionary = if flags & 0x01 != 0 { 4 } else { 0 };
    // And the check sum of the head.
    frame.advance(has_size + has_dictionary + 1);
    let largest = 1_usize << (8 + 2 * u32::from((sizes >> 4) & 7));
    let mut content = Vec::new();
    loop {
        let size = frame.get_u32_le();
        if size == 0 {
            return Ok(content);
        }
        let block = frame.split_to(usize::try_from(size & 0x7FFF_FFFF)?);
        if size & 0x8000_0000 == 0 {
            let before = &content[content.len().saturating_sub(WINDOW)..];
            let part = lz4_flex::block::decompress_with_dict(&block, largest, before)?;
            content.extend(part);
        } else {
            content.extend_from_slice(&block);
        }
        if flags & 0x10 != 0 {
            frame.advance(4);
        }
    }
}
