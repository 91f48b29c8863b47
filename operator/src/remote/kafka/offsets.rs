//! Positions: the end of partitions and what a consumer group has committed. No I/O.

use std::collections::BTreeMap;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, GroupId, ListOffsetsRequest,
    ListOffsetsResponse, OffsetFetchRequest, OffsetFetchResponse,
};

use super::error::KafkaError;
use super::message::{GroupOffset, lacks, text, topic_name};

/// "The next offset to be written" in the terms of the protocol.
const LATEST: i64 = -1;
/// "The first offset that is still there".
const EARLIEST: i64 = -2;
/// Group coordinators, as opposed to transaction coordinators.
const GROUP_KEY: i8 = 0;

/// Which records count as the end of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Everything that is replicated, open transactions too.
    ReadUncommitted,
    /// Up to the first open transaction: what a read_committed consumer can reach.
    ReadCommitted,
}

/// Asks for the end of some partitions of one topic; goes to their leader.
#[must_use]
pub fn list_offsets_request(
    topic: &str,
    partitions: &[i32],
    isolation: Isolation,
) -> ListOffsetsRequest {
    offsets_request(topic, partitions, LATEST, isolation)
}

/// Asks for the first offset that is still there of some partitions of one topic; goes to their leader.
#[must_use]
pub fn list_starts_request(topic: &str, partitions: &[i32]) -> ListOffsetsRequest {
    offsets_request(topic, partitions, EARLIEST, Isolation::ReadUncommitted)
}

fn offsets_request(
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
    isolation: Isolation,
) -> ListOffsetsRequest {
    let partitions = partitions
        .iter()
        .map(|index| {
            ListOffsetsPartition::default()
                .with_partition_index(*index)
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp)
        })
        .collect();
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(match isolation {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        })
        .with_topics(vec![
            ListOffsetsTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(partitions),
        ])
}

/// The offset of each partition that was asked for.
///
/// # Errors
/// The first partition's error.
pub fn read_list_offsets(
    response: &ListOffsetsResponse,
    asked: &str,
) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let mut ends = BTreeMap::new();
    for partition in response.topics.iter().flat_map(|t| &t.partitions) {
        KafkaError::check(partition.error_code, None, asked)?;
        ends.insert(partition.partition_index, partition.offset);
    }
    Ok(ends)
}

/// Asks which broker keeps the offsets of a group, in the form of versions 0 to 3 or of 4 and later.
#[must_use]
pub fn find_coordinator_request(group: &str, many_keys: bool) -> FindCoordinatorRequest {
    let request = FindCoordinatorRequest::default().with_key_type(GROUP_KEY);
    if many_keys {
        request.with_coordinator_keys(vec![text(group)])
    } else {
        request.with_key(text(group))
    }
}

/// `host:port` of the group's coordinator.
///
/// # Errors
/// The broker's error, for example while the offsets topic is being created.
pub fn read_coordinator(
    response: &FindCoordinatorResponse,
    asked: &str,
) -> Result<String, KafkaError> {
    if let Some(found) = response.coordinators.first() {
        KafkaError::check(found.error_code, found.error_message.as_deref(), asked)?;
        return Ok(format!("{}:{}", found.host, found.port));
    }
    KafkaError::check(
        response.error_code,
        response.error_message.as_deref(),
        asked,
    )?;
    if response.host.is_empty() {
        return Err(lacks(asked, "the coordinator"));
    }
    Ok(format!("{}:{}", response.host, response.port))
}

/// Asks for the committed offsets of one group in one topic, in the form of versions 1 to 7 or of 8 and later.
#[must_use]
pub fn offset_fetch_request(
    group: &str,
    topic: &str,
    partitions: &[i32],
    many_groups: bool,
) -> OffsetFetchRequest {
    if many_groups {
        let topics = vec![
            OffsetFetchRequestTopics::default()
                .with_name(topic_name(topic))
                .with_partition_indexes(partitions.to_vec()),
        ];
        OffsetFetchRequest::default().with_groups(vec![
            OffsetFetchRequestGroup::default()
                .with_group_id(GroupId(text(group)))
                .with_member_epoch(-1)
                .with_topics(Some(topics)),
        ])
    } else {
        let topics = vec![
            OffsetFetchRequestTopic::default()
                .with_name(topic_name(topic))
                .with_partition_indexes(partitions.to_vec()),
        ];
        OffsetFetchRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(Some(topics))
    }
}

/// The committed offset of each partition; partitions without one are left out.
///
/// # Errors
/// The group's or the first partition's error.
pub fn read_offset_fetch(
    response: &OffsetFetchResponse,
    asked: &str,
) -> Result<BTreeMap<i32, GroupOffset>, KafkaError> {
    KafkaError::check(response.error_code, None, asked)?;
    let mut offsets = BTreeMap::new();
    let mut add = |index: i32, committed: i64, code: i16| {
        KafkaError::check(code, None, asked)?;
        if committed >= 0 {
            offsets.insert(index, GroupOffset { committed });
        }
        Ok::<(), KafkaError>(())
    };
    for partition in response.topics.iter().flat_map(|t| &t.partitions) {
        add(
            partition.partition_index,
            partition.committed_offset,
            partition.error_code,
        )?;
    }
    for group in &response.groups {
        KafkaError::check(group.error_code, None, asked)?;
        for partition in group.topics.iter().flat_map(|t| &t.partitions) {
            add(
                partition.partition_index,
                partition.committed_offset,
                partition.error_code,
            )?;
        }
    }
    Ok(offsets)
}

/// How many records a group has still to read: partitions never committed count from their start, taken as 0.
#[must_use]
pub fn lag(ends: &BTreeMap<i32, i64>, committed: &BTreeMap<i32, GroupOffset>) -> i64 {
    ends.iter()
        .map(|(index, end)| {
            let from = committed.get(index).map_or(0, |offset| offset.committed);
            (end - from).max(0)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::offset_fetch_response::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
    };
    use kafka_protocol::protocol::Encodable;

    #[test]
    fn both_forms_of_a_request_encode_in_their_versions() {
        let mut buffer = bytes::BytesMut::new();
        for version in 0..=6 {
            find_coordinator_request("detect", version >= 4)
                .encode(&mut buffer, version)
                .unwrap();
        }
        for version in 1..=9 {
            offset_fetch_request("detect", "telemetry", &[0, 1], version >= 8)
                .encode(&mut buffer, version)
                .unwrap();
        }
        // Version 1 knows no isolation; Kafka 2.4 knows version 5.
        for version in 2..=10 {
            list_offsets_request("telemetry", &[0], Isolation::ReadCommitted)
                .encode(&mut buffer, version)
                .unwrap();
        }
    }

    #[test]
    fn partitions_without_a_commit_are_left_out_and_count_whole() {
        let part = |index, committed| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(index)
                .with_committed_offset(committed)
        };
        let response = OffsetFetchResponse::default().with_groups(vec![
            OffsetFetchResponseGroup::default().with_topics(vec![
                OffsetFetchResponseTopics::default().with_partitions(vec![part(0, 7), part(1, -1)]),
            ]),
        ]);
        let committed = read_offset_fetch(&response, "x").unwrap();
        assert_eq!(
            committed,
            BTreeMap::from([(0, GroupOffset { committed: 7 })])
        );
        assert_eq!(lag(&BTreeMap::from([(0, 10), (1, 5)]), &committed), 8);
    }

    #[test]
    fn a_loading_coordinator_is_an_error_to_retry() {
        let response = OffsetFetchResponse::default().with_groups(vec![
            OffsetFetchResponseGroup::default().with_error_code(14),
        ]);
        let error = read_offset_fetch(&response, "read offsets of group detect").unwrap_err();
        assert!(error.is_retriable());
        assert_eq!(
            error.to_string(),
            "Kafka refused to read offsets of group detect: CoordinatorLoadInProgress"
        );
    }
}
