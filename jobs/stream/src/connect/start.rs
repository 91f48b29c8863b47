//! Where a group starts that has not read yet.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::client;
use super::error::ConnectError;
use super::group::committed;

/// How long the brokers are asked. The group takes a member that does not poll for dead only after five minutes.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// Sets, for each partition of `list` in which the group has committed nothing, the offset of the first record that was
/// written at `time` or later. When the brokers do not tell, these partitions start at the beginning: too much is
/// better than too little.
pub(super) fn since<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    list: &mut TopicPartitionList,
    time: Timestamp,
) {
    let end = Instant::now() + PATIENCE;
    loop {
        match look_up(consumer, topic, list, time) {
            Ok(()) => return,
            Err(error) if Instant::now() < end => {
                tracing::warn!(%error, "asking where to start");
                std::thread::sleep(PAUSE);
            }
            Err(error) => {
                tracing::error!(%error, %time, "partitions without a committed offset start at the beginning");
                return;
            }
        }
    }
}

fn look_up<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    list: &mut TopicPartitionList,
    time: Timestamp,
) -> Result<(), ConnectError> {
    let partitions: Vec<i32> = list
        .elements_for_topic(topic)
        .iter()
        .map(|element| element.partition())
        .collect();
    for (partition, committed) in committed(consumer, topic, &partitions)? {
        if committed.is_none() {
            let first = first_since(consumer, topic, partition, time)?;
            list.set_partition_offset(topic, partition, Offset::Offset(first))
                .map_err(|e| ConnectError::request(doing(topic, partition), e))?;
        }
    }
    Ok(())
}

fn first_since<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    time: Timestamp,
) -> Result<i64, ConnectError> {
    let failed = |e| ConnectError::request(doing(topic, partition), e);
    // Before the question: a record that comes in between is not to be passed over.
    let (_, end) = consumer
        .fetch_watermarks(topic, partition, client::ANSWER)
        .map_err(failed)?;
    let mut wanted = TopicPartitionList::with_capacity(1);
    wanted
        .add_partition_offset(topic, partition, Offset::Offset(time.as_millisecond()))
        .map_err(failed)?;
    let found = consumer
        .offsets_for_times(wanted, client::ANSWER)
        .map_err(failed)?;
    for element in found.elements_for_topic(topic) {
        element.error().map_err(failed)?;
        if let Offset::Offset(offset) = element.offset() {
            return Ok(offset);
        }
    }
    Ok(end)
}

fn doing(topic: &str, partition: i32) -> String {
    format!("first record of a time in topic {topic} partition {partition}")
}
