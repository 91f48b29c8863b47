use super::*;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::protocol::{Decodable, Encodable};

fn telemetry() -> NewTopic {
    NewTopic {
        name: "telemetry".to_owned(),
        partitions: 6,
        replication_factor: 3,
        config: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
    }
}

#[test]
fn requests_encode_in_every_version_and_read_back_the_same() {
    for version in 2..=7 {
        let mut buffer = bytes::BytesMut::new();
        let request = create_topic_request(&telemetry(), 15_000, true);
        // validate_only and the rest exist in all versions of this request.
        request.encode(&mut buffer, version).unwrap();
        let read = CreateTopicsRequest::decode(&mut buffer.freeze(), version).unwrap();
        assert_eq!(read, request);
    }
    for version in 0..=3 {
        let mut buffer = bytes::BytesMut::new();
        let request = create_partitions_request("telemetry", 12, 15_000);
        request.encode(&mut buffer, version).unwrap();
        let read = CreatePartitionsRequest::decode(&mut buffer.freeze(), version).unwrap();
        assert_eq!(read, request);
    }
    for version in 1..=6 {
        let mut buffer = bytes::BytesMut::new();
        delete_topic_request("telemetry", 15_000, version >= 6)
            .encode(&mut buffer, version)
            .unwrap();
    }
}

#[test]
fn asking_for_metadata_never_creates_a_topic() {
    let request = metadata_request(Some(&["telemetry"]));
    assert!(!request.allow_auto_topic_creation);
    assert_eq!(request.topics.unwrap().len(), 1);
    assert!(metadata_request(None).topics.is_none());
    // An empty list asks for no topic, which is not the same as all of them.
    assert_eq!(metadata_request(Some(&[])).topics, Some(Vec::new()));
}

#[test]
fn a_metadata_answer_becomes_brokers_and_topics() {
    let partition = |index, leader, replicas: &[i32]| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(leader))
            .with_replica_nodes(replicas.iter().map(|n| BrokerId(*n)).collect())
            .with_isr_nodes(vec![BrokerId(replicas[0])])
    };
    let response = MetadataResponse::default()
        .with_controller_id(BrokerId(2))
        .with_brokers(vec![
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(2))
                .with_host(text("fd00::2"))
                .with_port(9092),
        ])
        .with_topics(vec![
            MetadataResponseTopic::default()
                .with_name(Some(topic_name("alerts")))
                .with_partitions(vec![partition(1, -1, &[1, 2]), partition(0, 2, &[2])]),
            MetadataResponseTopic::default()
                .with_name(Some(topic_name("gone")))
                .with_error_code(3),
        ]);
    let cluster = read_cluster(&response);
    assert_eq!(cluster.controller, Some(2));
    assert_eq!(cluster.brokers[&2].address, "[fd00::2]:9092");
    let topics = read_topics(&response, "describe topics").unwrap();
    assert_eq!(topics.len(), 1);
    assert_eq!(topics[0].partitions[0].index, 0);
    assert_eq!(topics[0].partitions[1].leader, None);
    assert_eq!(topics[0].replication_factor(), 1);
}

#[test]
fn a_controller_that_is_no_broker_is_not_one_to_ask() {
    let response = MetadataResponse::default().with_controller_id(BrokerId(3000));
    assert_eq!(read_cluster(&response).controller, None);
}

#[test]
fn errors_inside_answers_keep_the_broker_s_words() {
    let response = CreateTopicsResponse::default().with_topics(vec![
        CreatableTopicResult::default()
            .with_error_code(36)
            .with_error_message(Some(text("Topic 'telemetry' already exists."))),
    ]);
    let error = read_create_topic(&response, "create topic telemetry").unwrap_err();
    assert!(error.is_already_exists());
    assert_eq!(
        error.to_string(),
        "Kafka refused to create topic telemetry: TopicAlreadyExists: Topic 'telemetry' already exists."
    );
    let empty = read_create_topic(&CreateTopicsResponse::default(), "create topic telemetry");
    assert_eq!(
        empty.unwrap_err().to_string(),
        "Kafka's answer to create topic telemetry lacks the topic"
    );
}
